"""Logs that are hard on buckets, ranks and fences, and how figures are compared."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from loadlens.engine import measure
from loadlens.logs import Source, open_log
from loadlens.profile import MeasureOptions, Plan, Profile, Statistics, percentile_name
from loadlens.profile.measures import Measure
from loadlens.profile.progress import Limits
from loadlens.saved.storing import stored_parts, write_profile
from loadlens.schema import ERROR_COLUMNS, LATENCY
from tests import direct

Values = Sequence[float | None] | np.ndarray[Any, Any]

SMALLEST = 5e-324
SUM_UNIT_MS = 2.0**-55  # of sums: latencies far below it add up to nothing
TOLERANCE = 1e-12
COUNTS = (
    "num_rows", "num_invocations", "num_successes", "response_size_sum", "response_size_count",
    "num_kept", "outliers_removed", "tps_avg", "tps_p25", "tps_p50", "tps_p75", "tps_max",
)  # fmt: skip
ORDER_STATISTICS = ("success_min", "success_max", "kept_min", "kept_max")
MEDIANS = ("success_median", "kept_median", "success_iqr", "kept_iqr")
MEANS = ("success_mean", "kept_mean", "outlier_fence", "throughput")

TOLD_ALWAYS = Limits(memory=2**30, seconds_between_reports=0)
"""Progress is told of every batch."""


def log_of(
    latencies: Values, *, seconds: float = 30.0, success: Values | None = None, **columns: object
) -> pl.DataFrame:
    """A log of calls that end evenly over ``seconds``; failures are throttled."""
    latency = pl.Series(LATENCY, latencies, dtype=pl.Float64, strict=False)
    end = pl.Series("end_time", 1783.25 + np.arange(len(latency)) * (seconds / max(len(latency), 1)))
    frame = pl.DataFrame(
        {
            LATENCY: latency,
            "start_time": end - 0.05,
            "end_time": end,
            "throttle_exception": (latency == -1).cast(pl.Int8),
            "insufficient_memory_error": pl.Series([0] * len(latency), dtype=pl.Int8),
            "other_model_error": pl.Series([None] * len(latency), dtype=pl.Int8),
        }
    )
    added = [pl.Series(name, values, strict=False) for name, values in columns.items()]
    outcome = [] if success is None else [pl.Series("success", success, dtype=pl.Boolean)]
    return frame.with_columns(*added, *outcome)


def near_equal(rows: int, *, seed: int = 0) -> np.ndarray[Any, Any]:
    """Distinct latencies near 100 ms, each a last bit above another."""
    bits = np.float64(100).view(np.int64) + np.random.default_rng(seed).permutation(rows)
    return bits.view(np.float64)


def spread(rows: int, *, seed: int = 1) -> np.ndarray[Any, Any]:
    """Latencies with a long tail."""
    return np.random.default_rng(seed).lognormal(3, 0.8, rows)


def _failed(rows: int, failures: int) -> np.ndarray[Any, Any]:
    latencies = spread(rows)
    latencies[np.random.default_rng(2).permutation(rows)[:failures]] = -1
    return latencies


def _two_valued(low: float, high: float) -> np.ndarray[Any, Any]:
    return np.where(np.random.default_rng(3).random(2001) < 0.4, low, high)


def _with_nulls(rows: int) -> list[float | None]:
    return [None if index % 3 == 0 else float(value) for index, value in enumerate(spread(rows))]


def _denormal() -> pl.DataFrame:
    values = [SMALLEST * factor for factor in (1, 2, 3, 3, 7, 2**40)] * 5
    # No failures: sums that cancel down from -1 would have no digits left.
    latencies = [*values, 0.0, -0.0, 0.0, -0.0, 2.5e-308]
    return log_of(latencies, success=[True] * len(latencies))


def _clusters(seed: int = 4) -> np.ndarray[Any, Any]:
    """Some clusters of values whose last bits differ, each with values many times over."""
    rng = np.random.default_rng(seed)
    centers = rng.choice([1.0, 3.7, 100.0, 100.001, 1e6], 4000)
    return (centers.view(np.int64) + rng.integers(0, 40, 4000)).view(np.float64)


LOGS: dict[str, Callable[[], pl.DataFrame]] = {
    "all equal": lambda: log_of(np.full(1000, 12.3)),
    "two values": lambda: log_of(_two_valued(1.5, 1e6)),
    "two adjacent values": lambda: log_of(_two_valued(10.0, np.nextafter(10.0, 11.0))),
    "near equal": lambda: log_of(near_equal(5_000)),
    "clusters": lambda: log_of(_clusters()),
    "12 decades": lambda: log_of(10 ** np.random.default_rng(5).uniform(-6, 6, 5000)),
    "denormals and zeros": _denormal,
    "5 % succeed": lambda: log_of(_failed(2000, 1900)),
    "none succeeds": lambda: log_of(np.full(500, -1.0)),
    "one succeeds, fence below 0": lambda: log_of([-1.0] * 999 + [5.0]),
    "sorted": lambda: log_of(np.sort(spread(5000))),
    "reversed": lambda: log_of(np.sort(spread(5000))[::-1]),
    "one row": lambda: log_of([12.5]),
    "one failure": lambda: log_of([-1.0]),
    "two rows": lambda: log_of([12.5, 13.5]),
    "some without latency": lambda: log_of(_with_nulls(1000)),
    "none with latency": lambda: log_of([None] * 10),
    "fence far above": lambda: log_of(np.tile([1.0, 1e6], 500)),
    "fence at the bulk": lambda: log_of([100.0] * 900 + [101.0] * 50 + [1e9] * 50),
    "largest": lambda: log_of([np.nextafter(2.0**40, 0), 2.0**39, 1.0]),
    "several keys": lambda: log_of(_failed(5000, 500)),
}


def keyed(frame: pl.DataFrame, keys: int = 3) -> pl.DataFrame:
    """The log with its rows dealt out to some configurations."""
    codes = np.random.default_rng(6).integers(0, keys, frame.height)
    return frame.with_columns(pl.Series("memory_size", codes * 1024 + 1024))


def plan_of(frame: pl.DataFrame, key: Sequence[str] = (), **changes: Any) -> Plan:
    """A plan with the fence of the reference toolkit, unless ``changes`` say otherwise."""
    success = pl.col("success") if "success" in frame.columns else pl.col(LATENCY) > 0
    return Plan(**{"key": tuple(key), "success": success, "outliers": "mean-iqr", **changes})


def both(
    frame: pl.DataFrame, key: Sequence[str] = (), *, execution: dict[str, Any] | None = None, **changes: Any
) -> tuple[Statistics, direct.Measured, Plan]:
    """The engine's statistics of a log and those of the direct formulation."""
    plan, log = plan_of(frame, key, **changes), open_log(frame)
    return measure(log, plan, MeasureOptions(**(execution or {}))), direct.measure(log, plan), plan


def assert_agree(got: pl.DataFrame, expected: pl.DataFrame, plan: Plan) -> None:
    """Asserts the same keys in the same order, equal counts and order statistics, and equal sums but for
    the order of adding."""
    percentiles = [f"{LATENCY}_{percentile_name(quantile)}" for quantile in plan.percentiles]
    keys = [f"key:{name}" for name in plan.key]
    errors = [name for name in ERROR_COLUMNS if name in expected.columns]
    assert got.select(keys).equals(expected.select(keys))
    assert got.height == expected.height
    for name in (*COUNTS, *errors):
        values = zip(_filled(got, name), _filled(expected, name), strict=True)
        assert all(one == other for one, other in values), f"{name}: {got[name]} is not {expected[name]}"
    for name in (*ORDER_STATISTICS, *MEDIANS, *MEANS, *percentiles):
        exactly = name in ORDER_STATISTICS
        scale = largest(expected) if name == "outlier_fence" else 0.0
        least = SUM_UNIT_MS if name in MEANS else SMALLEST
        for one, other in zip(got[name], expected[name], strict=True):
            same = one == other if exactly else close(one, other, scale, least)
            assert same, f"{name}: got {one!r}, expected {other!r}"


def _filled(table: pl.DataFrame, name: str) -> list[object]:
    """A log without sizes of responses has none, or null, of them."""
    values = table[name].fill_null(0) if name.startswith("response_size") else table[name]
    return values.to_list()


def largest(table: pl.DataFrame) -> float:
    """The largest latency; a mean over failures (-1) may cancel down from there."""
    found = table["success_max"].max()
    return found if isinstance(found, float) else 1.0


def close(got: float | None, expected: float | None, scale: float = 0.0, least: float = SMALLEST) -> bool:
    """Whether both are null or differ by no more than adding up in another order can make."""
    if got is None or expected is None:
        return got is expected
    return math.isclose(got, expected, rel_tol=TOLERANCE, abs_tol=max(TOLERANCE * scale, least))


def assert_same_profile(got: Profile, expected: Profile, *, with_heat: bool = True) -> None:
    """Asserts equal figures and counts under equal keys."""
    assert got.key == expected.key
    for name in ("figures", "buckets", "seconds"):
        assert_same_rows(_named(got, name), _named(expected, name))
    if with_heat:
        assert_same_rows(got.heat, expected.heat)


def _named(profile: Profile, name: str) -> pl.DataFrame:
    frame: pl.DataFrame = getattr(profile, name)
    return frame.join(profile.keys, on="code", how="left").drop("code")


def assert_same_rows(got: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Asserts equal rows in any order."""
    names = sorted(expected.columns)
    assert sorted(got.columns) == names
    assert (
        got.select(names).sort(names, nulls_last=True).rows()
        == expected.select(names).sort(names, nulls_last=True).rows()
    )


def kept(
    log: Source,
    by: Sequence[str] = ("memory_size",),
    *,
    window_s: int | None = None,
    measures: Sequence[Measure] = (),
    **how: Any,
) -> Profile:
    """The profile of a log as it is saved."""
    opened = open_log(log)
    sizes = "response_size" in opened.columns
    plan = Plan(
        key=tuple(by),
        keeps_profile=True,
        window_s=window_s,
        measures=tuple(measures),
        response_sizes=sizes,
        histogram=False,
    )
    options = MeasureOptions(exact=False, heatmap=True, **how)
    return Profile.merge_all([measure(opened, plan, options).profile])


def bytes_of(profile: Profile, path: Path) -> bytes:
    """The file of a profile, without facts."""
    write_profile(path, stored_parts(profile), [profile.seconds], {})
    return path.read_bytes()


def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sample(fraction=1, shuffle=True, seed=1)


Submitted = tuple[Callable[..., Any], tuple[Any, ...]]


class Inline(Executor):
    """Runs work at once, in this process, and remembers it; ``spoil`` may put something in its place."""

    def __init__(self, spoil: Callable[[int, Any], None] = lambda _number, _task: None) -> None:
        self.submitted: list[Submitted] = []
        self._spoil = spoil

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        self.submitted.append((work, arguments))
        future: Future[Any] = Future()
        try:
            self._spoil(len(self.submitted), arguments[0])
            future.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001  # as executors do
            future.set_exception(error)
        return future
