"""Files that pipelines read: Markdown for pull requests, JUnit for build servers, metrics for monitors."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from loadlens.cli.grouped_commands import output_option
from loadlens.cli.option_groups import local_file
from loadlens.errors import OutputError, UsageError
from loadlens.publish.publishing import publish_files, refuse_files, write_text

__all__ = ["Junit", "MarkdownFiles", "OpenMetrics", "written_file"]

_STEP_SUMMARY: Final = "GITHUB_STEP_SUMMARY"


def written_file(help_text: str) -> typer.models.OptionInfo:
    """An option that names a file to write."""
    found: typer.models.OptionInfo = output_option(parser=local_file, metavar="FILE", help=help_text)
    return found


Junit = Annotated[Path | None, written_file("JUnit XML file to write; replaces one that is there.")]
OpenMetrics = Annotated[
    Path | None, written_file("OpenMetrics file of the figures; replaces one that is there.")
]


@dataclass(frozen=True, kw_only=True)
class MarkdownFiles:
    """Where a result goes as Markdown."""

    markdown: Annotated[
        Path | None, written_file("Markdown file for pull requests; replaces one that is there.")
    ] = None
    step_summary: Annotated[
        bool,
        output_option("--step-summary", help="Add the Markdown to the summary of the GitHub Actions step."),
    ] = False

    def refuse(self, inputs: Iterable[object], *others: Path | None) -> None:
        """Refuses files that cannot be written, these and others, before a row is read.

        Raises:
            OutputError: one is a folder or an input, or named twice.
            UsageError: no GitHub Actions step runs.
        """
        refuse_files([path for path in (self.markdown, *others) if path is not None], inputs)
        if self.step_summary and not os.environ.get(_STEP_SUMMARY):
            raise UsageError(
                f"--step-summary: {_STEP_SUMMARY} is not set, as it is in a step of GitHub Actions; "
                f"use --markdown FILE elsewhere"
            )

    def publish(self, text: Callable[[], str], *others: tuple[Path | None, Callable[[Path], None]]) -> None:
        """Writes the files that were asked for, these and others.

        Args:
            text: the result as Markdown.
            others: further files, each with what writes it.

        Raises:
            OutputError: one cannot be written.
        """
        writers = [(self.markdown, lambda path: write_text(path, text())), *others]
        publish_files([(path, write) for path, write in writers if path is not None])
        if self.step_summary:
            path = Path(os.environ[_STEP_SUMMARY])
            try:
                with path.open("a", encoding="utf-8", newline="\n") as file:
                    file.write(f"{text()}\n")
            except OSError as error:
                raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
