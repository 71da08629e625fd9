"""After a failed or refused read: which file, row, column and value was at fault."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from loadlens.schema import RULES, Rule
from loadlens.sources.columnar import raw_scan, scan_files
from loadlens.sources.files import DataFile
from loadlens.sources.parsed import as_logged
from loadlens.sources.storage.location import RemotePath, secrets_of
from loadlens.sources.storage.secrets import reason_of
from loadlens.sources.wording import counted, shortened

__all__ = ["Frames", "broken_rules", "explain", "rule_counts"]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """A log's rows twice: in canonical types, and as they were logged."""

    canonical: pl.LazyFrame
    raw: pl.LazyFrame


_ROW = "row number"


def rule_counts(columns: Sequence[str]) -> list[pl.Expr]:
    """Expressions that count, under the name ``broken_<i>``, the rows that break rule ``i``."""
    return [
        rule.broken.sum().cast(pl.Int64).alias(f"broken_{index}")
        for index, rule in enumerate(RULES)
        if rule.column in columns
    ]


def broken_rules(frames: Frames, files: Sequence[DataFile], name: str) -> list[str]:
    """One line for each rule that rows break, naming the first row at fault."""
    columns = frames.canonical.collect_schema().names()
    counts = frames.canonical.select(rule_counts(columns)).collect(engine="streaming").row(0, named=True)
    broken = [(rule, counts.get(f"broken_{index}", 0)) for index, rule in enumerate(RULES)]
    return [_describe(frames, files, name, rule, count) for rule, count in broken if count]


def _describe(frames: Frames, files: Sequence[DataFile], name: str, rule: Rule, count: int) -> str:
    place, value = _first_offender(frames, files, name, rule)
    rows = counted(count, "row", "rows, first")
    return f"{place}, column {rule.column}: got {shortened(value)}, expected {rule.expected} ({rows})"


def _first_offender(frames: Frames, files: Sequence[DataFile], name: str, rule: Rule) -> tuple[str, object]:
    """Where the first row at fault is, and its value as it was logged."""
    for file in (file for file in files if file.kind != "text"):
        found = _first(scan_files([file], row_index=_ROW), rule)
        if found is not None:
            return f"{file.path}, row {found + 1}", _value(raw_scan([file], _ROW), found, rule)
    found = _first(frames.canonical.with_row_index(_ROW), rule) or 0
    return f"{name}, row {found + 1}", _value(frames.raw.with_row_index(_ROW), found, rule)


def _first(frame: pl.LazyFrame, rule: Rule) -> int | None:
    if rule.column not in frame.collect_schema():
        return None
    rows = frame.filter(rule.broken).select(_ROW).head(1).collect()
    return int(rows.item()) if rows.height else None


def _value(frame: pl.LazyFrame, row: int, rule: Rule) -> object:
    value = frame.filter(pl.col(_ROW) == row).select(rule.column).collect().item()
    return as_logged(value, rule.column)


def explain(files: Iterable[DataFile], name: str, error: BaseException) -> list[str]:
    """One line for each file that cannot be parsed, or what the reader said where none is found."""
    problems = [problem for file in files if (problem := _explain_file(file))]
    return problems or [f"{name}: cannot be read: {reason_of(error)}"]


def _explain_file(file: DataFile) -> str:
    try:
        path = file.path.anew() if isinstance(file.path, RemotePath) else file.path
        if not path.exists():
            return f"{file.path}: has disappeared while it was read"
        if file.kind == "text":
            return ""
        scan_files([file]).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        return f"{file.path}: is damaged: {reason_of(error, secrets_of(file.path))}"
    return ""
