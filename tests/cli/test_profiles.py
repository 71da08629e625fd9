import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from loadlens.cli import app
from tests.profile.cases import keyed, log_of, spread


def run(*arguments: str | Path, code: int = 0) -> str:
    """Runs a command; what it printed, its messages among it."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two logs of one day each."""
    folder = tmp_path_factory.mktemp("days")
    paths = [folder / f"day{day}.parquet" for day in (1, 2)]
    for day, path in enumerate(paths):
        times = pl.col("start_time", "end_time") + 86_400 * day
        keyed(log_of(spread(2000, seed=day))).with_columns(times).write_parquet(path)
    return paths


@pytest.fixture(scope="module")
def profiles(logs: Sequence[Path]) -> list[Path]:
    """Their profiles."""
    for path in logs:
        run("profile", path, "--out", path.with_suffix(".profile"), "--by", "memory_size")
    return [path.with_suffix(".profile") for path in logs]


def test_profile_and_merge_say_what_they_wrote(logs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "run.profile"
    assert f"{out}: " in run("profile", *logs, "--out", out).replace("\n", "")
    assert run("profile", *logs, "--out", out, "--quiet", "--overwrite") == ""
    assert "exists; pass --overwrite" in run("profile", *logs, "--out", out, code=2)


@pytest.mark.usefixtures("no_drawings")
def test_analyze_states_the_bound_in_every_output(profiles: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run("analyze", *profiles, "--out", out)
    document = json.loads((out / "summary.json").read_text())
    assert document["relative_error"] == 1 / 512
    assert sum(row["num_invocations"] for row in document["summary"]) == 4000
    assert any("2 saved profiles of 4,000 calls" in sentence for sentence in document["warnings"])
    report = " ".join((out / "report.html").read_text().split())
    assert "percentiles are off by at most 0.2%; see the data quality section" in report
    assert "2 saved profiles of 4,000 calls" in report
    assert "percentiles are off by at most 0.2%" in printed


def test_analyze_refuses_exact_figures_where_asked(profiles: list[Path], tmp_path: Path) -> None:
    assert "--exact" in run("analyze", *profiles, "--out", tmp_path / "out", "--exact", code=2)
    assert not (tmp_path / "out").exists()


def test_a_log_counts_twice_only_by_force(profiles: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.profile"
    copy.write_bytes(profiles[0].read_bytes())
    out = tmp_path / "all.profile"
    assert "both hold the log" in run("merge", profiles[0], copy, "--out", out, code=3)
    assert "both hold the log" in run("analyze", profiles[0], copy, "--out", tmp_path / "out", code=3)
    run("merge", profiles[0], copy, "--out", out, "--force")
    assert "4,000 calls" in run("inspect", out)


def test_inspect_says_what_a_profile_is(profiles: list[Path]) -> None:
    document = json.loads(run("inspect", profiles[1], "--json"))
    assert document["format"] == "profile"
    assert document["rows"] == 2000
    assert document["key"] == ["memory_size"]
    assert list(document["sources"]) == [str(profiles[1].with_suffix(".parquet"))]
    assert document["first_s"] > 86_400
    printed = run("inspect", profiles[1])
    assert "saved profile, format 4" in printed
    assert "off by at most 0.2%" in printed


@pytest.mark.parametrize(("factor", "code"), [(1.01, 0), (0.99, 1), (1.0005, 1), (0.9995, 1)])
def test_gates_close_to_the_bound_fail_to_be_safe(profiles: list[Path], factor: float, code: int) -> None:
    log = pl.read_parquet(profiles[0].with_suffix(".parquet"))
    size = log["memory_size"].min()
    exact = log.filter(memory_size=size)["invocation_latency"].quantile(0.9, "linear")
    assert exact is not None
    gate = f"p90 < {exact * factor:.6f}ms for memory_size={size}"
    printed = run("check", profiles[0], "--slo", gate, code=code)
    assert ("too close" in " ".join(printed.split())) == (abs(factor - 1) < 0.005)
    assert "off by at most 0.2%" in printed


@pytest.mark.parametrize(("share", "code"), [(89.0, 0), (91.0, 1)])
def test_shares_are_judged_by_whole_buckets(profiles: list[Path], share: float, code: int) -> None:
    log = pl.read_parquet(profiles[0].with_suffix(".parquet"))
    size = log["memory_size"].min()
    limit = log.filter(memory_size=size)["invocation_latency"].quantile(0.9, "linear")
    run("check", profiles[0], "--slo", f"{share}% < {limit}ms for memory_size={size}", code=code)


def test_gates_that_need_calls_are_refused(profiles: list[Path]) -> None:
    assert "check the log itself" in run("check", profiles[0], "--slo", "p99 < 1s filtered", code=2)


def test_gates_within_windows_are_judged_by_the_timeline(profiles: list[Path]) -> None:
    run("check", profiles[0], "--slo", "p99 < 100s within 1h of every window")
    run("check", profiles[0], "--slo", "p99 < 1ms within 1h of every window", code=1)


def test_rates_and_counts_are_judged_exactly(profiles: list[Path]) -> None:
    log = pl.read_parquet(profiles[0].with_suffix(".parquet"))
    fewest = log.filter(pl.col("invocation_latency") > 0).group_by("memory_size").len()["len"].min()
    run("check", profiles[0], "--slo", f"count >= {fewest}", "--slo", "error_rate < 0.1%")
    run("check", profiles[0], "--slo", f"count > {fewest}", code=1)


def test_profiles_are_compared_and_priced(profiles: list[Path], tmp_path: Path) -> None:
    compared = json.loads(run("compare", *profiles, "--json"))
    assert compared["relative_error"] == 1 / 512
    printed = run("cost", profiles[0], "--out", tmp_path / "cost")
    assert "off by at most 0.2%" in printed
    assert json.loads((tmp_path / "cost" / "choice.json").read_text())["relative_error"] == 1 / 512
    assert "off by at most 0.2%" in (tmp_path / "cost" / "report.html").read_text()


def test_costs_say_that_billed_durations_are_gone(logs: list[Path], tmp_path: Path) -> None:
    frame = pl.read_parquet(logs[0]).with_columns(billed_duration=pl.lit(7.0))
    frame.write_parquet(tmp_path / "billed.parquet")
    run("profile", tmp_path / "billed.parquet", "--out", tmp_path / "billed.profile", "--by", "memory_size")
    run("cost", tmp_path / "billed.profile", "--out", tmp_path / "cost")
    report = " ".join((tmp_path / "cost" / "report.html").read_text().split())
    assert "rofiles keep no billed_duration" in report


def test_a_results_folder_is_refused(tmp_path: Path, logs: list[Path]) -> None:
    folder = tmp_path / "results" / "concurrency_benchmark_raw_results"
    folder.mkdir(parents=True)
    (folder / "invocation_benchmark_results.parquet").write_bytes(logs[0].read_bytes())
    printed = run("profile", tmp_path / "results", "--out", tmp_path / "run.profile", code=2)
    assert "name one of the invocation logs" in printed
