"""A serverless endpoint under load, simulated.

Clients work in a closed loop: call, wait for the answer, pause, call again. A call takes the slot that is
free first; it queues for a short time, and is throttled if it would have to queue for longer. A slot that
was never used, or idle for too long, starts cold. A call that needs more memory than there is fails.

Calls depend on each other only within a burst. So many bursts advance side by side, one call of each in
one vector operation, and are then laid one after the other on the clock.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from loadlens.schema import FAILED_LATENCY_MS, LATENCY

__all__ = [
    "CLOCK_START_S",
    "METRIC_UNITS",
    "REQUEST_BYTES",
    "Batch",
    "Configuration",
    "Load",
    "even_parts",
    "simulate_load",
]

# A "spread" is the standard deviation of the logarithm of a lognormal duration or size.
SERVICE_FLOOR_MS: Final = 14.0  # what no CPU can speed up
SERVICE_CPU_MS: Final = 30.0  # what more CPU, which comes with memory, does: median at CPU_BASE_MB
CPU_BASE_MB: Final = 1024
CPU_SATURATION_MB: Final = 600.0
SERVICE_SPREAD: Final = 0.22
SERVICE_PER_KIB: Final = 0.03  # longer by this part for each KiB of the request
SLOW_PROBABILITY: Final = 0.004
SLOWDOWN: Final = (4.0, 20.0)  # least and most
OVERHEAD_LEAST_MS: Final = 2.5
OVERHEAD_MEAN_MS: Final = 5.0

SETUP_MEDIAN_MS: Final = 900.0
SETUP_SPREAD: Final = 0.35
SETUP_MS: Final = (300.0, 3000.0)  # least and most
IDLE_LIMIT_S: Final = 20.0
QUEUE_LIMIT_S: Final = 0.010

MEMORY_USED_MEDIAN_MB: Final = 420.0
MEMORY_USED_SPREAD: Final = 0.45
OTHER_ERROR_PROBABILITY: Final = 0.0002

REQUEST_BYTES: Final = (256, 768, 1536, 3072, 6144)
RESPONSE_BYTES: Final = (180, 2200)  # least and most
PAUSE_MEAN_S: Final = 0.010
FIRST_CALLS_APART_S: Final = 0.002

BURST_CALLS: Final = 320
BURST_GAP_MEAN_S: Final = 6.0
BATCH_BURSTS: Final = 1600  # times BURST_CALLS: the rows of the largest row group
CLOCK_START_S: Final = 1000.0

METRIC_UNITS: Final = {
    "MemoryUtilization": "Percent",
    "ModelSetupTime": "Microseconds",
    "ModelLatency": "Microseconds",
    "OverheadLatency": "Microseconds",
}
MS_PER_S: Final = 1e3
MICROSECONDS_PER_S: Final = 1e6

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What is under test, and by how many clients.

    Attributes:
        memory_size: MB.
        max_concurrency: slots, each of which serves one call at a time.
        num_clients: clients in a closed loop.
    """

    memory_size: int
    max_concurrency: int = 1
    num_clients: int = 1


@dataclass(frozen=True, kw_only=True)
class Load:
    """How many calls to simulate of one configuration, and from which random numbers."""

    configuration: Configuration
    rows: int
    seed: np.random.SeedSequence


@dataclass(frozen=True, kw_only=True)
class _Demand:
    """What each call brings with it, whatever the load. Arrays of shape (bursts, calls of a burst)."""

    request: Integers
    response_bytes: Integers
    service_s: Floats
    overhead_s: Floats
    setup_s: Floats
    pause_s: Floats
    memory_mb: Floats
    other_error: Booleans


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What became of each call. Arrays of the shape of the demand; times from the start of the burst."""

    start_s: Floats
    end_s: Floats
    throttled: Booleans
    cold: Booleans


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Log columns and endpoint metrics of some bursts of one configuration.

    Attributes:
        columns: the measured columns of the log and ``invoke_arg_index``, burst after burst.
        metrics: the observations of each endpoint metric, in its unit.
        end_s: when the last burst ended.
    """

    columns: dict[str, pa.Array]
    metrics: dict[str, Floats]
    end_s: float


def simulate_load(load: Load, clock_s: float) -> Iterator[Batch]:
    """Simulates ``load`` from ``clock_s`` on, in batches of bounded size."""
    rng = np.random.default_rng(load.seed)
    calls = min(BURST_CALLS, load.rows)
    bursts = math.ceil(load.rows / calls)
    rows_left, first = load.rows, True
    for count in even_parts(bursts, math.ceil(bursts / BATCH_BURSTS)):
        rows = min(count * calls, rows_left)
        batch = _batch(load.configuration, (count, calls), rows, clock_s, rng, never_used=first)
        yield batch
        rows_left, clock_s, first = rows_left - rows, batch.end_s, False


def even_parts(total: int, parts: int) -> list[int]:
    """``total`` as a sum of ``parts`` whole numbers that differ by at most 1, the larger first."""
    least, rest = divmod(total, parts)
    return [least + (index < rest) for index in range(parts)]


def _batch(
    configuration: Configuration,
    shape: tuple[int, int],
    rows: int,
    clock_s: float,
    rng: np.random.Generator,
    *,
    never_used: bool,
) -> Batch:
    """Simulates bursts one after the other from ``clock_s`` on and keeps the first ``rows`` calls."""
    demand = _draw_demand(configuration.memory_size, shape, rng)
    gap_s = rng.exponential(BURST_GAP_MEAN_S, shape[0])
    idle_s = gap_s.copy()
    if never_used:
        idle_s[0] = math.inf
    outcome = _queue(demand, idle_s, configuration)
    burst_end_s = outcome.end_s.max(axis=1)
    burst_start_s = clock_s + np.cumsum(gap_s + burst_end_s) - burst_end_s
    return _log(demand, outcome, burst_start_s, configuration.memory_size, rows)


def _draw_demand(memory_mb: int, shape: tuple[int, int], rng: np.random.Generator) -> _Demand:
    request = rng.integers(len(REQUEST_BYTES), size=shape)
    luck = rng.random(shape)
    least, most = RESPONSE_BYTES
    overhead_ms = OVERHEAD_LEAST_MS + (OVERHEAD_MEAN_MS - OVERHEAD_LEAST_MS) * _exponential(rng, shape)
    setup_ms = SETUP_MEDIAN_MS * _lognormal(rng, shape, SETUP_SPREAD)
    return _Demand(
        request=request,
        response_bytes=rng.integers(least, most, size=shape),
        service_s=_service_ms(memory_mb, request, luck, rng) / MS_PER_S,
        overhead_s=overhead_ms / MS_PER_S,
        setup_s=np.clip(setup_ms, *SETUP_MS) / MS_PER_S,
        pause_s=PAUSE_MEAN_S * _exponential(rng, shape),
        memory_mb=MEMORY_USED_MEDIAN_MB * _lognormal(rng, shape, MEMORY_USED_SPREAD),
        other_error=luck >= 1 - OTHER_ERROR_PROBABILITY,
    )


def _service_ms(memory_mb: int, request: Integers, luck: Floats, rng: np.random.Generator) -> Floats:
    """Lognormal service times; the calls with the least luck are slower by a uniform factor."""
    cpu_ms = SERVICE_CPU_MS * math.exp((CPU_BASE_MB - memory_mb) / CPU_SATURATION_MB)
    kib = np.array(REQUEST_BYTES, dtype=np.float32) / 1024
    median_ms = (SERVICE_FLOOR_MS + cpu_ms) * (1 + SERVICE_PER_KIB * kib)
    service_ms = median_ms[request] * _lognormal(rng, request.shape, SERVICE_SPREAD)
    slow = luck < SLOW_PROBABILITY
    least, most = SLOWDOWN
    service_ms[slow] *= least + (most - least) * luck[slow] / SLOW_PROBABILITY
    return service_ms


def _exponential(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_exponential(shape, dtype=np.float32)


def _lognormal(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Floats:
    """Lognormal numbers with median 1."""
    normal = rng.standard_normal(shape, dtype=np.float32)
    return np.exp(np.multiply(normal, spread, out=normal), out=normal)


def _queue(demand: _Demand, idle_s: Floats, configuration: Configuration) -> _Outcome:
    """Lets the clients of each burst call in turn. Slots have been idle for ``idle_s`` at its start.

    A slot is taken from the moment a call gets it until the client has its answer.
    """
    bursts, calls = demand.request.shape
    burst = np.arange(bursts)
    warm_s = demand.service_s.astype(np.float64) + demand.overhead_s
    start_s, end_s = np.empty((2, bursts, calls))
    throttled, cold = np.empty((2, bursts, calls), dtype=np.bool_)
    ready_s = np.tile(np.arange(configuration.num_clients) * FIRST_CALLS_APART_S, (bursts, 1))
    free_s = np.tile(-idle_s[:, None], (1, configuration.max_concurrency))
    for call in range(calls):
        client, slot = ready_s.argmin(axis=1), free_s.argmin(axis=1)
        called, free = ready_s[burst, client], free_s[burst, slot]
        begun = np.maximum(called, free)
        is_throttled = begun - called > QUEUE_LIMIT_S
        is_cold = begun - free > IDLE_LIMIT_S
        served = begun + warm_s[:, call] + is_cold * demand.setup_s[:, call]
        ended = np.where(is_throttled, called + demand.overhead_s[:, call], served)
        ready_s[burst, client] = ended + demand.pause_s[:, call]
        free_s[burst, slot] = np.where(is_throttled, free, served)
        start_s[:, call], end_s[:, call] = called, ended
        throttled[:, call], cold[:, call] = is_throttled, is_cold
    return _Outcome(start_s=start_s, end_s=end_s, throttled=throttled, cold=cold)


def _log(demand: _Demand, outcome: _Outcome, burst_start_s: Floats, memory_mb: int, rows: int) -> Batch:
    """The first ``rows`` calls, burst after burst, as the log and the endpoint metrics have them."""

    def flat(values: NDArray[Any]) -> NDArray[Any]:
        return values.ravel()[:rows]

    throttled = flat(outcome.throttled)
    out_of_memory = (flat(demand.memory_mb) > memory_mb) & ~throttled
    other_error = flat(demand.other_error) & ~out_of_memory & ~throttled
    answered = ~(throttled | out_of_memory | other_error)
    latency_ms = flat(outcome.end_s - outcome.start_s) * MS_PER_S
    columns = {
        LATENCY: pa.array(np.where(answered, latency_ms, FAILED_LATENCY_MS)),
        "response_size": pa.array(flat(demand.response_bytes), mask=~answered),
        "throttle_exception": pa.array(throttled.view(np.int8)),
        "insufficient_memory_error": pa.array(out_of_memory.view(np.int8), mask=throttled),
        "other_model_error": pa.array(other_error.view(np.int8), mask=throttled),
        "start_time": pa.array(flat(outcome.start_s + burst_start_s[:, None])),
        "end_time": pa.array(flat(outcome.end_s + burst_start_s[:, None])),
        "invoke_arg_index": pa.array(flat(demand.request)),
    }
    metrics = {
        "MemoryUtilization": np.minimum(flat(demand.memory_mb)[~throttled] / memory_mb, 1) * 100,
        "ModelSetupTime": flat(demand.setup_s)[flat(outcome.cold)] * MICROSECONDS_PER_S,
        "ModelLatency": flat(demand.service_s)[answered] * MICROSECONDS_PER_S,
        "OverheadLatency": flat(demand.overhead_s)[answered] * MICROSECONDS_PER_S,
    }
    end_s = float(burst_start_s[-1] + outcome.end_s[-1].max())
    return Batch(columns=columns, metrics=metrics, end_s=end_s)
