"""ApacheBench. ``recorded/ab*`` are of two runs of ab 2.3 against a server on loopback."""

import csv
import re

import pytest

from loadlens.dialects.ab import AB_GNUPLOT, AB_PERCENTILES, AB_REPORT
from loadlens.errors import InputError

from .reading import RECORDED, TIMES_DAMAGED, check_damage, check_one_bad_byte, head, read

LOG = (RECORDED / "ab_gnuplot.tsv").read_text()
REPORT = (RECORDED / "ab.txt").read_text()
PERCENTILES = (RECORDED / "ab_percentiles.csv").read_text()
HEADER = "starttime\tseconds\tctime\tdtime\tttime\twait\n"
ROWS = [
    "Tue Nov 14 22:13:20 2023\t1700000000\t0\t12\t12\t11\n",
    "Tue Nov 14 22:13:21 2023\t1700000001\t3\t1498\t1501\t1400\n",
]


def test_requests_become_canonical_rows() -> None:
    parsed = read(AB_GNUPLOT, HEADER + "".join(ROWS))
    assert parsed.rows.rows() == [
        (True, None, 1_700_000_000.0, 1_700_000_000.012, 12.0),
        (True, None, 1_700_000_001.0, 1_700_000_002.501, 1501.0),
    ]
    assert parsed.rows.columns == ["success", "error", "start_time", "end_time", "invocation_latency"]
    assert parsed.rejects.is_empty()


@pytest.mark.parametrize("block_bytes", [100, 2**20])
@pytest.mark.parametrize(("log", "report"), [("ab_gnuplot.tsv", "ab.txt"), ("ab_post.tsv", "ab_post.txt")])
def test_a_recorded_log_agrees_with_the_report_of_its_run(log: str, report: str, block_bytes: int) -> None:
    text, said = (RECORDED / log).read_text(), (RECORDED / report).read_text()
    assert AB_GNUPLOT.matches(head(text))
    rows = read(AB_GNUPLOT, text, block_bytes=block_bytes).rows
    latencies = sorted(rows["invocation_latency"])
    assert len(latencies) == int(re.search(r"Complete requests: +(\d+)", said)[1])  # type: ignore[index]
    told = re.findall(r"^ +(\d+)% +(\d+)", said, re.MULTILINE)
    assert len(told) == 9
    for share, ms in told:  # ab's own rule: the row at that share of the rows
        assert latencies[min(int(share) * len(latencies) // 100, len(latencies) - 1)] == int(ms)
    least, mean, _, _, most = re.search(r"Total: +(.*)", said)[1].split()  # type: ignore[index]
    assert (latencies[0], latencies[-1]) == (int(least), int(most))
    assert sum(latencies) / len(latencies) == pytest.approx(int(mean), abs=1)


def test_a_recorded_log_agrees_with_an_independent_reading() -> None:
    rows = read(AB_GNUPLOT, LOG).rows
    expected = list(csv.DictReader(LOG.splitlines(), delimiter="\t"))
    assert rows["start_time"].to_list() == [float(row["seconds"]) for row in expected]
    assert rows["end_time"].to_list() == [
        (int(row["seconds"]) * 1000 + int(row["ttime"])) / 1000 for row in expected
    ]
    assert rows["invocation_latency"].to_list() == [float(row["ttime"]) for row in expected]


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("\t12\t11", "\tslow\t11", "ttime"),
        ("\t12\t11", "\t-5\t11", "ttime"),
        ("\t12\t11", "\t\t11", "ttime"),
        ("\t12\t11", "\t12", ""),
        ("\t1700000000\t", "\tnow\t", "seconds"),
        ("\t1700000000\t", "\t-3\t", "seconds"),
    ],
)
def test_bad_rows_are_rejected_alone(old: str, new: str, column: str) -> None:
    parsed = read(AB_GNUPLOT, HEADER + "".join(ROWS).replace(old, new))
    assert parsed.rows.height == 1
    assert parsed.rejects.select("line", "column").rows() == [(2, column)]


@pytest.mark.parametrize("times", TIMES_DAMAGED)
def test_damage_is_refused_or_costs_what_it_hits(times: int) -> None:
    check_damage(AB_GNUPLOT, HEADER + "".join(ROWS) * 9, times)
    check_one_bad_byte(AB_GNUPLOT, HEADER + "".join(ROWS) * 9, times)


def test_what_lacks_a_column_is_refused() -> None:
    with pytest.raises(InputError, match=r"but lacks the column ttime; it has: .*ab -g requests\.tsv"):
        AB_GNUPLOT.open(head("starttime\tseconds\tctime\tdtime\twait\n"))


def test_reports_are_told_from_the_log() -> None:
    assert AB_REPORT.matches(head(REPORT))
    assert AB_PERCENTILES.matches(head(PERCENTILES))
    for log in (LOG, "", "\n", "This is\n"):
        assert not AB_REPORT.matches(head(log))
        assert not AB_PERCENTILES.matches(head(log))
    for log in (REPORT, PERCENTILES, "", "seconds,ttime\n"):
        assert not AB_GNUPLOT.matches(head(log))
    assert "ab -g" in AB_REPORT.advice
    assert AB_PERCENTILES.advice == AB_REPORT.advice


def test_the_dialect_says_what_it_is_and_what_it_cannot_tell() -> None:
    assert (AB_GNUPLOT.key, AB_GNUPLOT.clock, AB_GNUPLOT.closed_loop) == ((), "epoch", True)
    (warning,) = AB_GNUPLOT.warnings(head(LOG), 1, {})
    assert "does not tell whether requests succeeded" in warning
    assert "latency" in dict(AB_GNUPLOT.open(head(LOG)).meaning)["ttime"]
