"""The section of a report on percentiles that are corrected for coordinated omission."""

from typing import Final

from loadlens.report.page import Section, Table
from loadlens.summaries import SummaryStatistics

__all__ = ["corrected_section"]

_MOST_ROWS: Final = 200
_LEAD: Final = (
    "A client that waits for an answer sends nothing meanwhile: a stall of the server leaves out the very "
    "calls that it would have slowed down. For each call that took longer than the expected interval, the "
    "correction counts the calls that were left out too, with what was left of the wait (the method of "
    "HdrHistogram). It guesses what the log does not tell, so the other figures of this report are as logged."
)
_NOTE: Final = "Corrected percentiles follow from latency buckets, and lie between the two bounds."


def corrected_section(summary: SummaryStatistics) -> Section | None:
    """The percentiles; None where they were not asked for."""
    found = summary.corrected
    if found is None:
        return None
    rest = f" The first {_MOST_ROWS} of {found.height:,} rows; corrected.csv has them all."
    table = Table(
        caption="Percentiles as logged and corrected",
        frame=found.head(_MOST_ROWS),
        num_keys=len(summary.by) + 1,
        note=_NOTE + (rest if found.height > _MOST_ROWS else ""),
    )
    return Section(title="Coordinated omission", anchor="coordinated-omission", lead=_LEAD, blocks=(table,))
