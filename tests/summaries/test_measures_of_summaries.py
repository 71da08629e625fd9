"""Further durations of the calls, against pandas, from frames and from the logs of tools."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

import loadlens
from loadlens.charts import parts_chart
from loadlens.cli import app
from loadlens.errors import InputError, UsageError
from loadlens.logs import Reading
from loadlens.summaries.parts import dominant_part
from tests.charts.curves import mark_of, rows_of, valid

FIGURES = {
    "min_ms": 0.0,
    "median_ms": 0.5,
    "p90_ms": 0.9,
    "p95_ms": 0.95,
    "p99_ms": 0.99,
    "p999_ms": 0.999,
    "max_ms": 1.0,
}
SHARED = Path(__file__).parents[3] / "shared" / "logs"


def calls(rows: int = 3000, seed: int = 8) -> pl.DataFrame:
    """Calls that connect now and then, wait and receive; some failed, some do not tell their first byte."""
    random = np.random.default_rng(seed)
    connect = np.where(random.uniform(size=rows) < 0.2, random.exponential(9, rows), 0.0)
    wait, receive = random.lognormal(3, 0.5, rows), random.exponential(2, rows)
    known = random.uniform(size=rows) < 0.95
    start = np.sort(random.uniform(0, 60, rows))
    latency = connect + wait + receive
    return pl.DataFrame(
        {
            "label": random.choice(["login", "pay"], rows),
            "invocation_latency": latency,
            "success": random.uniform(size=rows) < 0.9,
            "connect_ms": connect,
            "first_byte_ms": pl.Series(np.where(known, connect + wait, np.nan), nan_to_null=True),
            "ttfb_s": (connect + wait) / 1000,
            "start_time": start,
            "end_time": start + latency / 1000,
        }
    )


def assert_figures(found: pl.DataFrame, measure: str, values: pd.Series, keys: pd.Series | None) -> None:
    """Figures of one measure are those of pandas, exactly but for rounding."""
    own = found.filter(pl.col("measure") == measure)
    groups = values.groupby(keys) if keys is not None else values.groupby(lambda _: 0)
    assert own["count"].to_list() == groups.count().tolist()
    for name, quantile in FIGURES.items():
        np.testing.assert_allclose(own[name].to_numpy(), groups.quantile(quantile), rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(own["mean_ms"].to_numpy(), groups.mean(), rtol=1e-12)


def assert_as_pandas(result: loadlens.SummaryResult, log: pl.DataFrame) -> None:
    good = log.filter("success").to_pandas()
    for name, column, factor in (("connect", "connect_ms", 1), ("ttfb", "ttfb_s", 1000)):
        assert_figures(result.measures, name, good[column] * factor, good["label"])
        share = good[column].groupby(good["label"]).sum() * factor
        share /= good["invocation_latency"].groupby(good["label"]).sum()
        own = result.measures.filter(pl.col("measure") == name)
        np.testing.assert_allclose(own["share"].to_numpy(), share, rtol=1e-12)
    assert_figures(result.measures, "first_byte", good["first_byte_ms"], good["label"])


MEASURES = ["connect", "first_byte", "ttfb=ttfb_s:s"]


def test_measures_of_a_frame_are_exact():
    log = calls()
    assert_as_pandas(loadlens.summarize(log, by=["label"], measures=MEASURES), log)


def test_measures_of_text_are_exact(tmp_path: Path):
    log = calls()
    log.write_csv(tmp_path / "log.csv")
    reread = loadlens.summarize(tmp_path / "log.csv", by=["label"], measures=MEASURES)
    assert_as_pandas(reread, log)


def test_measures_of_workers_are_exact(tmp_path: Path):
    log = calls()
    log.write_parquet(tmp_path / "log.parquet", row_group_size=500)
    with ThreadPoolExecutor(2) as pool:
        result = loadlens.summarize(
            tmp_path, by=["label"], measures=MEASURES, executor=pool, partition_rows=1000
        )
    assert_as_pandas(result, log)


def test_measures_through_a_temporary_file_are_exact():
    log = calls()
    assert_as_pandas(loadlens.summarize(log.lazy(), by=["label"], measures=MEASURES), log)


def test_measures_of_one_pass_are_off_by_their_bound():
    log = calls()
    good = log.filter("success").to_pandas()
    found = loadlens.summarize(log, by=[], measures=["connect"], exact=False).measures
    np.testing.assert_allclose(found["p99_ms"][0], good["connect_ms"].quantile(0.99), rtol=1 / 512)
    np.testing.assert_allclose(found["mean_ms"][0], good["connect_ms"].mean(), rtol=1e-12)


def test_measures_of_a_saved_profile(tmp_path: Path):
    log = calls()
    loadlens.profile_log(log, tmp_path / "a.profile", by=["label"], measures=["connect"])
    found = loadlens.summarize(tmp_path / "a.profile", by=[], measures=["connect"]).measures
    good = log.filter("success").to_pandas()
    np.testing.assert_allclose(found["p90_ms"][0], good["connect_ms"].quantile(0.9), rtol=1 / 512)
    with pytest.raises(InputError, match="has no measure first_byte; durations that it has: connect"):
        loadlens.summarize(tmp_path / "a.profile", measures=["first_byte"])


def test_parts_come_to_the_mean_latency():
    log = calls()
    result = loadlens.summarize(log, by=["label"], measures=["connect", "first_byte"])
    good = log.filter("success").to_pandas()
    means = (
        good.fillna({"first_byte_ms": 0.0})
        .groupby("label")[["connect_ms", "first_byte_ms", "invocation_latency"]]
        .mean()
    )
    expected = {
        "connect": means["connect_ms"],
        "first_byte without connect": means["first_byte_ms"] - means["connect_ms"],
        "rest": means["invocation_latency"] - means["first_byte_ms"],
    }
    for part, values in expected.items():
        own = result.parts.filter(pl.col("part") == part)
        np.testing.assert_allclose(own["mean_ms"].to_numpy(), values, rtol=1e-9)
    assert result.parts.group_by("label").agg(pl.col("share").sum())["share"].to_list() == pytest.approx(
        [1, 1]
    )


def test_the_part_that_dominates_is_told():
    log = calls()
    parts = loadlens.summarize(log, by=["label"], measures=["connect", "first_byte"]).parts
    told = dominant_part(parts)
    assert told.startswith(
        "Most of the latency in every configuration is first_byte without connect (time to"
    )
    assert "; rest is next with " in told
    assert dominant_part(loadlens.summarize(log, by=[], measures=["connect"]).parts) == ""
    assert dominant_part(parts.clear()) == ""


def test_no_measure_is_no_row_and_no_cost():
    result = loadlens.summarize(calls(200), by=["label"])
    assert result.measures.columns[:2] == ["label", "measure"]
    assert result.measures.is_empty()
    assert result.parts.is_empty()
    assert result.profile.measures == {}
    valid(parts_chart(result.parts, ["label"]))


@pytest.mark.parametrize("by", [["label"], []])
def test_without_measures_there_are_no_rows_whatever_the_key(by: list[str]):
    result = loadlens.summarize(calls(), by=by)
    assert result.measures.is_empty()
    assert result.parts.is_empty()


def test_a_measure_that_is_not_there_is_refused_before_a_row_is_read():
    with pytest.raises(InputError, match=r"has no measure tls; durations that it has: connect, first_byte"):
        loadlens.summarize(calls(10), measures=["tls"])
    with pytest.raises(InputError, match=r"has no measure all; it has no further durations"):
        loadlens.summarize(calls(10).select("invocation_latency"), measures=["all"])
    with pytest.raises(UsageError, match="named twice"):
        loadlens.summarize(calls(10), measures=["connect", "connect"])


JMETER = (
    "timeStamp,elapsed,label,responseCode,success,Latency,Connect\n"
    "1700000000000,100,home,200,true,80,30\n"
    "1700000001000,200,home,200,true,150,0\n"
    "1700000002000,50,home,500,false,40,5\n"
    "1700000003000,70,pay,200,true,70,10\n"
)
JMETER_XML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<testResults version="1.2">\n'
    '<httpSample t="100" lt="80" ct="30" ts="1700000000000" s="true" lb="home" rc="200"/>\n'
    '<httpSample t="200" lt="150" ct="0" ts="1700000001000" s="true" lb="home" rc="200"/>\n'
    '<httpSample t="70" lt="70" ct="10" ts="1700000003000" s="true" lb="pay" rc="200"/>\n'
    "</testResults>\n"
)
HEY = (
    "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
    "0.0087,0.0047,0.0042,0.0001,0.0019,0.0001,200,0.0016\n"
    "0.0040,0.0000,0.0000,0.0002,0.0036,0.0002,200,0.0103\n"
)
OHA = (
    "request-start,DNS,DNS+dialup,Response-delay,request-duration,bytes,status\n"
    "0.002211678,0.000374078,0.001148565,0.002619327,0.002626127,11,200\n"
)
LAMBDA = "".join(
    f"2026-11-22T10:00:0{second}.000Z REPORT RequestId: {second}a{second}-1\tDuration: {duration} ms\t"
    f"Billed Duration: {billed} ms\tMemory Size: 512 MB\tMax Memory Used: 80 MB{init}\n"
    for second, duration, billed, init in (
        (1, "12.50", 13, "\tInit Duration: 250.25 ms"),
        (2, "8.00", 8, ""),
        (3, "9.00", 9, ""),
    )
)


AIPERF = "".join(
    json.dumps(
        {
            "metadata": {
                "request_start_ns": (10**9 + number) * 10**9,
                "request_end_ns": (10**9 + number) * 10**9 + 500_000_000,
                "benchmark_phase": "profiling",
            },
            "metrics": {"request_latency": {"value": 500, "unit": "ms"}, **first},
            "error": None,
        }
    )
    + "\n"
    for number, first in enumerate(
        [
            {"time_to_first_token": {"value": 120.5, "unit": "ms"}},
            {"time_to_first_token": {"value": 80, "unit": "ms"}},
            {},
        ]
    )
)


@pytest.mark.parametrize(
    ("log", "measure", "expected"),
    [
        (("run.jtl", JMETER, ["label"]), "connect", [(2, 0.0, 15.0, 30.0), (1, 10.0, 10.0, 10.0)]),
        (("run.jtl", JMETER, ["label"]), "first_byte", [(2, 80.0, 115.0, 150.0), (1, 70.0, 70.0, 70.0)]),
        (("run.xml", JMETER_XML, ["label"]), "connect", [(2, 0.0, 15.0, 30.0), (1, 10.0, 10.0, 10.0)]),
        (("run.xml", JMETER_XML, ["label"]), "first_byte", [(2, 80.0, 115.0, 150.0), (1, 70.0, 70.0, 70.0)]),
        (("hey.csv", HEY, []), "connect", [(2, 0.0, 2.35, 4.7)]),
        (("hey.csv", HEY, []), "dns", [(2, 0.0, 2.1, 4.2)]),
        (("hey.csv", HEY, []), "sending", [(2, 0.1, 0.15, 0.2)]),
        (("hey.csv", HEY, []), "waiting", [(2, 1.9, 2.75, 3.6)]),
        (("hey.csv", HEY, []), "receiving", [(2, 0.1, 0.15, 0.2)]),
        (("oha.csv", OHA, []), "first_byte", [(1, 2.619327, 2.619327, 2.619327)]),
        (("aiperf.jsonl", AIPERF, []), "first_token", [(2, 80.0, 100.25, 120.5)]),
        (("lambda.log", LAMBDA, []), "init", [(1, 250.25, 250.25, 250.25)]),
    ],
)
def test_durations_of_tools(
    log: tuple[str, str, list[str]], measure: str, expected: list[tuple[float, ...]], tmp_path: Path
):
    name, text, by = log
    (tmp_path / name).write_text(text)
    for asked in (measure, "all"):
        found = loadlens.summarize(tmp_path / name, by=by, measures=[asked]).measures
        own = found.filter(pl.col("measure") == measure).select("count", "min_ms", "mean_ms", "max_ms")
        assert own.rows() == [pytest.approx(row) for row in expected]


def test_logs_have_durations_on_request_alone(tmp_path: Path):
    (tmp_path / "run.jtl").write_text(JMETER)
    assert "connect_ms" not in loadlens.scan_log(tmp_path / "run.jtl").collect_schema()
    log = loadlens.read_log(tmp_path / "run.jtl", durations=True)
    assert log.frame.collect()["first_byte_ms"].to_list() == [80.0, 150.0, 40.0, 70.0]


def test_a_broken_duration_rejects_its_row_only_where_it_is_asked_for(tmp_path: Path):
    (tmp_path / "run.jtl").write_text(JMETER.replace(",80,30", ",80,-3"))
    loadlens.summarize(tmp_path / "run.jtl")
    with pytest.raises(InputError, match="Connect"):
        loadlens.summarize(tmp_path / "run.jtl", measures=["connect"])


def test_an_analysis_has_them_in_each_output(tmp_path: Path):
    (tmp_path / "run.jtl").write_text(JMETER)
    out = tmp_path / "out"
    arguments = ["analyze", str(tmp_path / "run.jtl"), "--measure", "all", "--out", str(out), "--quiet"]
    run = CliRunner().invoke(app, [*arguments, "--chart-format", "svg"])
    assert run.exit_code == 0, run.output
    table = pl.read_csv(out / "measures.csv")
    assert table.columns[:4] == ["label", "measure", "count", "share"]
    assert table["measure"].to_list() == ["connect", "first_byte"] * 2
    document = json.loads((out / "summary.json").read_text())
    assert [row["p99_ms"] for row in document["measures"]] == table["p99_ms"].to_list()
    assert {row["part"] for row in document["parts"]} == {"connect", "first_byte without connect", "rest"}
    page = (out / "report.html").read_text()
    assert 'id="where-the-time-goes"' in page
    assert "What the mean latency is made of" in page
    assert (out / "charts" / "parts.svg").stat().st_size > 1000


def test_a_chart_has_a_bar_for_each_of_the_slowest_keys():
    keys = [f"page {number:02}" for number in range(25)]
    parts = pl.DataFrame(
        {
            "label": keys * 2,
            "part": ["wait"] * 25 + ["rest"] * 25,
            "mean_ms": [*map(float, range(1, 26)), *([1.0] * 25)],
        }
    )
    spec = valid(parts_chart(parts, ["label"]))
    bar = mark_of(spec, "bar")
    assert bar["encoding"]["y"]["scale"]["domain"] == keys[:4:-1]
    assert bar["encoding"]["color"]["scale"]["domain"] == ["wait", "rest"]
    assert len(rows_of(bar)) == 40
    assert "the 20 slowest of 25 configurations" in spec["title"]["subtitle"]


@pytest.mark.parametrize(("by", "shown"), [(["label"], ""), ([], "all calls")])
def test_an_empty_name_is_not_all_calls(by: list[str], shown: str):
    parts = pl.DataFrame({"label": [""], "part": ["rest"], "mean_ms": [1.0]})
    spec = valid(parts_chart(parts, by))
    assert spec["encoding"]["y"]["scale"]["domain"] == [shown]


def test_recorded_runs_have_the_durations_that_pandas_reads():
    path = SHARED / "jmeter" / "taurus_simple.kpi.jtl"
    if not path.exists():
        pytest.skip("recorded logs are not here")
    raw = pd.read_csv(path)
    good = raw[raw["success"]]
    found = loadlens.summarize(path, by=["label"], measures=["all"]).measures.filter(pl.col("count") > 0)
    assert_figures(found, "connect", good["Connect"], good["label"])
    assert_figures(found, "first_byte", good["Latency"], good["label"])


def test_reading_says_whether_durations_are_read():
    assert Reading().measuring(["connect"]).durations
    assert not Reading().measuring([]).durations


def test_measures_of_a_log_beside_a_profile(tmp_path: Path):
    log = calls()
    loadlens.profile_log(log[:1000], tmp_path / "a.profile", by=["label"], measures=["connect"])
    log[1000:].write_parquet(tmp_path / "b.parquet")
    found = loadlens.summarize(
        [tmp_path / "a.profile", tmp_path / "b.parquet"], measures=["connect"]
    ).measures
    good = log.filter("success").to_pandas()
    assert found["count"].to_list() == good.groupby("label")["connect_ms"].count().tolist()
    np.testing.assert_allclose(found["mean_ms"].to_numpy(), good.groupby("label")["connect_ms"].mean())
