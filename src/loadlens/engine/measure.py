"""From rows to figures: one scan counts, one looks at what decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from loadlens.engine.binding import TallyFullError
from loadlens.engine.cells import CellTable
from loadlens.engine.figures import figures_of
from loadlens.engine.profile import Profile
from loadlens.engine.refine import Refinement
from loadlens.engine.scanning import Source, count
from loadlens.engine.tally import Columns
from loadlens.errors import InputError
from loadlens.profile.limits import Limits
from loadlens.profile.plan import Engine, Plan
from loadlens.profile.profile import key_names
from loadlens.profile.rows import Rows
from loadlens.sources.log import Log

__all__ = ["Measured", "measured"]

_MOST_PARTS = 4096


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Figures of a log.

    Attributes:
        table: one row for each key, ascending, as ``Statistics.table`` has them.
        profiles: the counts behind it, one for each part that the keys were counted in.
        scans: how often the rows were read.
    """

    table: pl.DataFrame
    profiles: Sequence[Profile]
    scans: int


def measured(
    log: Log,
    plan: Plan,
    *,
    limits: Limits,
    engine: Engine = "streaming",
    spill: Path | None = None,
    timeline: bool = False,
    parts: int = 1,
) -> Measured:
    """Measures a log exactly.

    Keys whose counts outgrow the memory limit are counted in parts, by their hash, each in scans of its own.

    Args:
        log: the log.
        plan: what to measure.
        limits: of memory.
        engine: what runs the queries.
        spill: a file to write what the second scan needs to, where reading the log again is dear.
        timeline: whether successes are counted over time as well.
        parts: in how many parts of the keys to begin with.

    Raises:
        InputError: the keys are too many even so.
    """
    columns = Columns.of(Rows.uncoded(log, plan), timeline=timeline)
    source = Source(columns=columns, engine=engine, spill=spill)
    while parts <= _MOST_PARTS:
        try:
            found = [_part(source, plan, limits, part, parts) for part in range(parts)]
        except TallyFullError:
            parts *= 4
            continue
        names = key_names(plan.key)
        table = pl.concat(part.table for part in found)
        return Measured(
            table=table.sort(names, nulls_last=True) if names and parts > 1 else table,
            profiles=[profile for part in found for profile in part.profiles],
            scans=sum(part.scans for part in found),
        )
    raise InputError(
        f"{log.name}: {', '.join(plan.key)} have too many different values to count within the memory limit; "
        f"group by fewer columns, or by ones with fewer values, or raise the memory limit"
    )


def _part(source: Source, plan: Plan, limits: Limits, part: int, parts: int) -> Measured:
    counted = count(source, most_bytes=limits.tally_bytes, part=part, parts=parts)
    profile = Profile.of(counted.tally, source.columns, plan.key)
    cells = CellTable(profile)
    refinement = Refinement(cells, counted.look, counted.make, most_rows=limits.candidates)
    figures = figures_of(profile, plan, cells, refinement)
    named = profile.keys.join(figures, on="code", how="left", maintain_order="left").drop("code")
    return Measured(table=named, profiles=[profile], scans=1 + refinement.looks)
