"""JMeter's JTL files as CSV: one row for each sample."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

import polars as pl

from loadlens.errors import InputError
from loadlens.schema import LATENCY, Rule
from loadlens.sources.dialects.base import Dialect
from loadlens.sources.dialects.headers import Columns
from loadlens.sources.dialects.names import error_class, filled
from loadlens.sources.parsed import seconds, spread
from loadlens.sources.text.delimited import Table
from loadlens.sources.text.stream import Head
from loadlens.sources.wording import listed

__all__ = ["JMETER_CSV"]

_ALL_COLUMNS: Final = (
    "timeStamp",
    "elapsed",
    "label",
    "responseCode",
    "responseMessage",
    "threadName",
    "dataType",
    "success",
    "failureMessage",
    "bytes",
    "sentBytes",
    "grpThreads",
    "allThreads",
    "URL",
    "Filename",
    "Latency",
    "Encoding",
    "SampleCount",
    "ErrorCount",
    "Hostname",
    "IdleTime",
    "Connect",
)
"""Every column that JMeter can write, in its order."""

_NOT_SHIPPED: Final = {"Filename", "Encoding", "SampleCount", "ErrorCount", "Hostname"}
_SHIPPED_COLUMNS: Final = tuple(name for name in _ALL_COLUMNS if name not in _NOT_SHIPPED)
_LAYOUTS: Final = {len(names): names for names in (_ALL_COLUMNS, _SHIPPED_COLUMNS)}

_TYPES: Final[dict[str, pl.DataType]] = {
    "timeStamp": pl.Int64(),
    "elapsed": pl.Int64(),
    "label": pl.String(),
    "responseCode": pl.String(),
    "responseMessage": pl.String(),
    "success": pl.Boolean(),
    "failureMessage": pl.String(),
    "bytes": pl.Int64(),
    "sentBytes": pl.Int64(),
}

_MEANING: Final = {
    "timeStamp": "start of the sample: ms since 1970, or text",
    "elapsed": "latency, ms",
    "label": "name of the sampler",
    "responseCode": "status, which may be text",
    "responseMessage": "what the server said, or how the sample failed",
    "success": "whether the sample succeeded",
    "failureMessage": "which assertion failed",
    "bytes": "size of the response, bytes",
    "sentBytes": "size of the request, bytes",
}

_SEPARATORS: Final = (",", "\t", ";")
_COLUMNS: Final = Columns(
    title="JMeter CSV",
    known_by=frozenset({"elapsed"}),
    needed=frozenset({"timeStamp", "elapsed"}),
    marks=frozenset(_ALL_COLUMNS[:14]) - {"label", "success", "bytes", "URL"},
    advice="write it with jmeter.save.saveservice.time=true and timestamp_format=ms, the defaults of JMeter",
    separators=_SEPARATORS,
)
_TIME_FORMATS: Final = {
    "yyyy/MM/dd HH:mm:ss": "%Y/%m/%d %H:%M:%S%.f",
    "yyyy-MM-dd HH:mm:ss": "%Y-%m-%d %H:%M:%S%.f",
    "MM/dd/yy HH:mm:ss": "%m/%d/%y %H:%M:%S%.f",
}
_LEAST_KNOWN_COLUMNS = 3
_SAMPLED_LINES = 20
_FIRST_FAILED_CODE = 400
_TRANSACTION: Final = "Number of samples in transaction"
_TRANSACTIONS: Final = "transaction controllers"
_REQUESTS: Final = "requests"
_MS_PER_S = 1000


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """The columns of a file, and how its times are written."""

    separator: str
    names: tuple[str, ...]
    has_header: bool
    rows: tuple[tuple[str, ...], ...]

    @cached_property
    def time_format(self) -> str | None:
        """Which of ``_TIME_FORMATS`` the first rows are in; None where times are ms since 1970.

        Raises:
            ValueError: in none of them.
        """
        index = self.names.index("timeStamp")
        times = [row[index] for row in self.rows if len(row) == len(self.names) and row[index].strip()]
        return _time_format(times)


def _time_format(times: Sequence[str]) -> str | None:
    """The form that most of ``times`` are in; None for ms since 1970. Raises a ValueError if none is."""
    if all(map(str.isdecimal, times)):  # as most files are
        return None
    text = pl.Series(times, dtype=pl.String)
    readable = {None: int(text.str.strip_chars().cast(pl.Int64, strict=False).count())} | {
        name: int(text.str.to_datetime(form, time_unit="ms", strict=False).count())
        for name, form in _TIME_FORMATS.items()
    }
    best = max(readable, key=lambda name: readable[name])
    if times and not readable[best]:
        raise ValueError(times[0])
    return best


def _layout(head: Head) -> _Layout | None:
    """The columns of a file by its header or, where it has none, by the number and kind of its cells."""
    lines = [line for line in head.lines if line.strip()][: _SAMPLED_LINES + 1]
    for separator in _SEPARATORS:
        rows = [tuple(cell.strip() for cell in _cells(line, separator)) for line in lines]
        if rows and _is_header(rows[0]):
            return _Layout(separator=separator, names=rows[0], has_header=True, rows=tuple(rows[1:]))
    for separator in _SEPARATORS:
        rows = [tuple(_cells(line, separator)) for line in lines]
        for names in _LAYOUTS.values():
            if rows and 2 * sum(_fits(row, names) for row in rows) > len(rows):
                return _Layout(separator=separator, names=names, has_header=False, rows=tuple(rows))
    return None


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _is_header(cells: Sequence[str]) -> bool:
    return "elapsed" in cells and len(set(cells) & set(_ALL_COLUMNS)) >= _LEAST_KNOWN_COLUMNS


def _fits(row: Sequence[str], names: Sequence[str]) -> bool:
    """Whether the cells of a row without a header can be what ``names`` says."""
    if len(row) != len(names):
        return False
    cells = dict(zip(names, row, strict=True))
    numbers = ("elapsed", "bytes", "grpThreads", "allThreads", "Latency", "Connect")
    return (
        cells["success"].lower() in {"true", "false"}
        and all(cells[name].removeprefix("-").isdecimal() for name in numbers)
        and _is_time(cells["timeStamp"])
    )


def _is_time(text: str) -> bool:
    try:
        return text.isdecimal() or _time_format([text]) is not None
    except ValueError:
        return False


def _matches(head: Head) -> bool:
    return _layout(head) is not None


def _open(head: Head) -> Table:
    layout = _layout(head)
    if layout is None:
        widths = " or ".join(str(width) for width in sorted(_LAYOUTS))
        raise InputError(
            f"{head.path}: is no JMeter CSV: it has no header with the column elapsed, and its rows are not "
            f"the {widths} columns that JMeter writes by default; write it with "
            f"jmeter.save.saveservice.print_field_names=true"
        )
    _check_names(head, layout)
    try:
        time_format = layout.time_format
    except ValueError as error:
        raise InputError(
            f"{head.path}: column timeStamp: got {str(error)!r}, expected ms since 1970 or a time as "
            f"{listed(_TIME_FORMATS)}"
        ) from None
    return _table(replace(layout, rows=()), time_format)


def _open_transactions(head: Head) -> Table:
    """The reader of the rows of transaction controllers alone."""
    table = _open(head)
    if "responseMessage" not in table.types:
        raise InputError(
            f"{head.path}: has no column responseMessage, which tells transaction controllers from samples; "
            f"write it with jmeter.save.saveservice.response_message=true, or leave out --level"
        )
    return replace(table, left_out={_REQUESTS: ~_is_transaction().fill_null(value=False)})


def _check_names(head: Head, layout: _Layout) -> None:
    needed = [name for name in layout.names if name in _TYPES]
    doubled = sorted({name for name in needed if needed.count(name) > 1})
    if doubled:
        raise InputError(f"{head.path}: the header has doubled columns: {listed(doubled)}; remove one")
    if "timeStamp" not in needed:
        raise InputError(
            f"{head.path}: missing column: timeStamp; it has: {listed(layout.names)}; write it with "
            f"jmeter.save.saveservice.timestamp_format=ms"
        )


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table(layout: _Layout, time_format: str | None) -> Table:
    names = [name for name in _TYPES if name in layout.names]
    types = {name: _TYPES[name] for name in names}
    if time_format:
        types["timeStamp"] = pl.String()
    return Table(
        separator=layout.separator,
        names=layout.names,
        has_header=layout.has_header,
        types=types,
        columns=_columns(names, time_format),
        rules=_rules(names, time_format),
        left_out={_TRANSACTIONS: _is_transaction()} if "responseMessage" in names else {},
        required=frozenset(names) & {"timeStamp", "elapsed", "success"},
        meaning=tuple((name, _MEANING[name]) for name in names),
    )


def _is_transaction() -> pl.Expr:
    """Whether a row is the sum of a transaction controller; null where it has no message."""
    return pl.col("responseMessage").str.starts_with(_TRANSACTION)


def _columns(names: Sequence[str], time_format: str | None) -> tuple[pl.Expr, ...]:
    start, latency = _start_ms(time_format), pl.col("elapsed")
    columns = [
        _success(names).alias("success"),
        _error(names).alias("error"),
        seconds(start, per_second=_MS_PER_S).alias("start_time"),
        seconds(start + latency, per_second=_MS_PER_S).alias("end_time"),
        latency.cast(pl.Float64).alias(LATENCY),
    ]
    others = {
        "label": pl.col("label").fill_null("").alias("label"),
        "bytes": pl.col("bytes").alias("response_size"),
        "sentBytes": pl.col("sentBytes").alias("request_size"),
    }
    return (*columns, *(column for name, column in others.items() if name in names))


def _start_ms(time_format: str | None) -> pl.Expr:
    if time_format is None:
        return pl.col("timeStamp")
    text = pl.col("timeStamp").str.to_datetime(_TIME_FORMATS[time_format], time_unit="ms", strict=False)
    return text.dt.epoch("ms")


def _success(names: Sequence[str]) -> pl.Expr:
    if "success" in names:
        return pl.col("success")
    if "responseCode" in names:
        code = pl.col("responseCode").str.strip_chars().cast(pl.Int64, strict=False)
        return (code < _FIRST_FAILED_CODE).fill_null(value=False)
    return pl.lit(True)


def _error(names: Sequence[str]) -> pl.Expr:
    """The status of a failed sample; where it has none, the beginning of its message."""
    failed = (~_success(names)).fill_null(value=True)
    classes = []
    if "responseCode" in names:
        code = pl.col("responseCode").filter(failed).str.strip_prefix("Non HTTP response code: ")
        passed = code.cast(pl.Int64, strict=False) < _FIRST_FAILED_CODE
        classes.append(pl.when(passed).then(pl.lit("failed with ") + code).otherwise(filled(code)))
    classes.extend(
        filled(error_class(pl.col(name).filter(failed), r"\n:("))
        for name in ("failureMessage", "responseMessage")
        if name in names
    )
    if not classes:
        return pl.when(failed).then(pl.lit("failed"))
    return spread(pl.coalesce(*classes, pl.lit("failed")), failed)


def _rules(names: Sequence[str], time_format: str | None) -> tuple[Rule, ...]:
    rules = [
        Rule(column=name, expected="0 or more", broken=pl.col(name) < 0)
        for name in ("elapsed", "bytes", "sentBytes")
        if name in names
    ]
    if time_format:
        unread = _start_ms(time_format).is_null()
        rules.append(Rule(column="timeStamp", expected=f"a time as {time_format}", broken=unread))
    return tuple(rules)


def _warnings(head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    layout = _layout(head)
    if layout is None:
        return []
    found = []
    if not layout.has_header:
        found.append(f"it has no header: its {len(layout.names)} columns are taken in JMeter's own order")
    if layout.time_format:
        found.append("its times have no time zone: they are taken as UTC")
    if "success" not in layout.names:
        how = "the status is 400 or more, or no number" if "responseCode" in layout.names else ""
        found.append(
            f"it has no column success: a sample counts as failed where {how}"
            if how
            else "it has no columns success and responseCode: every sample counts as successful"
        )
    if "responseMessage" not in layout.names:
        found.append("it has no column responseMessage: transaction controllers cannot be told from samples")
    if facts.get(_TRANSACTIONS):
        found.append(
            f"{facts[_TRANSACTIONS]:,} rows of transaction controllers are left out: "
            f"they would count their samples twice"
        )
    return found


JMETER_CSV: Final = Dialect(
    name="jmeter-csv",
    title=_COLUMNS.title,
    key=("label",),
    clock="epoch",
    closed_loop=True,
    matches=_matches,
    near_miss=_COLUMNS.near_miss,
    open=_open,
    open_transactions=_open_transactions,
    warnings=_warnings,
)
