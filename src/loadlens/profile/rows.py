"""A log's rows as they are counted: their key, whether they succeeded, and what is measured of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from loadlens.profile.plan import SUCCESS_RULES, Plan
from loadlens.profile.profile import key_names
from loadlens.schema import (
    CANONICAL_COLUMNS,
    ERROR_CLASS,
    ERROR_COLUMNS,
    LATENCY,
    RULES,
    Rule,
    breaks_one_of,
)
from loadlens.sources.log import Log

__all__ = ["Rows", "UnusableRowsError"]

_COUNTED_COLUMNS = frozenset({LATENCY, "start_time", "end_time", *ERROR_COLUMNS})


class UnusableRowsError(Exception):
    """Some row holds a value that no statistic may use; which one is left to the caller to find."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What is asked of a log.

    Attributes:
        frame: the columns of the key as ``key:<name>``, ``success``, the latency, ``start_time`` and
            ``end_time``, and what else the plan needs; as ``unusable`` whether a row breaks a rule, where
            there are rules that counting does not check.
        plan: what is measured.
        errors: the error columns that the log has.
        logged_times: which times it holds as they were logged.
    """

    frame: pl.LazyFrame
    plan: Plan
    errors: tuple[str, ...]
    logged_times: tuple[str, ...]

    @classmethod
    def of(cls, log: Log, plan: Plan) -> "Rows":
        """The rows of ``log``."""
        keys = [
            pl.col(name).alias(internal) for name, internal in zip(plan.key, key_names(plan.key), strict=True)
        ]
        rules = [rule for rule in log.open_rules if not _is_counted(rule, plan)]
        schema = log.frame.collect_schema() if plan.measures else {}
        success = plan.success.fill_null(value=False)
        measures = [one.values(schema[one.column], success) for one in plan.measures]
        return cls(
            frame=log.frame.select(*keys, *_needed_columns(log, plan, rules), *measures),
            plan=plan,
            errors=_error_columns(log),
            logged_times=log.logged_times,
        )

    @property
    def checks_success(self) -> bool:
        """Whether a success of latency -1 breaks a rule: that is one of what the log says, not of a guess."""
        return is_logged_success(self.plan)


def is_logged_success(plan: Plan) -> bool:
    """Whether calls count as successful where the log says so."""
    return plan.success.meta.eq(SUCCESS_RULES["success"])


def _error_columns(log: Log) -> tuple[str, ...]:
    return tuple(name for name in ERROR_COLUMNS if name in log.columns)


def _has_classes(log: Log) -> bool:
    return ERROR_CLASS in log.columns and log.frame.collect_schema()[ERROR_CLASS] == pl.String


def _needed_columns(log: Log, plan: Plan, rules: Sequence[Rule]) -> list[pl.Expr]:
    measures = ("start_time", "end_time", *(("response_size",) if plan.response_sizes else ()))
    return [
        plan.success.fill_null(value=False).alias("success"),
        pl.col(LATENCY),
        *([breaks_one_of(rules).alias("unusable")] if rules else []),
        *map(pl.col, _error_columns(log)),
        *([pl.col(ERROR_CLASS)] if _has_classes(log) else []),
        *[
            pl.col(name)
            if name in log.columns
            else pl.lit(None, dtype=CANONICAL_COLUMNS[name].dtype).alias(name)
            for name in measures
        ],
    ]


def _is_counted(rule: Rule, plan: Plan) -> bool:
    """Whether counting checks a rule: the library those of its columns, and keys are checked once known."""
    known = any(rule is one for one in RULES)
    if not known or rule.column == "success":
        return False
    told = {*_COUNTED_COLUMNS, "success"} if is_logged_success(plan) else _COUNTED_COLUMNS
    return rule.column in plan.key or rule.needs <= told
