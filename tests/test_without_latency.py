"""Successful calls without a latency: counted of all rows and told, in every form of input and command."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.gates import check_gates
from loadlens.logs import Log
from tests.extent import combinations
from tests.forms import arrow, csv, parquet

Form = Callable[[pl.DataFrame, Path], object]


def frame(calls: int = 6, lacking: int = 2) -> pl.DataFrame:
    """Calls of which the last ones have no latency, and one failed call, which needs none."""
    latency = [20.0] * (calls - lacking) + [None] * lacking + [None]
    end = [0.0205 + number for number in range(calls + 1)]
    return pl.DataFrame(
        {"invocation_latency": latency, "end_time": end, "success": [True] * calls + [False]},
        schema_overrides={"invocation_latency": pl.Float64},
    )


def in_memory(rows: pl.DataFrame, _folder: Path) -> object:
    return rows.lazy()


def mapped_ndjson(rows: pl.DataFrame, folder: Path) -> object:
    """A log whose key for the latency is another one from some row on."""
    path = folder / "log.ndjson"
    lines = [
        json.dumps(
            {"end": row["end_time"], "ok": row["success"]}
            | ({"ms": 20.0} if row["invocation_latency"] else {"duration": 20.0})
        )
        for row in rows.iter_rows(named=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return loadlens.read_log(path, column_map=["latency=ms:ms", "end=end:relative_s", "success=ok"])


def mapped_parquet(rows: pl.DataFrame, folder: Path) -> object:
    renamed = rows.rename({"invocation_latency": "ms", "end_time": "end", "success": "ok"})
    column_map = ["latency=ms:ms", "end=end:relative_s", "success=ok"]
    return loadlens.read_log(str(parquet(renamed, folder)), column_map=column_map)


FORMS: tuple[Form, ...] = (csv, parquet, arrow, in_memory, mapped_ndjson, mapped_parquet)


def told(log: Log) -> list[str]:
    return [sentence for sentence in log.findings.sentences() if "no latency" in sentence]


@pytest.mark.parametrize(
    ("form", "gate"), combinations(FORMS, ["p99 < 1s", "error_rate < 1% within 10s of every window"])
)
def test_they_are_counted_and_told(form: Form, gate: str, tmp_path: Path) -> None:
    log = loadlens.read_log(form(frame(), tmp_path))  # type: ignore[arg-type]  # one of many kinds
    expected = ["2 of 6 successful calls have no latency: counted as calls, left out of latency figures"]
    loadlens.summarize(log, by=[])
    assert told(log) == expected
    again = loadlens.read_log(form(frame(), tmp_path))  # type: ignore[arg-type]
    check_gates(again, [gate])
    assert told(again) == expected


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_told_where_failures_alone_have_none(form: Form, tmp_path: Path) -> None:
    log = loadlens.read_log(form(frame(lacking=0), tmp_path))  # type: ignore[arg-type]
    loadlens.summarize(log, by=[])
    assert not told(log)


def test_one_is_told_as_one(tmp_path: Path) -> None:
    log = loadlens.read_log(parquet(frame(lacking=1), tmp_path))  # type: ignore[arg-type]
    loadlens.summarize(log, by=[])
    assert told(log)[0].startswith("1 of 6 successful calls has no latency")


def test_workers_and_profiles_tell_the_same(tmp_path: Path) -> None:
    path = parquet(frame(), tmp_path)
    log = loadlens.read_log(path)  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as executor:
        loadlens.summarize(log, by=[], executor=executor, partition_rows=2)
    expected = told(log)
    assert expected
    loadlens.profile_log(path, tmp_path / "a.profile", by=())  # type: ignore[arg-type]
    saved = loadlens.read_log(tmp_path / "a.profile")
    loadlens.summarize(saved, by=[])
    assert told(saved) == expected


def test_check_prints_it(tmp_path: Path) -> None:
    path = csv(frame(), tmp_path)
    done = CliRunner().invoke(app, ["check", str(path), "--slo", "p99 < 1s"])
    assert "Warning: 2 of 6 successful calls have no latency" in done.output
