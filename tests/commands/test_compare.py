import json
from pathlib import Path

import polars as pl
import pytest

from loadlens.commands.compare import FailOn, compare_command
from loadlens.errors import GateFailedError, OutputError, UsageError
from tests.comparison.runs import run
from tests.folders import results_folder


@pytest.fixture
def logs(tmp_path: Path) -> tuple[str, str]:
    frames = {
        "base": run({"/a": 1, "/slow": 1, "/old": 1}, calls=4_000),
        "candidate": run({"/a": 1, "/slow": 1.3, "/new": 1}, calls=4_000, seed=1),
    }
    for name, frame in frames.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    return str(tmp_path / "base.parquet"), str(tmp_path / "candidate.parquet")


def test_prints_verdicts_and_what_was_not_compared(logs, capsys):
    compare_command(*logs)
    printed = capsys.readouterr().out
    assert "worse" in printed
    assert "mean, p50, p90, p95, p99" in printed
    assert "Only in the base, not compared: /old" in printed
    assert "Only in the candidate, not compared: /new" in printed
    assert "Of 2 keys: 1 worse, 1 too little data." in printed


def test_writes_csv_json_report_and_charts(logs, tmp_path, capsys):
    out = tmp_path / "out"
    compare_command(*logs, by=["label"], out=out, quiet=True)
    assert capsys.readouterr().out == ""
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    charts = ["charts/latency_density.png", "charts/latency_spectrum.png"]
    assert files == [*charts, "comparison.csv", "comparison.json", "report.html"]
    table = pl.read_csv(out / "comparison.csv")
    assert table.height == 14
    assert table.columns[:3] == ["label", "metric", "unit"]
    document = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert document["verdicts"] == {"worse": 1, "better": 0, "too little data": 1, "no difference": 0}
    assert document["only_in_base"] == [{"label": "/old", "num_rows": 4000}]
    assert len(document["metrics"]) == 14


def test_prints_json_alone(logs, capsys):
    compare_command(*logs, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["by"] == ["label"]
    assert document["min_effect"] == 0.05


def test_keys_of_any_type_go_into_json(logs, capsys):
    for path in logs:
        pl.read_parquet(path).with_columns(day=pl.date(2024, 5, 1), share=pl.lit(0.5)).write_parquet(path)
    compare_command(*logs, by=["day", "share"], as_json=True)
    assert json.loads(capsys.readouterr().out)["keys"][0]["day"] == "2024-05-01"


def test_fails_on_worse_after_everything_is_written(logs, tmp_path):
    with pytest.raises(GateFailedError, match="1 worse") as raised:
        compare_command(*logs, fail_on=FailOn.WORSE, out=tmp_path / "out", quiet=True)
    assert raised.value.exit_code == 1
    assert (tmp_path / "out" / "report.html").is_file()


def test_does_not_fail_without_a_worse_key(logs, capsys):
    compare_command(logs[0], logs[0], fail_on=FailOn.WORSE)
    compare_command(*logs, min_effect="50%", fail_on=FailOn.WORSE)
    assert "worse" not in capsys.readouterr().out


@pytest.mark.parametrize("effect", ["5", "five", "-5%", "0%", "100%"])
def test_a_minimum_effect_is_a_percentage(logs, effect):
    with pytest.raises(UsageError, match=r"min[-_]effect"):
        compare_command(*logs, min_effect=effect)


def test_a_results_folder_of_the_toolkit_has_several_logs(tmp_path, logs):
    folder = results_folder(tmp_path / "run")
    with pytest.raises(UsageError, match="name an invocation log in it"):
        compare_command(str(folder), logs[1])


def test_an_existing_folder_stays(logs, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.txt").write_text("kept")
    with pytest.raises(OutputError, match="exists"):
        compare_command(*logs, out=tmp_path / "out", quiet=True)
    assert (tmp_path / "out" / "kept.txt").read_text() == "kept"


def test_the_output_may_not_lie_on_an_input(logs):
    with pytest.raises(OutputError, match="overlaps"):
        compare_command(*logs, out=Path(logs[0]), overwrite=True)


def test_a_hostile_key_cannot_steer_the_terminal(logs, capsys):
    for path in logs:
        pl.read_parquet(path).with_columns(label=pl.lit("\x1b[31m[bold]x")).write_parquet(path)
    compare_command(*logs)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]x" in printed


def test_text_logs_are_mapped_and_their_rejects_told(tmp_path, capsys):
    for name in ("base", "candidate"):
        rows = [f"/a,{100 + number % 7},{number}" for number in range(300)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["page,took,at", *rows, "/a,soon,300"]) + "\n")
    compare_command(
        str(tmp_path / "base.csv"),
        str(tmp_path / "candidate.csv"),
        by=["label"],
        column_map=["label=page", "latency=took:ms", "start=at:relative_s"],
        max_rejects="1",
    )
    assert "Warning: base: 1 row was rejected" in capsys.readouterr().out
