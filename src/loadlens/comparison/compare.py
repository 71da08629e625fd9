"""Whether a candidate run is better or worse than a base run, key by key."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Unpack

import polars as pl

from loadlens.analysis.density import density
from loadlens.comparison.intervals import Floats, difference_limits
from loadlens.comparison.runs import PERCENTILES, Run, measured_run, with_common_types
from loadlens.comparison.verdicts import FAMILY_LEVEL, LEVEL, VERDICTS, key_verdicts, metric_verdict
from loadlens.errors import InputError, UsageError
from loadlens.profile import Execution, key_names, spectrum
from loadlens.schema import LATENCY
from loadlens.sources import Log, Source, open_log

__all__ = ["METRICS", "MOST_DRAWN", "Comparison", "compare"]

METRICS: Final = {
    "error_rate": "share",
    "mean": "ms",
    **dict.fromkeys(PERCENTILES, "ms"),
    "throughput": "1/s",
}
"""What is compared, with its unit. All but throughput decide."""

MOST_DRAWN: Final = 12
"""Keys with curves."""

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


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Result of a comparison. All figures are of every successful call, none filtered, but for throughput.

    Attributes:
        base: what the base run is called.
        candidate: what the candidate run is called.
        by: the key columns.
        min_effect: the smallest change that counts, 0 to 1.
        keys: one row for each key in both runs, ascending: the key columns, ``verdict`` (``worse``,
            ``better``, ``no difference``, ``too little data``), ``deciding`` (the metrics that it comes
            from), ``base_calls``, ``candidate_calls``, ``base_errors``, ``candidate_errors``.
        metrics: one row for each key and metric: the key columns, ``metric``, ``unit``, ``base``,
            ``candidate``, ``difference`` (candidate - base), ``ratio`` (candidate / base),
            ``difference_low``, ``difference_high`` (95 % interval; null where the data set no limit),
            ``metric_verdict`` (null for throughput, which decides nothing), ``verdict`` (of the key).
        only_in_base: keys that the candidate lacks, with ``num_rows``.
        only_in_candidate: keys that the base lacks, with ``num_rows``.
        density: curves of at most 12 keys, each curve's area 1: the key columns, ``run``, ``latency_ms``,
            ``density`` (per ms); without the calls above each run's fence.
        spectrum: of the same keys: the key columns, ``run``, ``quantile``, ``latency_ms``.
        relative_error: bound of the relative error of minima and percentiles; 0 for exact figures.
        warnings: what the logs cannot tell, one sentence each.
    """

    base: str
    candidate: str
    by: tuple[str, ...]
    min_effect: float
    keys: pl.DataFrame
    metrics: pl.DataFrame
    only_in_base: pl.DataFrame
    only_in_candidate: pl.DataFrame
    density: pl.DataFrame
    spectrum: pl.DataFrame
    relative_error: float
    warnings: tuple[str, ...]

    @property
    def verdicts(self) -> dict[str, int]:
        """How many keys have each verdict, the gravest first."""
        return {verdict: int((self.keys["verdict"] == verdict).sum()) for verdict in VERDICTS}

    @property
    def drawn(self) -> pl.DataFrame:
        """The keys that have curves: the gravest verdicts first, then the most calls."""
        return drawn_keys(self.keys)

    @property
    def document(self) -> dict[str, Any]:
        """The content of comparison.json but for the version."""
        return {
            "base": self.base,
            "candidate": self.candidate,
            "by": list(self.by),
            "min_effect": self.min_effect,
            "confidence": LEVEL,
            "relative_error": self.relative_error,
            "verdicts": self.verdicts,
            "keys": self.keys.to_dicts(),
            "metrics": self.metrics.to_dicts(),
            "only_in_base": self.only_in_base.to_dicts(),
            "only_in_candidate": self.only_in_candidate.to_dicts(),
            "warnings": list(self.warnings),
        }


def compare(
    base: Source,
    candidate: Source,
    by: Sequence[str] | None = None,
    *,
    min_effect: float = 0.05,
    base_name: str | None = None,
    candidate_name: str | None = None,
    **execution: Unpack[Execution],
) -> Comparison:
    """Compares two runs key by key; the intervals take calls as independent of each other.

    Args:
        base: the run to compare with: any source of ``summarize``.
        candidate: the run in question.
        by: the key columns; by default those that naturally tell the rows of both logs apart, by none as a
            whole.
        min_effect: the smallest change that counts, as a share of the base's figure (0.05 is 5 %).
        base_name: what to call the base; its file by default.
        candidate_name: what to call the candidate.
        **execution: how the logs are measured; see ``Execution``.

    Raises:
        InputError: a log cannot be read or lacks columns, or the runs have no key in common.
        UsageError: ``by`` or ``min_effect`` make no sense.
    """
    if not 0 < min_effect < 1:
        raise UsageError(
            f"min_effect: got {min_effect:.4g}, expected more than 0 and less than 1, such as 0.05 for 5 %: "
            f"no data can show that there is no difference at all"
        )
    logs = open_log(base, name="the base"), open_log(candidate, name="the candidate")
    key = _key(logs, by)
    for log in logs:
        log.require((*key, LATENCY))
    names = [base_name or logs[0].name, candidate_name or logs[1].name]
    base_run, candidate_run = with_common_types(
        *(measured_run(log, name, key, **execution) for log, name in zip(logs, names, strict=True))
    )
    return _compared(base_run, candidate_run, key, min_effect, _warnings(*logs))


def _key(logs: Sequence[Log], by: Sequence[str] | None) -> tuple[str, ...]:
    """The key columns; names of files are no natural key, since those of two runs differ."""
    base, candidate = logs
    if by is None:
        return tuple(name for name in base.key if name in candidate.columns and name != "file")
    key = (by,) if isinstance(by, str) else tuple(by)
    doubled = sorted({name for name in key if key.count(name) > 1})
    taken = sorted(name for name in key if name in _TAKEN or name.startswith(LATENCY))
    if doubled:
        raise UsageError(f"by names {', '.join(doubled)} more than once; name each column once")
    if taken:
        raise UsageError(f"by names {', '.join(taken)}, which names a figure; name configuration columns")
    return key


def _warnings(base: Log, candidate: Log) -> tuple[str, ...]:
    found = []
    for role, log in (("base", base), ("candidate", candidate)):
        if log.findings.rejected:
            rows = "1 row was" if log.findings.rejected == 1 else f"{log.findings.rejected:,} rows were"
            found.append(f"{role}: {rows} rejected")
        found += [f"{role}: {sentence}" for sentence in log.findings.sentences()]
    return tuple(found)


def _compared(
    base: Run, candidate: Run, key: Sequence[str], min_effect: float, warnings: tuple[str, ...]
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
    return Comparison(
        base=base.name,
        candidate=candidate.name,
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
        relative_error=max(run.statistics.relative_error for run in (base, candidate)),
        warnings=warnings,
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
    return rest.rename(dict(zip(key_names(key), key, strict=True))).select(*key, "num_rows")


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


def drawn_keys(keys: pl.DataFrame) -> pl.DataFrame:
    """At most 12 of the ``keys`` of a comparison: the gravest verdicts first, then the most calls."""
    gravity = pl.col("verdict").cast(pl.Enum(VERDICTS))
    calls = pl.col("base_calls") + pl.col("candidate_calls")
    return keys.sort(gravity, -calls, maintain_order=True).head(MOST_DRAWN)


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
