"""Results with their charts and files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from loadlens.cost.break_even import CostAnalysis
from loadlens.logs import disarmed
from loadlens.publish.saving import ChartFormat, SavedFolder, folder_files, write_csv
from loadlens.summaries import (
    ConcurrencyStatistics,
    InvocationStatistics,
    StabilityStatistics,
    SummaryStatistics,
)
from loadlens.summaries.summary_columns import MOST_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import altair as alt
    import polars as pl

__all__ = [
    "ChartFormat",
    "ConcurrencyResult",
    "CostResult",
    "SavedResult",
    "StabilityResult",
    "SummaryResult",
    "pictures",
    "write_charts",
]


class SavedResult(SavedFolder):
    """A result whose folder has tables and charts side by side."""

    table_names: ClassVar[tuple[str, ...]]
    chart_names: ClassVar[tuple[str, ...]]

    @property
    def tables(self) -> Sequence[pl.DataFrame | None]:
        """The tables, in the order of ``table_names``; None for one that there is no data for."""
        raise NotImplementedError

    @property
    def charts(self) -> Sequence[alt.TopLevelMixin]:
        """The charts, in the order of ``chart_names``."""
        raise NotImplementedError

    @property
    def shown_pictures(self) -> Sequence[str]:
        """The charts."""
        return pictures(self.charts)

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",)) -> None:
        """Writes the tables as CSV and the charts into an existing folder."""
        for name, frame in zip(self.table_names, self.tables, strict=True):
            if frame is not None:
                write_csv(frame, folder / f"{name}.csv")
        write_charts(dict(zip(self.chart_names, self.charts, strict=True)), folder, chart_formats)

    @property
    def file_names(self) -> list[str]:
        """The files that the tables and charts are written to."""
        return folder_files(self.table_names, self.chart_names)


def write_charts(
    charts: Mapping[str, alt.TopLevelMixin], folder: Path, formats: Sequence[ChartFormat]
) -> None:
    """Writes charts by the names of their files into an existing folder."""
    from loadlens.charts import save_chart

    for name, chart in charts.items():
        for suffix in formats:
            save_chart(chart, folder / f"{name}.{suffix}")


def pictures(charts: Iterable[alt.TopLevelMixin]) -> list[str]:
    """Charts as SVG documents."""
    from loadlens.charts import svg_text

    return [svg_text(chart) for chart in charts]


class _Views(InvocationStatistics):
    """The charts that every summary of invocations has beside its own."""

    @property
    def key(self) -> tuple[str, ...]:
        """The key columns."""
        return self.profile.key

    @cached_property
    def spectrum_chart(self) -> alt.TopLevelMixin:
        """Latency over percentile, to p99.999."""
        from loadlens.charts import spectrum_chart

        return spectrum_chart(self.spectrum, self.key)

    @cached_property
    def timeline_chart(self) -> alt.TopLevelMixin:
        """Percentiles, throughput, error rate, active calls and bytes of the whole run over time."""
        from loadlens.charts import timeline_chart

        return timeline_chart(self.timeline_overall, is_calendar=self.has_calendar, phases=self.phases)

    @cached_property
    def keys_over_time_chart(self) -> alt.TopLevelMixin:
        """Median, p99 and throughput over time of the busiest keys and those with the highest p99."""
        from loadlens.charts import keys_over_time_chart

        return keys_over_time_chart(self.timeline, self.key, is_calendar=self.has_calendar)

    @cached_property
    def load_chart(self) -> alt.TopLevelMixin:
        """Throughput and latency against active calls, with the universal scalability law where it fits."""
        from loadlens.charts import load_chart

        return load_chart(self.load.table, self.timeline_overall, self.load.scalability)

    @cached_property
    def heatmap_chart(self) -> alt.TopLevelMixin:
        """Latency over time; says so where it was not counted, as without ``heatmap=True``."""
        from loadlens.charts import heatmap_chart

        return heatmap_chart(self.heatmap)

    @cached_property
    def failures_chart(self) -> alt.TopLevelMixin:
        """Failed calls over time, a strip for each error; with ``failures=True``."""
        from loadlens.charts import failures_chart

        return failures_chart(self.failures_over_time)

    @cached_property
    def parts_chart(self) -> alt.TopLevelMixin:
        """What the mean latency of each key is made of; with ``measures``."""
        from loadlens.charts import parts_chart

        return parts_chart(self.parts, self.key)

    def view_charts(self) -> dict[str, alt.TopLevelMixin]:
        """The charts that there is data for, by the name of their file."""
        charts = {}
        if not self.spectrum.is_empty():
            charts["latency_spectrum"] = self.spectrum_chart
        if not self.timeline_overall.is_empty():
            charts["over_time"] = self.timeline_chart
        if self.profile.timeline and self.profile.keys.height > 1 and not self.timeline.is_empty():
            charts["over_time_by_key"] = self.keys_over_time_chart
        if self.load.table.height > 1:
            charts["load"] = self.load_chart
        if not self.heatmap.is_empty():
            charts["latency_heatmap"] = self.heatmap_chart
        return charts


class _Benchmark(_Views, SavedResult):
    """A benchmark of the toolkit, with its two tables and its chart."""

    endpoint_metrics: pl.DataFrame | None

    @property
    def chart(self) -> alt.TopLevelMixin:
        """Density of the kept latencies."""
        raise NotImplementedError

    @property
    def tables(self) -> Sequence[pl.DataFrame | None]:
        """The summary, and that of the endpoint metrics."""
        return self.summary, self.endpoint_metrics

    @property
    def charts(self) -> Sequence[alt.TopLevelMixin]:
        """The chart."""
        return (self.chart,)


@dataclass(frozen=True, kw_only=True, repr=False)
class StabilityResult(StabilityStatistics, _Benchmark):
    """The stability analysis, with its chart and files."""

    folder = "stability_benchmark_summary_results"
    table_names = ("invocation_benchmark_summary", "endpoint_metrics_summary")
    chart_names = ("stability_benchmark_distribution",)

    @cached_property
    def chart(self) -> alt.TopLevelMixin:
        """Density of the kept latencies by memory size."""
        from loadlens.charts import stability_density_chart

        return stability_density_chart(self.density)


@dataclass(frozen=True, kw_only=True, repr=False)
class ConcurrencyResult(ConcurrencyStatistics, _Benchmark):
    """The concurrency analysis, with its chart and files."""

    folder = "concurrency_benchmark_summary_results"
    table_names = ("concurrency_benchmark_summary", "endpoint_metrics_summary")
    chart_names = ("concurrency_benchmark_distribution",)

    @cached_property
    def chart(self) -> alt.TopLevelMixin:
        """Density of the kept latencies by clients, a panel for each maximum concurrency."""
        from loadlens.charts import concurrency_density_chart

        return concurrency_density_chart(self.density)


@dataclass(frozen=True, kw_only=True, repr=False)
class CostResult(CostAnalysis, SavedResult):
    """The cost analysis, with its charts and files."""

    folder = "cost_analysis_summary_results"
    table_names = ("metrics_with_cost", "cost_savings_summary")
    chart_names = ("cost_vs_performance", "cost_savings")

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

    @property
    def tables(self) -> Sequence[pl.DataFrame | None]:
        """The cost of each configuration, and the savings by monthly invocations."""
        return self.metrics_with_cost, self.savings

    @property
    def charts(self) -> Sequence[alt.TopLevelMixin]:
        """Cost and latency, and the savings."""
        return self.chart, self.savings_chart


@dataclass(frozen=True, kw_only=True, repr=False)
class SummaryResult(SummaryStatistics, _Views, SavedFolder):
    """A summary by any key, with its chart."""

    @cached_property
    def chart(self) -> alt.TopLevelMixin:
        """Density of the kept latencies by key."""
        from loadlens.charts import summary_density_chart

        return summary_density_chart(self.density, self.by)

    def write(
        self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",), *, safe_csv: bool = False
    ) -> None:
        """Writes the summary as CSV, its cells disarmed for spreadsheets if asked, and the charts.

        Of more configurations than summary.json has, the rows of the log are in quality.csv.
        """
        tables = {"summary": self.summary}
        if self.quality.height > MOST_KEYS:
            tables["quality"] = self.quality
        if self.profile.timeline and not self.timeline.is_empty():
            tables["timeline"] = self.timeline
        if self.profile.timeline and not self.load.table.is_empty():
            tables["load"] = self.load.table
        if not self.failures.is_empty():
            tables["failures"] = self.failures
        if not self.measures.is_empty():
            tables["measures"] = self.measures
        if self.apdex is not None:
            tables["apdex"] = self.apdex
        if self.corrected is not None:
            tables["corrected"] = self.corrected
        for name, frame in tables.items():
            write_csv(disarmed(frame) if safe_csv else frame, folder / f"{name}.csv")
        charts = folder / "charts"
        charts.mkdir()
        write_charts(self.all_charts(), charts, chart_formats)

    def all_charts(self) -> dict[str, alt.TopLevelMixin]:
        """Every chart that there is data for, by the name of its file."""
        return {"latency_density": self.chart, **self.view_charts(), **self.further_charts()}

    @property
    def shown_pictures(self) -> Sequence[str]:
        """The density of the latencies."""
        return pictures([self.chart])

    def further_charts(self) -> dict[str, alt.TopLevelMixin]:
        """The charts of what else was asked for, where there is data for them, by the name of their file."""
        charts = {}
        if not self.failures_over_time.is_empty():
            charts["failures"] = self.failures_chart
        if not self.parts.is_empty():
            charts["parts"] = self.parts_chart
        return charts

    @property
    def file_names(self) -> list[str]:
        """The files that the tables and charts are written to."""
        names = (
            "latency_density",
            "latency_spectrum",
            "over_time",
            "over_time_by_key",
            "load",
            "latency_heatmap",
            "failures",
            "parts",
        )
        tables = ("summary", "quality", "timeline", "load", "failures", "measures", "apdex", "corrected")
        return folder_files(tables, [f"charts/{name}" for name in names])
