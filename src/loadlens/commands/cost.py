"""loadlens cost: what each configuration costs, against instances, and which one to run."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from loadlens.analyze import json_text
from loadlens.commands.options import Format, KeyFromName, Map, MaxRejects, Out, Overwrite, Quiet, SafeCsv
from loadlens.costing import (
    Capacity,
    CostComparison,
    Objective,
    Strategy,
    StrategyName,
    Traffic,
    checked_percentile,
    compare_costs,
    measured_capacity,
    usage_of,
)
from loadlens.errors import UsageError
from loadlens.prices import BUILT_IN_TABLES, load_prices
from loadlens.profile import OnProgress
from loadlens.publish import existing_paths, publish_folder, refuse_output_inside, write_text
from loadlens.results import write_csv
from loadlens.sources import (
    Log,
    Reading,
    average_request_size,
    disarmed,
    find_toolkit_folder,
    open_log,
)
from loadlens.terminal import print_frame, print_line, progress_display

__all__ = ["cost_command"]

_DEFAULT_PERCENTILE = 95.0


class StrategyChoice(StrEnum):
    """Values of --strategy."""

    COST = "cost"
    SPEED = "speed"
    BALANCED = "balanced"
    CHEAPEST = "cheapest"


Inputs = Annotated[
    list[str], typer.Argument(metavar="LOGS...", help="Logs, or a results folder of the toolkit.")
]
Prices = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME_OR_FILE",
        help="Price table, see `loadlens prices`; repeat to compare several.",
        show_default=BUILT_IN_TABLES[0],
    ),
]
By = Annotated[
    list[str] | None,
    typer.Option(help="Column to group by; repeatable.", metavar="COLUMN", show_default="memory_size"),
]
TrafficText = Annotated[
    str | None,
    typer.Option(
        help="50/s, 10M/month, '10M/month peak 40/s', or a CSV file of hourly rates.", show_default=False
    ),
]
Capacities = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TYPE=RATE",
        help="Calls per second that an instance type takes, or TYPE=LOG of it under load; repeatable.",
        show_default=False,
    ),
]
Strategies = Annotated[
    StrategyChoice | None,
    typer.Option(
        help="What is best; cheapest is the lowest cost that meets --objective.",
        show_default="cheapest with an objective, else balanced",
    ),
]
Weight = Annotated[float, typer.Option(help="Weight of cost in strategy balanced, 0 to 1.")]
Goal = Annotated[
    str | None, typer.Option(help="Latency that is good enough, e.g. 'p95 < 300ms'.", show_default=False)
]
Percentile = Annotated[
    float | None,
    typer.Option(help="Latency percentile to compare.", show_default="the objective's, else 95"),
]
RequestSize = Annotated[
    float | None,
    typer.Option(min=0, help="Mean bytes of a request, where data is paid for.", show_default=False),
]


def cost_command(  # noqa: PLR0917  # the parameters of a command are its options
    inputs: Inputs,
    out: Out,
    prices: Prices = None,
    by: By = None,
    traffic: TrafficText = None,
    capacity: Capacities = None,
    strategy: Strategies = None,
    weight: Weight = 0.5,
    objective: Goal = None,
    percentile: Percentile = None,
    request_size: RequestSize = None,
    log_format: Format = None,
    column_map: Map = None,
    key_from_name: KeyFromName = None,
    max_rejects: MaxRejects = "0",
    safe_csv: SafeCsv = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Price each configuration from its log, set it against instances, and choose."""
    reading = Reading.of(
        format=log_format, column_map=column_map, key_from_name=key_from_name, max_rejects=max_rejects
    )
    chosen, quantile = _strategy(strategy, weight, objective, percentile)
    tables = [load_prices(name) for name in prices or BUILT_IN_TABLES[:1]]
    month = Traffic.parse(traffic) if traffic else None
    paths, size = _inputs(inputs, request_size)
    refuse_output_inside(out, existing_paths([*inputs, *(prices or ())]))
    log = open_log(paths, reading=reading)

    def write(folder: Path) -> None:
        with progress_display(quiet=quiet) as display:
            usage = usage_of(
                log,
                by or ("memory_size",),
                percentile=quantile,
                request_size=size,
                on_progress=display.on_progress,
            )
            capacities = [
                _capacity(text, chosen.objective, quantile, reading, display.on_progress)
                for text in capacity or ()
            ]
            comparison = compare_costs(usage, tables, traffic=month, capacities=capacities, strategy=chosen)
            display.on_stage("Drawing charts")
            _write(comparison, folder, inputs, log, safe_csv=safe_csv)
        found.append(comparison)

    found: list[CostComparison] = []
    publish_folder(out, write, overwrite=overwrite)
    if not quiet:
        _print(found[0], out)


def _strategy(
    choice: StrategyChoice | None, weight: float, objective: str | None, percentile: float | None
) -> tuple[Strategy, float]:
    """What is best, and the latency percentile that it is about."""
    goal = Objective.parse(objective) if objective else None
    quantile = checked_percentile(_DEFAULT_PERCENTILE if percentile is None else percentile)
    if goal and percentile is not None and quantile != goal.percentile:
        raise UsageError(
            f"--percentile {percentile:g} and --objective '{objective}' are about two percentiles"
        )
    name: StrategyName = choice.value if choice else "cheapest" if goal else "balanced"
    return Strategy(name=name, weight=weight, objective=goal), goal.percentile if goal else quantile


def _inputs(inputs: Sequence[str], request_size: float | None) -> tuple[list[str], float | None]:
    """The logs to read; of a toolkit folder its stability log, and the mean size of its example requests."""
    folder = find_toolkit_folder(inputs[0]) if len(inputs) == 1 else None
    if folder is None:
        return list(inputs), request_size
    if request_size is None and folder.examples:
        request_size = average_request_size(folder.examples)
    return [str(folder.stability or folder.concurrency)], request_size


def _capacity(
    text: str, objective: Objective | None, quantile: float, reading: Reading, on_progress: OnProgress
) -> Capacity:
    """A capacity as TYPE=RATE says, or measured from TYPE=LOG."""
    instance, separator, value = text.partition("=")
    if not separator or not instance or not value:
        raise UsageError(f"--capacity: got {text!r}, expected TYPE=RATE in calls per second, or TYPE=LOG")
    rate = _number(value.removesuffix("/s"))
    if rate is not None:
        return Capacity.told(instance, rate)
    log = open_log(value, reading=replace(reading, name_keys=None))
    return measured_capacity(instance, log, objective=objective, percentile=quantile, on_progress=on_progress)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _write(
    comparison: CostComparison, folder: Path, inputs: Sequence[str], log: Log, *, safe_csv: bool
) -> None:
    """Writes the tables, the choice, the charts and the report."""
    from loadlens.charts.break_even import break_even_chart
    from loadlens.charts.export import save_chart, svg_text
    from loadlens.charts.pareto import pareto_chart
    from loadlens.report.costing import cost_report
    from loadlens.report.page import render

    tables = {
        "costs": comparison.costs,
        "monthly": comparison.monthly,
        "break_even": comparison.break_even,
    }
    for name, frame in tables.items():
        write_csv(disarmed(frame) if safe_csv else frame, folder / f"{name}.csv")
    charts = {"pareto": pareto_chart(comparison)}
    if comparison.capacities:
        charts["break_even"] = break_even_chart(comparison)
    (folder / "charts").mkdir()
    for name, chart in charts.items():
        save_chart(chart, folder / "charts" / f"{name}.png")
    report = cost_report(
        source=", ".join(inputs),
        version=version("loadlens"),
        comparison=comparison,
        figures={name: svg_text(chart) for name, chart in charts.items()},
        remarks=log.findings.sentences(),
    )
    write_text(folder / "report.html", render(report))
    write_text(folder / "choice.json", json_text(_document(comparison, inputs)))


def _document(comparison: CostComparison, inputs: Sequence[str]) -> dict[str, Any]:
    """The content of choice.json."""
    strategy, traffic = comparison.choice.strategy, comparison.traffic
    return {
        "loadlens_version": version("loadlens"),
        "inputs": list(inputs),
        "prices": [
            {
                name: getattr(table, name)
                for name in ("short_name", "region", "currency", "valid_from", "from_memory")
            }
            for table in comparison.tables
        ],
        "by": list(comparison.by),
        "percentile": comparison.percentile,
        "strategy": strategy.name,
        "weight": strategy.weight if strategy.name == "balanced" else None,
        "objective": str(strategy.objective) if strategy.objective else None,
        "traffic": traffic
        and {
            "monthly_invocations": traffic.monthly_invocations,
            "peak_rate": traffic.peak_rate,
            "description": traffic.description,
        },
        "capacities": [_capacity_document(capacity) for capacity in comparison.capacities],
        "choice": comparison.choice.option,
        "reason": comparison.choice.reason,
        "candidates": comparison.candidates.to_dicts(),
    }


def _capacity_document(capacity: Capacity) -> dict[str, Any]:
    return {
        "instance": capacity.instance,
        "rate": capacity.rate,
        "basis": capacity.basis,
        "latency_ms": capacity.latency_ms,
        "levels": None if capacity.levels is None else capacity.levels.to_dicts(),
    }


def _print(comparison: CostComparison, out: Path) -> None:
    from loadlens.report.costing import cost_headers

    headers = cost_headers(comparison)
    costs = comparison.costs.select(
        "option",
        "latency_ms",
        "billed_ms",
        "call_cost_per_1M",
        "cold_start_cost_per_1M",
        "failure_cost_per_1M",
        "cost_per_1M_invocations",
    )
    for title, frame in {"Cost of a successful call": costs, "A month": comparison.monthly}.items():
        if frame.height:
            named = {name: text for name, text in headers.items() if name in frame.columns}
            print_frame(title, frame.rename(named), currency=comparison.currency, rest=str(out))
    for table in comparison.tables:
        if table.from_memory:
            print_line(f"Warning: {table.short_name}: {table.note}")
    print_line(f"Choice: {comparison.choice.reason}")
    print_line(f"Report: {out / 'report.html'}")
