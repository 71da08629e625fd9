"""JMeter's JTL files as CSV: one row for each sample."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import Columns, Dialect, cells_of
from loadlens.dialects.durations import Logged, table_with
from loadlens.dialects.jmeter_samples import (
    MILLISECONDS,
    REQUESTS,
    SUMS,
    SUMS_ADVICE,
    SampleTable,
    TimeForm,
    failure_class,
    form_names,
    is_transaction,
    may_belong,
    nesting_warnings,
    spans,
    status,
    time_form,
    time_rule,
)
from loadlens.errors import InputError
from loadlens.messages import listed
from loadlens.schema import LATENCY, Rule
from loadlens.storage.location import read_part
from loadlens.text.delimited import Table
from loadlens.text.stream import HEAD_BYTES, Head
from loadlens.text.typed_rows import seconds, spread

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

_NEVER_SHIPPED: Final = {"Filename", "Encoding", "SampleCount", "ErrorCount", "Hostname"}
_SINCE_5: Final = tuple(name for name in _ALL_COLUMNS if name not in _NEVER_SHIPPED)
_SINCE_3_1: Final = tuple(name for name in _SINCE_5 if name != "URL")
_OF_3_0: Final = tuple(name for name in _SINCE_3_1 if name not in {"sentBytes", "Connect"})
_OF_2_13: Final = tuple(name for name in _OF_3_0 if name not in {"failureMessage", "IdleTime"})
_UP_TO_2_12: Final = tuple(name for name in _OF_2_13 if name not in {"grpThreads", "allThreads"})
_LAYOUTS: Final = {
    len(names): names for names in (_ALL_COLUMNS, _SINCE_5, _SINCE_3_1, _OF_3_0, _OF_2_13, _UP_TO_2_12)
}
"""What JMeter has written by default, up to 2.13 without a header, by the number of columns."""

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
    "SampleCount": pl.Int64(),
}

_DURATIONS: Final = {"connect": Logged(source="Connect"), "first_byte": Logged(source="Latency")}
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
    "SampleCount": "how many samples the row sums up, which must be 1",
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
_LEAST_KNOWN_COLUMNS = 3
_SAMPLED_LINES = 20
_FIRST_FAILED_CODE = 400
_OTHER_TIMES: Final = "times of another form"
_MS_PER_S = 1000


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """The columns of a file, and how its times are written.

    Attributes:
        separator: what stands between cells.
        names: the columns, in order.
        has_header: whether the first line names them.
        form: how times are written.
        is_ambiguous: whether the form could be another one too.
        clock_ms: how fine times are.
        lines: the lines of the head behind the header.
    """

    separator: str
    names: tuple[str, ...]
    has_header: bool
    form: TimeForm = MILLISECONDS
    is_ambiguous: bool = False
    clock_ms: int = 1
    lines: tuple[str, ...]

    def times(self, lines: Iterable[str]) -> list[str]:
        """The times in ``lines`` that have all cells."""
        rows = (cells_of(line, self.separator) for line in lines)
        at = self.names.index("timeStamp")
        return [row[at] for row in rows if len(row) == len(self.names) and row[at]]


def _layout(head: Head) -> _Layout | None:
    """The columns of a file by its header or, where it has none, by the number and kind of its cells."""
    lines = tuple(line for line in head.lines if line.strip())
    sampled = lines[: _SAMPLED_LINES + 1]
    for separator in _SEPARATORS:
        rows = [cells_of(line, separator) for line in sampled]
        if rows and _is_header(rows[0]):
            return _Layout(separator=separator, names=rows[0], has_header=True, lines=lines[1:])
    for separator in _SEPARATORS:
        rows = [cells_of(line, separator) for line in sampled]
        widths = {len(row) for row in rows}
        for names in (names for width, names in _LAYOUTS.items() if width in widths):
            if 2 * sum(_fits(row, names) for row in rows) > len(rows):
                return _Layout(separator=separator, names=names, has_header=False, lines=lines)
    return None


def _is_header(cells: Sequence[str]) -> bool:
    return "elapsed" in cells and len(set(cells) & set(_ALL_COLUMNS)) >= _LEAST_KNOWN_COLUMNS


def _fits(row: Sequence[str], names: Sequence[str]) -> bool:
    """Whether the cells of a row without a header can be what ``names`` says."""
    if len(row) != len(names):
        return False
    cells = dict(zip(names, row, strict=True))
    numbers = {"elapsed", "bytes", "grpThreads", "allThreads", "Latency", "Connect"} & set(names)
    return (
        cells["success"].lower() in {"true", "false"}
        and all(cells[name].removeprefix("-").isdecimal() for name in numbers)
        and _is_time(cells["timeStamp"])
    )


def _is_time(text: str) -> bool:
    try:
        time_form([text])
    except ValueError:
        return False
    return True


def _matches(head: Head) -> bool:
    return _layout(head) is not None


def _known_layout(head: Head) -> _Layout:
    """The columns of a file, and how its times are written.

    Raises:
        InputError: it is no such file, or its times cannot be read.
    """
    layout = _layout(head)
    if layout is None:
        widths = ", ".join(str(width) for width in sorted(_LAYOUTS))
        raise InputError(
            f"{head.path}: is no JMeter CSV: it has no header with the column elapsed, and its rows are not "
            f"the columns that JMeter writes by default ({widths} of them); write it with "
            f"jmeter.save.saveservice.print_field_names=true"
        )
    _check_names(head, layout)
    try:
        return _timed(head, layout)
    except ValueError as error:
        raise InputError(
            f"{head.path}: column timeStamp: got {str(error)!r}, expected ms since 1970 or a time as "
            f"{listed(form_names())}"
        ) from None


def _timed(head: Head, layout: _Layout) -> _Layout:
    """The same with the form of its times; where the first rows fit two, the head and the end decide."""
    times = layout.times(layout.lines[:_SAMPLED_LINES])
    form, is_ambiguous = time_form(times)
    if is_ambiguous:
        times = layout.times((*layout.lines, *_last_lines(head)))
        form, is_ambiguous = time_form(times)
    return replace(layout, form=form, is_ambiguous=is_ambiguous, clock_ms=form.clock_ms(times))


def _last_lines(head: Head) -> Sequence[str]:
    """The last lines of a file that is longer than its head; none of a compressed one."""
    if head.is_whole or head.compression:
        return ()
    data = read_part(head.path, max(head.size - HEAD_BYTES, 0), HEAD_BYTES)
    return data.decode(errors="replace").splitlines()[1:]


def _open(head: Head) -> SampleTable:
    layout = _known_layout(head)
    table = _samples(replace(layout, lines=()))
    return replace(table, is_nested=True) if _is_nested(layout) else table


@lru_cache(maxsize=64)  # thousands of files have one layout
def _samples(layout: _Layout) -> SampleTable:
    table = _table(layout)
    names, refused = set(layout.names), _refused(layout)
    if not {"label", "responseMessage"} & names:
        spanning = replace(table, spans=_spans(layout))
        return SampleTable(plain=table, spanning=spanning, is_nested=False, refused=refused)
    needed: dict[str, pl.DataType] = {
        name: pl.String() for name in ("threadName", "Hostname", "IdleTime") if name in names
    }
    marks = may_belong(_text("responseMessage", names), _text("label", names))
    return SampleTable(
        plain=replace(table, spans=(marks.alias("may belong"),)),
        spanning=replace(table, types={**table.types, **needed}, spans=_spans(layout)),
        is_nested=False,
        refused=refused,
    )


def _is_nested(layout: _Layout) -> bool:
    """Whether the head has rows that may belong to others."""
    wanted = [layout.names.index(name) for name in ("label", "responseMessage") if name in layout.names]
    rows = (cells_of(line, layout.separator) for line in layout.lines)
    cells = {tuple(row[at] for at in wanted) for row in rows if len(row) == len(layout.names)}
    names = tuple(name for name in ("label", "responseMessage") if name in layout.names)
    return _any_may_belong(names, frozenset(cells))


@lru_cache(maxsize=1024)  # thousands of files have the same few names
def _any_may_belong(names: tuple[str, ...], cells: frozenset[tuple[str, ...]]) -> bool:
    frame = pl.DataFrame(list(cells), schema=dict.fromkeys(names, pl.String), orient="row")
    marks = may_belong(_text("responseMessage", set(names)), _text("label", set(names)))
    return bool(frame.select(marks.any()).item()) if frame.height else False


def _text(name: str, names: Collection[str]) -> pl.Expr:
    """A column of text; null where the file has none."""
    return pl.col(name) if name in names else pl.lit(None, dtype=pl.String)


def _spans(layout: _Layout) -> tuple[pl.Expr, ...]:
    threads = [pl.col(name).fill_null("") for name in ("threadName", "Hostname") if name in layout.names]
    return spans(
        thread=pl.concat_str(threads, separator="\n") if "threadName" in layout.names else None,
        start_ms=layout.form.ms(pl.col("timeStamp")),
        elapsed=pl.col("elapsed"),
        idle=pl.col("IdleTime") if "IdleTime" in layout.names else None,
        label=_text("label", layout.names),
        message=_text("responseMessage", layout.names),
        clock_ms=layout.clock_ms,
    )


def _open_durations(head: Head) -> SampleTable:
    layout = _known_layout(head)
    table = _samples_with_durations(replace(layout, lines=()))
    return replace(table, is_nested=True) if _is_nested(layout) else table


@lru_cache(maxsize=64)
def _samples_with_durations(layout: _Layout) -> SampleTable:
    table = _samples(layout)
    plain, spanning = (
        _with_worker(table_with(one, _DURATIONS), layout) for one in (table.plain, table.spanning)
    )
    return replace(table, plain=plain, spanning=spanning)


def _with_worker(table: Table, layout: _Layout) -> Table:
    """The same with the column ``worker``: the thread, and the host where several take part."""
    names = [name for name in ("Hostname", "threadName") if name in layout.names]
    if "threadName" not in names:
        return table
    worker = pl.concat_str([pl.col(name).fill_null("") for name in names], separator=" ")
    cells: dict[str, pl.DataType] = {name: pl.String() for name in names}
    columns = (*table.columns, worker.alias("worker"))
    return replace(table, types={**table.types, **cells}, columns=columns)


def _open_transactions(head: Head) -> SampleTable:
    """The reader of the rows of transaction controllers alone."""
    layout = _known_layout(head)
    if "responseMessage" not in layout.names:
        raise InputError(
            f"{head.path}: has no column responseMessage, which tells transaction controllers from samples; "
            f"write it with jmeter.save.saveservice.response_message=true, or leave out --level"
        )
    table = _table(layout)
    left_out = {REQUESTS: ~is_transaction(pl.col("responseMessage")), **table.left_out}
    table = replace(table, left_out=left_out)
    return SampleTable(plain=table, spanning=table, is_nested=False, refused=_refused(layout))


def _refused(layout: _Layout) -> dict[str, str]:
    """Why logs with rows that cannot be counted are refused, by what these are left out as."""
    other = layout.form.other
    times = (
        f"fit {layout.form.name} at first, but these are {other.name}; {_say_form(other)}" if other else ""
    )
    return {SUMS: SUMS_ADVICE, **({_OTHER_TIMES: times} if times else {})}


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


def _table(layout: _Layout) -> Table:
    names = [name for name in _TYPES if name in layout.names]
    types = {name: _TYPES[name] for name in names}
    if layout.form.is_text:
        types["timeStamp"] = pl.String()
    left_out = {}
    if "SampleCount" in names:
        left_out[SUMS] = (pl.col("SampleCount") > 1).fill_null(value=False)
    if layout.form.other is not None:
        time = pl.col("timeStamp")
        left_out[_OTHER_TIMES] = layout.form.ms(time).is_null() & layout.form.other.ms(time).is_not_null()
    return Table(
        separator=layout.separator,
        names=layout.names,
        has_header=layout.has_header,
        types=types,
        columns=_columns(names, layout.form),
        rules=_rules(names, layout.form),
        left_out=left_out,
        required=frozenset(names) & {"timeStamp", "elapsed", "success"},
        meaning=tuple((name, _MEANING[name]) for name in names),
    )


def _columns(names: Sequence[str], form: TimeForm) -> tuple[pl.Expr, ...]:
    start, latency = form.ms(pl.col("timeStamp")), pl.col("elapsed")
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


def _success(names: Sequence[str]) -> pl.Expr:
    if "success" in names:
        return pl.col("success")
    if "responseCode" in names:
        code = status(pl.col("responseCode")).cast(pl.Int64, strict=False)
        return (code < _FIRST_FAILED_CODE).fill_null(value=False)
    return pl.lit(True)


def _error(names: Sequence[str]) -> pl.Expr:
    """The status of a failed sample; where it has none, the beginning of its message."""
    failed = (~_success(names)).fill_null(value=True)
    code, *messages = (
        pl.col(name).filter(failed) if name in names else None
        for name in ("responseCode", "failureMessage", "responseMessage")
    )
    if not {"responseCode", "failureMessage", "responseMessage"} & set(names):
        return pl.when(failed).then(pl.lit("failed"))
    return spread(failure_class(code, [text for text in messages if text is not None]), failed)


def _rules(names: Sequence[str], form: TimeForm) -> tuple[Rule, ...]:
    rules = [
        Rule(column=name, expected="0 or more", broken=pl.col(name) < 0)
        for name in ("elapsed", "bytes", "sentBytes")
        if name in names
    ]
    return (*rules, time_rule("timeStamp", form))


def _warnings(head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    layout = _known_layout(head)
    found = []
    if not layout.has_header:
        found.append(f"it has no header: its {len(layout.names)} columns are taken in JMeter's own order")
    found += _time_warnings(layout)
    if "success" not in layout.names:
        how = "the status is 400 or more, or no number" if "responseCode" in layout.names else ""
        found.append(
            f"it has no column success: a sample counts as failed where {how}"
            if how
            else "it has no columns success and responseCode: every sample counts as successful"
        )
    if "responseMessage" not in layout.names:
        found.append("it has no column responseMessage: transaction controllers cannot be told from samples")
    nesting = nesting_warnings(facts)
    if nesting and "threadName" not in layout.names:
        found.append(
            "it has no column threadName: what belongs to a transaction or is part of a sample is told by "
            "times and names alone"
        )
    return found + nesting


def _time_warnings(layout: _Layout) -> list[str]:
    if not layout.form.is_text:
        return []
    zone = "its times have no time zone: they are taken as UTC"
    other = layout.form.other
    if not layout.is_ambiguous or other is None:
        return [zone]
    taken = (
        f"its times could be {layout.form.name} or {other.name}, and are taken as {layout.form.name}; "
        f"{_say_form(other)}"
    )
    return [zone, taken]


def _say_form(form: TimeForm) -> str:
    return (
        f"if they are {form.name}, say so with --map 'start=timeStamp:format:{form.strftime}' and "
        f"latency=elapsed:ms, label=label, success=success"
    )


JMETER_CSV: Final = Dialect(
    name="jmeter-csv",
    title=_COLUMNS.title,
    key=("label",),
    clock="epoch",
    closed_loop=True,
    logged_times=("start_time",),
    finer_times="JMeter logs finer times with jmeter.save.saveservice.timestamp_format=ms",
    matches=_matches,
    near_miss=_COLUMNS.near_miss,
    open=_open,
    open_durations=_open_durations,
    open_transactions=_open_transactions,
    warnings=_warnings,
)
