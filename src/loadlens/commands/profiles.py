"""``loadlens profile`` and ``loadlens merge``: logs as small files that are analysed in their place."""

from typing import Annotated

import typer

from loadlens.commands.options import (
    By,
    Cluster,
    Force,
    Format,
    KeepQuery,
    KeyFromName,
    LabelTemplate,
    LevelChoice,
    LevelOption,
    Logs,
    Map,
    MapFile,
    MaxRejects,
    MemoryLimit,
    NoHeader,
    Quiet,
    SpillFolder,
    Storage,
    Workers,
    reading_of,
    refuse_results_folder,
    workforce_of,
)
from loadlens.gates.grammar import parse_width
from loadlens.keywords import columns_of
from loadlens.profile.measures import checked_measures
from loadlens.profile.windows import checked_window
from loadlens.profiles import ProfileOptions, merge_profiles, write_log_profile
from loadlens.publish import refuse_file
from loadlens.sources import StorageOptions, open_log, target
from loadlens.sources.storage.location import size_of
from loadlens.sources.wording import counted
from loadlens.terminal import print_line, progress_display

__all__ = ["merge_command", "profile_command"]

ProfileFile = Annotated[
    str, typer.Option("--out", metavar="FILE", help="Profile to write, such as RUN.profile, or s3://...")
]
Replace = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]
MergeBy = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        help="Column to keep in the key; repeatable.",
        metavar="COLUMN",
        show_default="all, which must be the same",
    ),
]


Window = Annotated[
    str | None,
    typer.Option(
        "--window",
        metavar="WIDTH",
        help="Width of the windows of time that gates can be judged within later, such as 60s or 5min.",
        show_default="as wide as makes 256 windows at most",
    ),
]


Measures = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        metavar="NAME=COLUMN:UNIT",
        help="Count a further duration of each call too, such as first_byte_ms=ttfb:s; repeatable.",
    ),
]


def profile_command(  # noqa: PLR0917  # the parameters of a command are its options
    inputs: Logs,
    out: ProfileFile,
    by: By = None,
    window: Window = None,
    measure: Measures = None,
    memory_limit: MemoryLimit = None,
    spill_folder: SpillFolder = None,
    cluster: Cluster = None,
    workers: Workers = None,
    log_format: Format = None,
    column_map: Map = None,
    map_file: MapFile = None,
    no_header: NoHeader = False,
    level: LevelOption = LevelChoice.REQUESTS,
    keep_query: KeepQuery = False,
    label_template: LabelTemplate = False,
    key_from_name: KeyFromName = None,
    max_rejects: MaxRejects = "0",
    force: Force = False,
    storage_option: Storage = None,
    overwrite: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Write the profile of logs, a small file.

    Every command that takes logs takes profiles in their place, without reading a row again.
    """
    reading = reading_of(
        log_format,
        column_map,
        map_file,
        key_from_name,
        max_rejects,
        force=force,
        spill_folder=spill_folder,
        no_header=no_header,
        level=level,
        keep_query=keep_query,
        label_template=label_template,
        storage_option=storage_option,
    )
    refuse_results_folder(inputs, reading)
    place = target(out, reading.storage_options)
    refuse_file(place, [map_file], overwrite=True)
    with (
        progress_display(quiet=quiet) as display,
        workforce_of(cluster, workers, memory_limit, spill_folder, display.on_progress) as measuring,
    ):
        options = ProfileOptions(
            by=columns_of(by) if by else None,
            window_s=None if window is None else checked_window(parse_width(window, "--window")),
            measures=checked_measures(measure or ()),
            measuring=measuring,
        )
        log = open_log(inputs, reading=reading)
        findings = write_log_profile(log, place, options, overwrite=overwrite)
    if not quiet:
        print_line(f"{place}: {counted(size_of(place), 'byte')}")
        if findings.rejected:
            print_line(f"Rejected rows: {findings.rejected:,}")


def merge_command(  # noqa: PLR0917  # the parameters of a command are its options
    inputs: Annotated[
        list[str], typer.Argument(metavar="PROFILES", help="Saved profiles: files, folders, globs.")
    ],
    out: ProfileFile,
    by: MergeBy = None,
    force: Annotated[
        bool, typer.Option("--force", help="Count a log that several profiles hold several times.")
    ] = False,
    storage_option: Storage = None,
    overwrite: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Merge profiles into that of all their logs together."""
    options = StorageOptions.parse(storage_option)
    place = target(out, options)
    merge_profiles(inputs, place, by=by or None, force=force, overwrite=overwrite, storage_options=options)
    if not quiet:
        print_line(f"{place}: {counted(size_of(place), 'byte')}")
