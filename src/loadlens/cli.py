"""The command line: parses, calls, prints, and maps errors to exit codes."""

import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn, cast

import typer

from loadlens import __version__
from loadlens.analyze import LogAnalysis, Options, ToolkitAnalysis, analyze, analyze_toolkit_folder, json_text
from loadlens.commands.check import check
from loadlens.commands.compare import compare_command
from loadlens.commands.cost import cost_command
from loadlens.commands.options import (
    By,
    Format,
    KeyFromName,
    Logs,
    Map,
    MapFile,
    MaxRejects,
    Out,
    Overwrite,
    Quiet,
    SafeCsv,
)
from loadlens.commands.prices import prices_command
from loadlens.convert import convert, rejects_beside
from loadlens.errors import LoadlensError, UsageError
from loadlens.inspection import inspect_log
from loadlens.prices import load_prices
from loadlens.profile import DEFAULT_PERCENTILES, Execution
from loadlens.publish import publish_folder
from loadlens.results import ChartFormat
from loadlens.sources import ColumnMap, Reading, find_toolkit_folder
from loadlens.terminal import ProgressDisplay, inert, print_inspection, print_results, progress_display

__all__ = ["main"]

_INTERRUPTED = 130
_KILLED_BY = 128  # plus the signal's number, as shells report it

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turns very large load-test logs into decisions: exact latency, throughput, errors and cost.",
)


class OutlierChoice(StrEnum):
    """Values of --outliers."""

    MEAN_IQR = "mean-iqr"
    TUKEY = "tukey"
    NONE = "none"


class ChartChoice(StrEnum):
    """Values of --chart-format."""

    PNG = "png"
    SVG = "svg"


Outliers = Annotated[
    OutlierChoice,
    typer.Option(help="Upper fence: mean + 5 IQR, Tukey's q75 + 1.5 IQR, or none."),
]
Prices = Annotated[
    Path | None, typer.Option(help="Price table as TOML instead of the built-in one.", show_default=False)
]
Charts = Annotated[list[ChartChoice], typer.Option("--chart-format", help="Format of charts; repeatable.")]
Exact = Annotated[
    bool, typer.Option("--exact/--one-pass", help="Exact figures, or one pass with a stated error bound.")
]
MemoryLimit = Annotated[
    str | None,
    typer.Option(
        help="Memory to stay within, e.g. 2GiB; by default half of what is there.", show_default=False
    ),
]
SpillFolder = Annotated[
    Path | None, typer.Option(help="Where temporary files of text logs go.", show_default=False)
]
Percentiles = Annotated[
    list[float] | None,
    typer.Option(
        "--percentile", help="Percentile to report, e.g. 99.5; repeatable.", show_default="90, 95, 99, 99.9"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print summary.json instead of a table.")]
_PNG = [ChartChoice.PNG]


@app.command("analyze")
def analyze_command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="A results folder of the toolkit, or logs: files, folders, globs."
        ),
    ],
    out: Out,
    by: By = None,
    outliers: Outliers = OutlierChoice.MEAN_IQR,
    percentile: Percentiles = None,
    exact: Exact = True,
    memory_limit: MemoryLimit = None,
    spill_folder: SpillFolder = None,
    log_format: Format = None,
    column_map: Map = None,
    map_file: MapFile = None,
    key_from_name: KeyFromName = None,
    max_rejects: MaxRejects = "0",
    safe_csv: SafeCsv = False,
    prices: Prices = None,
    chart_format: Charts = _PNG,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Analyse logs into summaries, charts and a report."""
    with _errors_as_exit_codes(), progress_display(quiet=quiet) as display:
        analysis = analyze(
            inputs,
            out,
            by=by or (),
            outliers=outliers.value,
            percentiles=_quantiles(percentile),
            prices=prices,
            chart_formats=_formats(chart_format),
            overwrite=overwrite,
            reading=_reading(log_format, column_map, map_file, key_from_name, max_rejects),
            safe_csv=safe_csv,
            on_stage=display.on_stage,
            on_progress=display.on_progress,
            exact=exact,
            memory_limit=_bytes(memory_limit),
            spill_folder=spill_folder,
        )
    _print(analysis, out, quiet=quiet, as_json=as_json)


@app.command("inspect")
def inspect_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A log.")],
    log_format: Format = None,
    column_map: Map = None,
    map_file: MapFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what a file is: format, columns, units, clock, time span, first rows, warnings."""
    with _errors_as_exit_codes():
        found = inspect_log(file, _reading(log_format, column_map, map_file, None, "100%"))
    if as_json:
        typer.echo(json_text(found.document), nl=False)
    else:
        print_inspection(found)


@app.command("convert")
def convert_command(
    inputs: Logs,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    log_format: Format = None,
    column_map: Map = None,
    map_file: MapFile = None,
    key_from_name: KeyFromName = None,
    max_rejects: MaxRejects = "0",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write logs as one canonical Parquet file, which analyses to the same numbers."""
    with _errors_as_exit_codes():
        reading = _reading(log_format, column_map, map_file, key_from_name, max_rejects)
        findings = convert(inputs, out, reading=reading, overwrite=overwrite)
    if not quiet:
        typer.echo(f"{out}: {out.stat().st_size:,} bytes")
        if findings.rejected:
            typer.echo(f"{rejects_beside(out)}: {findings.rejected:,} rejected rows")


@app.command("demo")
def demo_command(
    out: Out,
    rows: Annotated[int, typer.Option(min=1, help="Invocations to simulate.")] = 200_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same rows.")] = 0,
    outliers: Outliers = OutlierChoice.MEAN_IQR,
    prices: Prices = None,
    chart_format: Charts = _PNG,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a serverless endpoint under load, then analyse the result."""
    with _errors_as_exit_codes(), progress_display(quiet=quiet) as display:
        options = Options(
            outliers=outliers.value,
            prices=load_prices(prices),
            chart_formats=tuple(_formats(chart_format)),
            on_stage=display.on_stage,
            execution=Execution(on_progress=display.on_progress),
        )
        analysis = _demo(out, rows, seed, options, display, overwrite=overwrite)
    _print(analysis, out, quiet=quiet, as_json=as_json)


def _reading(
    log_format: str | None,
    entries: Sequence[str] | None,
    map_file: Path | None,
    key_from_name: str | None,
    max_rejects: str,
) -> Reading:
    if entries and map_file:
        raise UsageError("--map and --map-file say the same thing; give one of them")
    column_map = ColumnMap.from_toml(map_file) if map_file else ColumnMap.parse(entries) if entries else None
    return Reading.of(
        format=log_format, column_map=column_map, key_from_name=key_from_name, max_rejects=max_rejects
    )


def _demo(
    out: Path, rows: int, seed: int, options: Options, display: ProgressDisplay, *, overwrite: bool
) -> ToolkitAnalysis:
    from loadlens.simulate import simulate_results_folder

    analyses: list[ToolkitAnalysis] = []

    def write(folder: Path) -> None:
        simulate_results_folder(folder, rows=rows, seed=seed, on_rows=display.counter("Simulating", rows))
        found = find_toolkit_folder(folder)
        assert found is not None  # noqa: S101  # the simulation has just written it
        source = f"simulated endpoint, {rows:,} invocations, seed {seed}"
        analyses.append(analyze_toolkit_folder(found, options, source=source))
        analyses[0].write(folder)

    publish_folder(out, write, overwrite=overwrite)
    return analyses[0]


def _quantiles(percentiles: Sequence[float] | None) -> Sequence[float]:
    wrong = [value for value in percentiles or () if not 0 < value < 100]  # noqa: PLR2004
    if wrong:
        raise UsageError(f"--percentile: got {wrong[0]:g}, expected a number between 0 and 100, such as 99.9")
    return [value / 100 for value in percentiles] if percentiles else DEFAULT_PERCENTILES


def _bytes(text: str | None) -> int | None:
    """A number of bytes from a text such as 2GiB or 500MB."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]i?)?B?", text.strip(), flags=re.IGNORECASE)
    if not match:
        raise UsageError(f"--memory-limit: got {text!r}, expected a size such as 2GiB or 500MB")
    prefix = (match[2] or "").upper()
    power = "KMGT".index(prefix[0]) + 1 if prefix else 0
    return int(float(match[1]) * (1024 if prefix.endswith("I") else 1000) ** power)


def _formats(choices: Sequence[ChartChoice]) -> list[ChartFormat]:
    return [choice.value for choice in choices]


@contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    try:
        yield
    except LoadlensError as error:
        for problem in error.problems:
            typer.echo(f"loadlens: {inert(' '.join(problem.split()))}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("loadlens: interrupted; the output folder is as it was", err=True)
        raise typer.Exit(_INTERRUPTED) from None


def _print(analysis: ToolkitAnalysis | LogAnalysis, out: Path, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json_text(analysis.document), nl=False)
    elif not quiet:
        print_results(analysis, out)


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The same command, its errors as exit codes."""

    @wraps(command)
    def run(*arguments: object, **options: object) -> None:
        with _errors_as_exit_codes():
            command(*arguments, **options)

    return run


app.command("check")(_guarded(check))
app.command("compare")(_guarded(compare_command))
app.command("cost")(_guarded(cost_command))
app.command("prices")(_guarded(prices_command))


def _version(value: bool) -> None:  # the signature that typer calls
    if value:
        typer.echo(f"loadlens {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """Leaves by an exception so that temporary files are removed on the way out."""
    sys.exit(_KILLED_BY + number)


def main() -> None:
    """Entry point of the command line."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    cast("Callable[[], None]", app)()
