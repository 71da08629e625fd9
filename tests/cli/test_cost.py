import json
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from loadlens import InputError, OutputError, PriceError, UsageError
from loadlens.cli.cost import cost_command
from loadlens.cli.small_commands import prices_command
from loadlens.demo import simulate_results_folder
from loadlens.errors import LoadlensError

app = typer.Typer()
app.command("cost")(cost_command)
app.command("prices")(prices_command)


def run(*arguments: str | Path) -> str:
    """Runs a command; what it raises on purpose is raised here."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, LoadlensError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.parquet"
    rows = [(size, 100_000 / size + step, step) for size in (1024, 2048, 4096) for step in range(20)]
    frame = pl.DataFrame(rows, schema=["memory_size", "invocation_latency", "start_time"], orient="row")
    frame.with_columns(end_time=pl.col("start_time") + 0.5).write_parquet(path)
    return path


def test_everything_is_written(tmp_path: Path, log: Path) -> None:
    out = tmp_path / "out"
    text = run(
        "cost", log, "--out", out, "--traffic", "10M/month peak 9/s", "--capacity", "ml.c5.large=4",
        "--capacity", "ml.t2.medium=2/s", "--objective", "p90 < 60ms",
    )  # fmt: skip
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {
        "costs.csv", "monthly.csv", "break_even.csv", "choice.json", "report.html",
        "charts/pareto.png", "charts/break_even.png",
    }  # fmt: skip
    document = json.loads((out / "choice.json").read_text(encoding="utf-8"))
    assert document["strategy"] == "cheapest"
    assert document["objective"] == "p90 < 60 ms"
    assert document["choice"]["option"] == "4,096 MB"
    assert document["reason"] in text
    monthly = pl.read_csv(out / "monthly.csv")
    assert monthly["units"].to_list() == [None, None, None, 3, 5]
    assert pl.read_csv(out / "costs.csv")["memory_size"].to_list() == [1024, 2048, 4096]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(title in page for title in ("What to run", "Break-even", "Traffic and capacity", "Prices"))


@pytest.mark.usefixtures("no_drawings")
def test_a_results_folder_of_the_toolkit_is_priced_by_its_stability_log(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    simulate_results_folder(folder, rows=2000, seed=1)
    text = run("cost", folder, "--out", tmp_path / "out")
    assert "1,024 MB" in text
    costs = pl.read_csv(tmp_path / "out" / "costs.csv")
    assert costs["duration_basis"].unique().to_list() == ["mean latency"]
    assert costs["cost_per_invocation"].min() > 0  # type: ignore[operator]


@pytest.mark.usefixtures("no_drawings")
def test_little_is_needed(tmp_path: Path, log: Path) -> None:
    out = tmp_path / "out"
    run("cost", log, "--out", out)
    assert json.loads((out / "choice.json").read_text(encoding="utf-8"))["strategy"] == "balanced"
    assert pl.read_csv(out / "break_even.csv").is_empty()
    assert not (out / "charts" / "break_even.png").exists()
    assert "No capacity of an instance is known" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_drawings")
def test_a_capacity_from_a_log(tmp_path: Path, log: Path) -> None:
    load = tmp_path / "load.parquet"
    rows = [(clients, 5.0, step / clients / 10) for clients in (1, 2) for step in range(100)]
    frame = pl.DataFrame(rows, schema=["num_clients", "invocation_latency", "start_time"], orient="row")
    frame.with_columns(end_time=pl.col("start_time") + 0.005).write_parquet(load)
    run("cost", log, "--out", tmp_path / "out", "--capacity", f"ml.c5.large={load}")
    document = json.loads((tmp_path / "out" / "choice.json").read_text(encoding="utf-8"))
    assert document["capacities"][0]["rate"] == pytest.approx(100 / (99 / 20 + 0.005))
    assert [level["sustained"] for level in document["capacities"][0]["levels"]] == [True, True]


@pytest.mark.usefixtures("no_drawings")
def test_several_tables_and_those_from_memory_are_told(tmp_path: Path, log: Path) -> None:
    text = run("cost", log, "--out", tmp_path / "out", "--prices", "lambda-arm", "--prices", "lambda-x86")
    assert "lambda-arm · 1,024 MB" in text
    assert "Warning: lambda-arm: Prices are from memory" in text
    assert "from memory" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_drawings")
def test_quiet_prints_nothing(tmp_path: Path, log: Path) -> None:
    assert run("cost", log, "--out", tmp_path / "out", "--quiet") == ""


def test_keys_of_a_log_are_inert(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    frame = {"memory_size": [1024, 1024], "invocation_latency": [1.0, 2.0], "label": ["=1+1", "<b>\x1b[31m"]}
    pl.DataFrame(frame).write_parquet(path)
    text = run("cost", path, "--out", tmp_path / "out", "--by", "label", "--by", "memory_size", "--safe-csv")
    assert "\x1b[31m" not in text
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "\x1b" not in page
    assert "\n=1" not in (tmp_path / "out" / "costs.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--prices", "none.toml"], PriceError),
        (["--by", "label"], UsageError),
        (["--capacity", "ml.c5.large"], UsageError),
        (["--capacity", "=4"], UsageError),
        (["--capacity", "ml.c5.large=nan"], UsageError),
        (["--capacity", "ml.c5.large=none.csv"], InputError),
        (["--capacity", "ml.huge=4"], PriceError),
        (["--traffic", "much"], UsageError),
        (["--strategy", "cheapest"], UsageError),
        (["--weight", "2"], UsageError),
        (["--percentile", "100"], UsageError),
        (["--percentile", "99", "--objective", "p95 < 1s"], UsageError),
        (["--objective", "fast"], UsageError),
    ],
)
def test_wrong_options_leave_nothing_behind(
    tmp_path: Path, log: Path, arguments: list[str], error: type[LoadlensError]
) -> None:
    with pytest.raises(error):
        run("cost", log, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_drawings")
def test_an_output_folder_is_not_replaced_unasked(tmp_path: Path, log: Path) -> None:
    run("cost", log, "--out", tmp_path / "out")
    with pytest.raises(OutputError, match="exists"):
        run("cost", log, "--out", tmp_path / "out")
    with pytest.raises(OutputError, match="overlaps"):
        run("cost", log, "--out", tmp_path, "--overwrite")
    run("cost", log, "--out", tmp_path / "out", "--overwrite", "--strategy", "speed")


def test_prices_are_listed_and_shown() -> None:
    listed = run("prices")
    assert "lambda-x86" in listed
    assert "check before use" in listed
    shown = run("prices", "lambda-x86")
    assert "0.0000166667" in shown
    assert "INIT" in shown
    assert "0.00002" in run("prices", "sagemaker-serverless")
    assert "ml.c5.xlarge" in run("prices", "sagemaker-instances")
    with pytest.raises(PriceError):
        run("prices", "dear")


@pytest.mark.usefixtures("no_drawings")
def test_json_is_the_choice(tmp_path: Path, log: Path) -> None:
    out, column_map = tmp_path / "out", tmp_path / "map.toml"
    renamed = tmp_path / "renamed.csv"
    pl.read_parquet(log).rename({"invocation_latency": "ms", "end_time": "end"}).write_csv(renamed)
    column_map.write_text('latency = "ms:ms"\nmemory_size = "memory_size"\n', encoding="utf-8")
    document = json.loads(run("cost", renamed, "--out", out, "--map-file", column_map, "--json"))
    assert document == json.loads((out / "choice.json").read_text(encoding="utf-8"))
    assert document["choice"]["option"] == "4,096 MB"


@pytest.mark.usefixtures("no_drawings")
def test_an_objective_that_nothing_meets_leaves_no_choice(tmp_path: Path, log: Path) -> None:
    text = run("cost", log, "--out", tmp_path / "out", "--objective", "p90 < 1ms")
    assert "Choice: No option of 3 meets p90 < 1 ms; the closest is 4,096 MB" in text
    assert json.loads((tmp_path / "out" / "choice.json").read_text(encoding="utf-8"))["choice"] is None
