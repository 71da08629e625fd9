"""What else a report shall answer: whether gates hold, what changed since a baseline, what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from loadlens.comparison import ComparisonQuestion
from loadlens.cost.cost_of_log import priced, priced_usage_question
from loadlens.cost.usage import MEMORY
from loadlens.cost.ways_to_run import cost_document
from loadlens.engine import ask, ask_all
from loadlens.errors import UsageError
from loadlens.gates import GateCheck, check_document, gates_question
from loadlens.keywords import key_of
from loadlens.logs import find_toolkit_folder, open_log
from loadlens.messages import Shown
from loadlens.storage.location import RemotePath
from loadlens.storage.secrets import shown
from loadlens.tasks.decision_results import ComparisonResult, CostingResult

if TYPE_CHECKING:
    from loadlens.charts import Picture
    from loadlens.cost import CostComparison, Costing
    from loadlens.cost.prices import PriceTable
    from loadlens.engine import Question
    from loadlens.logs import Log, Reading, Source
    from loadlens.report import Card, Section
    from loadlens.summaries import SummaryStatistics
    from loadlens.tasks.analysis_options import AnalysisOptions

__all__ = ["Decisions", "decide"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Decisions(Shown):
    """The answers; None where nothing was asked.

    Attributes:
        gates: the judged gates.
        comparison: the run against the baseline.
        costing: what it costs to run, and what to run.
    """

    gates: GateCheck | None = None
    comparison: ComparisonResult | None = None
    costing: CostingResult | None = None

    @property
    def headline(self) -> str:
        """The headline of each answer."""
        answers = {"gates": self.gates, "comparison": self.comparison, "costing": self.costing}
        told = [f"{name}: {answer.headline}" for name, answer in answers.items() if answer]
        return "; ".join(told) or "nothing was asked"

    @property
    def document(self) -> dict[str, Any]:
        """The entries ``gates``, ``comparison`` and ``costing`` of summary.json."""
        return {
            "gates": self.gates and _without_head(check_document(self.gates, [])),
            "comparison": self.comparison and self.comparison.document,
            "costing": self.costing and _costing_document(self.costing),
        }

    @property
    def pictures(self) -> dict[str, Picture]:
        """The charts of the answers, by the names of their files."""
        answers = {"comparison": self.comparison, "cost": self.costing}
        return {
            f"{part}_{name}": picture
            for part, answer in answers.items()
            if answer
            for name, picture in answer.pictures.items()
        }

    def cards(self) -> tuple[Card, ...]:
        """A key figure of each answer."""
        from loadlens.report.comparison_report import comparison_card
        from loadlens.report.cost_report import choice_card
        from loadlens.report.sections import gates_card

        return (
            *([gates_card(self.gates)] if self.gates else []),
            *([comparison_card(self.comparison)] if self.comparison else []),
            *([choice_card(self.costing)] if self.costing else []),
        )

    def sections_before(self) -> tuple[Section, ...]:
        """The sections that stand before the summary: whether gates hold."""
        from loadlens.report.sections import gates_section

        return (gates_section(self.gates),) if self.gates else ()

    def sections_after(self) -> tuple[Section, ...]:
        """The sections that stand after the summary, each with its charts."""
        from loadlens.report.comparison_report import comparison_section
        from loadlens.report.cost_report import cost_section

        return (
            *([comparison_section(self.comparison, self.comparison.pictures)] if self.comparison else []),
            *([cost_section(self.costing, self.costing.pictures)] if self.costing else []),
        )


def _without_head(document: dict[str, Any]) -> dict[str, Any]:
    """What summary.json does not say already."""
    return {name: part for name, part in document.items() if name not in {"loadlens_version", "inputs"}}


def _costing_document(costing: CostComparison) -> dict[str, Any]:
    tables = {name: getattr(costing, name).to_dicts() for name in ("costs", "monthly", "break_even")}
    return {**cost_document(costing), **tables}


def decide(
    log: Log, summary: Question[SummaryStatistics], options: AnalysisOptions, *, name: str
) -> tuple[SummaryStatistics, Decisions]:
    """Summarises a log and answers what else is asked of it, all measured together.

    Each question without key columns takes its own: the log's natural key, what both runs have of it, and
    ``memory_size``. Questions by one key share their scans.

    Args:
        log: the log.
        summary: what the summary asks.
        options: what else is asked, and how to measure.
        name: what the log is called.

    Raises:
        InputError: a log cannot be read or lacks columns, or the runs have no key in common.
        UsageError: a gate does not fit the log, or the questions make no sense together.
    """
    asked: dict[str, Question[Any]] = {"summary": summary}
    by, costing, comparison = options.by, options.costing, None
    if options.gates:
        exact = options.measuring.is_exact
        asked["gates"] = gates_question(log, options.gates, by, outliers=options.outliers, exact=exact)
    if costing:
        asked["usage"] = priced_usage_question(log, costing, tuple(dict.fromkeys((*(by or ()), MEMORY))))
    if options.baseline is not None:
        baseline = _opened(options.baseline, options.reading)
        comparison = _comparison(baseline, log, options, name)
        options.on_stage("Reading the baseline")
        base = ask(baseline, comparison.runs[0], replace(options.measuring, heatmap=False, timeline=False))
        asked["run"] = comparison.runs[1]
    options.on_stage("Reading invocations")
    found = ask_all(log, list(asked.values()), options.measuring)
    answers = dict(zip(asked, found, strict=True))
    if costing:
        options.on_stage("Pricing")
        answers["cost"] = priced(
            answers["usage"],
            costing,
            options.reading,
            replace(options.measuring, heatmap=False, timeline=False),
        )
    remarks = tuple(log.findings.sentences())
    return answers["summary"], Decisions(
        gates=answers.get("gates"),
        comparison=ComparisonResult.of_figures(comparison.answer(base, answers["run"]))
        if comparison
        else None,
        costing=CostingResult.of_figures(answers["cost"], sources=(name,), remarks=remarks)
        if costing
        else None,
    )


def _comparison(baseline: Log, log: Log, options: AnalysisOptions, name: str) -> ComparisonQuestion:
    costing = options.costing
    prices = _priced_by_use(costing) if costing and MEMORY in key_of(options.by, baseline.key) else []
    return ComparisonQuestion.of(
        baseline,
        log,
        options.by,
        min_effect=options.min_effect,
        prices=prices,
        request_size=costing.request_size if prices and costing else None,
        base_name=_named(options.baseline) or baseline.name,
        candidate_name=name,
    )


def _priced_by_use(costing: Costing) -> list[PriceTable]:
    return [table for table in costing.prices if table.kind != "instances"]


def _opened(baseline: Source, reading: Reading) -> Log:
    if isinstance(baseline, str | PathLike | RemotePath):
        folder = find_toolkit_folder(baseline, reading.storage_options)
        if folder:
            raise UsageError(
                f"{folder.path}: is a results folder; name one of the invocation logs in it as the baseline"
            )
    return open_log(baseline, name="the baseline", reading=reading)


def _named(baseline: object) -> str | None:
    return shown(baseline) if isinstance(baseline, str | PathLike | RemotePath) else None
