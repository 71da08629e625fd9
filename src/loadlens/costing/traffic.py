"""How many calls come, and how many at once."""

import math
import os
import re
from dataclasses import dataclass
from os import PathLike
from typing import Final

import polars as pl

from loadlens.errors import InputError, UsageError
from loadlens.sources.storage.documents import read_document
from loadlens.sources.wording import counted

__all__ = ["HOURS_PER_MONTH", "SECONDS_PER_MONTH", "Traffic"]

HOURS_PER_MONTH: Final = 24 * 30
SECONDS_PER_MONTH: Final = HOURS_PER_MONTH * 3600

_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "day": 86_400, "month": SECONDS_PER_MONTH}
_THOUSANDS: Final = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}
_AMOUNT: Final = r"(\d[\d,_]*(?:\.\d+)?)\s*([kMB]?)\s*/\s*(s|min|h|day|month)"
_TEXT: Final = re.compile(rf"\s*{_AMOUNT}(?:\s+peak\s+{_AMOUNT})?\s*")
_MOST_CALLS: Final = 1e15
_RATE_COLUMNS: Final = {"rate_per_s": 1, "invocations": 3600}
_EXPECTED: Final = (
    "a rate or a count such as 50/s, 10M/month or '10M/month peak 40/s', or a CSV file of hourly rates"
)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """The calls of a month of 30 days.

    Attributes:
        monthly_invocations: how many there are.
        peak_rate: calls per second in the busiest hour, which capacity must hold.
        description: where these come from.
    """

    monthly_invocations: float
    peak_rate: float
    description: str

    @property
    def mean_rate(self) -> float:
        """Calls per second over the whole month."""
        return self.monthly_invocations / SECONDS_PER_MONTH

    @property
    def peak_factor(self) -> float:
        """How many times the mean rate the peak rate is."""
        return self.peak_rate / self.mean_rate

    @classmethod
    def constant(cls, rate: float, description: str = "") -> "Traffic":
        """``rate`` calls per second all the time."""
        return cls(
            monthly_invocations=rate * SECONDS_PER_MONTH,
            peak_rate=rate,
            description=description or f"{rate:,g} calls per second all the time",
        )

    @classmethod
    def parse(cls, text: str) -> "Traffic":
        """Understands ``50/s``, ``10M/month``, ``10M/month peak 40/s``, or the path of a CSV file.

        An amount is a number, perhaps with k, M or B, per s, min, h, day or month; without a peak it comes
        evenly spread.

        Raises:
            UsageError: the text is none of these, or the peak is below the mean.
            InputError: the file is no CSV of hourly rates.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            if not os.path.isfile(text):  # noqa: PTH113  # False, not an error, for odd names
                raise UsageError(f"traffic: got {text!r}, expected {_EXPECTED}")
            return cls.from_csv(text)
        mean = _rate(text, match[1], match[2], match[3])
        if match[4] is None:
            return cls.constant(mean, f"{text.strip()}, evenly spread")
        peak = _rate(text, match[4], match[5], match[6])
        if peak < mean:
            raise UsageError(f"traffic: got {text!r}, whose peak is below its mean of {mean:,.4g}/s")
        return cls(monthly_invocations=mean * SECONDS_PER_MONTH, peak_rate=peak, description=text.strip())

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> "Traffic":
        """Reads hourly rates: a row for each hour, repeated to fill a month (24 rows make a day).

        The file has a header and a column ``rate_per_s`` (calls per second in that hour) or
        ``invocations`` (calls in that hour); other columns are not used.

        Raises:
            InputError: the file cannot be read, lacks the column, or holds a value that is no rate.
        """
        rates = _hourly_rates(path)
        return cls(
            monthly_invocations=sum(rates) / len(rates) * SECONDS_PER_MONTH,
            peak_rate=max(rates),
            description=f"{path}: {counted(len(rates), 'hourly rate')}",
        )


def _rate(text: str, number: str, thousands: str, unit: str) -> float:
    calls = float(number.replace(",", "").replace("_", "")) * _THOUSANDS[thousands]
    if not 0 < calls <= _MOST_CALLS:
        raise UsageError(f"traffic: got {text!r}, expected more than 0 and at most {_MOST_CALLS:.0e} calls")
    return calls / _SECONDS[unit]


def _hourly_rates(path: str | PathLike[str]) -> list[float]:
    try:
        table = pl.read_csv(read_document(path).encode(), infer_schema=False)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is empty"
        raise InputError(f"traffic {path}: cannot be read: {reason}; expected {_EXPECTED}") from error
    found = [name for name in _RATE_COLUMNS if name in table.columns]
    if len(found) != 1:
        raise InputError(
            f"traffic {path}: expected one column of {', '.join(_RATE_COLUMNS)}; it has "
            f"{', '.join(table.columns)}"
        )
    texts = table[found[0]].str.strip_chars()
    calls = texts.cast(pl.Float64, strict=False).to_list()
    for row, value in enumerate(calls, start=2):
        if value is None or not math.isfinite(value) or not 0 <= value <= _MOST_CALLS:
            raise InputError(
                f"traffic {path}, line {row}: {found[0]} is {texts[row - 2]!r}, expected a number, 0 or more"
            )
    if not sum(calls):
        raise InputError(f"traffic {path}: has no calls in any hour; expected a rate above 0")
    return [value / _RATE_COLUMNS[found[0]] for value in calls]
