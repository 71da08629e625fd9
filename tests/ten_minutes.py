"""Ten minutes of calls as a log in many forms, and what pandas makes a slice of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from loadlens import read_log
from loadlens.schema import ERROR_COLUMNS, LATENCY

WHERE = "memory_size >= 2048 AND label <> 'login'"
MAP = ["latency=took:us", "start=at:epoch_ms"]
BY = ["label", "memory_size"]


def log_of(rows: int = 400, begin: float = 1000.0, seed: int = 7) -> pl.DataFrame:
    """Ten minutes of calls in no order, some of them failures, with a column of its own."""
    rng = np.random.default_rng(seed)
    start = begin + np.round(rng.uniform(0, 600, rows), 3)
    latency = np.round(rng.gamma(2, 50, rows) + 1, 3)
    failed = rng.random(rows) < 0.1
    return pl.DataFrame(
        {
            LATENCY: np.where(failed, -1.0, latency),
            "start_time": start,
            "end_time": start + latency / 1000,
            "memory_size": rng.choice([1024, 2048, 4096], rows),
            "label": rng.choice(["login", "cart", "pay"], rows),
            "node": rng.choice(["a", "b"], rows),
        }
    )


def toolkit_log(rows: int = 400, begin: float = 1000.0) -> pl.DataFrame:
    """With the columns of the toolkit's logs."""
    log = log_of(rows, begin)
    failed = pl.col(LATENCY) < 0
    return log.with_columns(
        failed.cast(pl.Int8).alias(ERROR_COLUMNS[0]),
        *[pl.lit(0, dtype=pl.Int8).alias(name) for name in ERROR_COLUMNS[1:]],
        pl.when(~failed).then(pl.int_range(pl.len()) % 7).alias("response_size"),
        max_concurrency=pl.int_range(pl.len()) % 2 + 1,
        num_clients=pl.int_range(pl.len()) % 3 + 1,
    )


def sliced_by_pandas(log: pl.DataFrame, skip_s: float = 0, to_s: float = np.inf) -> pl.DataFrame:
    """The calls that start in the given part of the log, and fulfil ``WHERE``."""
    frame = log.to_pandas()
    first = frame["start_time"].min()
    inside = (frame["start_time"] >= first + skip_s) & (frame["start_time"] < first + to_s)
    return pl.from_pandas(frame[inside & (frame["memory_size"] >= 2048) & (frame["label"] != "login")])


def csv(log: pl.DataFrame, folder: Path) -> object:
    log.write_csv(folder / "log.csv")
    return folder / "log.csv"


def parquet(log: pl.DataFrame, folder: Path) -> object:
    log.write_parquet(folder / "log.parquet", row_group_size=50)
    return folder / "log.parquet"


def several_files(log: pl.DataFrame, folder: Path) -> object:
    (folder / "parts").mkdir(exist_ok=True)
    for number, part in enumerate(log.iter_slices(70)):
        part.write_parquet(folder / "parts" / f"part_{number}.parquet")
    return str(folder / "parts" / "*.parquet")


def text_beside_parquet(log: pl.DataFrame, folder: Path) -> object:
    (folder / "mixed").mkdir(exist_ok=True)
    log.head(90).write_csv(folder / "mixed" / "first.csv")
    log.tail(-90).write_parquet(folder / "mixed" / "rest.parquet")
    return [folder / "mixed" / "first.csv", folder / "mixed" / "rest.parquet"]


def mapped(log: pl.DataFrame, folder: Path) -> object:
    """In microseconds and milliseconds since 1970, under names of its own."""
    begin = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
    other = log.select(
        (pl.col(LATENCY) * 1000).alias("took"),
        ((pl.col("start_time") - 1000 + begin) * 1000).round().cast(pl.Int64).alias("at"),
        "memory_size",
        "label",
    )
    other.write_csv(folder / "mapped.csv")
    return read_log(folder / "mapped.csv", column_map=[*MAP, "memory_size=memory_size", "label=label"])


FORMS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "csv": csv,
    "parquet": parquet,
    "several files": several_files,
    "text beside Parquet": text_beside_parquet,
    "frame": lambda log, _: log,
    "lazy frame": lambda log, _: log.lazy(),
    "arrow": lambda log, _: log.to_arrow(),
}
