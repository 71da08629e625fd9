"""Closed systems whose throughput follows the universal scalability law: runs with known parameters."""

import numpy as np
import polars as pl

RATE, CONTENTION, COHERENCY = 20.0, 0.04, 0.001
STEPS = (1, 2, 4, 7, 11, 16, 23, 32, 45)


def throughput_at(load: float, contention: float = CONTENTION, coherency: float = COHERENCY) -> float:
    return RATE * load / (1 + contention * (load - 1) + coherency * load * (load - 1))


def law_of(contention: float = CONTENTION, coherency: float = COHERENCY) -> dict[str, float]:
    peak = ((1 - contention) / coherency) ** 0.5
    highest = throughput_at(peak, contention, coherency)
    return {
        "rate_per_s": RATE,
        "contention": contention,
        "coherency": coherency,
        "knee_load": highest / RATE,
        "peak_load": peak,
        "peak_throughput": highest,
    }


def stepped_run(
    *, seed: int, step_s: float = 12.0, contention: float = CONTENTION, coherency: float = COHERENCY
) -> pl.DataFrame:
    """Clients that call without a pause, ever more of them; a call takes longer the more are active."""
    rng = np.random.default_rng(seed)
    means = [clients / throughput_at(clients, contention, coherency) for clients in STEPS]
    calls = []
    for client in range(STEPS[-1]):
        start = step_s * next(place for place, clients in enumerate(STEPS) if client < clients)
        while start < step_s * len(STEPS):
            latency = rng.gamma(4, means[int(start // step_s)] / 4)
            calls.append((latency * 1000, start + 500.25, start + 500.25 + latency))
            start += latency
    return pl.DataFrame(calls, schema=["invocation_latency", "start_time", "end_time"], orient="row")
