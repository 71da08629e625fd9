"""``loadlens analyze`` and ``loadlens demo``: summaries, charts and a report."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from loadlens.analysis_options import AnalysisOptions
from loadlens.analysis_run import (
    LogAnalysis,
    ToolkitAnalysis,
    analyze_toolkit_folder,
    published_analysis,
)
from loadlens.commands.check import Slo, SloFile, excerpts_shown, gates_of
from loadlens.commands.cost import (
    Capacities,
    Goal,
    Prices,
    RequestSize,
    Strategies,
    TrafficText,
    Weight,
    costing_of,
    files_named_by,
)
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
    Map,
    MapFile,
    MaxRejects,
    MemoryLimit,
    MinEffect,
    NoHeader,
    Out,
    Outliers,
    Overwrite,
    Quiet,
    SafeCsv,
    SpillFolder,
    Storage,
    Workers,
    fence_of,
    named_files,
    reading_of,
    share_of,
    workforce_of,
)
from loadlens.documents import json_text
from loadlens.errors import GateFailedError, UsageError
from loadlens.gates.output import failures, summary_line
from loadlens.keywords import columns_of
from loadlens.prices import BUILT_IN_TABLES, load_prices
from loadlens.profile import DEFAULT_PERCENTILES, MeasureOptions
from loadlens.publish import existing_paths, publish_folder, refuse_output_inside
from loadlens.results import ChartFormat
from loadlens.sources import Location, Reading, StorageOptions, find_toolkit_folder, target
from loadlens.terminal import ProgressDisplay, print_results, progress_display

__all__ = ["analyze_command", "demo_command"]


class ChartChoice(StrEnum):
    """Values of --chart-format."""

    PNG = "png"
    SVG = "svg"


Charts = Annotated[list[ChartChoice], typer.Option("--chart-format", help="Format of charts; repeatable.")]
Exact = Annotated[
    bool | None,
    typer.Option(
        "--exact/--one-pass",
        help="Exact figures, or one pass with a stated error bound.",
        show_default="exact, of logs",
    ),
]
Percentiles = Annotated[
    list[float] | None,
    typer.Option(
        "--percentile",
        metavar="NUMBER",
        help="Percentile to report, e.g. 99.5; repeatable.",
        show_default="90, 95, 99, 99.9",
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(metavar="LOG", help="Log of a run to compare with, key by key.", show_default=False),
]
DemoPrices = Annotated[
    str | None,
    typer.Option(
        "--prices",
        metavar="NAME_OR_FILE",
        help="Price table, see `loadlens prices`.",
        show_default=BUILT_IN_TABLES[0],
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print summary.json instead of a table.")]
_PNG = [ChartChoice.PNG]


def analyze_command(  # noqa: PLR0917  # the parameters of a command are its options
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="LOGS", help="Logs: files, folders, globs; or a results folder of the toolkit."
        ),
    ],
    out: Out,
    by: By = None,
    outliers: Outliers = None,
    percentile: Percentiles = None,
    slo: Slo = None,
    slo_file: SloFile = None,
    baseline: Baseline = None,
    min_effect: MinEffect = "5%",
    prices: Prices = None,
    traffic: TrafficText = None,
    capacity: Capacities = None,
    strategy: Strategies = None,
    weight: Weight = 0.5,
    objective: Goal = None,
    request_size: RequestSize = None,
    exact: Exact = None,
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
    safe_csv: SafeCsv = False,
    chart_format: Charts = _PNG,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Analyse logs into summaries, charts and a report.

    The report answers more on request: --slo judges gates, --baseline compares with another run, and
    --prices, --traffic, --capacity, --objective or --strategy price each memory size. If a gate fails,
    everything is written all the same and the exit code is 1.
    """
    costing = costing_of(
        prices=prices,
        traffic=traffic,
        capacity=capacity,
        strategy=strategy,
        weight=weight,
        objective=objective,
        request_size=request_size,
    )
    is_asked = any(option is not None for option in (traffic, capacity, strategy, objective, request_size))
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
    place = target(out, reading.storage_options)
    named = [*files_named_by(costing, prices, traffic), *named_files(slo_file, map_file)]
    refuse_output_inside(place, existing_paths(named))
    with (
        excerpts_shown(),
        progress_display(quiet=quiet) as display,
        workforce_of(
            cluster, workers, memory_limit, spill_folder, display.on_progress, exact=exact
        ) as measuring,
    ):
        options = AnalysisOptions(
            by=columns_of(by) if by else None,
            outliers=fence_of(outliers),
            percentiles=_quantiles(percentile),
            reading=reading,
            measuring=replace(measuring, heatmap=True),
            prices=costing.prices[0],
            gates=gates_of(slo or (), slo_file) if slo or slo_file else (),
            baseline=baseline,
            min_effect=share_of(min_effect),
            costing=costing if is_asked or _prices_a_log(inputs, prices, reading) else None,
            chart_formats=_formats(chart_format),
            safe_csv=safe_csv,
            on_stage=display.on_stage,
        )
        analysis = published_analysis(inputs, place, options, overwrite=overwrite)
    _print(analysis, place, quiet=quiet, as_json=as_json)
    _refuse_failed_gates(analysis)


def _prices_a_log(inputs: Sequence[str], prices: Sequence[str] | None, reading: Reading) -> bool:
    """Whether --prices alone asks for a cost: a results folder has one by itself, by one table."""
    is_folder = any(find_toolkit_folder(item, reading.storage_options) for item in inputs)
    return len(prices or ()) > int(is_folder)


def _refuse_failed_gates(analysis: ToolkitAnalysis | LogAnalysis) -> None:
    gates = analysis.decisions.gates if isinstance(analysis, LogAnalysis) else None
    if gates and not gates.holds:
        raise GateFailedError(*failures(gates), summary_line(gates))


def demo_command(  # noqa: PLR0917  # the parameters of a command are its options
    out: Out,
    rows: Annotated[int, typer.Option(min=1, metavar="N", help="Invocations to simulate.")] = 200_000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The same seed gives the same rows.")] = 0,
    outliers: Outliers = None,
    prices: DemoPrices = None,
    chart_format: Charts = _PNG,
    storage_option: Storage = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Simulate an endpoint under load, then analyse the result."""
    place = target(out, StorageOptions.parse(storage_option))
    with progress_display(quiet=quiet) as display:
        options = AnalysisOptions(
            outliers=fence_of(outliers),
            measuring=MeasureOptions(heatmap=True, on_progress=display.on_progress),
            prices=load_prices(prices),
            chart_formats=_formats(chart_format),
            on_stage=display.on_stage,
        )
        analysis = _demo(place, rows, seed, options, display, overwrite=overwrite)
    _print(analysis, place, quiet=quiet, as_json=as_json)


def _demo(
    out: Location,
    rows: int,
    seed: int,
    options: AnalysisOptions,
    display: ProgressDisplay,
    *,
    overwrite: bool,
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


def _quantiles(percentiles: Sequence[float] | None) -> tuple[float, ...]:
    wrong = [value for value in percentiles or () if not 0 < value < 100]  # noqa: PLR2004
    if wrong:
        raise UsageError(f"--percentile: got {wrong[0]:g}, expected a number between 0 and 100, such as 99.9")
    return tuple(value / 100 for value in percentiles) if percentiles else DEFAULT_PERCENTILES


def _formats(choices: Sequence[ChartChoice]) -> tuple[ChartFormat, ...]:
    return tuple(dict.fromkeys(choice.value for choice in choices))


def _print(analysis: ToolkitAnalysis | LogAnalysis, out: Location, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json_text(analysis.document), nl=False)
    elif not quiet:
        print_results(analysis, out)
