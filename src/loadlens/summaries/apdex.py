"""Apdex: one number from 0 to 1 for how satisfied users are with the latency, after the Apdex Alliance.

Source: Apdex Technical Specification, version 1.1 (Apdex Alliance, 2007): calls up to the target T satisfy,
those up to 4 T are tolerated, others frustrate, as do failed ones; (satisfied + tolerated / 2) / all.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from os import PathLike
from typing import Any, Final

import polars as pl

from loadlens.errors import UsageError
from loadlens.messages import listed
from loadlens.profile import Plan, below_name, key_names
from loadlens.schema import MAX_LATENCY_MS
from loadlens.storage.input_documents import read_toml

__all__ = [
    "Apdex",
    "ApdexOf",
    "apdex_limits",
    "apdex_scores",
    "judged_calls",
    "limits_of",
    "score_of",
    "total_apdex",
]

_TOLERATED: Final = 4
_MS: Final = {"us": Decimal("0.001"), "ms": Decimal(1), "s": Decimal(1000)}
_TARGET: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(us|ms|s)")
_RATINGS: Final = ((0.94, "excellent"), (0.85, "good"), (0.70, "fair"), (0.50, "poor"), (0.0, "unacceptable"))
_FORM: Final = 'a target such as "500ms"'


@dataclass(frozen=True, kw_only=True)
class ApdexOf:
    """The target of some configurations.

    Attributes:
        key: key columns, each with what it must hold, as text.
        target_ms: up to which latency calls satisfy.
    """

    key: tuple[tuple[str, str], ...]
    target_ms: float


@dataclass(frozen=True, kw_only=True)
class Apdex:
    """By what calls are judged.

    Attributes:
        target_ms: up to which latency calls satisfy.
        others: targets of some configurations; the first that fits one holds.
    """

    target_ms: float
    others: tuple[ApdexOf, ...] = ()

    @classmethod
    def of(cls, source: "Apdex | str | PathLike[str]") -> "Apdex":
        """What a caller asks for: a target such as ``500ms``, or a TOML file with targets.

        Raises:
            UsageError: it is neither.
        """
        if isinstance(source, Apdex):
            return source
        if isinstance(source, str) and _TARGET.fullmatch(source.strip()):
            return cls(target_ms=_target(source, "apdex"))
        if isinstance(source, PathLike) or (isinstance(source, str) and source.endswith(".toml")):
            return cls._of_document(read_toml(source, UsageError, "targets of Apdex as TOML"), str(source))
        raise UsageError(f"apdex: got {source!r}, expected {_FORM}, or a TOML file with targets (.toml)")

    @classmethod
    def _of_document(cls, document: Mapping[str, Any], name: str) -> "Apdex":
        others = document.get("override", [])
        wrong = set(document) - {"target", "override"}
        if wrong or "target" not in document or not isinstance(others, list):
            raise UsageError(
                f'{name}: has {listed(document) or "nothing"}, expected target = "500ms" and maybe tables '
                f'[[override]] with target = "200ms" and key = {{label = "login"}}'
            )
        return cls(
            target_ms=_target(document["target"], name),
            others=tuple(_override(table, f"{name}, override {at}") for at, table in enumerate(others, 1)),
        )

    def check(self, key: Sequence[str]) -> None:
        """Raises a UsageError if a target is of a column that is not in the key."""
        unknown = sorted({name for other in self.others for name, _ in other.key} - set(key))
        if unknown:
            known = ", ".join(key) or "none, as the log is grouped by nothing"
            raise UsageError(f"apdex: got a target of {listed(unknown)}, expected key columns: {known}")

    @property
    def targets_ms(self) -> tuple[float, ...]:
        """All targets, ascending."""
        return tuple(sorted({self.target_ms, *(other.target_ms for other in self.others)}))


def _override(table: object, name: str) -> ApdexOf:
    if not isinstance(table, dict) or set(table) != {"target", "key"} or not isinstance(table["key"], dict):
        raise UsageError(f'{name}: got {table!r}, expected target = "200ms" and key = {{label = "login"}}')
    key = tuple((column, str(value)) for column, value in table["key"].items())
    if not key:
        raise UsageError(f"{name}: names no key column; the target of all stands above the tables")
    return ApdexOf(key=key, target_ms=_target(table["target"], name))


def _target(text: object, name: str) -> float:
    match = _TARGET.fullmatch(text.strip()) if isinstance(text, str) else None
    target = float(Decimal(match[1]) * _MS[match[2]]) if match else 0.0
    if not 0 < target * _TOLERATED < MAX_LATENCY_MS:
        raise UsageError(f"{name}: got {text!r}, expected {_FORM}, in us, ms or s and above 0")
    return target


def apdex_limits(apdex: Apdex | None) -> tuple[float, ...]:
    """The limits below which calls have to be counted, ascending, in ms."""
    targets = apdex.targets_ms if apdex else ()
    return tuple(sorted({limit for target in targets for limit in limits_of(target)}))


def limits_of(target_ms: float) -> tuple[float, float]:
    """The limits below which calls lie that satisfy, and those that are at least tolerated, in ms."""
    return math.nextafter(target_ms, math.inf), math.nextafter(_TOLERATED * target_ms, math.inf)


def apdex_scores(table: pl.DataFrame, plan: Plan, apdex: Apdex) -> pl.DataFrame:
    """The scores of all keys.

    Args:
        table: ``Statistics.table``, with the calls below each of ``apdex_limits``.
        plan: what was measured.
        apdex: by what calls are judged.

    Returns:
        The key columns, ascending; ``target_ms``; ``calls`` (all but successes without a latency, of which
        nothing is known); ``satisfied``, ``tolerating``, ``frustrated`` of them; ``apdex`` (0 to 1, null
        without calls); where latencies are not exact, ``apdex_low`` and ``apdex_high``, between which it
        lies; ``rating``, as the specification calls scores of two decimals.

    Raises:
        UsageError: there is no configuration that one of the targets is for.
    """
    names = key_names(plan.key)
    keys = [pl.col(internal).alias(name) for internal, name in zip(names, plan.key, strict=True)]
    judged = table.with_columns(_targets(table, apdex), calls=judged_calls())
    one = below_name(apdex_limits(apdex)[0])
    bounds = [side for side in ("low", "high") if f"{side}:{one}" in table.columns]
    satisfied, half = _counted(apdex, "")
    return judged.select(
        *keys,
        "target_ms",
        "calls",
        satisfied.alias("satisfied"),
        (half - satisfied).alias("tolerating"),
        (pl.col("calls") - half).alias("frustrated"),
        score_of(satisfied, half).alias("apdex"),
        *[score_of(*_counted(apdex, f"{side}:")).alias(f"apdex_{side}") for side in bounds],
        _rating(score_of(satisfied, half)).alias("rating"),
    )


def judged_calls() -> pl.Expr:
    """The calls of a table of ``Statistics`` that are judged: all but successes without a latency."""
    return pl.col("num_rows") - pl.col("num_successes") + pl.col("num_timed_successes")


def _counted(apdex: Apdex, side: str) -> tuple[pl.Expr, pl.Expr]:
    """The calls up to the target of each key, and those up to four times of it."""
    found = []
    for which in (0, 1):
        chosen = pl.lit(None, dtype=pl.Int64)
        for target in apdex.targets_ms:
            below = pl.col(f"{side}{below_name(limits_of(target)[which])}")
            chosen = pl.when(pl.col("target_ms") == target).then(below).otherwise(chosen)
        found.append(chosen)
    return found[0], found[1]


def score_of(satisfied: pl.Expr, tolerated: pl.Expr) -> pl.Expr:
    """The score of judged calls, half of the calls up to the target and of those up to four times of it."""
    return pl.when(judged_calls() > 0).then((satisfied + tolerated) / (2 * judged_calls()))


def _rating(score: pl.Expr) -> pl.Expr:
    rating = pl.lit(None, dtype=pl.String)
    for least, name in reversed(_RATINGS):
        rating = pl.when(score.round(2) >= least).then(pl.lit(name)).otherwise(rating)
    return rating


def _targets(table: pl.DataFrame, apdex: Apdex) -> pl.Expr:
    """The target of each key."""
    target = pl.lit(apdex.target_ms)
    for other in reversed(apdex.others):
        fits = pl.all_horizontal(
            pl.col(f"key:{name}").cast(pl.String).eq_missing(pl.lit(value)) for name, value in other.key
        )
        if not table.select(fits.any()).item():
            told = ", ".join(f"{name}={value}" for name, value in other.key)
            raise UsageError(f"apdex: got a target of {told}, which no configuration has")
        target = pl.when(fits).then(pl.lit(other.target_ms)).otherwise(target)
    return target.alias("target_ms")


def total_apdex(scores: pl.DataFrame) -> pl.Expr:
    """The score of all calls together, each judged by the target of its key."""
    calls = int(scores["calls"].sum())
    points = float(scores["satisfied"].sum()) + float(scores["tolerating"].sum()) / 2
    return pl.lit(points / calls if calls else None, dtype=pl.Float64).alias("apdex")
