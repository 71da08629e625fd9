"""What a comparison of two runs holds: differences, their limits, and verdicts.

A metric is worse (better) where the limits of its difference, at a level that allows for all deciding
metrics of a key together (Bonferroni), exclude 0 and the change is as large as the minimum effect. So of
keys without any change at most 5 % come out as worse or better, however many metrics there are. A metric
shows no difference where its 95 % interval excludes every change as large as the minimum effect; else there
is too little data.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from loadlens.comparison.runs import PERCENTILES
from loadlens.cost.prices import PriceTable
from loadlens.logs import Findings
from loadlens.messages import Shown, counted, grouped, notes_last
from loadlens.summaries.summary_columns import MOST_KEYS, keys_left_out

__all__ = [
    "DECIDING",
    "FAMILY_LEVEL",
    "LEVEL",
    "METRICS",
    "MOST_DRAWN",
    "VERDICTS",
    "ComparedRun",
    "Comparison",
    "drawn_keys",
    "key_verdicts",
    "metric_verdict",
]


LEVEL: Final = 0.95
"""Confidence of the intervals that are shown."""

DECIDING: Final = ("error_rate", "mean", "p50", "p90", "p95", "p99")
"""Metrics that a verdict comes from; less is better in each."""

FAMILY_LEVEL: Final = 1 - (1 - LEVEL) / len(DECIDING)
"""Confidence of each interval that a change has to stand out from."""

WORSE: Final = "worse"
BETTER: Final = "better"
UNDECIDED: Final = "too little data"
SAME: Final = "no difference"
VERDICTS: Final = (WORSE, BETTER, UNDECIDED, SAME)
"""The gravest first: a key has the gravest verdict of its metrics."""

METRICS: Final = {
    "error_rate": "share",
    "mean": "ms",
    **dict.fromkeys(PERCENTILES, "ms"),
    "throughput": "1/s",
}
"""What is compared, with its unit. All but throughput decide."""

MOST_DRAWN: Final = 12
"""Keys with curves."""


def metric_verdict(min_effect: float) -> pl.Expr:
    """The verdict of each metric.

    Needs ``metric``, ``base``, ``difference``, ``difference_low`` and ``difference_high`` (at ``LEVEL``),
    ``wide_low`` and ``wide_high`` (at ``FAMILY_LEVEL``); a limit that is null was not set by the data.

    Args:
        min_effect: as a share of the base's figure. Where error rates have to be shown to be the same it is a
            number of percentage points: no log could tell that a share of next to nothing has not changed.
    """
    effect = min_effect * pl.col("base")
    large = pl.col("difference").abs() >= effect
    worse, better = pl.col("wide_low") > 0, pl.col("wide_high") < 0
    tolerance = pl.when(pl.col("metric") == "error_rate").then(min_effect).otherwise(effect)
    low, high = pl.col("difference_low"), pl.col("difference_high")
    suspect = large & ((low > 0) | (high < 0))
    same = (low > -tolerance) & (high < tolerance) & ~suspect
    return (
        pl.when(~pl.col("metric").is_in(DECIDING))
        .then(None)
        .when(large & worse)
        .then(pl.lit(WORSE))
        .when(large & better)
        .then(pl.lit(BETTER))
        .when(same)
        .then(pl.lit(SAME))
        .otherwise(pl.lit(UNDECIDED))
        .alias("metric_verdict")
    )


def key_verdicts(metrics: pl.DataFrame) -> pl.DataFrame:
    """``pair``, ``verdict`` and ``deciding`` (the metrics that have it, unless it is no difference).

    Args:
        metrics: ``pair``, ``metric``, ``metric_verdict``.
    """
    gravest = pl.col("metric_verdict").cast(pl.Enum(VERDICTS)).min()
    decided = metrics.with_columns(gravest.over("pair").cast(pl.String).alias("verdict"))
    deciding = pl.col("metric").filter(
        (pl.col("metric_verdict") == pl.col("verdict")) & (pl.col("verdict") != SAME)
    )
    return decided.group_by("pair", maintain_order=True).agg(
        pl.col("verdict").first(), deciding.str.join(", ").alias("deciding")
    )


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """What is to be known of one of the runs.

    Attributes:
        name: what it is called.
        relative_error: bound of the relative error of its percentiles; 0 for exact figures.
        seconds_without_completion: seconds between its first and its last completion that saw none.
        findings: what was rejected or left out of its log, and what the log cannot tell.
    """

    name: str
    relative_error: float
    seconds_without_completion: int
    findings: Findings

    @property
    def document(self) -> dict[str, Any]:
        """Name, error bound and findings as plain values."""
        return {
            "name": self.name,
            "relative_error": self.relative_error,
            **self.findings.document(self.seconds_without_completion),
        }

    @property
    def sentences(self) -> Iterator[str]:
        """What a reader has to know of the run, one sentence each."""
        if rejected := self.findings.rejected:
            yield f"{counted(rejected, 'row was', 'rows were')} rejected"
        if self.relative_error:
            yield (
                f"percentiles were read from a profile and are off by at most {self.relative_error:.1%}, "
                f"intervals are wider by as much"
            )
        yield from self.findings.sentences(self.seconds_without_completion)


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Shown):
    """Result of a comparison. Figures are of every successful call, none filtered.

    Attributes:
        base: the run to compare with.
        candidate: the run in question.
        by: the key columns.
        min_effect: the smallest change that counts, 0 to 1.
        keys: one row for each key in both runs, ascending: the key columns, ``verdict`` (``worse``,
            ``better``, ``no difference``, ``too little data``), ``deciding`` (the metrics that it comes
            from), ``base_calls``, ``candidate_calls``, ``base_errors``, ``candidate_errors``.
        metrics: one row for each key and metric: the key columns, ``metric``, ``unit``, ``base``,
            ``candidate``, ``difference`` (candidate - base), ``ratio`` (candidate / base),
            ``difference_low``, ``difference_high`` (95 % interval; null where the data set no limit),
            ``metric_verdict`` (null for throughput, which decides nothing), ``verdict`` (of the key).
        prices: the price tables, all of one currency; none for a comparison without costs.
        costs: one row for each key and price table, none without tables: the key columns, ``prices`` (the
            table), ``base_memory_size`` and ``candidate_memory_size`` (MB), ``base_basis`` and
            ``candidate_basis`` (the duration that is priced), ``base_failures_without_duration`` and the
            candidate's (failed calls that cost nothing), and ``base``, ``candidate``, ``difference``
            of the costs of 1,000,000 successful calls, their ``ratio``, and ``verdict`` (of the key). Costs
            have no interval and decide nothing.
        only_in_base: keys that the candidate lacks, with ``num_rows``.
        only_in_candidate: keys that the base lacks, with ``num_rows``.
        density: curves of at most 12 keys, each curve's area 1: the key columns, ``run``, ``latency_ms``,
            ``density`` (per ms).
        spectrum: of the same keys: the key columns, ``run``, ``quantile``, ``latency_ms``.
        remarks: what else a reader has to know, one sentence each.
    """

    base: ComparedRun
    candidate: ComparedRun
    by: tuple[str, ...]
    min_effect: float
    keys: pl.DataFrame
    metrics: pl.DataFrame
    prices: tuple[PriceTable, ...]
    costs: pl.DataFrame
    only_in_base: pl.DataFrame
    only_in_candidate: pl.DataFrame
    density: pl.DataFrame
    spectrum: pl.DataFrame
    remarks: tuple[str, ...]

    @property
    def headline(self) -> str:
        """How many keys have each verdict."""
        verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in self.verdicts.items() if count)
        return f"{self.candidate.name} against {self.base.name}, {grouped(self.by)}: {verdicts}"

    @property
    def shown_table(self) -> pl.DataFrame:
        """The keys and their verdicts."""
        return self.keys

    @property
    def runs(self) -> Mapping[str, ComparedRun]:
        """Both runs by their roles."""
        return {"base": self.base, "candidate": self.candidate}

    @property
    def verdicts(self) -> dict[str, int]:
        """How many keys have each verdict, the gravest first."""
        return {verdict: int((self.keys["verdict"] == verdict).sum()) for verdict in VERDICTS}

    @property
    def drawn(self) -> pl.DataFrame:
        """The keys that have curves: the gravest verdicts first, then the most calls."""
        return drawn_keys(self.keys)

    @property
    def relative_error(self) -> float:
        """Bound of the relative error of percentiles of either run; 0 for exact figures."""
        return max(run.relative_error for run in self.runs.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader has to know of the runs and of their comparison, one sentence each."""
        of_runs = [f"{role}: {sentence}" for role, run in self.runs.items() for sentence in run.sentences]
        return (*notes_last([*of_runs, *self.remarks]),)

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """CSV files by name: the metrics, costs, and what comparison.json has a part of alone."""
        whole = {
            "keys": self.keys,
            "only_in_base": self.only_in_base,
            "only_in_candidate": self.only_in_candidate,
        }
        return {
            "comparison": self.metrics,
            **({"costs": self.costs} if self.prices else {}),
            **{name: frame for name, frame in whole.items() if frame.height > MOST_KEYS},
        }

    @property
    def document(self) -> dict[str, Any]:
        """The content of comparison.json but for the version.

        Of more than 10,000 keys it has those with the gravest verdicts, then the most calls.
        """
        most = gravest_keys(self.keys, MOST_KEYS).select(self.by) if self.keys.height > MOST_KEYS else None

        def rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
            if most is not None and not frame.is_empty():
                frame = frame.join(most, on=self.by, how="semi", nulls_equal=True, maintain_order="left")
            return frame.to_dicts()

        return {
            **keys_left_out(self.keys.height),
            **{role: run.document for role, run in self.runs.items()},
            "by": list(self.by),
            "min_effect": self.min_effect,
            "confidence": LEVEL,
            "relative_error": self.relative_error,
            "verdicts": self.verdicts,
            "keys": rows(self.keys),
            "metrics": rows(self.metrics),
            "prices": [table.short_name for table in self.prices],
            "currency": self.prices[0].currency if self.prices else None,
            "costs": rows(self.costs),
            "num_only_in_base": self.only_in_base.height,
            "only_in_base": self.only_in_base.head(MOST_KEYS).to_dicts(),
            "num_only_in_candidate": self.only_in_candidate.height,
            "only_in_candidate": self.only_in_candidate.head(MOST_KEYS).to_dicts(),
            "warnings": list(self.remarks),
        }


def drawn_keys(keys: pl.DataFrame) -> pl.DataFrame:
    """At most 12 of the ``keys`` of a comparison, which have curves."""
    return gravest_keys(keys, MOST_DRAWN)


def gravest_keys(keys: pl.DataFrame, most: int) -> pl.DataFrame:
    """The first of the ``keys`` of a comparison: the gravest verdicts first, then the most calls."""
    gravity = pl.col("verdict").cast(pl.Enum(VERDICTS))
    calls = pl.col("base_calls") + pl.col("candidate_calls")
    return keys.sort(gravity, -calls, maintain_order=True).head(most)
