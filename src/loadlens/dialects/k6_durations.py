"""Durations of k6's requests: samples of other metrics, which k6 writes right behind that of the request."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import polars as pl

from loadlens.dialects.durations import DURATIONS
from loadlens.dialects.k6_samples import REQUESTS, Sample
from loadlens.messages import counted
from loadlens.text.record_blocks import Framing

__all__ = [
    "FIRST_OF_REQUEST",
    "METRICS",
    "cut_before_requests",
    "duration_columns",
    "duration_steps",
    "unpaired",
    "unpaired_warning",
]

_METRICS: Final[Mapping[str, str]] = {
    "blocked": "http_req_blocked",
    "looking_up": "http_req_looking_up",
    "connecting": "http_req_connecting",
    "tls_handshaking": "http_req_tls_handshaking",
    "sending": "http_req_sending",
    "waiting": "http_req_waiting",
    "receiving": "http_req_receiving",
}

METRICS: Final = frozenset(_METRICS.values())
"""The metrics that tell durations."""

FIRST_OF_REQUEST: Final = "http_reqs"
"""The metric of the first sample that k6 writes of a request."""

UNPAIRED: Final = "requests without further durations"
"""What requests are counted as that have none, among the facts."""

_REQUEST: Final = "request"
_BEHIND: Final = "is behind its request"
_TAGS: Final = ("name", "url", "method", "status")


def cut_before_requests(framing: Framing, *beginnings: bytes) -> Framing:
    """Framing that leaves the samples of a request in one block, where lines begin in one of these ways."""
    return replace(framing, begins=beginnings)


def duration_steps(sample: Sample, value: pl.Expr) -> tuple[dict[str, pl.Expr], ...]:
    """The columns that durations are made of: which request samples are behind, and the durations themselves.

    A sample is one of the request before it if time and tags are the same. Where a request has several of
    one metric, as in a file that was sorted, it is not known which is its own, and it has none.

    Args:
        sample: the parts of a sample.
        value: its value.
    """
    is_request = sample.metric.is_in(REQUESTS)
    row = pl.int_range(pl.len(), dtype=pl.UInt32)
    at = pl.when(is_request).then(row).forward_fill()
    known = [sample.time_ns, *[sample.tag(name) for name in _TAGS if name in sample.tags]]
    own = pl.all_horizontal(part.eq_missing(part.gather(at.fill_null(0))) for part in known)
    durations: dict[str, pl.Expr] = {}
    for name, metric in _METRICS.items():
        told = pl.when((sample.metric == metric) & pl.col(_BEHIND)).then(value)
        one = pl.when(told.count().over(_REQUEST) == 1).then(told.max().over(_REQUEST))
        durations[_column(name)] = one
    return ({_REQUEST: at, _BEHIND: own & at.is_not_null()}, durations)


def duration_columns() -> tuple[pl.Expr, ...]:
    """The durations of requests, in ms."""
    return tuple(pl.col(_column(name)).alias(DURATIONS[name].column) for name in _METRICS)


def unpaired(sample: Sample, typed: pl.DataFrame) -> dict[str, int]:
    """How many HTTP requests have no durations, as a fact; nothing where all have."""
    is_http = sample.metric == REQUESTS[0]
    count = typed.select((is_http & pl.col(_column("waiting")).is_null()).sum()).item()
    return {UNPAIRED: count} if count else {}


def unpaired_warning(facts: Mapping[str, int]) -> list[str]:
    """What a reader has to know of requests without durations."""
    if not facts.get(UNPAIRED):
        return []
    requests = counted(facts[UNPAIRED], "request has", "requests have")
    return [f"{requests} no further durations: their samples are not right behind it, as k6 writes them"]


def _column(name: str) -> str:
    return f"duration {name}"
