"""``loadlens analyze`` and ``loadlens demo``: summaries, charts and a report."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from loadlens.cli.cost_options import CostOptions
from loadlens.cli.grouped_commands import (
    comparison_option,
    cost_option,
    figures_option,
    output_option,
    simulation_option,
    spelt_out,
)
from loadlens.cli.option_groups import (
    DetailOptions,
    GateOptions,
    KeyOptions,
    LogOptions,
    LogsOrFolder,
    MinEffect,
    Out,
    Outliers,
    Overwrite,
    PrintOptions,
    RunningOptions,
    SafeCsv,
    Storage,
    excerpts_shown,
    fence_of,
    named_files,
    share_of,
)
from loadlens.cli.pipeline_files import MarkdownFiles, OpenMetrics
from loadlens.cli.progress_display import ProgressDisplay, progress_display
from loadlens.cost.prices import BUILT_IN_TABLES, load_prices
from loadlens.errors import GateFailedError, UsageError
from loadlens.gates.verdict_files import failures, summary_line
from loadlens.logs import Reading, find_toolkit_folder
from loadlens.profile import DEFAULT_PERCENTILES, MeasureOptions
from loadlens.publish.publishing import existing_paths, publish_folder, refuse_output_inside, write_text
from loadlens.results import ChartFormat
from loadlens.storage.location import Location, target
from loadlens.storage.secrets import StorageOptions
from loadlens.tasks.analysis_options import AnalysisOptions
from loadlens.tasks.analysis_run import (
    LogAnalysis,
    ToolkitAnalysis,
    analyze_toolkit_folder,
    published_analysis,
)

__all__ = ["analyze_command", "demo_command"]


class ChartChoice(StrEnum):
    """Values of --chart-format."""

    PNG = "png"
    SVG = "svg"


Charts = Annotated[
    list[ChartChoice] | None,
    output_option(
        "--chart-format", metavar="FORMAT", help="Format of charts: png (default) or svg; repeatable."
    ),
]
Exact = Annotated[
    bool | None,
    figures_option("--exact/--one-pass", help="Exact figures (default), or one pass with a stated error."),
]
Percentiles = Annotated[
    list[float] | None,
    figures_option(
        "--percentile", metavar="NUMBER", help="Percentile to report; repeatable; else 90, 95, 99 and 99.9."
    ),
]
Baseline = Annotated[
    str | None, comparison_option(metavar="LOG", help="Log of a run to compare with, key by key.")
]
DemoPrices = Annotated[
    str | None,
    cost_option(
        "--prices",
        metavar="NAME_OR_FILE",
        help="Price table, see `loadlens prices`.",
        show_default=BUILT_IN_TABLES[0],
    ),
]
Rows = Annotated[
    int, simulation_option(min=1, metavar="N", help="Invocations to simulate.", show_default=True)
]
Seed = Annotated[
    int, simulation_option(min=0, metavar="N", help="The same seed gives the same rows.", show_default=True)
]


@spelt_out
@excerpts_shown()
def analyze_command(
    inputs: LogsOrFolder,
    *,
    out: Out,
    logs: LogOptions,
    key: KeyOptions,
    outliers: Outliers = None,
    percentile: Percentiles = None,
    exact: Exact = None,
    details: DetailOptions,
    gates: GateOptions,
    baseline: Baseline = None,
    min_effect: MinEffect = "5%",
    cost: CostOptions,
    running: RunningOptions,
    chart_format: Charts = None,
    safe_csv: SafeCsv = False,
    overwrite: Overwrite = False,
    openmetrics: OpenMetrics = None,
    files: MarkdownFiles,
    output: PrintOptions,
) -> None:
    """Analyse logs into summaries, charts and a report."""
    costing = cost.costing()
    reading = logs.reading(running.spill_folder)
    place = target(out, reading.storage_options)
    options_read = [*cost.files, *named_files(gates.slo_file, logs.map_file)]
    refuse_output_inside(place, existing_paths(options_read))
    files.refuse(existing_paths([*inputs, *options_read]), openmetrics)
    with (
        progress_display(quiet=output.quiet) as display,
        running.workforce(display.on_progress, exact=exact) as measuring,
    ):
        options = AnalysisOptions(
            by=key.columns,
            outliers=fence_of(outliers),
            percentiles=_quantiles(percentile),
            details=details.details(),
            reading=reading,
            measuring=replace(measuring, heatmap=True, timeline=True),
            prices=costing.prices[0],
            gates=gates.gates(),
            baseline=baseline,
            min_effect=share_of(min_effect),
            costing=costing if cost.is_asked or _prices_a_log(inputs, cost.prices, reading) else None,
            chart_formats=_formats(chart_format),
            safe_csv=safe_csv,
            on_stage=display.on_stage,
        )
        analysis = published_analysis(inputs, place, options, overwrite=overwrite)
    files.publish(
        lambda: _markdown(analysis),
        (openmetrics, lambda path: write_text(path, analysis.openmetrics)),
    )
    output.show(lambda: analysis.document, lambda: _print(analysis, place))
    _refuse_failed_gates(analysis)


# What shows results is imported when there are some: charts are drawn meanwhile.


def _markdown(analysis: ToolkitAnalysis | LogAnalysis) -> str:
    from loadlens.report import render_markdown

    return render_markdown(analysis.report)


def _print(analysis: ToolkitAnalysis | LogAnalysis, out: Location) -> None:
    from loadlens.cli.terminal import print_results

    print_results(analysis, out)


def _prices_a_log(inputs: Sequence[str], prices: Sequence[str] | None, reading: Reading) -> bool:
    """Whether --prices alone asks for a cost: a results folder has one by itself, by one table."""
    is_folder = any(find_toolkit_folder(item, reading.storage_options) for item in inputs)
    return len(prices or ()) > int(is_folder)


def _refuse_failed_gates(analysis: ToolkitAnalysis | LogAnalysis) -> None:
    gates = analysis.decisions.gates if isinstance(analysis, LogAnalysis) else None
    if gates and not gates.holds:
        raise GateFailedError(*failures(gates), summary_line(gates))


@spelt_out
def demo_command(
    *,
    out: Out,
    rows: Rows = 200_000,
    seed: Seed = 0,
    outliers: Outliers = None,
    prices: DemoPrices = None,
    chart_format: Charts = None,
    storage_option: Storage = None,
    overwrite: Overwrite = False,
    output: PrintOptions,
) -> None:
    """Simulate an endpoint under load, then analyse the result."""
    place = target(out, StorageOptions.parse(storage_option))
    with progress_display(quiet=output.quiet) as display:
        options = AnalysisOptions(
            outliers=fence_of(outliers),
            measuring=MeasureOptions(heatmap=True, timeline=True, on_progress=display.on_progress),
            prices=load_prices(prices),
            chart_formats=_formats(chart_format),
            on_stage=display.on_stage,
        )
        analysis = _demo(place, rows, seed, options, display, overwrite=overwrite)
    output.show(lambda: analysis.document, lambda: _print(analysis, place))


def _demo(
    out: Location,
    rows: int,
    seed: int,
    options: AnalysisOptions,
    display: ProgressDisplay,
    *,
    overwrite: bool,
) -> ToolkitAnalysis:
    from loadlens.demo import simulate_results_folder

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


def _formats(choices: Sequence[ChartChoice] | None) -> tuple[ChartFormat, ...]:
    return tuple(dict.fromkeys(choice.value for choice in choices or (ChartChoice.PNG,)))
