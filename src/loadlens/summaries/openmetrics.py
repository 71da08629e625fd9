"""A summary as an OpenMetrics text, for Prometheus' textfile collector, push gateways and the like.

Source of the format: OpenMetrics 1.0 (https://github.com/OpenObservability/OpenMetrics). Its base units are
seconds and ratios.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import polars as pl

from loadlens.schema import LATENCY
from loadlens.summaries.summary_columns import InvocationStatistics

__all__ = ["openmetrics_text"]

_GAUGES: Final[Mapping[str, tuple[str, str, str]]] = {
    "calls": ("num_rows", "", "Calls, failed ones included."),
    "failed_calls": ("num_errors", "", "Calls that failed."),
    "error_ratio": ("error_rate", "ratio", "Share of the calls that failed."),
    "throughput": ("throughput", "", "Successful calls per second."),
    "latency_mean_seconds": (f"{LATENCY}_mean", "seconds", "Mean latency of the successful calls."),
    "latency_max_seconds": (f"{LATENCY}_max", "seconds", "Largest latency of the successful calls."),
}
"""By metric the column that it comes from, its unit and what it is."""

_PERCENTILE: Final = re.compile(rf"{LATENCY}_p(\d+)")
_MS_A_SECOND: Final = 1000
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def openmetrics_text(part: InvocationStatistics) -> str:
    """Figures of each configuration: counts, shares, throughput, and latency in s as a summary.

    Every metric is called ``loadlens_...`` and has the key columns as labels, whose names lose what
    OpenMetrics does not allow. The text ends with ``# EOF``.
    """
    key = part.profile.key
    columns = [name for name in part.quality.columns if name not in part.summary.columns]
    table = (
        part.summary.join(
            part.quality.select(*key, *columns), on=key, nulls_equal=True, maintain_order="left"
        )
        if key
        else pl.concat([part.summary, part.quality.select(columns)], how="horizontal")
    )
    labels = [_labels(key, row) for row in table.select(key).iter_rows()] if key else [""]
    lines: list[str] = []
    for name, (column, unit, told) in _GAUGES.items():
        if column in table.columns:
            lines += _head(name, "gauge", unit, told)
            factor = _MS_A_SECOND if unit == "seconds" else 1
            lines += _samples(f"loadlens_{name}", labels, table[column], factor)
    lines += _latency(table, labels)
    return "\n".join([*lines, "# EOF"]) + "\n"


def _latency(table: pl.DataFrame, labels: Sequence[str]) -> Iterator[str]:
    """Percentiles, the median among them, as quantiles of a summary: those of a configuration together."""
    quantiles = {f"{LATENCY}_median": 0.5} if f"{LATENCY}_median" in table.columns else {}
    for name in table.columns:
        if match := _PERCENTILE.fullmatch(name):
            quantiles[name] = float(f"0.{match[1]}")
    yield from _head("latency_seconds", "summary", "seconds", "Latency of the successful calls.")
    for label, row in zip(labels, table.select(list(quantiles)).iter_rows(), strict=True):
        names = [_joined(label, f'quantile="{quantile}"') for quantile in quantiles.values()]
        yield from _samples("loadlens_latency_seconds", names, pl.Series(row, dtype=pl.Float64), _MS_A_SECOND)


def _head(name: str, kind: str, unit: str, told: str) -> list[str]:
    name = f"loadlens_{name}"
    return [f"# TYPE {name} {kind}", *([f"# UNIT {name} {unit}"] if unit else []), f"# HELP {name} {told}"]


def _samples(name: str, labels: Sequence[str], values: pl.Series, factor: int) -> Iterator[str]:
    for label, value in zip(labels, values.to_list(), strict=True):
        if value is not None and math.isfinite(value):
            braces = f"{{{label}}}" if label else ""
            yield f"{name}{braces} {value / factor if factor > 1 else value!r}"


def _joined(*labels: str) -> str:
    return ",".join(label for label in labels if label)


def _labels(key: Sequence[str], values: Sequence[object]) -> str:
    """A configuration as labels; a missing value is an empty one, which is as none there."""
    names: list[str] = []
    for name in key:
        allowed = re.sub(r"\W", "_", name, flags=re.ASCII)
        allowed = f"_{allowed}" if allowed[:1].isdigit() or not allowed else allowed
        while allowed in names:
            allowed += "_"
        names.append(allowed)
    texts = ["" if value is None else str(value).translate(_ESCAPES) for value in values]
    return _joined(*[f'{name}="{text}"' for name, text in zip(names, texts, strict=True)])
