"""Summaries as OpenMetrics, read by the parser of Prometheus' own client."""

import math

import polars as pl
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import loadlens
from loadlens.schema import ERROR_COLUMNS
from loadlens.summaries.openmetrics import openmetrics_text
from tests.faults.logs import invocations


def log() -> pl.DataFrame:
    """Of two clients and one level of concurrency."""
    errors = {name: pl.lit(0, dtype=pl.Int8) for name in ERROR_COLUMNS}
    clients = (pl.int_range(pl.len()) % 2).alias("num_clients")
    return invocations(500).with_columns(clients, max_concurrency=pl.lit(4), **errors)


def samples(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.mark.parametrize("by", [["memory_size"], ["memory_size", "num_clients"], []])
def test_figures_are_those_of_the_summary(by: list[str]) -> None:
    result = loadlens.summarize(log(), by)
    found = samples(openmetrics_text(result))
    table = result.summary if not by else result.summary.join(result.quality.select(*by, "num_rows"), on=by)
    if not by:
        table = pl.concat([table, result.quality.select("num_rows")], how="horizontal")
    for row in table.iter_rows(named=True):
        key = tuple(sorted((name, str(row[name])) for name in by))
        assert found["loadlens_calls"][key] == row["num_rows"]
        assert found["loadlens_failed_calls"][key] == row["num_errors"]
        assert math.isclose(found["loadlens_error_ratio"][key], row["error_rate"])
        assert math.isclose(found["loadlens_throughput"][key], row["throughput"])
        for quantile, name in {"0.5": "median", "0.9": "p90", "0.99": "p99", "0.999": "p999"}.items():
            labels = tuple(sorted((*key, ("quantile", quantile))))
            expected = row[f"invocation_latency_{name}"] / 1000
            assert math.isclose(found["loadlens_latency_seconds"][labels], expected)


def test_toolkit_summaries_have_them_too() -> None:
    result = loadlens.summarize_concurrency_results(log())
    assert set(samples(openmetrics_text(result))) >= {"loadlens_calls", "loadlens_latency_seconds"}


def test_labels_are_what_openmetrics_allows() -> None:
    hostile = 'a"b\\c\nd'
    frame = pl.DataFrame(
        {
            "2nd key!": [hostile, None],
            "2nd_key_": ["x", "y"],
            "invocation_latency": [1.0, 2.0],
        }
    )
    text = openmetrics_text(loadlens.summarize(frame, ["2nd key!", "2nd_key_"]))
    labels = [dict(key) for key in samples(text)["loadlens_calls"]]
    assert {"_2nd_key_": hostile, "_2nd_key__": "x"} in labels
    assert len(labels) == 2


def test_what_has_no_value_has_no_sample() -> None:
    frame = pl.DataFrame({"label": ["a"], "invocation_latency": [-1.0]})
    found = samples(openmetrics_text(loadlens.summarize(frame, ["label"])))
    assert found["loadlens_calls"] == {(("label", "a"),): 1.0}
    assert "loadlens_latency_seconds" not in found
