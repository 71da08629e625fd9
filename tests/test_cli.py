import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app, main
from loadlens.profile import Outliers
from loadlens.profile.progress import Limits
from loadlens.schema import CONFIGURATION_COLUMNS
from tests.extent import combinations, some_of
from tests.folders import (
    CONCURRENCY,
    EXAMPLES,
    LOG,
    METRICS,
    OLD_REPORT,
    REPORT,
    RESULT_FILES,
    STABILITY,
    assert_log_files,
    files_below,
    old_report,
    results_folder,
    tree,
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
TABLE_OF_PRICES = """
name = "Test prices"
currency = "EUR"
per_second = { 1024 = 3.0, 2048 = 0.5, 3072 = 3.0, 4096 = 3.0, 5120 = 3.0, 6144 = 3.0 }
data = { per_gib = 0.0 }
instance_per_hour = { "small.instance" = 2.0 }

[comparable_instance]
1024 = "small.instance"
2048 = "small.instance"
3072 = "small.instance"
4096 = "small.instance"
5120 = "small.instance"
6144 = "small.instance"
"""

# A program that is started in the background may have been told to ignore interrupts.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from loadlens.cli import main; main()"
)


def loadlens_(*args: object, color: bool = False) -> Result:
    """Runs the command line in this process; an exception that it lets out is raised here."""
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False, color=color)


def command(*args: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *map(str, args)]


def process(*args: object) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a process of its own, its output piped."""
    return subprocess.run(
        command(*args), capture_output=True, encoding="utf-8", check=False, stdin=subprocess.DEVNULL
    )


def assert_done(result: Result) -> None:
    assert result.exit_code == 0, result.stderr
    assert all(line.startswith("Warning: ") for line in result.stderr.splitlines())


def assert_fails(exit_code: int, *args: object) -> list[str]:
    """Asserts that a run fails and prints one line for each problem, and returns the lines."""
    result = loadlens_(*args)
    assert result.exit_code == exit_code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith("loadlens: ") and len(line) > 15 for line in lines)
    return lines


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("demo") / "made" / "D"
    return loadlens_("demo", "--out", out, "--rows", 5000, "--seed", 1), out


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_folder(tmp_path_factory.mktemp("simulated") / "run")


@pytest.fixture
def folder(simulated: Path, tmp_path: Path) -> Path:
    """A results folder that a test may change."""
    return Path(shutil.copytree(simulated, tmp_path / "run"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "log.csv"
    path.parent.mkdir()
    small_log().write_csv(path)
    return path


def test_the_demo_writes_a_results_folder_and_its_analysis(demo: tuple[Result, Path]) -> None:
    result, out = demo
    assert_done(result)
    raw = {f"{part}/{LOG}.parquet" for part in (STABILITY, CONCURRENCY)}
    metrics = {f"{part}/{METRICS}.csv" for part in (STABILITY, CONCURRENCY)}
    assert files_below(out) == {*raw, *metrics, EXAMPLES, *RESULT_FILES}
    logs = [pl.read_parquet(out / name) for name in raw]
    assert sum(log.height for log in logs) == 5000
    assert [path.name for path in out.parent.iterdir()] == ["D"]


def test_the_demo_prints_each_part_and_where_the_report_is(demo: tuple[Result, Path]) -> None:
    result, out = demo
    for expected in ("Stability", "Concurrency", "Cost", "Recommended: ", f"Report: {out / REPORT}"):
        assert expected in result.stdout
    assert (out / REPORT).is_file()


def test_the_demo_says_in_its_files_that_it_is_one(demo: tuple[Result, Path]) -> None:
    document = json.loads((demo[1] / "summary.json").read_text())
    assert document["inputs"] == ["simulated endpoint, 5,000 invocations, seed 1"]
    assert ".partial" not in (demo[1] / REPORT).read_text()
    assert ".partial" not in (demo[1] / "summary.json").read_text()


@pytest.mark.parametrize("rows", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_a_demo_of_a_few_rows(tmp_path: Path, rows: int) -> None:
    assert_done(loadlens_("demo", "--out", tmp_path / "D", "--rows", rows))
    assert (tmp_path / "D" / REPORT).is_file()


@pytest.mark.usefixtures("no_drawings")
def test_a_demo_can_be_analysed_again(demo: tuple[Result, Path], tmp_path: Path) -> None:
    before = tree(demo[1])
    assert_done(loadlens_("analyze", demo[1], "--out", tmp_path / "E"))
    assert files_below(tmp_path / "E") == RESULT_FILES
    for name in (name for name in RESULT_FILES if name.endswith(".csv")):
        again = pl.read_csv(tmp_path / "E" / name)
        assert_frame_equal(again, pl.read_csv(demo[1] / name), rel_tol=1e-9)
    assert tree(demo[1]) == before


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
def test_json_of_a_demo(tmp_path: Path) -> None:
    result = loadlens_("demo", "--out", tmp_path / "D", "--rows", 300, "--json")
    assert_done(result)
    assert result.stdout == (tmp_path / "D" / "summary.json").read_text(encoding="utf-8")


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
def test_the_size_of_the_temporary_file_is_told(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = loadlens_("analyze", log, "--out", tmp_path / "small")
    assert "Temporary file" not in done.stdout
    monkeypatch.setattr(Limits, "text_bytes", property(lambda _: 0))
    done = loadlens_("analyze", log, "--out", tmp_path / "large")
    assert re.search(r"Temporary file, now gone: [\d.]+ (bytes|kB)\.", done.stdout)


def test_version() -> None:
    result = loadlens_("--version")
    assert_done(result)
    assert result.stdout == f"loadlens {loadlens.__version__}\n"


def test_help_names_every_option() -> None:
    common = ["--out", "--outliers", "--prices", "--chart-format", "--overwrite", "--quiet", "--json"]
    for name, options in (("analyze", ["--by", *common]), ("demo", ["--rows", "--seed", *common])):
        result = loadlens_(name, "--help")
        assert_done(result)
        assert all(option in result.stdout for option in options)
    result = loadlens_("--help")
    assert all(text in result.stdout for text in ("analyze", "demo", "--version"))


def test_the_installed_command_is_main() -> None:
    (found,) = entry_points(group="console_scripts", name="loadlens")
    assert found.load() is main


@pytest.mark.usefixtures("no_drawings")
def test_overwriting_replaces_the_whole_output(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_done(loadlens_("demo", "--rows", 100, "--out", out))
    assert_done(loadlens_("analyze", log, "--out", out, "--overwrite"))
    assert_log_files(out, "png")


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["analyze"],
        ["analyze", "--out", "{out}"],
        ["analyze", "{log}"],
        ["analyze", "{log}", "--out"],
        ["analyze", "{log}", "--out", "{out}", "--colour"],
        ["analyze", "{log}", "--out", "{out}", "--outliers", "sigma"],
        ["analyze", "{log}", "--out", "{out}", "--chart-format", "pdf"],
        ["analyze", "{log}", "--out", "{out}", "--rows", "10"],
        ["analyse", "{log}", "--out", "{out}"],
        ["demo"],
        ["demo", "{log}", "--out", "{out}"],
        ["demo", "--out", "{out}", "--rows", "0"],
        ["demo", "--out", "{out}", "--rows", "-1"],
        ["demo", "--out", "{out}", "--rows", "many"],
        ["demo", "--out", "{out}", "--seed", "-1"],
        ["demo", "--out", "{out}", "--by", "memory_size"],
        ["--colour"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_parsed(log: Path, tmp_path: Path, args: list[str]) -> None:
    before = tree(tmp_path)
    result = loadlens_(*[arg.format(log=log, out=tmp_path / "made" / "out") for arg in args])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("loadlens: " if args else "Usage: ")
    assert not args or result.stderr.count("\n") == 1
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["analyze", "{folder}", "--by", "memory_size"], "has its own keys"),
        (["analyze", "{folder}", "{log}"], "alone"),
        (["analyze", "{log}", "{folder}"], "alone"),
        (["analyze", "{log}", "--by", "num_clients", "--by", "num_clients"], "num_clients"),
        (["analyze", "{log}", "--by", "invocation_latency"], "invocation_latency"),
        (["analyze", "{log}", "--percentile", "101"], "percentile"),
        (["analyze", "{log}", "--percentile", "nan"], "percentile"),
        (["analyze", "{log}", "--memory-limit", "much"], "--memory-limit"),
        (["analyze", "{log}", "--memory-limit", "1kB"], "memory_limit"),
        (["compare", "{log}", "{log}", "--memory-limit", "1kB"], "memory_limit"),
        (["cost", "{log}", "--memory-limit", "1kB"], "memory_limit"),
        (["analyze", "{folder}", "--slo", "p99 < 1s"], "name an invocation log"),
        (["analyze", "{folder}", "--prices", "lambda-x86", "--prices", "lambda-arm"], "invocation log"),
        (["analyze", "{log}", "--slo", "p99 < 1s", "--one-pass"], "exact"),
        (["analyze", "{log}", "--baseline", "{log}", "--min-effect", "5"], "--min-effect"),
        (["analyze", "{log}", "--capacity", "ml.c5.large"], "--capacity"),
        (["analyze", "{log}", "--capacity", "a=1", "--capacity", "a=x.csv"], "more than once"),
        (["analyze", "{log}", "--strategy", "cheapest"], "objective"),
        (["analyze", "{log}", "--traffic", "many"], "traffic"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_arguments_that_make_no_sense_together(
    folder: Path, log: Path, tmp_path: Path, args: list[str], says: str
) -> None:
    before = tree(tmp_path)
    filled = [arg.format(folder=folder, log=log) for arg in args]
    (line,) = assert_fails(2, *filled, "--out", tmp_path / "made" / "out")
    assert says in line
    assert tree(tmp_path) == before


def a_file(out: Path) -> None:
    out.write_text("a file")


def a_link(out: Path) -> None:
    out.symlink_to(out.with_name("in"), target_is_directory=True)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (old_report, []),
        (a_file, []),
        (a_file, ["--overwrite"]),
        (a_link, []),
        (a_link, ["--overwrite"]),
    ],
)
def test_an_output_that_is_there_already(
    log: Path, tmp_path: Path, make: Callable[[Path], object], options: list[str]
) -> None:
    make(tmp_path / "out")
    before = tree(tmp_path)
    for args in (("demo", "--rows", 10), ("analyze", log)):
        (line,) = assert_fails(2, *args, "--out", tmp_path / "out", *options)
        assert "out" in line
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("source", "out"),
    [("run", "run"), ("run", "run/out"), ("run", f"run/{STABILITY}/out"), ("in", "in"), ("in/log.csv", "in")],
)
def test_an_output_that_overlaps_an_input(
    folder: Path, log: Path, tmp_path: Path, source: str, out: str
) -> None:
    before = tree(tmp_path)
    (line,) = assert_fails(2, "analyze", tmp_path / source, "--out", tmp_path / out, "--overwrite")
    assert "overlaps the input" in line
    assert tree(tmp_path) == before
    assert {folder, log} <= set(tmp_path.rglob("*"))


def missing(folder: Path) -> Path:
    return folder / "nothing.csv"


def glob_without_match(folder: Path) -> Path:
    return folder / "*.nothing"


def folder_without_log(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def empty_file(folder: Path) -> Path:
    (folder / "log.csv").touch()
    return folder / "log.csv"


def header_alone(folder: Path) -> Path:
    small_log().clear().write_csv(folder / "log.csv")
    return folder / "log.csv"


def no_log_at_all(folder: Path) -> Path:
    (folder / "log.csv").write_text("a,b\n1,2\n")
    return folder / "log.csv"


def latency_nan(folder: Path) -> Path:
    nan = small_log().with_columns(pl.col("invocation_latency").replace(-1.0, float("nan")))
    nan.write_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def pickled_log(folder: Path) -> Path:
    (folder / "log.pkl").write_bytes(b"\x80\x04\x95abc.")
    return folder / "log.pkl"


def damaged_parquet(folder: Path) -> Path:
    small_log().write_parquet(folder / "log.parquet")
    content = (folder / "log.parquet").read_bytes()
    (folder / "log.parquet").write_bytes(content[: len(content) // 2])
    return folder / "log.parquet"


def pickled_requests(folder: Path) -> Path:
    (folder / EXAMPLES).rename(folder / "invoke_args_examples.pkl")
    return folder


def pickled_requests_in_disguise(folder: Path) -> Path:
    (folder / EXAMPLES).write_bytes(b"\x80\x04\x95abc.")
    return folder


def malformed_requests(folder: Path) -> Path:
    (folder / EXAMPLES).write_text('{"Body": "fine"}\n{"Body": \n')
    return folder


def raw_folder_without_log(folder: Path) -> Path:
    (folder / CONCURRENCY / f"{LOG}.parquet").unlink()
    return folder


def folder_with_nan(folder: Path) -> Path:
    path = folder / STABILITY / f"{LOG}.parquet"
    nan = pl.read_parquet(path).with_columns(invocation_latency=pl.lit(float("nan")))
    nan.write_parquet(path)
    return folder


def size_without_price(folder: Path) -> Path:
    path = folder / STABILITY / f"{METRICS}.csv"
    path.write_text(path.read_text().replace("6144", "7168"))
    return folder


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (missing, "does not exist"),
        (glob_without_match, "matches no file"),
        (folder_without_log, "holds no log"),
        (empty_file, "is empty"),
        (header_alone, "no rows"),
        (no_log_at_all, "fits no known format"),
        (pickled_log, "pickle"),
        (damaged_parquet, "damaged"),
        (pickled_requests, "JSON Lines"),
        (pickled_requests_in_disguise, "JSON Lines"),
        (malformed_requests, "line 2"),
        (raw_folder_without_log, "holds no invocation log"),
        (size_without_price, "7168 MB"),
    ],
)
def test_an_input_that_cannot_be_used(
    folder: Path, tmp_path: Path, make: Callable[[Path], Path], says: str
) -> None:
    source = make(folder)
    old = tmp_path / "old"
    old_report(old)
    before = tree(tmp_path)
    for out in (tmp_path / "made" / "out", old):
        (line,) = assert_fails(3, "analyze", source, "--out", out, "--overwrite")
        assert says in line
        assert str(folder) in line or make is size_without_price
        assert tree(tmp_path) == before


@pytest.mark.parametrize("make", [latency_nan, folder_with_nan])
def test_a_latency_that_is_no_number(folder: Path, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    source, old = make(folder), old_report(tmp_path / "old")
    *lines, total, where = assert_fails(3, "analyze", source, "--out", old, "--overwrite")
    assert all(str(folder) in line and "got nan, expected a finite latency" in line for line in lines)
    assert "rejected" in total
    assert where == f"loadlens: {old}.rejects.csv: has all rejected rows"
    assert tree(old) == OLD_REPORT


@pytest.mark.parametrize(
    ("cell", "fault"),
    [("inf", "got inf, expected a finite number"), ("slow", "got 'slow', expected a number")],
)
@pytest.mark.parametrize("in_folder", [False, True])
def test_rows_that_cannot_be_used(
    folder: Path, tmp_path: Path, cell: str, fault: str, *, in_folder: bool
) -> None:
    source = folder / "log.csv"
    if in_folder:
        (folder / STABILITY / f"{LOG}.parquet").unlink()
        source = folder / STABILITY / f"{LOG}.csv"
    frame = log_of([Configuration()]).with_columns(pl.col("invocation_latency").cast(pl.String))
    bad = pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(cell)).otherwise("invocation_latency")
    frame.with_columns(bad.alias("invocation_latency")).write_csv(source)
    old = tmp_path / "old"
    old_report(old)
    before = tree(folder)
    for out in (tmp_path / "made" / "out", old):
        *lines, where = assert_fails(
            3, "analyze", folder if in_folder else source, "--out", out, "--overwrite"
        )
        first, total = lines
        assert first == f"loadlens: {source}, line 3, column invocation_latency: {fault}"
        assert total.startswith("loadlens: 1 of 20 rows rejected, allowed: 0; mend them, or allow more")
        rejects = out.with_name(f"{out.name}.rejects.csv")
        assert where == f"loadlens: {rejects}: has all rejected rows"
        (row,) = pl.read_csv(rejects).rows(named=True)
        raw = source.read_text().splitlines()[2]
        expected = {"file": str(source), "line": 3, "column": "invocation_latency", "reason": fault}
        assert row == {**expected, "raw": raw}
    assert tree(folder) == before
    assert tree(old) == OLD_REPORT
    assert {path.name for path in tmp_path.iterdir()} == {"run", "made", "old", "old.rejects.csv"}
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["out.rejects.csv"]


def test_a_column_that_is_not_there(log: Path, tmp_path: Path) -> None:
    (line,) = assert_fails(3, "analyze", log, "--out", tmp_path / "out", "--by", "region")
    assert "missing column: region" in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("not toml", "is not TOML"),
        ("[data]\n", "missing sections"),
        (TABLE_OF_PRICES.replace("6144 = 3.0", "7168 = 3.0"), "6144 MB"),
    ],
)
def test_a_price_table_that_cannot_be_used(
    folder: Path, tmp_path: Path, content: str | None, says: str
) -> None:
    prices = tmp_path / "prices.toml"
    if content is not None:
        prices.write_text(content)
    before = tree(tmp_path)
    for args in (("analyze", folder), ("demo", "--rows", 600)):
        (line,) = assert_fails(3, *args, "--out", tmp_path / "made" / "out", "--prices", prices)
        assert says in line
        assert str(prices) in line
        assert tree(tmp_path) == before


def test_each_problem_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").write_bytes(b"\x80\x04\x95abc.")
    first, second = assert_fails(3, "analyze", tmp_path / "?.csv", "--out", tmp_path / "out")
    assert "a.csv: is empty" in first
    assert "b.csv: is a Python pickle" in second


def test_a_name_that_is_too_long(log: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert_fails(3, "analyze", "n" * 300, "--out", tmp_path / "out")
    assert_fails(2, "analyze", log, "--out", tmp_path / ("n" * 300))
    assert tree(tmp_path) == before


# Rich markup, a terminal's colour and title, a C1 control, then what a page and a drawing would run.
HOSTILE = "[red]x[/red]\x1b[31mred\x1b]0;title\x07\x9b31m</script><img src=x onerror=alert(1)>"
CONTROLS = {"\x1b", "\x07", "\x9b"}


@pytest.fixture
def hostile_log(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "hostile.parquet"
    path.parent.mkdir()
    small_log().with_columns(label=pl.lit(HOSTILE)).write_parquet(path)
    return path


class Elements(HTMLParser):
    """Collects the elements of a page, their attributes and the text of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers.extend(name for name, _ in attrs if name.startswith("on"))


def test_hostile_text_is_inert(hostile_log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ("analyze", hostile_log, "--out", out, "--by", "label", "--chart-format", "svg")
    result = loadlens_(*args, color=True)
    assert_done(result)
    assert not CONTROLS & set(result.stdout)
    assert "[red]x[/red]" in result.stdout
    page = Elements()
    page.feed((out / "report.html").read_text(encoding="utf-8"))
    assert "img" not in page.tags
    assert "script" not in page.tags
    assert page.handlers == []
    assert "&lt;/script&gt;" in (out / "report.html").read_text(encoding="utf-8")
    for path in (out / "charts").iterdir():
        drawing = ET.fromstring(path.read_text(encoding="utf-8"))
        assert not [element for element in drawing.iter() if element.tag.endswith(("img", "script"))]
    assert pl.read_csv(out / "summary.csv")["label"].to_list() == [HOSTILE]


def test_a_hostile_column_is_inert(tmp_path: Path) -> None:
    small_log().with_columns(pl.lit("a").alias(HOSTILE)).write_parquet(tmp_path / "log.parquet")
    out = tmp_path / "out"
    result = loadlens_("analyze", tmp_path / "log.parquet", "--out", out, "--by", HOSTILE, color=True)
    assert_done(result)
    assert not CONTROLS & set(result.stdout)
    page = Elements()
    page.feed((out / "report.html").read_text(encoding="utf-8"))
    assert {"img", "script"}.isdisjoint(page.tags)


@pytest.mark.parametrize("what", ["column", "key", "file", "output", "price table"])
def test_a_message_with_hostile_text_is_inert(log: Path, tmp_path: Path, what: str) -> None:
    name = HOSTILE.replace("/", "")
    args: list[object] = ["analyze", log, "--out", tmp_path / "out"]
    if what == "column":
        args[1] = tmp_path / "log.parquet"
        pl.DataFrame({HOSTILE: [1.0], "end_time": [2.0]}).write_parquet(tmp_path / "log.parquet")
    elif what == "key":
        args += ["--by", HOSTILE]
    elif what == "file":
        args[1] = tmp_path / name
    elif what == "output":
        args[3] = tmp_path / name
        old_report(tmp_path / name)
    else:
        args += ["--prices", tmp_path / name]
    result = loadlens_(*args, color=True)
    assert result.exit_code in {2, 3}
    assert len(result.stderr.splitlines()) == 1
    assert "[red]x[" in result.stderr
    assert not CONTROLS & set(result.stderr)


def test_a_process_prints_results_and_nothing_else(log: Path, tmp_path: Path) -> None:
    done = process("analyze", log, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert all(line.startswith("Warning: ") for line in done.stderr.splitlines())
    assert "Invocations" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "exit_code"),
    [(["demo", "--out", "{out}", "--rows", "0"], 2), (["analyze", "{nothing}", "--out", "{out}"], 3)],
)
def test_a_process_that_fails(tmp_path: Path, args: list[str], exit_code: int) -> None:
    filled = [arg.format(out=tmp_path / "out", nothing=tmp_path / "nothing") for arg in args]
    done = process(*filled)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert "Traceback" not in done.stderr
    assert tree(tmp_path) == {}


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error_of_ours(log: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    args = command("analyze", log, "--out", tmp_path / "out", "--json")
    with subprocess.Popen(args, stdout=write, stderr=subprocess.PIPE) as running:
        os.close(write)
        _, errors = running.communicate()
    assert b"Traceback" not in errors
    assert_log_files(tmp_path / "out", "png")


def read_terminal(descriptor: int) -> Iterator[bytes]:
    """What a program writes to its terminal, until it ends."""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # how Linux says that the other side is closed
                raise
            return
        if not chunk:
            return
        yield chunk


def on_terminal(*args: object) -> tuple[int, bytes]:
    """Runs the command line with a terminal for its output and its errors."""
    controller, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(command(*args), stdout=terminal, stderr=terminal, env=environment) as running:
        os.close(terminal)
        printed = b"".join(read_terminal(controller))
    os.close(controller)
    return running.returncode, printed


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals to open")
def test_progress_shows_on_a_terminal_and_hostile_text_stays_inert(hostile_log: Path, tmp_path: Path) -> None:
    exit_code, printed = on_terminal("analyze", hostile_log, "--out", tmp_path / "out", "--by", "label")
    assert exit_code == 0
    assert any(stage in printed for stage in (b"Starting", b"Reading", b"Drawing", b"Writing"))
    assert b"[red]x[/red]" in printed
    assert b"\x1b[31mred" not in printed
    assert b"\x1b]0;" not in printed
    assert "\x9b".encode() not in printed


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals to open")
def test_quiet_prints_nothing_on_a_terminal(hostile_log: Path, tmp_path: Path) -> None:
    assert on_terminal("analyze", hostile_log, "--out", tmp_path / "out", "--quiet") == (0, b"")


MORE_THAN_ARE_EVER_WRITTEN = 1_000_000_000


def wait_for_rows(running: subprocess.Popen[bytes], parent: Path) -> None:
    """Waits until a demo has begun to write its log."""
    deadline = time.monotonic() + 120
    while not list(parent.glob(f".*/**/{LOG}.parquet")):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
@pytest.mark.parametrize(
    ("number", "overwrite"), combinations([signal.SIGTERM, signal.SIGINT], [False, True], one_in=3)
)
def test_a_signal_leaves_all_as_it_was(tmp_path: Path, number: signal.Signals, overwrite: bool) -> None:
    out = tmp_path / "made" / "out"
    options = []
    if overwrite:
        out.parent.mkdir()
        old_report(out)
        options = ["--overwrite"]
    before = tree(tmp_path)
    args = command("demo", "--rows", MORE_THAN_ARE_EVER_WRITTEN, "--out", out, *options)
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        wait_for_rows(running, out.parent)
        running.send_signal(number)
        printed, errors = running.communicate()
    assert running.returncode == 128 + number
    assert printed == b""
    assert b"Traceback" not in errors
    assert len(errors.splitlines()) <= 1
    assert tree(tmp_path) == before


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


def test_a_bad_gate_is_shown_with_the_place_of_the_mistake(log: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    result = loadlens_("analyze", log, "--out", tmp_path / "out", "--slo", "p99 << 1s")
    assert result.exit_code == 2
    assert result.stderr.startswith("p99 << 1s\n    ^\nloadlens: gate ")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["--slo-file", "--prices", "--traffic", "--capacity", "--baseline"])
def test_a_file_that_an_option_names_is_never_overwritten(log: Path, tmp_path: Path, kind: str) -> None:
    old = tmp_path / "old"
    old.mkdir()
    contents = {
        "--slo-file": '[[gate]]\nslo = "max < 1us"\n',
        "--prices": TABLE_OF_PRICES,
        "--traffic": "rate_per_s\n5\n",
    }
    file = old / "file"
    file.write_text(contents.get(kind) or log.read_text(encoding="utf-8"), encoding="utf-8")
    value = f"ml.c5.large={file}" if kind == "--capacity" else file
    before = tree(tmp_path)
    (line,) = assert_fails(2, "analyze", log, "--out", old, "--overwrite", kind, value)
    assert "overlaps" in line
    assert tree(tmp_path) == before
