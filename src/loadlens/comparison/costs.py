"""What a call costs in both runs, key by key."""

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from loadlens.comparison.runs import Run
from loadlens.costing import MEMORY, configuration_costs
from loadlens.prices import PriceTable
from loadlens.sources.wording import counted

__all__ = ["COST_COLUMNS", "compared_costs", "cost_remarks"]

_PER_RUN: Final = {"memory_size": pl.Int64, "basis": pl.String, "failures_without_duration": pl.Int64}
_ROLES: Final = ("base", "candidate")
_COST_SCHEMA: Final = {
    "prices": pl.String,
    **{f"{role}_{name}": dtype for name, dtype in _PER_RUN.items() for role in _ROLES},
    **dict.fromkeys((*_ROLES, "difference", "ratio"), pl.Float64),
    "verdict": pl.String,
}
COST_COLUMNS: Final = tuple(_COST_SCHEMA)
"""Columns of the costs after the key."""


def compared_costs(
    base: Run, candidate: Run, pairs: pl.DataFrame, key: Sequence[str], tables: Sequence[PriceTable]
) -> pl.DataFrame:
    """Costs of 1,000,000 successful calls, one row for each pair and table; see ``Comparison.costs``.

    Args:
        base: the base, with its usage.
        candidate: the candidate, with its usage.
        pairs: ``pair``, ``base_code``, ``candidate_code``, ``verdict`` and the key columns.
        key: the key columns.
        tables: the price tables.

    Raises:
        PriceError: a table lacks a memory size.
    """
    if not tables:
        return pl.DataFrame(schema=_COST_SCHEMA)
    parts = [
        pl.concat(
            [
                pairs.select("pair", *key, "verdict", pl.lit(table.short_name).alias("prices")),
                _costs(base, pairs["base_code"], table, "base"),
                _costs(candidate, pairs["candidate_code"], table, "candidate"),
            ],
            how="horizontal",
        )
        for table in tables
    ]
    costs = pl.concat(parts).sort("pair", maintain_order=True)
    difference, ratio = pl.col("candidate") - pl.col("base"), pl.col("candidate") / pl.col("base")
    finite = pl.when(ratio.is_finite()).then(ratio)
    return costs.with_columns(difference.alias("difference"), finite.alias("ratio")).select(
        *key, *COST_COLUMNS
    )


def _costs(run: Run, codes: pl.Series, table: PriceTable, role: str) -> pl.DataFrame:
    """What was priced and what it costs, in the order of ``codes``."""
    assert run.usage is not None  # noqa: S101  # runs are measured with usage where there are tables
    costs = configuration_costs(run.usage, table).with_columns(run.keys["code"])
    rows = codes.rename("code").to_frame().join(costs, on="code", maintain_order="left")
    return rows.select(
        pl.col(MEMORY).cast(pl.Int64).alias(f"{role}_memory_size"),
        pl.col("duration_basis").alias(f"{role}_basis"),
        pl.col("failures_without_duration").cast(pl.Int64).alias(f"{role}_failures_without_duration"),
        pl.col("cost_per_1M_invocations").alias(role),
    )


def cost_remarks(
    base: Run, candidate: Run, costs: pl.DataFrame, tables: Sequence[PriceTable]
) -> Iterator[str]:
    """What a reader of the costs has to know, one sentence each."""
    for table in tables:
        if table.from_memory:
            yield f"{table.short_name}: {table.note.removesuffix('.')}"
        if table.kind == "provisioned":
            yield f"{table.short_name}: what keeping environments ready costs is left out"
    mixed = costs.filter(pl.col("base_basis") != pl.col("candidate_basis"))
    for first, second in mixed.select("base_basis", "candidate_basis").unique().sort(pl.all()).iter_rows():
        yield f"costs: the base was priced by its {first}, the candidate by its {second}, which may differ"
    # The failures are those of the log, whichever table prices them.
    once = costs.filter(pl.col("prices") == pl.col("prices").first())
    for role in _ROLES:
        unpriced = int(once[f"{role}_failures_without_duration"].sum())
        if unpriced:
            were = counted(unpriced, "failure was", "failures were")
            yield f"{role}: {were} throttled or have no duration and cost nothing here"
    for role, run in zip(_ROLES, (base, candidate), strict=True):
        if run.usage and run.usage.rounding_error:
            error = f"at most {run.usage.rounding_error:g} of a billing step"
            yield f"{role}: a saved profile tells ranges of latencies: billed durations are off by {error}"
