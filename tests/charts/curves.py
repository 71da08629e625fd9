"""Curves to draw, and how to look into the spec that comes out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
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
    """Every single-mark part of a spec, with the data and the encoding that it inherits."""
    if "mark" in spec:
        yield dict(spec)
    inner = [spec["spec"]] if "spec" in spec else []
    for kind in ("layer", "concat", "vconcat"):
        inner += spec.get(kind, [])
    for part in inner:
        encoding = {**spec.get("encoding", {}), **part.get("encoding", {})}
        yield from marks({"data": spec.get("data"), **part, "encoding": encoding})


def mark_of(spec: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The first part that is drawn with a mark of this kind."""
    return next(part for part in marks(spec) if part["mark"]["type"] == kind)


def rows_of(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that a part draws."""
    rows: list[dict[str, Any]] = part["data"]["values"]
    return rows


def num_rows(spec: Mapping[str, Any]) -> int:
    """The rows of all parts, those that parts share once."""
    own = len(spec["data"]["values"]) if "data" in spec else 0
    inner = [spec["spec"]] if "spec" in spec else []
    for kind in ("layer", "concat", "vconcat"):
        inner += spec.get(kind, [])
    return own + sum(map(num_rows, inner))


def valid(spec: dict[str, Any]) -> dict[str, Any]:
    """The chart, which has been checked against Vega-Lite's schema.

    To the schema all rows are alike: objects. It takes seconds to say so of thousands, so one stands for all.
    """
    alt.Chart.from_dict(_of_one_row(spec), validate=True)
    return spec


def _of_one_row(part: Any) -> Any:
    if isinstance(part, list):
        return list(map(_of_one_row, part))
    if not isinstance(part, dict):
        return part
    rows = part.get("values")
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        part = {**part, "values": rows[:1]}
    return {name: _of_one_row(inner) for name, inner in part.items()}
