"""Results with their charts and files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

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
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import altair as alt
    import polars as pl

    from loadlens.charts import Picture, Spec

__all__ = [
    "ChartFormat",
    "ConcurrencyResult",
    "CostResult",
    "Drawn",
    "SavedResult",
    "StabilityResult",
    "SummaryResult",
    "begin_drawing",
    "write_pictures",
]


class ChartProperty(cached_property[Any]):
    """A chart of a result: a method makes it as a Vega-Lite document, who reads it gets an Altair chart."""

    def __init__(self, document: Callable[[Any], Spec]) -> None:
        def altair(result: object) -> alt.TopLevelMixin:
            from loadlens.charts import altair_chart

            return altair_chart(document(result))

        super().__init__(altair)
        self.document = document
        self.__doc__ = document.__doc__


class Drawn:
    """A result with charts, each drawn once: for files, for the report and for notebooks."""

    def documents(self) -> dict[str, dict[str, Any]]:
        """The charts that there is data for as Vega-Lite documents, by the names of their files."""
        raise NotImplementedError

    @cached_property
    def pictures(self) -> dict[str, Picture]:
        """The charts that there is data for, by the names of their files."""
        from loadlens.charts import Picture

        return {name: Picture(chart) for name, chart in self.documents().items()}

    @property
    def charts(self) -> dict[str, alt.TopLevelMixin]:
        """The same as Altair charts."""
        from loadlens.charts import altair_chart

        return {name: altair_chart(picture.chart) for name, picture in self.pictures.items()}

    @property
    def shown_pictures(self) -> Sequence[str]:
        """The charts that a notebook shows."""
        return [picture.svg for picture in self.written.values()]

    @property
    def written(self) -> dict[str, Picture]:
        """The charts that are written as files, by the names of these."""
        return self.pictures


def begin_drawing(pictures: Mapping[str, Picture], formats: Sequence[ChartFormat]) -> None:
    """Begins to draw charts in the formats that they will be written in."""
    for picture in pictures.values():
        picture.begin(formats)


def write_pictures(pictures: Mapping[str, Picture], folder: Path, formats: Sequence[ChartFormat]) -> None:
    """Writes charts by the names of their files into an existing folder."""
    begin_drawing(pictures, formats)
    for name, picture in pictures.items():
        for suffix in formats:
            picture.save(folder / f"{name}.{suffix}")


class SavedResult(Drawn, SavedFolder):
    """A result whose folder has tables and charts side by side.

    Attributes:
        table_names: the files of the tables.
        chart_names: the files of the charts, each with the name that ``documents`` has it by.
    """

    table_names: ClassVar[tuple[str, ...]]
    chart_names: ClassVar[tuple[tuple[str, str], ...]]

    @property
    def tables(self) -> Sequence[pl.DataFrame | None]:
        """The tables, in the order of ``table_names``; None for one that there is no data for."""
        raise NotImplementedError

    @property
    def written(self) -> dict[str, Picture]:
        """The charts that the folder has, by the names of their files."""
        return {name: self.pictures[document] for name, document in self.chart_names}

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",)) -> None:
        """Writes the tables as CSV and the charts into an existing folder."""
        for name, frame in zip(self.table_names, self.tables, strict=True):
            if frame is not None:
                write_csv(frame, folder / f"{name}.csv")
        write_pictures(self.written, folder, chart_formats)

    @property
    def file_names(self) -> list[str]:
        """The files that the tables and charts are written to."""
        return folder_files(self.table_names, [name for name, _ in self.chart_names])


class _Views(Drawn, InvocationStatistics):
    """The charts of every summary of invocations."""

    @property
    def key(self) -> tuple[str, ...]:
        """The key columns."""
        return self.profile.key

    @ChartProperty
    def spectrum_chart(self) -> Spec:
        """Latency over percentile, to p99.999."""
        from loadlens.charts import spectrum_chart

        return spectrum_chart(self.spectrum, self.key)

    @ChartProperty
    def timeline_chart(self) -> Spec:
        """Percentiles, throughput, error rate, active calls and bytes of the whole run over time."""
        from loadlens.charts import timeline_chart

        return timeline_chart(self.timeline_overall, is_calendar=self.has_calendar, phases=self.phases)

    @ChartProperty
    def keys_over_time_chart(self) -> Spec:
        """Median, p99 and throughput over time of the busiest keys and those with the highest p99."""
        from loadlens.charts import keys_over_time_chart

        return keys_over_time_chart(self.timeline, self.key, is_calendar=self.has_calendar)

    @ChartProperty
    def load_chart(self) -> Spec:
        """Throughput and latency against active calls, with the universal scalability law where it fits."""
        from loadlens.charts import load_chart

        return load_chart(self.load.table, self.timeline_overall, self.load.scalability)

    @ChartProperty
    def heatmap_chart(self) -> Spec:
        """Latency over time; says so where it was not counted, as without ``heatmap=True``."""
        from loadlens.charts import heatmap_chart

        return heatmap_chart(self.heatmap)

    @ChartProperty
    def failures_chart(self) -> Spec:
        """Failed calls over time, a strip for each error; with ``failures=True``."""
        from loadlens.charts import failures_chart

        return failures_chart(self.failures_over_time)

    @ChartProperty
    def parts_chart(self) -> Spec:
        """What the mean latency of each key is made of; with ``measures``."""
        from loadlens.charts import parts_chart

        return parts_chart(self.parts, self.key)

    @ChartProperty
    def chart(self) -> Spec:
        """Density of the kept latencies."""
        raise NotImplementedError

    def documents(self) -> dict[str, dict[str, Any]]:
        """The charts that there is data for as Vega-Lite documents, by the names of their files."""
        has_windows = self.profile.timeline is not None and not self.timeline.is_empty()
        is_drawn = {
            "chart": True,
            "spectrum_chart": not self.spectrum.is_empty(),
            "timeline_chart": not self.timeline_overall.is_empty(),
            "keys_over_time_chart": has_windows and self.profile.keys.height > 1,
            "load_chart": self.load.table.height > 1,
            "heatmap_chart": not self.heatmap.is_empty(),
            "failures_chart": not self.failures_over_time.is_empty(),
            "parts_chart": not self.parts.is_empty(),
        }
        return {
            file: getattr(type(self), chart).document(self)
            for file, chart in _CHARTS.items()
            if is_drawn[chart]
        }


_CHARTS: Final = {
    "latency_density": "chart",
    "latency_spectrum": "spectrum_chart",
    "over_time": "timeline_chart",
    "over_time_by_key": "keys_over_time_chart",
    "load": "load_chart",
    "latency_heatmap": "heatmap_chart",
    "failures": "failures_chart",
    "parts": "parts_chart",
}
"""The charts of a summary by the names of their files."""


class _Benchmark(_Views, SavedResult):
    """A benchmark of the toolkit, with its two tables and its chart."""

    endpoint_metrics: pl.DataFrame | None

    @property
    def tables(self) -> Sequence[pl.DataFrame | None]:
        """The summary, and that of the endpoint metrics."""
        return self.summary, self.endpoint_metrics


@dataclass(frozen=True, kw_only=True, repr=False)
class StabilityResult(StabilityStatistics, _Benchmark):
    """The stability analysis, with its chart and files."""

    folder = "stability_benchmark_summary_results"
    table_names = ("invocation_benchmark_summary", "endpoint_metrics_summary")
    chart_names = (("stability_benchmark_distribution", "latency_density"),)

    @ChartProperty
    def chart(self) -> Spec:
        """Density of the kept latencies by memory size."""
        from loadlens.charts import stability_density_chart

        return stability_density_chart(self.density)


@dataclass(frozen=True, kw_only=True, repr=False)
class ConcurrencyResult(ConcurrencyStatistics, _Benchmark):
    """The concurrency analysis, with its chart and files."""

    folder = "concurrency_benchmark_summary_results"
    table_names = ("concurrency_benchmark_summary", "endpoint_metrics_summary")
    chart_names = (("concurrency_benchmark_distribution", "latency_density"),)

    @ChartProperty
    def chart(self) -> Spec:
        """Density of the kept latencies by clients, a panel for each maximum concurrency."""
        from loadlens.charts import concurrency_density_chart

        return concurrency_density_chart(self.density)


@dataclass(frozen=True, kw_only=True, repr=False)
class CostResult(CostAnalysis, SavedResult):
    """The cost analysis, with its charts and files."""

    folder = "cost_analysis_summary_results"
    table_names = ("metrics_with_cost", "cost_savings_summary")
    chart_names = (("cost_vs_performance", "cost_vs_performance"), ("cost_savings", "cost_savings"))

    @ChartProperty
    def chart(self) -> Spec:
        """Cost per 1M invocations and average latency over memory size."""
        from loadlens.charts import cost_chart

        return cost_chart(self.metrics_with_cost, self.prices.currency)

    @ChartProperty
    def savings_chart(self) -> Spec:
        """Monthly cost against the comparable instance, with the break-even."""
        from loadlens.charts import savings_chart

        return savings_chart(self)

    @property
    def tables(self) -> Sequence[pl.DataFrame | None]:
        """The cost of each configuration, and the savings by monthly invocations."""
        return self.metrics_with_cost, self.savings

    def documents(self) -> dict[str, dict[str, Any]]:
        """Cost and latency, and the savings."""
        return {
            "cost_vs_performance": type(self).chart.document(self),
            "cost_savings": type(self).savings_chart.document(self),
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class SummaryResult(SummaryStatistics, _Views, SavedFolder):
    """A summary by any key, with its chart."""

    @ChartProperty
    def chart(self) -> Spec:
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
        write_pictures(self.pictures, charts, chart_formats)

    @property
    def shown_pictures(self) -> Sequence[str]:
        """The density of the latencies."""
        return [self.pictures["latency_density"].svg]

    @property
    def file_names(self) -> list[str]:
        """The files that the tables and charts are written to."""
        tables = ("summary", "quality", "timeline", "load", "failures", "measures", "apdex", "corrected")
        return folder_files(tables, [f"charts/{name}" for name in _CHARTS])
