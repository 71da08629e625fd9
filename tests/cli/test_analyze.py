"""``loadlens analyze``: its files and what it prints."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.profile import Outliers
from loadlens.schema import CONFIGURATION_COLUMNS
from tests.command_line import (
    TABLE_OF_PRICES,
    assert_done,
    assert_fails,
    loadlens_,
)
from tests.extent import some_of
from tests.folders import (
    METRICS,
    RESULT_FILES,
    assert_log_files,
    files_below,
)
from tests.sample_logs import Configuration, log_of, small_log

SUMMARY_COLUMNS = [
    "num_invocations",
    "num_errors",
    "error_rate",
    "invocation_latency_min",
    "invocation_latency_mean",
    "invocation_latency_median",
    "invocation_latency_max",
    "invocation_latency_iqr",
    "tps_avg",
    "tps_p25",
    "tps_p50",
    "tps_p75",
    "tps_max",
    "invocation_latency_p90",
    "invocation_latency_p95",
    "invocation_latency_p99",
    "invocation_latency_p999",
    "outliers_removed",
    "outliers_above_fence",
    "outlier_fence",
    "throughput",
]


@pytest.mark.usefixtures("no_drawings")
def test_a_results_folder_gives_the_frames_of_the_public_functions(simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_done(loadlens_("analyze", simulated, "--out", out))
    assert files_below(out) == RESULT_FILES
    for part, function in (
        ("stability", loadlens.summarize_stability_results),
        ("concurrency", loadlens.summarize_concurrency_results),
    ):
        raw = simulated / f"{part}_benchmark_raw_results"
        result = function(raw, raw / f"{METRICS}.csv")
        name = {"stability": "invocation", "concurrency": "concurrency"}[part]
        written = out / f"{part}_benchmark_summary_results"
        assert_csv_equal(written / f"{name}_benchmark_summary.csv", result.summary)
        assert result.endpoint_metrics is not None
        assert_csv_equal(written / "endpoint_metrics_summary.csv", result.endpoint_metrics)


def assert_csv_equal(path: Path, frame: pl.DataFrame) -> None:
    assert_frame_equal(pl.read_csv(path, schema_overrides=frame.schema), frame, rel_tol=1e-9)


@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_log_by_columns(tmp_path: Path, suffix: str) -> None:
    frame = small_log().with_columns(region=pl.lit("eu"))
    path = tmp_path / f"log.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    out = tmp_path / "out"
    assert_done(loadlens_("analyze", path, "--out", out, "--by", "region", "--by", "memory_size"))
    assert_log_files(out, "png")
    header = (out / "summary.csv").read_text().splitlines()[0]
    assert header.split(",") == ["region", "memory_size", *SUMMARY_COLUMNS]
    assert_csv_equal(out / "summary.csv", loadlens.summarize(frame, ["region", "memory_size"]).summary)


@pytest.mark.usefixtures("no_drawings")
def test_a_log_by_its_natural_key(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_done(loadlens_("analyze", log, "--out", out))
    header = (out / "summary.csv").read_text().splitlines()[0]
    assert header.split(",") == [*CONFIGURATION_COLUMNS, *SUMMARY_COLUMNS]
    assert_csv_equal(out / "summary.csv", loadlens.summarize(log, CONFIGURATION_COLUMNS).summary)


@pytest.mark.usefixtures("no_drawings")
def test_folders_and_globs_of_logs(log: Path, tmp_path: Path) -> None:
    second = pl.read_csv(log).with_columns(pl.col("start_time", "end_time") + 1000)
    second.write_csv(log.with_name("second.csv"))
    for number, source in enumerate((log.parent, log.parent / "*.csv")):
        assert_done(loadlens_("analyze", source, "--out", tmp_path / str(number)))
        summary = pl.read_csv(tmp_path / str(number) / "summary.csv")
        once = loadlens.summarize(log, CONFIGURATION_COLUMNS).summary
        assert summary["num_invocations"].to_list() == [2 * count for count in once["num_invocations"]]


@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize("options", [["--json"], ["--json", "--quiet"]], ids=" ".join)
def test_json_prints_exactly_summary_json(log: Path, tmp_path: Path, options: list[str]) -> None:
    result = loadlens_("analyze", log, "--out", tmp_path / "out", *options)
    assert_done(result)
    assert result.stdout == (tmp_path / "out" / "summary.json").read_text(encoding="utf-8")
    assert json.loads(result.stdout)


@pytest.mark.usefixtures("no_drawings")
def test_quiet_prints_nothing(log: Path, tmp_path: Path) -> None:
    for args in (("analyze", log), ("demo", "--rows", 100)):
        result = loadlens_(*args, "--out", tmp_path / args[0], "--quiet")
        assert_done(result)
        assert result.output == ""
    assert assert_fails(3, "analyze", tmp_path / "nothing", "--out", tmp_path / "E", "--quiet")


@pytest.mark.slow
def test_both_chart_formats_of_a_results_folder(simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_done(
        loadlens_("analyze", simulated, "--out", out, "--chart-format", "png", "--chart-format", "svg")
    )
    drawings = {name.replace(".png", ".svg") for name in RESULT_FILES if name.endswith(".png")}
    assert files_below(out) == RESULT_FILES | drawings


@pytest.mark.slow
@pytest.mark.parametrize("formats", [["svg"], ["svg", "png"]], ids=" ".join)
def test_chart_formats_of_a_log(log: Path, tmp_path: Path, formats: list[str]) -> None:
    options = [text for name in formats for text in ("--chart-format", name)]
    assert_done(loadlens_("analyze", log, "--out", tmp_path / "out", *options))
    assert_log_files(tmp_path / "out", *formats)
    for path in (tmp_path / "out" / "charts").glob("*.svg"):
        assert ET.fromstring(path.read_text(encoding="utf-8")).tag.endswith("svg")


@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize("outliers", ["mean-iqr", "tukey", "none"])
def test_outliers(tmp_path: Path, outliers: Outliers) -> None:
    log = tmp_path / "log.parquet"
    log_of([Configuration(rows=400, shape="tail")]).write_parquet(log)
    out = tmp_path / "out"
    assert_done(loadlens_("analyze", log, "--out", out, "--outliers", outliers))
    expected = loadlens.summarize(log, CONFIGURATION_COLUMNS, outliers=outliers).summary
    assert_csv_equal(out / "summary.csv", expected)
    assert (expected["outliers_removed"].item() > 0) == (outliers != "none")
    assert json.loads((out / "summary.json").read_text())["options"]["outliers"] == outliers


@pytest.mark.usefixtures("no_drawings")
def test_outliers_of_a_results_folder(simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_done(loadlens_("analyze", simulated, "--out", out, "--outliers", "none"))
    for part, name in (("stability", "invocation"), ("concurrency", "concurrency")):
        path = out / f"{part}_benchmark_summary_results" / f"{name}_benchmark_summary.csv"
        assert pl.read_csv(path)["outliers_removed"].sum() == 0


@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize("kind", ["analyze", "demo"])
def test_prices_of_a_file(simulated: Path, tmp_path: Path, kind: str) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(TABLE_OF_PRICES, encoding="utf-8")
    source = (simulated,) if kind == "analyze" else ("--rows", 600)
    out = tmp_path / "out"
    result = loadlens_(kind, *source, "--out", out, "--prices", prices)
    assert_done(result)
    costs = pl.read_csv(out / "cost_analysis_summary_results" / "metrics_with_cost.csv")
    per_second = [3.0, 0.5, 3.0, 3.0, 3.0, 3.0]
    expected = costs["average_latency"] * pl.Series(per_second) / 1000
    assert costs["cost_per_invocation"].to_list() == pytest.approx(expected.to_list(), rel=1e-9)
    document = json.loads((out / "summary.json").read_text())
    assert document["options"]["prices"] == str(prices)
    cost = document["cost"]
    assert (cost["optimal_memory_config"], cost["comparable_instance"]) == (2048, "small.instance")
    assert cost["instance_monthly_cost"] == pytest.approx(2.0 * 24 * 30)
    assert cost["currency"] == "EUR"
    assert "EUR" in result.stdout
    assert "USD" not in result.stdout


@pytest.mark.usefixtures("no_drawings")
def test_prices_of_nothing(simulated: Path, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(re.sub(r"= [0-9.]+\b(?= *[,}])", "= 0.0", TABLE_OF_PRICES), encoding="utf-8")
    out = tmp_path / "out"
    assert_done(loadlens_("analyze", simulated, "--out", out, "--prices", prices))
    cost = json.loads((out / "summary.json").read_text())["cost"]
    assert {row["cost_per_invocation"] for row in cost["metrics_with_cost"]} == {0.0}
    assert cost["break_even_invocations"] is None


@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize(
    "percentiles", some_of([["50"], ["99.5", "75"], ["99.999"]], 3, first=1), ids=" ".join
)
def test_percentiles(simulated: Path, log: Path, tmp_path: Path, percentiles: list[str]) -> None:
    options = [text for value in percentiles for text in ("--percentile", value)]
    names = [f"invocation_latency_p{value.replace('.', '')}" for value in percentiles]
    assert_done(loadlens_("analyze", log, "--out", tmp_path / "log", *options))
    columns = pl.read_csv(tmp_path / "log" / "summary.csv").columns
    assert sorted(name for name in columns if name.startswith("invocation_latency_p")) == sorted(names)
    assert_done(loadlens_("analyze", simulated, "--out", tmp_path / "toolkit", *options))


@pytest.mark.usefixtures("no_drawings")
def test_one_pass_says_how_far_off_it_may_be(log: Path, tmp_path: Path) -> None:
    assert_done(loadlens_("analyze", log, "--out", tmp_path / "out", "--one-pass"))
    document = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert document["relative_error"] > 0
    exact = loadlens.summarize(log, CONFIGURATION_COLUMNS).summary
    assert_frame_equal(
        pl.read_csv(tmp_path / "out" / "summary.csv").select("^.*_median$", "^.*_p9.*$"),
        exact.select("^.*_median$", "^.*_p9.*$"),
        rel_tol=document["relative_error"],
    )


@pytest.mark.usefixtures("no_drawings")
def test_the_size_of_the_temporary_file_is_told(log: Path, tmp_path: Path) -> None:
    done = loadlens_("analyze", log, "--out", tmp_path / "small")
    assert "Temporary file" not in done.stdout
    # More text than is held in memory, which is a sixteenth of the limit.
    pl.read_csv(log).with_columns(note=pl.lit("x" * 200_000)).write_csv(log)
    assert log.stat().st_size > 2**24
    done = loadlens_("analyze", log, "--out", tmp_path / "large", "--memory-limit", "256MiB")
    assert re.search(r"Temporary file, now gone: [\d.]+ (bytes|kB)\.", done.stdout)


@pytest.mark.usefixtures("no_drawings")
def test_overwriting_replaces_the_whole_output(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_done(loadlens_("demo", "--rows", 100, "--out", out))
    assert_done(loadlens_("analyze", log, "--out", out, "--overwrite"))
    assert_log_files(out, "png")


@pytest.mark.usefixtures("no_drawings")
def test_a_gate_that_fails_is_published_and_exits_with_1(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    gates = tmp_path / "gates.toml"
    gates.write_text('[[gate]]\nslo = "max < 1us"\n', encoding="utf-8")
    result = loadlens_("analyze", log, "--out", out, "--slo", "p99 < 999s", "--slo-file", gates)
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Warning: ")]
    assert lines[0].startswith("loadlens: gate failed: max < 1us: got ")
    assert lines[-1] == "loadlens: 1 of 2 gates failed"
    assert "Gates: 1 of 2 gates failed." in result.stdout
    assert_log_files(out, "png")
    assert json.loads((out / "summary.json").read_text())["gates"]["holds"] is False


@pytest.mark.usefixtures("no_drawings")
def test_all_questions_of_the_command_line(log: Path, tmp_path: Path) -> None:
    base = shutil.copy(log, tmp_path / "base.csv")
    result = loadlens_(
        "analyze", log, "--out", tmp_path / "out", "--slo", "p99 < 999s", "--baseline", base,
        "--min-effect", "20%", "--prices", "lambda-x86", "--traffic", "5/s", "--objective", "p90 < 1s",
        "--json",
    )  # fmt: skip
    assert_done(result)
    document = json.loads(result.stdout)
    assert document["gates"]["holds"] is True
    assert document["comparison"]["min_effect"] == 0.2
    assert document["comparison"]["base"]["name"] == str(base)
    assert document["costing"]["strategy"] == "cheapest"
    assert [table["short_name"] for table in document["costing"]["prices"]] == ["lambda-x86"]


@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], False),
        (["--weight", "0.3"], False),
        (["--prices", "lambda-arm"], True),
        (["--capacity", "ml.c5.large=5"], True),
        (["--strategy", "cost"], True),
    ],
)
def test_options_that_ask_for_a_cost(log: Path, tmp_path: Path, options: list[str], asked: bool) -> None:
    result = loadlens_("analyze", log, "--out", tmp_path / "out", *options)
    assert_done(result)
    assert ("Choice: " in result.stdout) is asked


@pytest.mark.usefixtures("no_drawings")
def test_a_built_in_price_table_of_a_results_folder(simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_done(loadlens_("analyze", simulated, "--out", out, "--prices", "sagemaker-serverless"))
    assert files_below(out) == RESULT_FILES
