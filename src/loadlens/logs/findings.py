"""What a scan of text finds beside its rows: rows set aside, rows left out, and what the log cannot tell."""

import csv
import io
import math
import os
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, Literal

import polars as pl

from loadlens.errors import InputError, UsageError
from loadlens.logs.calls import ALIKE, COUNTED_TWICE, REPEATED, Calls, overlaps, same_runs
from loadlens.logs.labels import JoinedNames
from loadlens.logs.outside import Outside
from loadlens.messages import Shown, counted, notes_last, passed_over_sentences
from loadlens.storage.folders import FREE_TEMPORARY_SPACE, refusing_full_disk
from loadlens.text.typed_rows import REJECT_SCHEMA, Parsed, reasons_of

__all__ = ["MOST_LISTED", "REJECTS_FILE", "Findings", "MaxRejects", "TooManyRejectsError", "disarmed"]

REJECTS_FILE: Final = "rejects.csv"

MOST_LISTED: Final = 1_000_000
"""How many rejected rows are written down."""

_MOST_LISTED_BYTES: Final = 128 * 2**20

_SHOWN = 5
_TOLD_BEYOND = 10_000
_MOST_REASONS = 1000
_OTHER_REASONS = "other reasons"
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")


class TooManyRejectsError(InputError):
    """More rows cannot be read or break a rule than the caller allows.

    Attributes:
        findings: has the rows.
    """

    def __init__(self, *problems: str, findings: "Findings") -> None:
        super().__init__(*problems)
        self.findings = findings


@dataclass(frozen=True, kw_only=True)
class MaxRejects:
    """How many rows may be rejected: a count, or a share of the rows read.

    Attributes:
        rows: the count.
        share: the share from 0 to 1, used in place of the count where it is given.
    """

    rows: int = 0
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> "MaxRejects":
        """Reads ``100`` or ``0.5%``.

        Raises:
            UsageError: the text is neither a count nor a percentage.
        """
        number, percent, rest = text.strip().partition("%")
        try:
            if percent and not rest and 0 <= float(number) <= 100:  # noqa: PLR2004  # per cent
                return cls(share=float(number) / 100)
            if not percent and int(number) >= 0:
                return cls(rows=int(number))
        except ValueError:
            pass
        raise UsageError(
            f"max-rejects: got {text!r}, expected a count such as 100 or a percentage such as 0.5%"
        )

    @property
    def most_told(self) -> float:
        """How many rejected rows are looked for, so that one run tells many of them; more end it early."""
        return self.rows + _TOLD_BEYOND if self.share is None else math.inf

    def allows(self, rejected: int, read: int) -> bool:
        """Whether ``rejected`` of ``read`` rows are few enough."""
        return rejected <= (self.rows if self.share is None else self.share * read)

    def __str__(self) -> str:
        return f"{self.rows:,}" if self.share is None else f"{self.share:.6%}".rstrip("0%").rstrip(".") + "%"


class _Spool:
    """Rejected rows as CSV in a temporary file, which goes with the last that holds this.

    Attributes:
        file: the first of them, as many as are kept.
        rows: how many these are.
    """

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(prefix="loadlens-")  # noqa: SIM115  # closed below
        self.rows = 0
        weakref.finalize(self, self.file.close)

    def __getstate__(self) -> tuple[bytes, int]:
        self.file.seek(0)
        return self.file.read(), self.rows

    def __setstate__(self, state: tuple[bytes, int]) -> None:
        self.__init__()  # type: ignore[misc]  # a file of its own, in whatever process this is
        self._write(*state)

    def add(self, rows: pl.DataFrame) -> None:
        """Takes rows, as many as there is room for."""
        kept = rows.head(self._room)
        if kept.height:
            text = io.BytesIO()
            kept.write_csv(text, include_header=False)
            self._write(text.getvalue(), kept.height)

    def take_over(self, other: "_Spool") -> None:
        """Takes the rows of another one, as many as there is room for."""
        other.file.seek(0)
        if other.rows <= self._room:
            self._write(other.file.read(), other.rows)
            return
        text = io.StringIO(newline="")
        rows = csv.reader(io.StringIO(other.file.read().decode(), newline=""))
        csv.writer(text, lineterminator="\n").writerows(islice(rows, self._room))
        self._write(text.getvalue().encode(), self._room)

    @property
    def _room(self) -> int:
        return MOST_LISTED - self.rows if self.file.tell() < _MOST_LISTED_BYTES else 0

    def _write(self, text: bytes, rows: int) -> None:
        with refusing_full_disk(f"rejected rows: {tempfile.gettempdir()}", FREE_TEMPORARY_SPACE):
            self.file.seek(0, os.SEEK_END)
            self.file.write(text)
        self.rows += rows


@dataclass(kw_only=True, repr=False)
class Findings(Shown):
    """Facts of the last whole scan of a log; rejected rows lie in a temporary file, not in memory.

    Attributes:
        rows: rows that were read, as far as they were looked at one by one.
        rejected: rows that could not be read or broke a rule.
        reasons: how many of them for each reason.
        left_out: rows left out on purpose, by what they are.
        facts: further counts, by what was counted.
        warnings: what the log cannot tell, one sentence each.
        passed_over: files that were not read on purpose: why, and their paths.
        brought: warnings that files have in their metadata, each with the path of the file.
        warned: what ``warnings`` say, and of which files.
        first: the first rejected rows, one sentence each.
        spool: the rejected rows, the first of them where they are very many.
        joined: names of requests that are URLs, and what they became.
        of_rows: what the counts of all rows show, one sentence each; it outlasts a scan.
        units: what is in another unit than it is read in, likewise, as one sentence.
        calls: what the calls of each text file come to.
        typed_calls: what those of files of typed columns come to that may be the same; it outlasts a scan.
        copies: which files have the same content, a clause for each, and the names of all but the first of
            them; it outlasts a scan.
        appended: which files hold the same rows several times, a clause for each; it outlasts a scan.
        earlier: rows that were rejected before, when the log was converted or profiled.
        aside: what was found in the log's typed tables, once their broken rows had to be set aside.
        is_cut_short: whether it was not read to its end, as far more rows are rejected than may be.
        outside: the rows outside the slice of the log that was asked for; None where it is the whole log. It
            outlasts a scan.
    """

    rows: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)
    passed_over: Mapping[str, Sequence[str]] = field(default_factory=dict)
    brought: tuple[tuple[str, str], ...] = ()
    warned: dict[str, list[str]] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    spool: _Spool | None = None
    joined: JoinedNames = field(default_factory=JoinedNames)
    of_rows: tuple[str, ...] = ()
    units: str = ""
    calls: list[Calls] = field(default_factory=list)
    typed_calls: dict[str, Calls] = field(default_factory=dict)
    copies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    appended: tuple[str, ...] = ()
    earlier: int = 0
    aside: "Findings | None" = None
    is_cut_short: bool = False
    outside: Outside | None = None

    @property
    def headline(self) -> str:
        """How many rows are not counted."""
        left_out = counted(sum(self.left_out.values()), "row")
        return f"{counted(self.rejected, 'row')} rejected, {left_out} left out"

    def __post_init__(self) -> None:
        for path, warning in self.brought:
            self.warn(warning, [path])

    def anew(self) -> "Findings":
        """What is known of the log before a scan of its text."""
        found = Findings(
            passed_over=self.passed_over,
            brought=self.brought,
            typed_calls=self.typed_calls,
            of_rows=self.of_rows,
            units=self.units,
            copies=self.copies,
            appended=self.appended,
            earlier=self.earlier,
            aside=self.aside,
            outside=self.outside,
        )
        if self.aside is not None:
            found.merge(self.aside)
        return found

    @property
    def unjudged(self) -> int:
        """Rows that no figure counts, as they were rejected now or before."""
        return self.rejected + self.earlier

    @property
    def unlisted(self) -> int:
        """Rejected rows that are not written down, as they are too many."""
        return self.rejected - (self.spool.rows if self.spool else 0)

    @property
    def listed(self) -> str:
        """What a file of the rejected rows has, in words."""
        if self.unlisted or self.is_cut_short:
            return f"{self.spool.rows if self.spool else 0:,} rejected rows"
        return "all rejected rows"

    def become(self, other: "Findings") -> None:
        """Takes over what another scan has found, in the place of all that was known."""
        for part in fields(self):
            setattr(self, part.name, getattr(other, part.name))

    def warn(self, warning: str, paths: Iterable[str]) -> None:
        """Adds what files cannot tell, as one sentence for all of them."""
        self.warned.setdefault(warning, []).extend(paths)
        self.warnings = [
            f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {warning}"
            for warning, paths in self.warned.items()
        ]

    def merge(self, other: "Findings") -> None:
        """Adds what a scan of other files of the same log has found."""
        self.rows += other.rows
        self.rejected += other.rejected
        self.earlier += other.earlier
        self.is_cut_short |= other.is_cut_short
        self.left_out.update(other.left_out)
        self.facts.update(other.facts)
        self.calls += other.calls
        self._add_reasons(other.reasons.items())
        for warning, paths in other.warned.items():
            self.warn(warning, paths)
        self.joined |= other.joined
        self.first += other.first[: _SHOWN - len(self.first)]
        if other.spool is not None:
            self.spool = self.spool or _Spool()
            self.spool.take_over(other.spool)

    def add(self, name: str, part: Parsed, joined: JoinedNames | None = None) -> None:
        """Adds what one part of the file of that name gave, and what names in it became."""
        self.rows += part.rows.height
        if joined is not None:
            self.joined |= joined
        self.left_out.update({what: count for what, count in part.left_out.items() if count})
        self.facts.update({what: count for what, count in part.facts.items() if count})
        if not part.rejects.is_empty():
            self.add_rejects(name, part.rejects, place="line")
        self.rejected += sum(part.unlisted.values())
        self._add_reasons(part.unlisted.items())

    def add_rejects(self, name: str, rejects: pl.DataFrame, *, place: Literal["line", "row"]) -> None:
        """Adds rejected rows, in the columns of ``REJECT_SCHEMA``, of what messages call ``name``."""
        self.rejected += rejects.height
        self._add_reasons(reasons_of(rejects).items())
        for line, column, reason in rejects.head(_SHOWN - len(self.first)).drop("raw").iter_rows():
            where = f", column {column}" if column else ""
            self.first.append(f"{name}, {place} {line}{where}: {reason}")
        self.spool = self.spool or _Spool()
        self.spool.add(rejects.select(pl.lit(name).alias("file"), *REJECT_SCHEMA))

    def _add_reasons(self, counts: Iterable[tuple[str, int]]) -> None:
        for name, count in counts:
            known = name in self.reasons or len(self.reasons) < _MOST_REASONS
            self.reasons[name if known else _OTHER_REASONS] += count

    def check(self, allowed: MaxRejects) -> None:
        """Refuses the log if too many of its rows were rejected, or all that there are.

        Raises:
            TooManyRejectsError: they are more than ``allowed``, or no row is left; it names the first.
        """
        read = self.rows + self.rejected
        if not self.rejected or (self.rows and allowed.allows(self.rejected, read)):
            return
        hint = ", or name the format with --format" if self.aside is None else ""
        begun = "the first " if self.is_cut_short else ""
        rest = ", and the rest was not read" if self.is_cut_short else ""
        total = (
            f"{self.rejected:,} of {begun}{counted(read, 'row')} rejected, allowed: {allowed}{rest}; mend "
            f"them, or allow more with --max-rejects (max_rejects=)"
            if self.rows
            else f"{_all_rows(read, begun)} rejected{rest or ': none is left'}; mend them{hint}"
        )
        raise TooManyRejectsError(*self.first, total, findings=self)

    def refuse_copies(self, *, by_file: bool) -> None:
        """Refuses files of which two hold the same calls, or one holds calls more than once.

        Args:
            by_file: whether calls are counted for each file apart, so that two may have the same ones.

        Raises:
            InputError: names them.
        """
        doubled = [f"{clause}, {REPEATED}" for clause in self._repeated()]
        if not by_file:
            doubled += [f"{clause}, {COUNTED_TWICE}" for clause in self._copies()]
        if doubled:
            raise InputError(*doubled)

    def _repeated(self) -> list[str]:
        """Which files hold calls more than once, as far as is known by now: a clause for each."""
        known = [calls.path for calls in self.calls if any(calls.path in clause for clause in self.appended)]
        again = (calls for calls in self.calls if calls.is_repeated and calls.path not in known)
        return [*self.appended, *(f"{calls.path} holds {calls.repeats} {ALIKE}" for calls in again)]

    def _copies(self) -> list[str]:
        """Which files hold the same calls, as far as is known by now: a clause for each."""
        told = {name for names in self.copies.values() for name in names}
        files = [calls for calls in (*self.calls, *self.typed_calls.values()) if calls.path not in told]
        pairs = same_runs(files)
        told |= {other.path for _, other in pairs}
        runs = [
            f"{one.path} and {other.path} are the same run ({counted(one.rows, 'call')} each, of one time "
            f"span and the same latencies)"
            for one, other in pairs
        ]
        return [*self.copies, *runs, *overlaps(calls for calls in files if calls.path not in told)]

    def sentences(self, empty_seconds: int = 0) -> list[str]:
        """What a reader has to know of the log, one sentence each.

        Args:
            empty_seconds: seconds between first and last completion that saw none.
        """
        found = [*(self.outside.sentences() if self.outside else ()), *self.warnings]
        if joined := self.joined.sentence():
            found.append(joined)
        found += [sentence for sentence in (self.units, *self.of_rows) if sentence]
        found += passed_over_sentences(self.passed_over)
        found += [f"{clause}: each is counted" for clause in (*self._repeated(), *self._copies())]
        if self.unlisted:
            listed = self.rejected - self.unlisted
            found.append(f"{self.rejected:,} rows are rejected, of which {listed:,} are listed")
        if empty_seconds:
            found.append(
                f"{counted(empty_seconds, 'second')} between the first and the last completion saw none: "
                f"the load paused, the system stalled, or rows are missing"
            )
        return notes_last(found)

    def document(self, empty_seconds: int = 0) -> dict[str, Any]:
        """What was set aside or left out, and what a reader has to know, as plain values."""
        return {
            "rejected": self.rejected,
            **({"rejects_not_listed": self.unlisted} if self.unlisted else {}),
            **({"rejected_earlier": self.earlier} if self.earlier else {}),
            "rejects_by_reason": dict(self.reasons.most_common()),
            "left_out": dict(self.left_out),
            **({"slice": self.outside.document} if self.outside else {}),
            "warnings": self.sentences(empty_seconds),
        }

    def write_rejects(self, path: Path, *, safe: bool = False) -> None:
        """Writes the rejected rows as CSV: file, line, column, reason, raw.

        Of very many rows it writes the first ones; a last line says how many more there are.

        Args:
            path: where to.
            safe: whether cells that a spreadsheet would take for formulas are disarmed.
        """
        with path.open("wb") as file:
            file.write((",".join(("file", *REJECT_SCHEMA)) + "\n").encode())
            if self.spool is None:
                return
            self.spool.file.seek(0)
            if safe:
                _copy_disarmed(self.spool.file, file)
            else:
                shutil.copyfileobj(self.spool.file, file)
            if self.unlisted:
                file.write(f',,,"and {counted(self.unlisted, "more rejected row")}",\n'.encode())


def _all_rows(count: int, begun: str) -> str:
    return (
        "the only row was"
        if count == 1
        else f"all of {begun}{count:,} rows"
        if begun
        else f"all {count:,} rows"
    )


def _copy_disarmed(source: IO[bytes], target: IO[bytes]) -> None:
    """Copies CSV, a quote before the first sign of cells that a spreadsheet takes for formulas."""
    texts = io.TextIOWrapper(source, encoding="utf-8", newline="")
    out = io.TextIOWrapper(target, encoding="utf-8", newline="")
    writer = csv.writer(out, lineterminator="\n")
    for row in csv.reader(texts):
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA_SIGNS) else cell for cell in row])
    out.flush()
    texts.detach()
    out.detach()


def disarmed(frame: pl.DataFrame) -> pl.DataFrame:
    """Text that begins with a sign of a formula, with a quote before it."""
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    return frame.with_columns(
        pl.when(pl.any_horizontal(pl.col(name).str.starts_with(sign) for sign in _FORMULA_SIGNS))
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in texts
    )
