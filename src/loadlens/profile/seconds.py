"""The seconds of a profile, of several groups of keys at once: counts between two times, and active calls."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.profile.clock import FINE_S
from loadlens.profile.profile import Profile

__all__ = ["NEVER", "Floats", "Groups", "Ints", "Seconds", "active_sums", "mean_active"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST_CELLS_A_PAIR: Final = 16
NEVER: Final = -(2**62)
"""The last start of keys of which no call tells one."""


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Groups of a profile's keys, and from when to when each has calls.

    Attributes:
        of_code: the group of each code, from 0.
        first: the first start of each group, in s; NaN where no call tells.
        last: the last end.
        resolution_s: that of the clock: a time lies between what is told and so much more.
    """

    of_code: Ints
    first: Floats
    last: Floats
    resolution_s: float

    @classmethod
    def of(cls, profile: Profile, code: Ints, group: Ints) -> "Groups":
        """Those of a profile, by the group of each code."""
        of_code = np.zeros(int(code.max(initial=0)) + 1, dtype=np.int64)
        of_code[code] = group
        size = int(group.max(initial=-1)) + 1
        own = of_code[profile.figures["code"].to_numpy()]
        first, last = np.full(size, np.nan), np.full(size, np.nan)
        np.fmin.at(first, own, _floats(profile.figures["first_start"]))
        np.fmax.at(last, own, _floats(profile.figures["last_end"]))
        coarse = profile.resolution_s if profile.resolution_s > FINE_S else 0.0
        return cls(of_code=of_code, first=first, last=last, resolution_s=coarse)

    def __len__(self) -> int:
        return len(self.first)


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).to_numpy()  # null becomes NaN


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """What happened in each second, by group.

    Attributes:
        place: group and second of each that has calls, as one ascending number.
        sums: calls (by their ends) and completions up to each, it included, over all groups.
        active: the calls that are active from the next second on, up to the next that has calls.
        active_before: those summed up over all seconds up to this one.
        last_start: of each group the last second in which a call started; ``NEVER`` where none tells.
        tells_active: whether as many calls started as ended, in each group.
        first: the first second of all.
        span: how many numbers a group takes.
    """

    place: Ints
    sums: dict[str, Ints]
    active: Ints
    active_before: Ints
    last_start: Ints
    tells_active: bool
    first: int
    span: int

    @classmethod
    def of(cls, profile: Profile, groups: Groups) -> "Seconds | None":
        """Those of a profile; None where it has none, as that of saved ones."""
        seconds = profile.seconds
        if seconds.is_empty():
            return None
        first = int(seconds["second"].min())  # type: ignore[arg-type]
        span = int(seconds["second"].max()) - first + 3  # type: ignore[arg-type]
        pairs = groups.of_code[seconds["code"].to_numpy()] * span
        pairs += seconds["second"].to_numpy() - first
        place, number = _places(pairs, len(groups) * span)
        active = _summed(seconds["starts"].to_numpy(), number, len(place))
        last_start = _last_starts(place[active > 0], span, len(groups))
        sums = {name: _summed(seconds[name].to_numpy(), number, len(place)) for name in _SUMS}
        for counts in (active, *sums.values()):  # in place: a long run of many keys has millions
            np.cumsum(counts, out=counts)
        active -= sums["calls"]
        steps = np.zeros(len(place), dtype=np.int64)
        np.multiply(active[:-1], np.diff(place), out=steps[1:])
        ends_of_groups = np.searchsorted(place, np.arange(1, len(groups) + 1) * span) - 1
        return cls(
            place=place,
            sums=sums,
            active=active,
            active_before=np.cumsum(steps, out=steps),
            last_start=np.where(last_start == NEVER, NEVER, last_start + first),
            tells_active=not active[ends_of_groups].any(),
            first=first,
            span=span,
        )

    def _place(self, group: Ints, second: Ints) -> Ints:
        return group * self.span + np.clip(second - self.first, 0, self.span - 1)

    def first_from(self, group: Ints, second: Ints) -> Ints:
        """The number of the first place of a group from a second on; of the next group where it has none."""
        return np.searchsorted(self.place, self._place(group, second), side="left")

    def before(self, name: str, group: Ints, second: Ints) -> Ints:
        """Counts of all seconds before one; differences of one group mean something, no more."""
        at = self.first_from(group, second) - 1
        return np.where(at >= 0, self.sums[name][at], 0)

    def active_up_to(self, group: Ints, second: Ints) -> Ints:
        """Active calls at each second summed up to one, it included; again differences mean something.

        Active at a second are the calls that started before it and have not ended before it.
        """
        at = self.first_from(group, second) - 1
        since = self._place(group, second) - self.place[at]
        return np.where(at >= 0, self.active_before[at] + self.active[at] * since, 0)

    def active_at(self, group: Ints, second: Ints) -> Ints:
        """Active calls at some seconds, exactly."""
        return self.active_up_to(group, second) - self.active_up_to(group, second - 1)


_SUMS: Final = ("calls", "completions")


def _summed(counts: Ints, number: Ints, size: int) -> Ints:
    """Counts summed up by number, below ``size``."""
    if len(counts) > size:
        return np.bincount(number, counts, size).astype(np.int64)
    found = np.empty(size, dtype=np.int64)  # each number occurs once
    found[number] = counts
    return found


def _last_starts(started: Ints, span: int, num_groups: int) -> Ints:
    """The last second of each group among places that ascend; ``NEVER`` for a group that has none."""
    last = np.searchsorted(started, np.arange(1, num_groups + 1) * span) - 1
    found = np.append(started, NEVER)[last]  # -1, of none, is the last one
    return np.where(found // span == np.arange(num_groups), found % span, NEVER)


def _places(pairs: Ints, most: int) -> tuple[Ints, Ints]:
    """Numbers below one, each once and ascending; and the place of each among them."""
    if most > _MOST_CELLS_A_PAIR * len(pairs):
        place, number = np.unique(pairs, return_inverse=True)
        return place, number
    is_used = np.zeros(most, dtype=np.bool_)  # marking them takes a tenth of what sorting takes
    is_used[pairs] = True
    return np.flatnonzero(is_used), (np.cumsum(is_used, dtype=np.int64) - 1)[pairs]


def mean_active(seconds: Seconds, groups: Groups, group: Ints, begin: Ints, end: Ints) -> Floats:
    """Active calls between two seconds: the mean of their values at seconds, both ends weigh a half.

    Seconds before the first start of a group or after its last end do not count. NaN where none is left.
    """
    total, weight = active_sums(seconds, groups, group, begin, end)
    found = np.full(len(group), np.nan)
    np.divide(total, weight, out=found, where=weight > 0)
    return found


def active_sums(
    seconds: Seconds, groups: Groups, group: Ints, begin: Ints, end: Ints
) -> tuple[Floats, Floats]:
    """What ``mean_active`` divides: active calls summed up over seconds, and how many seconds these are."""
    low = np.floor(groups.first) + 1
    high = np.ceil(groups.last + groups.resolution_s) - 1
    edges = (end, end - 1, begin, begin - 1)
    inside = [np.clip(edge, (low - 1)[group], high[group]) for edge in edges]
    sums = [seconds.active_up_to(group, edge) for edge in edges]
    weight: Floats = (inside[0] + inside[1] - inside[2] - inside[3]) / 2
    total: Floats = (sums[0] + sums[1] - sums[2] - sums[3]) / 2
    return total, weight
