"""A comparison and the costs of running, with their charts and files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Unpack

from loadlens.comparison import Comparison, ComparisonQuestion, compared_prices
from loadlens.cost import CostComparison
from loadlens.cost.ways_to_run import cost_document
from loadlens.keywords import checked_arguments
from loadlens.logs import REJECTS_FILE, disarmed, open_log
from loadlens.messages import json_text
from loadlens.profile import Execution, MeasureOptions
from loadlens.publish.publishing import write_text
from loadlens.publish.saving import SavedFolder, folder_files, write_csv
from loadlens.results import Drawn, write_pictures
from loadlens.storage.secrets import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

    from loadlens.comparison import Prices
    from loadlens.logs import Source
    from loadlens.publish.saving import ChartFormat
    from loadlens.report import Report

__all__ = ["ComparisonResult", "CostingResult", "compare"]


@dataclass(frozen=True, kw_only=True, repr=False)
class ComparisonResult(Drawn, Comparison, SavedFolder):
    """A comparison of two runs, with its charts and files."""

    def documents(self) -> dict[str, dict[str, Any]]:
        """The charts as Vega-Lite documents by their names: both runs in one panel for each key."""
        from loadlens.charts import comparison_density_chart, comparison_spectrum_chart

        return {
            "latency_density": comparison_density_chart(self.density, self.drawn, self.by),
            "latency_spectrum": comparison_spectrum_chart(self.spectrum, self.drawn, self.by),
        }

    @cached_property
    def report(self) -> Report:
        """What report.html shows."""
        from loadlens.report.comparison_report import comparison_report

        return comparison_report(comparison=self, version=version("loadlens"), figures=self.pictures)

    @property
    def file_document(self) -> dict[str, Any]:
        """The content of comparison.json."""
        return {"loadlens_version": version("loadlens"), **self.document}

    def write(
        self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",), *, safe_csv: bool = False
    ) -> None:
        """Writes comparison.csv, comparison.json, report.html and charts into an existing folder.

        There are costs.csv too if there are prices, the rejected rows of each run that has some, and keys.csv
        and the like where comparison.json has not all.

        Args:
            folder: where to.
            chart_formats: file formats of the charts.
            safe_csv: whether cells of CSV files that a spreadsheet takes for formulas are disarmed.
        """
        from loadlens.report import render

        for name, frame in self.tables.items():
            write_csv(disarmed(frame) if safe_csv else frame, folder / f"{name}.csv")
        for role, run in self.runs.items():
            if run.findings.rejected:
                run.findings.write_rejects(folder / f"{role}_{REJECTS_FILE}", safe=safe_csv)
        (folder / "charts").mkdir()
        write_pictures(self.pictures, folder / "charts", chart_formats)
        write_text(folder / "report.html", render(self.report))
        write_text(folder / "comparison.json", json_text(self.file_document))

    @property
    def file_names(self) -> list[str]:
        """The files that may be written."""
        tables = ("comparison", "costs", "keys", "only_in_base", "only_in_candidate")
        charts = ("charts/latency_density", "charts/latency_spectrum")
        rejects = (f"{role}_{REJECTS_FILE}" for role in self.runs)
        return [*folder_files(tables, charts), *rejects, "comparison.json", "report.html"]


@dataclass(frozen=True, kw_only=True, repr=False)
class CostingResult(Drawn, CostComparison, SavedFolder):
    """What it costs to run, with its charts and files.

    Attributes:
        sources: the logs as they were named.
        remarks: what was found out about them, each a sentence without its end.
    """

    sources: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    def documents(self) -> dict[str, dict[str, Any]]:
        """The charts as Vega-Lite documents by their names; the break-even where a capacity is known."""
        from loadlens.charts import break_even_chart, pareto_chart

        charts = {"pareto": pareto_chart(self)}
        if self.capacities:
            charts["break_even"] = break_even_chart(self)
        return charts

    @property
    def files(self) -> dict[str, pl.DataFrame]:
        """The tables by the names of their CSV files."""
        return {"costs": self.costs, "monthly": self.monthly, "break_even": self.break_even}

    @property
    def file_document(self) -> dict[str, Any]:
        """The content of choice.json."""
        head = {"loadlens_version": version("loadlens"), "inputs": [shown(item) for item in self.sources]}
        return {**head, **cost_document(self)}

    def write(
        self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",), *, safe_csv: bool = False
    ) -> None:
        """Writes the tables as CSV, choice.json, report.html and charts into an existing folder.

        Args:
            folder: where to.
            chart_formats: file formats of the charts.
            safe_csv: whether cells of CSV files that a spreadsheet takes for formulas are disarmed.
        """
        from loadlens.report import render
        from loadlens.report.cost_report import cost_report

        for name, frame in self.files.items():
            write_csv(disarmed(frame) if safe_csv else frame, folder / f"{name}.csv")
        (folder / "charts").mkdir()
        write_pictures(self.pictures, folder / "charts", chart_formats)
        report = cost_report(
            source=", ".join(map(shown, self.sources)),
            version=version("loadlens"),
            comparison=self,
            figures=self.pictures,
            remarks=self.remarks,
        )
        write_text(folder / "report.html", render(report))
        write_text(folder / "choice.json", json_text(self.file_document))

    @property
    def file_names(self) -> list[str]:
        """The files that may be written."""
        files = folder_files(tuple(self.files), ("charts/pareto", "charts/break_even"))
        return [*files, "choice.json", "report.html"]


@checked_arguments(MeasureOptions)
def compare(
    base: Source,
    candidate: Source,
    by: str | Sequence[str] | None = None,
    *,
    min_effect: float = 0.05,
    prices: Prices | Sequence[Prices] = (),
    request_size: float | None = None,
    base_name: str | None = None,
    candidate_name: str | None = None,
    **execution: Unpack[Execution],
) -> ComparisonResult:
    """Compares two runs key by key; the intervals take calls as independent of each other.

    Args:
        base: the run to compare with: any source of ``summarize``.
        candidate: the run in question.
        by: the key columns; by default those that naturally tell the rows of both logs apart, by none as a
            whole.
        min_effect: the smallest change that counts, as a share of the base's figure (0.05 is 5 %).
        prices: price tables under which to compare what calls cost, each key with the one ``memory_size``
            that its calls used; none for no costs.
        request_size: mean bytes of a request in both runs, for logs that do not tell sizes.
        base_name: what to call the base; its file by default.
        candidate_name: what to call the candidate.
        **execution: how the logs are measured; see ``Execution``.

    Raises:
        InputError: a log cannot be read or lacks columns, or the runs have no key in common.
        PriceError: a price table cannot be read, lacks a memory size, or prices instances alone.
        UsageError: ``by``, ``min_effect`` or the price tables make no sense, or costs were asked for and
            the calls of a key used several memory sizes.
    """
    options = MeasureOptions(**execution)
    tables = compared_prices(prices, request_size)
    logs = open_log(base, name="the base"), open_log(candidate, name="the candidate")
    question = ComparisonQuestion.of(
        *logs,
        by,
        min_effect=min_effect,
        prices=tables,
        request_size=request_size,
        base_name=base_name,
        candidate_name=candidate_name,
    )
    return ComparisonResult.of_figures(question.ask(*logs, options))
