"""``loadlens inspect``, ``convert``, ``prices``, ``profile`` and ``merge``."""

from typing import Annotated

import polars as pl
import typer

from loadlens.cli.grouped_commands import (
    input_argument,
    input_option,
    output_option,
    profile_option,
    slices_option,
    spelt_out,
)
from loadlens.cli.option_groups import (
    AsJson,
    FileOptions,
    KeyOptions,
    LogOptions,
    Logs,
    MemoryOptions,
    Overwrite,
    Quiet,
    RunningOptions,
    Storage,
    refuse_results_folder,
)
from loadlens.cli.progress_display import progress_display
from loadlens.cli.terminal import (
    print_frame,
    print_inspection,
    print_line,
    print_proposal,
    print_warnings,
)
from loadlens.cost.prices import BUILT_IN_TABLES, PriceTable, load_prices
from loadlens.errors import InputError
from loadlens.gates.grammar import parse_width
from loadlens.logs import open_log
from loadlens.messages import counted, json_text
from loadlens.profile.buckets import checked_window
from loadlens.profile.measures import checked_measures
from loadlens.publish.publishing import refuse_file
from loadlens.storage.location import size_of, target
from loadlens.storage.secrets import StorageOptions
from loadlens.tasks.convert import convert, rejects_beside
from loadlens.tasks.inspection import Inspection, Proposal, inspect_log, propose_map
from loadlens.tasks.profile_files import ProfileOptions, merge_profiles, write_log_profile

__all__ = ["convert_command", "inspect_command", "merge_command", "prices_command", "profile_command"]


ParquetFile = Annotated[
    str,
    output_option(
        "--out", metavar="FILE", help="Parquet file to write, on the disk or s3://...", show_default=True
    ),
]


@spelt_out
def inspect_command(
    file: Annotated[str, input_argument(metavar="FILE", help="A log.")],
    *,
    how: FileOptions,
    memory: MemoryOptions,
    as_json: AsJson = False,
) -> None:
    """Say what a log is and what it cannot tell.

    Shows its format, columns with units, clock, time span, natural key, first rows and warnings. For a
    table of no known format it proposes a map of its columns.
    """
    reading = how.reading()
    try:
        found: Inspection | Proposal = inspect_log(file, reading, memory_limit=memory.memory_bytes)
    except InputError:
        proposal = propose_map(file, reading)
        if proposal is None:
            raise
        found = proposal
    if as_json:
        typer.echo(json_text(found.document), nl=False)
    elif isinstance(found, Proposal):
        print_proposal(found)
    else:
        print_inspection(found)


@spelt_out
def convert_command(
    inputs: Logs,
    *,
    out: ParquetFile,
    logs: LogOptions,
    memory: MemoryOptions,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write logs as one Parquet file of canonical columns.

    It analyses to the same figures.
    """
    reading = logs.reading()
    place = target(out, reading.storage_options)
    refuse_file(place, [logs.map_file], overwrite=True)
    limit = memory.memory_bytes
    findings = convert(inputs, place, reading=reading, overwrite=overwrite, memory_limit=limit)
    if not quiet:
        typer.echo(f"{place}: {counted(size_of(place), 'byte')}")
        if findings.rejected:
            typer.echo(f"{rejects_beside(place)}: {counted(findings.rejected, 'rejected row')}")


def prices_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME_OR_FILE", help="A built-in table, or a TOML file of your own.", show_default=False
        ),
    ] = None,
) -> None:
    """List the built-in price tables, or show one."""
    if name is None:
        _list()
    else:
        _show(load_prices(name))


def _list() -> None:
    tables = [load_prices(name) for name in BUILT_IN_TABLES]
    rows = {
        "Name": list(BUILT_IN_TABLES),
        "Service": [table.name for table in tables],
        "Region": [table.region for table in tables],
        "Currency": [table.currency for table in tables],
        "Valid from": [table.valid_from for table in tables],
        "From memory": ["yes: check before use" if table.from_memory else "no" for table in tables],
    }
    print_frame("Price tables", pl.DataFrame(rows))
    print_line("The first one is the default. Show one with: loadlens prices NAME")


def _show(table: PriceTable) -> None:
    facts = {
        "Service": table.name,
        "Region": table.region,
        "Currency": table.currency,
        "Valid": f"from {table.valid_from or 'an unknown date'} to {table.valid_until or 'now'}",
        "Source": table.source,
        "From memory": "yes: check before use" if table.from_memory else "no",
        "Note": table.note,
    }
    told = {name: text for name, text in facts.items() if text}
    print_frame(table.short_name, pl.DataFrame({"Fact": list(told), "Value": list(told.values())}))
    print_frame("Prices", pl.DataFrame(_prices(table), schema=["What", table.currency], orient="row"))


def _prices(table: PriceTable) -> list[tuple[str, str]]:
    smallest, largest = table.memory_range
    single = {
        f"a second of 1,024 MB, from {smallest:,} to {largest:,} MB": table.price_per_gb_second,
        "a request": table.price_per_request or None,
        "a GiB in or out": table.price_per_gib or None,
    }
    by_size = {
        "a second of use of {:,} MB": table.price_per_second,
        "a second of one provisioned concurrency of {:,} MB": table.provisioned_price_per_second,
    }
    rows = [(what, _exact(price)) for what, price in single.items() if price is not None]
    for what, prices in by_size.items():
        rows += [(what.format(size), _exact(price)) for size, price in sorted(prices.items())]
    rows += [
        (f"an hour of {instance}", _exact(price)) for instance, price in table.instance_price_per_hour.items()
    ]
    if table.billed_step_ms:
        rows.append(("durations are rounded up to", f"{table.billed_step_ms:g} ms"))
    if table.kind == "gb-second":
        rows.append(("the start of a new environment (INIT)", "billed" if table.bills_init else "not billed"))
    return rows


def _exact(price: float) -> str:
    """All digits of a price, without an exponent."""
    return f"{price:.12f}".rstrip("0").rstrip(".")


ProfileFile = Annotated[
    str,
    output_option(
        "--out", metavar="FILE", help="Profile to write, such as RUN.profile, or s3://...", show_default=True
    ),
]
Window = Annotated[
    str | None,
    profile_option(metavar="WIDTH", help="Windows that gates can be judged within later, such as 60s."),
]
Measures = Annotated[
    list[str] | None,
    profile_option(
        "--measure", metavar="NAME", help="Further duration: connect, all, or NAME=COLUMN:UNIT; repeatable."
    ),
]
MergeBy = Annotated[
    list[str] | None,
    slices_option(
        "--by",
        metavar="COLUMN",
        help="Column to keep in the key; repeatable.",
        show_default="all, which must be the same",
    ),
]


@spelt_out
def profile_command(
    inputs: Logs,
    *,
    out: ProfileFile,
    logs: LogOptions,
    key: KeyOptions,
    window: Window = None,
    measure: Measures = None,
    running: RunningOptions,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write the profile of logs, a small file.

    Every command that takes logs takes profiles in their place, without reading a row again.
    """
    reading = logs.reading(running.spill_folder)
    refuse_results_folder(inputs, reading)
    place = target(out, reading.storage_options)
    refuse_file(place, [logs.map_file], overwrite=True)
    with progress_display(quiet=quiet) as display, running.workforce(display.on_progress) as measuring:
        options = ProfileOptions(
            by=key.columns,
            window_s=None if window is None else checked_window(parse_width(window, "--window")),
            measures=checked_measures(measure or ()),
            measuring=measuring,
        )
        log = open_log(inputs, reading=reading.measuring(options.measures))
        findings = write_log_profile(log, place, options, overwrite=overwrite)
    if not quiet:
        print_line(f"{place}: {counted(size_of(place), 'byte')}")
        if findings.rejected:
            print_line(f"Rejected rows: {findings.rejected:,}")
        print_warnings(findings.outside.sentences() if findings.outside else ())


@spelt_out
def merge_command(
    inputs: Annotated[
        list[str], input_argument(metavar="PROFILES", help="Saved profiles: files, folders, globs.")
    ],
    *,
    out: ProfileFile,
    by: MergeBy = None,
    force: Annotated[
        bool, input_option("--force", help="Count a log that several profiles hold several times.")
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
