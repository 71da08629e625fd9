"""The examples of docs/jobs.md: what the page shows is what runs here."""

import json
import logging
import os
import re
import runpy
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.comparison.runs import run

PROJECT = Path(__file__).parents[1]
EXAMPLES = PROJECT / "examples"
TODAY = date(2026, 11, 22)


def load(name: str) -> dict[str, Any]:
    """The names that an example defines."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name)


def write_day(folder: Path, day: date, *, slowness: float = 1.0, seed: int = 0) -> None:
    (folder / str(day)).mkdir(parents=True)
    log = run({"/cart": slowness, "/pay": 1.0}, calls=1_000, errors=0.001, seed=seed)
    log.write_parquet(folder / str(day) / "run.parquet")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    write_day(tmp_path / "logs", TODAY)
    return tmp_path / "logs"


@pytest.fixture
def slow_logs(tmp_path: Path) -> Path:
    write_day(tmp_path / "slow", TODAY, slowness=100.0)
    return tmp_path / "slow"


def has_report(folder: Path) -> bool:
    document = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return document["gates"] is not None and (folder / "report.html").stat().st_size > 0


def test_the_page_shows_the_examples_as_they_are() -> None:
    page = (PROJECT / "docs" / "jobs.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    files = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert len(files) >= 5
    assert [name for name, text in files.items() if text not in shown] == []


@pytest.mark.usefixtures("no_drawings")
def test_plain_script(logs: Path, slow_logs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    main = load("plain_script")["main"]
    caplog.set_level(logging.INFO)
    report = tmp_path / "report"
    assert main(str(logs / str(TODAY)), str(report)) == 0
    assert has_report(report)
    assert "Counting latencies: " in caplog.text
    assert main(str(slow_logs / str(TODAY)), str(report)) == 1
    assert "gate failed: p99 < 300ms" in caplog.text
    assert main(str(tmp_path / "nowhere"), str(report)) == 3
    assert "nowhere" in caplog.text


@pytest.mark.slow
def test_plain_script_as_a_program(slow_logs: Path, tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "plain_script.py", slow_logs / str(TODAY), tmp_path / "report"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert "gate failed: p99 < 300ms" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("no_drawings")
def test_rolling_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = load("rolling_comparison")["main"]
    logs, profiles, reports = (tmp_path / name for name in ("logs", "profiles", "reports"))
    slowness = {9: 0.2, 1: 1.0, 0: 2.0}
    for seed, (back, factor) in enumerate(slowness.items()):
        write_day(logs, TODAY - timedelta(days=back), slowness=factor, seed=seed)
    codes = {}
    for back in slowness:
        codes[back] = main(TODAY - timedelta(days=back), logs, profiles, reports)
    # Yesterday is compared with nothing: nine days ago is more than a week before it.
    assert codes == {9: 0, 1: 0, 0: 1}
    printed = capsys.readouterr().out
    assert [f"{TODAY - timedelta(days=back)}: no profile" in printed for back in slowness] == [
        True,
        True,
        False,
    ]


def test_the_last_seven_days_are_seven_days(tmp_path: Path) -> None:
    week_before = load("rolling_comparison")["week_before"]
    for back in range(10):
        (tmp_path / f"{TODAY - timedelta(days=back)}.profile").touch()
    found = [path.stem for path in week_before(TODAY, tmp_path)]
    assert found == [str(TODAY - timedelta(days=back)) for back in range(7, 0, -1)]


# What the frameworks themselves warn of is not ours to mend.
framework = pytest.mark.filterwarnings("default")


@pytest.mark.slow
def test_airflow_task(logs: Path, slow_logs: Path, tmp_path: Path) -> None:
    pytest.importorskip("airflow.sdk", exc_type=ImportError)
    dags, report = tmp_path / "airflow" / "dags", tmp_path / "reports"
    dags.mkdir(parents=True)
    shutil.copy(EXAMPLES / "airflow_task.py", dags)
    environment = {**os.environ, "AIRFLOW_HOME": str(dags.parent), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

    def airflow(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "airflow", *arguments]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
        )

    assert airflow("db", "migrate").returncode == 0
    for folder, code in ((logs, 0), (slow_logs, 1)):
        conf = json.dumps({"logs": str(folder), "reports": str(report)})
        done = airflow("dags", "test", "load_test_reports", str(TODAY), "--conf", conf)
        assert done.returncode == code, done.stderr
        assert ("gate failed: p99 < 300ms" in done.stdout + done.stderr) == bool(code)
        assert has_report(report / str(TODAY))


@pytest.mark.slow
@framework
def test_dagster_asset(logs: Path, slow_logs: Path, tmp_path: Path) -> None:
    dg = pytest.importorskip("dagster")
    names = load("dagster_asset")
    report = tmp_path / "reports"
    for folder, passed in ((logs, True), (slow_logs, False)):
        resources = {"folders": names["Folders"](logs=str(folder), reports=str(report))}
        result = dg.materialize([names["load_test_report"]], partition_key=str(TODAY), resources=resources)
        assert result.success
        assert [check.passed for check in result.get_asset_check_evaluations()] == [passed]
        assert has_report(report / str(TODAY))


@pytest.mark.slow
@framework
def test_prefect_flow(logs: Path, slow_logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    pytest.importorskip("prefect")
    from prefect.testing.utilities import prefect_test_harness

    flow = load("prefect_flow")["load_test_report"]
    with prefect_test_harness(server_startup_timeout=120):
        flow(str(logs / str(TODAY)), str(tmp_path / "report"))
        assert has_report(tmp_path / "report")
        with pytest.raises(RuntimeError, match="gate failed: p99 < 300ms"):
            flow(str(slow_logs / str(TODAY)), str(tmp_path / "report"))
