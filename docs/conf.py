"""How Sphinx makes the site of these pages: ``sphinx-build --fail-on-warning docs build/site``.

A page takes in a file of the repository by the line ``<!-- include: CONTRIBUTING.md -->``, and the options of
all commands by ``<!-- generate: command line -->``. A link to a file that a page takes in leads to that page;
MyST copies other files that pages link to.
"""

import os
import re
from collections.abc import Iterator
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final

import typer
from sphinx.application import Sphinx

from loadlens.cli.program import app as loadlens_command

project = "loadlens"
version = release = version_of("loadlens")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]
html_theme = "furo"
html_title = f"loadlens {version}"
html_baseurl = os.environ.get("DOCS_SITE_URL", "")
html_static_path = ["images/site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 90
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
smartquotes = False  # they would make one dash of the two of an option
napoleon_numpy_docstring = False
napoleon_use_rtype = False

ROOT: Final = Path(__file__).parent.parent
_PAGES: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/results/results.md": "benchmarks.md",
}
"""The pages that take in a file of the repository, and the front page in the place of the README."""

_INCLUDE: Final = re.compile(r"^<!-- include: (\S+) -->$", re.MULTILINE)
_COMMAND_LINE: Final = "<!-- generate: command line -->"
_LINK: Final = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?=[#)])")
_OF_HOST: Final = re.compile(
    r"^\[[^\]]+\]: \.\./\.\./\S+\n", re.MULTILINE
)  # versions compared, where it is hosted


def setup(sphinx: Sphinx) -> None:
    """Changes pages as they are read."""
    sphinx.connect("source-read", _read)
    sphinx.connect("autodoc-process-signature", _without_lambda)
    sphinx.connect("autodoc-process-docstring", _short_types, priority=600)  # after Napoleon


def _read(sphinx: Sphinx, page: str, source: list[str]) -> None:
    folder = (Path(sphinx.srcdir) / page).parent
    text = _relinked(source[0], folder, folder)
    text = _INCLUDE.sub(lambda found: _included(ROOT / found[1], folder), text)
    source[0] = text.replace(_COMMAND_LINE, command_line() if _COMMAND_LINE in text else "")


def _without_lambda(*event: Any) -> tuple[str | None, str | None]:
    """A signature that can be parsed: the default of a callback is a function without a name."""
    *_, signature, returned = event
    return signature and re.sub(r"<function [\w.]*<lambda>>", "...", signature), returned


def _short_types(_sphinx: Sphinx, kind: str, *others: Any) -> None:
    """Types of attributes without the rules that check them, and without modules; sentences stay whole."""
    lines: list[str] = others[-1]
    for number, line in enumerate(lines):
        if line.lstrip().startswith(":type:"):
            bare = re.sub(r"Annotated\[([\w.]+), .*?\)\]", r"\1", line)
            lines[number] = re.sub(r"~?\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", bare)
            if kind == "property":  # Napoleon takes what stands before the colon of a sentence for a type
                lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"
                lines[number] = ""


def _included(file: Path, folder: Path) -> str:
    return _relinked(_OF_HOST.sub("", file.read_text(encoding="utf-8")), file.parent, folder)


def _relinked(markdown: str, folder: Path, page_folder: Path) -> str:
    """The text of a file in ``folder`` with links that hold in ``page_folder``."""

    def place(found: re.Match[str]) -> str:
        target = (folder / found["path"]).resolve()
        name = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else ""
        target = ROOT / "docs" / _PAGES[name] if name in _PAGES else target
        return Path(os.path.relpath(target, page_folder)).as_posix()

    return _LINK.sub(place, markdown)


def command_line() -> str:
    """The commands with all of their options, as Markdown."""
    commands: Any = typer.main.get_command(loadlens_command)
    parent = commands.make_context("loadlens", [], resilient_parsing=True)
    parts = []
    for name in commands.list_commands(parent):
        command = commands.get_command(parent, name)
        with command.make_context(name, [], parent=parent, resilient_parsing=True) as context:
            usage = command.get_usage(context).removeprefix("Usage: ")
            parts += [
                f"## loadlens {name}",
                command.help or "",
                f"```text\n{usage}\n```",
                *_tables(command, context),
            ]
    return "\n\n".join(parts)


def _tables(command: Any, context: Any) -> Iterator[str]:
    """A table for each group of options."""
    for title, records in command.records(context).items():
        rows = [f"| `{name}` | {_cell(text)} |" for name, text in records]
        yield "\n".join([f"| {title} | |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return re.sub(r"([|*_<\[{])", r"\\\1", text) if "`" not in text else text.replace("|", "\\|")
