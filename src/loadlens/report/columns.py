"""How each column of a result reads: a header with its unit, and values in the format of the column."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loadlens.schema import LATENCY

__all__ = [
    "NOTHING",
    "column_format",
    "column_header",
    "format_key",
    "format_money",
    "format_value",
    "key_text",
]

NOTHING: Final = "–"

_MONEY: Final = "money"
_PERCENTILE: Final = re.compile(rf"(?:(?:{LATENCY}|(?P<tps>tps))_)?p(?P<digits>\d+)(?:_ms)?")
_SMALLEST_SHARE: Final = 0.0001


@dataclass(frozen=True, kw_only=True)
class _Column:
    header: str
    unit: str = ""
    format: Callable[[float], str]


def _count(value: float) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else f"{value:,}"


def _measure(value: float) -> str:
    """Three to four significant digits, the same number of decimals where it can be."""
    size = abs(value)
    if size >= 1000:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else _significant(value, 2)  # noqa: PLR2004


def _money(value: float) -> str:
    return f"{value:,.2f}" if abs(value) >= 0.1 else _significant(value, 2)  # noqa: PLR2004


def _significant(value: float, decimals: int) -> str:
    """At least ``decimals`` decimals, and more for small numbers: three significant digits."""
    if value == 0:
        return "0"
    return f"{value:,.{max(decimals, 2 - math.floor(math.log10(abs(value))))}f}"


def _share(value: float) -> str:
    if value == 0:
        return "0%"
    return f"{value:.2%}" if value >= _SMALLEST_SHARE else "<0.01%"


def _quantile(value: float) -> str:
    return f"p{value * 100:.10g}"


def _score(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{value:.2f}"


def _column(header: str, unit: str, form: Callable[[float], str]) -> _Column:
    return _Column(header=header, unit=unit, format=form)


_COLUMNS: Final[Mapping[str, _Column]] = {
    "label": _column("Label", "", str),
    "method": _column("Method", "", str),
    "app": _column("App", "", str),
    "memory_size": _column("Memory", "MB", _count),
    "max_concurrency": _column("Max concurrency", "", _count),
    "num_clients": _column("Clients", "", _count),
    "num_rows": _column("Rows read", "", _count),
    "num_invocations": _column("Invocations", "", _count),
    "num_successes": _column("Successes", "", _count),
    "successful_invocations": _column("Successes", "", _count),
    "num_errors": _column("Failures", "", _count),
    "errors": _column("Failures", "", _count),
    "error_rate": _column("Error rate", "", _share),
    "throttle_exception": _column("Throttled", "", _count),
    "insufficient_memory_error": _column("Out of memory", "", _count),
    "other_model_error": _column("Other errors", "", _count),
    "error": _column("Error", "", str),
    "measure": _column("Measure", "", str),
    "quantile": _column("Percentile", "", _quantile),
    "latency_ms": _column("As logged", "ms", _measure),
    "corrected_ms": _column("Corrected", "ms", _measure),
    "corrected_low_ms": _column("At least", "ms", _measure),
    "corrected_high_ms": _column("At most", "ms", _measure),
    "expected_interval_ms": _column("Expected interval", "ms", _measure),
    "added": _column("Added", "", _count),
    "target_ms": _column("Target", "ms", _measure),
    "calls": _column("Calls", "", _count),
    "satisfied": _column("Satisfied", "", _count),
    "tolerating": _column("Tolerating", "", _count),
    "frustrated": _column("Frustrated", "", _count),
    "apdex": _column("Apdex", "", _score),
    "apdex_low": _column("At least", "", _score),
    "apdex_high": _column("At most", "", _score),
    "rating": _column("Rating", "", str),
    **{f"{name}_ms": _column(name.capitalize(), "ms", _measure) for name in ("min", "mean", "median", "max")},
    "count": _column("Calls", "", _count),
    "share": _column("Share", "", _share),
    "num_timed": _column("With a latency", "", _count),
    **{
        f"latency_{name}_ms": _column(header, "ms", _measure)
        for name, header in {
            "min": "Min",
            "mean": "Mean",
            "median": "Median",
            "p99": "p99",
            "max": "Max",
        }.items()
    },
    f"{LATENCY}_min": _column("Min", "ms", _measure),
    f"{LATENCY}_mean": _column("Mean", "ms", _measure),
    f"{LATENCY}_median": _column("Median", "ms", _measure),
    f"{LATENCY}_max": _column("Max", "ms", _measure),
    f"{LATENCY}_iqr": _column("IQR", "ms", _measure),
    "outlier_fence": _column("Fence", "ms", _measure),
    "outliers_above_fence": _column("Above fence", "", _count),
    "outliers_removed": _column("Removed by fence", "", _count),
    f"{LATENCY}_max_all": _column("Max", "ms", _measure),
    "tps_avg": _column("TPS mean", "1/s", _count),
    "tps_max": _column("TPS max", "1/s", _count),
    "throughput": _column("Throughput", "1/s", _measure),
    "max_ms": _column("Max", "ms", _measure),
    "active_from": _column("Active from", "", _measure),
    "active_to": _column("Active to", "", _measure),
    "active_calls": _column("Active calls", "", _measure),
    "covered_s": _column("Covered", "s", _measure),
    "throughput_high": _column("Throughput at most", "1/s", _measure),
    "MemoryUtilization": _column("Memory used", "%", _measure),
    "ModelLatency": _column("Model latency", "ms", _measure),
    "ModelSetupTime": _column("Model setup time", "ms", _measure),
    "OverheadLatency": _column("Overhead latency", "ms", _measure),
    "average_latency": _column("Average latency", "ms", _measure),
    "cost_per_invocation": _column("Cost per invocation", _MONEY, _money),
    "cost_per_1M_invocations": _column("Cost per 1M invocations", _MONEY, _money),
    "monthly_invocations": _column("Invocations a month", "", _count),
    "serverless_monthly_cost": _column("Serverless a month", _MONEY, _money),
    "instance_monthly_cost": _column("Instance a month", _MONEY, _money),
    "monthly_percent_savings": _column("Savings", "%", _percent),
}


def column_header(name: str, currency: str = "USD") -> str:
    """The header of column ``name`` with its unit; the name itself where nothing is known of it.

    Args:
        name: the column.
        currency: ISO 4217 code, the unit of a column that holds money.
    """
    column = _known(name)
    if column is None:
        return name
    unit = currency if column.unit == _MONEY else column.unit
    return f"{column.header} ({unit})" if unit else column.header


def column_format(name: str, *, is_float: bool) -> str:
    """What the format of a column's numbers is called: ``count``, ``measure``, ``share`` and so on."""
    column = _known(name)
    form = column.format if column else _measure if is_float else _count
    return form.__name__.removeprefix("_")


def format_value(name: str, value: object) -> str:
    """``value`` as a cell of column ``name`` shows it, without its unit; null and NaN as an en dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int | float):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    column = _known(name)
    if column is None:
        return _measure(value) if isinstance(value, float) else _count(value)
    return column.format(value)


def format_key(name: str, value: object) -> str:
    """``value`` of a key column: numbers in full, so that no two of them look the same, and NaN as such."""
    if isinstance(value, float) and not math.isinf(value) and _known(name) is None:
        return "NaN" if math.isnan(value) else repr(value)
    return format_value(name, value)


def key_text(by: Sequence[str], key: Sequence[object]) -> str:
    """A key in a sentence: text as it is, numbers with what they are and their unit."""
    return " · ".join(_told(name, value) for name, value in zip(by, key, strict=True))


def _told(name: str, value: object) -> str:
    shown = format_key(name, value)
    if not isinstance(value, int | float):
        return shown
    column = _known(name)
    return f"{column.header} {shown} {column.unit}".rstrip() if column else f"{name} {shown}"


def format_money(value: float, currency: str) -> str:
    """An amount with its currency, as text shows it."""
    if not math.isfinite(value):
        return NOTHING
    return f"${_money(value)}" if currency == "USD" else f"{currency} {_money(value)}"


def _known(name: str) -> _Column | None:
    match = _PERCENTILE.fullmatch(name)
    if match is None:
        return _COLUMNS.get(name)
    percentile = _percentile(match["digits"])
    if match["tps"]:
        return _column(f"TPS {percentile}", "1/s", _count)
    return _column(percentile, "ms", _measure)


def _percentile(digits: str) -> str:
    """``999`` is p99.9: what follows two digits are decimals."""
    whole, decimals = (digits, "") if digits == "100" else (digits[:2], digits[2:])
    return f"p{whole}.{decimals}" if decimals else f"p{whole}"
