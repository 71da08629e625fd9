"""Whether a candidate run is better or worse than a base run, key by key, and what a call costs in both."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Final

import polars as pl

from loadlens.comparison.compared_runs import (
    FAMILY_LEVEL,
    LEVEL,
    METRICS,
    ComparedRun,
    Comparison,
    drawn_keys,
    key_verdicts,
    metric_verdict,
)
from loadlens.comparison.runs import Floats, Run, difference_limits, run_question, with_common_types
from loadlens.cost import FIGURES, MEMORY, check_tables, configuration_costs, require_memory_prices
from loadlens.cost.prices import PriceTable, load_prices
from loadlens.engine import Question, ask
from loadlens.errors import InputError, UsageError
from loadlens.keywords import columns_of
from loadlens.logs import Log
from loadlens.messages import counted
from loadlens.profile import MeasureOptions, key_names, spectrum
from loadlens.schema import LATENCY
from loadlens.summaries.density_curves import density
from loadlens.summaries.summary_columns import key_columns

__all__ = [
    "COST_COLUMNS",
    "ComparisonQuestion",
    "Prices",
    "compared_costs",
    "compared_prices",
    "cost_remarks",
]


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

_COUNTS: Final = ("base_calls", "candidate_calls", "base_errors", "candidate_errors")
_METRIC_COLUMNS: Final = (
    "metric",
    "unit",
    "base",
    "candidate",
    "difference",
    "ratio",
    "difference_low",
    "difference_high",
    "metric_verdict",
    "verdict",
)

_TAKEN: Final = frozenset(
    {
        *_COUNTS,
        *_METRIC_COLUMNS,
        "base_code",
        "candidate_code",
        "deciding",
        "density",
        "end_time",
        "latency_ms",
        "num_rows",
        "pair",
        "quantile",
        "run",
        "start_time",
    }
)
"""Columns of the results and measured columns, which no key may be called."""


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


Prices = PriceTable | str | PathLike[str]
"""A price table, the name of a built-in one, or the path of one."""


@dataclass(frozen=True, kw_only=True)
class ComparisonQuestion:
    """What changed between two runs.

    Attributes:
        key: the key columns.
        min_effect: the smallest change that counts, as a share of the base's figure.
        prices: price tables under which to compare what calls cost.
        runs: what is asked of the base, and of the candidate.
    """

    key: tuple[str, ...]
    min_effect: float
    prices: tuple[PriceTable, ...]
    runs: tuple[Question[Run], Question[Run]]

    @classmethod
    def of(
        cls,
        base: Log,
        candidate: Log,
        by: str | Sequence[str] | None,
        *,
        min_effect: float,
        prices: Sequence[PriceTable] = (),
        request_size: float | None = None,
        base_name: str | None = None,
        candidate_name: str | None = None,
    ) -> "ComparisonQuestion":
        """Of two logs; see ``loadlens.compare``, which says what is raised."""
        logs = base, candidate
        key = _key(logs, by, _TAKEN.union(COST_COLUMNS, FIGURES) if prices else _TAKEN)
        for log in logs:
            log.require((*key, LATENCY))
            if prices:
                log.require([MEMORY], "the cost of calls")
        names = base_name or base.name, candidate_name or candidate.name
        own, other = (
            run_question(log, name, key, prices=prices, request_size=request_size)
            for log, name in zip(logs, names, strict=True)
        )
        return cls(key=key, min_effect=min_effect, prices=tuple(prices), runs=(own, other))

    def ask(self, base: Log, candidate: Log, options: MeasureOptions) -> Comparison:
        """Measures both logs, and says what changed."""
        return self.answer(ask(base, self.runs[0], options), ask(candidate, self.runs[1], options))

    def answer(self, base: Run, candidate: Run) -> Comparison:
        """What changed, given the answers to both questions.

        Raises:
            InputError: the runs have no key in common.
        """
        return _compared(*with_common_types(base, candidate), self.key, self.min_effect, self.prices)


def compared_prices(prices: Prices | Sequence[Prices], request_size: float | None) -> tuple[PriceTable, ...]:
    """The price tables under which to compare.

    Raises:
        PriceError: one cannot be read, or prices instances alone.
        UsageError: they do not go together, or there is a size of requests without any.
    """
    several = [prices] if isinstance(prices, PriceTable | str | PathLike) else prices
    if not isinstance(several, Iterable):
        raise UsageError(f"prices: got {prices!r}, expected price tables such as ['lambda-arm']")
    named = [table or "" for table in several]  # None would be the default table
    tables = tuple(table if isinstance(table, PriceTable) else load_prices(table) for table in named)
    if tables:
        check_tables(tables)
    for table in tables:
        require_memory_prices(table)
    if request_size is not None and not tables:
        raise UsageError("request_size: is for prices alone; name a price table too, with prices (--prices)")
    return tables


def _key(logs: Sequence[Log], by: str | Sequence[str] | None, figures: frozenset[str]) -> tuple[str, ...]:
    """The key columns; names of files are no natural key, since those of two runs differ."""
    base, candidate = logs
    if by is None:
        return tuple(name for name in base.key if name in candidate.columns and name != "file")
    key = columns_of(by)
    taken = sorted(name for name in key if name in figures or name.startswith(LATENCY))
    if taken:
        raise UsageError(f"by names {', '.join(taken)}, which names a figure; name configuration columns")
    return key


def _compared(
    base: Run, candidate: Run, key: Sequence[str], min_effect: float, tables: tuple[PriceTable, ...]
) -> Comparison:
    pairs = _pairs(base, candidate, key)
    if pairs.is_empty():
        raise InputError(
            f"{base.name} and {candidate.name} have no key ({', '.join(key)}) in common, so nothing can be "
            f"compared; name other columns, or check that both are runs of the same thing"
        )
    metrics = _metrics(base, candidate, pairs, min_effect)
    verdicts = key_verdicts(metrics)
    keys = pairs.join(verdicts, on="pair", maintain_order="left").hstack(_counts(base, candidate, pairs))
    drawn = pairs.join(drawn_keys(keys), on="pair", how="semi")
    costs = compared_costs(base, candidate, keys, key, tables)
    return Comparison(
        base=_facts(base),
        candidate=_facts(candidate),
        by=tuple(key),
        min_effect=min_effect,
        keys=keys.select(*key, "verdict", "deciding", *_COUNTS),
        metrics=_named(pairs, metrics.join(verdicts, on="pair", maintain_order="left"), key),
        only_in_base=_missing(base, pairs["base_code"], key),
        only_in_candidate=_missing(candidate, pairs["candidate_code"], key),
        density=pl.concat(
            _density(run, drawn[code], key).select(*key, pl.lit(role).alias("run"), "latency_ms", "density")
            for run, role, code in _roles(base, candidate)
        ),
        spectrum=pl.concat(
            _spectrum(run, drawn[code], key).select(*key, pl.lit(role).alias("run"), "quantile", "latency_ms")
            for run, role, code in _roles(base, candidate)
        ),
        prices=tables,
        costs=costs,
        remarks=tuple(cost_remarks(base, candidate, costs, tables)),
    )


def _facts(run: Run) -> ComparedRun:
    return ComparedRun(
        name=run.name,
        relative_error=run.statistics.relative_error,
        seconds_without_completion=run.seconds_without_completion,
        findings=run.findings,
    )


def _roles(base: Run, candidate: Run) -> tuple[tuple[Run, str, str], ...]:
    return (base, "base", "base_code"), (candidate, "candidate", "candidate_code")


def _pairs(base: Run, candidate: Run, key: Sequence[str]) -> pl.DataFrame:
    """Keys of both runs, ascending: ``pair``, ``base_code``, ``candidate_code`` and the key columns."""
    names = key_names(key)
    own, other = base.keys.rename({"code": "base_code"}), candidate.keys.rename({"code": "candidate_code"})
    both = (
        own.join(other, on=names, nulls_equal=True).sort(names, nulls_last=True)
        if names
        else pl.concat([own, other], how="horizontal")
    )
    return both.rename(dict(zip(names, key, strict=True))).with_row_index("pair")


def _missing(run: Run, found: pl.Series, key: Sequence[str]) -> pl.DataFrame:
    """Keys of ``run`` that are not among those found in both, with their rows."""
    rest = run.keys.join(run.figures.select("code", "num_rows"), on="code")
    rest = rest.filter(~pl.col("code").is_in(found.implode())).sort(key_names(key), nulls_last=True)
    return rest.select(*key_columns(key), "num_rows")


def _counts(base: Run, candidate: Run, pairs: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(
        {
            f"{role}_{what}": run.column(column, pairs[code])
            for what, column in (("calls", "num_rows"), ("errors", "num_errors"))
            for run, role, code in _roles(base, candidate)
        },
        schema=dict.fromkeys(_COUNTS, pl.Float64),
    ).cast(pl.Int64)


def _metrics(base: Run, candidate: Run, pairs: pl.DataFrame, min_effect: float) -> pl.DataFrame:
    """One row for each pair and metric, by pair."""
    parts = [_metric(base, candidate, pairs, metric) for metric in METRICS]
    numbers = pl.selectors.float()
    found = pl.concat(parts).with_columns(
        numbers.fill_nan(None), (pl.col("candidate") / pl.col("base")).alias("ratio")
    )
    known = found.with_columns(pl.when(numbers.is_finite()).then(numbers))
    return known.with_columns(metric_verdict(min_effect)).sort("pair", maintain_order=True)


def _metric(base: Run, candidate: Run, pairs: pl.DataFrame, metric: str) -> pl.DataFrame:
    codes = [pairs[code] for _, _, code in _roles(base, candidate)]
    limits: list[Floats] = []
    for level in (LEVEL, FAMILY_LEVEL):
        own, other = (
            run.estimate(metric, code, level) for run, code in zip((base, candidate), codes, strict=True)
        )
        limits += difference_limits(own, other)
    low, high, wide_low, wide_high = limits
    return pl.DataFrame(
        {
            "pair": pairs["pair"],
            "metric": [metric] * pairs.height,
            "unit": [METRICS[metric]] * pairs.height,
            "base": own.value,
            "candidate": other.value,
            "difference": other.value - own.value,
            "difference_low": low,
            "difference_high": high,
            "wide_low": wide_low,
            "wide_high": wide_high,
        }
    )


def _named(pairs: pl.DataFrame, metrics: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    joined = pairs.select("pair", *key).join(metrics, on="pair", maintain_order="left_right")
    return joined.select(*key, *_METRIC_COLUMNS)


def _density(run: Run, codes: pl.Series, key: Sequence[str]) -> pl.DataFrame:
    chosen = run.keys.filter(pl.col("code").is_in(codes.implode()))
    histogram, names = run.statistics.histogram, key_names(key)
    if names:
        histogram = histogram.join(chosen, on=names, how="semi", nulls_equal=True)
    return density(histogram, panel=key, group=())


def _spectrum(run: Run, codes: pl.Series, key: Sequence[str]) -> pl.DataFrame:
    profile = run.statistics.profile
    buckets = profile.buckets.filter(pl.col("code").is_in(codes.implode()))
    curves = spectrum(replace(profile, buckets=buckets))
    return curves.rename(dict(zip(key_names(key), key, strict=True)))
