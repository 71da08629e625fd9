"""What k6's formats share: from the time, the value and the tags of a sample to a canonical row."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from loadlens.schema import LATENCY, Rule
from loadlens.sources.dialects.names import MAX_CLASS_CHARACTERS, filled, url_name
from loadlens.sources.parsed import Parsed, seconds
from loadlens.sources.text.blocks import Block, count_byte
from loadlens.sources.text.framing import line_end

__all__ = [
    "OTHER_SAMPLES",
    "REQUEST",
    "RFC3339",
    "TAGS",
    "TIME_MEANING",
    "UNITS",
    "VALUE_MEANING",
    "Sampled",
    "Tag",
    "and_left_out",
    "canonical_columns",
    "count_lines",
    "lines_with",
    "tag_rules",
    "text_ns",
    "text_rule",
    "time_form",
    "unix_ns",
    "unix_rule",
    "value_rule",
    "warnings_of",
]

REQUEST: Final = "http_req_duration"
"""The metric of which k6 writes exactly one sample for each HTTP request."""

OTHER_SAMPLES: Final = "samples of other metrics"
"""What all other samples are left out as."""

TAGS: Final = {
    "expected_response": "whether the status is one that the script expects",
    "error": "what went wrong, where no response came",
    "error_code": "k6's number for what went wrong; from 1400 on, 1000 more than the status",
    "status": "HTTP status; 0 where no response came",
    "name": "name of the request: its URL, unless the script gives another",
    "url": "URL of the request",
    "method": "HTTP method",
    "scenario": "scenario of the script",
    "group": "group of the script",
}
"""The tags that are read, and what they are."""

TIME_MEANING: Final = "end of the request"
VALUE_MEANING: Final = "latency from sending to the last byte, ms"

UNITS: Final = {"unix": 1, "unix_milli": 10**3, "unix_micro": 10**6, "unix_nano": 10**9}
"""Numbers as times, as K6_CSV_TIME_FORMAT calls them, and how many of each make a second."""

RFC3339: Final = "rfc3339"
"""Text as times, whatever the precision."""

Tag = Callable[[str], pl.Expr]
"""Gives the expression of a tag, of type String."""

_TEXT: Final = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_FIRST_S, _LAST_S = 946_684_800, 4_102_444_800  # the years from 2000 to 2099
_NS_PER_S: Final = 10**9
_NS_PER_MS: Final = 10**6

_FIRST_FAILED_STATUS = 400
_STATUS_CODES: Final = (1400, 1599)
_ERROR_CLASSES: Final = {
    "1000": "unknown error",
    "1010": "network error",
    "1020": "invalid URL",
    "1050": "request timeout",
    "1100": "DNS error",
    "1101": "no such host",
    "1110": "blocked address",
    "1111": "blocked host name",
    "1200": "TCP error",
    "1201": "broken pipe",
    "1202": "unknown TCP error",
    "1210": "dial error",
    "1211": "dial timeout",
    "1212": "connection refused",
    "1213": "unknown dial error",
    "1220": "connection reset",
    "1300": "TLS error",
    "1301": "TLS header error",
    "1310": "certificate of an unknown authority",
    "1311": "certificate of another host",
}
# Addresses and URLs in a message would make each a class of its own, or tell secrets.
_MESSAGE: Final = rf'^\s*([^\n("?0-9]{{1,{MAX_CLASS_CHARACTERS}}})'

_UNMEASURED: Final = (
    "its latencies leave out waiting for a connection, connecting and the TLS handshake; "
    "start times are when sending began"
)


def canonical_columns(
    *, end_ns: pl.Expr, latency: pl.Expr, tag: Tag, names: Collection[str]
) -> tuple[pl.Expr, ...]:
    """The canonical columns of requests.

    Args:
        end_ns: the end of a request, ns since 1970, Int64.
        latency: its latency, ms, Float64.
        tag: gives the expression of a tag; null where ``names`` lacks it.
        names: the tags that there are.
    """
    took = (latency * _NS_PER_MS).round().cast(pl.Int64, strict=False)
    failed = _failed(tag)
    columns = [
        (~failed).alias("success"),
        pl.when(failed).then(_error(tag)).alias("error"),
        seconds(end_ns - took, per_second=_NS_PER_S).alias("start_time"),
        seconds(end_ns, per_second=_NS_PER_S).alias("end_time"),
        latency.alias(LATENCY),
    ]
    if {"name", "url"} & set(names):
        name = pl.coalesce(filled(tag("name")), filled(tag("url")))
        columns.append(url_name(name).alias("label"))
    others = [name for name in ("status", "method", "scenario", "group") if name in names]
    return (*columns, *(filled(tag(name)).alias(name) for name in others))


def _status(tag: Tag) -> pl.Expr:
    return tag("status").cast(pl.Int64, strict=False)


def _failed(tag: Tag) -> pl.Expr:
    told = filled(tag("expected_response")) == "false"
    by_status = (_status(tag) >= _FIRST_FAILED_STATUS) | (_status(tag) == 0)
    error = pl.coalesce(filled(tag("error")), filled(tag("error_code")))
    return pl.coalesce(told, by_status, pl.lit(value=False)) | error.is_not_null()


def _error(tag: Tag) -> pl.Expr:
    """The status of a failed request; where no response came, what went wrong."""
    status, code = filled(tag("status")), filled(tag("error_code"))
    number = code.cast(pl.Int64, strict=False)
    return pl.coalesce(
        pl.when(_status(tag) >= _FIRST_FAILED_STATUS).then(status),
        pl.when(number.is_between(*_STATUS_CODES)).then((number - 1000).cast(pl.String)),
        code.replace_strict(_ERROR_CLASSES, default=pl.lit("error ") + code, return_dtype=pl.String),
        filled(tag("error").str.extract(_MESSAGE).str.strip_chars(" :")),
        pl.when(filled(tag("error")).is_not_null()).then(pl.lit("unknown error")),
        pl.when(_status(tag) > 0).then(pl.lit("failed with ") + status),
        pl.lit("no response"),
    )


def tag_rules(tag: Tag, names: Collection[str], *, prefix: str = "") -> tuple[Rule, ...]:
    """What tags must hold; in messages ``prefix`` stands before their names."""
    expected = tag("expected_response")
    truth = Rule(
        column=f"{prefix}expected_response",
        expected="true, false or nothing",
        broken=~expected.is_in(["true", "false", ""]),
    )
    numbers = [
        Rule(
            column=f"{prefix}{name}",
            expected="a whole number or nothing",
            broken=filled(tag(name)).is_not_null() & tag(name).cast(pl.Int64, strict=False).is_null(),
        )
        for name in ("status", "error_code")
        if name in names
    ]
    return (*((truth,) if "expected_response" in names else ()), *numbers)


def value_rule(column: str, value: pl.Expr) -> Rule:
    """A latency is there, and is not negative."""
    return Rule(column=column, expected="0 or more", broken=value.is_null() | (value < 0))


def text_ns(text: pl.Expr) -> pl.Expr:
    """A time as RFC 3339 in ns since 1970; null where it is none."""
    return text.str.to_datetime("%+", time_unit="ns", time_zone="UTC", strict=False).dt.epoch("ns")


def text_rule(column: str, text: pl.Expr) -> Rule:
    """A time is RFC 3339, from 2000 to 2099."""
    # Polars lets a year that does not fit into nanoseconds wrap around, even into one that is ours.
    is_time = text.str.starts_with("20") & text_ns(text).is_not_null()
    broken = ~is_time.fill_null(value=False)
    return Rule(column=column, expected="a time of 2000 to 2099 as RFC 3339", broken=broken)


def unix_ns(time: pl.Expr, unit: str) -> pl.Expr:
    """An Int64 count of one of ``UNITS`` in ns."""
    return time * (_NS_PER_S // UNITS[unit])


def unix_rule(column: str, unit: str) -> Rule:
    """A time counted in one of ``UNITS`` is from 2000 to 2099."""
    first, last = _FIRST_S * UNITS[unit], _LAST_S * UNITS[unit]
    broken = ~pl.col(column).is_between(first, last, closed="left")
    return Rule(column=column, expected=f"a time of 2000 to 2099 as {unit}", broken=broken)


def time_form(time: str) -> str | None:
    """Which of ``UNITS``, or ``RFC3339``, a time is in; the units are so far apart that only one fits."""
    if _TEXT.fullmatch(time):
        return RFC3339
    longest = len(str(_LAST_S * _NS_PER_S))
    if not (time.isascii() and time.isdecimal() and len(time) <= longest):
        return None
    return next((unit for unit, per in UNITS.items() if _FIRST_S <= int(time) // per < _LAST_S), None)


def lines_with(needle: bytes, block: Block) -> Block:
    """The lines of a block in which ``needle`` occurs."""
    data, found, position = block.data, [], 0
    while (at := data.find(needle, position)) >= 0:
        start = max(data.rfind(b"\n", position, at) + 1, position)
        position = line_end(data, at)
        found.append(data[start:position])
    return replace(block, data=b"".join(found))


def count_lines(data: bytes) -> int:
    """How many lines there are; the last one may lack its line break."""
    return count_byte(data, ord("\n")) + (not data.endswith(b"\n") if data else 0)


def and_left_out(parsed: Parsed, further: Mapping[str, int]) -> Parsed:
    """``parsed`` with further rows left out."""
    # A sum of counters has no zeros.
    return replace(parsed, left_out=dict(Counter(parsed.left_out) + Counter(further)))


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """What the beginning of a file shows.

    Attributes:
        names: the tags that the file can have.
        requests: the filled tags of each request.
        whole_seconds: whether its times are whole seconds.
    """

    names: frozenset[str]
    requests: tuple[Mapping[str, object], ...]
    whole_seconds: bool = False


def warnings_of(sampled: Sampled, rows: int) -> list[str]:
    """What the log cannot tell, of which ``rows`` requests were read."""
    found = [_UNMEASURED]
    if sampled.whole_seconds:
        found.append(
            "its times are whole seconds, so that starts and ends are up to a second too early; "
            "write it with K6_CSV_TIME_FORMAT=unix_milli"
        )
    if sampled.requests and not any("expected_response" in tags for tags in sampled.requests):
        found.append(_derived(sampled.names))
    if any(_is_expected_error(tags) for tags in sampled.requests):
        found.append(
            "requests with an error_code count as failed, although the script expects the status of some "
            "(http.expectedStatuses), which k6 does not count as failed"
        )
    if not rows:
        found.append(f"it has no samples of {REQUEST}, which alone are requests")
    return found


def _derived(names: Collection[str]) -> str:
    signs = {
        "error": "it has an error",
        "error_code": "it has an error_code",
        "status": "its status is 400 or more, or 0",
    }
    how = " or ".join(sign for name, sign in signs.items() if name in names)
    if how:
        return f"it has no expected_response: a request counts as failed where {how}"
    return "it has no expected_response, error, error_code and status: every request counts as successful"


def _is_expected_error(tags: Mapping[str, object]) -> bool:
    return tags.get("expected_response") == "true" and bool({"error", "error_code"} & set(tags))
