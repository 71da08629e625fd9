"""A log's rows as the passes read them: one integer for key, flags and bucket, and little else."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import polars as pl

from loadlens.profile.buckets import BUCKET_SHIFT, prefix
from loadlens.profile.keys import KeyCodec
from loadlens.profile.plan import Plan
from loadlens.schema import CANONICAL_COLUMNS, ERROR_COLUMNS, LATENCY, MAX_TIME_S, RULES
from loadlens.sources.log import Log

__all__ = ["Rows", "breaks_rule", "cell_columns", "place", "second_columns"]

_BUCKET_BITS = 20
_FLAG_BITS = 7
_ERROR_BITS = 2  # 0, 1, and one value for everything that an error column must not hold
_SECOND_BITS = 35


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What the passes ask of a log.

    Attributes:
        frame: the log, only its needed columns.
        codec: how keys become codes.
        plan: what is measured.
        errors: the error columns that the log has.
        timed: whether the log has an ``end_time``.
    """

    frame: pl.LazyFrame
    codec: KeyCodec
    plan: Plan
    errors: tuple[str, ...]
    timed: bool

    @classmethod
    def of(cls, log: Log, codec: KeyCodec, plan: Plan) -> "Rows":
        """Selects from ``log`` what ``plan`` needs."""
        errors = tuple(name for name in ERROR_COLUMNS if name in log.columns)
        measures = ("start_time", "end_time", *(("response_size",) if plan.response_sizes else ()))
        frame = log.frame.select(
            codec.encode().alias("code"),
            plan.success.fill_null(value=False).alias("success"),
            LATENCY,
            breaks_rule(_checked_apart(log, plan)).alias("unusable"),
            *errors,
            *[
                pl.col(name) if name in log.columns else pl.lit(None, dtype=CANONICAL_COLUMNS[name].dtype).alias(name)
                for name in measures
            ],
        )
        return cls(frame=frame, codec=codec, plan=plan, errors=errors, timed="end_time" in log.columns)

    def cell(self) -> pl.Expr:
        """The cell of the profile that a row counts in: key, flags and bucket in one Int64."""
        flags = reduce(lambda code, name: code * 2**_ERROR_BITS + _error_digit(name), self.errors, pl.lit(0))
        flags = flags.cast(pl.Int64) * 2 + pl.col("success").cast(pl.Int64)
        bucket = prefix(BUCKET_SHIFT) + 2 ** (_BUCKET_BITS - 1)
        return ((pl.col("code") * 2**_FLAG_BITS + flags) * 2**_BUCKET_BITS + bucket).alias("cell")

    def place(self) -> pl.Expr:
        """Key and bucket of a row in one Int64."""
        return place(pl.col("code"), prefix(BUCKET_SHIFT))

    def second(self) -> pl.Expr:
        """Key and second of completion in one Int64; null without an end."""
        second = pl.col("end_time").cast(pl.Int64)
        return (pl.col("code") * 2**_SECOND_BITS + (second + 2 ** (_SECOND_BITS - 1))).alias("cell")


def _checked_apart(log: Log, plan: Plan) -> list[str]:
    """The columns whose rules neither the buckets nor the keys can check afterwards."""
    used = [*plan.success.meta.root_names(), *(["response_size"] if plan.response_sizes else [])]
    return [name for name in ("success", "response_size") if name in used and name in log.columns]


def breaks_rule(columns: Sequence[str]) -> pl.Expr:
    """Whether a row breaks a rule for one of ``columns``."""
    broken = [rule.broken.fill_null(value=False) for rule in RULES if rule.column in columns]
    return pl.any_horizontal(pl.lit(value=False), *broken)


def place(code: pl.Expr, bucket: pl.Expr) -> pl.Expr:
    """Key and bucket in one Int64."""
    return code * 2**_BUCKET_BITS + (bucket + 2 ** (_BUCKET_BITS - 1))


def _error_digit(name: str) -> pl.Expr:
    return pl.col(name).fill_null(0).clip(-1, 2) % 4


def cell_columns(errors: tuple[str, ...]) -> list[pl.Expr]:
    """Takes a cell apart: ``code``, ``success``, ``bucket`` and the error columns (2 or more: invalid)."""
    cell = pl.col("cell")
    flags = cell // 2**_BUCKET_BITS % 2**_FLAG_BITS
    digits = [
        (flags // 2 ** (1 + _ERROR_BITS * place) % 2**_ERROR_BITS).alias(name)
        for place, name in enumerate(reversed(errors))
    ]
    return [
        (cell // 2 ** (_BUCKET_BITS + _FLAG_BITS)).alias("code"),
        (flags % 2 == 1).alias("success"),
        (cell % 2**_BUCKET_BITS - 2 ** (_BUCKET_BITS - 1)).alias("bucket"),
        *digits,
    ]


def second_columns() -> list[pl.Expr]:
    """Takes a key and second apart: ``code``, ``second``."""
    cell = pl.col("cell")
    second = cell % 2**_SECOND_BITS - 2 ** (_SECOND_BITS - 1)
    return [(cell // 2**_SECOND_BITS).alias("code"), second.alias("second")]


assert MAX_TIME_S <= 2 ** (_SECOND_BITS - 1)  # noqa: S101  # else a second would spill into the key
