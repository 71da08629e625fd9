"""Rows that workers held back while they counted partitions: as they travel, and all of them together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadlens.compiled import can_compile
from loadlens.profile.passes import TooSparseError
from loadlens.profile.places import NUM_PLACES, places_of_buckets
from loadlens.profile.plan import Plan
from loadlens.profile.profile import Profile
from loadlens.profile.scan import Counted

if TYPE_CHECKING:
    from loadlens.profile.brackets import Brackets
    from loadlens.profile.coding import KeyCoder
    from loadlens.profile.tail import Tail

__all__ = ["Gathering", "HeldBack"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class HeldBack:
    """What a worker held back of a partition, under the codes of its profile: arrays alone.

    Attributes:
        wanted: the places of which all rows are there, a row of bits for each code; None where the rows
            near wanted ranks were too many.
        near: these rows: code, latency in ms, success.
        keep_from: by code, the latency in ms from which on all successes are there; None where they were too
            many, or where there is no fence.
        tail: these successes: code, latency in ms, start and end in s, NaN where there is none.
    """

    wanted: NDArray[np.uint8] | None
    near: tuple[NDArray[np.uint64], Floats, Truths]
    keep_from: Floats | None
    tail: tuple[NDArray[np.uint64], Floats, Floats, Floats]

    @classmethod
    def of(cls, found: Counted) -> "HeldBack | None":
        """What was held back while a part of a log was counted; None if group-bys did."""
        brackets, tail = found.brackets, found.tail
        if brackets is None or tail is None:
            return None
        code, latency, success = brackets.rows()
        code_above, latency_above, start, end = tail.arrays()
        return cls(
            wanted=None if brackets.lost else np.packbits(brackets.wanted.reshape(-1, NUM_PLACES), axis=1),
            near=(_small(code), latency, success),
            keep_from=None if tail.lost else tail.keep_from,
            tail=(_small(code_above), latency_above, start, end),
        )


def _small(codes: Ints) -> NDArray[np.uint64]:
    return codes.astype(np.min_scalar_type(codes.max(initial=0)))


class Gathering:
    """Gathers what workers held back as it arrives; what too many rows or partitions lack is given up."""

    def __init__(self, plan: Plan, most_rows: int) -> None:
        self._plan = plan
        self._most_rows = most_rows
        self._coder: KeyCoder | None = None
        self._held: tuple[Brackets, Tail] | None = None
        self._lost = False

    def add(self, profile: Profile, held: HeldBack | None, counted: Sequence[Profile]) -> None:
        """Takes the rows of a partition.

        Args:
            profile: its profile.
            held: its rows.
            counted: profiles of all that has been counted so far, this one included.
        """
        if self._lost or profile.keys.is_empty():
            return
        if held is None or not can_compile():
            self._lose()
            return
        try:
            codes = self._codes(profile)
        except TooSparseError:
            self._lose()
            return
        own = profile.keys["code"].to_numpy()
        brackets, tail = self._room()
        if held.wanted is None:
            brackets.lose()
        elif not brackets.lost:
            wanted = np.unpackbits(held.wanted[own], axis=1).view(np.bool_)
            code, latency, success = held.near
            near = codes[code], latency.copy(), success.copy()
            brackets.share(codes[own], wanted, near, _Counts(counted, self._codes))
        if held.keep_from is None:
            tail.lose()
        else:
            tail.share(codes[own], held.keep_from[own])
            code, latency, start, end = held.tail
            tail.hold(codes[code], latency, start, end)

    def under(self, profile: Profile) -> "tuple[Brackets | None, Tail | None]":
        """The rows near wanted ranks and those of the tail, under the codes of the profile of all.

        Args:
            profile: has every key that was counted, under codes from 0.
        """
        if self._lost or self._held is None:
            return None, None
        codes = np.argsort(self._codes(profile))
        brackets, tail = self._room()
        brackets.recode(codes)
        tail.recode(codes)
        return brackets, tail

    def _lose(self) -> None:
        self._lost = True
        self._held = None

    def _room(self) -> "tuple[Brackets, Tail]":
        if self._held is None:
            # These modules need Numba, which a log that was counted by group-bys does without.
            from loadlens.profile.brackets import Brackets
            from loadlens.profile.tail import Tail

            most = self._most_rows
            self._held = Brackets(self._plan, most, narrow_at=most // 2), Tail(self._plan, most)
        for part in self._held:
            part.cover(len(self._coder) if self._coder else 0)
        return self._held

    def _codes(self, profile: Profile) -> Ints:
        """The code here of each code of a profile."""
        if self._coder is None:
            from loadlens.profile.coding import KeyCoder  # as above

            self._coder = KeyCoder(profile.keys.drop("code").schema)
        own = profile.keys["code"].to_numpy()
        codes = np.zeros(own.max() + 1, dtype=np.int64)
        codes[own] = self._coder.encode(profile.keys)
        return codes


class _Counts:
    """The counts by place of profiles of several parts of a log, looked up when they are asked for."""

    def __init__(self, profiles: Sequence[Profile], codes_of: Callable[[Profile], Ints]) -> None:
        self._profiles = profiles
        self._codes_of = codes_of

    @cached_property
    def _buckets(self) -> dict[tuple[object, ...], pl.DataFrame]:
        parts = [
            profile.buckets.select("success", "bucket", "count").with_columns(
                code=self._codes_of(profile)[profile.buckets["code"].to_numpy()]
            )
            for profile in self._profiles
            if not profile.keys.is_empty()
        ]
        return pl.concat(parts).partition_by("code", as_dict=True)

    def __call__(self, code: int) -> tuple[Ints, Ints]:
        """The calls of one code that have a latency, and the successes among them."""
        buckets = self._buckets[code,]
        places = places_of_buckets(buckets["bucket"].to_numpy())
        counts = np.where(places >= 0, buckets["count"].to_numpy(), 0)
        successes = np.where(buckets["success"].to_numpy(), counts, 0)
        calls, succeeded = (
            np.bincount(np.maximum(places, 0), weights=numbers, minlength=NUM_PLACES).astype(np.int64)
            for numbers in (counts, successes)
        )
        return calls, succeeded
