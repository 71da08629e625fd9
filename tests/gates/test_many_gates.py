"""Thousands of gates at once: as quick as a few, and each judged as it is alone."""

import time

import numpy as np
import polars as pl
import pytest

from loadlens.errors import GateError
from loadlens.gates import check_gates

MANY = 3000
KEYS = 6


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    random, rows = np.random.default_rng(3), 5000
    start = np.sort(random.uniform(0, 100, rows))
    latency = random.lognormal(4, 0.6, rows)
    return pl.DataFrame(
        {
            "invocation_latency": latency,
            "start_time": start,
            "end_time": start + latency / 1000,
            "success": random.random(rows) > 0.1,
            "zone": [["a", "b", None][index % 3] for index in range(rows)],
            "memory_size": [(1024, 2048)[index % 2] for index in range(rows)],
        }
    )


BY = ("zone", "memory_size")


def gate(index: int) -> str:
    zone, memory = ["a", "b", "null"][index % 3], (1024, 2048)[index % 2]
    texts = (
        f"p{1 + index % 990 / 10:g} < {20 + index % 200}ms",
        f"p99 < {100 + index}ms for zone={zone}, memory_size={memory}",
        f"share(<{10 + index / 10:g}ms) > {index % 100}%",
        f"mean <= {40 + index % 50}ms for zone={zone}",
        f"throughput > {index / 300:g}/s",
        f"error_rate < {1 + index % 90}%",
        f"count > {index}",
        f"p90 < {20 + index % 200}ms filtered",
        f"count > {index} within {1 + index % 3}s of every window for memory_size={memory}",
    )
    return texts[index % len(texts)]


def test_each_of_many_gates_is_judged_as_alone(log: pl.DataFrame) -> None:
    gates = [gate(index) for index in range(0, MANY, 7)]
    together = check_gates(log, gates, BY, outliers="mean-iqr")
    for one in together.gates[::31]:
        alone = check_gates(log, [one.text], BY, outliers="mean-iqr")
        found = [(v.key, v.value, v.low, v.high, v.calls, v.holds, v.windows) for v in together.of(one)]
        assert found == [(v.key, v.value, v.low, v.high, v.calls, v.holds, v.windows) for v in alone.verdicts]


@pytest.mark.slow
def test_thousands_take_little_longer_than_one(log: pl.DataFrame) -> None:
    def seconds(gates: list[str]) -> float:
        began = time.process_time()
        check_gates(log, gates, BY)
        return time.process_time() - began

    gates = [text for index in range(2 * MANY) if "within" not in (text := gate(index))][:MANY]
    seconds(gates[:9])
    assert seconds(gates) < seconds(gates[:9]) + 8  # it was 15 s and more


def test_a_scope_that_fits_nothing_names_the_gate(log: pl.DataFrame) -> None:
    gates = ["p99 < 9s for zone=a", "p99 < 9s for zone=a", "p99 < 8s for zone=c"]
    with pytest.raises(GateError, match=r"zone=c.*expected one of the values of zone: a, b, null"):
        check_gates(log, gates, BY)
