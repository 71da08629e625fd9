"""From typed source columns to canonical rows: the good ones, and the bad ones with their reasons."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, NamedTuple, Self, TypeVar

import numpy as np
import polars as pl

from loadlens.messages import shortened
from loadlens.schema import CALENDAR_RULES, CANONICAL_COLUMNS, Rule, rules_for

__all__ = [
    "BLANK_LINES",
    "MAX_RAW_CHARACTERS",
    "PARSE_ERRORS",
    "REJECT_SCHEMA",
    "Fault",
    "Kinds",
    "Parsed",
    "Recipe",
    "Reject",
    "among",
    "as_logged",
    "begins_oddly",
    "bounded",
    "cast_cells",
    "invalid_cells",
    "joined",
    "reasons_of",
    "rejects_frame",
    "seconds",
    "spread",
]

# Polars loads NumPy where it first meets an array, and fails where two threads do so at once, as ours may.
pl.Series(np.empty(0))

MAX_RAW_CHARACTERS: Final = 500
"""How much of a rejected row's text is kept."""

BLANK_LINES: Final = "blank lines"
"""What blank lines are counted as, among the facts."""

_LARGEST_DIVIDED_AT_ONCE: Final = 10**6

PARSE_ERRORS: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What Polars raises on damaged text."""

_ODD_BEGINNINGS: Final = (b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda", b"(\xb5/\xfd", b"\xef\xbb\xbf")
"""Of gzip, zlib, zstd and a byte order mark."""

REJECT_SCHEMA: Final = pl.Schema(
    {"line": pl.Int64(), "column": pl.String(), "reason": pl.String(), "raw": pl.String()}
)

_LARGEST: Final = float(np.finfo(np.float64).max)
_LARGEST_WRITTEN_OUT: Final = 1e15

_Frame = TypeVar("_Frame", pl.DataFrame, pl.LazyFrame)

_NO_REJECTS: Final = pl.DataFrame(schema=REJECT_SCHEMA)

_NONE = -1


class Fault(NamedTuple):
    """What is wrong with one row."""

    column: str
    reason: str


class Reject(NamedTuple):
    """A row that is not counted: its line (from 1), the column at fault, why, and its text."""

    line: int
    column: str
    reason: str
    raw: str


def begins_oddly(data: bytes) -> bool:
    """Whether Polars takes text for compressed, such as a first row ``x^2,5``, or cuts its beginning off."""
    return data.startswith(_ODD_BEGINNINGS)


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """What the lines of a part of a log are.

    Attributes:
        names: what lines that are no rows are counted as.
        codes: for each line its index in ``names``; -1 for a row.
    """

    names: tuple[str, ...]
    codes: np.ndarray

    def between(self, start: int, stop: int) -> tuple[int, dict[str, int]]:
        """How many of these lines are rows, and how many of the others are what."""
        rows, *others = np.bincount(self.codes[start:stop] + 1, minlength=len(self.names) + 1).tolist()
        return rows, {name: count for name, count in zip(self.names, others, strict=True) if count}


def among(others: str, is_read: np.ndarray | pl.Series, kinds: Kinds | None) -> Kinds:
    """What lines are of which only some were read.

    Args:
        others: what the lines are that were not.
        is_read: for each line whether it was.
        kinds: what those are that were; None where each is a row.
    """
    codes = np.zeros(len(is_read), np.int16)
    codes[np.asarray(is_read)] = -1 if kinds is None else np.where(kinds.codes < 0, -1, kinds.codes + 1)
    return Kinds(names=(others, *(kinds.names if kinds else ())), codes=codes)


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What was read from one part of a log.

    Attributes:
        rows: the good rows, in canonical columns.
        rejects: the bad rows, in the columns of ``REJECT_SCHEMA``, by line.
        left_out: rows left out on purpose, by what they are.
        facts: further counts, by what was counted.
        spans: what tells which rows belong to others, a row for each of ``rows``; None where none may.
        unlisted: further bad rows, too many to hold: how many for each reason.
        identities: what tells each of ``rows`` from all others, hashed, UInt64, null where nothing does; None
            where nothing does for any.
        kinds: what each line is; None where that is not known, or each is one of ``rows``.
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame = field(default_factory=lambda: _NO_REJECTS)
    left_out: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, int] = field(default_factory=dict)
    spans: pl.DataFrame | None = None
    unlisted: Mapping[str, int] = field(default_factory=dict)
    identities: pl.Series | None = None
    kinds: Kinds | None = None

    @property
    def rejected(self) -> int:
        """How many bad rows there are."""
        return self.rejects.height + sum(self.unlisted.values())


def joined(parts: Iterable[Parsed]) -> Parsed:
    """What was read from several parts of a log, at least one, in their order.

    Of very many bad rows it lists the first ones.
    """
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    left_out: Counter[str] = Counter()
    facts: Counter[str] = Counter()
    unlisted: Counter[str] = Counter()
    for part in parts:
        left_out.update(part.left_out)
        facts.update(part.facts)
        unlisted.update(part.unlisted)
    spans = [part.spans for part in parts if part.spans is not None]
    identities = [part.identities for part in parts if part.identities is not None]
    kinds = [part.kinds for part in parts if part.kinds is not None]
    return Parsed(
        rows=pl.concat([part.rows for part in parts]),
        rejects=pl.concat([part.rejects for part in parts]),
        left_out=left_out,
        facts=facts,
        spans=pl.concat(spans) if len(spans) == len(parts) else None,
        unlisted=unlisted,
        identities=pl.concat(identities) if identities else None,
        kinds=_joined_kinds(kinds) if len(kinds) == len(parts) else None,
    )


def _joined_kinds(kinds: Sequence[Kinds]) -> Kinds | None:
    names = kinds[0].names
    if any(other.names != names for other in kinds):
        return None
    return Kinds(names=names, codes=np.concatenate([part.codes for part in kinds]))


def reasons_of(rejects: pl.DataFrame) -> Counter[str]:
    """How many rejected rows have which reason, the values that were found left out of it."""
    counts: Counter[str] = Counter()
    for column, reason, count in rejects.group_by("column", "reason", maintain_order=True).len().iter_rows():
        counts[_general(column, reason)] += count
    return counts


def _general(column: str, reason: str) -> str:
    """A reason without the value that was found, so that equal mistakes count together."""
    _, found, expected = reason.rpartition(", expected ")
    cells = " cells" if expected.isdecimal() and not column else ""
    general = f"expected {expected}{cells}" if found else reason
    return f"{column}: {general}" if column else general


def rejects_frame(rejects: Iterable[Reject]) -> pl.DataFrame:
    """``rejects`` by line, in the columns of ``REJECT_SCHEMA``."""
    return pl.DataFrame(sorted(rejects), schema=REJECT_SCHEMA, orient="row")


def bounded(raw: bytes | str) -> str:
    """The text of a rejected row: valid, without its line break, and of bounded length."""
    if isinstance(raw, bytes):  # no character is longer than 4 bytes
        raw = raw[: 4 * MAX_RAW_CHARACTERS + 4].decode(errors="replace")
    text = raw.rstrip("\r\n").encode(errors="replace").decode()
    return text if len(text) <= MAX_RAW_CHARACTERS else text[: MAX_RAW_CHARACTERS - 1] + "…"


def cast_cells(text: pl.DataFrame, types: Mapping[str, pl.DataType]) -> tuple[pl.DataFrame, dict[int, Fault]]:
    """Casts cells of text to ``types``; for each row the first cell that cannot be cast is told.

    Blanks around a number or a truth value are ignored; an empty cell is null.
    """
    typed = text.select(_cast(name, dtype) for name, dtype in types.items())
    faults: dict[int, Fault] = {}
    for name, dtype in types.items():
        if dtype != pl.String:
            bad = typed[name].is_null() & (text[name].str.strip_chars().fill_null("") != "")
            for index in bad.arg_true():
                got = shortened(text.item(index, name))
                faults.setdefault(index, Fault(name, f"got {got}, expected {_expected(dtype)}"))
    return typed, faults


def _cast(name: str, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.String:
        return pl.col(name)
    text = pl.col(name).str.strip_chars()
    if dtype.is_integer():
        # Programs that hold whole numbers as floats, such as pandas where cells are empty, add a point.
        text = text.str.replace(r"^([+-]?\d+)\.0*$", "$1")
    if dtype != pl.Boolean:
        return text.cast(dtype, strict=False)
    truth = text.str.to_lowercase()
    return pl.when(truth == "true").then(pl.lit(True)).when(truth == "false").then(pl.lit(False)).alias(name)


def _expected(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "true or false"
    return "a whole number" if dtype.is_integer() else "a number"


def invalid_cells(text: pl.DataFrame, raw: Callable[[int], bytes]) -> dict[int, Fault]:
    """For each row the first cell with a byte that is no UTF-8, where such bytes were replaced.

    Args:
        text: the cells; what was replaced, or was logged so, is U+FFFD.
        raw: gives the bytes of the row of that index.
    """
    faults: dict[int, Fault] = {}
    for name in text.columns:
        for index in text[name].str.contains("\ufffd", literal=True).fill_null(value=False).arg_true():
            if not _is_utf8(raw(index)):
                faults.setdefault(index, Fault(name, "is not valid UTF-8"))
    return faults


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def seconds(count: pl.Expr, *, per_second: int) -> pl.Expr:
    """An integer count of ms, us or ns as Float64 seconds, as exact as a Float64 can be.

    Polars divides by a literal by multiplying with its inverse, which is off in the last digit; a column it
    divides by as it should. Counts of ns have more digits than a Float64: their whole seconds are split off.
    """
    divisor = count * 0 + per_second
    if per_second <= _LARGEST_DIVIDED_AT_ONCE:
        return count / divisor
    return (count // per_second).cast(pl.Float64) + (count % per_second) / divisor


def spread(values: pl.Expr, where: pl.Expr) -> pl.Expr:
    """Puts what was computed for the rows ``where`` only back into their places; other rows are null.

    Costly work on text for few of many rows is cheap as ``spread(f(pl.col(name).filter(where)), where)``.
    ``where`` must have no null, and ``values`` as many rows as it has that are true.
    """
    return values.gather(pl.when(where).then(where.cum_sum() - 1))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the typed source columns of a log become canonical rows.

    Attributes:
        types: the source columns that are needed, and the types they are read as.
        steps: further source columns, which several of the expressions below need, so that each is computed
            once: each step's are expressions over the columns that are there before it.
        columns: the canonical columns, each an expression over the source columns.
        rules: what a source column must hold, beyond the rules of the canonical columns.
        left_out: rows that are no invocations: what they are, and the expression that is true for them.
        required: source columns in which an empty cell is an error.
        finite: whether every number must be finite, in whatever column it is; of typed tables only those
            in columns with a rule.
        meaning: source columns and what they are, with unit, for people.
        spans: what tells which rows belong to others, each an expression over the source columns.
        is_calendar: whether its times are calendar times, which must then be of our days.
        counted: what rows are counted as among the facts, each an expression that is true for them.
        identity: what tells a row from all others, such as the id and the time of a request; empty where
            two rows may be the same by chance. A row in which one of these is null is told by nothing.
    """

    types: Mapping[str, pl.DataType]
    columns: tuple[pl.Expr, ...]
    rules: tuple[Rule, ...] = ()
    left_out: Mapping[str, pl.Expr] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    finite: bool = True
    meaning: tuple[tuple[str, str], ...] = ()
    spans: tuple[pl.Expr, ...] = ()
    is_calendar: bool = False
    counted: Mapping[str, pl.Expr] = field(default_factory=dict)
    identity: tuple[pl.Expr, ...] = ()
    steps: tuple[Mapping[str, pl.Expr], ...] = ()

    @cached_property
    def of_calendar(self) -> Self:
        """The same for times of the calendar: one object, as files of one reader are read together."""
        return replace(self, is_calendar=True)

    @cached_property
    def schema(self) -> pl.Schema:
        """The canonical columns and their types."""
        return self._prepared(pl.LazyFrame(schema=dict(self.types))).select(self.columns).collect_schema()

    def _prepared(self, typed: _Frame) -> _Frame:
        """Source columns with those that are computed of them."""
        for step in self.steps:
            typed = typed.with_columns(**step)
        return typed

    @property
    def nothing(self) -> pl.DataFrame:
        """No rows of the source columns."""
        return pl.DataFrame(schema=dict(self.types))

    @cached_property
    def checks(self) -> tuple[Rule, ...]:
        """Every rule over the source columns: cells that must not be empty, finite numbers, own rules."""
        empty = [
            Rule(column=name, expected="a value", broken=pl.col(name).is_null())
            for name in self.types
            if name in self.required
        ]
        infinite = [
            # NaN compares as larger than every number.
            Rule(
                column=name, expected="a finite number", broken=~pl.col(name).is_between(-_LARGEST, _LARGEST)
            )
            for name, dtype in self.types.items()
            if self.finite and dtype.is_float()
        ]
        return (*empty, *infinite, *self.rules)

    @cached_property
    def canonical_checks(self) -> tuple[Rule, ...]:
        """Every rule over the canonical columns that this recipe makes."""
        rules = rules_for(self.schema)
        if not self.is_calendar:
            return rules
        return (*(rule for rule in CALENDAR_RULES if rule.column in self.schema), *rules)

    def quick(self, typed: pl.DataFrame) -> Parsed | None:
        """The canonical rows of ``typed`` if no row breaks a rule, else None."""
        return self._made_of(self._prepared(typed))

    def _made_of(self, typed: pl.DataFrame) -> Parsed | None:
        left_out, kinds, kept = self._leave_out(typed)
        rows = kept.select(self.columns)
        if _any_broken(kept, self.checks) or _any_broken(rows, self.canonical_checks):
            return None
        return Parsed(
            rows=rows,
            left_out=left_out,
            facts=self.observed(typed),
            spans=self._spans(kept),
            identities=self._identities(kept),
            kinds=kinds,
        )

    def _spans(self, typed: pl.DataFrame) -> pl.DataFrame | None:
        return typed.select(self.spans) if self.spans else None

    def _identities(self, typed: pl.DataFrame) -> pl.Series | None:
        if not self.identity:
            return None
        parts = [part.alias(str(number)) for number, part in enumerate(self.identity)]
        told = typed.select(parts)
        is_told = told.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
        return pl.select(pl.when(is_told).then(told.hash_rows())).to_series()

    def observed(self, typed: pl.DataFrame) -> Mapping[str, int]:
        """Facts of rows, good, bad and left out, by what was counted."""
        if not self.counted:
            return {}
        counts = typed.select(expression.sum().alias(what) for what, expression in self.counted.items())
        return {what: count for what, count in counts.row(0, named=True).items() if count}

    def _leave_out(self, typed: pl.DataFrame) -> tuple[dict[str, int], Kinds | None, pl.DataFrame]:
        if not self.left_out:
            return {}, None, typed
        kind = self._kind(typed)
        found = self._counted(kind)
        if not found:
            return {}, None, typed
        kinds = Kinds(names=tuple(self.left_out), codes=kind.to_numpy())
        return found, kinds, typed.filter(kind == _NONE)

    def _kind(self, typed: pl.DataFrame) -> pl.Series:
        """For each row the index of what it is left out as, or -1."""
        return _first_true(typed, list(self.left_out.values()))

    def _counted(self, kind: pl.Series) -> dict[str, int]:
        counts = {what: int((kind == index).sum()) for index, what in enumerate(self.left_out)}
        return {what: count for what, count in counts.items() if count}

    def finish(
        self,
        typed: pl.DataFrame,
        *,
        lines: Sequence[int] | np.ndarray,
        raw: Callable[[int], bytes | str],
        faults: Mapping[int, Fault] | None = None,
        rejects: Iterable[Reject] = (),
        left_out: Mapping[str, int] | None = None,
        facts: Mapping[str, int] | None = None,
    ) -> Parsed:
        """Splits rows into canonical ones and rejects; a row's first fault is the one that is told.

        Args:
            typed: the source columns of ``types``; a cell that could not be read is null.
            lines: the line (or row number, from 1) of each row.
            raw: gives the text of the row of that index; called for rejected rows only.
            faults: what is already known to be wrong, by the index of the row.
            rejects: further rejects, of which ``typed`` has no row.
            left_out: further rows left out, of which ``typed`` has none.
            facts: counts to hand on.
        """
        typed = self._prepared(typed)
        faults, others = faults or {}, Counter(left_out)
        facts = {**(facts or {}), **self.observed(typed)}
        quick = None if faults else self._made_of(typed)
        if quick is not None:
            others.update(quick.left_out)
            return replace(quick, rejects=rejects_frame(rejects), left_out=others, facts=facts, kinds=None)
        kind, found = self._kind(typed), {**self.faults(typed), **faults}
        others.update(self._counted(kind))
        bad = [index for index in found if kind[index] == _NONE]
        good = kind.to_numpy() == _NONE
        good[bad] = False
        kept = typed.filter(good)
        added = [Reject(int(lines[index]), *found[index], bounded(raw(index))) for index in bad]
        return Parsed(
            rows=kept.select(self.columns),
            rejects=rejects_frame([*rejects, *added]),
            left_out=others,
            facts=facts,
            spans=self._spans(kept),
            identities=self._identities(kept),
        )

    def faults(self, typed: pl.DataFrame) -> dict[int, Fault]:
        """What is wrong with each row that is not good: the first rule that it breaks, by its index."""
        canonical = typed.select(self.columns)
        # A message shows what was logged, not what it became.
        logged = canonical.with_columns(typed[name] for name in typed.columns if name in self.schema)
        return {
            **_broken(canonical, self.canonical_checks, logged),
            **_broken(typed, self.checks, typed),
        }


def _first_true(frame: pl.DataFrame, conditions: Sequence[pl.Expr]) -> pl.Series:
    """For each row the index of the first of ``conditions`` that is true, or -1."""
    indices = [
        pl.when(condition).then(pl.lit(index, dtype=pl.Int16)) for index, condition in enumerate(conditions)
    ]
    first = pl.coalesce(*indices, pl.lit(_NONE, dtype=pl.Int16)).alias("first")
    return frame.with_columns(first).get_column("first")


def _any_broken(frame: pl.DataFrame, rules: Sequence[Rule]) -> bool:
    broken = frame.select(rule.broken.any().alias(str(index)) for index, rule in enumerate(rules))
    return bool(rules) and any(broken.row(0))


def _broken(frame: pl.DataFrame, rules: Sequence[Rule], logged: pl.DataFrame) -> dict[int, Fault]:
    """For each row at fault the first of ``rules`` that it breaks, with the value in ``logged``."""
    first = _first_true(frame, [rule.broken for rule in rules])
    return {index: _fault(logged, index, rules[first[index]]) for index in (first != _NONE).arg_true()}


def _fault(frame: pl.DataFrame, index: int, rule: Rule) -> Fault:
    value = as_logged(_value(frame, index, rule.column), rule.column)
    got = "nothing" if value is None else shortened(value)
    told = rule.told(value) if rule.told else ""
    got += f" ({told})" if told else ""
    return Fault(rule.column, f"got {got}, expected {rule.expected}")


def as_logged(value: object, column: str) -> object:
    """A number of a canonical column as people write it: a whole one without a point."""
    known = CANONICAL_COLUMNS.get(column)
    if known is None or not known.dtype.is_integer() or not isinstance(value, float):
        return value
    return int(value) if abs(value) < _LARGEST_WRITTEN_OUT and value.is_integer() else value


def _value(frame: pl.DataFrame, index: int, column: str) -> object:
    """What is in a column, or in a field of a struct, named ``column.field``; None if there is none."""
    if column in frame.columns:
        return frame.item(index, column)
    name, *fields = column.split(".")
    value = frame.item(index, name) if name in frame.columns else None
    for field_name in fields:
        value = value.get(field_name) if isinstance(value, dict) else None
    return value
