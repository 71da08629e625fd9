"""Comparisons of very many keys: bounded for readers, whole for programs."""

import json
from pathlib import Path

import polars as pl
import pytest

from loadlens import ComparisonResult, compare
from loadlens.summaries.summary_columns import MOST_KEYS

KEYS = MOST_KEYS + 500


def run(slow: int = -1) -> pl.DataFrame:
    """One call of each key, but 200 of one, which may be slow."""
    calls = pl.DataFrame({"label": [f"/{number:05}" for number in range(KEYS)], "invocation_latency": 10.0})
    busy = pl.DataFrame(
        {"label": f"/{max(slow, 0):05}", "invocation_latency": [10.0 + n / 100 for n in range(200)]}
    )
    if slow >= 0:
        busy = busy.with_columns(pl.col("invocation_latency") * 3)
    more = pl.DataFrame({"label": ["only"], "invocation_latency": 1.0}) if slow >= 0 else busy.clear()
    return pl.concat([calls, busy, more])


@pytest.fixture(scope="module")
def found() -> ComparisonResult:
    last = KEYS - 1
    base = run().with_columns(pl.col("label").replace(f"/{0:05}", f"/{last:05}"))
    return compare(base, run(slow=last), ["label"])


def test_the_document_has_the_gravest_keys_and_counts_the_others(found: ComparisonResult) -> None:
    document = found.document
    assert document["keys_left_out"] == found.keys.height - MOST_KEYS > 0
    assert len(document["keys"]) == MOST_KEYS
    assert len(document["metrics"]) == MOST_KEYS * len(found.metrics) // found.keys.height
    worse = [row["label"] for row in document["keys"] if row["verdict"] == "worse"]
    assert worse == [f"/{KEYS - 1:05}"]
    assert document["num_only_in_candidate"] == len(document["only_in_candidate"]) > 0


@pytest.mark.slow
def test_files_of_tables_are_whole(found: ComparisonResult, tmp_path: Path) -> None:
    found.write(tmp_path)
    assert pl.read_csv(tmp_path / "keys.csv").height == found.keys.height
    assert pl.read_csv(tmp_path / "comparison.csv").height == found.metrics.height
    assert not (tmp_path / "only_in_base.csv").exists()
    assert len(json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))["keys"]) == MOST_KEYS


def test_a_comparison_of_few_keys_has_all_of_them_in_its_document() -> None:
    few = run().head(100)
    document = compare(few, few, ["label"]).document
    assert "keys_left_out" not in document
    assert len(document["keys"]) == 100
