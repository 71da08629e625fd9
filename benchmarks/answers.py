"""Whether two contenders gave the same figures for every configuration."""

import math
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.contenders.harness import ERRORS, KEY, PERCENTILES, Rows

__all__ = ["COUNTS", "FIGURES", "TOLERANCE", "differences"]

TOLERANCE: Final = 1e-9
"""Largest relative difference of two equal floats: sums run in an order that differs between contenders."""

TPS: Final = [f"tps_{name}" for name in ("avg", "p25", "p50", "p75", "max")]
COUNTS: Final = ["num_invocations", "num_errors", *ERRORS, "outliers_removed", *TPS]
FIGURES: Final = [
    *[f"invocation_latency_{name}" for name in ("median", "mean", "max", "iqr", *PERCENTILES)],
    "outlier_fence",
    "throughput",
]

_Answer = dict[tuple[Any, ...], dict[str, Any]]


def differences(expected: Rows, got: Rows) -> list[str]:
    """What ``got`` says otherwise than ``expected``, a line for each column; none when they agree.

    Counts and completions per second have to be equal, floats within ``TOLERANCE``.
    """
    expected_by_key, got_by_key = _by_key(expected), _by_key(got)
    if expected_by_key.keys() != got_by_key.keys() or len(got) != len(got_by_key):
        return [_other_keys(expected_by_key, got_by_key, len(got))]
    return list(_other_figures(expected_by_key, got_by_key))


def _by_key(rows: Rows) -> _Answer:
    return {tuple(row[name] for name in KEY): row for row in rows}


def _other_keys(expected: _Answer, got: _Answer, rows: int) -> str:
    missing, unknown = sorted(expected.keys() - got.keys()), sorted(got.keys() - expected.keys())
    return (
        f"configurations: got {len(got)} in {rows} rows, expected {len(expected)}; "
        f"missing {missing[:3]}, unknown {unknown[:3]}"
    )


def _other_figures(expected: _Answer, got: _Answer) -> Iterator[str]:
    for column in (*COUNTS, *FIGURES):
        keys = [
            key
            for key in sorted(expected)
            if not _same(column, expected[key].get(column), got[key].get(column))
        ]
        if keys:
            first = keys[0]
            yield (
                f"{column}: differs in {len(keys)} of {len(expected)} configurations, first {first}: "
                f"got {got[first].get(column)!r}, expected {expected[first].get(column)!r}"
            )


def _same(column: str, expected: Any, got: Any) -> bool:
    if expected is None or got is None or column in COUNTS:
        return bool(expected == got)
    return math.isclose(expected, got, rel_tol=TOLERANCE)
