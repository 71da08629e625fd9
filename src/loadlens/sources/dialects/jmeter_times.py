"""How JMeter writes times: ms since 1970, or text in any form that its users set."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

__all__ = ["MILLISECONDS", "TimeForm", "form_names", "time_form"]

_CLOCK: Final = r"\d\d:\d\d:\d\d"
_FRACTION: Final = r"(?:[.,]\d{1,9})?"
_ZONE: Final = r"(?:Z|[+-]\d\d:?\d\d)"


@dataclass(frozen=True, kw_only=True)
class TimeForm:
    """One way to write times.

    Attributes:
        name: what Java and people call it.
        shape: a regular expression that all its times match.
        formats: how Polars reads it, each tried in turn; none for ms since 1970.
        other: the form with day and month the other way round, for which it could be mistaken.
    """

    name: str
    shape: str
    formats: tuple[str, ...] = ()
    other: "TimeForm | None" = None

    @property
    def is_text(self) -> bool:
        """Whether it is not a number."""
        return bool(self.formats)

    def ms(self, column: pl.Expr) -> pl.Expr:
        """Times as ms since 1970, without a time zone as of UTC; null where they are not of this form."""
        if not self.formats:
            return column
        text = column.str.strip_chars().str.replace(r"^(.*\d\d),(\d{1,9})$", "$1.$2")
        read = [
            text.str.to_datetime(
                form, time_unit="ms", time_zone="UTC" if form.endswith("z") else None, strict=False
            ).dt.epoch("ms")
            for form in self.formats
        ]
        return pl.coalesce(*read)

    def matches(self, times: Sequence[str]) -> int:
        """How many of ``times`` are of this form."""
        likely = [text for text in times if re.fullmatch(self.shape, text)]
        if not self.formats or not likely:
            return len(likely)
        read = pl.DataFrame({"time": likely}, schema={"time": pl.String}).select(self.ms(pl.col("time")))
        return read.height - read.to_series().null_count()

    @property
    def strftime(self) -> str:
        """The form as a map of columns takes it."""
        return self.formats[0]

    def clock_ms(self, times: Sequence[str]) -> int:
        """How fine its times are: 1 ms, or 1,000 where they tell whole seconds only."""
        return 1000 if self.formats and not any(re.search(rf"{_CLOCK}[.,]\d", text) for text in times) else 1


def _dated(name: str, date: str, shape: str) -> TimeForm:
    """A form of a date and a time of day, with or without parts of a second."""
    return TimeForm(
        name=f"{name} HH:mm:ss", shape=f"{shape} {_CLOCK}{_FRACTION}", formats=(f"{date} %H:%M:%S%.f",)
    )


def _either(month_first: TimeForm, day_first: TimeForm) -> tuple[TimeForm, TimeForm]:
    """Two forms that some times could be in both of."""
    return (
        TimeForm(**{**vars(month_first), "other": day_first}),
        TimeForm(**{**vars(day_first), "other": month_first}),
    )


MILLISECONDS: Final = TimeForm(name="ms since 1970", shape=r"-?\d+(?:\.0*)?")

_FORMS: Final = (
    MILLISECONDS,
    _dated("yyyy/MM/dd", "%Y/%m/%d", r"\d{4}/\d\d?/\d\d?"),
    TimeForm(
        name="yyyy-MM-dd HH:mm:ss",
        shape=rf"\d{{4}}-\d\d?-\d\d?[ T]{_CLOCK}{_FRACTION}{_ZONE}?",
        formats=(
            "%Y-%m-%d %H:%M:%S%.f",
            "%Y-%m-%dT%H:%M:%S%.f",
            "%Y-%m-%dT%H:%M:%S%.f%#z",
            "%Y-%m-%d %H:%M:%S%.f%#z",
        ),
    ),
    *_either(
        _dated("MM/dd/yy", "%m/%d/%y", r"\d\d?/\d\d?/\d\d"),
        _dated("dd/MM/yy", "%d/%m/%y", r"\d\d?/\d\d?/\d\d"),
    ),
    *_either(
        _dated("MM/dd/yyyy", "%m/%d/%Y", r"\d\d?/\d\d?/\d{4}"),
        _dated("dd/MM/yyyy", "%d/%m/%Y", r"\d\d?/\d\d?/\d{4}"),
    ),
    _dated("dd.MM.yyyy", "%d.%m.%Y", r"\d\d?\.\d\d?\.\d{4}"),
    _dated("dd.MM.yy", "%d.%m.%y", r"\d\d?\.\d\d?\.\d\d"),
    TimeForm(
        name="EEE MMM dd HH:mm:ss yyyy",
        shape=rf"[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ \d]?\d {_CLOCK} (?:(?:UTC|GMT) )?\d{{4}}",
        formats=("%a %b %e %H:%M:%S %Y", "%a %b %e %H:%M:%S UTC %Y", "%a %b %e %H:%M:%S GMT %Y"),
    ),
)


def time_form(times: Sequence[str]) -> tuple[TimeForm, bool]:
    """The form that most of ``times`` are in, and whether another one could be meant.

    Of a month and a day that could be either, the month comes first, as in JMeter's own ``MM/dd/yy``.

    Args:
        times: as logged, without blanks around them.

    Raises:
        ValueError: they are in no form that is known; it holds the first.
    """
    if not times:
        return MILLISECONDS, False
    counts = [form.matches(times) for form in _FORMS]
    best = max(range(len(_FORMS)), key=lambda index: counts[index])  # the first of several
    if not counts[best]:
        raise ValueError(times[0])
    form = _FORMS[best]
    return form, form.other is not None and form.other.matches(times) == counts[best]


def form_names() -> list[str]:
    """What the forms of text are called."""
    return [form.name for form in _FORMS if form.is_text]
