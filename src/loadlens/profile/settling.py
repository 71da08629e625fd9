"""From when on a run is steady: its load at one level, and its latencies settled."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.phases import Phases, noise_of

__all__ = ["Settling"]

_FEWEST_WINDOWS: Final = 8
_TOLERANCE: Final = 0.1
_SIGMAS: Final = 3.0
_IN_A_ROW: Final = 3
_MIDDLE: Final = "p50_ms"


@dataclass(frozen=True, kw_only=True)
class Settling:
    """Where the ramp-up of a run ends, if it has one that can be told.

    Attributes:
        begin_s: from when on the run is steady, on the log's clock; None where nothing is to be left out.
        reason: why it begins there, or why nothing is left out.
    """

    begin_s: float | None = None
    reason: str

    def sentence(self, name: str, first_start_s: float | None) -> str:
        """What was left out of a log, and why."""
        if self.begin_s is None:
            return f"{name}: skip auto leaves nothing out: {self.reason}"
        after_s = self.begin_s - (first_start_s or 0.0)
        return f"{name}: skip auto leaves out the first {after_s:,.6g} s: {self.reason}"

    @classmethod
    def of(cls, windows: pl.DataFrame) -> "Settling":
        """By the windows of a run, as of ``loadlens.profile.timeline.timeline``.

        First the load has to reach its level; see ``Phases``. From the next window on, until it falls again,
        the median latency of the windows has to settle: at the first of three windows in a row within 10 % of
        the median of the second half, or within three times its noise, whatever is more. The second half must
        not change by 10 % itself.
        """
        if windows.height < _FEWEST_WINDOWS:
            return cls(reason=f"the run has {windows.height} windows of time, too few to tell a ramp-up")
        phases = Phases.of(windows)
        if phases.level is None:
            return cls(reason="its load stays at no level that could be told")
        steady = windows.filter(_is_steady(phases))
        begin, middle = (steady[name].to_numpy() for name in ("window_start_s", _MIDDLE))
        known = ~np.isnan(middle.astype(np.float64))
        place, reason = _settled(middle[known].astype(np.float64))
        if place is None:
            return cls(reason=reason)
        start_s = float(begin[known][place])
        if phases.ramp_end_s is None and place == 0:
            return cls(reason="its load and its latencies are steady from the start")
        level = (
            f"the load had reached its level of {phases.level:,.3g}"
            if phases.ramp_end_s
            else "the load was level"
        )
        return cls(begin_s=start_s, reason=f"from then on {level}, and {reason}")


def _is_steady(phases: Phases) -> pl.Expr:
    start = pl.col("window_start_s")
    parts = [pl.lit(value=True)]
    if phases.ramp_end_s is not None:
        parts.append(start > phases.ramp_end_s)  # the window in which the load got there is none yet
    if phases.cool_down_s is not None:
        parts.append(start + pl.col("window_s") <= phases.cool_down_s)
    return pl.all_horizontal(parts)


def _settled(middle: NDArray[np.float64]) -> tuple[int | None, str]:
    """The first of the medians from which on they are settled, and what they are; else why they are not."""
    late = middle[len(middle) // 2 :]
    if len(late) < _FEWEST_WINDOWS // 2:
        return None, "too few of its windows are at one level to tell whether latencies have settled"
    level = float(np.median(late))
    noise = noise_of(late)
    allowed = max(_TOLERANCE * level, _SIGMAS * noise)
    early_half, late_half = np.array_split(late, 2)
    change = abs(np.median(early_half) - np.median(late_half))
    if change > _TOLERANCE * level + 2 * _SIGMAS * noise / len(late) ** 0.5:
        return None, "its latencies do not settle: they still change in the second half"
    near = np.abs(middle - level) <= allowed
    runs = np.flatnonzero(np.convolve(near, np.ones(_IN_A_ROW), mode="valid") == _IN_A_ROW)
    if not len(runs) or runs[0] > len(middle) // 2:
        return None, "its latencies do not settle in the first half of the time at that level"
    return int(runs[0]), f"median latencies stay near {level:,.3g} ms"
