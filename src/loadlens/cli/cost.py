"""``loadlens cost``: what each configuration costs, against instances, and which one to run."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from loadlens.cli.grouped_commands import cost_option, slices_option, spelt_out
from loadlens.cli.option_groups import (
    LogOptions,
    LogsOrFolder,
    Out,
    Overwrite,
    PrintOptions,
    RequestSize,
    RunningOptions,
    SafeCsv,
    named_files,
)
from loadlens.cli.terminal import print_frame, print_line, progress_display
from loadlens.cost import (
    Capacity,
    CostComparison,
    Costing,
    Objective,
    Strategy,
    StrategyName,
    Traffic,
    checked_percentile,
    cost_comparison,
)
from loadlens.cost.prices import BUILT_IN_TABLES, load_prices
from loadlens.cost.usage import MEMORY
from loadlens.errors import UsageError
from loadlens.logs import Reading, average_request_size, find_toolkit_folder, open_log
from loadlens.publish.publishing import existing_paths, publish_folder, refuse_output_inside
from loadlens.storage.location import Location, PathSource, target
from loadlens.tasks.decision_results import CostingResult

__all__ = ["CostOptions", "cost_command"]

_DEFAULT_PERCENTILE = 95.0


class StrategyChoice(StrEnum):
    """Values of --strategy."""

    COST = "cost"
    SPEED = "speed"
    BALANCED = "balanced"
    CHEAPEST = "cheapest"


@dataclass(frozen=True, kw_only=True)
class CostOptions:
    """What a cost is asked for."""

    prices: Annotated[
        list[str] | None,
        cost_option(
            metavar="NAME_OR_FILE",
            help="Price table, see `loadlens prices` (default: its first); repeatable.",
        ),
    ] = None
    traffic: Annotated[
        str | None,
        cost_option(
            metavar="VOLUME", help="50/s, 10M/month, '10M/month peak 40/s', or a CSV of hourly rates."
        ),
    ] = None
    capacity: Annotated[
        list[str] | None,
        cost_option(
            metavar="TYPE=RATE", help="Calls/s that an instance takes, or TYPE=LOG of it; repeatable."
        ),
    ] = None
    strategy: Annotated[
        StrategyChoice | None,
        cost_option(
            metavar="NAME", help="What is best: cost, speed, balanced, or cheapest within --objective."
        ),
    ] = None
    weight: Annotated[
        float,
        cost_option(metavar="NUMBER", help="Weight of cost in strategy balanced, 0 to 1.", show_default=True),
    ] = 0.5
    objective: Annotated[
        str | None, cost_option(metavar="LIMIT", help="Latency that is good enough, e.g. 'p95 < 300ms'.")
    ] = None
    request_size: RequestSize = None

    @property
    def is_asked(self) -> bool:
        """Whether more than prices is told: these may be those of a results folder."""
        given = (self.traffic, self.capacity, self.strategy, self.objective, self.request_size)
        return any(option is not None for option in given)

    @property
    def files(self) -> list[str]:
        """What may be files that a cost is made of, which an output must not replace."""
        loads = _capacities(self.capacity or ())[1]
        return [*(self.prices or ()), *([self.traffic] if self.traffic else []), *loads.values()]

    def costing(self, *, percentile: float | None = None, request_size: float | None = None) -> Costing:
        """What a cost is asked for, with what a command knows besides.

        Raises:
            PriceError: a price table cannot be read.
            UsageError: an option cannot be understood, or two do not go together.
        """
        goal = Objective.parse(self.objective) if self.objective else None
        quantile = checked_percentile(_DEFAULT_PERCENTILE if percentile is None else percentile)
        if goal and percentile is not None and quantile != goal.percentile:
            raise UsageError(
                f"--percentile {percentile:g} and --objective '{self.objective}' are about two percentiles"
            )
        name: StrategyName = self.strategy.value if self.strategy else "cheapest" if goal else "balanced"
        capacities, loads = _capacities(self.capacity or ())
        return Costing(
            prices=tuple(load_prices(name) for name in self.prices or BUILT_IN_TABLES[:1]),
            traffic=Traffic.parse(self.traffic) if self.traffic else None,
            capacities=capacities,
            loads=loads,
            strategy=Strategy(name=name, weight=self.weight, objective=goal),
            percentile=quantile,
            request_size=self.request_size if request_size is None else request_size,
        )


By = Annotated[
    list[str] | None,
    slices_option(metavar="COLUMN", help="Column to group by; repeatable.", show_default="memory_size"),
]
Percentile = Annotated[
    float | None,
    cost_option(
        metavar="NUMBER", help="Latency percentile to compare.", show_default="the objective's, else 95"
    ),
]


@spelt_out
def cost_command(
    inputs: LogsOrFolder,
    *,
    out: Out,
    logs: LogOptions,
    by: By = None,
    cost: CostOptions,
    percentile: Percentile = None,
    running: RunningOptions,
    safe_csv: SafeCsv = False,
    overwrite: Overwrite = False,
    output: PrintOptions,
) -> None:
    """Price each configuration, against instances too, and choose one.

    Prices go by memory size, so the log has to tell memory_size.
    """
    from loadlens.charts import prepare

    reading = logs.reading(running.spill_folder)
    place = target(out, reading.storage_options)
    paths, request_size = _inputs(inputs, cost.request_size, reading)
    costing = cost.costing(percentile=percentile, request_size=request_size)
    refuse_output_inside(place, existing_paths([*inputs, *cost.files, *named_files(logs.map_file)]))
    log = open_log(paths, reading=reading)

    def write(folder: Path) -> None:
        prepare()
        with (
            progress_display(quiet=output.quiet) as display,
            running.workforce(display.on_progress) as options,
        ):
            comparison = cost_comparison(log, costing, by or (MEMORY,), reading=reading, options=options)
            display.on_stage("Drawing charts")
            result = CostingResult.of_figures(
                comparison, sources=tuple(inputs), remarks=tuple(log.findings.sentences())
            )
            result.write(folder, safe_csv=safe_csv)
        found.append(result)

    found: list[CostingResult] = []
    publish_folder(place, write, overwrite=overwrite)
    output.show(lambda: found[0].file_document, lambda: _print(found[0], place))


def _capacities(texts: Sequence[str]) -> tuple[tuple[Capacity, ...], dict[str, str]]:
    """Capacities as TYPE=RATE tells them, and the logs that TYPE=LOG names, by type."""
    told: list[Capacity] = []
    loads: dict[str, str] = {}
    for text in texts:
        instance, separator, value = text.partition("=")
        if not separator or not instance or not value:
            raise UsageError(f"--capacity: got {text!r}, expected TYPE=RATE in calls per second, or TYPE=LOG")
        if instance in loads or any(capacity.instance == instance for capacity in told):
            raise UsageError(f"--capacity: {instance} is given more than once; give each once")
        rate = _number(value.removesuffix("/s"))
        if rate is None:
            loads[instance] = value
        else:
            told.append(Capacity.told(instance, rate))
    return tuple(told), loads


def _inputs(
    inputs: Sequence[str], request_size: float | None, reading: Reading
) -> tuple[list[PathSource], float | None]:
    """The logs to read; of a toolkit folder its stability log, and the mean size of its example requests."""
    folder = find_toolkit_folder(inputs[0], reading.storage_options) if len(inputs) == 1 else None
    if folder is None:
        return list(inputs), request_size
    if request_size is None and folder.examples:
        request_size = average_request_size(folder.examples)
    log = folder.stability or folder.concurrency
    assert log is not None  # noqa: S101  # a folder with neither is no results folder
    return [log], request_size


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _print(comparison: CostComparison, out: Location) -> None:
    from loadlens.report.cost_report import cost_headers

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
    if comparison.relative_error:
        print_line(f"Not exact: percentiles are off by at most {comparison.relative_error:.1%}.")
    if comparison.rounding_error:
        steps = f"{comparison.rounding_error:g} of a billing step"
        print_line(f"Not exact: what a call is billed is off by at most {steps}.")
    print_line(f"Choice: {comparison.choice.reason}")
    print_line(f"Report: {out / 'report.html'}")
