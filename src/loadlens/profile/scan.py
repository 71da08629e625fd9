"""From a log to its profile: one scan into tables where the keys allow it, else group-bys.

Tables need Numba. Where it cannot be imported, group-bys count every log, with the same result.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from loadlens.compiled import can_compile
from loadlens.profile.keys import find_key_codec
from loadlens.profile.limits import Limits
from loadlens.profile.passes import TooSparseError, UnusableRowsError, profile_rows
from loadlens.profile.plan import Engine, Plan, runs_here
from loadlens.profile.profile import Profile
from loadlens.profile.progress import Tracker
from loadlens.profile.rows import Look, Rows
from loadlens.profile.spill import spill_file, write_spill
from loadlens.profile.steps import CodedRows, local_look
from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, LATENCY
from loadlens.sources.log import Log

if TYPE_CHECKING:
    from loadlens.profile.brackets import Brackets
    from loadlens.profile.counter import Counter
    from loadlens.profile.tail import Tail

__all__ = [
    "FEWEST_ROWS_FOR_TABLES",
    "Counted",
    "Scan",
    "by_batches",
    "counted",
    "needed_names",
    "parsed",
    "worth_tables",
]

FEWEST_ROWS_FOR_TABLES = 4_000_000
"""Loading the compiled loops takes longer than they save on fewer rows."""

_SPILLED = {"code": pl.UInt32(), "success": pl.Boolean(), LATENCY: pl.Float64()}
"""What further looks ask for, but for times, of which tails are held back. Bytes written cost the most."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A log that has been counted, and that further scans may read.

    Attributes:
        profile: its profile.
        look: looks at the log again.
        tail: the rows that may lie above the fence, where they were held back.
        brackets: the rows that may have a wanted rank, likewise.
        spilled_bytes: size of the temporary file that a text log went through, else 0.
    """

    profile: Profile
    look: Look
    tail: "Tail | None" = None
    brackets: "Brackets | None" = None
    spilled_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Scan:
    """How logs are scanned.

    Attributes:
        plan: what to measure.
        limits: sizes of steps.
        with_heat: whether latencies are counted over time.
        spill_folder: where the temporary file of a text log goes; by default the system's place.
        engine: what runs the queries.
        tracker: is told of the rows.
        num_rows: about how many rows there are in all, where the log is a part of another; else None.
        most_held: how many rows may be held back while it is counted; None for what fits.
    """

    plan: Plan
    limits: Limits
    with_heat: bool
    spill_folder: str | PathLike[str] | None
    engine: Engine
    tracker: Tracker
    num_rows: int | None = None
    most_held: int | None = None

    @property
    def is_of_part(self) -> bool:
        """Whether the log is a part of another: then nobody looks at its rows again from here."""
        return self.num_rows is not None


@contextmanager
def counted(log: Log, scan: Scan) -> Iterator[Counted]:
    """Counts a log; large text goes into a temporary file at that, for as long as the context lasts.

    Raises:
        UnusableRowsError: some row breaks a rule.
    """
    if _is_small_text(log, scan.limits):
        log = _in_memory(log, scan)
    by_tables = worth_tables(log, scan)
    if scan.is_of_part and by_tables:
        if found := _by_tables(log, scan, None):
            yield found
            return
        by_tables = False  # they would be in vain again
    with spill_file(scan.spill_folder if log.text else None, wanted=bool(log.text)) as path:
        yield (by_tables and _by_tables(log, scan, path)) or _by_groups(log, scan, path)


@contextmanager
def parsed(log: Log, scan: Scan) -> Iterator[Log]:
    """The log as several looks may read it: its text is parsed once, for as long as the context lasts.

    Of a log with text only the columns that ``scan.plan`` needs are there.
    """
    if _is_small_text(log, scan.limits):
        yield _in_memory(log, scan)
        return
    with spill_file(scan.spill_folder if log.text else None, wanted=bool(log.text)) as path:
        yield _spilled(log, scan, path) if path else log


def _is_small_text(log: Log, limits: Limits) -> bool:
    size = sum(file.head.text_bytes for file in log.text)
    return bool(log.text) and len(log.text) == len(log.files) and size <= limits.text_bytes


def _in_memory(log: Log, scan: Scan) -> Log:
    frame = _parsing(log, scan).collect(engine=scan.engine).lazy()
    return _over_parsed(log, scan, frame)


def _spilled(log: Log, scan: Scan, path: Path) -> Log:
    write_spill(_parsing(log, scan), path, scan.engine)
    return _over_parsed(log, scan, pl.scan_parquet(path, glob=False))


def _parsing(log: Log, scan: Scan) -> pl.LazyFrame:
    scan.tracker.stage("Parsing text")
    return scan.tracker.watch(log.frame.select(needed_names(log, scan.plan)))


def _over_parsed(log: Log, scan: Scan, frame: pl.LazyFrame) -> Log:
    return replace(log, frame=frame, columns=tuple(needed_names(log, scan.plan)), text=())


def worth_tables(log: Log, scan: Scan) -> bool:
    """Whether compiled loops count a log, and sooner than group-bys."""
    num_rows = sum(file.rows for file in log.files) if log.files else log.num_rows
    num_rows = num_rows if scan.num_rows is None else scan.num_rows
    is_large = num_rows is None or num_rows >= FEWEST_ROWS_FOR_TABLES
    return is_large and runs_here(scan.engine) and can_compile()


def _by_tables(log: Log, scan: Scan, path: Path | None) -> Counted | None:
    """One scan, unless the log has too many keys or cells."""
    from loadlens.profile.coding import KeyCoder
    from loadlens.profile.counter import Counter, held_keys_by_table, with_code

    coder = KeyCoder.of(log.frame, scan.plan.key)
    rows = Rows.uncoded(log, scan.plan)
    most = scan.limits.candidates if scan.most_held is None else scan.most_held
    counter = Counter(
        rows, coder, most_bytes=scan.limits.table_bytes, most_tail_rows=most, with_heat=scan.with_heat
    )
    scan.tracker.stage("Parsing text" if path else "Counting latencies")
    if not _count(counter, rows, scan, path):
        return None
    if scan.is_of_part:
        counter.narrow()
    if path:
        latencies = pl.scan_parquet(path, glob=False).with_columns(pl.col("code").cast(pl.Int64))
        held_keys = partial(held_keys_by_table, latencies, coder=None)
    else:
        latencies = with_code(rows.latencies, coder)
        held_keys = partial(held_keys_by_table, rows.latencies, coder=coder)
    rows = rows.over(with_code(rows.frame, coder), latencies)
    return Counted(
        profile=counter.profile(),
        look=local_look(CodedRows(rows=rows, held_keys=held_keys), scan.engine),
        tail=counter.tail,
        brackets=counter.brackets,
        spilled_bytes=path.stat().st_size if path else 0,
    )


def _count(counter: "Counter", rows: Rows, scan: Scan, path: Path | None) -> bool:
    """Counts all rows, into the file at ``path`` if there is one; false where tables cannot."""
    schema = _SPILLED if path else {"code": pl.UInt32()}
    nothing = pl.DataFrame(schema=schema)

    def count(batch: pl.DataFrame) -> pl.DataFrame:
        code = counter.add(batch)
        if not path:
            return nothing
        return batch.select(pl.Series("code", code, dtype=pl.UInt32), "success", LATENCY)

    def run(frame: pl.LazyFrame) -> None:
        if path:
            write_spill(frame, path, scan.engine)
        else:
            frame.collect(engine=scan.engine)

    return by_batches(scan.tracker.watch(rows.frame), count, schema, run)


def by_batches(
    frame: pl.LazyFrame,
    step: Callable[[pl.DataFrame], pl.DataFrame],
    schema: Mapping[str, pl.DataType],
    run: Callable[[pl.LazyFrame], object],
) -> bool:
    """Runs rows through a step that counts them, a batch at a time.

    Args:
        frame: the rows.
        step: counts a batch and returns what is handed on of it.
        schema: the columns that are handed on.
        run: runs the query.

    Returns:
        Whether the step could count them: false where it raised ``TooSparseError``.

    Raises:
        Exception: what the step raised otherwise, as it is and not as the reader wraps it.
    """
    raised: list[Exception] = []

    def watched(batch: pl.DataFrame) -> pl.DataFrame:
        try:
            return step(batch)
        except Exception as error:
            raised.append(error)
            raise

    try:
        run(frame.map_batches(watched, schema=schema, streamable=True))
    except (
        TooSparseError,
        UnusableRowsError,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
    ) as error:
        first = raised[0] if raised else error
        if isinstance(first, TooSparseError):
            return False
        raise first from error
    return True


def _by_groups(log: Log, scan: Scan, path: Path | None) -> Counted:
    """A scan for each count, for keys and cells in any number."""
    if path:
        log = _spilled(log, scan, path)
    codec = find_key_codec(log, scan.plan.key, scan.engine)
    rows = Rows.of(log, scan.plan, codec)
    profile = profile_rows(
        rows,
        codec,
        scan.engine,
        max_groups=scan.limits.groups,
        with_heat=scan.with_heat,
        tracker=scan.tracker,
    )
    spilled = path.stat().st_size if path else 0
    return Counted(
        profile=profile,
        look=local_look(CodedRows(rows=rows), scan.engine),
        spilled_bytes=spilled,
    )


def needed_names(log: Log, plan: Plan) -> list[str]:
    """The columns of a log that ``plan`` needs."""
    sizes = ["response_size"] if plan.response_sizes else []
    measures = (LATENCY, ERROR_CLASS, *ERROR_COLUMNS, "start_time", "end_time", *sizes)
    wanted = [*plan.key, *measures, *plan.success.meta.root_names()]
    return [name for name in dict.fromkeys(wanted) if name in log.columns]
