"""The functions that a user of the toolkit knows, and their results with charts and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, Unpack

from loadlens.analysis import (
    ConcurrencyStatistics,
    CostAnalysis,
    StabilityStatistics,
    SummaryStatistics,
    concurrency_statistics,
    cost_analysis,
    stability_statistics,
    summary_statistics,
)
from loadlens.errors import UsageError
from loadlens.prices import PriceTable, load_prices
from loadlens.profile import DEFAULT_PERCENTILES
from loadlens.publish import publish_folder

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from loadlens.profile import Execution, Outliers
    from loadlens.sources import EndpointMetricsSource, Source

__all__ = [
    "ChartFormat",
    "ConcurrencyResult",
    "CostResult",
    "StabilityResult",
    "SummaryResult",
    "compute_cost_savings",
    "summarize",
    "summarize_concurrency_results",
    "summarize_stability_results",
]

ChartFormat = Literal["png", "svg"]
SavePath = str | PathLike[str] | None


class _Saved:
    """A result that writes itself as one folder of files."""

    folder = ""

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",)) -> None:
        """Writes the files of this result into an existing folder."""
        raise NotImplementedError

    def save(
        self,
        path: str | PathLike[str],
        chart_formats: Sequence[ChartFormat] = ("png",),
        *,
        overwrite: bool = False,
    ) -> None:
        """Writes this result's folder below ``path``; it appears whole or not at all.

        Raises:
            OutputError: the folder exists and may not be replaced, or cannot be written.
        """
        target = Path(path) / self.folder
        publish_folder(target, lambda folder: self.write(folder, chart_formats), overwrite=overwrite)


_Result = TypeVar("_Result", bound=_Saved)


def _saved(result: _Result, path: SavePath, *, overwrite: bool) -> _Result:
    if path is not None:
        result.save(path, overwrite=overwrite)
    return result


def _write_chart(chart: alt.TopLevelMixin, folder: Path, name: str, formats: Sequence[ChartFormat]) -> None:
    from loadlens.charts import save_chart

    for suffix in formats:
        save_chart(chart, folder / f"{name}.{suffix}")


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """Writes a frame as UTF-8 CSV with shortest round-trip floats and ``\\n`` line ends."""
    frame.write_csv(path, line_terminator="\n")


@dataclass(frozen=True, kw_only=True)
class StabilityResult(StabilityStatistics, _Saved):
    """The stability analysis, with its chart and files."""

    folder = "stability_benchmark_summary_results"

    @cached_property
    def chart(self) -> alt.TopLevelMixin:
        """Density of the kept latencies by memory size."""
        from loadlens.charts import stability_density_chart

        return stability_density_chart(self.density)

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",)) -> None:
        """Writes both summaries as CSV and the chart."""
        write_csv(self.summary, folder / "invocation_benchmark_summary.csv")
        if self.endpoint_metrics is not None:
            write_csv(self.endpoint_metrics, folder / "endpoint_metrics_summary.csv")
        _write_chart(self.chart, folder, "stability_benchmark_distribution", chart_formats)


@dataclass(frozen=True, kw_only=True)
class ConcurrencyResult(ConcurrencyStatistics, _Saved):
    """The concurrency analysis, with its chart and files."""

    folder = "concurrency_benchmark_summary_results"

    @cached_property
    def chart(self) -> alt.TopLevelMixin:
        """Density of the kept latencies by clients, a panel for each maximum concurrency."""
        from loadlens.charts import concurrency_density_chart

        return concurrency_density_chart(self.density)

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",)) -> None:
        """Writes both summaries as CSV and the chart."""
        write_csv(self.summary, folder / "concurrency_benchmark_summary.csv")
        if self.endpoint_metrics is not None:
            write_csv(self.endpoint_metrics, folder / "endpoint_metrics_summary.csv")
        _write_chart(self.chart, folder, "concurrency_benchmark_distribution", chart_formats)


@dataclass(frozen=True, kw_only=True)
class CostResult(CostAnalysis, _Saved):
    """The cost analysis, with its charts and files."""

    folder = "cost_analysis_summary_results"

    @cached_property
    def chart(self) -> alt.TopLevelMixin:
        """Cost per 1M invocations and average latency over memory size."""
        from loadlens.charts import cost_chart

        return cost_chart(self.metrics_with_cost, self.prices.currency)

    @cached_property
    def savings_chart(self) -> alt.TopLevelMixin:
        """Monthly cost against the comparable instance, with the break-even."""
        from loadlens.charts import savings_chart

        return savings_chart(self)

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",)) -> None:
        """Writes both tables as CSV and both charts."""
        write_csv(self.metrics_with_cost, folder / "metrics_with_cost.csv")
        write_csv(self.savings, folder / "cost_savings_summary.csv")
        _write_chart(self.chart, folder, "cost_vs_performance", chart_formats)
        _write_chart(self.savings_chart, folder, "cost_savings", chart_formats)


@dataclass(frozen=True, kw_only=True)
class SummaryResult(SummaryStatistics):
    """A summary by any key, with its chart."""

    @cached_property
    def chart(self) -> alt.TopLevelMixin:
        """Density of the kept latencies by key."""
        from loadlens.charts import summary_density_chart

        return summary_density_chart(self.density, self.by)

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",)) -> None:
        """Writes the summary as CSV and the charts."""
        write_csv(self.summary, folder / "summary.csv")
        charts = folder / "charts"
        charts.mkdir()
        _write_chart(self.chart, charts, "latency_density", chart_formats)


def summarize_stability_results(
    invocations: Source,
    endpoint_metrics: EndpointMetricsSource | None = None,
    result_save_path: SavePath = None,
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
        **execution: how to do it: ``exact``, ``memory_limit``, ``spill_folder``, ``heatmap``, ``engine``,
            ``on_progress``; see ``Execution``.

    Raises:
        InputError: a source cannot be read, lacks columns or holds values that no statistic may use.
        OutputError: the result cannot be written.
    """
    statistics = stability_statistics(
        invocations, endpoint_metrics, outliers=_checked(outliers), percentiles=percentiles, **execution
    )
    return _saved(StabilityResult(**vars(statistics)), result_save_path, overwrite=overwrite)


def summarize_concurrency_results(
    invocations: Source,
    endpoint_metrics: EndpointMetricsSource | None = None,
    result_save_path: SavePath = None,
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
        **execution: how to do it: ``exact``, ``memory_limit``, ``spill_folder``, ``heatmap``, ``engine``,
            ``on_progress``; see ``Execution``.

    Raises:
        InputError: a source cannot be read, lacks columns or holds values that no statistic may use.
        OutputError: the result cannot be written.
    """
    statistics = concurrency_statistics(
        invocations, endpoint_metrics, outliers=_checked(outliers), percentiles=percentiles, **execution
    )
    return _saved(ConcurrencyResult(**vars(statistics)), result_save_path, overwrite=overwrite)


def compute_cost_savings(
    endpoint_metrics_summary: pl.DataFrame,
    average_request_size: float,
    average_response_size: float = 1000,
    prices: PriceTable | str | PathLike[str] | None = None,
    result_save_path: SavePath = None,
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
    return _saved(CostResult(**vars(analysis)), result_save_path, overwrite=overwrite)


def summarize(
    log: Source,
    by: Sequence[str] = (),
    *,
    outliers: Outliers = "mean-iqr",
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    **execution: Unpack[Execution],
) -> SummaryResult:
    """Summarises a log by any configuration columns; by none, as a whole.

    Args:
        log: paths, a frame or an Arrow table.
        by: the key columns.
        outliers: the fence: ``mean-iqr`` (mean + 5 IQR), ``tukey`` (q75 + 1.5 IQR) or ``none``.
        percentiles: quantiles of the successes to report, before outliers are removed.
        **execution: how to do it: ``exact``, ``memory_limit``, ``spill_folder``, ``heatmap``, ``engine``,
            ``on_progress``; see ``Execution``.

    Returns:
        The result; its ``summary`` has the columns of ``summary.csv``.

    Raises:
        InputError: the log cannot be read, lacks columns or holds values that no statistic may use.
        UsageError: ``by`` names a column twice, or one that is measured and not configured.
    """
    statistics = summary_statistics(
        log, by, outliers=_checked(outliers), percentiles=percentiles, **execution
    )
    return SummaryResult(**vars(statistics))


def _checked(outliers: Outliers) -> Outliers:
    choices = ("mean-iqr", "tukey", "none")
    if outliers not in choices:
        raise UsageError(f"outliers: got {outliers!r}, expected one of {', '.join(choices)}")
    return outliers
