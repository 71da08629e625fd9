"""Runs of clients that wait for an answer before they ask again, with ramp-ups that end at known times."""

import numpy as np
import polars as pl

from loadlens.schema import LATENCY


def ramp(
    *,
    ramp_s: float,
    run_s: float,
    clients: int = 30,
    median_ms: float = 400.0,
    warm_up_s: float = 0.0,
    drift: float = 0.0,
    stall: tuple[float, float] | None = None,
    cool_down_s: float = 0.0,
    begin: float = 1000.25,
    seed: int = 5,
) -> pl.DataFrame:
    """A run.

    Args:
        ramp_s: over which clients start evenly, one after the other.
        run_s: how long it takes.
        clients: how many there are in the end.
        median_ms: of the latencies once they have settled.
        warm_up_s: until when latencies fall from five times the median, in a straight line.
        drift: by how much latencies grow over the run, in the median.
        stall: when the system answers ten times as slowly: from, to.
        cool_down_s: over which clients leave at the end.
        begin: the first start on the log's clock.
        seed: of the latencies.
    """
    rng = np.random.default_rng(seed)
    starts, latencies = [], []
    for client in range(clients):
        now = ramp_s * client / clients
        end = run_s - cool_down_s * client / clients
        while now < end:
            factor = 1 + drift * now / run_s
            if now < warm_up_s:
                factor *= 5 - 4 * now / warm_up_s
            if stall and stall[0] <= now < stall[1]:
                factor *= 10
            latency_s = median_ms / 1000 * factor * rng.lognormal(0, 0.3)
            starts.append(begin + now)
            latencies.append(latency_s)
            now += latency_s
    start, latency = np.array(starts), np.array(latencies)
    return pl.DataFrame({LATENCY: latency * 1000, "start_time": start, "end_time": start + latency})
