"""How latency and throughput depend on the load, and what Little's law says of the log."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from loadlens.messages import Shown, counted
from loadlens.profile import Profile
from loadlens.profile.buckets import FAILED, window_name
from loadlens.profile.clock import FINE_S, SPAN_UNITS
from loadlens.profile.distributions import Distributions
from loadlens.profile.profile import FRACTION_BITS
from loadlens.profile.seconds import Floats, Groups, Seconds
from loadlens.profile.timeline import WINDOW_PERCENTILES
from loadlens.summaries.scalability import Scalability, fitted_scalability

__all__ = ["Load", "load_of"]

_MOST_LEVELS: Final = 20
_STEPS: Final = (1.0, 2.0, 5.0, 10.0)
_TOLERATED: Final = 0.1
_MOST_UNTIMED: Final = 0.01
_LEAST_ACTIVE: Final = 1e-6


@dataclass(frozen=True, kw_only=True, repr=False)
class Load(Shown):
    """The load of a run as its log tells it.

    Attributes:
        table: by level of active calls, ascending: ``active_from``, ``active_to``, ``active_calls`` (their
            mean), ``covered_s`` (how long the run was there), ``calls``, ``errors``, ``error_rate`` (0 to 1),
            ``throughput`` (successes per s), ``p50_ms``, ``p90_ms``, ``p95_ms``, ``p99_ms`` (of the
            successes, off by at most 1/32), ``max_ms``. Each window of the timeline is at one level.
        mean_active: calls that were active on the average over time; None where times do not tell.
        peak_active: the most at any second.
        arrival_rate: calls that started per s, over the run.
        mean_latency_ms: of all calls with a latency, failed ones too.
        littles_law: what that law says of the mean: arrival rate times mean latency.
        warning: what a gap between both tells; None where there is none, or nothing tells it.
        scalability: how throughput depends on load.
    """

    table: pl.DataFrame
    mean_active: float | None
    peak_active: int | None
    arrival_rate: float | None
    mean_latency_ms: float | None
    littles_law: float | None
    warning: str | None
    scalability: Scalability

    @property
    def headline(self) -> str:
        """The mean and the peak of the active calls."""
        if self.mean_active is None:
            return "the log does not tell how many calls were active"
        peak = "" if self.peak_active is None else f", at most {self.peak_active:,}"
        return f"{self.mean_active:,.4g} active calls on the average{peak}"

    @property
    def shown_table(self) -> pl.DataFrame:
        """Latency and throughput by level."""
        return self.table

    @property
    def document(self) -> dict[str, Any]:
        """All of it as it stands in summary.json."""
        return {
            "mean_active": self.mean_active,
            "peak_active": self.peak_active,
            "arrival_rate": self.arrival_rate,
            "mean_latency_ms": self.mean_latency_ms,
            "littles_law": self.littles_law,
            "warning": self.warning,
            "levels": self.table.to_dicts(),
            "scalability": self.scalability.document,
        }


def load_of(profile: Profile, windows: pl.DataFrame) -> Load:
    """The load of a run.

    Mean active calls are the time from start to end of all calls over the time from the first start to the
    last end; where a tool logs but one of both, the mean over the seconds. By Little's law they are the
    arrival rate times the mean latency (J. D. C. Little, A proof for the queuing formula L = lambda W,
    Operations Research 9, 1961). A gap tells that latencies are not what lies between the times of the log.

    Args:
        profile: the counts.
        windows: those of the run as a whole, of its timeline.
    """
    usable = windows.filter(pl.col("covered_s") > 0, pl.col("active_calls").is_not_null())
    facts = _facts(profile)
    warning = None
    law = None
    if facts["arrival_rate"] is not None and facts["mean_latency_ms"] is not None:
        law = facts["arrival_rate"] * facts["mean_latency_ms"] / 1000
        warning = _gap_told(profile, facts["mean_active"], law)
    if facts["mean_active"] is None and not usable.is_empty():  # not both times are logged, or are saved
        facts["mean_active"] = float(np.average(usable["active_calls"], weights=usable["covered_s"]))
    busy = usable.filter(pl.col("active_calls") > 0)
    measured = (busy[name].to_numpy() for name in ("active_calls", "throughput", "covered_s"))
    return Load(
        table=_levels(profile, usable),
        peak_active=_peak(profile),
        littles_law=law,
        warning=warning,
        scalability=_scalability(profile, *measured),
        **facts,
    )


def _scalability(profile: Profile, load: Floats, throughput: Floats, seconds: Floats) -> Scalability:
    systems = [name for name in profile.key if name not in _OF_ONE_SYSTEM]
    several = profile.keys.select(f"key:{name}" for name in systems).n_unique() if systems else 1
    if several > 1:
        return Scalability(
            reason=f"it holds {counted(several, 'configuration')} ({', '.join(systems)}), each a system "
            f"of its own; look at one at a time with --where"
        )
    return fitted_scalability(load, throughput, seconds)


_OF_ONE_SYSTEM: Final = ("label", "num_clients", "error", "success", "file", "run")
"""Key columns that tell calls of one system apart."""


def _facts(profile: Profile) -> dict[str, float | None]:
    """The arrival rate, the mean latency and the mean of the active calls."""
    figures = profile.figures
    calls = int(figures["calls"].sum())
    first, last = figures.select(pl.col("first_start").min(), pl.col("last_end").max().alias("last")).row(0)
    span = None if first is None or last is None else last - first + _coarse(profile)
    timed, total = _timed(profile)
    spans = profile.units
    told = spans.span_sum / SPAN_UNITS if spans.spans == calls else None
    return {
        "arrival_rate": calls / span if span else None,
        "mean_latency_ms": total / timed if timed else None,
        "mean_active": told / span if span and told is not None else None,
    }


def _coarse(profile: Profile) -> float:
    return profile.resolution_s if profile.resolution_s > FINE_S else 0.0


def _timed(profile: Profile) -> tuple[int, float]:
    """How many calls have a latency, -1 not counted, and what these come to in ms."""
    failed = int(profile.buckets.filter(pl.col("bucket") == FAILED)["count"].sum())
    total = int(profile.figures["latency_sum"].sum() or 0) / 2**FRACTION_BITS
    return int(profile.figures["timed"].sum()) - failed, total + failed


def _peak(profile: Profile) -> int | None:
    code = profile.keys["code"].to_numpy()
    seconds = Seconds.of(profile, Groups.of(profile, code, np.zeros(len(code), dtype=np.int64)))
    return int(seconds.active.max()) if seconds is not None and seconds.tells_active else None


def _gap_told(profile: Profile, active: float | None, law: float) -> str | None:
    calls = int(profile.figures["calls"].sum())
    timed, _ = _timed(profile)
    if active is None or active < _LEAST_ACTIVE or calls - timed > _MOST_UNTIMED * calls:
        return None
    gap = law / active - 1
    if abs(gap) <= _TOLERATED + (calls - timed) / calls:
        return None
    told = "more" if gap > 0 else "less"
    return (
        f"by Little's law {law:,.4g} calls were active on the average (arrival rate x mean latency), by "
        f"their starts and ends {active:,.4g}: latencies are {abs(gap):.0%} {told} than the times say; rows "
        f"are missing, latencies and times come from two clocks, or they measure different things"
    )


def _levels(profile: Profile, windows: pl.DataFrame) -> pl.DataFrame:
    """Windows put together by their active calls, at most so many levels of equal width."""
    active = windows["active_calls"].to_numpy()
    step = _step(float(active.max(initial=0.0)))
    level = np.floor(active / step + 0.5).astype(np.int64)
    levels, place = np.unique(level, return_inverse=True)
    completions = pl.col("throughput") * pl.col("covered_s")
    summed = (
        windows.with_columns(pl.Series("level", level))
        .group_by("level")
        .agg(
            (pl.col("active_calls") * pl.col("covered_s")).sum() / pl.col("covered_s").sum(),
            pl.col("covered_s", "calls", "errors").sum(),
            throughput=completions.sum() / pl.col("covered_s").sum(),
            max_ms=pl.col("max_ms").max(),
        )
        .sort("level")
    )
    return summed.with_columns(
        *_percentiles(profile, windows, place, len(levels)),
        active_from=(pl.col("level") * step - step / 2).clip(0),
        active_to=pl.col("level") * step + step / 2,
        error_rate=pl.col("errors") / pl.when(pl.col("calls") > 0).then("calls"),
    ).select(*_COLUMNS)


_COLUMNS: Final = (
    *("active_from", "active_to", "active_calls", "covered_s", "calls", "errors", "error_rate", "throughput"),
    *(*WINDOW_PERCENTILES, "max_ms"),
)


def _step(highest: float) -> float:
    """A round width that makes few enough levels."""
    least = max(highest, 1.0) / _MOST_LEVELS
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9)))


def _percentiles(profile: Profile, windows: pl.DataFrame, place: Any, num_levels: int) -> list[pl.Series]:
    """Percentiles of each level, from the latencies of all of its windows together."""
    found = profile.timeline
    if found is None or found.window_s is None:
        return [pl.Series(name, [None] * num_levels, dtype=pl.Float64) for name in WINDOW_PERCENTILES]
    number = (windows["window_start_s"] / found.window_s).round().cast(pl.Int64)
    of_windows = pl.DataFrame({"window": number, "level": place}, schema_overrides={"level": pl.Int64})
    keys = found.keys.select("code", pl.col(window_name(found.window_s)).alias("window"))
    level = keys.join(of_windows, on="window", how="left", maintain_order="left")["level"].fill_null(-1)
    group = np.full(int(keys["code"].max() or 0) + 1, -1)  # type: ignore[arg-type]
    group[keys["code"].to_numpy()] = level.to_numpy()
    calls = Distributions.of(group, num_levels, found.figures, found.buckets, found.bucket_shift)
    return [pl.Series(name, calls.quantile(q)[0], nan_to_null=True) for name, q in WINDOW_PERCENTILES.items()]
