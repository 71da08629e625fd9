"""Durations of k6's requests, which are samples of their own, against pandas."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import loadlens
from loadlens.text import record_blocks
from tests.extent import combinations

DURATIONS = ("blocked", "connecting", "tls_handshaking", "sending", "waiting", "receiving")
HEADER = "metric_name,timestamp,metric_value,expected_response,method,name,scenario,status\n"
SHARED = Path(__file__).parents[3] / "shared" / "logs" / "k6"


def samples(requests: int = 400, seed: int = 3) -> list[tuple[str, int, float, str, str, str, str]]:
    """What k6 writes of requests of two names in whole seconds, with samples of iterations between them."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(requests):
        time, name = 1_700_000_000 + number // 7, f"http://h/{number % 2}"
        good = "true" if random.uniform() < 0.9 else "false"
        sending, waiting, receiving = (round(value, 6) for value in random.exponential((0.1, 20, 1)))
        values = {
            "http_reqs": 1.0,
            "http_req_duration": round(sending + waiting + receiving, 6),
            "http_req_blocked": round(random.exponential(0.5), 6),
            "http_req_connecting": round(random.exponential(0.2), 6),
            "http_req_tls_handshaking": 0.0,
            "http_req_sending": sending,
            "http_req_waiting": waiting,
            "http_req_receiving": receiving,
            "http_req_failed": float(good == "false"),
        }
        found += [(metric, time, value, good, "GET", name, "200") for metric, value in values.items()]
        found += [
            ("data_sent", time, 90.0, "", "", "", ""),
            ("iteration_duration", time, 99.0, "", "", "", ""),
        ]
    return found


def as_csv(rows: list[tuple[str, int, float, str, str, str, str]]) -> str:
    lines = [
        f"{metric},{time},{value:.6f},{good},{method},{name},default,{status}\n"
        for metric, time, value, good, method, name, status in rows
    ]
    return HEADER + "".join(lines)


def as_json(rows: list[tuple[str, int, float, str, str, str, str]]) -> str:
    lines = []
    for metric, time, value, good, method, name, status in rows:
        tags = {"expected_response": good, "method": method, "name": name, "status": status}
        when = pd.Timestamp(time, unit="s", tz="UTC").isoformat()
        data = {"time": when, "value": value, "tags": {tag: text for tag, text in tags.items() if text}}
        lines.append(json.dumps({"metric": metric, "type": "Point", "data": data}, separators=(",", ":")))
    return "\n".join(lines) + "\n"


FORMS = {"csv": as_csv, "json": as_json}


def assert_as_pandas(found: pl.DataFrame, rows: list[tuple[str, int, float, str, str, str, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["metric", "time", "value", "good", "method", "name", "status"])
    good = frame[frame["good"] == "true"]
    for name in DURATIONS:
        groups = good[good["metric"] == f"http_req_{name}"].groupby("name")["value"]
        own = found.filter(pl.col("measure") == name)
        assert own["count"].to_list() == groups.count().tolist()
        np.testing.assert_allclose(own["p99_ms"].to_numpy(), groups.quantile(0.99), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(own["mean_ms"].to_numpy(), groups.mean(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_durations_are_those_of_pandas(form: str, tmp_path: Path):
    rows = samples()
    (tmp_path / f"run.{form}").write_text(FORMS[form](rows))
    result = loadlens.summarize(tmp_path / f"run.{form}", by=["label"], measures=["all"])
    assert_as_pandas(result.measures, rows)
    assert result.parts.filter(pl.col("part") == "rest").is_empty()
    names = result.parts["part"].unique(maintain_order=True).to_list()
    assert names[0] == "blocked without connecting and tls_handshaking"


@pytest.mark.parametrize(("size", "form"), combinations([500, 1700, 4099], FORMS, one_in=6))
def test_requests_are_not_cut_apart_between_blocks(form: str, size: int, tmp_path: Path):
    rows = samples(120)
    (tmp_path / f"run.{form}").write_text(FORMS[form](rows))
    whole = record_blocks.blocks
    log = loadlens.read_log(tmp_path / f"run.{form}", durations=True)
    reader = log.text[0].reader
    with (tmp_path / f"run.{form}").open("rb") as stream:
        parts = [
            reader.read(block)
            for block in whole(
                stream, reader.framing, block_bytes=size, halt=record_blocks.Halt(most_rejects=0)
            )
        ]
    frame = pl.concat([part.rows for part in parts])
    assert len(parts) > 1
    assert frame.height == 120
    assert frame["waiting_ms"].null_count() == 0
    assert frame["waiting_ms"].to_list() == [
        value for metric, _, value, *_ in rows if metric == "http_req_waiting"
    ]


@pytest.mark.parametrize("form", FORMS)
def test_samples_that_lie_elsewhere_are_no_durations_and_counted(form: str, tmp_path: Path):
    rows = sorted(samples(), key=lambda row: row[0])
    (tmp_path / f"run.{form}").write_text(FORMS[form](rows))
    log = loadlens.read_log(tmp_path / f"run.{form}", durations=True)
    result = loadlens.summarize(log, by=[], measures=["waiting"])
    assert result.measures["count"].item() <= 1
    told = " ".join(log.findings.sentences(0))
    assert "requests have no further durations" in told


def test_a_damaged_line_costs_its_own_request_alone(tmp_path: Path):
    rows = samples(60)
    lines = as_csv(rows).splitlines(keepends=True)
    lines[11 * 30 + 2] = lines[11 * 30 + 2].replace(",true,", ",perhaps,").replace(",false,", ",perhaps,")
    (tmp_path / "run.csv").write_text("".join(lines))
    log = loadlens.read_log(tmp_path / "run.csv", durations=True, max_rejects=1)
    frame = log.frame.collect()
    assert frame.height == 59
    assert frame["waiting_ms"].null_count() == 0


def test_requests_have_durations_on_request_alone(tmp_path: Path):
    (tmp_path / "run.csv").write_text(as_csv(samples(20)))
    assert "waiting_ms" not in loadlens.scan_log(tmp_path / "run.csv").collect_schema()


@pytest.mark.parametrize(
    "name",
    ["gateway_json_get_user_id_1000_r1.csv", "gateway_json_get_user_id_1000_r1.ndjson", "taurus_k6_kpi.csv"],
)
def test_recorded_runs_have_the_durations_that_pandas_reads(name: str):
    path = SHARED / name
    if not path.exists():
        pytest.skip("recorded logs are not here")
    raw = pd.read_csv(path.with_suffix(".csv"))
    found = loadlens.summarize(path, by=["status"], measures=["all"]).measures
    for measure in DURATIONS:
        own = raw[(raw["metric_name"] == f"http_req_{measure}") & raw["expected_response"].eq(True)]
        row = found.filter((pl.col("measure") == measure) & (pl.col("count") > 0)).row(0, named=True)
        assert row["count"] == len(own)
        assert row["p95_ms"] == pytest.approx(own["metric_value"].quantile(0.95), rel=1e-9)
        assert row["max_ms"] == own["metric_value"].max()
