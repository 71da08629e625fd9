"""What a row is: a request, or a transaction of several requests."""

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from loadlens import read_log, summarize
from loadlens.cli import app
from loadlens.errors import UsageError
from loadlens.logs import Reading, open_log
from tests.dialect_logs import calls, vegeta_json

pytestmark = pytest.mark.usefixtures("no_drawings")

JTL = (
    "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success\n"
    "1700000000000,10,a,200,OK,g 1-1,true\n"
    "1700000000010,20,b,500,no,g 1-1,false\n"
    "1700000000000,30,Buy,,"
    '"Number of samples in transaction : 2, number of failing samples : 1",g 1-1,false\n'
)
COMMANDS = (
    ["analyze", "--out", "o"],
    ["check", "--slo", "p99 < 1s"],
    ["convert", "--out", "o.parquet"],
    ["inspect"],
)


def jtl(folder: Path) -> Path:
    path = folder / "run.jtl"
    path.write_text(JTL)
    return path


def test_a_level_chooses_what_a_row_is(tmp_path: Path) -> None:
    path = jtl(tmp_path)
    requests = summarize(read_log(path), by="label").summary
    transactions = summarize(read_log(path, level="transactions"), by="label").summary
    assert requests.get_column("label").to_list() == ["a", "b"]
    assert transactions.select("label", "num_invocations", "num_errors").rows() == [("Buy", 1, 1)]


def test_the_command_line_has_the_level_too(tmp_path: Path) -> None:
    path = jtl(tmp_path)
    arguments = ["check", str(path), "--slo", "error_rate < 1%", "--level"]
    failed = CliRunner().invoke(app, [*arguments, "transactions"])
    assert (failed.exit_code, "Buy" in failed.output) == (1, True)
    assert "Buy" not in CliRunner().invoke(app, [*arguments, "requests"]).output


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_format_without_transactions_refuses_the_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.ndjson").write_bytes(vegeta_json(calls(9, 1)))
    found = CliRunner().invoke(app, [command[0], "run.ndjson", *command[1:], "--level", "transactions"])
    (line,) = found.stderr.splitlines()
    assert found.exit_code == 2
    assert line.startswith(
        "loadlens: run.ndjson: vegeta JSON lines has no level transactions, only these formats have:"
    )
    assert "jmeter-csv" in line


def test_tables_have_no_levels(tmp_path: Path) -> None:
    frame = pl.DataFrame({"invocation_latency": [1.0]})
    reading = Reading.of(level="transactions")
    for table in (frame, frame.lazy(), frame.to_arrow()):
        with pytest.raises(UsageError, match="a table in memory has no level transactions"):
            open_log(table, reading=reading)
    frame.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="parquet: parquet has no level transactions"):
        open_log(tmp_path / "a.parquet", reading=reading)


def test_an_unknown_level_and_one_under_a_map_are_refused() -> None:
    with pytest.raises(UsageError, match="level: got 'groups', expected one of: requests, transactions"):
        Reading.of(level="groups")
    with pytest.raises(UsageError, match="cannot be told by a map of columns"):
        Reading.of(level="transactions", column_map=["latency=t:ms"])
