"""One call from logs to a published folder: summaries, charts, report and summary.json."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Unpack

from loadlens.api import (
    compute_cost_savings,
    summarize,
    summarize_concurrency_results,
    summarize_stability_results,
)
from loadlens.errors import InputError, PriceError, UsageError
from loadlens.prices import PriceTable, load_prices
from loadlens.profile import DEFAULT_PERCENTILES, Execution
from loadlens.publish import existing_paths, publish_folder, refuse_output_inside, write_text
from loadlens.sources import (
    REJECTS_FILE,
    Findings,
    Reading,
    ToolkitFolder,
    TooManyRejectsError,
    average_request_size,
    find_toolkit_folder,
    open_log,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import altair as alt
    import polars as pl

    from loadlens.profile import Outliers
    from loadlens.results import ChartFormat, ConcurrencyResult, CostResult, StabilityResult, SummaryResult

__all__ = [
    "Analysis",
    "LogAnalysis",
    "Options",
    "ToolkitAnalysis",
    "analyze",
    "analyze_toolkit_folder",
    "json_text",
    "publish_rejects",
]

Path_ = str | PathLike[str]
_CONTROL = re.compile(r"[\x7f-\x9f]")  # those below 0x20 are escaped by JSON itself


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to analyse.

    Attributes:
        by: key columns; none for the log's natural key.
        outliers: the fence.
        prices: the price table.
        chart_formats: file formats of the charts.
        percentiles: quantiles of the successes to report.
        reading: how files are read.
        safe_csv: whether cells of CSV files that a spreadsheet takes for formulas are disarmed.
        on_stage: is told what begins, for a progress display.
        execution: how logs are measured.
    """

    by: tuple[str, ...] = ()
    outliers: Outliers = "mean-iqr"
    prices: PriceTable
    chart_formats: tuple[ChartFormat, ...] = ("png",)
    percentiles: tuple[float, ...] = DEFAULT_PERCENTILES
    reading: Reading = field(default_factory=Reading)
    safe_csv: bool = False
    on_stage: Callable[[str], None] = lambda _: None
    execution: Execution = field(default_factory=Execution)

    @property
    def measuring(self) -> dict[str, Any]:
        """The arguments that every summary takes."""
        return {"outliers": self.outliers, "percentiles": self.percentiles, "heatmap": True, **self.execution}


class Analysis(Protocol):
    """What an analysis of any kind of input offers."""

    @property
    def document(self) -> dict[str, Any]:
        """The content of summary.json."""

    def write(self, folder: Path) -> None:
        """Writes all files into an existing folder."""


@dataclass(frozen=True, kw_only=True)
class ToolkitAnalysis:
    """Analysis of a results folder of the toolkit; a part that is not there is None."""

    source: str
    options: Options
    stability: StabilityResult | None
    concurrency: ConcurrencyResult | None
    cost: CostResult | None
    no_cost_reason: str | None

    @property
    def document(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {
            **_head([self.source], self.options),
            "stability": _part(self.stability),
            "concurrency": _part(self.concurrency),
            "cost": _cost(self.cost),
            "no_cost_reason": self.no_cost_reason,
        }

    def write(self, folder: Path) -> None:
        """Writes the summary folders, the report and summary.json."""
        from loadlens.report import render, toolkit_report

        self.options.on_stage("Drawing charts")
        for part in (self.stability, self.concurrency, self.cost):
            if part is not None:
                part_folder = folder / part.folder
                part_folder.mkdir()
                part.write(part_folder, self.options.chart_formats)
        self.options.on_stage("Writing the report")
        report = toolkit_report(
            source=self.source,
            version=version("loadlens"),
            options=_described(self.options),
            stability=self.stability,
            concurrency=self.concurrency,
            cost=self.cost,
            no_cost_reason=self.no_cost_reason,
            figures=self._figures(),
        )
        (folder / "benchmarking_report").mkdir()
        write_text(folder / "benchmarking_report" / "benchmarking_report.html", render(report))
        write_text(folder / "summary.json", json_text(self.document))

    def _figures(self) -> dict[str, str]:
        from loadlens.charts import svg_text

        charts: dict[str, alt.TopLevelMixin] = {}
        for name, part in (("stability", self.stability), ("concurrency", self.concurrency)):
            if part:
                charts[f"{name}_density"] = part.chart
                charts |= {f"{name}_{view}": chart for view, chart in part.view_charts().items()}
        if self.cost:
            charts |= {"cost_vs_performance": self.cost.chart, "cost_savings": self.cost.savings_chart}
        return {name: svg_text(chart) for name, chart in charts.items()}


@dataclass(frozen=True, kw_only=True)
class LogAnalysis:
    """Analysis of any other log.

    Attributes:
        sources: the inputs as they were named.
        options: how it was analysed.
        summary: the figures.
        findings: what was rejected or left out, and what the log cannot tell.
    """

    sources: tuple[str, ...]
    options: Options
    summary: SummaryResult
    findings: Findings

    @property
    def document(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {
            **_head(self.sources, self.options),
            "by": list(self.summary.by),
            "summary": _rows(self.summary.summary),
            **_figures_of(self.summary),
            **self.findings.document(self.summary.seconds_without_completion),
        }

    def write(self, folder: Path) -> None:
        """Writes summary.csv, charts, report.html and summary.json."""
        from loadlens.charts import svg_text
        from loadlens.report import render, summary_report

        self.options.on_stage("Drawing charts")
        self.summary.write(folder, self.options.chart_formats, safe_csv=self.options.safe_csv)
        if self.findings.rejected:
            self.findings.write_rejects(folder / REJECTS_FILE, safe=self.options.safe_csv)
        self.options.on_stage("Writing the report")
        report = summary_report(
            source=", ".join(self.sources),
            version=version("loadlens"),
            options=_described(self.options),
            summary=self.summary,
            findings=self.findings,
            figures={
                name: svg_text(chart)
                for name, chart in {
                    "latency_density": self.summary.chart,
                    **self.summary.view_charts(),
                }.items()
            },
        )
        write_text(folder / "report.html", render(report))
        write_text(folder / "summary.json", json_text(self.document))


def analyze(
    inputs: Sequence[Path_],
    out: Path_,
    *,
    by: Sequence[str] = (),
    outliers: Outliers = "mean-iqr",
    prices: PriceTable | Path_ | None = None,
    chart_formats: Sequence[ChartFormat] = ("png",),
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    overwrite: bool = False,
    reading: Reading | None = None,
    safe_csv: bool = False,
    on_stage: Callable[[str], None] = lambda _: None,
    **execution: Unpack[Execution],
) -> ToolkitAnalysis | LogAnalysis:
    """Analyses logs and publishes summaries, charts, a report and summary.json.

    Args:
        inputs: one results folder of the toolkit, or paths, folders and globs of other logs.
        out: the folder to appear.
        by: key columns; without them what naturally tells the log's rows apart: the label, the memory size,
            the file where several runs are given, and the like.
        outliers: the fence: ``mean-iqr`` (mean + 5 IQR), ``tukey`` (q75 + 1.5 IQR) or ``none``.
        prices: a price table or the path of one; without it, the reference's for us-east-1.
        chart_formats: ``png``, ``svg`` or both.
        percentiles: quantiles of the successes to report, before outliers are removed.
        overwrite: whether an existing ``out`` is replaced.
        reading: how files are read: their dialect, a map of columns, how many rows may be rejected.
        safe_csv: whether cells of CSV files that a spreadsheet takes for formulas are disarmed.
        on_stage: is told what begins, for a progress display.
        **execution: how logs are measured: ``exact``, ``memory_limit``, ``spill_folder``, ``heatmap``
            (here on by default), ``engine``, ``on_progress``; see ``Execution``.

    Raises:
        InputError: an input cannot be read or analysed. If too many rows were rejected, ``out`` has
            nothing but ``rejects.csv``.
        UsageError: the arguments do not make sense together.
        OutputError: ``out`` exists and may not be replaced, lies in an input or cannot be written.
    """
    options = Options(
        by=tuple(by),
        outliers=outliers,
        prices=prices if isinstance(prices, PriceTable) else load_prices(prices),
        chart_formats=tuple(dict.fromkeys(chart_formats)),
        percentiles=tuple(percentiles),
        reading=reading or Reading(),
        safe_csv=safe_csv,
        on_stage=on_stage,
        execution=execution,
    )
    analysis: ToolkitAnalysis | LogAnalysis | None = None

    def write(folder: Path) -> None:
        nonlocal analysis
        analysis = _analysis(inputs, options)
        analysis.write(folder)

    tables = [] if prices is None or isinstance(prices, PriceTable) else [prices]
    refuse_output_inside(Path(out), existing_paths([*inputs, *tables]))
    try:
        publish_folder(Path(out), write, overwrite=overwrite)
    except TooManyRejectsError as error:
        publish_rejects(error, Path(out), overwrite=overwrite, safe=safe_csv)
    assert analysis is not None  # noqa: S101  # publish_folder has called write
    return analysis


def publish_rejects(
    error: TooManyRejectsError, out: Path, *, overwrite: bool, safe: bool = False
) -> NoReturn:
    """Publishes ``rejects.csv`` alone and raises ``error`` with a line that says where it is."""

    def write(folder: Path) -> None:
        error.findings.write_rejects(folder / REJECTS_FILE, safe=safe)

    publish_folder(out, write, overwrite=overwrite)
    raise InputError(*error.problems, f"{out / REJECTS_FILE}: has all rejected rows") from None


def _analysis(inputs: Sequence[Path_], options: Options) -> ToolkitAnalysis | LogAnalysis:
    folders = [folder for item in inputs if (folder := find_toolkit_folder(item))]
    if not folders:
        return _analyze_log(inputs, options)
    if len(inputs) > 1:
        raise UsageError(f"{folders[0].path}: a results folder is analysed alone; name it as the only input")
    if options.by:
        raise UsageError(
            f"{folders[0].path}: a results folder has its own keys; to group by {', '.join(options.by)}, "
            f"name the invocation log in it"
        )
    return analyze_toolkit_folder(folders[0], options)


def _analyze_log(inputs: Sequence[Path_], options: Options) -> LogAnalysis:
    options.on_stage("Reading invocations")
    log = open_log(inputs, reading=options.reading)
    return LogAnalysis(
        sources=tuple(str(item) for item in inputs),
        options=options,
        summary=summarize(log, options.by or log.key, **options.measuring),
        findings=log.findings,
    )


def analyze_toolkit_folder(
    folder: ToolkitFolder, options: Options, *, source: str | None = None
) -> ToolkitAnalysis:
    """Analyses the parts of a results folder that are there.

    Args:
        folder: the folder.
        options: how to analyse.
        source: what the report calls the input; its path without it.
    """
    stability = concurrency = None
    if folder.stability:
        options.on_stage("Reading the stability log")
        stability = summarize_stability_results(
            folder.stability, folder.stability_metrics, **options.measuring
        )
    if folder.concurrency:
        options.on_stage("Reading the concurrency log")
        concurrency = summarize_concurrency_results(
            folder.concurrency, folder.concurrency_metrics, **options.measuring
        )
    cost, reason = _cost_or_reason(folder, stability, options)
    return ToolkitAnalysis(
        source=source or str(folder.path),
        options=options,
        stability=stability,
        concurrency=concurrency,
        cost=cost,
        no_cost_reason=reason,
    )


def _cost_or_reason(
    folder: ToolkitFolder, stability: StabilityResult | None, options: Options
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


def _described(options: Options) -> Mapping[str, str]:
    """The options as the report shows them."""
    return {"Outlier fence": options.outliers, "Price table": options.prices.path}


def _head(sources: Sequence[str], options: Options) -> dict[str, Any]:
    return {
        "loadlens_version": version("loadlens"),
        "inputs": list(sources),
        "options": {"outliers": options.outliers, "prices": options.prices.path},
    }


def _part(part: StabilityResult | ConcurrencyResult | None) -> dict[str, Any] | None:
    if part is None:
        return None
    return {
        "summary": _rows(part.summary),
        "endpoint_metrics": None if part.endpoint_metrics is None else _rows(part.endpoint_metrics),
        "average_response_size": part.average_response_size,
        **_figures_of(part),
    }


def _figures_of(part: StabilityResult | ConcurrencyResult | SummaryResult) -> dict[str, Any]:
    return {
        "relative_error": part.relative_error,
        "spilled_bytes": part.spilled_bytes,
        "quality": _rows(part.quality),
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


def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dicts()


def json_text(document: dict[str, Any]) -> str:
    """A document as JSON that no terminal takes for commands, on lines of its own."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"
