"""Options that several commands have, one by one and in groups."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from loadlens.cli.grouped_commands import (
    comparison_option,
    cost_option,
    figures_option,
    gates_option,
    input_argument,
    input_option,
    output_option,
    running_option,
    slices_option,
)
from loadlens.errors import GateError, InputError, UsageError
from loadlens.gates import Gate, parse_gates, read_gates
from loadlens.keywords import MIN_EFFECT, columns_of
from loadlens.logs import ColumnMap, Reading, find_toolkit_folder
from loadlens.messages import json_text, visible
from loadlens.profile import MeasureOptions, OnProgress
from loadlens.profile import Outliers as Fence
from loadlens.storage.location import location
from loadlens.summaries import Details

__all__ = [
    "AsJson",
    "By",
    "DetailOptions",
    "FileOptions",
    "GateOptions",
    "KeyOptions",
    "LogOptions",
    "Logs",
    "LogsOrFolder",
    "MemoryOptions",
    "MinEffect",
    "Out",
    "Outliers",
    "Overwrite",
    "PrintOptions",
    "Quiet",
    "RequestSize",
    "RunningOptions",
    "SafeCsv",
    "SliceOptions",
    "Storage",
    "excerpts_shown",
    "fence_of",
    "local_file",
    "named_files",
    "refuse_results_folder",
    "share_of",
]


class OutlierChoice(StrEnum):
    """Values of --outliers."""

    MEAN_IQR = "mean-iqr"
    TUKEY = "tukey"
    NONE = "none"


class LevelChoice(StrEnum):
    """Values of --level."""

    REQUESTS = "requests"
    TRANSACTIONS = "transactions"


def local_file(text: str) -> Path:
    """The path on this machine's disks that an option names, as such or as ``file://``."""
    try:
        place = location(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None
    if not isinstance(place, Path):
        raise typer.BadParameter(f"{place}: is no place on this machine's disks; name one there")
    return place


Logs = Annotated[list[str], input_argument(metavar="LOGS", help="Logs: files, folders, globs.")]
LogsOrFolder = Annotated[
    list[str], input_argument(metavar="LOGS", help="Logs: files, folders, globs; or a results folder.")
]
By = Annotated[
    list[str] | None,
    slices_option(
        "--by", metavar="COLUMN", help="Column to group by; repeatable; else the log's natural key."
    ),
]
Outliers = Annotated[
    OutlierChoice | None,
    figures_option(
        metavar="FENCE", help="Remove calls above it: mean-iqr (of a results folder), tukey or none."
    ),
]
MinEffect = Annotated[
    str,
    comparison_option(
        metavar="PERCENT", help="Smallest change that counts, of the base's figure.", show_default=True
    ),
]
RequestSize = Annotated[
    float | None, cost_option(min=0, metavar="BYTES", help="Mean bytes of a request, where data is paid for.")
]
Storage = Annotated[
    list[str] | None,
    input_option(
        "--storage-option",
        metavar="KEY=VALUE",
        help="Object store's option, e.g. aws_region=eu-west-1; repeatable.",
    ),
]
Out = Annotated[
    str, output_option("--out", metavar="FOLDER", help="Folder to write, or s3://...; whole or not at all.")
]
Overwrite = Annotated[bool, output_option("--overwrite", help="Replace an existing output.")]
SafeCsv = Annotated[
    bool, output_option("--safe-csv", help="Disarm CSV cells that a spreadsheet would take for formulas.")
]
Quiet = Annotated[bool, output_option("--quiet", help="Print nothing but errors.")]
AsJson = Annotated[bool, output_option("--json", help="Print JSON instead of tables.")]


@dataclass(frozen=True, kw_only=True)
class KeyOptions:
    """What a log is grouped by."""

    by: By = None
    whole: Annotated[bool, slices_option("--whole", help="Group by nothing: all calls together.")] = False

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The key columns, none for the log as a whole; None for its natural key.

        Raises:
            UsageError: both options are given, or a column twice.
        """
        if self.by and self.whole:
            raise UsageError("--whole groups by nothing and --by by columns; give one of them")
        return columns_of(self.by) if self.by else () if self.whole else None


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How one file is read."""

    log_format: Annotated[
        str | None,
        input_option(
            "--format", metavar="NAME", help="Format of text logs, e.g. jmeter-csv; else their content tells."
        ),
    ] = None
    column_map: Annotated[
        list[str] | None,
        input_option(
            "--map", metavar="TARGET=COLUMN", help="What a column is, e.g. latency=elapsed:ms; repeatable."
        ),
    ] = None
    map_file: Annotated[
        Path | None,
        input_option(
            parser=local_file, metavar="FILE", help="The same as a TOML file, in the place of --map."
        ),
    ] = None
    no_header: Annotated[
        bool,
        input_option("--no-header", help="CSV without a header; --map calls its columns c1, c2 and so on."),
    ] = False
    storage_option: Storage = None
    level: Annotated[
        LevelChoice,
        slices_option(metavar="LEVEL", help="What a row is: requests or transactions.", show_default=True),
    ] = LevelChoice.REQUESTS
    keep_query: Annotated[
        bool,
        slices_option("--keep-query", help="Keep queries and fragments in labels that are absolute URLs."),
    ] = False
    label_template: Annotated[
        bool,
        slices_option("--label-template", help="Write numbers, UUIDs and hex in paths of labels as {id}."),
    ] = False

    @property
    def keywords(self) -> dict[str, Any]:
        """The options as ``Reading.of`` takes them.

        Raises:
            UsageError: one cannot be understood, or two say the same thing.
        """
        if self.column_map and self.map_file:
            raise UsageError("--map and --map-file say the same thing; give one of them")
        return {
            "format": self.log_format,
            "column_map": ColumnMap.from_toml(self.map_file) if self.map_file else self.column_map or None,
            "no_header": self.no_header,
            "storage_options": self.storage_option,
            "level": self.level.value,
            "keep_query": self.keep_query,
            "label_template": self.label_template,
            "max_rejects": "100%",
        }

    def reading(self, spill_folder: Path | None = None) -> Reading:
        """How the files are read.

        Args:
            spill_folder: where standard input and pipes are kept while they are read.

        Raises:
            UsageError: an option cannot be understood, or two say the same thing.
        """
        return Reading.of(**self.keywords, spill_folder=spill_folder)


@dataclass(frozen=True, kw_only=True)
class LogOptions(FileOptions):
    """How logs are read."""

    max_rejects: Annotated[
        str,
        input_option(
            metavar="LIMIT", help="Rows that may be rejected: a count, or e.g. 0.5%.", show_default=True
        ),
    ] = "0"
    force: Annotated[
        bool, input_option("--force", help="Count calls that several files hold several times.")
    ] = False
    key_from_name: Annotated[
        str | None,
        slices_option(
            metavar="REGEX", help=r"Groups in names of files become columns, e.g. 'run_(?P<run>\d+)'."
        ),
    ] = None

    @property
    def keywords(self) -> dict[str, Any]:
        """The options as ``Reading.of`` takes them; see ``FileOptions``."""
        return {
            **super().keywords,
            "max_rejects": self.max_rejects,
            "force": self.force,
            "key_from_name": self.key_from_name,
        }


@dataclass(frozen=True, kw_only=True)
class SliceOptions:
    """Which rows of the logs are looked at."""

    skip: Annotated[
        str | None,
        slices_option(metavar="TIME", help="Leave out the first part: e.g. 60s, or auto for the ramp-up."),
    ] = None
    from_: Annotated[
        str | None,
        slices_option(
            "--from", metavar="TIME", help="Begin: e.g. 5min after the first start, or 2026-11-22T10:30."
        ),
    ] = None
    to: Annotated[str | None, slices_option(metavar="TIME", help="End, likewise.")] = None
    where: Annotated[
        str | None,
        slices_option(
            metavar="SQL", help="Condition on rows, e.g. \"memory_size >= 2048 AND label <> 'login'\"."
        ),
    ] = None

    def of(self, measuring: MeasureOptions) -> MeasureOptions:
        """The same measuring, of these rows.

        Raises:
            UsageError: an option cannot be understood.
        """
        return replace(measuring, skip=self.skip, from_=self.from_, to=self.to, where=self.where)


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """How much memory a run may take."""

    memory_limit: Annotated[
        str | None,
        running_option(metavar="SIZE", help="Memory to stay within, e.g. 2GiB; else half of what is there."),
    ] = None

    @property
    def memory_bytes(self) -> int | None:
        """The limit in bytes.

        Raises:
            UsageError: it is no size.
        """
        text = self.memory_limit
        if text is None:
            return None
        match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]i?)?B?", text.strip(), flags=re.IGNORECASE)
        if not match:
            raise UsageError(f"--memory-limit: got {text!r}, expected a size such as 2GiB or 500MB")
        prefix = (match[2] or "").upper()
        power = "KMGT".index(prefix[0]) + 1 if prefix else 0
        return int(float(match[1]) * (1024 if prefix.endswith("I") else 1000) ** power)


@dataclass(frozen=True, kw_only=True)
class RunningOptions(SliceOptions, MemoryOptions):
    """What of the logs is measured, by whom, and within what."""

    spill_folder: Annotated[
        Path | None,
        running_option(parser=local_file, metavar="FOLDER", help="Where temporary files of text logs go."),
    ] = None
    cluster: Annotated[
        str | None,
        running_option(metavar="ADDRESS", help="Dask cluster to measure on: tcp://HOST:PORT, or local:N."),
    ] = None
    workers: Annotated[
        int | None, running_option(metavar="N", help="Processes of this machine to measure with.")
    ] = None

    def workforce(
        self, on_progress: OnProgress, *, exact: bool | None = None
    ) -> AbstractContextManager[MeasureOptions]:
        """The workers, if there are any, and how each of them measures.

        Raises:
            UsageError: the memory limit is no size.
        """
        options = MeasureOptions(
            exact=exact,
            memory_limit=self.memory_bytes,
            spill_folder=self.spill_folder,
            on_progress=on_progress,
        )
        if self.cluster is None and self.workers is None:
            return nullcontext(self.of(options))
        from loadlens.cli.executors import workforce

        return workforce(self.of(options), cluster=self.cluster, workers=self.workers)


@dataclass(frozen=True, kw_only=True)
class DetailOptions:
    """What a summary tells beside its table."""

    measure: Annotated[
        list[str] | None,
        figures_option(
            "--measure",
            metavar="NAME",
            help="Further duration: connect, all, or NAME=COLUMN:UNIT; repeatable.",
        ),
    ] = None
    apdex: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="Latency that satisfies, e.g. 500ms, or a TOML file: adds Apdex.",
            show_default=False,
            rich_help_panel="Figures",
        ),
    ] = None
    expected_interval: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="E.g. 100ms, or auto: corrects for coordinated omission.",
            show_default=False,
            rich_help_panel="Figures",
        ),
    ] = None

    def details(self) -> Details:
        """What is told.

        Raises:
            UsageError: an option cannot be understood.
        """
        return Details.of(
            totals=True,
            failures=True,
            measures=self.measure or (),
            apdex=self.apdex,
            expected_interval=self.expected_interval,
        )


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """What the run has to keep to."""

    slo: Annotated[
        list[str] | None,
        gates_option(
            "--slo", metavar="GATE", help="Gate, e.g. 'p99 < 300ms' or 'error_rate < 1%'; repeatable."
        ),
    ] = None
    slo_file: Annotated[
        Path | None,
        gates_option(parser=local_file, metavar="FILE", help="Gates as a TOML file of [[gate]] tables."),
    ] = None

    def gates(self) -> tuple[Gate, ...]:
        """The gates.

        Raises:
            GateError: some cannot be understood.
        """
        return (*parse_gates(self.slo or ()), *(read_gates(self.slo_file) if self.slo_file else ()))


@contextmanager
def excerpts_shown() -> Iterator[None]:
    """Shows bad gates with a caret under the mistake; the message itself is left to the caller."""
    try:
        yield
    except GateError as error:
        for excerpt in error.excerpts:
            typer.echo("\n".join(visible(line) for line in excerpt.split("\n")), err=True)
        raise


@dataclass(frozen=True, kw_only=True)
class PrintOptions:
    """In which form a result is printed."""

    as_json: AsJson = False
    quiet: Quiet = False

    def show(self, document: Callable[[], dict[str, Any]], table: Callable[[], None]) -> None:
        """Prints a result: as JSON, as tables, or not."""
        if self.as_json:
            typer.echo(json_text(document()), nl=False)
        elif not self.quiet:
            table()


def fence_of(choice: OutlierChoice | None) -> Fence | None:
    """The fence that was asked for, if any."""
    return None if choice is None else choice.value


def share_of(min_effect: str) -> float:
    """The minimum effect as a share, 0 to 1.

    Raises:
        UsageError: the text is no percentage.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *%", min_effect.strip())
    if not match:
        raise UsageError(f"--min-effect: got {min_effect!r}, expected a percentage such as 5%")
    share = float(match[1]) / 100
    MIN_EFFECT.check("min_effect", share)
    return share


def named_files(*files: Path | None) -> list[str]:
    """Those of several files that options name, which no output may replace."""
    return [str(file) for file in files if file is not None]


def refuse_results_folder(inputs: Sequence[str], reading: Reading) -> None:
    """Refuses a results folder where logs are wanted.

    Raises:
        UsageError: some input is one.
    """
    folders = [folder for item in inputs if (folder := find_toolkit_folder(item, reading.storage_options))]
    if folders:
        raise UsageError(f"{folders[0].path}: is a results folder; name one of the invocation logs in it")
