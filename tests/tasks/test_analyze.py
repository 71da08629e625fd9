import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.errors import InputError, OutputError, PriceError, UsageError
from loadlens.logs import open_log
from loadlens.schema import ERROR_COLUMNS
from loadlens.summaries.summary_columns import MOST_KEYS
from loadlens.tasks.analysis_run import LogAnalysis, ToolkitAnalysis, analyze
from tests.extent import some_of
from tests.folders import (
    CONCURRENCY,
    CONCURRENCY_FILES,
    COST_FILES,
    EXAMPLES,
    LOG,
    METRICS,
    REPORT,
    RESULT_FILES,
    STABILITY,
    STABILITY_FILES,
    as_csv,
    assert_log_files,
    files_below,
    leave_out_drawings,
    results_folder,
    tree,
)
from tests.sample_logs import small_log

pytestmark = pytest.mark.usefixtures("no_drawings")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_folder(tmp_path_factory.mktemp("simulated") / "run")


@pytest.fixture
def folder(simulated: Path, tmp_path: Path) -> Path:
    """A results folder that a test may change."""
    return Path(shutil.copytree(simulated, tmp_path / "run"))


@pytest.fixture(scope="module")
def whole(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ToolkitAnalysis, Path]:
    """The analysis of the whole results folder, and where its files are."""
    out = tmp_path_factory.mktemp("analysed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        leave_out_drawings(patch)
        return toolkit_analysis(simulated, out), out


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "log.csv"
    path.parent.mkdir()
    small_log().write_csv(path)
    return path


def toolkit_analysis(folder: Path, out: Path, **options: Any) -> ToolkitAnalysis:
    analysis = analyze([folder], out, **options)
    assert isinstance(analysis, ToolkitAnalysis)
    return analysis


def log_analysis(inputs: list[Path], out: Path, **options: Any) -> LogAnalysis:
    analysis = analyze(inputs, out, **options)
    assert isinstance(analysis, LogAnalysis)
    return analysis


def strict_json(path: Path) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{path} holds {constant}, which is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def assert_file_holds(path: Path, frame: pl.DataFrame | None) -> None:
    """Asserts that a CSV file has exactly the columns, rows and digits of a frame."""
    assert frame is not None
    assert path.read_text(encoding="utf-8").splitlines()[0] == ",".join(frame.columns)
    assert_frame_equal(pl.read_csv(path, schema=frame.schema), frame, check_exact=True)


def test_a_results_folder_gives_every_file_and_none_else(whole: tuple[ToolkitAnalysis, Path]) -> None:
    assert files_below(whole[1]) == RESULT_FILES


def test_files_hold_the_frames_of_the_result(whole: tuple[ToolkitAnalysis, Path]) -> None:
    analysis, out = whole
    assert analysis.stability is not None
    assert analysis.concurrency is not None
    assert analysis.cost is not None
    parts: dict[str, dict[str, pl.DataFrame | None]] = {
        "stability_benchmark": {
            "invocation_benchmark_summary": analysis.stability.summary,
            "endpoint_metrics_summary": analysis.stability.endpoint_metrics,
        },
        "concurrency_benchmark": {
            "concurrency_benchmark_summary": analysis.concurrency.summary,
            "endpoint_metrics_summary": analysis.concurrency.endpoint_metrics,
        },
        "cost_analysis": {
            "metrics_with_cost": analysis.cost.metrics_with_cost,
            "cost_savings_summary": analysis.cost.savings,
        },
    }
    for part, frames in parts.items():
        for name, frame in frames.items():
            assert_file_holds(out / f"{part}_summary_results" / f"{name}.csv", frame)


def test_text_files_are_utf_8_with_newlines(whole: tuple[ToolkitAnalysis, Path]) -> None:
    texts = [path for path in whole[1].rglob("*") if path.suffix in {".csv", ".html", ".json"}]
    assert len(texts) == 8
    for path in texts:
        content = path.read_bytes()
        assert content.decode("utf-8")
        assert b"\r" not in content


def test_summary_json_is_the_document(whole: tuple[ToolkitAnalysis, Path], simulated: Path) -> None:
    analysis, out = whole
    document = strict_json(out / "summary.json")
    assert document == analysis.document
    assert document["inputs"] == [str(simulated)]
    assert document["loadlens_version"] == loadlens.__version__
    assert document["options"] == {"outliers": "mean-iqr", "prices": "sagemaker-serverless.toml"}
    assert [row["memory_size"] for row in document["stability"]["summary"]] == list(range(1024, 6145, 1024))
    assert document["no_cost_reason"] is None
    assert document["cost"]["optimal_memory_config"] > 0


def test_figures_are_those_of_the_public_functions(
    whole: tuple[ToolkitAnalysis, Path], simulated: Path
) -> None:
    analysis = whole[0]
    stability = loadlens.summarize_stability_results(
        simulated / STABILITY, simulated / STABILITY / f"{METRICS}.csv"
    )
    concurrency = loadlens.summarize_concurrency_results(
        simulated / CONCURRENCY, simulated / CONCURRENCY / f"{METRICS}.csv"
    )
    assert stability.endpoint_metrics is not None
    assert stability.average_response_size is not None
    assert analysis.stability is not None
    assert analysis.concurrency is not None
    assert analysis.cost is not None
    cost = loadlens.compute_cost_savings(
        stability.endpoint_metrics, analysis.cost.average_request_size, stability.average_response_size
    )
    assert_frame_equal(analysis.stability.summary, stability.summary, rel_tol=1e-9)
    assert_frame_equal(analysis.concurrency.summary, concurrency.summary, rel_tol=1e-9)
    assert_frame_equal(analysis.cost.metrics_with_cost, cost.metrics_with_cost, rel_tol=1e-9)
    assert_frame_equal(analysis.cost.savings, cost.savings, rel_tol=1e-9)


def test_logs_as_csv_give_the_same_figures(
    whole: tuple[ToolkitAnalysis, Path], folder: Path, tmp_path: Path
) -> None:
    for part in (STABILITY, CONCURRENCY):
        as_csv(folder / part / f"{LOG}.parquet")
    analysis = toolkit_analysis(folder, tmp_path / "out")
    for mine, theirs in (
        (analysis.stability, whole[0].stability),
        (analysis.concurrency, whole[0].concurrency),
    ):
        assert mine is not None
        assert theirs is not None
        assert_frame_equal(mine.summary, theirs.summary, rel_tol=1e-9)


def test_parquet_is_preferred_to_csv(
    whole: tuple[ToolkitAnalysis, Path], folder: Path, tmp_path: Path
) -> None:
    for part in (STABILITY, CONCURRENCY):
        (folder / part / f"{LOG}.csv").write_text("not,a,log\n1,2,3\n")
        os.utime(folder / part / f"{LOG}.csv", ns=(1, 1))  # a newer one would be read
        metrics = folder / part / f"{METRICS}.csv"
        pl.read_csv(metrics, infer_schema_length=None).write_parquet(metrics.with_suffix(".parquet"))
        metrics.write_text("not,endpoint,metrics\n1,2,3\n")
        os.utime(metrics, ns=(1, 1))
    analysis = toolkit_analysis(folder, tmp_path / "out")
    assert analysis.stability is not None
    assert whole[0].stability is not None
    assert_frame_equal(analysis.stability.summary, whole[0].stability.summary, rel_tol=1e-9)
    assert analysis.cost is not None
    assert files_below(tmp_path / "out") == RESULT_FILES


def assert_no_cost(analysis: ToolkitAnalysis, out: Path, reason: str) -> None:
    """Asserts that there is no cost part and that the result, the report and summary.json say why."""
    assert analysis.cost is None
    assert analysis.no_cost_reason is not None
    assert reason in analysis.no_cost_reason
    assert analysis.no_cost_reason in (out / REPORT).read_text(encoding="utf-8")
    document = strict_json(out / "summary.json")
    assert document["cost"] is None
    assert document["no_cost_reason"] == analysis.no_cost_reason


def test_the_stability_part_alone(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / CONCURRENCY)
    out = tmp_path / "out"
    analysis = toolkit_analysis(folder, out)
    assert analysis.concurrency is None
    assert analysis.cost is not None
    assert files_below(out) == RESULT_FILES - CONCURRENCY_FILES
    assert strict_json(out / "summary.json")["concurrency"] is None


def test_the_concurrency_part_alone(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / STABILITY)
    out = tmp_path / "out"
    analysis = toolkit_analysis(folder, out)
    assert analysis.stability is None
    assert files_below(out) == RESULT_FILES - STABILITY_FILES - COST_FILES
    assert_no_cost(analysis, out, "no stability benchmark")


def test_without_endpoint_metrics(folder: Path, tmp_path: Path) -> None:
    for part in (STABILITY, CONCURRENCY):
        (folder / part / f"{METRICS}.csv").unlink()
    out = tmp_path / "out"
    analysis = toolkit_analysis(folder, out)
    assert analysis.stability is not None
    assert analysis.stability.endpoint_metrics is None
    without = {name for name in RESULT_FILES if name.endswith("endpoint_metrics_summary.csv")}
    assert files_below(out) == RESULT_FILES - COST_FILES - without
    assert_no_cost(analysis, out, "endpoint metrics")


def test_without_example_requests(folder: Path, tmp_path: Path) -> None:
    (folder / EXAMPLES).unlink()
    analysis = toolkit_analysis(folder, tmp_path / "out")
    assert files_below(tmp_path / "out") == RESULT_FILES - COST_FILES
    assert_no_cost(analysis, tmp_path / "out", "example requests")


def test_without_a_successful_call(folder: Path, tmp_path: Path) -> None:
    path = folder / STABILITY / f"{LOG}.parquet"
    failed = pl.read_parquet(path).with_columns(
        invocation_latency=pl.lit(-1.0), response_size=pl.lit(None, dtype=pl.Int64)
    )
    failed.write_parquet(path)
    analysis = toolkit_analysis(folder, tmp_path / "out")
    assert analysis.stability is not None
    assert analysis.stability.summary["successful_invocations"].to_list() == [0] * 6
    assert_no_cost(analysis, tmp_path / "out", "No call of the stability benchmark succeeded")


def test_endpoint_metrics_without_model_latency(folder: Path, tmp_path: Path) -> None:
    path = folder / STABILITY / f"{METRICS}.csv"
    metrics = pl.read_csv(path, infer_schema_length=None)
    metrics.filter(pl.col("metric_name") != "ModelLatency").write_csv(path)
    analysis = toolkit_analysis(folder, tmp_path / "out")
    assert_no_cost(analysis, tmp_path / "out", "ModelLatency")


def test_a_memory_size_without_a_price_is_an_error(folder: Path, tmp_path: Path) -> None:
    path = folder / STABILITY / f"{METRICS}.csv"
    path.write_text(path.read_text().replace("6144", "7168"))
    before = tree(tmp_path)
    with pytest.raises(PriceError, match="7168"):
        analyze([folder], tmp_path / "out")
    assert tree(tmp_path) == before


def test_any_other_log_gives_every_file_and_none_else(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    analysis = log_analysis([log], out, by=["num_clients"])
    assert_log_files(out, "png")
    assert_file_holds(out / "summary.csv", analysis.summary.summary)
    assert strict_json(out / "summary.json") == analysis.document
    assert analysis.document["by"] == ["num_clients"]
    assert analysis.document["inputs"] == [str(log)]


@pytest.mark.slow
def test_the_natural_key_is_what_the_log_has(tmp_path: Path) -> None:
    frame = small_log().with_columns(label=pl.lit("predict"), region=pl.lit("eu"))
    keys = [
        ["label", "max_concurrency", "num_clients", "memory_size"],
        ["max_concurrency", "num_clients", "memory_size"],
        ["memory_size"],
        ["label", "num_clients"],
        [],
    ]
    others = [name for name in frame.columns if name not in keys[0]]
    for number, key in enumerate(keys):
        path = tmp_path / f"{number}.parquet"
        frame.select(others + key[::-1]).write_parquet(path)
        analysis = log_analysis([path], tmp_path / f"out{number}")
        assert list(analysis.summary.by) == key
        assert analysis.summary.summary.columns[: len(key)] == key
    assert analysis.summary.summary.height == 1
    assert analysis.summary.summary["num_invocations"].item() == frame["invocation_latency"].count()


def test_several_logs_are_one(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    later = pl.col("start_time", "end_time") + 1000  # the same calls at the same time would be copies
    small_log().with_columns(later).write_parquet(other)
    once = log_analysis([log], tmp_path / "once").summary.summary
    twice = log_analysis([log, other], tmp_path / "twice").summary.summary
    assert twice["num_invocations"].to_list() == [2 * count for count in once["num_invocations"]]
    assert strict_json(tmp_path / "twice" / "summary.json")["inputs"] == [str(log), str(other)]


def test_one_path_needs_no_list(log: Path, tmp_path: Path) -> None:
    assert analyze(str(log), tmp_path / "one").document == analyze([log], tmp_path / "listed").document


TABLES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "DataFrame": lambda frame: frame,
    "LazyFrame": pl.DataFrame.lazy,
    "Arrow": pl.DataFrame.to_arrow,
    "pandas": lambda frame: frame.to_pandas(),
    "open log": open_log,
}


@pytest.mark.parametrize("kind", some_of(TABLES, 3))
def test_a_table_in_memory_is_analysed_as_its_file(tmp_path: Path, kind: str) -> None:
    small_log().write_parquet(tmp_path / "log.parquet")
    table = TABLES[kind](small_log())
    of_file = log_analysis([tmp_path / "log.parquet"], tmp_path / "file", gates=["p99 < 1s"])
    of_table = analyze(table, tmp_path / "table", gates=["p99 < 1s"])
    assert isinstance(of_table, LogAnalysis)
    assert of_table.sources == ("the log",)
    assert of_table.summary.summary.equals(of_file.summary.summary)
    assert (tmp_path / "table" / "summary.csv").read_bytes() == (
        tmp_path / "file" / "summary.csv"
    ).read_bytes()
    assert strict_json(tmp_path / "table" / "summary.json")["inputs"] == ["the log"]


def test_a_table_without_its_columns_is_refused_and_several_are(tmp_path: Path) -> None:
    table = pl.DataFrame({"invocation_latency": [1.0]})
    with pytest.raises(UsageError, match=r"got a list with DataFrame, expected paths, or one table alone"):
        analyze([table], tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^the log: missing column: invocation_latency; it has: a$"):
        analyze(table.rename({"invocation_latency": "a"}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_each_chart_format_is_written_once(log: Path, tmp_path: Path) -> None:
    log_analysis([log], tmp_path / "out", chart_formats=["svg", "png", "svg"])
    assert_log_files(tmp_path / "out", "png", "svg")


def test_stages_are_told(log: Path, simulated: Path, tmp_path: Path) -> None:
    for source in (log, simulated):
        stages: list[str] = []
        analyze([source], tmp_path / source.name, on_stage=stages.append)
        assert len(stages) >= 3
        assert all(stages)


def test_inputs_stay_as_they_are(folder: Path, tmp_path: Path) -> None:
    before = tree(folder)
    analyze([folder], tmp_path / "out")
    assert tree(folder) == before


@pytest.mark.parametrize(
    "options",
    [{"outliers": "sigma"}, {"by": ["memory_size"] * 2}, {"percentiles": [1.5]}, {"memory_limit": 1}],
)
def test_options_that_make_no_sense_are_refused(log: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    before = tree(tmp_path)
    with pytest.raises(UsageError):
        analyze([log], tmp_path / "made" / "out", **options)
    assert tree(tmp_path) == before


def test_a_results_folder_has_its_own_keys(simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has its own keys"):
        analyze([simulated], tmp_path / "out", by=["memory_size"])
    assert tree(tmp_path) == {}


def test_a_results_folder_is_analysed_alone(simulated: Path, log: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    for inputs in ([simulated, log], [log, simulated], [simulated, simulated]):
        with pytest.raises(UsageError, match="alone"):
            analyze(inputs, tmp_path / "out")
    assert tree(tmp_path) == before


def test_a_raw_folder_is_a_log(simulated: Path, tmp_path: Path) -> None:
    analysis = log_analysis([simulated / CONCURRENCY], tmp_path / "out")
    assert list(analysis.summary.by) == ["max_concurrency", "num_clients", "memory_size"]


@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt])
def test_a_failure_on_the_way_leaves_the_old_output(
    log: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    out = tmp_path / "out"
    analyze([log], out)
    before = tree(tmp_path)

    def fail(stage: str) -> None:
        if "report" in stage:
            raise error(stage)

    with pytest.raises(error):
        analyze([log], out, overwrite=True, on_stage=fail)
    assert tree(tmp_path) == before


def plain(log: Path) -> str:
    return str(log)


def folder_of(log: Path) -> str:
    return str(log.parent)


def glob_of_file(log: Path) -> str:
    return str(log.parent / "*.csv")


def recursive_glob(log: Path) -> str:
    return str(log.parent.parent / "**" / "*.csv")


def glob_of_folder(log: Path) -> str:
    return str(log.parent.parent / "i?")


@pytest.mark.parametrize("source", [plain, folder_of, glob_of_file, recursive_glob, glob_of_folder])
def test_an_input_is_never_overwritten(log: Path, tmp_path: Path, source: Callable[[Path], str]) -> None:
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="overlaps the input"):
        analyze([source(log)], log.parent, overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("source", [folder_of, glob_of_folder])
def test_the_output_is_never_inside_an_input(
    log: Path, tmp_path: Path, source: Callable[[Path], str]
) -> None:
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="overlaps the input"):
        analyze([source(log)], log.parent / "out")
    assert tree(tmp_path) == before


def test_the_output_is_never_inside_a_results_folder(folder: Path) -> None:
    before = tree(folder.parent)
    for out in (folder, folder / "out", folder / STABILITY / "out", folder.parent):
        with pytest.raises(OutputError, match="overlaps the input"):
            analyze([folder], out, overwrite=True)
    assert tree(folder.parent) == before


def test_a_price_table_is_never_overwritten(log: Path, tmp_path: Path) -> None:
    built_in = Path(loadlens.__file__).parent / "cost" / "price_tables" / "sagemaker-serverless.toml"
    (tmp_path / "out").mkdir()
    table = Path(shutil.copy(built_in, tmp_path / "out" / "prices.toml"))
    with pytest.raises(OutputError):
        analyze([log], tmp_path / "out", prices=table, overwrite=True)
    assert table.exists()


def test_an_input_with_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        analyze(["n" * 300], tmp_path / "out")
    assert tree(tmp_path) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_a_file_name_that_is_no_text_is_read_or_refused(log: Path, tmp_path: Path) -> None:
    odd = log.rename(os.fsdecode(os.fsencode(log.parent) + b"/odd\xff.csv"))
    before = tree(tmp_path)
    with suppress(InputError):
        analyze([odd], tmp_path / "out")
    if (tmp_path / "out").exists():
        assert strict_json(tmp_path / "out" / "summary.json")
    else:
        assert tree(tmp_path) == before


@pytest.mark.slow
def test_very_many_configurations_are_whole_in_csv_and_counted_in_json(tmp_path: Path) -> None:
    keys = MOST_KEYS + 7
    labels = [f"/{number:05}" for number in range(keys)] + [f"/{keys - 1:05}"]
    pl.DataFrame({"label": labels, "invocation_latency": 5.0}).write_parquet(tmp_path / "log.parquet")
    analyze(tmp_path / "log.parquet", tmp_path / "out", by=["label"])
    document = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert document["keys_left_out"] == 7
    assert len(document["summary"]) == len(document["quality"]) == MOST_KEYS
    assert document["summary"][-1] == {
        **document["summary"][-1],
        "label": f"/{keys - 1:05}",
        "num_invocations": 2,
    }
    for name, calls in (("summary", "num_invocations"), ("quality", "num_rows")):
        table = pl.read_csv(tmp_path / "out" / f"{name}.csv")
        assert (table.height, table[calls].sum()) == (keys, keys + 1)
    analyze(tmp_path / "log.parquet", tmp_path / "out", by=["label"], overwrite=True)


def test_a_key_cannot_be_called_as_a_column_of_the_tables_that_are_written(tmp_path: Path) -> None:
    log = small_log().with_columns(error=pl.lit("refused"))
    options = {"timeline": True, "heatmap": True, "apdex": "500ms", "expected_interval": "100ms"}
    summary = analyze(log, tmp_path / "all", by="memory_size", **options).summary
    tables = [summary.timeline, summary.failures, summary.measures, summary.parts, summary.bounds]
    tables += [summary.summary, summary.apdex, summary.corrected, summary.spectrum, summary.quality]
    columns = {name for table in tables for name in table.columns} - {"memory_size", "error_refused"}
    for name in sorted(columns - {*ERROR_COLUMNS}):
        with pytest.raises(UsageError, match=f"by names {name}, which names a figure"):
            analyze(log.with_columns(pl.lit("a").alias(name)), tmp_path / "other", by=name, **options)


def test_a_key_has_a_name(tmp_path: Path) -> None:
    log = small_log().with_columns(pl.lit("a").alias(""))
    with pytest.raises(UsageError, match="expected names of columns"):
        analyze(log, tmp_path / "out", by="")
