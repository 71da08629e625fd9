"""The section of a report on Apdex: how satisfied users are with the latency."""

from typing import Final

from loadlens.report.page import Section, Table
from loadlens.summaries import SummaryStatistics

__all__ = ["apdex_section"]

_MOST_ROWS: Final = 200
_LEAD: Final = (
    "Calls up to the target satisfy, those up to four times of it are tolerated; slower and failed ones "
    "frustrate. Apdex is (satisfied + tolerating / 2) / calls, from 0 to 1."
)
_BOUNDED: Final = " Latencies are known to 0.2 %: it lies between the two bounds."


def apdex_section(summary: SummaryStatistics) -> Section | None:
    """The scores; None where they were not asked for."""
    scores = summary.apdex
    if scores is None:
        return None
    rest = f"The first {_MOST_ROWS} of {scores.height:,} rows; apdex.csv has them all."
    table = Table(
        caption="Apdex",
        frame=scores.head(_MOST_ROWS),
        num_keys=len(summary.by),
        note=rest if scores.height > _MOST_ROWS else "",
    )
    lead = _LEAD + (_BOUNDED if "apdex_low" in scores.columns else "")
    return Section(title="Apdex", anchor="apdex", lead=lead, blocks=(table,))
