"""k6's samples, as CSV and as lines of JSON: many for each request, of which one tells its latency."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from loadlens.errors import InputError
from loadlens.sources.dialects.base import Dialect, Refused
from loadlens.sources.dialects.headers import Columns
from loadlens.sources.dialects.k6_samples import (
    OTHER_SAMPLES,
    REQUEST,
    RFC3339,
    TAGS,
    TIME_MEANING,
    UNITS,
    VALUE_MEANING,
    Sampled,
    and_left_out,
    canonical_columns,
    count_lines,
    lines_with,
    tag_rules,
    text_ns,
    text_rule,
    time_form,
    unix_ns,
    unix_rule,
    value_rule,
    warnings_of,
)
from loadlens.sources.parsed import Parsed
from loadlens.sources.text.blocks import Block
from loadlens.sources.text.delimited import Table
from loadlens.sources.text.jsonlines import JsonLines
from loadlens.sources.text.stream import BOM, Head
from loadlens.sources.wording import listed, shortened

__all__ = ["K6_CSV", "K6_JSON", "K6_SUMMARY_JSON", "K6_SUMMARY_TEXT"]

_LEADING: Final = ("metric_name", "timestamp", "metric_value")
_COLUMNS: Final = Columns(
    title="k6 CSV",
    known_by=frozenset(_LEADING),
    needed=frozenset(_LEADING),
    marks=frozenset({"metric_name", "metric_value", "expected_response", "extra_tags", "tls_version"}),
    advice="write it with `k6 run --out csv=log.csv`",
)
_METRIC_MEANING: Final = f"what was measured; only {REQUEST} is read"
_SAMPLED_LINES = 20

_DEFINITIONS: Final = "metric definitions"
_NAME_IN_JSON: Final = f'"{REQUEST}"'
_DEFINITION_IN_JSON: Final = b'"type":"Metric"'

_METRICS: Final = (
    "http_req_[a-z_]+|http_reqs|iterations|iteration_duration|vus|vus_max|data_sent|data_received"
)
_SUMMARY_KEY: Final = re.compile(r'"metrics"\s*:\s*[{\[]')
_SUMMARY_METRIC: Final = re.compile(rf'"(?:{_METRICS})"')
_SUMMARY_LINE: Final = re.compile(rf"\s*(?:[✓✗] )?(?:{_METRICS})\s?\.{{2,}}:\s")
_LEAST_SUMMARY_METRICS = 2
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class _SampleTable(Table):
    """Reads the lines of requests only, after a look at the width and the beginning of every line."""

    def _fast(self, block: Block) -> Parsed | None:
        if not block.is_regular or not self._has_width(block.data) or _has_odd_names(block.data):
            return None
        chosen = lines_with(REQUEST.encode(), block)
        parsed = super()._fast(chosen) if chosen.data else self.quick(pl.DataFrame(schema=dict(self.types)))
        others = count_lines(block.data) - count_lines(chosen.data)
        return parsed and and_left_out(parsed, {OTHER_SAMPLES: others})


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
    names = _COLUMNS.checked(head, (*_LEADING, *TAGS))
    form = _time_form(head, names)
    tags = [name for name in TAGS if name in names]
    time, latency = pl.col("timestamp"), pl.col("metric_value")
    is_text = form == RFC3339

    def tag(name: str) -> pl.Expr:
        return pl.col(name) if name in tags else pl.lit(None, dtype=pl.String)

    return _SampleTable(
        names=names,
        types={
            "metric_name": pl.String(),
            "timestamp": pl.String() if is_text else pl.Int64(),
            "metric_value": pl.Float64(),
            **dict.fromkeys(tags, pl.String()),
        },
        columns=canonical_columns(
            end_ns=text_ns(time) if is_text else unix_ns(time, form), latency=latency, tag=tag, names=tags
        ),
        rules=(
            text_rule("timestamp", time) if is_text else unix_rule("timestamp", form),
            value_rule("metric_value", latency),
            *tag_rules(tag, tags),
        ),
        left_out={OTHER_SAMPLES: pl.col("metric_name") != REQUEST},
        required=frozenset(_LEADING),
        meaning=(
            ("metric_name", _METRIC_MEANING),
            ("timestamp", f"{TIME_MEANING}, {form}"),
            ("metric_value", VALUE_MEANING),
            *((name, TAGS[name]) for name in tags),
        ),
    )


def _time_form(head: Head, names: Sequence[str]) -> str:
    """What the times of a file are in. Raises an InputError if that cannot be known."""
    times = [sample["timestamp"] for sample in _samples(head, names)]
    forms = {form for time in times if (form := time_form(time))}
    if len(forms) > 1:
        raise InputError(
            f"{head.path}: column timestamp: its unit cannot be known: there are times as {listed(forms)}; "
            f"split the file by them"
        )
    if times and not forms:
        raise InputError(
            f"{head.path}: column timestamp: got {shortened(times[0])}, expected a time of 2000 to 2099 as "
            f"{listed([*UNITS, RFC3339])}"
        )
    return forms.pop() if forms else "unix"


def _warnings_csv(head: Head, rows: int, _facts: Mapping[str, int]) -> list[str]:
    names = _names(head)
    samples = _samples(head, names)
    requests = [sample for sample in samples if sample["metric_name"] == REQUEST]
    sampled = Sampled(
        names=frozenset(names),
        requests=tuple({name: cell for name, cell in request.items() if cell} for request in requests),
        whole_seconds=bool(samples) and not any(_has_fraction(sample["timestamp"]) for sample in samples),
    )
    return warnings_of(sampled, rows)


def _has_fraction(time: str) -> bool:
    return "." in time or time_form(time) in set(UNITS) - {"unix"}


class _SampleLines(JsonLines):
    """Parses the lines of requests only, after a look at the ends of every line."""

    def _fast(self, block: Block) -> Parsed | None:
        if not _are_objects(block.data):
            return None
        chosen = lines_with(_NAME_IN_JSON.encode(), block)
        parsed = super()._fast(chosen) if chosen.data else self.quick(pl.DataFrame(schema=dict(self.types)))
        others = count_lines(block.data) - count_lines(chosen.data)
        definitions = _count_definitions(block) - _count_definitions(chosen)
        left_out = {_DEFINITIONS: definitions, OTHER_SAMPLES: others - definitions}
        return parsed and and_left_out(parsed, left_out)

    def _row(self, raw: bytes) -> tuple[object, ...]:
        # A line that is left out unread in a good block is left out unread in a bad one too.
        if _NAME_IN_JSON.encode() in raw or not _are_objects(raw):
            return super()._row(raw)
        return ("Metric" if _DEFINITION_IN_JSON in raw else "Point", "", None)


def _count_definitions(block: Block) -> int:
    return count_lines(lines_with(_DEFINITION_IN_JSON, block).data)


def _are_objects(data: bytes) -> bool:
    """Whether every line begins and ends with a brace."""
    text = data.removesuffix(b"\n")
    breaks = count_lines(text) - 1
    return text.startswith(b"{") and text.endswith(b"}") and text.count(b"}\n{") == breaks


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


def _open_json(head: Head) -> JsonLines:
    if not any(_envelope(line) for line in head.lines):
        raise InputError(f"{head.path}: is no JSON of k6: it has no line with type, metric and data")
    time, latency = (pl.col("data").struct.field(name) for name in ("time", "value"))
    tags = pl.Struct(dict.fromkeys(TAGS, pl.String()))
    return _SampleLines(
        types={
            "type": pl.String(),
            "metric": pl.String(),
            "data": pl.Struct({"time": pl.String(), "value": pl.Float64(), "tags": tags}),
        },
        columns=canonical_columns(end_ns=text_ns(time), latency=latency, tag=_tag_in_json, names=TAGS),
        rules=(
            text_rule("data.time", time),
            value_rule("data.value", latency),
            *tag_rules(_tag_in_json, TAGS, prefix="data.tags."),
        ),
        left_out={_DEFINITIONS: pl.col("type") == "Metric", OTHER_SAMPLES: pl.col("metric") != REQUEST},
        required=frozenset({"type", "metric"}),
        meaning=(
            ("metric", _METRIC_MEANING),
            ("data.time", f"{TIME_MEANING}, {RFC3339}"),
            ("data.value", VALUE_MEANING),
            *((f"data.tags.{name}", meaning) for name, meaning in TAGS.items()),
        ),
    )


def _warnings_json(head: Head, rows: int, _facts: Mapping[str, int]) -> list[str]:
    envelopes = [_envelope(line) for line in head.lines if _NAME_IN_JSON in line]
    tags = [found["data"].get("tags") for found in envelopes if found and found["type"] == "Point"]
    requests = [{name: text for name, text in one.items() if text} for one in tags if isinstance(one, dict)]
    # Only failed requests have an error, so that it may come later.
    names = frozenset({"error", "error_code"}.union(*requests))
    return warnings_of(Sampled(names=names, requests=tuple(requests)), rows)


def _is_summary_json(head: Head) -> bool:
    text = head.data.decode("utf-8-sig", errors="replace")
    if not text.lstrip().startswith("{") or _is_json(head):
        return False
    has_metrics = len(set(_SUMMARY_METRIC.findall(text))) >= _LEAST_SUMMARY_METRICS
    return has_metrics and bool(_SUMMARY_KEY.search(text))


def _is_summary_text(head: Head) -> bool:
    lines = (_COLOUR.sub("", line) for line in head.lines)
    return sum(bool(_SUMMARY_LINE.match(line)) for line in lines) >= _LEAST_SUMMARY_METRICS


K6_CSV: Final = Dialect(
    name="k6-csv",
    title=_COLUMNS.title,
    key=("label",),
    clock="epoch",
    closed_loop=True,
    matches=_COLUMNS.match,
    near_miss=_COLUMNS.near_miss,
    open=_open_csv,
    warnings=_warnings_csv,
)

K6_JSON: Final = Dialect(
    name="k6-json",
    title="k6 JSON",
    key=("label",),
    clock="epoch",
    closed_loop=True,
    matches=_is_json,
    open=_open_json,
    warnings=_warnings_json,
)

_REASON: Final = "it holds aggregates, not single requests"
_ADVICE: Final = "log them with `k6 run --out csv=log.csv` or `k6 run --out json=log.json`"

K6_SUMMARY_JSON: Final = Refused(
    title="k6's summary as JSON (--summary-export, handleSummary)",
    reason=_REASON,
    advice=_ADVICE,
    matches=_is_summary_json,
)

K6_SUMMARY_TEXT: Final = Refused(
    title="k6's summary as text", reason=_REASON, advice=_ADVICE, matches=_is_summary_text
)
