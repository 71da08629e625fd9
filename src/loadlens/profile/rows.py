"""A log's rows as the passes read them: one integer for key, flags and bucket, and little else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Protocol

import polars as pl

from loadlens.profile.buckets import BUCKET_SHIFT, prefix
from loadlens.profile.keys import KeyCodec
from loadlens.profile.plan import SUCCESS_RULES, Plan
from loadlens.profile.profile import key_names
from loadlens.schema import (
    CANONICAL_COLUMNS,
    ERROR_CLASS,
    ERROR_COLUMNS,
    LATENCY,
    MAX_TIME_S,
    Rule,
    breaks_one_of,
)
from loadlens.sources.log import Log

__all__ = [
    "Look",
    "Rows",
    "cell_columns",
    "error_columns",
    "has_classes",
    "needed_columns",
    "place",
    "second_columns",
]

_BUCKET_BITS = 21
_FLAG_BITS = 1 + len(ERROR_COLUMNS)  # success and the error columns
_SECOND_BITS = 35


class Look(Protocol):
    """A further look at all rows of a log that has been counted, by the name of a step in ``STEPS``."""

    def __call__(self, step: str, **arguments: pl.DataFrame | int) -> pl.DataFrame:
        """What the step finds with ``arguments`` in all rows; its ``code`` is that of the profile."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What the passes ask of a log.

    Attributes:
        frame: the log, only its needed columns, with the ``code`` of its key.
        latencies: ``code``, ``success`` and the latency alone, which are cheaper to read.
        plan: what is measured.
        errors: the error columns that the log has.
        timed: whether the log has an ``end_time``.
        logged_times: which times it holds as they were logged.
    """

    frame: pl.LazyFrame
    latencies: pl.LazyFrame
    plan: Plan
    errors: tuple[str, ...]
    timed: bool
    logged_times: tuple[str, ...]

    @classmethod
    def of(cls, log: Log, plan: Plan, codec: KeyCodec) -> "Rows":
        """The rows of ``log``, their keys coded by an expression."""
        needed = needed_columns(log, plan, log.open_rules)
        frame = log.frame.select(codec.encode().alias("code"), *needed)
        return cls(
            frame=frame,
            latencies=frame.select("code", "success", LATENCY),
            plan=plan,
            errors=error_columns(log),
            timed="end_time" in log.columns,
            logged_times=log.logged_times,
        )

    @classmethod
    def uncoded(cls, log: Log, plan: Plan) -> "Rows":
        """The rows of ``log`` with the columns of their key, as ``key:<name>``, in the place of a code."""
        keys = [
            pl.col(name).alias(internal) for name, internal in zip(plan.key, key_names(plan.key), strict=True)
        ]
        rules = [rule for rule in log.open_rules if not _is_counted(rule, plan)]
        frame = log.frame.select(*keys, *needed_columns(log, plan, rules))
        return cls(
            frame=frame,
            latencies=frame.select(*key_names(plan.key), "success", LATENCY),
            plan=plan,
            errors=error_columns(log),
            timed="end_time" in log.columns,
            logged_times=log.logged_times,
        )

    def over(self, frame: pl.LazyFrame, latencies: pl.LazyFrame) -> "Rows":
        """The same rows with other columns, or in another place."""
        return replace(self, frame=frame, latencies=latencies)

    def cell(self) -> pl.Expr:
        """The cell of the profile that a row counts in: key, flags and bucket in one Int64."""
        flags = _error_flags(self.errors).cast(pl.Int64) * 2 + pl.col("success").cast(pl.Int64)
        bucket = prefix(BUCKET_SHIFT) + (1 << (_BUCKET_BITS - 1))
        return ((pl.col("code") * (1 << _FLAG_BITS) + flags) * (1 << _BUCKET_BITS) + bucket).alias("cell")

    def second(self) -> pl.Expr:
        """Key and second of completion in one Int64; null without an end."""
        second = pl.col("end_time").cast(pl.Int64)
        return (pl.col("code") * (1 << _SECOND_BITS) + (second + (1 << (_SECOND_BITS - 1)))).alias("cell")


def error_columns(log: Log) -> tuple[str, ...]:
    """The error columns that the log has."""
    return tuple(name for name in ERROR_COLUMNS if name in log.columns)


def has_classes(log: Log) -> bool:
    """Whether the log says of what class an error is."""
    return ERROR_CLASS in log.columns and log.frame.collect_schema()[ERROR_CLASS] == pl.String


def needed_columns(log: Log, plan: Plan, rules: Sequence[Rule]) -> list[pl.Expr]:
    """What ``plan`` needs of a log beside its key, and as ``unusable`` whether a row breaks a rule."""
    measures = ("start_time", "end_time", *(("response_size",) if plan.response_sizes else ()))
    return [
        plan.success.fill_null(value=False).alias("success"),
        pl.col(LATENCY),
        *([breaks_one_of(rules).alias("unusable")] if rules else []),
        *map(pl.col, error_columns(log)),
        *([pl.col(ERROR_CLASS)] if has_classes(log) else []),
        *[
            pl.col(name)
            if name in log.columns
            else pl.lit(None, dtype=CANONICAL_COLUMNS[name].dtype).alias(name)
            for name in measures
        ],
    ]


def _is_counted(rule: Rule, plan: Plan) -> bool:
    """Whether tables notice a row that breaks a rule while they count it, and keys when they are known."""
    told = {LATENCY, "start_time", "end_time", *ERROR_COLUMNS}
    if plan.success.meta.eq(SUCCESS_RULES["success"]):
        told.add("success")  # not of its nulls, which are no success there
    return rule.column in plan.key or (rule.column != "success" and rule.needs <= told)


def place(code: pl.Expr, bucket: pl.Expr) -> pl.Expr:
    """Key and bucket in one Int64."""
    return code * (1 << _BUCKET_BITS) + (bucket + (1 << (_BUCKET_BITS - 1)))


def _error_flags(errors: tuple[str, ...]) -> pl.Expr:
    """One bit for each error column."""
    columns = [pl.col(name).fill_null(0) for name in errors]
    return reduce(
        lambda sum_, item: sum_ + (item[1] & 1) * (1 << item[0]), enumerate(columns), pl.lit(0, pl.Int8)
    )


def cell_columns(errors: tuple[str, ...]) -> list[pl.Expr]:
    """Takes a cell apart: ``code``, ``success``, ``bucket``, the error columns."""
    cell = pl.col("cell")
    flags = cell // (1 << _BUCKET_BITS)
    digits = [(flags // 2 ** (1 + place) % 2).alias(name) for place, name in enumerate(errors)]
    return [
        (cell // (1 << (_BUCKET_BITS + _FLAG_BITS))).alias("code"),
        (flags % 2 == 1).alias("success"),
        (cell % (1 << _BUCKET_BITS) - (1 << (_BUCKET_BITS - 1))).alias("bucket"),
        *digits,
    ]


def second_columns() -> list[pl.Expr]:
    """Takes a key and second apart: ``code``, ``second``."""
    cell = pl.col("cell")
    second = cell % (1 << _SECOND_BITS) - (1 << (_SECOND_BITS - 1))
    return [(cell // (1 << _SECOND_BITS)).alias("code"), second.alias("second")]


assert MAX_TIME_S <= (1 << (_SECOND_BITS - 1))  # noqa: S101  # else a second would spill into the key
