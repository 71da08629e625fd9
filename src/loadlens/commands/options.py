"""Options that several commands have."""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from loadlens.cluster import workforce
from loadlens.errors import InputError, UsageError
from loadlens.keywords import MIN_EFFECT
from loadlens.profile import MeasureOptions, OnProgress
from loadlens.profile import Outliers as Fence
from loadlens.sources import ColumnMap, Reading, find_toolkit_folder, location

__all__ = [
    "By",
    "Cluster",
    "Force",
    "Format",
    "KeepQuery",
    "KeyFromName",
    "LabelTemplate",
    "LevelChoice",
    "LevelOption",
    "Logs",
    "Map",
    "MapFile",
    "MaxRejects",
    "MemoryLimit",
    "MinEffect",
    "NoHeader",
    "Out",
    "OutlierChoice",
    "Outliers",
    "Overwrite",
    "Quiet",
    "SafeCsv",
    "SpillFolder",
    "Storage",
    "Workers",
    "bytes_of",
    "fence_of",
    "local_file",
    "reading_of",
    "refuse_results_folder",
    "share_of",
    "workforce_of",
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


Logs = Annotated[list[str], typer.Argument(metavar="LOGS", help="Logs: files, folders, globs.")]
By = Annotated[
    list[str] | None,
    typer.Option("--by", help="Column to group by; repeatable.", metavar="COLUMN", show_default=False),
]
Out = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="Folder to write, such as results or s3://bucket/results; it appears whole or not at all.",
    ),
]
Storage = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="KEY=VALUE",
        help="Option of the object store, e.g. aws_region=eu-west-1; repeatable.",
        show_default=False,
    ),
]
MinEffect = Annotated[
    str,
    typer.Option(
        "--min-effect",
        metavar="PERCENT",
        help="Smallest change that counts, of the base's figure.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Format of text logs, e.g. jmeter-csv; by default their content tells.",
        show_default=False,
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="What a column is, e.g. latency=elapsed:ms, end=ts:epoch_ms, success='status<400'; repeatable.",
        metavar="TARGET=COLUMN",
        show_default=False,
    ),
]
MapFile = Annotated[
    Path | None,
    typer.Option(
        parser=local_file,
        metavar="FILE",
        help="The same as a TOML file, in the place of --map.",
        show_default=False,
    ),
]
NoHeader = Annotated[
    bool,
    typer.Option("--no-header", help="CSV without a header; --map calls its columns c1, c2 and so on."),
]
LevelOption = Annotated[
    LevelChoice,
    typer.Option("--level", help="What a row is where a log has both: requests or transactions."),
]
KeepQuery = Annotated[
    bool,
    typer.Option("--keep-query", help="Keep queries and fragments in labels that are absolute URLs."),
]
LabelTemplate = Annotated[
    bool,
    typer.Option("--label-template", help="Write numbers, UUIDs and hex in paths of labels as {id}."),
]
KeyFromName = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help=r"Regular expression over file names; its named groups become columns, e.g. 'run_(?P<run>\d+)'.",
        show_default=False,
    ),
]
MaxRejects = Annotated[
    str,
    typer.Option(
        "--max-rejects",
        metavar="LIMIT",
        help="Rows that may be rejected: a count or a percentage, e.g. 0.5%.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Count calls that several files hold as often as they are there.")
]
SafeCsv = Annotated[
    bool, typer.Option("--safe-csv", help="Disarm CSV cells that a spreadsheet would take for formulas.")
]

Outliers = Annotated[
    OutlierChoice | None,
    typer.Option(
        help="Remove calls above a fence: mean + 5 IQR or Tukey's q75 + 1.5 IQR. By default none are; of a "
        "results folder, and for gates that say filtered, those above mean + 5 IQR.",
        show_default=False,
    ),
]
MemoryLimit = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory to stay within, e.g. 2GiB; by default half of what is there.",
        show_default=False,
    ),
]
SpillFolder = Annotated[
    Path | None,
    typer.Option(
        parser=local_file,
        metavar="FOLDER",
        help="Where temporary files of text logs go.",
        show_default=False,
    ),
]

Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Dask cluster to measure on: tcp://HOST:PORT of its scheduler, or local:N for N processes here.",
        metavar="ADDRESS",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", help="Processes of this machine to measure with.", show_default=False
    ),
]


def workforce_of(
    cluster: str | None,
    workers: int | None,
    memory_limit: str | None,
    spill_folder: Path | None,
    on_progress: OnProgress,
    *,
    exact: bool | None = None,
) -> AbstractContextManager[MeasureOptions]:
    """Who measures, from what these options say.

    Raises:
        UsageError: the memory limit is no size.
    """
    options = MeasureOptions(
        exact=exact, memory_limit=bytes_of(memory_limit), spill_folder=spill_folder, on_progress=on_progress
    )
    return workforce(options, cluster=cluster, workers=workers)


def bytes_of(memory_limit: str | None) -> int | None:
    """A number of bytes from a text such as 2GiB or 500MB."""
    if memory_limit is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]i?)?B?", memory_limit.strip(), flags=re.IGNORECASE)
    if not match:
        raise UsageError(f"--memory-limit: got {memory_limit!r}, expected a size such as 2GiB or 500MB")
    prefix = (match[2] or "").upper()
    power = "KMGT".index(prefix[0]) + 1 if prefix else 0
    return int(float(match[1]) * (1024 if prefix.endswith("I") else 1000) ** power)


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


def reading_of(
    log_format: str | None,
    entries: Sequence[str] | None,
    map_file: Path | None,
    key_from_name: str | None,
    max_rejects: str,
    *,
    no_header: bool = False,
    level: LevelChoice = LevelChoice.REQUESTS,
    keep_query: bool = False,
    label_template: bool = False,
    force: bool = False,
    spill_folder: Path | None = None,
    storage_option: Sequence[str] | None = None,
) -> Reading:
    """How files are read, from what these options say.

    Raises:
        UsageError: an option cannot be understood, or two say the same thing.
    """
    if entries and map_file:
        raise UsageError("--map and --map-file say the same thing; give one of them")
    column_map = ColumnMap.from_toml(map_file) if map_file else ColumnMap.parse(entries) if entries else None
    return Reading.of(
        format=log_format,
        column_map=column_map,
        no_header=no_header,
        level=level.value,
        keep_query=keep_query,
        label_template=label_template,
        key_from_name=key_from_name,
        max_rejects=max_rejects,
        force=force,
        spill_folder=spill_folder,
        storage_options=storage_option,
    )
