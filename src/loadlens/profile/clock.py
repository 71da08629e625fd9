"""The clock of a log: what a reader has to know of how fine it is."""

from typing import Final

from loadlens.sources.log import Log

__all__ = ["FINE_S", "clock_warning"]

FINE_S: Final = 0.001
"""A clock of this resolution, or a finer one, tells spans well enough to say nothing of it."""


def clock_warning(resolution_s: float, log: Log) -> str:
    """What a reader has to know of times of this resolution, as one sentence; nothing of a fine clock."""
    if resolution_s <= FINE_S:
        return ""
    what = "whole seconds" if resolution_s == 1 else f"multiples of {resolution_s:g} s"
    told = (
        f"{log.name}: its times are {what}, so that spans are known to {resolution_s:g} s only: throughput "
        f"lies between calls / (span + {resolution_s:g} s), which is shown, and calls / (span - "
        f"{resolution_s:g} s)"
    )
    return "; ".join([told, *log.finer_times])
