"""Further durations of a call that tools log beside its latency, and how rows come to have them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import polars as pl

from loadlens.schema import Rule
from loadlens.text.delimited import Table
from loadlens.text.typed_rows import Recipe

__all__ = ["DURATIONS", "Duration", "Logged", "recipe_with", "table_with"]

_MS: Final = {"ms": 1, "s": 1000}
_DECIMALS: Final = 6  # of ms: what multiplying decimal fractions leaves behind is no part of a value


@dataclass(frozen=True, kw_only=True)
class Duration:
    """A part of what a call takes, under one name for all tools, in ms.

    Attributes:
        meaning: what it is.
        includes: other durations that lie within it, where a log has them.
        outside: whether it is no part of the latency.
        column: the column that holds it.
    """

    meaning: str
    includes: tuple[str, ...] = ()
    outside: bool = False
    column: str


def _duration(column: str, meaning: str, *includes: str, outside: bool = False) -> Duration:
    return Duration(meaning=meaning, includes=includes, outside=outside, column=column)


DURATIONS: Final[Mapping[str, Duration]] = {
    "blocked": _duration(
        "blocked_ms",
        "acquiring a connection, before the latency begins",
        "looking_up",
        "connecting",
        "tls_handshaking",
        outside=True,
    ),
    "looking_up": _duration("looking_up_ms", "looking up the host name", outside=True),
    "connecting": _duration("connecting_ms", "establishing the connection", outside=True),
    "tls_handshaking": _duration("tls_handshaking_ms", "TLS handshake", outside=True),
    "dns": _duration("dns_ms", "looking up the host name"),
    "connect": _duration("connect_ms", "establishing the connection", "dns"),
    "sending": _duration("sending_ms", "sending the request"),
    "waiting": _duration("waiting_ms", "waiting for the first byte of the response"),
    "receiving": _duration("receiving_ms", "receiving the response"),
    "first_byte": _duration("first_byte_ms", "time to the first byte of the response", "connect"),
    "first_token": _duration("first_token_ms", "time to the first token"),
    "init": _duration("init_duration", "starting a new environment", outside=True),
    "restore": _duration("restore_duration", "restoring a snapshot, as billed", outside=True),
}
"""What tools log, by the name that ``--measure`` knows."""


@dataclass(frozen=True, kw_only=True)
class Logged:
    """Where a tool logs a duration.

    Attributes:
        source: its source column.
        unit: of its values: ``ms`` or ``s``.
    """

    source: str
    unit: str = "ms"


_Recipe = TypeVar("_Recipe", bound=Recipe)
_Table = TypeVar("_Table", bound=Table)


def recipe_with(recipe: _Recipe, logged: Mapping[str, Logged]) -> _Recipe:
    """A recipe whose rows have these durations too, each in its column, null where a cell is empty.

    Args:
        recipe: how rows are made.
        logged: the durations by name.
    """
    return replace(
        recipe,
        types={**recipe.types, **{one.source: pl.Float64() for one in logged.values()}},
        columns=(*recipe.columns, *(_column(name, one) for name, one in logged.items())),
        rules=(*recipe.rules, *(_rule(one) for one in logged.values())),
        meaning=(
            *recipe.meaning,
            *((one.source, f"{DURATIONS[name].meaning}, {one.unit}") for name, one in logged.items()),
        ),
    )


def table_with(table: _Table, logged: Mapping[str, Logged]) -> _Table:
    """The same of a table, with those of the durations whose columns it has."""
    return recipe_with(table, {name: one for name, one in logged.items() if one.source in table.names})


def _column(name: str, logged: Logged) -> pl.Expr:
    value = pl.col(logged.source)
    ms = value if logged.unit == "ms" else (value * _MS[logged.unit]).round(_DECIMALS)
    return ms.alias(DURATIONS[name].column)


def _rule(logged: Logged) -> Rule:
    return Rule(
        column=logged.source,
        expected=f"{logged.unit}, 0 or more, or nothing",
        broken=pl.col(logged.source) < 0,
    )
