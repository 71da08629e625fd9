"""Lines of AWS Lambda that tell how an invocation failed, of which its report may say nothing."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import polars as pl

from loadlens.sources.wording import are, counted

__all__ = ["FAILED_ELSEWHERE", "SIGNS", "TOLD_ELSEWHERE", "failures_in", "unmatched", "where_failed"]

TOLD_ELSEWHERE: Final = "calls of which another line tells that they failed"
"""What reports are counted as, among the facts, that other lines tell of."""

FAILED_ELSEWHERE: Final = "calls of which another line alone tells that they failed"
"""What those of them are counted as that have no status."""

TIMEOUT: Final = "timeout"

SIGNS: Final = (
    b"Task timed out after",
    b"Error: Runtime exited",
    b"Error: fork/exec",
    b"Error: Couldn't find valid bootstrap",
    b"Process exited before completing request",
    b"Invoke Error",
    b"Uncaught Exception",
    b"Unhandled Promise Rejection",
)
"""One of these is in every such line, as text, within JSON and within CSV."""

_TIMED_OUT: Final = re.compile(
    rb"([\w-]{1,64})(?: Error:)? Task timed out after (\d{1,7})(?:\.(\d\d))?\d* seconds", re.ASCII
)
_EXITED: Final = re.compile(
    rb"RequestId: ([\w-]{1,64}) (?:Error: (?:(Runtime exited)|fork/exec|Couldn't find valid bootstrap)|"
    rb"Process exited before completing request)",
    re.ASCII,
)
# What the runtime of Node.js logs of an error that the function has not caught; tabs are escaped in JSON.
_UNCAUGHT: Final = re.compile(
    rb"(?:\t|\\t)([\w-]{1,64})(?:\t|\\t)ERROR(?:\t|\\t)"
    rb"(?:Invoke Error|Uncaught Exception|Unhandled Promise Rejection)"
    rb'(?:[ \t\\"t{]{0,12}errorType[\\"]{1,4}\s?:\s?[\\"]{1,4}([\w.:$-]{1,80}))?',
    re.ASCII,
)
_MS_PER_HUNDREDTH: Final = 10


def failures_in(data: bytes) -> Iterator[tuple[str, str]]:
    """Which invocations failed and how, as ``where_failed`` takes it."""
    for match in _TIMED_OUT.finditer(data):
        request, seconds, hundredths = match.groups(default=b"00")
        yield f"{request.decode()} {int(seconds + hundredths)}", TIMEOUT
    for match in _EXITED.finditer(data):
        yield match[1].decode(), "Runtime.ExitError" if match[2] else "Runtime.Failed"
    for match in _UNCAUGHT.finditer(data):
        yield match[1].decode(), (match[2] or b"error").decode()


def where_failed(request: pl.Expr, duration_ms: pl.Expr, failures: Mapping[str, str]) -> pl.Expr:
    """The class of the error that other lines tell of, String; null where none does.

    Retries have the id of the first attempt: a timeout is that of the attempt which took as long as it says.

    Args:
        request: the id of the request, String.
        duration_ms: what the function took, Float64.
        failures: what ``failures_in`` has found.
    """
    hundredths = (duration_ms / _MS_PER_HUNDREDTH).floor().cast(pl.Int64, strict=False)
    took = [pl.concat_str(request, pl.lit(" "), hundredths + near) for near in (0, 1, -1)]
    return pl.coalesce(
        key.replace_strict(failures, default=None, return_dtype=pl.String) for key in (*took, request)
    )


def unmatched(told: Iterable[str], matched: int) -> str:
    """What a reader has to know where lines and reports do not go together; nothing where they do.

    Args:
        told: the keys of what ``failures_in`` has found.
        matched: how many reports there are of these requests.
    """
    failures = len({key.partition(" ")[0] for key in told})
    if matched < failures:
        missing = failures - matched
        return (
            f"{missing:,} of {counted(failures, 'request')} that timed out, exited or threw, as lines tell, "
            f"{'has' if missing == 1 else 'have'} no report here and {are(missing)} not counted"
        )
    if matched > failures:
        return (
            f"{matched:,} reports are of {counted(failures, 'request')} that exited or threw, as lines tell: "
            f"a retry has the id of the first attempt, and counts as failed with it"
        )
    return ""
