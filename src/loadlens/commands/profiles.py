"""``loadlens profile`` and ``loadlens merge``: logs as small files that are analysed in their place."""

from typing import Annotated

import typer

from loadlens.commands.groups import spelt_out
from loadlens.commands.options import (
    By,
    LogOptions,
    Logs,
    Overwrite,
    Quiet,
    RunningOptions,
    Storage,
    refuse_results_folder,
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
    str,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Profile to write, such as RUN.profile, or s3://...",
        rich_help_panel="Output",
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        metavar="WIDTH",
        help="Windows that gates can be judged within later, such as 60s.",
        show_default=False,
        rich_help_panel="Profile",
    ),
]
Measures = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        metavar="NAME=COLUMN:UNIT",
        help="A further duration, such as first_byte_ms=ttfb:s; repeatable.",
        show_default=False,
        rich_help_panel="Profile",
    ),
]
MergeBy = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        metavar="COLUMN",
        help="Column to keep in the key; repeatable.",
        show_default="all, which must be the same",
        rich_help_panel="Slices",
    ),
]


@spelt_out
def profile_command(
    inputs: Logs,
    *,
    out: ProfileFile,
    logs: LogOptions,
    by: By = None,
    window: Window = None,
    measure: Measures = None,
    running: RunningOptions,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write the profile of logs, a small file.

    Every command that takes logs takes profiles in their place, without reading a row again.
    """
    reading = logs.of_logs(running.spill_folder)
    refuse_results_folder(inputs, reading)
    place = target(out, reading.storage_options)
    refuse_file(place, [logs.map_file], overwrite=True)
    with (
        progress_display(quiet=quiet) as display,
        running.workforce(display.on_progress) as measuring,
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


@spelt_out
def merge_command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PROFILES", help="Saved profiles: files, folders, globs.", rich_help_panel="Input"
        ),
    ],
    *,
    out: ProfileFile,
    by: MergeBy = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Count a log that several profiles hold several times.",
            rich_help_panel="Input",
        ),
    ] = False,
    storage_option: Storage = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Merge profiles into that of all their logs together."""
    options = StorageOptions.parse(storage_option)
    place = target(out, options)
    merge_profiles(inputs, place, by=by or None, force=force, overwrite=overwrite, storage_options=options)
    if not quiet:
        print_line(f"{place}: {counted(size_of(place), 'byte')}")
