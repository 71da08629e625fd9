"""What a log is: its format, columns, units, clock, time span, first rows and warnings."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from loadlens.engine import on_good_rows
from loadlens.engine.binding import TallyFullError
from loadlens.engine.readout import profile_of
from loadlens.engine.scan import run_batches
from loadlens.engine.tally import Layers, Tallies
from loadlens.errors import InputError, LoadlensError
from loadlens.logs import Findings, Log, Reading, open_log, reading
from loadlens.logs.findings import MaxRejects
from loadlens.logs.guessing import guess_map
from loadlens.logs.labels import many_labels
from loadlens.logs.samples import sample_of
from loadlens.messages import counted
from loadlens.profile import Plan, Profile, success_of
from loadlens.profile.clock import UnitWatch
from loadlens.profile.plan import Rows
from loadlens.profile.profile_views import row_warnings
from loadlens.profile.progress import Limits
from loadlens.schema import CANONICAL_COLUMNS
from loadlens.storage.location import PathSource
from loadlens.storage.secrets import shown

__all__ = ["Inspection", "Proposal", "inspect_log", "propose_map"]

_FIRST_ROWS = 5
_TITLES = {
    "parquet": "Parquet",
    "arrow": "Arrow IPC",
    "delta": "Delta table",
    "iceberg": "Iceberg table",
}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found out about a log.

    Attributes:
        path: what was looked at.
        format: the name of its format, and what people call it.
        clock: ``epoch``, ``relative`` or ``monotonic``; empty where the format does not tell.
        meaning: columns of the file and what they are, with unit.
        columns: canonical columns, their types and units.
        key: the columns that naturally tell its rows apart.
        rows: how many rows there are.
        first_s: the first start or end in s, on the log's clock; None without times.
        last_s: the last one.
        first: the first canonical rows.
        findings: what was rejected or left out, and what the log cannot tell.
        sources: of a saved profile, the logs that it was made of and what they were.
    """

    path: str
    format: tuple[str, str]
    clock: str
    meaning: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str, str], ...]
    key: tuple[str, ...]
    rows: int
    first_s: float | None
    last_s: float | None
    first: pl.DataFrame
    findings: Findings
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "file": self.path,
            "format": self.format[0],
            "title": self.format[1],
            "clock": self.clock,
            "source_columns": dict(self.meaning),
            "columns": [dict(zip(("name", "type", "unit"), column, strict=True)) for column in self.columns],
            "key": list(self.key),
            "rows": self.rows,
            "first_s": self.first_s,
            "last_s": self.last_s,
            "first_rows": [
                {name: _plain(cell) for name, cell in row.items()} for row in self.first.iter_rows(named=True)
            ],
            **({"sources": dict(self.sources)} if self.sources else {}),
            **self.findings.document(),
        }


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A map of columns that may fit a table of no known format.

    Attributes:
        path: what was looked at.
        title: what kind of table it is.
        columns: its columns, each with its first value.
        entries: the map, such as ``latency=elapsed:ms``.
        no_header: whether the table seems to have no header.
        doubts: what may be wrong with the map, one sentence each.
        outcome: what reading all of the table by the map gives.
    """

    path: str
    title: str
    columns: tuple[tuple[str, str], ...]
    entries: tuple[str, ...]
    no_header: bool
    doubts: tuple[str, ...]
    outcome: str

    @property
    def command(self) -> str:
        """A command line that analyses the table by the map."""
        mapped = [part for entry in self.entries for part in ("--map", entry)]
        header = ["--no-header"] if self.no_header else []
        return shlex.join(["loadlens", "analyze", self.path, "--out", "report", *mapped, *header])

    @property
    def document(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "file": self.path,
            "format": None,
            "title": self.title,
            "source_columns": dict(self.columns),
            "map": list(self.entries),
            "no_header": self.no_header,
            "doubts": list(self.doubts),
            "outcome": self.outcome,
            "command": self.command,
        }


def propose_map(path: PathSource, options: Reading | None = None) -> Proposal | None:
    """Guesses a map of the columns of a table of no known format, and reads the table by it.

    Args:
        path: the table: CSV, NDJSON, Parquet or Arrow IPC.
        options: how it is read.

    Returns:
        The map; None for a file that is known, or that no map is found for.
    """
    options = options or Reading()
    try:
        sample = None if options.column_map or options.format else sample_of(path, options)
        guess = guess_map(sample) if sample else None
        if sample is None or guess is None:
            return None
        outcome = _outcome(path, replace(options, column_map=guess.column_map))
    except LoadlensError:
        return None
    return Proposal(
        path=shown(path),
        title=_TITLES.get(sample.title, sample.title),
        columns=tuple((column.name, next(iter(column.texts), "")) for column in sample.columns),
        entries=guess.entries,
        no_header=guess.no_header,
        doubts=guess.doubts,
        outcome=outcome,
    )


def _outcome(path: PathSource, options: Reading) -> str:
    try:
        read = inspect_log(path, replace(options, max_rejects=MaxRejects(share=1.0)))
    except InputError as error:
        return error.problems[0]
    rejected = read.findings.rejected
    first = f": {read.findings.first[0]}" if rejected else ""
    rows = "1 row" if read.rows == 1 else f"{read.rows:,} rows"
    return f"{rows} read, {rejected:,} rejected{first}"


def inspect_log(
    path: PathSource, options: Reading | None = None, *, memory_limit: int | None = None
) -> Inspection:
    """Looks at a log: at its first rows, then once at all of it.

    Args:
        path: the log.
        options: how it is read; rejected rows are counted here, so allow them all.
        memory_limit: bytes that the row groups which are read at once have to fit into half of.

    Raises:
        InputError: it is no log that can be read, or no row of it can.
    """
    log = open_log(path, reading=options)
    limits = Limits.of(memory_limit)
    limits.refuse_huge_row_groups(log.files)
    if log.unsaved:
        raise InputError(f"{log.name}: are saved profiles and logs; inspect them one at a time")
    if log.saved:
        return _of_profile(shown(path), log)
    first, of_labels, profile = on_good_rows(log, partial(_looked_at, limits=limits))
    rows, first_s, last_s = of_labels.select(
        pl.col("rows").sum(), pl.col("first").min(), pl.col("last").max()
    ).row(0)
    too_many = many_labels(of_labels["label"].cast(pl.String), rows)
    log.findings.of_rows = (*row_warnings(profile, log), *((too_many,) if too_many else ()))
    log.findings.units = profile.units.sentence(profile.resolution_s)
    return Inspection(
        path=shown(path),
        format=_format(log),
        clock=log.text[0].dialect.clock if log.text else "",
        meaning=tuple(log.text[0].reader.meaning) if log.text else (),
        columns=_columns(log),
        key=log.key,
        rows=rows,
        first_s=first_s,
        last_s=last_s,
        first=first,
        findings=log.findings,
    )


def _looked_at(log: Log, limits: Limits) -> tuple[pl.DataFrame, pl.DataFrame, Profile]:
    """The first rows of a log, how many rows each label has and from when to when, and the profile of all."""
    key = ("label",) if "label" in log.key else ()
    rows = Rows.of(log, Plan(key=key, success=success_of(log.columns)))
    layers = Layers.of(replace(rows, plan=replace(rows.plan, key=())), (), timeline=False)
    tallies, units = Tallies(layers, most_bytes=limits.tally_bytes), UnitWatch(log.logged_times)
    label = pl.col("key:label") if key else pl.lit(None, dtype=pl.String)
    frame = rows.frame.select(pl.exclude("key:label"), label.alias("label"))
    times = ["start_time", "end_time"]
    names = layers.frame.collect_schema().names()
    found: list[pl.DataFrame] = []

    def look(batch: pl.DataFrame) -> pl.DataFrame:
        tallies.add(batch.select(names))
        units.add(batch)
        return batch.select("label", *times)

    def run(query: pl.LazyFrame) -> None:
        first, last = pl.min_horizontal(times).min(), pl.max_horizontal(times).max()
        of_labels = query.group_by("label").agg(
            pl.len().alias("rows"), first.alias("first"), last.alias("last")
        )
        found.append(of_labels.collect(engine="streaming"))

    with reading(log):
        head = log.frame.head(_FIRST_ROWS).collect(engine="streaming")
        schema = frame.collect_schema()
        passed = {name: schema[name] for name in ("label", *times)}
        try:
            run_batches(frame, look, passed, run, expected=(TallyFullError,))
        except TallyFullError as error:
            raise InputError(
                f"{log.name}: its calls are spread over more seconds than the memory limit of "
                f"{limits.memory / 2**20:,.0f} MiB holds; raise it"
            ) from error
    profiles = [profile_of(tally, layers.run, (), units.counts) for tally in tallies.merged(None)]
    return head, found[0], Profile.merge_all(profiles)


def _of_profile(path: str, log: Log) -> Inspection:
    facts = [profile.facts for profile in log.saved]
    times = {name: [part[name] for part in facts if part[name] is not None] for name in ("first_s", "last_s")}
    return Inspection(
        path=path,
        format=("profile", f"saved profile, format {facts[0]['format']}"),
        clock="",
        meaning=(),
        columns=_columns(log),
        key=log.key,
        rows=sum(profile.rows for profile in log.saved),
        first_s=min(times["first_s"], default=None),
        last_s=max(times["last_s"], default=None),
        first=pl.DataFrame(),
        findings=log.findings,
        sources=tuple(
            (str(source["file"]), _described(source)) for part in facts for source in part["sources"]
        ),
    )


def _described(source: Mapping[str, Any]) -> str:
    """The format and size of a log behind a profile; a table in memory has no size."""
    size = source["bytes"]
    return str(source["format"]) + ("" if size is None else f", {counted(size, 'byte')}")


def _columns(log: Log) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (name, str(dtype), CANONICAL_COLUMNS[name].unit if name in CANONICAL_COLUMNS else "")
        for name, dtype in log.frame.collect_schema().items()
    )


def _plain(cell: object) -> object:
    """A cell as JSON can hold it."""
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else str(cell)
    return cell if cell is None or isinstance(cell, str | int) else str(cell)


def _format(log: Log) -> tuple[str, str]:
    if log.text:
        return log.text[0].dialect.name, log.text[0].dialect.title
    kind = log.files[0].kind if log.files else "frame"
    return kind, _TITLES.get(kind, kind)
