"""k6's samples, as CSV and as lines of JSON: many for each request, of which one tells its latency."""

import csv
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import numpy as np
import polars as pl

from loadlens.dialects.base import Columns, Dialect, Refused
from loadlens.dialects.k6_durations import (
    FIRST_OF_REQUEST,
    METRICS,
    cut_before_requests,
    duration_columns,
    duration_steps,
    unpaired,
    unpaired_warning,
)
from loadlens.dialects.k6_samples import (
    EVERYDAY,
    OTHER_SAMPLES,
    REQUESTS,
    RFC3339,
    TAGS,
    TIME_MEANING,
    TRANSACTIONS,
    UNITS,
    VALUE_MEANING,
    Sample,
    observed,
    other_samples,
    request_columns,
    sample_rules,
    text_ns,
    text_rule,
    time_form,
    transaction_columns,
    unix_ns,
    unix_rule,
    warnings_of,
)
from loadlens.errors import InputError
from loadlens.messages import listed, shortened
from loadlens.text.delimited import Table
from loadlens.text.json_records import JsonLines
from loadlens.text.record_blocks import Block, Framing
from loadlens.text.stream import BOM, Head
from loadlens.text.typed_rows import Parsed, among

__all__ = ["K6_CSV", "K6_JSON", "K6_SUMMARY_JSON", "K6_SUMMARY_TEXT", "Chosen", "chosen_lines", "metric_at"]


_LONGEST_NAME: Final = 32  # of a metric of k6's own; what is longer is parsed
_LINE_BREAK: Final = ord("\n")

_LEADING: Final = ("metric_name", "timestamp", "metric_value")
_COLUMNS: Final = Columns(
    title="k6 CSV",
    known_by=frozenset(_LEADING),
    needed=frozenset(_LEADING),
    marks=frozenset({"metric_name", "metric_value", "expected_response", "extra_tags", "tls_version"}),
    advice="write it with `k6 run --out csv=log.csv`",
)
_METRIC_MEANING: Final = f"what was measured; {listed(REQUESTS)} are calls"
_SAMPLED_LINES = 20
_SHARE_OF_ONE_FORM: Final = 0.9  # times of other forms are damaged rows, unless there are more of them
_REQUESTS_LEFT_OUT: Final = "requests"

_DEFINITIONS: Final = "metric definitions"
_JSON_BEGINNINGS: Final = (b'{"metric":"', b'{"type":"Point","metric":"')
"""How a sample begins in JSON; older versions write the metric last."""

_METRICS: Final = (
    "http_req_[a-z_]+|http_reqs|iterations|iteration_duration|vus|vus_max|data_sent|data_received|"
    "grpc_req_duration|ws_[a-z_]+|checks(?:_total|_succeeded|_failed)?"
)
_SUMMARY_KEY: Final = re.compile(r'"metrics"\s*:\s*[{\[]|"p\(\d+(?:\.\d+)?\)"\s*:')
_SUMMARY_METRIC: Final = re.compile(rf'"(?:{_METRICS})"')
_UNIT: Final = re.compile(r'"unit"\s*:')  # calls of AIPerf hold metrics of k6's names, each with its unit
_SUMMARY_LINE: Final = re.compile(rf"\s*(?:[✓✗] )?(?:{_METRICS})\s?\.{{2,}}:\s")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

_SAVED_AGAIN: Final = re.compile(rb",(?:True|False|\d{1,4}\.0)(?=[,\r\n])")
"""What pandas writes of truth values, and of whole numbers in a column with a gap."""

_JSON_TIME: Final = pl.col("data").struct.field("time")

_JSON_TYPES: Final[dict[str, pl.DataType]] = {
    "type": pl.String(),
    "metric": pl.String(),
    "data": pl.Struct(
        {"time": pl.String(), "value": pl.Float64(), "tags": pl.Struct(dict.fromkeys(TAGS, pl.String()))}
    ),
}

_REASON: Final = "it holds aggregates, not single requests"
_ADVICE: Final = "log them with `k6 run --out csv=log.csv` or `k6 run --out json=log.json`"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The lines of a block that are worth parsing, and what the others are.

    Attributes:
        block: the lines to parse, in their order.
        is_chosen: for each line of the whole block whether it is one of them.
        passed_over: how many other lines there are, by the metric that they are samples of.
    """

    block: Block
    is_chosen: np.ndarray
    passed_over: Mapping[str, int]


def chosen_lines(block: Block, *, prefixes: Sequence[bytes], end: bytes, skipped: Collection[str]) -> Chosen:
    """Chooses every line but those that are samples of ``skipped`` metrics.

    Args:
        block: lines, each a record.
        prefixes: what may stand before the name of a metric at the beginning of a line. A line that begins
            with none of them is chosen.
        end: the character that ends a name.
        skipped: metrics whose samples nobody needs, of names of up to 31 characters.
    """
    text = np.frombuffer(block.data + bytes(_LONGEST_NAME + max(map(len, prefixes))), np.uint8)
    breaks = np.flatnonzero(text[: len(block.data)] == _LINE_BREAK)
    starts = np.concatenate([[0], breaks + 1])
    starts = starts[starts < len(block.data)]
    names = sorted(skipped)
    code = _codes(text, starts, prefixes, end, names)
    counts = np.bincount(code[code >= 0], minlength=len(names))
    bounds = np.append(starts, len(block.data))
    return Chosen(
        block=replace(block, data=_pieces(block.data, bounds, code < 0), line_breaks=-1),
        is_chosen=code < 0,
        passed_over=Counter({name: int(count) for name, count in zip(names, counts, strict=True) if count}),
    )


def _codes(
    text: np.ndarray, starts: np.ndarray, prefixes: Sequence[bytes], end: bytes, names: Sequence[str]
) -> np.ndarray:
    """For each line the index of its metric in ``names``; -1 where it is none of them."""
    code = np.full(starts.size, -1)
    for prefix in prefixes:
        found = np.flatnonzero(_begins(text, starts, prefix)) if prefix else np.arange(starts.size)
        code[found] = _named(text, starts[found] + len(prefix), end, names)
    return code


def _begins(text: np.ndarray, starts: np.ndarray, prefix: bytes) -> np.ndarray:
    is_same = np.ones(starts.size, np.bool_)
    for at, byte in enumerate(prefix):
        is_same &= text[starts + at] == byte
    return is_same


def _named(text: np.ndarray, starts: np.ndarray, end: bytes, names: Sequence[str]) -> np.ndarray:
    """The index in ``names`` of what stands from ``starts`` on up to ``end``; -1 where it is none."""
    windows = np.lib.stride_tricks.sliding_window_view(text, _LONGEST_NAME)[starts]
    words = np.ascontiguousarray(windows).view(np.uint64)
    code = np.full(starts.size, -1)
    for index, name in enumerate(names):
        told = name.encode() + end
        wanted = np.frombuffer(told.ljust(_LONGEST_NAME, b"\0"), np.uint64)
        mask = np.frombuffer((b"\xff" * len(told)).ljust(_LONGEST_NAME, b"\0"), np.uint64)
        width = -(-len(told) // 8)
        is_same = (words[:, width - 1] & mask[width - 1]) == wanted[width - 1]
        for at in range(width - 1):
            is_same &= words[:, at] == wanted[at]
        code[is_same] = index
    return code


def _pieces(data: bytes, bounds: np.ndarray, is_chosen: np.ndarray) -> bytes:
    """The chosen lines, of which ``bounds`` tells beginnings and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_chosen, [False]]).astype(np.int8)))
    at = bounds[edges].tolist()
    return b"".join(data[start:stop] for start, stop in zip(at[::2], at[1::2], strict=True))


def metric_at(line: bytes, *, prefixes: Sequence[bytes], end: bytes) -> str | None:
    """The metric that a line is a sample of, if it begins as those that ``chosen_lines`` knows."""
    for prefix in prefixes:
        if line.startswith(prefix):
            name, found, _ = line[len(prefix) :].partition(end)
            return name.decode(errors="replace") if found else None
    return None


@dataclass(frozen=True, kw_only=True)
class _SampleTable(Table):
    """Reads the lines of some metrics only, after a look at the width and the beginning of every line.

    Attributes:
        sample: the parts of a sample.
        calls: the metrics whose samples are calls.
        paired: whether requests have their durations, which samples behind theirs tell.
    """

    sample: Sample
    calls: tuple[str, ...]
    paired: bool = False

    @property
    def framing(self) -> Framing:
        """What a record is; blocks are cut between requests where these have their durations."""
        framing = super().framing
        return cut_before_requests(framing, f"{FIRST_OF_REQUEST},".encode()) if self.paired else framing

    def read(self, block: Block) -> Parsed:
        """Reads one block; whole, where rows belong together."""
        if not self.paired:
            return super().read(block)
        own = self._without_header(block) if self.has_header and block.index == 0 else block
        return self._fast(own) or self._careful(own)

    def observed(self, typed: pl.DataFrame) -> dict[str, int]:
        """What is counted for warnings."""
        return {
            **observed(self.sample, self.calls, typed),
            **(unpaired(self.sample, typed) if self.paired else {}),
        }

    def _fast(self, block: Block) -> Parsed | None:
        if not block.is_regular or not self._has_width(block.data) or _has_odd_names(block.data):
            return None
        skipped = EVERYDAY - set(self.calls) - (METRICS if self.paired else set())
        chosen = chosen_lines(block, prefixes=[b""], end=b",", skipped=skipped)
        has_lines = chosen.block.data
        parsed = (
            super()._fast(chosen.block) if has_lines else self.quick(pl.DataFrame(schema=dict(self.types)))
        )
        return parsed and _and_passed_over(parsed, chosen)


def _and_passed_over(parsed: Parsed, chosen: Chosen) -> Parsed:
    samples = sum(chosen.passed_over.values())
    if not samples:
        return parsed
    return replace(
        parsed,
        left_out=Counter(parsed.left_out) + Counter({OTHER_SAMPLES: samples}),
        kinds=among(OTHER_SAMPLES, chosen.is_chosen, parsed.kinds),
    )


def _has_odd_names(data: bytes) -> bool:
    """Whether a line may be a header, or begins with an empty cell."""
    text = np.frombuffer(data, np.uint8)
    first = data[:1] + text[np.flatnonzero(text[:-1] == ord("\n")) + 1].tobytes()
    may_be_header = any(byte in first for byte in (b"m", b'"', BOM[:1]))
    return b"," in first or (may_be_header and b"metric_name" in data)


def _rows(head: Head) -> Iterator[list[str]]:
    """The lines of the head as cells, first the header; those that cannot be read have none."""
    for line in head.lines:
        if line.strip():
            try:
                yield next(csv.reader([line]), [])
            except csv.Error:
                yield []


def _names(head: Head) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in next(_rows(head), []))


def _samples(head: Head, names: Sequence[str]) -> list[dict[str, str]]:
    """The samples in the head by column, without further headers."""
    rows = (dict(zip(names, row, strict=True)) for row in _rows(head) if len(row) == len(names))
    return [row for row in rows if row["metric_name"].strip("\ufeff ") != "metric_name"]


def _open_csv(head: Head) -> Table:
    return _table(head, REQUESTS)


def _open_csv_durations(head: Head) -> Table:
    table = _table(head, REQUESTS)
    return _with_durations(table) if isinstance(table, _SampleTable) else table


def _with_durations(table: _SampleTable) -> _SampleTable:
    return replace(
        table,
        paired=True,
        steps=(*table.steps, *duration_steps(table.sample, table.sample.value)),
        columns=(*table.columns, *duration_columns()),
    )


def _open_csv_transactions(head: Head) -> Table:
    return _table(head, TRANSACTIONS)


def _table(head: Head, calls: tuple[str, ...]) -> Table:
    names = _COLUMNS.checked(head, (*_LEADING, *TAGS))
    return _table_of(
        names, _time_form(head, names), calls, is_saved_again=bool(_SAVED_AGAIN.search(head.data))
    )


def _as_logged(tag: str) -> pl.Expr:
    """A tag as k6 logs it, where a program has written truth values and whole numbers its own way."""
    if tag == "expected_response":
        return pl.col(tag).str.to_lowercase()
    return pl.col(tag).str.replace(r"^(\d+)\.0$", "$1") if tag in ("status", "error_code") else pl.col(tag)


@lru_cache(maxsize=64)  # thousands of files have one layout
def _table_of(names: tuple[str, ...], form: str, calls: tuple[str, ...], *, is_saved_again: bool) -> Table:
    tags = [name for name in TAGS if name in names]
    time, is_text = pl.col("timestamp"), form == RFC3339

    def tag(name: str) -> pl.Expr:
        if name not in tags:
            return pl.lit(None, dtype=pl.String)
        return _as_logged(name) if is_saved_again else pl.col(name)

    sample = Sample(
        metric=pl.col("metric_name"),
        time_ns=text_ns(time) if is_text else unix_ns(time, form),
        value=pl.col("metric_value"),
        tag=tag,
        tags=tags,
    )
    return _SampleTable(
        names=names,
        types={
            "metric_name": pl.String(),
            "timestamp": pl.String() if is_text else pl.Int64(),
            "metric_value": pl.Float64(),
            **dict.fromkeys(tags, pl.String()),
        },
        sample=sample,
        calls=calls,
        columns=_columns(sample, calls),
        rules=(
            text_rule("timestamp", time) if is_text else unix_rule("timestamp", form),
            *sample_rules(sample, "metric_name", "metric_value"),
        ),
        left_out=_left_out(sample, calls),
        required=frozenset(_LEADING),
        meaning=(
            ("metric_name", _METRIC_MEANING),
            ("timestamp", f"{TIME_MEANING}, {form}"),
            ("metric_value", VALUE_MEANING),
            *((name, TAGS[name]) for name in tags),
        ),
    )


def _columns(sample: Sample, calls: tuple[str, ...]) -> tuple[pl.Expr, ...]:
    return transaction_columns(sample) if calls == TRANSACTIONS else request_columns(sample)


def _left_out(sample: Sample, calls: tuple[str, ...]) -> dict[str, pl.Expr]:
    requests = {_REQUESTS_LEFT_OUT: sample.metric.is_in(REQUESTS)} if calls == TRANSACTIONS else {}
    return {**requests, OTHER_SAMPLES: other_samples(sample, calls)}


def _time_form(head: Head, names: Sequence[str]) -> str:
    """What the times of a file are in. Raises an InputError if that cannot be known."""
    times = [sample["timestamp"] for sample in _samples(head, names)]
    forms = Counter(form for time in times if (form := time_form(time)))
    if times and not forms:
        raise InputError(
            f"{head.path}: column timestamp: got {shortened(times[0])}, expected a time of 2000 to 2099 as "
            f"{listed([*UNITS, RFC3339])}"
        )
    form, number = max(forms.items(), key=itemgetter(1), default=("unix", 0))
    if number < _SHARE_OF_ONE_FORM * forms.total():
        raise InputError(
            f"{head.path}: column timestamp: its unit cannot be known: there are times as {listed(forms)}; "
            f"split the file by them"
        )
    return form


def _warnings_csv(head: Head, rows: int, facts: Mapping[str, int]) -> list[str]:
    return warnings_of(_names(head), rows, facts) + unpaired_warning(facts)


@dataclass(frozen=True, kw_only=True)
class _SampleLines(JsonLines):
    """Parses the lines of some metrics only, after a look at the ends of every line.

    Attributes:
        calls: the metrics whose samples are calls.
        paired: whether requests have their durations, which samples behind theirs tell.
    """

    calls: tuple[str, ...]
    paired: bool = False

    @property
    def framing(self) -> Framing:
        """Every line is a record; blocks are cut between requests where these have their durations."""
        framing = super().framing
        beginnings = [f'{begin.decode()}{FIRST_OF_REQUEST}"'.encode() for begin in _JSON_BEGINNINGS]
        return cut_before_requests(framing, *beginnings) if self.paired else framing

    def read(self, block: Block) -> Parsed:
        """Reads one block; whole, where rows belong together."""
        return (self._fast(block) or self._careful(block)) if self.paired else super().read(block)

    def observed(self, typed: pl.DataFrame) -> dict[str, int]:
        """What is counted for warnings."""
        return {
            **observed(_JSON_SAMPLE, self.calls, typed.filter(pl.col("type") != "Metric")),
            **(unpaired(_JSON_SAMPLE, typed) if self.paired else {}),
        }

    @property
    def _skipped(self) -> frozenset[str]:
        return EVERYDAY - set(self.calls) - (METRICS if self.paired else set())

    def _fast(self, block: Block) -> Parsed | None:
        if not _are_objects(block.data):
            return None
        chosen = chosen_lines(block, prefixes=_JSON_BEGINNINGS, end=b'"', skipped=self._skipped)
        has_lines = chosen.block.data
        parsed = (
            super()._fast(chosen.block) if has_lines else self.quick(pl.DataFrame(schema=dict(self.types)))
        )
        return parsed and _and_passed_over(parsed, chosen)

    def _row(self, raw: bytes) -> tuple[object, ...]:
        # A line that is left out unread in a good block is left out unread in a bad one too.
        metric = metric_at(raw, prefixes=_JSON_BEGINNINGS, end=b'"')
        if metric in self._skipped and _are_objects(raw):
            return ("Point", metric, None)
        return super()._row(raw)


def _are_objects(data: bytes) -> bool:
    """Whether every line begins and ends with a brace."""
    text = data.removesuffix(b"\n")
    return text.startswith(b"{") and text.endswith(b"}") and text.count(b"}\n{") == text.count(b"\n")


def _envelope(line: str) -> dict[str, Any] | None:
    """The definition or the sample of a metric that a line holds; None if it holds neither."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("type") not in ("Metric", "Point"):
        return None
    return value if isinstance(value.get("metric"), str) and isinstance(value.get("data"), dict) else None


def _is_json(head: Head) -> bool:
    lines = [line for line in head.lines if line.strip()][:_SAMPLED_LINES]
    return 2 * sum(_envelope(line) is not None for line in lines) > len(lines)


def _tag_in_json(name: str) -> pl.Expr:
    return pl.col("data").struct.field("tags").struct.field(name)


_JSON_SAMPLE: Final = Sample(
    metric=pl.col("metric"),
    time_ns=text_ns(_JSON_TIME),
    value=pl.col("data").struct.field("value"),
    tag=_tag_in_json,
    tags=tuple(TAGS),
)


def _open_json(head: Head) -> JsonLines:
    return _lines(head, REQUESTS)


def _open_json_durations(head: Head) -> JsonLines:
    _open_json(head)  # which refuses what is none
    return _json_with_durations()


@lru_cache
def _json_with_durations() -> JsonLines:
    lines = _lines_of(REQUESTS)
    return replace(
        lines,
        paired=True,
        steps=(*lines.steps, *duration_steps(_JSON_SAMPLE, _JSON_SAMPLE.value)),
        columns=(*lines.columns, *duration_columns()),
    )


def _open_json_transactions(head: Head) -> JsonLines:
    return _lines(head, TRANSACTIONS)


def _lines(head: Head, calls: tuple[str, ...]) -> JsonLines:
    if not any(_envelope(line) for line in head.lines):
        raise InputError(f"{head.path}: is no JSON of k6: it has no line with type, metric and data")
    return _lines_of(calls)


@lru_cache
def _lines_of(calls: tuple[str, ...]) -> _SampleLines:
    return _SampleLines(
        types=_JSON_TYPES,
        calls=calls,
        columns=_columns(_JSON_SAMPLE, calls),
        rules=(
            text_rule("data.time", _JSON_TIME),
            *sample_rules(_JSON_SAMPLE, "metric", "data.value", "data.tags."),
        ),
        left_out={_DEFINITIONS: pl.col("type") == "Metric", **_left_out(_JSON_SAMPLE, calls)},
        required=frozenset({"type", "metric"}),
        meaning=(
            ("metric", _METRIC_MEANING),
            ("data.time", f"{TIME_MEANING}, {RFC3339}"),
            ("data.value", VALUE_MEANING),
            *((f"data.tags.{name}", meaning) for name, meaning in TAGS.items()),
        ),
    )


def _warnings_json(_head: Head, rows: int, facts: Mapping[str, int]) -> list[str]:
    return warnings_of(TAGS, rows, facts) + unpaired_warning(facts)


def _is_summary_json(head: Head) -> bool:
    text = head.data.decode("utf-8-sig", errors="replace")
    if not text.lstrip().startswith("{") or _is_json(head) or _UNIT.search(text):
        return False
    return bool(_SUMMARY_METRIC.search(text) and _SUMMARY_KEY.search(text))


def _is_summary_text(head: Head) -> bool:
    lines = (_COLOUR.sub("", line) for line in head.lines)
    return any(map(_SUMMARY_LINE.match, lines))


K6_CSV: Final = Dialect(
    name="k6-csv",
    **_COLUMNS.known,
    key=("label", "method"),
    clock="epoch",
    closed_loop=True,
    logged_times=("end_time",),
    finer_times="k6 logs finer times with K6_CSV_TIME_FORMAT=unix_milli",
    open=_open_csv,
    open_durations=_open_csv_durations,
    open_transactions=_open_csv_transactions,
    warnings=_warnings_csv,
)

K6_JSON: Final = Dialect(
    signs=(b'"Point"', b'"Metric"'),
    name="k6-json",
    title="k6 JSON",
    key=("label", "method"),
    clock="epoch",
    closed_loop=True,
    logged_times=("end_time",),
    matches=_is_json,
    open=_open_json,
    open_durations=_open_json_durations,
    open_transactions=_open_json_transactions,
    warnings=_warnings_json,
)


K6_SUMMARY_JSON: Final = Refused(
    signs=(b"{",),
    title="k6's summary as JSON (--summary-export, handleSummary)",
    reason=_REASON,
    advice=_ADVICE,
    matches=_is_summary_json,
)

K6_SUMMARY_TEXT: Final = Refused(
    title="k6's summary as text",
    reason=_REASON,
    advice=_ADVICE,
    signs=(b"..",),
    matches=_is_summary_text,
)
