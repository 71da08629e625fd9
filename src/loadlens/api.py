"""The functions that a user of the toolkit knows, and one for any other log."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, Unpack

from loadlens.cost.break_even import cost_analysis
from loadlens.cost.prices import PriceTable, load_prices
from loadlens.keywords import checked_arguments
from loadlens.profile import DEFAULT_PERCENTILES, Execution, MeasureOptions, checked_outliers
from loadlens.results import ConcurrencyResult, CostResult, SavedResult, StabilityResult, SummaryResult
from loadlens.summaries import (
    Apdex,
    Details,
    concurrency_statistics,
    stability_statistics,
    summary_statistics,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import polars as pl

    from loadlens.logs import EndpointMetricsSource, Source
    from loadlens.profile import Measure, Outliers
    from loadlens.storage.location import PathSource

__all__ = [
    "compute_cost_savings",
    "summarize",
    "summarize_concurrency_results",
    "summarize_stability_results",
]

_Result = TypeVar("_Result", bound=SavedResult)


@checked_arguments(MeasureOptions)
def summarize_stability_results(
    invocations: Source,
    endpoint_metrics: EndpointMetricsSource | None = None,
    result_save_path: PathSource | None = None,
    *,
    outliers: Outliers = "mean-iqr",
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    overwrite: bool = False,
    **execution: Unpack[Execution],
) -> StabilityResult:
    """Summarises a stability log by ``memory_size``, as the reference toolkit does.

    Args:
        invocations: the log: paths, a frame or an Arrow table.
        endpoint_metrics: CloudWatch metrics of the endpoint, if there are any.
        result_save_path: where to write ``stability_benchmark_summary_results``; nothing is written
            without it.
        outliers: the fence: ``mean-iqr`` (mean + 5 IQR), ``tukey`` (q75 + 1.5 IQR) or ``none``.
        percentiles: quantiles of the successes to report, before outliers are removed.
        overwrite: whether an existing folder of that name is replaced.
        **execution: how to do it: ``exact``, ``memory_limit``, ``spill_folder``, ``heatmap``, ``timeline``,
            ``engine``, ``on_progress``, ``executor``; see ``Execution``.

    Raises:
        InputError: a source cannot be read, lacks columns or holds values that no statistic may use.
        OutputError: the result cannot be written.
    """
    statistics = stability_statistics(
        invocations,
        endpoint_metrics,
        outliers=checked_outliers(outliers),
        percentiles=percentiles,
        options=MeasureOptions(**execution),
    )
    return _saved(StabilityResult.of_figures(statistics), result_save_path, overwrite=overwrite)


@checked_arguments(MeasureOptions)
def summarize_concurrency_results(
    invocations: Source,
    endpoint_metrics: EndpointMetricsSource | None = None,
    result_save_path: PathSource | None = None,
    *,
    outliers: Outliers = "mean-iqr",
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    overwrite: bool = False,
    **execution: Unpack[Execution],
) -> ConcurrencyResult:
    """Summarises a concurrency log by configuration, as the reference toolkit does.

    Args:
        invocations: the log: paths, a frame or an Arrow table.
        endpoint_metrics: CloudWatch metrics of the endpoint, if there are any.
        result_save_path: where to write ``concurrency_benchmark_summary_results``; nothing is written
            without it.
        outliers: the fence: ``mean-iqr`` (mean + 5 IQR), ``tukey`` (q75 + 1.5 IQR) or ``none``.
        percentiles: quantiles of the successes to report, before outliers are removed.
        overwrite: whether an existing folder of that name is replaced.
        **execution: how to do it: ``exact``, ``memory_limit``, ``spill_folder``, ``heatmap``, ``timeline``,
            ``engine``, ``on_progress``, ``executor``; see ``Execution``.

    Raises:
        InputError: a source cannot be read, lacks columns or holds values that no statistic may use.
        OutputError: the result cannot be written.
    """
    statistics = concurrency_statistics(
        invocations,
        endpoint_metrics,
        outliers=checked_outliers(outliers),
        percentiles=percentiles,
        options=MeasureOptions(**execution),
    )
    return _saved(ConcurrencyResult.of_figures(statistics), result_save_path, overwrite=overwrite)


@checked_arguments()
def compute_cost_savings(
    endpoint_metrics_summary: pl.DataFrame,
    average_request_size: float,
    average_response_size: float = 1000,
    prices: PriceTable | str | PathLike[str] | None = None,
    result_save_path: PathSource | None = None,
    *,
    overwrite: bool = False,
) -> CostResult:
    """Prices each memory size and compares the best with an instance, as the reference toolkit does.

    Args:
        endpoint_metrics_summary: the stability result's ``endpoint_metrics``.
        average_request_size: bytes.
        average_response_size: bytes.
        prices: a price table or the path of one; without it, the reference's for us-east-1.
        result_save_path: where to write ``cost_analysis_summary_results``; nothing is written without it.
        overwrite: whether an existing folder of that name is replaced.

    Raises:
        InputError: the metrics lack what a cost needs.
        PriceError: the price table is malformed or lacks a memory size.
        OutputError: the result cannot be written.
    """
    table = prices if isinstance(prices, PriceTable) else load_prices(prices)
    analysis = cost_analysis(
        endpoint_metrics_summary,
        average_request_size=average_request_size,
        average_response_size=average_response_size,
        prices=table,
    )
    return _saved(CostResult.of_figures(analysis), result_save_path, overwrite=overwrite)


@checked_arguments(MeasureOptions)
def summarize(
    log: Source,
    by: str | Sequence[str] | None = None,
    *,
    outliers: Outliers = "none",
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    totals: bool = False,
    failures: bool = False,
    measures: Sequence[Measure | str] = (),
    apdex: Apdex | str | PathLike[str] | None = None,
    expected_interval: str | None = None,
    **execution: Unpack[Execution],
) -> SummaryResult:
    """Summarises a log by any configuration columns.

    Args:
        log: paths, a frame or an Arrow table.
        by: the key columns, such as ``"label"``; none (``[]``) for the log as a whole. By default those that
            naturally tell the log's rows apart: the label, the memory size and the like.
        outliers: the fence above which calls are removed: ``none`` (nothing is), ``mean-iqr``
            (mean + 5 IQR) or ``tukey`` (q75 + 1.5 IQR).
        percentiles: quantiles of the successes to report, before outliers are removed.
        totals: whether the figures of all calls together are wanted besides, as ``total``; they come from the
            same scans.
        failures: whether failed calls are told apart by their error, with times and latencies.
        measures: further durations of the calls, with figures as exact as those of the latency: names of
            durations that the log's tool logs, such as ``connect``; ``all`` of these; or of any column, as
            ``NAME=COLUMN:UNIT``.
        apdex: the latency up to which calls satisfy, such as ``"500ms"``, or a TOML file with targets by key:
            adds a score from 0 to 1, in which failures frustrate.
        expected_interval: at what interval a worker meant to send calls of one configuration, such as
            ``"100ms"``, or ``"auto"`` for the cadence of the workers that the log names: adds percentiles
            that are corrected for coordinated omission.
        **execution: how to do it: ``exact``, ``memory_limit``, ``spill_folder``, ``heatmap``, ``timeline``,
            ``engine``, ``on_progress``, ``executor``; see ``Execution``.

    Returns:
        The result; its ``summary`` has the columns of ``summary.csv``.

    Raises:
        InputError: the log cannot be read, lacks columns or holds values that no statistic may use.
        UsageError: ``by`` names a column twice, or one that is measured and not configured.
    """
    statistics = summary_statistics(
        log,
        by,
        outliers=checked_outliers(outliers),
        percentiles=percentiles,
        details=Details.of(
            totals=totals,
            failures=failures,
            measures=measures,
            apdex=apdex,
            expected_interval=expected_interval,
        ),
        options=MeasureOptions(**execution),
    )
    return SummaryResult.of_figures(statistics)


def _saved(result: _Result, path: PathSource | None, *, overwrite: bool) -> _Result:
    if path is not None:
        result.save(path, overwrite=overwrite)
    return result
