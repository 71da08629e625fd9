"""One call from logs to a published folder: summaries, charts, report and summary.json."""

from __future__ import annotations

import logging
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack, cast

from loadlens.api import compute_cost_savings
from loadlens.cost import Costing
from loadlens.cost.prices import PriceTable, load_prices
from loadlens.errors import InputError, PriceError, UsageError
from loadlens.gates import checked_gates
from loadlens.keywords import checked_arguments, columns_of, key_of
from loadlens.logs import (
    Reading,
    ToolkitFolder,
    TooManyRejectsError,
    average_request_size,
    find_toolkit_folder,
    is_in_memory,
    open_log,
)
from loadlens.messages import listed
from loadlens.profile import DEFAULT_PERCENTILES, Execution, MeasureOptions
from loadlens.publish.publishing import (
    existing_paths,
    publish_folder,
    publish_rejects,
    refuse_output_inside,
    rejects_of_folder,
)
from loadlens.results import ConcurrencyResult, StabilityResult, SummaryResult, begin_drawing
from loadlens.schema import LATENCY
from loadlens.storage.location import PathSource, RemotePath, target
from loadlens.storage.secrets import shown
from loadlens.summaries import (
    Apdex,
    Details,
    checked_key,
    concurrency_statistics,
    stability_statistics,
    summary_question,
)
from loadlens.tasks.analysis_folder import TOOLKIT_OUTLIERS, LogAnalysis, ToolkitAnalysis
from loadlens.tasks.analysis_options import AnalysisOptions
from loadlens.tasks.decisions import decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from loadlens.gates import Gate
    from loadlens.logs import Source
    from loadlens.profile import Measure, Outliers
    from loadlens.results import ChartFormat, CostResult

__all__ = [
    "LogAnalysis",
    "ToolkitAnalysis",
    "analyze",
    "analyze_toolkit_folder",
    "published_analysis",
]

_LOG = logging.getLogger(__name__)


@checked_arguments(MeasureOptions, {"reading": Reading, "costing": Costing})
def analyze(
    inputs: Source,
    out: PathSource,
    *,
    by: str | Sequence[str] | None = None,
    outliers: Outliers | None = None,
    prices: PriceTable | str | PathLike[str] | None = None,
    chart_formats: Sequence[ChartFormat] = ("png",),
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    measures: Sequence[Measure | str] = (),
    apdex: Apdex | str | PathLike[str] | None = None,
    expected_interval: str | None = None,
    overwrite: bool = False,
    reading: Reading | None = None,
    safe_csv: bool = False,
    on_stage: Callable[[str], None] = lambda _: None,
    gates: Sequence[Gate | str] = (),
    baseline: Source | None = None,
    min_effect: float = 0.05,
    costing: Costing | None = None,
    **execution: Unpack[Execution],
) -> ToolkitAnalysis | LogAnalysis:
    """Analyses logs and publishes summaries, charts, a report and summary.json.

    Of a log that is no results folder, gates, a baseline and a cost may be asked too: each becomes a section
    of the report, an entry of summary.json and a part of ``decisions``. All that goes by one key is measured
    together. A gate that fails is no error here: see ``decisions.gates.holds``.

    Args:
        inputs: one results folder of the toolkit; or paths, folders and globs of other logs, one or several;
            or one log in memory: a LazyFrame, a DataFrame, an Arrow table or an open ``Log``.
        out: the folder to appear.
        by: key columns; none (``[]``) for the log as a whole. By default those that naturally tell the log's
            rows apart: the label, the memory size, the file where several runs are given, and the like.
        outliers: the fence above which calls are removed: ``none`` (nothing is), ``mean-iqr``
            (mean + 5 IQR) or ``tukey`` (q75 + 1.5 IQR). By default nothing is removed from a log, and
            a results folder is filtered by ``mean-iqr``, as the reference toolkit does.
        prices: the price table of a results folder, its built-in name or its path; without it, the
            reference's for us-east-1.
        chart_formats: ``png``, ``svg`` or both.
        percentiles: quantiles of the successes to report, before outliers are removed.
        measures: further durations of the calls: names of those that the log's tool logs, such as
            ``connect``; ``all`` of these; or of any column, as ``NAME=COLUMN:UNIT``.
        apdex: the latency up to which calls satisfy, such as ``"500ms"``, or a TOML file with targets by key.
        expected_interval: at what interval a worker meant to send calls of one configuration, such as
            ``"100ms"``, or ``"auto"``: adds percentiles that are corrected for coordinated omission.
        overwrite: whether an existing ``out`` is replaced.
        reading: how files are read: their dialect, a map of columns, how many rows may be rejected, and the
            options of object stores, which hold for ``out`` too.
        safe_csv: whether cells of CSV files that a spreadsheet takes for formulas are disarmed.
        on_stage: is told what begins, for a progress display.
        gates: what the run has to keep to, such as ``p99 < 300ms``.
        baseline: a log of the run to compare with; it is read as the inputs are.
        min_effect: the smallest change against the baseline that counts, 0 to 1.
        costing: what a cost is asked for: traffic, price tables, instances, what is best.
        **execution: how logs are measured: ``exact``, ``memory_limit``, ``spill_folder``, ``heatmap``
            and ``timeline`` (here on by default), ``engine``, ``on_progress``, ``executor``; see
            ``Execution``.

    Raises:
        InputError: an input cannot be read or analysed. If too many rows were rejected, they are in
            ``OUT.rejects.csv`` beside ``out``, which is as it was.
        UsageError: the arguments do not make sense together, or a gate cannot be understood.
        OutputError: ``out`` exists and may not be replaced, lies in an input or cannot be written.
    """
    how: Execution = {"heatmap": True, "timeline": True, **execution}
    options = AnalysisOptions(
        by=None if by is None else columns_of(by),
        outliers=outliers,
        percentiles=tuple(percentiles),
        details=Details.of(
            totals=True, failures=True, measures=measures, apdex=apdex, expected_interval=expected_interval
        ),
        reading=reading or Reading(),
        measuring=MeasureOptions(**how),
        prices=prices if isinstance(prices, PriceTable) else load_prices(prices),
        gates=checked_gates(gates),
        baseline=baseline,
        min_effect=min_effect,
        costing=costing,
        chart_formats=tuple(dict.fromkeys(chart_formats)),
        safe_csv=safe_csv,
        on_stage=on_stage,
    )
    return published_analysis(inputs, out, options, overwrite=overwrite)


def published_analysis(
    inputs: Source, out: PathSource, options: AnalysisOptions, *, overwrite: bool
) -> ToolkitAnalysis | LogAnalysis:
    """Analyses logs and publishes what was found; see ``analyze``."""
    from loadlens.charts import prepare

    analysis: ToolkitAnalysis | LogAnalysis | None = None
    prepare()
    paths = [] if is_in_memory(inputs) else _input_paths(inputs)

    def write(folder: Path) -> None:
        nonlocal analysis
        analysis = _analysis(paths, options) if paths else _analyze_log(inputs, options)
        analysis.write(folder)

    place = target(out, options.reading.storage_options)
    costing = options.costing
    others = [options.prices.path, options.baseline, *(costing.loads.values() if costing else ())]
    refuse_output_inside(place, existing_paths([*paths, *_paths_in(others)]))
    try:
        publish_folder(place, write, overwrite=overwrite)
    except TooManyRejectsError as error:
        publish_rejects(error, rejects_of_folder(place), overwrite=overwrite, safe=options.safe_csv)
    assert analysis is not None  # noqa: S101  # publish_folder has called write
    return analysis


def _input_paths(inputs: Source) -> list[PathSource]:
    """Inputs as a list; a text alone is one path and not its characters."""
    paths: list[Any] = (
        [inputs] if isinstance(inputs, str | PathLike | RemotePath) else list(cast("Any", inputs))
    )
    wrong = sorted(
        {type(path).__name__ for path in paths if not isinstance(path, str | PathLike | RemotePath)}
    )
    if wrong:
        raise UsageError(
            f"inputs: got a list with {', '.join(wrong)}, expected paths, or one table alone: put several "
            f"together first, such as with polars.concat"
        )
    return paths


def _paths_in(sources: Iterable[object]) -> Iterator[PathSource]:
    for source in sources:
        if isinstance(source, str | PathLike | RemotePath):
            yield source
        elif isinstance(source, list | tuple):
            yield from _paths_in(source)


def _analysis(inputs: Sequence[PathSource], options: AnalysisOptions) -> ToolkitAnalysis | LogAnalysis:
    found = (find_toolkit_folder(item, options.reading.storage_options) for item in inputs)
    folders = [folder for folder in found if folder]
    if not folders:
        return _analyze_log(inputs, options, sources=tuple(map(shown, inputs)))
    if len(inputs) > 1:
        raise UsageError(f"{folders[0].path}: a results folder is analysed alone; name it as the only input")
    if options.by is not None:
        raise UsageError(
            f"{folders[0].path}: a results folder has its own keys; to group by "
            f"{', '.join(options.by) or 'nothing'}, name the invocation log in it"
        )
    if options.asks_for_decisions:
        raise UsageError(
            f"{folders[0].path}: is a results folder, whose report has sections of its own; for gates, a "
            f"baseline or a cost by traffic, name an invocation log in it, such as "
            f"{folders[0].stability or folders[0].concurrency}"
        )
    if options.details.asked_of_logs:
        raise UsageError(
            f"{folders[0].path}: is a results folder, whose tables are those of the reference toolkit; for "
            f"{listed(options.details.asked_of_logs)}, name an invocation log in it, such as "
            f"{folders[0].stability or folders[0].concurrency}"
        )
    return analyze_toolkit_folder(folders[0], options)


def _analyze_log(source: Source, options: AnalysisOptions, *, sources: Sequence[str] = ()) -> LogAnalysis:
    log = open_log(source, reading=options.reading.measuring(options.details.further_columns))
    sources = tuple(sources) or (log.name,)
    question = summary_question(
        log,
        checked_key(key_of(options.by, log.key), in_detail=True),
        outliers=options.outliers or "none",
        percentiles=options.percentiles,
        details=options.details,
    )
    log.require((*question.plan.key, LATENCY))
    statistics, decisions = decide(log, question, options, name=", ".join(sources))
    return LogAnalysis(
        sources=sources,
        options=options,
        summary=SummaryResult.of_figures(statistics),
        findings=log.findings,
        decisions=decisions,
    )


def analyze_toolkit_folder(
    folder: ToolkitFolder, options: AnalysisOptions, *, source: str | None = None
) -> ToolkitAnalysis:
    """Analyses the parts of a results folder that are there.

    Args:
        folder: the folder.
        options: how to analyse.
        source: what the report calls the input; its path without it.
    """
    stability = concurrency = None
    outliers, percentiles = options.outliers or TOOLKIT_OUTLIERS, options.percentiles
    if folder.stability:
        options.on_stage("Reading the stability log")
        found = stability_statistics(
            folder.stability,
            folder.stability_metrics,
            outliers,
            percentiles,
            options.measuring,
            totals=True,
            failures=True,
        )
        stability = StabilityResult.of_figures(found)
        begin_drawing(stability.written, options.chart_formats)  # while the other log is read
    if folder.concurrency:
        options.on_stage("Reading the concurrency log")
        several = concurrency_statistics(
            folder.concurrency,
            folder.concurrency_metrics,
            outliers,
            percentiles,
            options.measuring,
            totals=True,
            failures=True,
        )
        concurrency = ConcurrencyResult.of_figures(several)
    for note in folder.notes:
        _LOG.warning(note)
    cost, reason = _cost_or_reason(folder, stability, options)
    return ToolkitAnalysis(
        source=source or str(folder.path),
        options=options,
        stability=stability,
        concurrency=concurrency,
        cost=cost,
        no_cost_reason=reason,
        notes=(*folder.notes, *_told_of_slices(stability, concurrency)),
    )


def _told_of_slices(*parts: StabilityResult | ConcurrencyResult | None) -> list[str]:
    """Which calls of the logs of a folder are not counted, each log having its own first start."""
    return [
        f"{part.folder.partition('_')[0]} log: {sentence}"
        for part in parts
        if part and part.outside
        for sentence in part.outside.sentences()
    ]


def _cost_or_reason(
    folder: ToolkitFolder, stability: StabilityResult | None, options: AnalysisOptions
) -> tuple[CostResult | None, str | None]:
    """The cost part, or why there is none."""
    if stability is None:
        return None, "The folder has no stability benchmark, which the cost is computed from."
    if stability.endpoint_metrics is None:
        return None, "The stability benchmark has no endpoint metrics (endpoint_metrics.csv)."
    if folder.examples is None:
        return (
            None,
            "The folder has no example requests (invoke_args_examples.jsonl), so their size is unknown.",
        )
    if stability.average_response_size is None:
        return None, "No call of the stability benchmark succeeded, so the response size is unknown."
    request_size = average_request_size(folder.examples)
    try:
        cost = compute_cost_savings(
            stability.endpoint_metrics, request_size, stability.average_response_size, options.prices
        )
    except PriceError:
        raise
    except InputError as error:
        return None, f"{error}."
    return cost, None
