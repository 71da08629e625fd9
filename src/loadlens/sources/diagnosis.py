"""After a failed or refused read: which file, row, column and value was at fault."""

from collections.abc import Iterable, Sequence

import polars as pl

from loadlens.schema import RULES, Rule
from loadlens.sources.files import DataFile
from loadlens.sources.tabular import csv_types, scan_files
from loadlens.sources.wording import shortened

__all__ = ["broken_rules", "explain", "rule_counts"]

_HEADER_LINES = 1


def rule_counts(columns: Sequence[str]) -> list[pl.Expr]:
    """Expressions that count, under the name ``broken_<i>``, the rows that break rule ``i``."""
    return [
        rule.broken.sum().cast(pl.Int64).alias(f"broken_{index}")
        for index, rule in enumerate(RULES)
        if rule.column in columns
    ]


def broken_rules(
    frame: pl.LazyFrame, files: Sequence[DataFile], name: str, counts: dict[str, int]
) -> list[str]:
    """One line for each rule that ``counts`` says is broken, naming the first row at fault."""
    broken = [(rule, counts.get(f"broken_{index}", 0)) for index, rule in enumerate(RULES)]
    return [_describe(frame, files, name, rule, count) for rule, count in broken if count]


def _describe(frame: pl.LazyFrame, files: Sequence[DataFile], name: str, rule: Rule, count: int) -> str:
    place, value = _first_offender(frame, files, name, rule)
    rows = "1 row" if count == 1 else f"{count:,} rows, first"
    return f"{place}, column {rule.column}: got {shortened(value)}, expected {rule.expected} ({rows})"


def _first_offender(
    frame: pl.LazyFrame, files: Sequence[DataFile], name: str, rule: Rule
) -> tuple[str, object]:
    for file in files:
        found = _first(scan_files([file]), rule)
        if found:
            return f"{file.path}, {_row(file, found[0])}", found[1]
    index, value = _first(frame, rule) or (0, None)
    return f"{name}, row {index + 1}", value


def _first(frame: pl.LazyFrame, rule: Rule) -> tuple[int, object] | None:
    if rule.column not in frame.collect_schema():
        return None
    rows = frame.with_row_index("row").filter(rule.broken).select("row", rule.column).head(1).collect()
    return (rows.item(0, 0), rows.item(0, 1)) if rows.height else None


def _row(file: DataFile, index: int) -> str:
    """How a person finds row ``index``: by its line in a text file, else by its number."""
    return f"line {index + _HEADER_LINES + 1}" if file.kind == "csv" else f"row {index + 1}"


def explain(files: Iterable[DataFile], name: str, error: BaseException) -> list[str]:
    """One line for each file that cannot be parsed, or what the reader said where none is found."""
    problems = [problem for file in files if (problem := _explain_file(file))]
    reason = str(error).strip().splitlines()
    return problems or [f"{name}: cannot be read: {reason[0] if reason else type(error).__name__}"]


def _explain_file(file: DataFile) -> str:
    if not file.path.exists():
        return f"{file.path}: has disappeared while it was read"
    try:
        if file.kind == "csv":
            return _first_unparsable(file)
        scan_files([file]).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        return f"{file.path}: is damaged: {str(error).splitlines()[0]}"
    return ""


def _first_unparsable(file: DataFile) -> str:
    """The first cell of a CSV file that is no number where one is expected."""
    types = csv_types(file)
    text = pl.scan_csv(file.path, glob=False, schema=dict.fromkeys(types, pl.String()))
    for name in (name for name, dtype in types.items() if dtype.is_numeric()):
        bad = pl.col(name).is_not_null() & pl.col(name).cast(pl.Float64, strict=False).is_null()
        rows = text.with_row_index("row").filter(bad).select("row", name).head(1).collect()
        if rows.height:
            place = _row(file, rows.item(0, 0))
            return f"{file.path}, {place}, column {name}: got {shortened(rows.item(0, 1))}, expected a number"
    return ""
