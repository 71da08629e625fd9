"""Pages for contributors name files that exist."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
ROOTS = (PROJECT, PROJECT / "src" / "loadlens")
PAGES = ("docs/architecture.md", "CONTRIBUTING.md", "SECURITY.md")
MADE = {"rejects.csv", ".venv/bin"}  # not part of the project


def named_files(page: str) -> Iterator[str]:
    """What a page links to, and what it has in backticks that looks like a file or a folder."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    yield from (link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link)
    for quoted in re.findall(r"`([^`\n]+)`", text):
        if re.fullmatch(r"\.?[\w.-]+(/[\w.-]+)*/?", quoted) and re.search(r"/|\.(py|md|txt|toml|c)$", quoted):
            yield quoted


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_exist(page: str) -> None:
    roots = (*ROOTS, (PROJECT / page).parent)
    named = set(named_files(page)) - MADE
    missing = {name for name in named if not any((root / name).exists() for root in roots)}
    assert not missing


def test_the_page_on_architecture_names_every_room() -> None:
    named = {name.rstrip("/") for name in named_files("docs/architecture.md")}
    rooms = {path.parent.name for path in (PROJECT / "src" / "loadlens").glob("*/__init__.py")}
    assert not rooms - named


def test_constraints_hold_what_the_project_asks_for_directly() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[\[><=]", line)[0].lower().replace("_", "-")
        for line in (*project["dependencies"], *extras["test"], *extras["bench"])
    }
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    held = {line.split("==")[0].lower().replace("_", "-") for line in lines if not line.startswith("#")}
    assert wanted <= held
