"""What is a call in a log of JMeter: the same in CSV and XML, in any order, however it is divided."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens.cli.executors import workforce
from tests.extent import examples, some_of
from tests.jmeter_runs import Element, calls, csv_rows, csv_text, run, xml_text

Row = tuple[object, ...]


def expected(elements: Sequence[Element]) -> Counter[Row]:
    return Counter((one.label, one.start / 1000, float(one.ms), one.ok) for one in elements)


def rows(paths: Path | list[Path], **options: str) -> Counter[Row]:
    log = loadlens.read_log(paths, **options)
    columns = ("label", "start_time", "invocation_latency", "success")
    return Counter(log.frame.select(columns).collect().rows())


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@examples(4)
@given(seed=st.integers(0, 10**6), files=st.integers(1, 4))
def test_csv_and_xml_of_one_run_hold_the_same_calls(tmp_path: Path, seed: int, files: int) -> None:
    elements = run(seed)
    truth = expected(calls(elements))
    assert rows(written(tmp_path, "run.xml", xml_text(elements))) == truth
    table = csv_rows(elements)
    assert rows(written(tmp_path, "run.jtl", csv_text(table))) == truth
    random.Random(seed).shuffle(table)
    parts = [table[number::files] for number in range(files)]
    paths = [written(tmp_path, f"{number}.jtl", csv_text(part)) for number, part in enumerate(parts)]
    assert rows([path for path, part in zip(paths, parts, strict=True) if part]) == truth


@pytest.mark.parametrize("seed", range(3))
def test_transactions_are_the_rows_at_their_level(tmp_path: Path, seed: int) -> None:
    elements = run(seed)
    truth = expected([one for element in elements for one in element.all() if one.is_sum])
    for name, text in (("run.jtl", csv_text(csv_rows(elements))), ("run.xml", xml_text(elements))):
        assert rows(written(tmp_path, name, text), level="transactions") == truth


@pytest.mark.parametrize("workers", some_of([None, 2], 2))
def test_a_log_rotated_between_a_transaction_and_its_samples(tmp_path: Path, workers: int | None) -> None:
    elements = run(5)
    table = csv_rows(elements)
    for number, (first, last) in enumerate(((0, 30), (30, 31), (31, len(table)))):
        written(tmp_path, f"run.jtl.{number}", csv_text(table[first:last]))
    with workforce(workers=workers) as work:
        summary = loadlens.summarize(tmp_path, by="label", executor=work.executor).summary
    truth = Counter(one.label for one in calls(elements))
    assert dict(summary.select("label", "num_invocations").rows()) == truth


LONE = "Number of samples in transaction : 3, number of failing samples : 0"


COLUMNS = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success"


def log(*lines: str, header: str = COLUMNS) -> str:
    return "\n".join((header, *lines)) + "\n"


def labels(folder: Path, text: str) -> list[str]:
    frame = loadlens.read_log(written(folder, "a.jtl", text)).frame.select("label").collect()
    return sorted(frame.get_column("label"))


@pytest.mark.parametrize(
    ("sample", "counted"),
    [
        ("1700000000100,50,a,200,OK,t 1,true", False),
        ("1700000000000,900,a,200,OK,t 1,true", False),
        ("1700000000100,50,a,200,OK,t 2,true", True),  # of another thread
        ("1700000000900,50,a,200,OK,t 1,true", True),  # after it
        ("1699999999900,100,a,200,OK,t 1,true", True),  # before it
        ("1700000000850,100,a,200,OK,t 1,true", True),  # beyond its end
    ],
)
def test_a_transaction_is_left_out_for_a_sample_of_its_thread_and_span(
    tmp_path: Path, sample: str, counted: bool
) -> None:
    total = f'1700000000000,900,Buy,200,"{LONE}",t 1,true'
    for lines in ((sample, total), (total, sample)):
        assert labels(tmp_path, log(*lines)) == (["Buy", "a"] if counted else ["a"])


@pytest.mark.parametrize(
    ("sample", "counted"),
    [
        ("1700000000000,100,Home-0,302,Found,t 1,true", False),
        ("1700000000100,800,Home-12,200,OK,t 1,true", False),
        ("1700000000100,80,Home-1-3,200,OK,t 1,true", False),
        ("1700000000100,80,Home-0,200,OK,t 2,true", True),
        ("1700000001000,80,Home-0,200,OK,t 1,true", True),
        ("1700000000100,80,Homes-0,200,OK,t 1,true", True),
        ("1700000000100,80,Home-x,200,OK,t 1,true", True),
    ],
)
def test_a_part_is_named_after_a_sample_around_it(tmp_path: Path, sample: str, counted: bool) -> None:
    page = "1700000000000,900,Home,200,OK,t 1,true"
    name = sample.split(",")[2]
    for lines in ((page, sample), (sample, page)):
        assert labels(tmp_path, log(*lines)) == sorted(["Home", *([name] if counted else [])])


def test_without_threads_only_samples_tell_and_it_is_said(tmp_path: Path) -> None:
    header = "timeStamp,elapsed,label,responseCode,responseMessage,success"
    lines = (f'1700000000000,900,Buy,200,"{LONE}",true', f'1700000000100,90,Pay,200,"{LONE}",true')
    assert labels(tmp_path, log(*lines, header=header)) == ["Buy", "Pay"]
    path = written(tmp_path, "b.jtl", log(*lines, "1700000000500,9,a,200,OK,true", header=header))
    found = loadlens.read_log(path)
    assert sorted(found.frame.collect().get_column("label")) == ["Pay", "a"]
    assert any("no column threadName" in text for text in found.findings.sentences())


def test_sums_of_several_samples_are_refused(tmp_path: Path) -> None:
    header = "timeStamp,elapsed,label,success,SampleCount,ErrorCount"
    path = written(tmp_path, "a.jtl", log("1700000000000,900,a,true,20,0", header=header))
    with pytest.raises(
        loadlens.InputError, match=r"a\.jtl: has rows with a SampleCount above 1: .*mode=Standard"
    ):
        loadlens.read_log(path, max_rejects="100%").frame.collect()
    xml = '<httpSample t="900" ts="1700000000000" s="true" lb="a" sc="20" ec="0"/>'
    path = written(tmp_path, "a.xml", f"<testResults>\n{xml}\n</testResults>")
    with pytest.raises(loadlens.InputError, match="mode=Standard"):
        loadlens.read_log(path).frame.collect()


def test_transactions_asked_of_a_log_without_any_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jtl", log("1700000000000,900,a,200,OK,t 1,true"))
    with pytest.raises(loadlens.InputError, match="has no rows to count, only 1 request"):
        loadlens.summarize(loadlens.read_log(path, level="transactions"), by=[])


def test_pauses_that_a_transaction_leaves_out_are_within_its_span(tmp_path: Path) -> None:
    lines = (
        f'1700000000000,30,Buy,200,"{LONE}",t 1,true,5000',
        "1700000003000,30,a,200,OK,t 1,true,0",
        "1700000006000,30,b,200,OK,t 1,true,0",
    )
    assert labels(tmp_path, log(*lines, header=f"{COLUMNS},IdleTime")) == ["a", "b"]


RECORDED = Path(__file__).parent / "recorded"


@pytest.mark.parametrize(
    ("name", "in_csv"),
    [("jmeter_transactions", {"Home": 12, "Pay": 12}), ("jmeter_parents", {"Buy": 12})],
)
def test_recorded_runs_hold_the_calls_that_the_plan_made(name: str, in_csv: dict[str, int]) -> None:
    """Three users did four times: Home (a redirect, a page and two images), then Pay, which fails.

    Recorded with JMeter 2.13 (Debian) against a server on loopback, CSV and XML at once. Its CSV has no
    header and holds no parts; of parents ("Generate parent sample") it holds no samples either.
    """
    calls = rows(RECORDED / f"{name}.jtl")
    assert Counter(label for label, *_ in calls.elements()) == in_csv
    nested = rows(RECORDED / f"{name}.xml")
    assert Counter(label for label, *_ in nested.elements()) == {"Home": 12, "Pay": 12}
    if "Home" in in_csv:
        assert calls == nested
    assert all(ok == (label == "Home") for label, _, _, ok in nested)
    transactions = [rows(RECORDED / f"{name}.{end}", level="transactions") for end in ("jtl", "xml")]
    assert transactions[0] == transactions[1]
    assert transactions[0].total() == 12


def test_transactions_that_count_beside_others_that_do_not_are_told(tmp_path: Path) -> None:
    lines = (
        f'1700000000000,30,Buy,200,"{LONE}",t 1,true',
        "1700000000010,9,a,200,OK,t 1,true",
        f'1700000001000,30,Buy,200,"{LONE}",t 1,true',
        "1700000002000,9,a,200,OK,t 1,true",
    )
    found = loadlens.read_log(written(tmp_path, "a.jtl", log(*lines)))
    assert sorted(found.frame.collect().get_column("label")) == ["Buy", "a", "a"]
    assert any("1 transaction controller counts as a call" in text for text in found.findings.sentences())
