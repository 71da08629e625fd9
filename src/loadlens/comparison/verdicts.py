"""From differences and their limits to verdicts.

A metric is worse (better) where the limits of its difference, at a level that allows for all deciding
metrics of a key together (Bonferroni), exclude 0 and the change is as large as the minimum effect. So of
keys without any change at most 5 % come out as worse or better, however many metrics there are. A metric
shows no difference where its 95 % interval excludes every change as large as the minimum effect; else there
is too little data.
"""

from typing import Final

import polars as pl

__all__ = ["DECIDING", "FAMILY_LEVEL", "LEVEL", "VERDICTS", "key_verdicts", "metric_verdict"]

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
