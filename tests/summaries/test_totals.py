"""The total of a summary is the figures of all its calls, exact and not a mean of means."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from loadlens import analyze, profile_log, summarize
from loadlens.cli import app
from loadlens.errors import UsageError
from loadlens.profile import Outliers, Progress
from loadlens.schema import LATENCY
from loadlens.summaries import concurrency_statistics, stability_statistics
from tests.extent import examples
from tests.ten_minutes import csv, log_of, parquet, several_files, toolkit_log

BY = ["label", "memory_size"]


def total_of(log: Any, by: list[str], **options: Any) -> dict[str, Any]:
    total = summarize(log, by, totals=True, **options).total
    assert total is not None
    assert total.height == 1
    return total.row(0, named=True)


@pytest.mark.parametrize("form", [csv, parquet, several_files])
def test_the_total_equals_pandas(form: Any, tmp_path: Path) -> None:
    log = log_of(3000)
    got = total_of(form(log, tmp_path), BY)
    frame = log.to_pandas()
    good = frame[frame[LATENCY] > 0]
    latency = good[LATENCY]
    per_second = good.groupby(np.trunc(good["end_time"])).size()
    expected = {
        "num_invocations": len(frame),
        "num_errors": (frame[LATENCY] < 0).sum(),
        "error_rate": (frame[LATENCY] < 0).mean(),
        f"{LATENCY}_min": latency.min(),
        f"{LATENCY}_mean": latency.mean(),
        f"{LATENCY}_median": latency.median(),
        f"{LATENCY}_max": latency.max(),
        f"{LATENCY}_iqr": latency.quantile(0.75) - latency.quantile(0.25),
        f"{LATENCY}_p95": latency.quantile(0.95),
        f"{LATENCY}_p999": latency.quantile(0.999),
        "tps_avg": int(per_second.mean()),
        "tps_p50": int(per_second.median()),
        "tps_max": per_second.max(),
    }
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-12), name


@examples(8)
@given(
    rows=st.integers(1, 400),
    seed=st.integers(0, 99),
    outliers=st.sampled_from(["none", "mean-iqr", "tukey"]),
    by=st.sampled_from([BY, ["label"], ["memory_size", "node"], []]),
    exact=st.booleans(),
)
def test_the_total_is_the_summary_by_nothing(
    rows: int, seed: int, outliers: Outliers, by: list[str], exact: bool
) -> None:
    log = log_of(rows, seed=seed)
    (expected,) = summarize(log, [], outliers=outliers, exact=exact).summary.rows(named=True)
    assert total_of(log, by, outliers=outliers, exact=exact) == expected


def test_totals_change_nothing_by_key_and_stand_last() -> None:
    log = log_of(500)
    plain, with_total = summarize(log, BY), summarize(log, BY, totals=True)
    assert plain.total is None
    assert plain.summary_with_total.equals(plain.summary)
    assert with_total.summary.equals(plain.summary)
    table = with_total.summary_with_total
    assert table.height == plain.summary.height + 1
    assert table.head(-1).equals(plain.summary)
    last = table.row(-1, named=True)
    assert last["label"] is last["memory_size"] is None
    assert last["num_invocations"] == 500


def test_error_classes_are_summed_up() -> None:
    log = log_of(500).with_columns(
        error=pl.when(pl.col(LATENCY) < 0).then(pl.concat_str(pl.lit("E"), "memory_size"))
    )
    result = summarize(log, ["label"], totals=True)
    assert result.total is not None
    for name in [name for name in result.summary.columns if name.startswith("error_E")]:
        assert result.total[name].item() == result.summary[name].sum() > 0


def test_saved_profiles_and_slices_have_totals(tmp_path: Path) -> None:
    log = log_of(2000)
    profile_log(log, tmp_path / "log.profile", by=BY)
    assert total_of(tmp_path / "log.profile", BY) == total_of(log, BY, exact=False)
    part = log.filter(pl.col("start_time") < log["start_time"].min() + 100)
    assert total_of(log, BY, to="100s") == total_of(part, BY)


def stages_of(log: Any, **options: Any) -> list[str]:
    """What a summary does, each stage as often as it begins."""
    told: list[Progress] = []
    summarize(log, BY, on_progress=told.append, **options)
    return [progress.stage for progress in told if progress.rows_done == 0]


def test_totals_take_no_scans_of_their_own(tmp_path: Path) -> None:
    source = parquet(log_of(3000), tmp_path)
    assert stages_of(source, totals=True) == stages_of(source)


def test_the_total_of_stability_follows_its_own_rule_of_success() -> None:
    log = toolkit_log(2000)
    total = stability_statistics(log, totals=True).total
    assert total is not None
    frame = log.to_pandas()
    good = frame[(frame[LATENCY] > 0) & (frame["response_size"] > 0)][LATENCY]
    row = total.row(0, named=True)
    assert row["successful_invocations"] == len(good)
    assert row[f"{LATENCY}_median"] == pytest.approx(good.median(), rel=1e-12)
    assert row[f"{LATENCY}_p99"] == pytest.approx(good.quantile(0.99), rel=1e-12)


def test_the_total_of_concurrency_has_a_fence_of_all_calls() -> None:
    log = toolkit_log(2000)
    total = concurrency_statistics(log, totals=True).total
    assert total is not None
    latency = log.to_pandas()[LATENCY]
    fence = latency.mean() + 5 * (latency.quantile(0.75) - latency.quantile(0.25))
    kept = latency[(latency > 0) & (latency <= fence)]
    row = total.row(0, named=True)
    assert row["outlier_fence"] == pytest.approx(fence, rel=1e-12)
    assert row[f"{LATENCY}_median"] == pytest.approx(kept.median(), rel=1e-12)
    assert row["throttle_exception"] == (latency < 0).sum()
    assert row["outliers_removed"] == (latency > fence).sum()


@pytest.mark.usefixtures("no_drawings")
def test_analyze_tells_the_total_in_json_and_report_and_leaves_csv_as_it_is(
    tmp_path: Path,
) -> None:
    log = log_of(2000)
    analyze(log, tmp_path / "out", by=BY)
    document = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    expected = total_of(log, BY)
    assert document["total"] == expected
    written = pl.read_csv(tmp_path / "out" / "summary.csv")
    assert written.height == 9
    report = (tmp_path / "out" / "report.html").read_text("utf-8")
    (row,) = [part for part in report.split("<tr") if ">Total</th>" in part and f"{2000:,}" in part][:1]
    assert f"{expected[f'{LATENCY}_median']:.1f}" in row


@pytest.mark.usefixtures("no_drawings")
def test_one_configuration_is_its_own_total(tmp_path: Path) -> None:
    log = log_of(300)
    analyze(log, tmp_path / "out", by=[])
    report = (tmp_path / "out" / "report.html").read_text("utf-8")
    summary = report.split('id="summary"')[1].split("<section")[0]
    assert ">Total</th>" not in summary


def test_totals_is_a_flag() -> None:
    with pytest.raises(UsageError, match="totals: got 'yes'"):
        summarize(log_of(10), [], totals="yes")  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_drawings")
def test_the_terminal_shows_the_total_last(tmp_path: Path) -> None:
    parquet(log_of(2000), tmp_path)
    arguments = ["analyze", str(tmp_path / "log.parquet"), "--out", str(tmp_path / "out"), "--by", "label"]
    done = CliRunner().invoke(app, arguments)
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert len(rows) == 4
    cells = [cell.strip() for cell in rows[-1].strip("│").split("│")]
    expected = total_of(log_of(2000), ["label"])
    assert cells[:2] == ["Total", "2,000"]
    assert cells[3] == f"{expected[f'{LATENCY}_median']:.1f}"
