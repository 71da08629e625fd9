"""From a log to its profile: one scan into tables where the keys allow it, else group-bys.

Tables need Numba. Where it cannot be imported, group-bys count every log, with the same result.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from loadlens.profile.exact import held_keys as held_keys_by_join
from loadlens.profile.keys import find_key_codec
from loadlens.profile.limits import Limits
from loadlens.profile.passes import TooSparseError, UnusableRowsError, profile_rows
from loadlens.profile.plan import Engine, Plan
from loadlens.profile.profile import Profile, key_names
from loadlens.profile.progress import Tracker
from loadlens.profile.rows import Rows
from loadlens.profile.spill import spill_file, write_spill
from loadlens.schema import ERROR_CLASS, ERROR_COLUMNS, LATENCY
from loadlens.sources.log import Log

if TYPE_CHECKING:
    from loadlens.profile.brackets import Brackets
    from loadlens.profile.counter import Counter
    from loadlens.profile.tail import Tail

__all__ = ["FEWEST_ROWS_FOR_TABLES", "Counted", "Scan", "counted"]

FEWEST_ROWS_FOR_TABLES = 4_000_000
"""Loading the compiled loops takes longer than they save on fewer rows."""

_SPILLED = ("code", "success", LATENCY, "start_time", "end_time")


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A log that has been counted, and that further scans may read.

    Attributes:
        rows: the log.
        profile: its profile.
        tail: the rows that may lie above the fence, where they were held back.
        brackets: the rows that may have a wanted rank, likewise.
        held_keys: selects the latencies in numbered buckets.
        spilled_bytes: size of the temporary file that a text log went through, else 0.
    """

    rows: Rows
    profile: Profile
    held_keys: Callable[[pl.DataFrame], pl.LazyFrame]
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
    """

    plan: Plan
    limits: Limits
    with_heat: bool
    spill_folder: str | PathLike[str] | None
    engine: Engine
    tracker: Tracker


@contextmanager
def counted(log: Log, scan: Scan) -> Iterator[Counted]:
    """Counts a log; large text goes into a temporary file at that, for as long as the context lasts.

    Raises:
        UnusableRowsError: some row breaks a rule.
    """
    text = [file.size for file in log.files if file.kind == "text"]
    if text and sum(text) <= scan.limits.text_bytes and len(text) == len(log.files):
        scan.tracker.stage("Parsing text")
        needed = scan.tracker.watch(log.frame.select(_needed_columns(log, scan.plan)))
        log, text = replace(log, frame=needed.collect(engine=scan.engine).lazy()), []
    with spill_file(scan.spill_folder if text else None, wanted=bool(text)) as path:
        by_tables = _worth_tables(log) and _by_tables(log, scan, path)
        yield by_tables or _by_groups(log, scan, path)


def _worth_tables(log: Log) -> bool:
    num_rows = sum(file.rows for file in log.files) if log.files else log.num_rows
    return (num_rows is None or num_rows >= FEWEST_ROWS_FOR_TABLES) and _can_compile()


def _can_compile() -> bool:
    """Whether loops can be compiled here: Numba lags behind new releases of Python and NumPy."""
    try:
        from loadlens.profile import kernels  # noqa: F401
    except (ImportError, OSError):  # the latter where LLVM cannot be loaded
        return False
    return True


def _by_tables(log: Log, scan: Scan, path: Path | None) -> Counted | None:
    """One scan, unless the log has too many keys or cells."""
    from loadlens.profile.coding import KeyCoder
    from loadlens.profile.counter import Counter, held_keys_by_table, with_code

    plan, names = scan.plan, key_names(scan.plan.key)
    schema = log.frame.select(plan.key).collect_schema()
    coder = KeyCoder(dict(zip(names, schema.dtypes(), strict=True)))
    rows = Rows.uncoded(log, plan)
    most = scan.limits.candidates
    counter = Counter(
        rows, coder, most_bytes=scan.limits.table_bytes, most_tail_rows=most, with_heat=scan.with_heat
    )
    scan.tracker.stage("Parsing text" if path else "Counting latencies")
    if not _count(counter, rows, scan, path):
        return None
    if path:
        rows = rows.over(pl.scan_parquet(path, glob=False))
        held_keys = partial(held_keys_by_table, rows.latencies, coder=None)
    else:
        held_keys = partial(held_keys_by_table, rows.latencies, coder=coder)
        rows = rows.over(with_code(rows.frame, coder), with_code(rows.latencies, coder))
    return Counted(
        rows=rows,
        profile=counter.profile(),
        tail=counter.tail,
        brackets=counter.brackets,
        held_keys=held_keys,
        spilled_bytes=path.stat().st_size if path else 0,
    )


def _count(counter: "Counter", rows: Rows, scan: Scan, path: Path | None) -> bool:
    """Counts all rows, into the file at ``path`` if there is one; false where tables cannot."""
    steps = _Steps(counter, _SPILLED if path else ())
    watched = scan.tracker.watch(rows.frame)
    frame = watched.map_batches(steps.count, schema=steps.schema(rows), streamable=True)
    try:
        if path:
            write_spill(frame, path, scan.engine)
        else:
            frame.collect(engine=scan.engine)
    except (
        TooSparseError,
        UnusableRowsError,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
    ) as error:
        if isinstance(steps.raised, TooSparseError):
            return False
        raise steps.raised or error from error
    return True


class _Steps:
    """What the scan does with each batch.

    Attributes:
        raised: what ended the scan, as the reader wraps it.
    """

    raised: Exception | None = None

    def __init__(self, counter: "Counter", kept: Sequence[str]) -> None:
        self._counter = counter
        self._kept = kept
        self._nothing = pl.DataFrame(schema={"code": pl.Int64()})

    def schema(self, rows: Rows) -> dict[str, pl.DataType]:
        """The types of the columns that go on."""
        types = {**rows.frame.collect_schema(), "code": pl.Int64()}
        return {name: types[name] for name in self._kept or ("code",)}

    def count(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Counts a batch and hands on what is to be spilled of it."""
        try:
            code = self._counter.add(batch)
        except Exception as error:
            self.raised = self.raised or error
            raise
        return self._counter.with_code(batch, code).select(self._kept) if self._kept else self._nothing


def _by_groups(log: Log, scan: Scan, path: Path | None) -> Counted:
    """A scan for each count, for keys and cells in any number."""
    if path:
        scan.tracker.stage("Parsing text")
        needed = scan.tracker.watch(log.frame.select(_needed_columns(log, scan.plan)))
        write_spill(needed, path, scan.engine)
        log = replace(log, frame=pl.scan_parquet(path, glob=False))
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
        rows=rows,
        profile=profile,
        held_keys=partial(held_keys_by_join, rows.latencies),
        spilled_bytes=spilled,
    )


def _needed_columns(log: Log, plan: Plan) -> list[str]:
    sizes = ["response_size"] if plan.response_sizes else []
    measures = (LATENCY, ERROR_CLASS, *ERROR_COLUMNS, "start_time", "end_time", *sizes)
    wanted = [*plan.key, *measures, *plan.success.meta.root_names()]
    return [name for name in dict.fromkeys(wanted) if name in log.columns]
