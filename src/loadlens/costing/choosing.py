"""Which way to run: the Pareto front of cost against latency, and a choice with its reason."""

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from loadlens.costing.objective import Objective, percentile_text
from loadlens.errors import UsageError
from loadlens.sources.wording import counted

__all__ = ["Choice", "Strategy", "StrategyName", "choose", "with_dominated"]

StrategyName = Literal["cost", "speed", "balanced", "cheapest"]
_COST = "cost_per_1M_invocations"
_LATENCY = "latency_ms"
_WORTH_TELLING = 0.01


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """What makes an option the best.

    Attributes:
        name: ``cost`` is the lowest cost, ``speed`` the lowest latency, ``balanced`` the lowest
            cost ** weight * latency ** (1 - weight), ``cheapest`` the lowest cost that meets the objective.
        weight: of cost in ``balanced``, 0 to 1; 0.5 weighs a percent of cost like a percent of latency.
        objective: for ``cheapest``.
    """

    name: StrategyName = "balanced"
    weight: float = 0.5
    objective: Objective | None = None

    def __post_init__(self) -> None:
        """Raises a UsageError for a weight that is none, or a missing objective."""
        if not 0 <= self.weight <= 1:
            raise UsageError(f"weight: got {self.weight:g}, expected a number from 0 to 1")
        if self.name == "cheapest" and self.objective is None:
            raise UsageError("strategy cheapest: needs an objective such as 'p95 < 300ms'")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The option that a strategy takes.

    Attributes:
        strategy: the strategy.
        option: its row among the candidates; None where none can be chosen.
        reason: why, in one sentence with the numbers.
    """

    strategy: Strategy
    option: dict[str, Any] | None
    reason: str


def with_dominated(candidates: pl.DataFrame) -> pl.DataFrame:
    """Adds ``dominated``: whether another candidate costs no more and takes no longer, one of it strictly.

    Args:
        candidates: ``cost_per_1M_invocations`` and ``latency_ms``; where one is null so is ``dominated``.
    """
    known = candidates.select(_COST, _LATENCY).drop_nulls().rows()
    dominated = [
        None
        if cost is None or latency is None
        else any(c <= cost and ms <= latency and (c < cost or ms < latency) for c, ms in known)
        for cost, latency in candidates.select(_COST, _LATENCY).iter_rows()
    ]
    return candidates.with_columns(pl.Series("dominated", dominated, dtype=pl.Boolean))


def choose(
    candidates: pl.DataFrame, strategy: Strategy, *, percentile: float, currency: str = "USD"
) -> Choice:
    """Takes the best candidate; ties go to the cheaper one, then to the faster one, then to the first.

    Args:
        candidates: ``option`` (its name), ``cost_per_1M_invocations`` (null: cannot be chosen) and
            ``latency_ms``, the percentile of its successful calls; ``error_rate`` (0 to 1) if known.
        strategy: what is best.
        percentile: which percentile ``latency_ms`` is, 0 to 1.
        currency: of the costs.
    """
    words = _Words(percentile=percentile, currency=currency)
    known = candidates.drop_nulls([_COST, _LATENCY])
    if known.is_empty():
        reason = "Nothing to choose from: no configuration has a successful call and so a cost and a latency."
        return Choice(strategy=strategy, option=None, reason=reason)
    if strategy.name == "cheapest" and strategy.objective:
        return _cheapest_that_meets(known, strategy, strategy.objective, words)
    best = _best(known, strategy)
    what = {"cost": "cost", "speed": percentile_text(percentile)}.get(
        strategy.name, f"cost^{strategy.weight:g} × latency^{1 - strategy.weight:g}"
    )
    reason = (
        f"{words.told(best)}, {_the_lowest(what, known)}"
        f"{words.against(best, _first(known, _COST, _LATENCY), 'cheapest')}"
        f"{words.against(best, _first(known, _LATENCY, _COST), 'fastest')}."
    )
    return Choice(strategy=strategy, option=best, reason=reason)


def _best(known: pl.DataFrame, strategy: Strategy) -> dict[str, Any]:
    if strategy.name == "cost":
        return _first(known, _COST, _LATENCY)
    if strategy.name == "speed":
        return _first(known, _LATENCY, _COST)
    score = pl.col(_COST) ** strategy.weight * pl.col(_LATENCY) ** (1 - strategy.weight)
    best = known.with_columns(score.alias("score")).sort(["score", _COST, _LATENCY], maintain_order=True)
    return best.drop("score").row(0, named=True)


@dataclass(frozen=True, kw_only=True)
class _Words:
    """How options read in a reason."""

    percentile: float
    currency: str

    def told(self, option: dict[str, Any]) -> str:
        rate = option.get("error_rate") or 0.0
        failed = f" ({rate:.1%} of its calls failed)" if rate >= _WORTH_TELLING else ""
        return f"{option['option']}{failed} at {self.figures(option)}"

    def figures(self, option: dict[str, Any]) -> str:
        cost, latency = option[_COST], option[_LATENCY]
        money = f"{cost:,.2f}" if cost >= 0.1 or not cost else f"{cost:.3g}"  # noqa: PLR2004
        sign = "$" if self.currency == "USD" else f"{self.currency} "
        return (
            f"{sign}{money} per 1M invocations and a {percentile_text(self.percentile)} of "
            f"{latency:,.{1 if latency >= 10 else 3}f} ms"  # noqa: PLR2004
        )

    def against(self, chosen: dict[str, Any], other: dict[str, Any], what: str) -> str:
        """The other end of the trade, unless it is the same option."""
        return "" if chosen["option"] == other["option"] else f"; the {what}, {self.told(other)}"


def _first(known: pl.DataFrame, *columns: str) -> dict[str, Any]:
    return known.sort(columns, maintain_order=True).row(0, named=True)


def _the_lowest(what: str, known: pl.DataFrame) -> str:
    return "the only option" if known.height == 1 else f"the lowest {what} of {known.height} options"


def _cheapest_that_meets(
    known: pl.DataFrame, strategy: Strategy, objective: Objective, words: _Words
) -> Choice:
    meeting = known.filter(pl.col(_LATENCY) < objective.limit_ms)
    if meeting.is_empty():
        fastest = _first(known, _LATENCY, _COST)
        reason = f"No option of {known.height} meets {objective}; the closest is {words.told(fastest)}."
        return Choice(strategy=strategy, option=None, reason=reason)
    best, cheapest = _first(meeting, _COST, _LATENCY), _first(known, _COST, _LATENCY)
    options = f"{meeting.height} of {counted(known.height, 'option')}"
    reason = (
        f"{words.told(best)}, the lowest cost of the {options} that meet "
        f"{objective}{words.against(best, cheapest, 'cheapest of all')}."
    )
    return Choice(strategy=strategy, option=best, reason=reason)
