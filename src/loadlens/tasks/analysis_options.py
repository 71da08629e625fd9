"""How to analyse, as one object."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from loadlens.cost import Costing
from loadlens.cost.prices import PriceTable
from loadlens.gates import Gate
from loadlens.keywords import MIN_EFFECT, checked_options
from loadlens.logs import Reading, Source
from loadlens.profile import DEFAULT_PERCENTILES, MeasureOptions, Outliers, checked_outliers
from loadlens.results import ChartFormat
from loadlens.summaries import Details

__all__ = ["AnalysisOptions"]


@checked_options
@dataclass(frozen=True, kw_only=True)
class AnalysisOptions:
    """How to analyse.

    Attributes:
        by: key columns; None for the log's natural key.
        outliers: the fence above which calls are removed; None for what is usual: ``mean-iqr`` for a results
            folder, as in the reference toolkit, and none for other logs.
        percentiles: quantiles of the successes to report.
        details: what a summary tells beside its table; of a results folder nothing.
        reading: how files are read.
        measuring: how logs are measured.
        prices: the price table of a results folder.
        gates: what the run has to keep to.
        baseline: the run to compare with.
        min_effect: the smallest change against the baseline that counts, 0 to 1.
        costing: what a cost is asked for.
        chart_formats: file formats of the charts.
        safe_csv: whether cells of CSV files that a spreadsheet takes for formulas are disarmed.
        on_stage: is told what begins, for a progress display.
    """

    by: tuple[str, ...] | None = None
    outliers: Outliers | None = None
    percentiles: tuple[float, ...] = DEFAULT_PERCENTILES
    details: Details = field(default_factory=lambda: Details(totals=True, failures=True))
    reading: Reading = field(default_factory=Reading)
    measuring: MeasureOptions = MeasureOptions(heatmap=True, timeline=True)
    prices: PriceTable
    gates: tuple[Gate, ...] = ()
    baseline: Source | None = None
    min_effect: Annotated[float, MIN_EFFECT] = 0.05
    costing: Costing | None = None
    chart_formats: tuple[ChartFormat, ...] = ("png",)
    safe_csv: bool = False
    on_stage: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        """Raises a UsageError for a fence that is none."""
        if self.outliers is not None:
            checked_outliers(self.outliers)

    @property
    def asks_for_decisions(self) -> bool:
        """Whether more is asked than the summary: gates, a comparison or a cost."""
        return bool(self.gates) or self.baseline is not None or self.costing is not None
