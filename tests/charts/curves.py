"""Curves to draw, and how to look into the spec that comes out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from loadlens.summaries.density_curves import density


def histogram(
    key: Mapping[str, Any], *, centre: float = 20.0, spread: float = 0.3, rows: int = 300
) -> pl.DataFrame:
    """Log-normal latencies of one group, the same draw each time."""
    normal = np.random.default_rng(7).normal(size=rows)
    latencies = pl.DataFrame({"latency_ms": centre * np.exp(spread * normal)})
    keys = [pl.lit(value).alias(f"key:{name}") for name, value in key.items()]
    return latencies.select(*keys, "latency_ms", pl.lit(1, dtype=pl.Int64).alias("count"))


def curves(groups: Sequence[pl.DataFrame], group: Sequence[str], panel: Sequence[str] = ()) -> pl.DataFrame:
    return density(pl.concat(groups), panel=panel, group=group)


def curves_of(name: str, values: Sequence[Any], **shape: Any) -> pl.DataFrame:
    """One curve for each value of one column."""
    return curves([histogram({name: value}, **shape) for value in values], (name,))


def marks(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every single-mark part of a spec, with the data that it inherits."""
    inner = [spec["spec"]] if "spec" in spec else []
    if "mark" in spec:
        yield dict(spec)
    for part in [*spec.get("layer", []), *spec.get("vconcat", []), *inner]:
        yield from marks({"data": spec.get("data"), **part})


def mark_of(spec: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The first part that is drawn with a mark of this kind."""
    return next(part for part in marks(spec) if part["mark"]["type"] == kind)


def rows_of(spec: Mapping[str, Any], part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a part draws."""
    return spec["datasets"][part["data"]["name"]]


def num_rows(spec: Mapping[str, Any]) -> int:
    return sum(map(len, spec["datasets"].values()))
