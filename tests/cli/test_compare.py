import json
from pathlib import Path

import polars as pl
import pytest

from loadlens.cli.compare import FailOn, compare_command
from loadlens.errors import GateFailedError, InputError, OutputError, UsageError
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


@pytest.mark.usefixtures("no_drawings")
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


def text_logs(folder: Path, *, bad: int) -> tuple[str, str]:
    """Logs of 300 good rows, and some with a latency that is none."""
    for name in ("base", "candidate"):
        rows = [f"/a,{100 + number % 7},{number}" for number in range(300)]
        rows += [f"/a,=soon,{number}" for number in range(bad)]
        (folder / f"{name}.csv").write_text("\n".join(["page,took,at", *rows]) + "\n")
    return str(folder / "base.csv"), str(folder / "candidate.csv")


MAP = ["label=page", "latency=took:ms", "start=at:relative_s"]


@pytest.mark.usefixtures("no_drawings")
def test_text_logs_are_mapped_and_their_rejects_counted(tmp_path, capsys):
    out = tmp_path / "out"
    compare_command(*text_logs(tmp_path, bad=1), by=["label"], column_map=MAP, max_rejects="1", out=out)
    assert "Warning: base: 1 row was rejected" in capsys.readouterr().out
    document = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert document["base"]["name"].endswith("base.csv")
    for role in ("base", "candidate"):
        assert document[role]["rejected"] == 1
        assert sum(document[role]["rejects_by_reason"].values()) == 1
        assert pl.read_csv(out / f"{role}_rejects.csv")["line"].to_list() == [302]
    assert "Candidate: 1 row was rejected." in (out / "report.html").read_text(encoding="utf-8")


def test_a_map_may_be_a_file(tmp_path, capsys):
    toml = 'label = "page"\nlatency = "took:ms"\nstart = "at:relative_s"\n'
    (tmp_path / "map.toml").write_text(toml)
    logs = text_logs(tmp_path, bad=0)
    compare_command(*logs, by=["label"], map_file=tmp_path / "map.toml", as_json=True)
    assert json.loads(capsys.readouterr().out)["keys"][0]["base_calls"] == 300
    with pytest.raises(UsageError, match="--map and --map-file"):
        compare_command(*logs, map_file=tmp_path / "map.toml", column_map=MAP)


def test_too_many_rejected_rows_are_published_alone(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"2 of 302 rows rejected[^\0]*rejects.csv: has all rejected rows"):
        compare_command(*text_logs(tmp_path, bad=2), column_map=MAP, out=out, safe_csv=True, quiet=True)
    assert not out.exists()
    assert pl.read_csv(tmp_path / "out.rejects.csv")["line"].to_list() == [302, 303]


def test_without_a_folder_it_is_said_how_to_get_the_rejected_rows(tmp_path):
    with pytest.raises(InputError, match=r"--out FOLDER writes all rejected rows into rejects\.csv"):
        compare_command(*text_logs(tmp_path, bad=2), column_map=MAP)


def test_names_of_files_tell_keys(logs, tmp_path, capsys):
    for number, path in enumerate(logs):
        Path(path).rename(tmp_path / f"build{number}_eu.parquet")
    renamed = [str(tmp_path / f"build{number}_eu.parquet") for number in (0, 1)]
    compare_command(*renamed, by=["region"], key_from_name=r"_(?P<region>\w+)", as_json=True)
    assert json.loads(capsys.readouterr().out)["keys"][0]["region"] == "eu"


@pytest.mark.usefixtures("no_drawings")
def test_costs_are_printed_and_written(logs, tmp_path, capsys):
    for path in logs:
        pl.read_parquet(path).with_columns(memory_size=pl.lit(1024)).write_parquet(path)
    out = tmp_path / "out"
    tables = ["sagemaker-serverless", "lambda-arm"]
    compare_command(*logs, prices=tables, request_size=2.0**30 / 1e6, out=out)
    printed = capsys.readouterr().out
    assert printed.count("Per 1M (USD)") == 2
    assert "Warning: lambda-arm: Prices are from memory" in printed
    costs = pl.read_csv(out / "costs.csv")
    assert costs["prices"].to_list() == ["sagemaker-serverless", "lambda-arm"] * 2
    document = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert document["costs"] == costs.to_dicts()
    compare_command(*logs, prices=tables, out=out, overwrite=True, quiet=True)
    of_requests = costs["base"] - pl.read_csv(out / "costs.csv")["base"]
    assert of_requests.to_list() == pytest.approx([0.016, 0.0] * 2)
    slow = costs.filter(label="/slow")["candidate"].to_list()
    assert all(f"{cost:,.2f}" in printed for cost in slow)


@pytest.mark.usefixtures("no_drawings")
def test_without_prices_there_are_no_costs(logs, tmp_path, capsys):
    compare_command(*logs, out=tmp_path / "out")
    assert not (tmp_path / "out" / "costs.csv").exists()
    assert "Per 1M" not in capsys.readouterr().out


def test_an_own_table_of_prices_is_no_place_for_the_output(logs, tmp_path):
    table = tmp_path / "prices.toml"
    table.write_text("")
    with pytest.raises(OutputError, match="overlaps"):
        compare_command(*logs, prices=[str(table)], out=table, overwrite=True)


@pytest.mark.usefixtures("no_drawings")
def test_cells_that_are_formulas_are_disarmed_on_request(logs, tmp_path):
    for path in logs:
        frame = pl.read_parquet(path).with_columns(label=pl.lit("=1+1"), memory_size=pl.lit(1024))
        frame.write_parquet(path)
    for safe in (False, True):
        out = tmp_path / f"out{safe}"
        compare_command(*logs, prices=["lambda-arm"], out=out, safe_csv=safe, quiet=True)
        expected = ["'=1+1" if safe else "=1+1"]
        assert pl.read_csv(out / "comparison.csv")["label"].unique().to_list() == expected
        assert pl.read_csv(out / "costs.csv")["label"].unique().to_list() == expected


def test_an_existing_folder_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.txt").write_text("kept")
    with pytest.raises(OutputError, match="exists"):
        compare_command("no-such-log.csv", "no-such-log.csv", out=tmp_path / "out")
