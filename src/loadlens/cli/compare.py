"""``loadlens compare``: is a candidate run better or worse than a base run, key by key."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import polars as pl
from rich.table import Table
from rich.text import Text

from loadlens.cli.grouped_commands import (
    comparison_option,
    cost_option,
    input_argument,
    output_option,
    spelt_out,
)
from loadlens.cli.option_groups import (
    KeyOptions,
    LogOptions,
    MinEffect,
    Overwrite,
    PrintOptions,
    RequestSize,
    RunningOptions,
    SafeCsv,
    named_files,
    share_of,
)
from loadlens.cli.pipeline_files import Junit, MarkdownFiles
from loadlens.cli.progress_display import ProgressDisplay, progress_display
from loadlens.cli.terminal import MOST_ROWS, console_of_width
from loadlens.comparison import VERDICTS, Comparison, ComparisonQuestion, compared_prices
from loadlens.errors import GateFailedError, InputError, UsageError
from loadlens.logs import REJECTS_FILE, Log, Reading, TooManyRejectsError, find_toolkit_folder, open_log
from loadlens.messages import counted, visible
from loadlens.publish.publishing import (
    existing_paths,
    publish_folder,
    publish_rejects,
    refuse_output_inside,
    rejects_of_folder,
    write_text,
)
from loadlens.report import render_markdown
from loadlens.report.columns import column_header, format_key, format_value, key_text
from loadlens.report.comparison_junit import comparison_junit
from loadlens.report.comparison_report import (
    change_text,
    deciding_text,
    figure_text,
    metric_header,
    verdict_sentence,
)
from loadlens.storage.location import Location, target
from loadlens.storage.secrets import shown
from loadlens.tasks.decision_results import ComparisonResult

__all__ = ["FailOn", "compare_command"]

_WIDTH_WITHOUT_TERMINAL: Final = 200
_SHOWN: Final = ("error_rate", "mean", "p50", "p95", "p99", "throughput")


class FailOn(StrEnum):
    """Values of --fail-on."""

    WORSE = "worse"


Base = Annotated[str, input_argument(metavar="BASE", help="Log of the run to compare with.")]
Candidate = Annotated[str, input_argument(metavar="CANDIDATE", help="Log of the run in question.")]
Prices = Annotated[
    list[str] | None,
    cost_option(metavar="NAME_OR_FILE", help="Price table, see `loadlens prices`; repeatable."),
]
Failing = Annotated[
    FailOn | None, comparison_option(metavar="VERDICT", help="Exit with 1 if a key has this verdict: worse.")
]
Folder = Annotated[
    str | None, output_option(metavar="FOLDER", help="Folder to write, or s3://...; whole or not at all.")
]


@spelt_out
def compare_command(
    base: Base,
    candidate: Candidate,
    *,
    logs: LogOptions,
    key: KeyOptions,
    min_effect: MinEffect = "5%",
    fail_on: Failing = None,
    prices: Prices = None,
    request_size: RequestSize = None,
    running: RunningOptions,
    out: Folder = None,
    safe_csv: SafeCsv = False,
    overwrite: Overwrite = False,
    junit: Junit = None,
    files: MarkdownFiles,
    output: PrintOptions,
) -> None:
    """Compare two runs key by key, with intervals and verdicts."""
    reading = logs.reading(running.spill_folder)
    effect = share_of(min_effect)
    place = None if out is None else target(out, reading.storage_options)
    named = existing_paths([base, candidate, *(prices or ()), *named_files(logs.map_file)])
    if place is not None:
        refuse_output_inside(place, named)
    files.refuse(named, junit)
    tables = compared_prices(prices or (), request_size)
    with progress_display(quiet=output.quiet) as display, running.workforce(display.on_progress) as options:

        def compared() -> ComparisonResult:
            runs = _logs(base, candidate, reading)
            question = ComparisonQuestion.of(
                *runs,
                key.columns,
                min_effect=effect,
                prices=tables,
                request_size=request_size,
                base_name=shown(base),
                candidate_name=shown(candidate),
            )
            return ComparisonResult.of_figures(question.ask(*runs, options))

        if place is None:
            found = _told_of_rejects(compared)
        else:
            found = _published(compared, place, display, overwrite=overwrite, safe_csv=safe_csv)
    files.publish(
        lambda: render_markdown(found.report),
        (junit, lambda path: write_text(path, comparison_junit(found))),
    )
    output.show(lambda: found.file_document, lambda: _print(found, place))
    if fail_on is not None and found.verdicts[fail_on.value]:
        raise GateFailedError(verdict_sentence(found).removesuffix("."))


def _told_of_rejects(compared: Callable[[], ComparisonResult]) -> ComparisonResult:
    try:
        return compared()
    except TooManyRejectsError as error:
        how = f"--out FOLDER writes {error.findings.listed} into {REJECTS_FILE}"
        raise InputError(*error.problems, how) from error


def _published(
    compared: Callable[[], ComparisonResult],
    out: Location,
    display: ProgressDisplay,
    *,
    overwrite: bool,
    safe_csv: bool,
) -> ComparisonResult:
    """Compares and publishes the result; only the rejected rows if there are too many."""
    from loadlens.charts import prepare

    found: list[ComparisonResult] = []

    def write(folder: Path) -> None:
        prepare()
        found.append(compared())
        display.on_stage("Writing the report")
        found[0].write(folder, safe_csv=safe_csv)

    try:
        publish_folder(out, write, overwrite=overwrite)
    except TooManyRejectsError as error:
        publish_rejects(error, rejects_of_folder(out), overwrite=overwrite, safe=safe_csv)
    return found[0]


def _logs(base: str, candidate: str, reading: Reading) -> tuple[Log, Log]:
    for source in (base, candidate):
        if find_toolkit_folder(source, reading.storage_options):
            raise UsageError(
                f"{source}: is a results folder of the toolkit; name an invocation log in it, such as "
                f"concurrency_benchmark_raw_results/invocation_benchmark_results.csv"
            )
    return open_log(base, reading=reading), open_log(candidate, reading=reading)


def _print(comparison: Comparison, out: Location | None) -> None:
    console = console_of_width(_WIDTH_WITHOUT_TERMINAL)
    console.print(_table(comparison))
    rest = comparison.keys.height - MOST_ROWS
    where = "comparison.csv has all of them" if out is not None else "--out DIR writes all of them"
    lines = [f"{counted(rest, 'more key')}: {where}."] if rest > 0 else []
    lines += [*_one_run_only(comparison), *[f"Warning: {sentence}" for sentence in comparison.warnings]]
    lines.append(verdict_sentence(comparison))
    if out is not None:
        lines.append(f"Report: {out / 'report.html'}")
    for line in lines:
        console.print(Text(visible(line)), soft_wrap=True)


def _table(comparison: Comparison) -> Table:
    title = f"{comparison.candidate.name} against {comparison.base.name}: candidate and its change"
    table = Table(title=Text(visible(title), style="bold"), title_justify="left")
    for name in comparison.by:
        table.add_column(Text(visible(column_header(name))), overflow="fold")
    for name in ("Verdict", "Because of"):
        table.add_column(name)
    costs = [f"Per 1M ({visible(of.currency)})\n{visible(of.short_name)}" for of in comparison.prices]
    for name in ("Calls", *map(metric_header, _SHOWN), *costs):
        table.add_column(Text(name), justify="right")
    keys = comparison.keys.with_row_index("row").sort(pl.col("verdict").cast(pl.Enum(VERDICTS)), "row")
    metrics = comparison.metrics.filter(pl.col("metric").is_in(_SHOWN))
    for key in keys.head(MOST_ROWS).iter_rows(named=True):
        figures = metrics[len(_SHOWN) * key["row"] : len(_SHOWN) * (key["row"] + 1)]
        priced = comparison.costs[len(costs) * key["row"] : len(costs) * (key["row"] + 1)]
        cells = [visible(format_key(name, key[name])) for name in comparison.by]
        cells += [
            key["verdict"],
            deciding_text(key["deciding"]),
            f"{key['base_calls']:,} →\n{key['candidate_calls']:,}",
        ]
        cells += [_cell(figure) for figure in figures.iter_rows(named=True)]
        cells += [_cost_cell(cost) for cost in priced.iter_rows(named=True)]
        table.add_row(*[Text(cell) for cell in cells])
    return table


def _cell(figure: dict[str, Any]) -> str:
    """The candidate's figure, and below it its change."""
    metric = figure["metric"]
    change = change_text(metric, figure["difference"], figure["base"])
    return f"{figure_text(metric, figure['candidate'])}\n{change}"


def _cost_cell(cost: dict[str, Any]) -> str:
    """The candidate's cost, and below it its change."""
    name = "cost_per_1M_invocations"
    change = change_text(name, cost["difference"], cost["base"])
    return f"{format_value(name, cost['candidate'])}\n{change}"


def _one_run_only(comparison: Comparison) -> list[str]:
    found = []
    for run, frame in (("base", comparison.only_in_base), ("candidate", comparison.only_in_candidate)):
        names = [
            key_text(comparison.by, row) for row in frame.select(comparison.by).head(MOST_ROWS).iter_rows()
        ]
        rest = f" and {frame.height - MOST_ROWS:,} more" if frame.height > MOST_ROWS else ""
        if names:
            found.append(f"Only in the {run}, not compared: {', '.join(names)}{rest}")
    return found
