"""Random batches for the counting library, and what counting them by hand gives."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from loadlens.engine.binding import Layout, NativeTally
from loadlens.profile.buckets import BUCKET_SHIFT, COARSE_SHIFT, FAILED

ERRORS = ("throttle_exception", "insufficient_memory_error", "other_model_error")
UNIT = 2**55
LIMIT_MS = 2.0**40
LIMIT_S = 2.0**34

INTEGERS = [0, 1, -1, 7, 1024, 2**31, -(2**31), 2**63 - 1, -(2**63)]
TEXTS = [
    "",
    "a",
    "b",
    "exactly 12 by",
    "exactly12byt",
    "longer than twelve bytes",
    "longer than twelve Bytes",
    "ä" * 9,
    "\0",
]
LATENCIES = [
    0.0,
    -0.0,
    -1.0,
    5e-324,
    1e-300,
    0.1,
    1.0,
    100.0,
    100.00000000000001,
    128.0,
    math.nextafter(LIMIT_MS, 0),
]
TIMES = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    -1.0,
    1.0,
    59.999,
    1.7e9,
    -1.7e9,
    math.nextafter(LIMIT_S, 0),
    -math.nextafter(LIMIT_S, 0),
]


@dataclass(kw_only=True)
class Shape:
    """The columns of a batch."""

    keys: tuple[bool, ...]
    timed: bool
    errors: tuple[str, ...]
    sized: bool
    classes: bool
    timeline: bool
    shift: int = BUCKET_SHIFT
    names: list[str] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        columns = {name: number for number, name in enumerate(self.names)}
        errors = Layout().errors
        for number, name in enumerate(ERRORS):
            errors[number] = columns.get(name, -1)
        return Layout(
            columns["latency"],
            columns["success"],
            columns.get("start", -1),
            columns.get("end", -1),
            errors,
            columns.get("size", -1),
            columns.get("class", -1),
            0,
            2 * self.timeline,
            self.shift,
        )


def random_shape(rng: np.random.Generator) -> Shape:
    shape = Shape(
        keys=tuple(rng.random(rng.integers(0, 4)) < 0.5),
        timed=bool(rng.random() < 0.8),
        errors=tuple(name for name in ERRORS if rng.random() < 0.4),
        sized=bool(rng.random() < 0.4),
        classes=bool(rng.random() < 0.4),
        timeline=bool(rng.random() < 0.5),
        shift=int(rng.choice([BUCKET_SHIFT, COARSE_SHIFT])),
    )
    times = ["start", "end"] if shape.timed else []
    shape.names = [
        *[f"key{number}" for number in range(len(shape.keys))],
        "latency",
        "success",
        *times,
        *shape.errors,
        *(["size"] if shape.sized else []),
        *(["class"] if shape.classes else []),
    ]
    return shape


def random_batch(rng: np.random.Generator, shape: Shape, rows: int) -> pl.DataFrame:
    nulls = rng.random() < 0.5

    def some(values: Any, dtype: pl.DataType) -> pl.Series:
        found = pl.Series(values, dtype=dtype)
        if nulls and rows:
            missing = pl.Series(rng.random(rows) < rng.choice([0.05, 0.5, 1.0]))
            found = found.to_frame("x").select(pl.when(~missing).then("x")).to_series()
        return found

    columns: dict[str, pl.Series] = {}
    for name in shape.names:
        columns[name] = _column(rng, shape, name, rows, some)
    frame = pl.DataFrame(columns)
    if shape.timed:  # no call ends before its start
        ordered = pl.when(pl.col("end").is_not_null()).then(pl.max_horizontal("start", "end"))
        frame = frame.with_columns(ordered.alias("end"))
    # Batches come in pieces, and from the middle of others.
    if rows > 3 and rng.random() < 0.5:
        cut = int(rng.integers(1, rows - 1))
        frame = pl.concat([frame[:cut], frame[cut:]], rechunk=False)
    return frame[1:] if rows > 1 and rng.random() < 0.5 else frame


def _column(rng: np.random.Generator, shape: Shape, name: str, rows: int, some: Any) -> pl.Series:
    if name.startswith("key"):
        is_text = shape.keys[int(name[3:])]
        values = TEXTS if is_text else INTEGERS
        if not is_text and rng.random() < 0.2:
            return some(rng.integers(0, 10**6, rows), pl.Int64())
        return some(
            [values[i] for i in rng.integers(0, len(values), rows)], pl.String() if is_text else pl.Int64()
        )
    values, dtype = _figures(rng, name, rows)
    return some(values, dtype)


def _figures(rng: np.random.Generator, name: str, rows: int) -> tuple[Any, pl.DataType]:
    match name:
        case "latency":
            return _latencies(rng, rows), pl.Float64()
        case "success":
            return rng.random(rows) < 0.8, pl.Boolean()
        case "start" | "end":
            return _times(rng, rows), pl.Float64()
        case "size":
            return rng.choice([0, 1, 2**40, 2**63 - 1], rows), pl.Int64()
        case "class":
            return [TEXTS[i] for i in rng.integers(0, len(TEXTS), rows)], pl.String()
        case _:
            return rng.integers(0, 2, rows), pl.Int8()


def _latencies(rng: np.random.Generator, rows: int) -> Any:
    match rng.integers(0, 4):
        case 0:
            return rng.lognormal(4, 2, rows)
        case 1:
            return rng.integers(0, 100, rows).astype(float)
        case 2:
            return rng.choice(LATENCIES, rows)
        case _:
            return 2.0 ** rng.uniform(-1074, 39.9, rows)


def _times(rng: np.random.Generator, rows: int) -> Any:
    match rng.integers(0, 6):
        case 0:
            return 1.7e9 + rng.uniform(0, 100, rows)
        case 4:
            return 1.7e9 + rng.uniform(0, 1, rows)  # more in one second than a byte counts
        case 1:
            return np.round(rng.uniform(-50, 50, rows), 3)
        case 2:
            return rng.integers(-5, 2000, rows).astype(float)
        case 3:
            return rng.choice(TIMES, rows)
        case _:
            return rng.uniform(-LIMIT_S, LIMIT_S, rows)


@dataclass(kw_only=True)
class Counts:
    """Counts of rows by key, as dictionaries."""

    lines: dict[Any, dict[str, Any]] = field(default_factory=dict)
    cells: Counter[Any] = field(default_factory=Counter)
    seconds: Counter[Any] = field(default_factory=Counter)
    classes: Counter[Any] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=lambda: {"start": [], "end": []})

    def add(self, batch: pl.DataFrame, shape: Shape) -> None:
        for row in batch.iter_rows(named=True):
            self._add(row, len(shape.keys), shape.shift)

    def _add(self, row: dict[str, Any], keys: int, shift: int) -> None:
        key = tuple(row[f"key{number}"] for number in range(keys))
        success, latency = bool(row["success"]), row["latency"]
        start, end = row.get("start"), row.get("end")
        line = self.lines.setdefault((key, success), _line())
        line["calls"] += 1
        if start is not None:
            line["first_start"] = min(line["first_start"], start)
            self.seconds[key, math.trunc(start), "starts"] += 1
        if end is not None:
            line["last_end"] = max(line["last_end"], end)
            self.seconds[key, math.trunc(end), "ends"] += 1
            self.seconds[key, math.trunc(end), "completions"] += success
        self.times["start"] += [] if start is None else [start]
        self.times["end"] += [] if end is None else [end]
        if latency is not None:
            line["timed"] += 1
            line["sum"] += (
                int(np.rint(math.ldexp(latency - math.trunc(latency), 55))) + math.trunc(latency) * UNIT
            )
            line["lowest"] = min(line["lowest"], latency)
            line["highest"] = max(line["highest"], latency)
            self.cells[key, success, bucket_of(latency, shift)] += 1
        for number, name in enumerate(ERRORS):
            line["errors"][number] += row.get(name) or 0
        if row.get("size") is not None:
            line["sized"] += 1
            line["size"] += row["size"]
        if row.get("class") is not None:
            self.classes[key, row["class"]] += 1


def _line() -> dict[str, Any]:
    sums = dict.fromkeys(("calls", "timed", "sum", "sized", "size"), 0)
    least, most = ("first_start", "lowest"), ("last_end", "highest")
    ends = {**dict.fromkeys(least, math.inf), **dict.fromkeys(most, -math.inf)}
    return {**sums, **ends, "errors": [0, 0, 0]}


def bucket_of(latency: float, shift: int) -> int:
    if latency < 0:
        return FAILED
    return int(np.float64(latency + 0.0).view(np.int64)) >> shift


def resolution_of(times: list[float]) -> int:
    """0, 1, 2, 3 for a clock of 1, .1, .01, .001 s; 4 for a finer one, or none."""
    if not times:
        return 4
    for number, parts in enumerate((1, 10, 100, 1000)):
        if all(round(time * parts) / parts == time for time in times):
            return number
    return 4


def counted(tally: NativeTally, keys: list[Any]) -> Counts:
    """What a tally has counted; ``keys`` has the key of each code."""
    found = Counts()
    figures = tally.figures()
    for number, (line, rest) in enumerate(zip(figures.line, figures.rest, strict=True)):
        if line["calls"]:
            found.lines[keys[number // 2], bool(number % 2)] = {
                **{
                    name: line[name].item()
                    for name in ("calls", "timed", "first_start", "last_end", "lowest", "highest")
                },
                "sum": int(line["sum_high"]) * 2**64 + int(line["sum_low"]),
                "sized": int(rest["sized"]),
                "size": int(rest["size_high"]) * 2**64 + int(rest["size_low"]),
                "errors": rest["errors"].tolist(),
            }
    for line, bucket, count, _ in zip(*tally.cells(np.arange(len(keys))), strict=True):
        found.cells[keys[line // 2], bool(line % 2), int(bucket)] += int(count)
    for code, second, *counts in zip(*tally.seconds(), strict=True):
        for name, count in zip(("starts", "ends", "completions"), counts, strict=True):
            found.seconds[keys[code], int(second), name] += int(count)
    code, number, count, names = tally.classes()
    for one, name, calls in zip(code, number, count, strict=True):
        found.classes[keys[one], names[name]] += int(calls)
    return found
