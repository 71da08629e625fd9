"""Logs as they rarely are, by the command line: what the user sees, and what is counted."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import loadlens
from tests.command_line import loadlens_

HEADER = "label,success,start_time,end_time,invocation_latency\n"


def judged(path: Path, *options: str, slo: str = "count > 0") -> tuple[int, dict[str, float], str]:
    """The exit code, the value of the gate for each label, and standard error."""
    result = loadlens_("check", path, "--slo", slo, "--json", *options)
    gates = json.loads(result.stdout)["gates"] if result.stdout else []
    values = {found["key"].get("label"): found["value"] for gate in gates for found in gate["results"]}
    return result.exit_code, values, result.stderr


def written(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


GOOD = "a,true,1,2,1000"
BROKEN = {
    "too few cells": ("a,true,1", "got 3 cells, expected 5"),
    "too many cells": ("a,true,1,2,1000,7", "got 6 cells, expected 5"),
    "NaN": ("a,true,1,2,NaN", "invocation_latency"),
    "infinity": ("a,true,1,2,inf", "invocation_latency"),
    "minus infinity": ("a,true,-inf,2,5", "start_time"),
    "beyond all floats": ("a,true,1,2,1e999", "invocation_latency"),
    "an end before its start": ("a,true,9,2,5", "end_time"),
    "an unclosed quote": ('"a,true,1,2,5', "quote"),
    "an absurd epoch": ("a,true,1,9e18,5", "end_time"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_row_is_told_and_the_others_count(tmp_path: Path, name: str) -> None:
    row, told = BROKEN[name]
    log = written(tmp_path / "log.csv", GOOD, row, GOOD)
    code, _, errors = judged(log)
    assert code == 3
    assert "log.csv, line 3" in errors
    assert told in errors
    code, counts, _ = judged(log, "--max-rejects", "1")
    assert (code, counts) == (0, {"a": 2})


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_a_latency_of_zero_is_a_latency(tmp_path: Path, suffix: str) -> None:
    rows = pl.DataFrame({"label": ["a", "a"], "success": [True, True], "invocation_latency": [0.0, 0.0]})
    path = tmp_path / f"log.{suffix}"
    getattr(rows, f"write_{suffix}")(path)
    options = ("--map", "latency=invocation_latency:ms", "--map", "label=label") if suffix == "ndjson" else ()
    assert judged(path, *options, slo="max < 1ms")[:2] == (0, {"a": 0})


def test_fields_that_come_late_are_read(tmp_path: Path) -> None:
    lines = [json.dumps({"ms": 5}) for _ in range(2000)]
    lines += [json.dumps({"ms": 5, "name": "a"}) for _ in range(1000)]
    path = tmp_path / "log.ndjson"
    path.write_text("\n".join(lines), encoding="utf-8")
    code, counts, _ = judged(path, "--map", "latency=ms:ms", "--map", "label=name")
    assert (code, counts) == (0, {None: 2000, "a": 1000})


def test_columns_that_some_files_lack_are_told(tmp_path: Path) -> None:
    written(tmp_path / "one.csv", GOOD)
    written(tmp_path / "two.csv", "a,5", header="label,invocation_latency\n")
    code, counts, errors = judged(tmp_path)
    assert (code, counts) == (0, {"a": 2}) or "two.csv" in errors


def test_groups_of_one_row_and_of_failures_alone(tmp_path: Path) -> None:
    log = written(tmp_path / "log.csv", GOOD, GOOD, "once,true,1,2,7", "down,false,1,2,8", "down,false,1,2,9")
    code, shares, _ = judged(log, slo="error_rate <= 100%")
    assert (code, shares) == (0, {"a": 0, "down": 1, "once": 0})
    code, values, _ = judged(log, slo="p99 < 2s")
    assert code == 1  # nobody was served, so the gate does not hold
    assert values == {"a": 1000, "down": None, "once": 7}


def test_files_in_another_order_are_the_same_log(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    paths = [
        written(tmp_path / f"{n}.csv", *(f"a,true,{n},{n + 1},{ms}" for ms in rng.lognormal(4, 1, 50)))
        for n in range(4)
    ]
    tables = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        out = tmp_path / f"out{order[0]}"
        result = loadlens_("profile", *(paths[n] for n in order), "--by", "label", "--out", out, "--quiet")
        assert result.exit_code == 0, result.stderr
        tables.append(loadlens.summarize(out, by="label", exact=False).summary.rows())
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    "name", ["a[1].csv", "a*.csv", "ü b.csv", "-x.csv", "$(id).csv", "a\nb.csv", "\u202e.csv"]
)
def test_files_of_hostile_names_are_read_and_shown_harmlessly(tmp_path: Path, name: str) -> None:
    log = written(tmp_path / name, GOOD, "x")
    code, _, errors = judged(log)
    assert code == 3
    assert all(line.startswith(("loadlens: ", "Warning: ")) for line in errors.splitlines())
    assert "\u202e" not in errors
    assert judged(log, "--max-rejects", "1")[:2] == (0, {"a": 1})


def test_sizes_without_a_price_are_named(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    pl.DataFrame({"invocation_latency": [5.0] * 4, "memory_size": [1024, 1024, 1536, 1536]}).write_parquet(
        log
    )
    result = loadlens_("cost", log, "--out", tmp_path / "out", "--prices", "sagemaker-serverless")
    assert result.exit_code == 3
    assert "memory size 1536 MB" in result.stderr
    assert not (tmp_path / "out").exists()


def test_many_small_files_are_one_log(tmp_path: Path) -> None:
    for number in range(100):
        written(tmp_path / f"{number}.csv", f"a,true,{number},{number + 1},{number + 1}", GOOD)
    assert judged(tmp_path)[:2] == (0, {"a": 200})
    assert math.isclose(judged(tmp_path, slo="max < 9s")[1]["a"], 1000)
