"""Gatling's simulation.log as text, as Gatling up to 3.11 writes it."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import polars as pl

from loadlens.dialects.base import Dialect, Refused, error_class, filled, numberless
from loadlens.errors import InputError
from loadlens.messages import are, counted
from loadlens.schema import LATENCY, Rule
from loadlens.text.json_records import OTHER_LINES, TextLines
from loadlens.text.record_blocks import LINES, Block, count_byte, read_by_parts
from loadlens.text.stream import Head
from loadlens.text.typed_rows import PARSE_ERRORS, Parsed, among, seconds, spread

__all__ = [
    "GATLING_OLD_TEXT",
    "GATLING_TEXT",
    "GROUPS",
    "SIMULATION_ERRORS",
    "UNMATCHED",
    "is_version",
    "request_columns",
    "warn_of_gatling",
]

SIMULATION_ERRORS: Final = "errors of the simulation"
"""What rows are counted as that tell of an error which is no request's."""

UNMATCHED: Final = "messages that no check waited for"
"""What rows are left out as that are no requests in Gatling's own statistics either."""

_NO_END: Final = -(2**63)
"""What such a row has as its end."""

_MS_PER_S = 1000
_FIRST_FAILED_CODE = 400

_REQUEST, _GROUP = "REQUEST", "GROUP"
_OTHER_KINDS: Final = ("RUN", "USER", "GROUP", "ERROR", "ASSERTION")

_LAYOUTS: Final[dict[str, tuple[str, ...]]] = {
    "2.2 to 2.3": ("scenario", "user", "groups", "name"),
    "3.0 to 3.3": ("user", "groups", "name"),
    "3.4 to 3.11": ("groups", "name"),
}
"""What stands between REQUEST and the times, by the versions of Gatling that write it so."""

_TAIL: Final = ("start", "end", "status", "message", "extra")

_GROUP_TAIL: Final = ("start", "end", "cumulated", "status")
"""What follows the groups of a row of kind GROUP, which has no name."""

GROUPS: Final = "groups"
"""What rows that tell of a group are counted as where these are what is read."""

_SPARE: Final = ("spare", "another")
"""Further cells, of which one at least is not empty where a line holds two requests."""

_RUN: Final = re.compile(r"RUN(?:\t[^\t]*){2,3}\t[0-9]{10,}\t[^\t]*\t([0-9]+)\.([0-9]+)[^\t]*")
_REQUESTS: Final = {
    layout: re.compile(rf"REQUEST(?:\t[^\t]*){{{len(names)}}}\t[0-9]+\t[0-9]+\t(?:OK|KO)(?:\t.*)?")
    for layout, names in _LAYOUTS.items()
}
_OLD: Final = re.compile(r"[^\t]*\t[^\t]*\t(?:RUN\t[0-9]+\t|(?:REQUEST|USER|GROUP)\t.*\t[0-9]{10,})")
_CANDIDATE: Final = r"^REQUEST|^(?:R|RE|REQ|REQU|REQUE|REQUES)$|\t[0-9]{10,}\t[0-9]{10,}\t(?:OK|KO)(?:\t|$)"
_GROUP_CANDIDATE: Final = (
    r"^GROUP\t[^\t]*(?:\t[0-9]{0,9})?$|^GROUP(?:\t[^\t]*){3}|^(?:G|GR|GRO|GROU|GROUP)$"
    r"|\t[0-9]{10,}\t[0-9]{10,}\t[0-9]+\t(?:OK|KO)$"
)
_TWO_IN_ONE: Final = r"\t[0-9]+\t[0-9]+\t(?:OK|KO)"

# Gatling 2 wrote its errors as groups, of three cells.
_GROUP_ERROR: Final = re.compile(rb"\nGROUP\t[^\t\n]*\t[0-9]+(?=\r?\n|\Z)")

_MEANING: Final = {
    "scenario": "name of the scenario",
    "groups": "the groups around the request, separated by commas",
    "name": "name of the request",
    "start": "start of the request, ms since 1970",
    "end": "end of the response, ms since 1970",
    "cumulated": "sum of the latencies in a group, ms; not read",
    "status": "OK, or KO for a failed request",
    "message": "how the request failed",
}


def is_version(text: str) -> bool:
    """Whether ``text`` can be a version of Gatling, such as 3.12.0 or 3.10.0.M1."""
    return re.match(r"[0-9]+\.[0-9]", text) is not None


def request_columns(
    *, label: pl.Expr, start: pl.Expr, end: pl.Expr, success: pl.Expr, message: pl.Expr | None
) -> tuple[pl.Expr, ...]:
    """The canonical columns of requests, and of groups.

    Args:
        label: the name after the groups around it.
        start: ms since 1970, Int64.
        end: ms since 1970, Int64.
        success: whether the request succeeded.
        message: how it failed; None where that is not told.
    """
    failed = ~success.fill_null(value=True)
    error = pl.when(failed).then(pl.lit("failed")) if message is None else _error(failed, message)
    return (
        success.alias("success"),
        error.alias("error"),
        seconds(start, per_second=_MS_PER_S).alias("start_time"),
        seconds(end, per_second=_MS_PER_S).alias("end_time"),
        (end - start).cast(pl.Float64).alias(LATENCY),
        label.alias("label"),
    )


def _error(failed: pl.Expr, message: pl.Expr) -> pl.Expr:
    """The status that a failed request was answered with, else the beginning of its message."""
    text = message.filter(failed)
    code = text.str.extract(r"^status\b.*\b(?:actually|unexpectedly)(?: found)? ([0-9]{3})\b")
    passed = code.cast(pl.Int64) < _FIRST_FAILED_CODE
    status = pl.when(passed).then(pl.lit("failed with ") + code).otherwise(code)
    words = filled(numberless(error_class(text, ":(,/")))
    return spread(pl.coalesce(status, words, pl.lit("failed")), failed)


@dataclass(frozen=True, kw_only=True)
class _SimulationLog(TextLines):
    """Reads rows of which those of requests are of one layout and the others of any.

    A block is parsed at once as cells of text. Only where a row is not what it should be, every line of
    the same block is looked at.

    Attributes:
        names: the cells of a row that is read after the first one.
        kind: the first cell of the rows that are read, ``REQUEST`` or ``GROUP``.
    """

    names: tuple[str, ...]
    kind: str = _REQUEST

    def observed(self, typed: pl.DataFrame) -> dict[str, int]:
        """Which rows are read, for warnings."""
        return {GROUPS: typed.height} if self.kind == _GROUP else {}

    def read(self, block: Block) -> Parsed:
        """Reads one block; bad lines become rejects."""
        parsed = self._fast(block) or read_by_parts(block, LINES, self._read, fast=self._fast)
        errors = _count_errors(block.data)
        return replace(parsed, facts={**parsed.facts, SIMULATION_ERRORS: errors}) if errors else parsed

    def _fast(self, block: Block) -> Parsed | None:
        try:
            cells = self._cells(block.data)
        except PARSE_ERRORS:
            return None
        lines = count_byte(block.data, ord("\n")) + (not block.data.endswith(b"\n"))
        kind = cells.get_column("kind").fill_null("")
        is_read = kind == self.kind
        if self.kind == _GROUP:
            is_call = pl.col("status").is_not_null() | ~_is_group_error(self.names)
            is_read &= cells.select(is_call).to_series()
        requests = cells.filter(is_read)
        all_known = kind.is_in((_REQUEST, *_OTHER_KINDS)).all()
        beyond = [name for name in ("extra", *_SPARE) if name in cells.columns]
        longer = requests.select(pl.any_horizontal(pl.col(beyond).is_not_null()).any()).item()
        if cells.height != lines or not all_known or longer:
            return None
        typed = requests.select(pl.col(name).cast(dtype, strict=False) for name, dtype in self.types.items())
        parsed = self.quick(typed)
        others = cells.height - requests.height
        if parsed is None or not others:
            return parsed
        return replace(
            parsed,
            facts={**parsed.facts, OTHER_LINES: others},
            kinds=among(OTHER_LINES, is_read, parsed.kinds),
        )

    def _cells(self, data: bytes) -> pl.DataFrame:
        """The cells of every line; the cells that a short one lacks are null."""
        names = ("kind", *self.names, *_SPARE)
        # Polars takes the first line's width for all; one that is wide enough must come first.
        widest = b"\t" * (len(names) - 1) + b"\n"
        return pl.read_csv(
            widest + data,
            has_header=False,
            schema=dict.fromkeys(names, pl.String()),
            separator="\t",
            quote_char=None,
            truncate_ragged_lines=True,
            glob=False,
        ).slice(1)


def _is_group_error(names: tuple[str, ...]) -> pl.Expr:
    """Whether a row of kind GROUP is an error: a message and a time, and nothing more."""
    _, time, *others = names
    is_time = pl.col(time).str.contains("^[0-9]{10,}$").fill_null(value=False)
    return is_time & pl.all_horizontal(pl.col(others).is_null())


def _count_errors(data: bytes) -> int:
    text = b"\n" + data
    return text.count(b"\nERROR\t") + len(_GROUP_ERROR.findall(text))


def _layout(head: Head) -> str | None:
    """The layout of most of the requests or, where there are none yet, of the version."""
    found = Counter(layout for line in head.lines if (layout := _layout_of(line)))
    if found:
        return found.most_common(1)[0][0]
    runs = (match for line in head.lines if (match := _RUN.fullmatch(line)))
    return next((_layout_by_version(int(run[1]), int(run[2])) for run in runs), None)


def _layout_of(line: str) -> str | None:
    if not line.startswith("REQUEST\t"):
        return None
    return next((layout for layout, pattern in _REQUESTS.items() if pattern.fullmatch(line)), None)


def _layout_by_version(major: int, minor: int) -> str:
    oldest, middle, newest = _LAYOUTS
    if major < 3:  # noqa: PLR2004  # versions of Gatling
        return oldest
    return middle if (major, minor) < (3, 4) else newest


def _matches(head: Head) -> bool:
    return _layout(head) is not None


def _open(head: Head) -> _SimulationLog:
    return _requests((*_LAYOUTS[_known_layout(head)], *_TAIL))


def _open_groups(head: Head) -> _SimulationLog:
    *place, _name = _LAYOUTS[_known_layout(head)]
    return _groups((*place, *_GROUP_TAIL))


def _known_layout(head: Head) -> str:
    layout = _layout(head)
    if layout is None:
        raise InputError(
            f"{head.path}: is no text of Gatling: it has no row RUN with a version, and none of its rows is "
            f"REQUEST with start, end and OK or KO; expected the file simulation.log of Gatling "
            f"{', '.join(_LAYOUTS)}"
        )
    return layout


@lru_cache  # thousands of files have one layout
def _requests(names: tuple[str, ...]) -> _SimulationLog:
    extra = Rule(
        column="extra", expected="one request in a line", broken=pl.col("extra").str.contains(_TWO_IN_ONE)
    )
    return _reader(
        names,
        kind=_REQUEST,
        label=_joined(pl.col("groups"), pl.col("name")),
        message=pl.col("message"),
        pattern=_pattern(names),
        candidate=_CANDIDATE,
        rules=(extra,),
        left_out={UNMATCHED: pl.col("end") == _NO_END},
    )


@lru_cache
def _groups(names: tuple[str, ...]) -> _SimulationLog:
    cells = "".join(rf"\t(?P<{name}>[^\t]*)" for name in names)
    return _reader(
        names,
        kind=_GROUP,
        label=_joined(pl.col("groups")),
        message=None,
        pattern=f"^GROUP{cells}$",
        candidate=_GROUP_CANDIDATE,
    )


def _joined(groups: pl.Expr, *name: pl.Expr) -> pl.Expr:
    """The names of groups, and of a request in them, as one."""
    path = groups.str.replace_all(",", " / ", literal=True)
    return pl.concat_str([path, *name], separator=" / ", ignore_nulls=True)


def _reader(
    names: tuple[str, ...],
    *,
    kind: str,
    label: pl.Expr,
    message: pl.Expr | None,
    pattern: str,
    candidate: str,
    rules: tuple[Rule, ...] = (),
    left_out: Mapping[str, pl.Expr] | None = None,
) -> _SimulationLog:
    types: dict[str, pl.DataType] = {name: pl.String() for name in names if name != "user"}
    types |= {"start": pl.Int64(), "end": pl.Int64()}
    status, start, end = pl.col("status"), pl.col("start"), pl.col("end")
    columns = request_columns(
        label=label,
        start=start,
        end=end,
        success=pl.when(status.is_in(["OK", "KO"])).then(status == "OK"),
        message=message,
    )
    scenario = (pl.col("scenario").fill_null("").alias("scenario"),) if "scenario" in names else ()
    return _SimulationLog(
        names=names,
        kind=kind,
        pattern=pattern,
        candidate=candidate,
        types=types,
        columns=(*columns, *scenario),
        rules=(
            Rule(column="status", expected="OK or KO", broken=~status.is_in(["OK", "KO"])),
            Rule(column="start", expected="0 or more", broken=start < 0),
            Rule(column="end", expected="an end that is not before its start", broken=end < start),
            *rules,
        ),
        left_out=left_out or {},
        required=frozenset({"start", "end", "status"}),
        meaning=tuple((name, _MEANING[name]) for name in names if name in _MEANING),
    )


def _pattern(names: tuple[str, ...]) -> str:
    *needed, message, extra = names
    cells = "".join(rf"\t(?P<{name}>[^\t]*)" for name in needed)
    return rf"^REQUEST{cells}(?:\t(?P<{message}>[^\t]*)(?P<{extra}>\t.*)?)?$"


def warn_of_gatling(_head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    """What no log of Gatling can tell, and errors that are not among its requests."""
    found = ["it tells no sizes, no status of requests that succeeded, and times in whole ms only"]
    if facts.get(GROUPS):
        found.append(
            "latencies of groups are their spans from start to end, pauses included; Gatling's cumulated "
            "response times leave pauses out"
        )
    errors = facts.get(SIMULATION_ERRORS)
    if errors:
        found.append(
            f"{counted(errors, 'error')} of the simulation, such as requests that could not be built, "
            f"{are(errors)} no requests and not counted as failures"
        )
    return found


GATLING_TEXT: Final = Dialect(
    signs=(b"\t",),
    name="gatling-text",
    title="Gatling's simulation.log as text",
    key=("label",),
    clock="epoch",
    closed_loop=False,
    matches=_matches,
    open=_open,
    open_transactions=_open_groups,
    warnings=warn_of_gatling,
)


def _is_old(head: Head) -> bool:
    return any(_OLD.match(line) for line in head.lines[:20])


GATLING_OLD_TEXT: Final = Refused(
    signs=(b"\t",),
    title="a simulation.log of Gatling 2.1 or older",
    reason="its rows name their kind in the third column, a layout that is not supported",
    advice="run the simulation with Gatling 2.2 or later",
    matches=_is_old,
)
