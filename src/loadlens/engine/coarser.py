"""Figures by fewer columns than rows are counted by, from the same scans."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from loadlens.engine.counting import Counted, Look, looked_at
from loadlens.engine.refine import Asked
from loadlens.engine.selections import Looked, Selections, Wanted
from loadlens.engine.tally import Layer
from loadlens.profile.merging import new_codes, numbered
from loadlens.profile.profile import Profile

__all__ = ["View"]

Ints = NDArray[np.int64]

_WIDTH = 1 << 20
"""More than there are buckets: line and bucket as one number."""


@dataclass(frozen=True, kw_only=True)
class _Coarser:
    """How the codes and cells of a profile by fewer columns come from those that rows are looked at by.

    Attributes:
        codes: for each code of the finer profile the one of the coarser.
        code: of each line of the finer profile's cells.
        success: likewise, whether it is that of the cell's successes.
        bucket: likewise.
    """

    codes: Ints
    code: Ints
    success: Ints
    bucket: Ints

    @classmethod
    def of(cls, fine: Profile, coarse: Profile) -> "_Coarser":
        """Between two profiles of the same calls."""
        names = [name for name in coarse.keys.columns if name != "code"]
        codes = new_codes(numbered([fine.keys.select("code", *names)]), coarse.keys).sort("code")
        code, success, bucket = (fine.buckets[name].to_numpy() for name in ("code", "success", "bucket"))
        return cls(
            codes=codes["new"].to_numpy(),
            code=code,
            success=success.astype(np.int64),
            bucket=bucket,
        )

    def wanted(self, wanted: Wanted) -> Wanted:
        """The same in terms of the finer profile, whose lines of one wanted cell share its number."""
        place = wanted.line * _WIDTH + wanted.bucket
        order = np.argsort(place)
        own = (2 * self.codes[self.code] + self.success) * _WIDTH + self.bucket
        found = np.minimum(np.searchsorted(place[order], own), max(len(place) - 1, 0))
        inside = place[order][found] == own if len(place) else np.zeros(len(own), dtype=np.bool_)
        return replace(
            wanted,
            cell=wanted.cell[order][found[inside]],
            line=(2 * self.code + self.success)[inside],
            bucket=self.bucket[inside],
            limits_ms=wanted.limits_ms[self.codes] if len(wanted.limits_ms) else wanted.limits_ms,
        )

    def looked(self, looked: Looked) -> Looked:
        """What was found, in terms of the coarser profile."""
        return replace(looked, code=self.codes[looked.code], above=looked.above.under(self.codes))


@dataclass(frozen=True, kw_only=True)
class View:
    """A log that has been counted, by some of the columns of its key or all of them.

    Attributes:
        profiles: what its rows came to, by these columns, of each layer.
        coarser: how they come from what was counted; nothing where the columns are the same.
        look: runs all rows through selections that are in the terms of what was counted.
    """

    profiles: dict[Layer, Profile]
    coarser: dict[Layer, _Coarser]
    look: Look

    @classmethod
    def of(cls, found: Counted, key: Sequence[str], *, with_further: bool) -> "View":
        """The view by ``key``; see ``Profile.by``."""
        fine = looked_at(found.profiles)
        if tuple(key) == found.profiles[None].key:
            return cls(profiles=fine, coarser={}, look=found.look)
        profiles = {layer: profile.by(key, with_further=with_further) for layer, profile in fine.items()}
        coarser = {layer: _Coarser.of(fine[layer], one) for layer, one in profiles.items()}
        return cls(profiles=profiles, coarser=coarser, look=found.look)

    def asked(self, layer: Layer, asked: Asked) -> Asked:
        """What a refinement of the view's profile asks for, in the terms of what was counted."""
        coarser = self.coarser.get(layer)
        if coarser is None:
            return asked
        return Asked(
            wanted=coarser.wanted(asked.wanted), take=lambda looked: asked.take(coarser.looked(looked))
        )

    def look_at(self, layer: Layer, selections: Selections) -> None:
        """Runs all rows through selections that are in the terms of the view's profile."""
        coarser = self.coarser.get(layer)
        if coarser is None:
            self.look([(layer, selections)])
            return
        own = Selections(coarser.wanted(selections.wanted))
        self.look([(layer, own)])
        selections.take(coarser.looked(own.looked()))
