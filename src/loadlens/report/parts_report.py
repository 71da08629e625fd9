"""The section of a report on further durations of the calls: where the time goes."""

from typing import Final

from loadlens.dialects.durations import DURATIONS
from loadlens.report.page import Block, Figure, Notes, Section, Table
from loadlens.summaries import InvocationStatistics
from loadlens.summaries.parts import dominant_part

__all__ = ["parts_section"]

_CAPTION: Final = (
    "What the mean latency of the successful calls is made of; what no measure tells of it is the rest."
)
_MOST_ROWS: Final = 200


def parts_section(part: InvocationStatistics, bars: str | None) -> Section | None:
    """Figures of the measures, and what mean latencies are made of; None where none was asked for.

    Args:
        part: the summary.
        bars: an SVG of the parts; None where no call has one.
    """
    measures = part.measures
    if measures.is_empty():
        return None
    names = list(dict.fromkeys(measures["measure"]))
    meanings = {name: DURATIONS[name].meaning for name in names if name in DURATIONS}
    rest = f"The first {_MOST_ROWS} of {measures.height:,} rows; measures.csv has them all."
    blocks: list[Block] = [
        *([Figure(caption=_CAPTION, svg=bars)] if bars is not None else []),
        Table(
            caption="Further durations of the successful calls",
            frame=measures.head(_MOST_ROWS),
            num_keys=len(part.profile.key) + 1,
            note=rest if measures.height > _MOST_ROWS else "",
        ),
        *([Notes(items=meanings)] if meanings else []),
    ]
    return Section(
        title="Where the time goes",
        anchor="where-the-time-goes",
        lead=dominant_part(part.parts) or "No part makes most of the latency of every configuration.",
        blocks=tuple(blocks),
    )
