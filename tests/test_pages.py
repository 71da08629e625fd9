"""Pages and docstrings name files, functions and options that exist."""

import re
import tomllib
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest
import typer

import loadlens
from loadlens.cli import app

PROJECT = Path(__file__).parents[1]
ROOTS = (PROJECT, PROJECT / "src" / "loadlens")
PAGES = ("docs/architecture.md", "CONTRIBUTING.md", "SECURITY.md")
ALL_PAGES = [
    path.relative_to(PROJECT).as_posix() for path in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"))
]
MODULES = list((PROJECT / "src" / "loadlens").rglob("*.py"))
NO_NAMES = {"prom", "polars_namespace"}  # a file of others, and a module to import
MADE = {"rejects.csv", ".venv/bin", "build/site"}  # not part of the project


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


def anchors(path: Path) -> set[str]:
    """What links can point to within a page: its headings, as GitHub and MyST name them."""
    headings = re.findall(r"^#+ +(.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL_PAGES)
def test_what_a_page_links_to_exists(page: str) -> None:
    here = PROJECT / page
    links = re.findall(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)", here.read_text(encoding="utf-8"))
    for name, anchor in links:
        target = here.parent / name if name else here
        if "://" not in name:
            assert target.exists(), name
            assert not anchor or anchor in anchors(target), f"{name}#{anchor}"


def test_the_reference_has_every_public_name() -> None:
    page = (PROJECT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    named = re.findall(
        r"^\.\. auto(?:class|data|exception|function):: loadlens\.(\w+)$", page, flags=re.MULTILINE
    )
    assert sorted(named) == sorted(set(loadlens.__all__) - {"__version__"})


def test_every_page_is_in_the_list_of_the_front_page() -> None:
    front = (PROJECT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^(?:[^`<\n]+<)?([\w/-]+)>?$", front, flags=re.MULTILINE))
    pages = {
        path.relative_to(PROJECT / "docs").with_suffix("").as_posix() for path in PROJECT.glob("docs/**/*.md")
    }
    assert pages - {"index"} <= listed


def test_the_readme_is_short_and_has_the_command_that_runs_the_tests() -> None:
    lines = (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    [quick] = [line for line in lines if "python -m pytest" in line]
    assert quick.startswith("python3 -m venv .venv && ")


@pytest.mark.parametrize("page", ALL_PAGES)
def test_the_names_of_loadlens_that_a_page_has_exist(page: str) -> None:
    text = (PROJECT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"\bloadlens\.([A-Za-z]\w+(?:\.\w+)*)\b", text)) - NO_NAMES
    for name in named:
        attrgetter(name)(loadlens)


@pytest.mark.parametrize("page", ALL_PAGES)
def test_the_options_of_commands_that_a_page_shows_exist(page: str) -> None:
    text = (PROJECT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # of a group
    names = "|".join(commands)
    for name, rest in re.findall(rf"(?:^|`|\$ )loadlens ({names})\b([^`\n|>]*)", text, flags=re.MULTILINE):
        known = {flag for option in commands[name].params for flag in (*option.opts, *option.secondary_opts)}
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", rest)) <= {*known, "--help"}, name


def test_what_a_docstring_refers_to_exists() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in MODULES}
    defined = re.compile(
        r"^ *(?:def|class) (\w+)|^    (\w+): [\w.]+(?:\[.*\])?(?: \| .*| = .*)?$", flags=re.MULTILINE
    )
    known = {name for text in texts.values() for names in defined.findall(text) for name in names}
    named = {
        (path.name, name)
        for path, text in texts.items()
        for name in re.findall(r"\b[Ss]ee\s+``(?:loadlens\.)?(\w+)", text)
    }
    assert named
    assert {(path, name) for path, name in named if name not in known} == set()


def test_constraints_hold_what_the_project_asks_for_directly() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[\[><=]", line)[0].lower().replace("_", "-")
        for line in (*project["dependencies"], *extras["test"], *extras["bench"], *extras["docs"])
    }
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    held = {line.split("==")[0].lower().replace("_", "-") for line in lines if not line.startswith("#")}
    assert wanted <= held
