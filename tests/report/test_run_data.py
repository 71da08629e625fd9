"""The run as a page holds it: every number that goes in comes out again."""

import json
import zlib
from base64 import b64decode
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens.report.packing import varints
from loadlens.report.run_data import run_data
from loadlens.report.scripts import inert_json
from tests.sample_logs import small_log

HOSTILE = "</script><!--\u2028"


def numbers(data: bytes, at: int, size: int) -> tuple[list[int], int]:
    """Whole numbers of 7 bits a byte."""
    found = []
    for _ in range(size):
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        found.append(value)
    return found, at


def unpacked(text: str) -> dict[str, Any]:
    run = json.loads(text)
    data = zlib.decompress(b64decode(run.pop("packed")))
    pairs = run["num_pairs"]
    run["sum"], run["min"], run["max"] = np.frombuffer(data, "<f8", 3 * pairs).reshape(3, pairs)
    at = 24 * pairs
    keys, failing = len(run["keys"]), run.get("num_failing", 0)
    sizes = {
        "pairs": keys,
        **dict.fromkeys(("window", *run["counts"], "cells"), pairs),
        **dict.fromkeys(("bucket", "count"), run["num_cells"]),
        "active": keys,
        **dict.fromkeys(("active_window", "twice_active"), run["num_active"] or 0),
        "ends": keys,
        **dict.fromkeys(("end_second", "end_calls", "end_completions"), run["num_ends"]),
        **dict.fromkeys(("failing_key", "failing_error", "failing_windows"), failing),
        **dict.fromkeys(("failure_window", "failure_calls"), run.get("num_failures", 0)),
    }
    for name, size in sizes.items():
        run[name], at = numbers(data, at, size)
    assert at == len(data)
    return run


def test_counts_and_sums_are_those_of_the_rows() -> None:
    rows = small_log().with_columns(label=pl.lit(HOSTILE))
    summary = loadlens.summarize(rows.lazy(), by=["label", "memory_size"], timeline=True)
    run = unpacked(run_data(summary.profile, summary.by))
    good = rows.filter(pl.col("invocation_latency") > 0)["invocation_latency"]
    assert sum(run["pairs"]) == run["num_pairs"]
    assert sum(run["successes"]) == sum(run["count"]) == good.len()
    assert sum(run["errors"]) == rows.height - good.len()
    assert run["sum"].sum() == pytest.approx(good.sum(), rel=1e-12)
    assert (run["min"].min(), run["max"].max()) == (good.min(), good.max())
    assert {labels[0] for labels in run["keys"]} == {"</script><!--�"}


def failing_log(num_errors: int, rows: int = 3000) -> pl.DataFrame:
    """Calls that all fail, by errors of which the first ones are the most frequent."""
    error = np.sqrt(np.linspace(0, num_errors**2 - 1, rows)).astype(int)
    end = np.random.default_rng(2).permutation(np.linspace(1000, 1250, rows))
    return pl.DataFrame(
        {
            "key": np.arange(rows) % 7,
            "invocation_latency": np.full(rows, -1.0),
            "start_time": end - 0.5,
            "end_time": end,
            "error": [f"error {num_errors - number}" for number in error],
        }
    )


@pytest.mark.parametrize("num_errors", [3, 250])
def test_failures_are_those_of_the_rows(num_errors: int) -> None:
    rows = failing_log(num_errors)
    summary = loadlens.summarize(rows.lazy(), by=["key"], timeline=True, failures=True)
    run = unpacked(run_data(summary.profile, summary.by))
    counts = rows["error"].value_counts(sort=True)["count"].to_list()
    named = min(len(counts), 100)
    assert [rows.filter(error=error).height for error in run["error_names"]] == counts[:named]
    assert run["num_more_errors"] == len(counts) - named
    windows = np.repeat(run["failing_error"], run["failing_windows"])
    found = np.bincount(windows, run["failure_calls"], minlength=named + 1).astype(int)
    assert found.tolist() == [*counts[:named], rows.height - sum(counts[:named])]
    assert sum(run["failure_calls"]) == rows.height


def test_labels_are_those_of_the_tables() -> None:
    hidden, empty = "a\u202eb\x00", ""
    rows = failing_log(3).with_columns(
        key=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit(hidden)).otherwise(pl.lit(empty)),
        error=pl.lit(hidden),
    )
    summary = loadlens.summarize(rows.lazy(), by=["key"], timeline=True, failures=True)
    run = unpacked(run_data(summary.profile, summary.by))
    assert run["keys"] == [[""], ["a�b�"]]
    assert run["names"] == ["", "a�b�"]
    assert run["error_names"] == ["a�b�"]


def test_a_run_that_takes_too_much_has_wider_windows() -> None:
    summary = loadlens.summarize(small_log().lazy(), by=["memory_size"], timeline=True)
    fine = run_data(summary.profile, summary.by)
    most = len(json.loads(fine)["packed"]) // 2
    coarse = unpacked(run_data(summary.profile, summary.by, most_bytes=most))
    assert coarse["width_s"] > unpacked(fine)["width_s"]
    assert coarse["num_windows"] < unpacked(fine)["num_windows"]
    assert sum(coarse["count"]) == sum(unpacked(fine)["count"])
    assert run_data(summary.profile, summary.by, most_bytes=10) == ""


def test_without_a_timeline_there_is_nothing_to_compute_from() -> None:
    summary = loadlens.summarize(small_log().lazy(), by=["memory_size"])
    assert run_data(summary.profile, summary.by) == ""


@given(st.lists(st.integers(0, 2**53)))
def test_whole_numbers_of_any_size(values: list[int]) -> None:
    data = varints(np.array(values, dtype=np.int64))
    assert numbers(data, 0, len(values)) == (values, len(data))


@given(st.text())
def test_data_of_any_text_stay_data(text: str) -> None:
    shown = inert_json(json.dumps({"keys": [text]}))
    assert not {"<", ">", "&"} & set(shown)
    assert json.loads(shown) == {"keys": [text]}
