"""Calls that a log holds more than once: counted over all rows, in bounded memory."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loadlens.sources.wording import counted

__all__ = ["Repeats"]

_MOST_KEPT: Final = 2**18
_BITS: Final = 64


def _no_hashes() -> NDArray[np.uint64]:
    return np.empty(0, np.uint64)


def _no_counts() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(kw_only=True)
class Repeats:
    """How many calls are there again, by what tells each from all others.

    Up to 262,144 different calls are counted one by one. Of more, those are whose hash lies below a limit,
    which is halved as often as they are too many: a call and its repeats are kept or left out together, so
    that the count is off only by chance. It does not depend on the order of calls, nor on how they were
    divided.

    Attributes:
        hashes: of the different calls that are kept, ascending.
        counts: how often each of them is there.
        halvings: how often the limit was halved.
    """

    hashes: NDArray[np.uint64] = field(default_factory=_no_hashes)
    counts: NDArray[np.int64] = field(default_factory=_no_counts)
    halvings: int = 0

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Adds calls by their hashes."""
        self._add(hashes, np.ones(len(hashes), np.int64))

    def merge(self, other: "Repeats") -> None:
        """Adds the calls of another part of the log."""
        self.halvings = max(self.halvings, other.halvings)
        self._add(other.hashes, other.counts)

    @property
    def count(self) -> int:
        """How many calls have been there before."""
        return int((self.counts - 1).sum()) << self.halvings

    def shared_with(self, other: "Repeats") -> int:
        """How many different calls are there in both."""
        halvings = max(self.halvings, other.halvings)
        shared = np.intersect1d(self.hashes, other.hashes, assume_unique=True)
        return int(np.count_nonzero(_is_kept(shared, halvings))) << halvings

    def __str__(self) -> str:
        return f"{'about ' if self.halvings else ''}{counted(self.count, 'call')} more than once"

    def _add(self, hashes: NDArray[Any], counts: NDArray[Any]) -> None:
        self.hashes, place = np.unique(np.concatenate([self.hashes, hashes]), return_inverse=True)
        every = np.concatenate([self.counts, counts])
        self.counts = np.bincount(place, weights=every, minlength=len(self.hashes)).astype(np.int64)
        self._keep()
        while len(self.hashes) > _MOST_KEPT:
            self.halvings += 1
            self._keep()

    def _keep(self) -> None:
        """Keeps what lies below the limit."""
        is_kept = _is_kept(self.hashes, self.halvings)
        self.hashes, self.counts = self.hashes[is_kept], self.counts[is_kept]


def _is_kept(hashes: NDArray[np.uint64], halvings: int) -> NDArray[np.bool_]:
    return hashes >> np.uint64(_BITS - halvings) == 0 if halvings else np.ones(len(hashes), np.bool_)
