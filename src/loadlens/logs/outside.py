"""The rows of a log that a slice leaves out, counted by why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from loadlens.messages import counted

__all__ = ["Outside"]


@dataclass(frozen=True, kw_only=True)
class Outside:
    """How many rows lie outside a slice.

    Attributes:
        asked: the slice as it was asked for, such as ``--skip 60s``.
        first_start_s: the first start of the whole log, on its clock; None where no row has one.
        from_s: the slice begins here, on the log's clock; None for the log's begin.
        to_s: the slice ends before this; None for the log's end.
        inside: rows of the slice.
        before: rows that start before it.
        after: rows that start at its end or later.
        where: rows within its times for which the condition is false or null.
        without_start: rows of which nobody knows when they start, where the slice has times.
        remark: what a slice that was chosen by itself goes by, as a sentence; else empty.
    """

    asked: str = ""
    first_start_s: float | None = None
    from_s: float | None = None
    to_s: float | None = None
    inside: int = 0
    before: int = 0
    after: int = 0
    where: int = 0
    without_start: int = 0
    remark: str = ""

    @classmethod
    def of(
        cls, from_s: float | None, to_s: float | None, first_start_s: float | None, rows: Mapping[str, int]
    ) -> "Outside":
        """Of counts of rows by where they lie: ``inside``, ``before`` and so on."""
        return cls(
            first_start_s=first_start_s,
            from_s=from_s,
            to_s=to_s,
            inside=rows["inside"],
            before=rows["before"],
            after=rows["after"],
            where=rows["where"],
            without_start=rows["without_start"],
        )

    @property
    def rows(self) -> int:
        """All rows outside."""
        return self.before + self.after + self.where + self.without_start

    @property
    def told(self) -> str:
        """How many rows lie where, those of which there are any."""
        parts = {
            "before it": self.before,
            "after it": self.after,
            "by where": self.where,
            "without a start": self.without_start,
        }
        return ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)

    def sentences(self) -> list[str]:
        """What a reader has to know of it."""
        reasons = f" ({self.told})" if self.rows else ""
        told = (
            f"{self.rows:,} of {counted(self.rows + self.inside, 'row')} lie outside the slice {self.asked}"
            f"{reasons} and are not counted"
        )
        return [*([told] if self.rows or not self.remark else []), *([self.remark] if self.remark else [])]

    @property
    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "asked": self.asked,
            "first_start_s": self.first_start_s,
            "from_s": self.from_s,
            "to_s": self.to_s,
            "rows_inside": self.inside,
            "rows_outside": self.rows,
            "rows_before": self.before,
            "rows_after": self.after,
            "rows_where": self.where,
            "rows_without_start": self.without_start,
            **({"remark": self.remark} if self.remark else {}),
        }

    @classmethod
    def together(cls, parts: Iterable["Outside"]) -> "Outside":
        """Of all parts of a log, at least one."""
        several = list(parts)
        starts = [part.first_start_s for part in several if part.first_start_s is not None]
        first = several[0]
        return cls(
            asked=first.asked,
            first_start_s=min(starts, default=None),
            from_s=first.from_s,
            to_s=first.to_s,
            inside=sum(part.inside for part in several),
            before=sum(part.before for part in several),
            after=sum(part.after for part in several),
            where=sum(part.where for part in several),
            without_start=sum(part.without_start for part in several),
            remark=first.remark,
        )
