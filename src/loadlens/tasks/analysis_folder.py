"""What an analysis found, with its files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from loadlens.logs import REJECTS_FILE
from loadlens.messages import Shown, json_text, listed
from loadlens.profile.buckets import COARSE_ERROR
from loadlens.publish.publishing import write_text
from loadlens.publish.saving import SavedFolder
from loadlens.results import ConcurrencyResult, begin_drawing, write_pictures
from loadlens.summaries.openmetrics import openmetrics_text
from loadlens.summaries.summary_columns import MOST_KEYS, keys_left_out
from loadlens.tasks.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from loadlens.charts import Picture
    from loadlens.logs import Findings
    from loadlens.profile import Outliers
    from loadlens.publish.saving import ChartFormat
    from loadlens.report import Report, Section
    from loadlens.results import CostResult, StabilityResult, SummaryResult
    from loadlens.tasks.analysis_options import AnalysisOptions

__all__ = ["TOOLKIT_OUTLIERS", "LogAnalysis", "ToolkitAnalysis"]

TOOLKIT_OUTLIERS: Final = "mean-iqr"
"""The fence of results folders, with which the reference toolkit's numbers come out."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ToolkitAnalysis(Shown, SavedFolder):
    """Analysis of a results folder of the toolkit; a part that is not there is None.

    Attributes:
        source: the folder as it was named.
        options: how it was analysed.
        stability: figures of the stability benchmark.
        concurrency: figures of the concurrency benchmark.
        cost: what calls cost.
        no_cost_reason: why there is no cost, as a sentence.
        notes: which of several forms of a file was read, and what a slice leaves out, one sentence each.
    """

    source: str
    options: AnalysisOptions
    stability: StabilityResult | None
    concurrency: ConcurrencyResult | None
    cost: CostResult | None
    no_cost_reason: str | None
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The folder and its parts."""
        parts = {"stability": self.stability, "concurrency": self.concurrency, "cost": self.cost}
        return f"{self.source}: {', '.join(name for name, part in parts.items() if part)}"

    @property
    def shown_table(self) -> pl.DataFrame | None:
        """The summary of the first part."""
        return next((part.summary for part in (self.stability, self.concurrency) if part), None)

    @property
    def shown_pictures(self) -> Sequence[str]:
        """The charts of each part."""
        parts = (self.stability, self.concurrency, self.cost)
        return [picture for part in parts if part for picture in part.shown_pictures]

    @property
    def outliers(self) -> Outliers:
        """The fence above which calls were removed."""
        parts = (self.stability, self.concurrency)
        return next((part.outliers for part in parts if part), TOOLKIT_OUTLIERS)

    @property
    def relative_error(self) -> float:
        """Bound of the relative error of latencies; 0 where they are exact."""
        return max(part.relative_error for part in (self.stability, self.concurrency) if part)

    @property
    def spilled_bytes(self) -> int:
        """Size of the temporary files that rows went through, else 0."""
        return sum(part.spilled_bytes for part in (self.stability, self.concurrency) if part)

    @property
    def file_names(self) -> list[str]:
        """None: summary.json tells that the folder is one of these."""
        return []

    @property
    def document(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {
            **_head([self.source], self.outliers, prices=self.options.prices.path),
            "stability": _part(self.stability),
            "concurrency": _part(self.concurrency),
            "cost": _cost(self.cost),
            "no_cost_reason": self.no_cost_reason,
            **({"warnings": list(self.notes)} if self.notes else {}),
        }

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] | None = None) -> None:
        """Writes the summary folders, the report and summary.json; charts in the formats of the options."""
        from loadlens.report import render

        formats = self.options.chart_formats if chart_formats is None else chart_formats
        parts = [part for part in (self.stability, self.concurrency, self.cost) if part]
        self.options.on_stage("Drawing charts")
        for part in parts:
            begin_drawing(part.written, formats)
        write_text(folder / "summary.json", json_text(self.document))
        report = self.report
        self.options.on_stage("Writing the report")
        (folder / "benchmarking_report").mkdir()
        write_text(folder / "benchmarking_report" / "benchmarking_report.html", render(report))
        for part in parts:
            (folder / part.folder).mkdir()
            part.write(folder / part.folder, formats)

    @cached_property
    def report(self) -> Report:
        """What the report shows."""
        from loadlens.report import toolkit_report

        return toolkit_report(
            source=self.source,
            version=version("loadlens"),
            options={
                "Outlier fence": self.outliers,
                "Price table": self.options.prices.path,
                **({"Notes": "; ".join(self.notes)} if self.notes else {}),
            },
            stability=self.stability,
            concurrency=self.concurrency,
            cost=self.cost,
            no_cost_reason=self.no_cost_reason,
            figures=self._pictures,
        )

    @property
    def openmetrics(self) -> str:
        """The figures of the concurrency benchmark, else of the stability benchmark, as OpenMetrics."""
        part = self.concurrency or self.stability
        assert part is not None  # noqa: S101  # a folder without both is refused
        return openmetrics_text(part)

    @property
    def _pictures(self) -> dict[str, Picture]:
        parts = {"stability_": self.stability, "concurrency_": self.concurrency, "": self.cost}
        return {
            f"{prefix}{name}": picture
            for prefix, part in parts.items()
            if part
            for name, picture in part.pictures.items()
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class LogAnalysis(Shown, SavedFolder):
    """Analysis of any other log.

    Attributes:
        sources: the inputs as they were named.
        options: how it was analysed.
        summary: the figures.
        findings: what was rejected or left out, and what the log cannot tell.
        decisions: what else was asked, answered.
    """

    sources: tuple[str, ...]
    options: AnalysisOptions
    summary: SummaryResult
    findings: Findings
    decisions: Decisions = field(default_factory=Decisions)

    @property
    def headline(self) -> str:
        """The inputs, and what was found in them."""
        return f"{listed(self.sources)}: {self.summary.headline}"

    @property
    def shown_table(self) -> pl.DataFrame:
        """The summary."""
        return self.summary.summary

    @property
    def shown_pictures(self) -> Sequence[str]:
        """The chart of the summary."""
        return self.summary.shown_pictures

    @property
    def relative_error(self) -> float:
        """Bound of the relative error of latencies; 0 where they are exact."""
        return self.summary.relative_error

    @property
    def spilled_bytes(self) -> int:
        """Size of the temporary file that rows went through, else 0."""
        return self.summary.spilled_bytes

    @property
    def file_names(self) -> list[str]:
        """None: summary.json tells that the folder is one of these."""
        return []

    @property
    def document(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {
            **_head(self.sources, self.summary.outliers),
            "by": list(self.summary.by),
            **keys_left_out(self.summary.summary.height),
            "summary": _rows(self.summary.summary),
            "total": _total(self.summary),
            **_figures_of(self.summary),
            "timeline": _timeline(self.summary),
            "load": self.summary.load.document,
            "failures": _rows(self.summary.failures),
            "measures": _rows(self.summary.measures),
            "parts": _rows(self.summary.parts),
            "apdex": None if self.summary.apdex is None else _rows(self.summary.apdex),
            "corrected": None if self.summary.corrected is None else _rows(self.summary.corrected),
            **self.findings.document(self.summary.seconds_without_completion),
            **self.decisions.document,
        }

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] | None = None) -> None:
        """Writes summary.csv, charts, report.html and summary.json; charts in the formats of the options."""
        from loadlens.report import render

        formats = self.options.chart_formats if chart_formats is None else chart_formats
        self.options.on_stage("Drawing charts")
        begin_drawing(self.summary.pictures | self.decisions.pictures, formats)
        if self.findings.rejected:
            self.findings.write_rejects(folder / REJECTS_FILE, safe=self.options.safe_csv)
        write_text(folder / "summary.json", json_text(self.document))
        report = self.report
        self.options.on_stage("Writing the report")
        write_text(folder / "report.html", render(report))
        self.summary.write(folder, formats, safe_csv=self.options.safe_csv)
        write_pictures(self.decisions.pictures, folder / "charts", formats)

    @cached_property
    def report(self) -> Report:
        """What the report shows."""
        from loadlens.report import summary_report
        from loadlens.report.load_report import LOAD_CAPTIONS
        from loadlens.report.over_time_report import OVER_TIME_CAPTIONS

        charts = self.summary.pictures
        elsewhere = {*OVER_TIME_CAPTIONS, *LOAD_CAPTIONS, "failures", "parts"}
        return summary_report(
            source=", ".join(self.sources),
            version=version("loadlens"),
            options={"Outlier fence": self.summary.outliers},
            summary=self.summary,
            findings=self.findings,
            figures={name: chart for name, chart in charts.items() if name not in elsewhere},
            cards=self.decisions.cards(),
            before=self.decisions.sections_before(),
            after=(*self._further_sections(charts), *self.decisions.sections_after()),
        )

    @property
    def openmetrics(self) -> str:
        """The figures as OpenMetrics."""
        return openmetrics_text(self.summary)

    def _further_sections(self, charts: Mapping[str, Picture]) -> list[Section]:
        """The sections on what was measured besides, where there is something to tell."""
        from loadlens.report import apdex_section, corrected_section, failures_section, parts_section
        from loadlens.report.load_report import load_section
        from loadlens.report.over_time_report import over_time_section

        sections = [
            over_time_section(self.summary, charts),
            load_section(self.summary, charts),
            failures_section(self.summary, charts.get("failures")),
            parts_section(self.summary, charts.get("parts")),
            apdex_section(self.summary),
            corrected_section(self.summary),
        ]
        return [section for section in sections if section]


def _head(sources: Sequence[str], outliers: Outliers, **more: str) -> dict[str, Any]:
    return {
        "loadlens_version": version("loadlens"),
        "inputs": list(sources),
        "options": {"outliers": outliers, **more},
    }


def _part(part: StabilityResult | ConcurrencyResult | None) -> dict[str, Any] | None:
    if part is None:
        return None
    return {
        "summary": _rows(part.summary),
        "total": _total(part),
        **({"slice": part.outside.document} if part.outside else {}),
        "endpoint_metrics": None if part.endpoint_metrics is None else _rows(part.endpoint_metrics),
        "average_response_size": part.average_response_size,
        **_figures_of(part),
        "failures": _rows(part.failures),
        **_scalability(part),
    }


def _scalability(part: StabilityResult | ConcurrencyResult) -> dict[str, Any]:
    """How throughput scales with clients, of a concurrency benchmark."""
    if not isinstance(part, ConcurrencyResult):
        return {}
    laws = [
        {"max_concurrency": concurrency, "memory_size": memory, **law.document}
        for (concurrency, memory), law in part.scalability.items()
    ]
    return {"scalability": laws}


def _total(part: StabilityResult | ConcurrencyResult | SummaryResult) -> dict[str, Any] | None:
    """The figures of all calls together."""
    return None if part.total is None else part.total.row(0, named=True)


def _figures_of(part: StabilityResult | ConcurrencyResult | SummaryResult) -> dict[str, Any]:
    return {
        "relative_error": part.relative_error,
        "resolution_s": part.profile.resolution_s,
        "throughput_bounds": _rows(part.bounds.with_columns(_finite("throughput_high"))),
        "quality": _rows(part.quality),
    }


def _timeline(part: SummaryResult) -> dict[str, Any] | None:
    """Where figures by window of time are, and what they mean; None where there are none."""
    windows = part.timeline_overall
    if windows.is_empty():
        return None
    has_table = part.profile.timeline is not None
    return {
        "file": "timeline.csv" if has_table else None,
        "window_s": windows["window_s"][0],
        "num_windows": windows.height,
        "first_window_start_s": windows["window_start_s"][0],
        "is_calendar": part.has_calendar,
        "relative_error": COARSE_ERROR if has_table else None,
        "ramp_end_s": part.phases.ramp_end_s,
        "cool_down_s": part.phases.cool_down_s,
        "overall": windows.drop("window_s").to_dict(as_series=False),
    }


def _cost(cost: CostResult | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    finite = math.isfinite(cost.break_even_invocations)
    return {
        "optimal_memory_config": cost.optimal_memory_config,
        "comparable_instance": cost.comparable_instance,
        "instance_monthly_cost": cost.instance_monthly_cost,
        "break_even_invocations": cost.break_even_invocations if finite else None,
        "average_request_size": cost.average_request_size,
        "average_response_size": cost.average_response_size,
        "currency": cost.prices.currency,
        "metrics_with_cost": _rows(cost.metrics_with_cost),
    }


def _finite(name: str) -> pl.Expr:
    """A column of numbers that JSON can say: one without a bound is null."""
    import polars as pl

    return pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name)


def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table; of very many, those of the configurations with the most calls."""
    counts = ("num_invocations", "num_rows", "count", "calls")
    calls = next((name for name in counts if name in frame.columns), None)
    if frame.height > MOST_KEYS and calls:
        order = frame[calls].rank("ordinal", descending=True)
        frame = frame.filter(order <= MOST_KEYS)
    return frame.head(MOST_KEYS).to_dicts()
