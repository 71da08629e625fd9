"""The first steps that docs/start shows for each tool: every command of a page runs on a log of that tool."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.command_line import loadlens_
from tests.dialect_logs import START_MS, calls, csv_text, sample
from tests.folders import results_folder

START = Path(__file__).parents[1] / "docs" / "start"


def blocks(page: str, language: str) -> list[str]:
    text = (START / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[list[str]]:
    """The arguments of each command of loadlens, without the comment behind it."""
    lines = [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]
    return [line[1:] for line in lines if line[:1] == ["loadlens"]]


def write(folder: Path, dialect: str, names: Sequence[str]) -> None:
    for seed, name in enumerate(names):
        (folder / name).write_bytes(sample(dialect, rows=400, seed=seed).data)


def run(block: str, *, fewest: int = 3) -> None:
    """Runs the commands of a block; gates and comparisons may fail, but each has its answer."""
    found = commands(block)
    assert len(found) >= fewest
    for arguments in found:
        done = loadlens_(*arguments)
        assert done.exit_code in {0, 1}, (arguments, done.stderr)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize(
    ("page", "dialect", "names"),
    [
        ("jmeter", "jmeter-csv", ["run.jtl", "yesterday.jtl"]),
        ("jmeter", "jmeter-xml", ["run.jtl", "yesterday.jtl"]),
        ("k6", "k6-csv", ["run.csv", "main.csv"]),
        ("locust", "locust-csv", ["requests_4711.csv", "requests_4712.csv", "main.csv"]),
        ("aws-lambda", "lambda-json", ["run.json"]),
    ],
)
def test_the_commands_run(page: str, dialect: str, names: list[str], here: Path) -> None:
    write(here, dialect, names)
    run(blocks(page, "sh")[0])


@pytest.mark.slow
@pytest.mark.usefixtures("no_drawings")
@pytest.mark.parametrize("number", range(3))
def test_the_commands_for_vegeta_hey_and_oha_run(number: int, here: Path) -> None:
    write(here, ("vegeta-csv", "hey-csv", "oha-csv")[number], ["run.csv", "main.csv"])
    run(blocks("vegeta-hey-oha", "sh")[number])


@pytest.mark.slow
@pytest.mark.usefixtures("no_drawings")
def test_the_commands_for_gatling_run(here: Path) -> None:
    group = f"GROUP\tcheckout\t{START_MS}\t{START_MS + 900}\t700\tOK\n"
    (here / "simulation.log").write_bytes(sample("gatling-text").data + group.encode())
    run(blocks("gatling", "sh")[0])


@pytest.mark.slow
@pytest.mark.usefixtures("no_drawings")
def test_the_commands_for_sagemaker_run(here: Path) -> None:
    results_folder(here / "results-folder")
    block = blocks("sagemaker", "sh")[0]
    run(block)
    [shown] = re.findall(r"^head (\S+)", block, flags=re.MULTILINE)
    assert (here / shown).is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("no_drawings")
def test_the_commands_for_any_table_run(here: Path) -> None:
    for seed, name in enumerate(("run.csv", "old.csv")):
        rows = [(call.start, call.ms, call.status, call.label) for call in calls(400, seed)]
        (here / name).write_bytes(csv_text("ts,elapsed,status,url", rows))
    (here / "columns.toml").write_text(blocks("any-table", "toml")[0], encoding="utf-8")
    loadlens_("convert", "old.csv", "--map-file", "columns.toml", "--out", "old.parquet")
    run(blocks("any-table", "sh")[0])


def test_every_page_of_a_tool_has_five_steps_and_a_picture() -> None:
    pages = sorted(path.stem for path in START.glob("*.md") if path.stem != "index")
    assert len(pages) == 8
    for page in pages:
        for block in blocks(page, "sh"):
            assert re.findall(r"# (\d)\. ", block) == list("12345"), page
        assert "](../images/gallery/" in (START / f"{page}.md").read_text(encoding="utf-8")
