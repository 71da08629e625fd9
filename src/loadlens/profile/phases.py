"""The phases of a run: a ramp-up, steady load, and a cool-down, where its windows tell them clearly."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Phases", "noise_of"]

_TOLERANCE: Final = 0.15
_SIGMAS: Final = 3.0
_MEDIAN_OF_NORMAL: Final = 0.6745  # of the size of a normal variable, in standard deviations
_REACHED: Final = 0.95
_STEADY_SHARE: Final = 0.8
_FEWEST_STEADY: Final = 5
_FEWEST_WINDOWS: Final = 2
_LEAST_SHARE: Final = 0.03  # of the run: less is the first second or two of any run
_PLATEAU: Final = 0.75
_LOW_SHARE: Final = 0.5
_TREND: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Phases:
    """When the load was steady, in s on the log's clock; None where a run has no such phase, or not clearly.

    Attributes:
        ramp_end_s: when the load had risen to its level.
        cool_down_s: when it began to fall from it.
        level: that level: active calls, or calls per second where nothing tells these.
    """

    ramp_end_s: float | None = None
    cool_down_s: float | None = None
    level: float | None = None

    @classmethod
    def of(cls, windows: pl.DataFrame) -> "Phases":
        """The phases that windows of a run tell, by active calls or, without these, by calls per second.

        The level is the upper quartile of the windows'. The load is steady if four in five windows between
        the first and the last that reach 95 % of it are within 15 % of it, or three times their noise, and
        their halves differ by no more than 10 %. The noise is what neighbours differ by. A ramp or a
        cool-down takes two windows and 3 % of the run at least.

        Args:
            windows: ``window_start_s``, ``window_s``, ``active_calls``, ``calls``, ascending and without
                gaps, as of ``loadlens.profile.timeline.timeline``.
        """
        column = "calls" if 2 * windows["active_calls"].null_count() > windows.height else "active_calls"
        load = windows[column].cast(pl.Float64).fill_null(0.0).to_numpy()
        if len(load) < _FEWEST_STEADY:
            return cls()
        level = float(np.quantile(load, _PLATEAU))
        reached = np.flatnonzero(load >= _REACHED * level)
        first, last = int(reached[0]), int(reached[-1])
        between = load[first : last + 1]
        noise = noise_of(between)
        allowed = max(_TOLERANCE * level, _SIGMAS * noise)
        is_steady = np.abs(between - level) <= allowed
        if level <= 0 or len(between) < _FEWEST_STEADY or is_steady.mean() < _STEADY_SHARE:
            return cls()
        if _is_trend(between[is_steady], level, noise):
            return cls()
        width = float(windows["window_s"][0])
        fewest = max(_FEWEST_WINDOWS, _LEAST_SHARE * len(load))
        begin = windows["window_start_s"]
        is_low = load < level - allowed
        has_ramp = first >= fewest and is_low[:first].mean() >= _LOW_SHARE
        has_cool_down = len(load) - 1 - last >= fewest and is_low[last + 1 :].mean() >= _LOW_SHARE
        return cls(
            ramp_end_s=float(begin[first]) if has_ramp else None,
            cool_down_s=float(begin[last]) + width if has_cool_down else None,
            level=level / width if column == "calls" else level,
        )


def noise_of(values: NDArray[np.float64]) -> float:
    """The standard deviation of values but for their trend, from the median difference of neighbours."""
    if len(values) < 2:  # noqa: PLR2004  # a difference takes two
        return 0.0
    return float(np.median(np.abs(np.diff(values)))) / (_MEDIAN_OF_NORMAL * 2**0.5)


def _is_trend(load: NDArray[np.float64], level: float, noise: float) -> bool:
    """Whether the second half of some windows differs from the first by more than chance would have it."""
    early, late = np.array_split(load, 2)
    return bool(abs(late.mean() - early.mean()) > _TREND * level + 2 * _SIGMAS * noise / len(load) ** 0.5)
