"""``loadlens cost``: what each configuration costs, against instances, and which one to run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from loadlens.cli.cost_options import CostOptions
from loadlens.cli.grouped_commands import cost_option, slices_option, spelt_out
from loadlens.cli.option_groups import (
    LogOptions,
    LogsOrFolder,
    Out,
    Overwrite,
    PrintOptions,
    RunningOptions,
    SafeCsv,
    named_files,
)
from loadlens.cli.progress_display import progress_display
from loadlens.cli.terminal import print_frame, print_line
from loadlens.cost import CostComparison, cost_comparison
from loadlens.cost.usage import MEMORY
from loadlens.logs import Reading, average_request_size, find_toolkit_folder, open_log
from loadlens.publish.publishing import existing_paths, publish_folder, refuse_output_inside
from loadlens.storage.location import Location, PathSource, target
from loadlens.tasks.decision_results import CostingResult

__all__ = ["cost_command"]

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
