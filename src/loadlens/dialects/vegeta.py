"""vegeta's results as CSV and as JSON lines: one row for each hit."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import (
    Columns,
    Dialect,
    Refused,
    any_of,
    document,
    error_class,
    filled,
    has_line,
    numberless,
)
from loadlens.errors import InputError
from loadlens.messages import listed
from loadlens.schema import LATENCY, Rule
from loadlens.text.delimited import Table
from loadlens.text.json_records import JsonLines
from loadlens.text.stream import Head
from loadlens.text.typed_rows import seconds, spread

__all__ = ["VEGETA_CSV", "VEGETA_GOB", "VEGETA_JSON", "VEGETA_REPORT"]

_ALL_COLUMNS: Final = (
    "timestamp",
    "code",
    "latency",
    "bytes_out",
    "bytes_in",
    "error",
    "body",
    "attack",
    "seq",
    "method",
    "url",
    "headers",
)
"""The columns of the CSV, which has no header, by the names that the JSON gives them."""

_LAYOUTS: Final = {width: _ALL_COLUMNS[:width] for width in (6, 9, 12)}
"""Newer versions added columns at the end only."""

_TYPES: Final[dict[str, pl.DataType]] = {
    "timestamp": pl.Int64(),
    "code": pl.Int64(),
    "latency": pl.Int64(),
    "bytes_out": pl.Int64(),
    "bytes_in": pl.Int64(),
    "error": pl.String(),
    "attack": pl.String(),
    "method": pl.String(),
    "url": pl.String(),
}

_MEANING: Final = {
    "timestamp": "start of the hit: ns since 1970, in JSON a time with offset",
    "code": "HTTP status; 0 where there was no response",
    "latency": "latency, ns",
    "bytes_out": "size of the request, bytes",
    "bytes_in": "size of the response, bytes",
    "error": "what went wrong; empty when nothing did",
    "attack": "name of the attack",
    "method": "HTTP method",
    "url": "URL",
}

_ADDED_LATER: Final = {"attack", "method", "url"}
_REQUIRED: Final = frozenset({"timestamp", "code", "latency"})
_CSV_START: Final = re.compile(r"\s*[1-9]\d{18},\s*\d{1,3},\s*\d+,\s*\d+,\s*\d+,")
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_JSON: Final = Columns(
    title="vegeta JSON lines",
    known_by=frozenset({"code", "timestamp", "latency", "bytes_out", "bytes_in"}),
    needed=_REQUIRED,
    marks=frozenset({"seq", "attack", "bytes_out", "bytes_in", "latency"}),
    advice="write it with `vegeta encode --to json`",
    separators=(),
)
_SAMPLED_LINES = 20
_SHARED_CELLS: Final = 5  # of which the start of a row tells what they are
_EXPECTED_ROWS: Final = (
    f"expected rows of {', '.join(map(str, _LAYOUTS))} columns that begin with a time in ns since 1970, "
    f"a status, a latency in ns and two sizes"
)
_WRITE_CSV: Final = "write it with `vegeta encode --to csv`"

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_MAX_CODE = 999
_PASSED: Final = (200, 399)
_TIME_FORM = "%+"
_FIRST_YEAR, _LAST_YEAR = "1970", "2261"  # what ns since 1970 can hold as Int64; beyond it they wrap around
_LAST_PART: Final = r'(?s)^(?:.*: )?([^"?(:][^:]*)'  # Go puts the cause last

_NO_URLS: Final = "as old versions write: without URLs requests cannot be told apart"

_TO_CSV = "encode the results of the attack: `vegeta encode --to csv results.bin > results.csv`"

VEGETA_REPORT: Final = Refused(
    title="a report of vegeta",
    reason="it holds aggregates, not single requests",
    advice=_TO_CSV,
    matches=any_of(
        document("latencies", "mean"),
        document("requests", "rate", "throughput", "status_codes"),
        document("mean", "50th", "99th"),
        has_line(
            r"Requests +\[total, rate",
            r"Duration +\[total, attack, wait\]",
            r"Latencies +\[(?:min, )?mean, 50,",
            r"Bytes (?:In|Out) +\[total, mean\]",
            r"Success +\[ratio\]",
            r"Status Codes +\[code:count\]",
            r"Bucket +# +% +Histogram",
        ),
    ),
)
"""What ``vegeta report`` writes."""


def _sample(head: Head) -> list[str]:
    """The first lines that hold anything; of a line longer than the head, its beginning."""
    lines = [line for line in head.lines if line.strip()][:_SAMPLED_LINES]
    return lines or [head.data.decode(errors="replace")]


def _csv_columns(head: Head) -> tuple[str, ...] | None:
    """The columns of a file, by the cells of half of its first lines or more."""
    lines = _sample(head)
    widths = Counter(_width(line) for line in lines if _CSV_START.match(line))
    if not head.lines and widths:  # only what a response held makes a line so long
        return _ALL_COLUMNS
    known = [(count, width) for width, count in widths.items() if width in _LAYOUTS]
    count, width = max(known, default=(0, 0))
    return _LAYOUTS[width] if count and 2 * count >= len(lines) else None


def _width(line: str) -> int:
    return _QUOTED.sub("", line).count(",") + 1


def _near_csv(head: Head) -> tuple[int, str]:
    sample = _sample(head)
    widths = {_width(line) for line in sample if _CSV_START.match(line)}
    is_near = bool(widths) and not widths & _LAYOUTS.keys()
    told = f"looks like vegeta CSV, but has {listed(widths)} columns; {_EXPECTED_ROWS}; {_WRITE_CSV}"
    return (_SHARED_CELLS, told) if is_near else (0, "")


def _matches_csv(head: Head) -> bool:
    return _csv_columns(head) is not None


def _open_csv(head: Head) -> Table:
    names = _csv_columns(head)
    if names is None:
        _, near = _near_csv(head)
        raise InputError(f"{head.path}: {near or f'is no CSV of vegeta: {_EXPECTED_ROWS}; {_WRITE_CSV}'}")
    return _table(names)


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table(names: tuple[str, ...]) -> Table:
    needed = [name for name in _TYPES if name in names]
    return Table(
        names=names,
        has_header=False,
        types={name: _TYPES[name] for name in needed},
        columns=_columns(needed, pl.col("timestamp")),
        rules=_rules(),
        required=_REQUIRED,
        meaning=tuple((name, _MEANING[name]) for name in needed),
    )


def _matches_json(head: Head) -> bool:
    if not head.lines:
        text = _sample(head)[0]
        return text.lstrip().startswith("{") and all(f'"{name}":' in text for name in _JSON.known_by)
    return any(_is_hit(line) for line in _sample(head))


def _is_hit(line: str) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.keys() >= _JSON.known_by


def _json_names(head: Head) -> list[str]:
    """The fields that hits have; what old versions dumped has neither URLs nor methods."""
    text = head.data.decode(errors="replace")
    return [name for name in _TYPES if name not in _ADDED_LATER or f'"{name}"' in text]


def _open_json(head: Head) -> JsonLines:
    return _json_lines(tuple(_json_names(head)))


@lru_cache(maxsize=64)
def _json_lines(names: tuple[str, ...]) -> JsonLines:
    start = pl.col("timestamp").str.to_datetime(_TIME_FORM, time_unit="ns", time_zone="UTC", strict=False)
    year = pl.col("timestamp").str.strip_chars().str.head(len(_FIRST_YEAR))
    unread = start.is_null() | ~year.is_between(pl.lit(_FIRST_YEAR), pl.lit(_LAST_YEAR))
    return JsonLines(
        types={name: _TYPES[name] for name in names} | {"timestamp": pl.String()},
        columns=_columns(names, start.dt.epoch("ns")),
        rules=(
            Rule(
                column="timestamp",
                expected=f"a time of {_FIRST_YEAR} to {_LAST_YEAR} as 2006-01-02T15:04:05.999Z",
                broken=unread,
            ),
            *_rules(),
        ),
        required=_REQUIRED,
        meaning=tuple((name, _MEANING[name]) for name in names),
    )


def _columns(names: Sequence[str], start_ns: pl.Expr) -> tuple[pl.Expr, ...]:
    latency = pl.col("latency")
    others = {
        "url": pl.col("url").fill_null("").alias("label"),
        "method": pl.col("method").fill_null(""),
        "attack": pl.col("attack").fill_null(""),
    }
    return (
        _success().alias("success"),
        _error().alias("error"),
        seconds(start_ns, per_second=_NS_PER_S).alias("start_time"),
        seconds(start_ns + latency, per_second=_NS_PER_S).alias("end_time"),
        _ms(latency).alias(LATENCY),
        pl.col("bytes_in").alias("response_size"),
        pl.col("bytes_out").alias("request_size"),
        pl.when(pl.col("code") > 0).then(pl.col("code").cast(pl.String)).alias("status"),
        *(column for name, column in others.items() if name in names),
    )


def _ms(ns: pl.Expr) -> pl.Expr:
    # Polars divides a column by a constant inexactly, a column by a column exactly.
    return ns / (ns * 0 + _NS_PER_MS)


def _success() -> pl.Expr:
    is_silent = pl.col("error").fill_null("") == ""
    return (pl.col("code").is_between(*_PASSED) & is_silent).fill_null(value=False)


def _error() -> pl.Expr:
    """The status of a failed hit; without a bad one, the cause that its error ends with."""
    failed = ~_success()
    code = pl.col("code").filter(failed)
    told = (code > 0) & ~code.is_between(*_PASSED)
    cause = filled(error_class(pl.col("error").filter(failed).str.extract(_LAST_PART), '"?('))
    return spread(
        pl.coalesce(pl.when(told).then(code.cast(pl.String)), numberless(cause), pl.lit("failed")), failed
    )


def _rules() -> tuple[Rule, ...]:
    sizes = ("latency", "bytes_out", "bytes_in")
    return (
        Rule(column="code", expected="a status, or 0", broken=~pl.col("code").is_between(0, _MAX_CODE)),
        *(Rule(column=name, expected="0 or more", broken=pl.col(name) < 0) for name in sizes),
    )


def _csv_warnings(head: Head, _rows: int, _facts: Mapping[str, int]) -> list[str]:
    names = _csv_columns(head)
    return [] if names is None or "url" in names else [f"it has {len(names)} columns, {_NO_URLS}"]


def _json_warnings(head: Head, _rows: int, _facts: Mapping[str, int]) -> list[str]:
    return [] if "url" in _json_names(head) else [f"it has no field url, {_NO_URLS}"]


def _matches_gob(head: Head) -> bool:
    described = head.data[:512]  # a stream begins with the description of its type
    return b"Result" in described[:64] and b"\0" in described and b"BytesOut" in described


VEGETA_CSV: Final = Dialect(
    name="vegeta-csv",
    title="vegeta CSV",
    key=("label", "method"),
    clock="epoch",
    closed_loop=False,
    logged_times=("start_time",),
    matches=_matches_csv,
    near_miss=_near_csv,
    open=_open_csv,
    warnings=_csv_warnings,
)
"""What ``vegeta encode --to csv`` writes."""

VEGETA_JSON: Final = Dialect(
    signs=(b"{",),
    name="vegeta-json",
    title=_JSON.title,
    key=("label", "method"),
    clock="epoch",
    closed_loop=False,
    logged_times=("start_time",),
    matches=_matches_json,
    near_miss=_JSON.near_miss,
    open=_open_json,
    warnings=_json_warnings,
)
"""What ``vegeta encode --to json`` writes."""


VEGETA_GOB: Final = Refused(
    signs=(b"BytesOut",),
    title="vegeta's binary results (gob)",
    reason="only vegeta itself can read them",
    advice=_TO_CSV,
    matches=_matches_gob,
)
"""What ``vegeta attack`` writes."""
