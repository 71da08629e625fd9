"""From a file of any tool to its summary, against readings that share nothing with the package."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.dialects import DIALECTS
from loadlens.messages import CLOSED_LOOP, NO_CALENDAR
from tests import oracle, readings
from tests.dialect_logs import BLOCKWISE, KINDS, assert_summary, sample
from tests.extent import combinations, some_of

LOGS = Path(__file__).parents[3] / "shared" / "logs"
RECORDED = Path(__file__).parent / "recorded"
K6_RUN = LOGS / "k6" / "gateway_json_get_user_id_1000_r1.csv"
TOOLS = ("azure", "gatling", "jmeter", "k6", "locust", "vegeta")
FILES = [
    # Calls without a latency have tests of their own.
    *sorted(path for path in RECORDED.iterdir() if path.name != "locust_events.csv"),
    *[path for tool in TOOLS for path in sorted((LOGS / tool).glob("*"))],
    *sorted(LOGS.glob("toolkit-run/*/invocation_benchmark_results.csv")),
]

REFUSED = {
    "ab.txt": "is ApacheBench's report",
    "ab_post.txt": "is ApacheBench's report",
    "ab_percentiles.csv": "is ApacheBench's percentiles",
    "autocannon.json": "is autocannon's result",
    "autocannon.txt": "is autocannon's result",
    "hey_drop_summary.txt": "is hey's summary",
    "hey_flaky_summary.txt": "is hey's summary",
    "hey_items_summary.txt": "is hey's summary",
    "hey_summary.txt": "is hey's summary",
    "locust_exceptions.csv": "is a file of Locust's --csv",
    "locust_failures.csv": "is a file of Locust's --csv",
    "locust_stats.csv": "is a file of Locust's --csv",
    "locust_events_stats.json": "is Locust's statistics as JSON",
    "locust_fast_stats.json": "is Locust's statistics as JSON",
    "locust_stats.json": "is Locust's statistics as JSON",
    "locust_users_stats.json": "is Locust's statistics as JSON",
    "locust_workers_stats.json": "is Locust's statistics as JSON",
    "locust_stats_history.csv": "is a file of Locust's --csv",
    "gateway_json_get_user_id_1000_r1_summary.json": "is k6's summary as JSON",
    "siege.json": "is siege's result",
    "siege.log": "is siege's result",
    "siege.txt": "is siege's result",
    "taurus_locust-workers.ldjson": "is Locust's statistics as JSON",
    "taurus_nonstandard-unicode.jtl": "written by a plugin in a form of its own",
    "tomelia_quick_test.bin": "is vegeta's binary results (gob)",
    "vegeta_closed.bin.gz": "is vegeta's binary results (gob)",
    "vegeta_closed_report.json": "is a report of vegeta",
    "vegeta_mixed.bin.gz": "is vegeta's binary results (gob)",
    "vegeta_mixed_report.json": "is a report of vegeta",
    "vegeta_old.bin.gz": "is vegeta's binary results (gob)",
    "vegeta_old_report.json": "is a report of vegeta",
    "wine_results_exceptions.csv": "is a file of Locust's --csv",
    "wine_results_failures.csv": "is a file of Locust's --csv",
    "wine_results_stats.csv": "is a file of Locust's --csv",
    "wine_results_stats_history.csv": "is a file of Locust's --csv",
    "wrk.txt": "is what wrk or wrk2 prints",
    "wrk_latency.txt": "is what wrk or wrk2 prints",
}
"""Files that hold no calls that can be told, and why."""

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}

needs_logs = pytest.mark.skipif(not K6_RUN.exists(), reason="the recorded logs are not here")


def write(folder: Path, dialect: str, name: str = "log", *, rows: int = 120, seed: int = 1) -> Path:
    path = folder / name
    path.write_bytes(sample(dialect, rows, seed).data)
    return path


def summary(source: object, **options: str) -> pl.DataFrame:
    """The summary of a log by its natural key."""
    log = loadlens.read_log(source, **options)  # type: ignore[arg-type]
    return loadlens.summarize(log, log.key).summary


def test_every_dialect_has_a_log_here() -> None:
    assert {dialect.name for dialect in DIALECTS} == set(KINDS)


ABOUT_CALLS = ("calls with request_latency", "ns that request_latency is shorter")
"""Facts of calls, not of records beside them."""


@pytest.mark.parametrize("dialect", KINDS)
def test_a_log_is_known_by_its_content_and_summarised(tmp_path: Path, dialect: str) -> None:
    expected = sample(dialect)
    log = loadlens.read_log(write(tmp_path, dialect, "no_extension"))
    result = loadlens.summarize(log, log.key)
    assert [file.dialect.name for file in log.text] == [dialect]
    assert log.key == expected.key
    assert_summary(
        result.summary, oracle.summary(expected.truth, expected.key, logged_times=log.logged_times)
    )
    found = log.findings
    assert (found.rows, found.rejected) == (expected.truth.height, 0)
    facts = sum(count for what, count in found.facts.items() if what not in ABOUT_CALLS)
    assert found.left_out.total() + facts == expected.records


@pytest.mark.parametrize("dialect", KINDS)
def test_a_dialect_can_be_named(tmp_path: Path, dialect: str) -> None:
    path = write(tmp_path, dialect, rows=5)
    other = next(name for name in KINDS if name != dialect)
    assert loadlens.read_log(path, format=dialect).text[0].dialect.name == dialect
    with pytest.raises(loadlens.LoadlensError):
        summary(path, format=other)


@pytest.mark.parametrize("path", some_of(FILES, 5), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_recorded_logs_are_summarised_or_refused_for_a_reason(path: Path, tmp_path: Path) -> None:
    if path.name in REFUSED:
        with pytest.raises(loadlens.InputError) as caught:
            summary(path)
        assert REFUSED[path.name] in str(caught.value)
        return
    log = loadlens.read_log(path)
    if path.suffix == ".gz":
        plain = tmp_path / path.stem
        plain.write_bytes(gzip.decompress(path.read_bytes()))
    else:
        plain = path
    expected = readings.frame(plain, log.text[0].dialect.name)
    wanted = oracle.summary(expected, log.key, logged_times=log.logged_times)
    assert_summary(loadlens.summarize(log, log.key).summary, wanted)
    assert (log.findings.rows, log.findings.rejected) == (expected.height, 0)


BORDERS: dict[str, Callable[[bytes], bytes]] = {
    "blank lines before": lambda data: b"\n\r\n \n" + data,
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "both": lambda data: b"\xef\xbb\xbf\n\n" + data,
    "line ends of Windows": lambda data: data.replace(b"\n", b"\r\n"),
    "blank lines after": lambda data: data + b"\n\r\n\n",
    "no last line end": lambda data: data.removesuffix(b"\n"),
}


@pytest.mark.parametrize(("dialect", "border"), combinations(BLOCKWISE, BORDERS))
def test_what_is_around_the_lines_of_a_log_makes_no_difference(
    tmp_path: Path, dialect: str, border: str
) -> None:
    plain = write(tmp_path, dialect)
    changed = tmp_path / "changed"
    changed.write_bytes(BORDERS[border](plain.read_bytes()))
    log = loadlens.read_log(changed)
    assert [file.dialect.name for file in log.text] == [dialect]
    assert_frame_equal(log.frame.collect(), loadlens.scan_log(plain).collect())
    assert (log.findings.rows, log.findings.rejected) == (sample(dialect).truth.height, 0)


@pytest.mark.parametrize(
    ("dialect", "compression"),
    combinations([name for name in KINDS if name != "oha-sqlite"], COMPRESSIONS),
)
def test_compressed_copies_give_the_same(tmp_path: Path, dialect: str, compression: str) -> None:
    plain = write(tmp_path, dialect)
    packed = tmp_path / f"log.{compression}"
    packed.write_bytes(COMPRESSIONS[compression](plain.read_bytes()))
    assert_frame_equal(loadlens.scan_log(packed).collect(), loadlens.scan_log(plain).collect())


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compressed_copy_may_have_several_parts(tmp_path: Path, compression: str) -> None:
    data, path = sample("k6-csv").data, tmp_path / "log"
    path.write_bytes(b"".join(COMPRESSIONS[compression](part) for part in (data[:999], data[999:])))
    assert loadlens.scan_log(path).collect().height == 120


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("left", [-1, -5, -9, 0.5])
def test_a_compressed_copy_that_is_cut_off_is_refused(tmp_path: Path, compression: str, left: float) -> None:
    path = write(tmp_path, "jmeter-csv", rows=2000)
    packed = COMPRESSIONS[compression](path.read_bytes())
    path.write_bytes(packed[: int(left if left < 0 else left * len(packed))])
    with pytest.raises(loadlens.InputError, match="is damaged or cut off"):
        summary(path)


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_a_compressed_database_is_refused(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"log.{compression}"
    path.write_bytes(COMPRESSIONS[compression](sample("oha-sqlite").data))
    with pytest.raises(loadlens.InputError, match="decompress it first"):
        summary(path)


@needs_logs
def test_k6_figures_are_those_of_its_own_summary() -> None:
    told = json.loads(K6_RUN.with_name(f"{K6_RUN.stem}_summary.json").read_text(encoding="utf-8"))
    duration = told["metrics"]["http_req_duration"]
    values = duration.get("values", duration)
    for path in (K6_RUN, K6_RUN.with_suffix(".ndjson")):
        result = loadlens.summarize(path, by=[], outliers="none").summary.row(0, named=True)
        assert result["num_invocations"] == 1000
        for name, figure in (("mean", "avg"), ("median", "med"), ("p90", "p(90)"), ("p95", "p(95)")):
            assert result[f"invocation_latency_{name}"] == pytest.approx(values[figure], abs=1e-6)


@needs_logs
@pytest.mark.parametrize(
    ("tool", "names"),
    [
        ("k6", ("gateway_json_get_user_id_1000_r1.csv", "gateway_json_get_user_id_1000_r1.ndjson")),
        ("vegeta", ("converted_tomelia_quick_test.csv", "converted_tomelia_quick_test.ndjson")),
    ],
)
def test_two_formats_of_one_run_agree(tool: str, names: tuple[str, str]) -> None:
    one, other = (
        summary(LOGS / tool / name).select(pl.exclude(r"^tps_.*$", "throughput")) for name in names
    )  # k6's CSV has whole seconds only
    assert_frame_equal(one, other, rel_tol=1e-9)


def test_several_files_are_told_apart_by_their_names(tmp_path: Path) -> None:
    write(tmp_path, "jmeter-csv", "a.jtl", seed=1)
    write(tmp_path, "jmeter-csv", "b.jtl", seed=2)
    truth = pl.concat(
        sample("jmeter-csv", seed=seed).truth.with_columns(file=pl.lit(name))
        for seed, name in ((1, "a.jtl"), (2, "b.jtl"))
    )
    for source in (tmp_path, tmp_path / "*.jtl", [tmp_path / "a.jtl", tmp_path / "b.jtl"]):
        log = loadlens.read_log(source)
        assert log.key == ("label", "file")
        assert_summary(loadlens.summarize(log, log.key).summary, oracle.summary(truth, log.key))


@pytest.mark.parametrize("others", [(), ("hey-csv", "aiperf-jsonl")])
def test_dialects_may_be_mixed(tmp_path: Path, others: tuple[str, ...]) -> None:
    names = ("jmeter-csv", "jmeter-xml", "k6-csv", "k6-json", "vegeta-json", "gatling-binary", *others)
    for seed, dialect in enumerate(names):
        write(tmp_path, dialect, f"{dialect}.csv", seed=seed)
    truths = [
        sample(dialect, seed=seed).truth.with_columns(file=pl.lit(f"{dialect}.csv"))
        for seed, dialect in enumerate(names)
    ]
    log = loadlens.read_log(tmp_path)
    got = loadlens.summarize(log, log.key).summary.sort(log.key, nulls_last=True)
    expected = oracle.summary(pl.concat(truths, how="diagonal"), log.key)
    assert log.key == (("file",) if others else ("label", "file"))
    assert_summary(got, expected)


def test_a_log_without_success_beside_one_with_it_counts_by_its_latency(tmp_path: Path) -> None:
    write(tmp_path, "jmeter-csv", "a.jtl")
    (tmp_path / "b.csv").write_text("invocation_latency,label\n12.5,x\n-1,x\n,x\n", encoding="utf-8")
    log = loadlens.read_log([tmp_path / "a.jtl", tmp_path / "b.csv"])
    rows = {row["label"]: row for row in loadlens.summarize(log, ["label"]).summary.to_dicts()}
    assert (rows["x"]["num_invocations"], rows["x"]["num_errors"]) == (2, 2)
    assert rows["/b"]["num_errors"] == sample("jmeter-csv").truth.filter(label="/b", success=False).height


def test_text_and_parquet_may_be_mixed(tmp_path: Path) -> None:
    path = write(tmp_path, "jmeter-csv", "a.jtl")
    loadlens.scan_log(path).collect().write_parquet(tmp_path / "b.parquet")
    both = loadlens.read_log(tmp_path, force=True)  # the same calls, which are refused else
    once, twice = (loadlens.summarize(source, ["label"]).summary for source in (path, both))
    assert twice["num_invocations"].to_list() == [2 * count for count in once["num_invocations"]]
    names = [name for name in once.columns if name.startswith("invocation_latency_m")]
    assert_frame_equal(twice.select("label", *names[:-1]), once.select("label", *names[:-1]), rel_tol=1e-2)


def test_keys_of_names(tmp_path: Path) -> None:
    for seed in (2, 10):
        write(tmp_path, "k6-csv", f"run_{seed}.csv", seed=seed)
    log = loadlens.read_log(tmp_path, key_from_name=r"run_(?P<run>\d+)")
    assert log.key == ("label", "method", "run", "file")
    got = loadlens.summarize(log, ["run"]).summary
    assert got["run"].to_list() == [2, 10]
    truth = pl.concat(sample("k6-csv", seed=seed).truth.with_columns(run=pl.lit(seed)) for seed in (2, 10))
    assert_summary(got, oracle.summary(truth, ["run"]))


def test_a_key_of_names_is_not_lost_to_a_column_of_that_name(tmp_path: Path) -> None:
    for name in ("fast", "slow"):
        write(tmp_path, "k6-csv", f"{name}.csv", rows=3)
    with pytest.raises(loadlens.LoadlensError, match="method"):
        loadlens.read_log(tmp_path, key_from_name=r"(?P<method>fast|slow)")


WRITERS = {
    "csv": pl.DataFrame.write_csv,
    "ndjson": pl.DataFrame.write_ndjson,
    "parquet": pl.DataFrame.write_parquet,
    "arrow": pl.DataFrame.write_ipc,
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_log_of_a_map(tmp_path: Path, suffix: str) -> None:
    truth = sample("jmeter-csv").truth
    path = pl.lit("https://host/") + pl.col("label").str.strip_chars_start("GET /") + pl.lit("?t=1")
    rows = truth.select(
        elapsed=pl.col("invocation_latency") / 1000,
        ts=(pl.col("end_time") * 1000).round().cast(pl.Int64),
        status=pl.when("success").then(200).otherwise(503),
        url=path.str.replace("//", "//me:secret@"),
    )
    WRITERS[suffix](rows, tmp_path / f"log.{suffix}")
    entries = ["latency=elapsed:s", "end=ts:epoch_ms", "success=status<400", "label=url"]
    log = loadlens.read_log(tmp_path, column_map=entries)
    assert log.key == ("label",)
    expected = oracle.summary(truth.with_columns(label=path), ["label"])
    assert_summary(loadlens.summarize(log, log.key).summary, expected)


def test_warnings_are_those_of_each_file_alone(tmp_path: Path) -> None:
    sums = "Number of samples in transaction : 2, number of failing samples : 0"
    for name, rows in (("a.jtl", 1), ("b.jtl", 2)):
        path = write(tmp_path, "jmeter-csv", name)
        extra = f'1700000000000,99999,All,200,"{sums}",g 1,true,1\n' * rows
        path.write_bytes(path.read_bytes() + extra.encode())
    log = loadlens.read_log(tmp_path)
    loadlens.summarize(log, log.key)
    found = [text for text in log.findings.sentences() if "transaction controller" in text]
    assert [text.split(":")[0] for text in found] == [str(tmp_path / name) for name in ("a.jtl", "b.jtl")]
    assert [text.split(": ")[1][0] for text in found] == ["1", "2"]
    assert log.findings.left_out == {"transaction controllers": 3}


def test_a_copy_in_a_folder_of_partitions_has_their_columns(tmp_path: Path) -> None:
    folder = tmp_path / "region=eu"
    folder.mkdir()
    shutil.move(write(tmp_path, "vegeta-csv"), folder / "a.csv")
    assert loadlens.summarize(tmp_path, ["region"]).summary["region"].to_list() == ["eu"]


def test_what_is_so_of_every_such_log_is_told_last_and_once(tmp_path: Path) -> None:
    for seed, dialect in enumerate(("hey-csv", "jmeter-csv", "oha-csv", "hey-csv")):
        write(tmp_path, dialect, f"{seed}.csv", seed=seed)
    (tmp_path / "4.csv").write_bytes(
        sample("jmeter-csv", rows=9, seed=9).data + b"1600000000000,1,a,200,OK,g,true,1\n"
    )
    log = loadlens.read_log(tmp_path)
    loadlens.summarize(log, ["file"])
    told = log.findings.sentences(3)
    assert [text.split(": ", 1)[1] for text in told[-2:]] == [CLOSED_LOOP, NO_CALENDAR]
    assert sum("coordinated omission" in text for text in told) == 1
    assert log.findings.document(3)["warnings"] == told
