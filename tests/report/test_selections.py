"""Random selections of time and keys in a page: every figure is what the library and the rows say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import loadlens
from loadlens.profile import Profile
from loadlens.profile.buckets import COARSE_ERROR
from loadlens.profile.timeline import timeline
from loadlens.report.columns import NOTHING, format_value
from loadlens.schema import LATENCY
from loadlens.summaries.load import load_of
from tests.report.browser import chosen, opened

pytestmark = pytest.mark.slow

BY = ["endpoint", "size"]
ERRORS = ["timeout", "HTTP 503 <b>", "reset"]
NUM_SELECTIONS = 60
PERCENTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
SHOWN = """() => {
    dispatchEvent(new Event("beforeprint"));  // draws what is not in sight too
    const columns = table => [...table.querySelectorAll("thead th[data-column]")].filter(cell => !cell.hidden)
        .map(cell => cell.dataset.column);
    const labels = row => [...row.querySelectorAll("th")].map(cell => cell.textContent);
    const figures = (row, names) => Object.fromEntries([...row.querySelectorAll("td")]
        .filter(cell => !cell.hidden).map((cell, i) => [names[i], Number(cell.dataset.value)]));
    const rows = table => [...table.tBodies[0].rows].filter(row => !row.classList.contains("unselected"))
        .map(row => [labels(row), figures(row, columns(table).slice(labels(row).length))]);
    const named = name => document.querySelector(`table[data-rows=${name}]`);
    const main = [...document.querySelectorAll("table[data-run]:not([data-rows])")];
    const values = chart => {
        const svg = chart.querySelector("svg.chart"), found = [];
        const press = key => svg.dispatchEvent(new KeyboardEvent("keydown", { key }));
        press("Home");
        for (let place = 0; place <= Number(svg.getAttribute("aria-valuemax")); place++) {
            found.push(svg.getAttribute("aria-valuetext"));
            press("ArrowRight");
        }
        return found;
    };
    return {
        status: document.querySelector(".status").textContent,
        rows: main.flatMap(rows),
        total: Object.assign({}, ...main.map(table =>
            figures(table.tFoot.rows[0], columns(table).slice(labels(table.tBodies[0].rows[0]).length)))),
        levels: rows(named("levels")).map(([, found]) => found),
        failures: rows(named("failures")),
        charts: Object.fromEntries([...document.querySelectorAll(".drawn:not([hidden])")].map(chart =>
            [chart.querySelector(".chart-title").textContent, values(chart)])),
    };
}"""


def run_rows(num_rows: int = 40_000) -> pl.DataFrame:
    """Nine keys that begin and end at times of their own under a load that rises."""
    random = np.random.default_rng(11)
    key = random.choice(9, num_rows, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.04, 0.009, 0.001])
    begin, end = 37 * key, 4_000 - 113 * (key % 4)
    start = 5_000.25 + begin + (end - begin) * np.sqrt(random.random(num_rows))
    latency = random.lognormal(5, 0.7, num_rows) * (1 + key % 3) * np.where(start > 8_000, 3, 1)
    failed = random.random(num_rows) < 0.04
    error = random.choice(ERRORS, num_rows, p=[0.6, 0.3, 0.1])
    return pl.DataFrame(
        {
            "endpoint": np.array(["/a", "/b?<i>", "/c"])[key // 3],
            "size": np.array([1, 2, 12])[key % 3],
            "start_time": start.round(3),
            "end_time": (start + latency / 1000).round(3),
            LATENCY: np.where(failed, -1.0, latency),
            "error": [text if lost else None for text, lost in zip(error, failed, strict=True)],
        }
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A selection, and the rows of it.

    Attributes:
        keys: the numbers of its keys.
        times: from when to before when it lasts, in s; None for all of the run.
        of_keys: the rows of its keys, whatever the time.
        rows: the rows of it.
        profile: that of the rows of its keys.
    """

    keys: list[int]
    times: tuple[int, int] | None
    of_keys: pl.DataFrame
    rows: pl.DataFrame
    profile: Profile

    @property
    def address(self) -> str:
        """As the page has it."""
        keys = f"keys={','.join(map(str, self.keys))}"
        return f"#select={self.times[0]}-{self.times[1]};{keys}" if self.times else f"#{keys}"

    @property
    def latencies(self) -> np.ndarray[Any, Any]:
        """Those of the successful calls."""
        return self.rows.filter(pl.col(LATENCY) > 0)[LATENCY].to_numpy()


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["fine clock", "whole seconds"])
def resolution_s(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture(scope="module")
def rows(resolution_s: float) -> pl.DataFrame:
    rows = run_rows()
    return rows.with_columns(pl.col("start_time", "end_time").floor()) if resolution_s else rows


@pytest.fixture(scope="module")
def folder(rows: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selections")
    rows.write_parquet(folder / "run.parquet")
    loadlens.analyze(folder / "run.parquet", folder / "out", by=BY)
    loadlens.profile_log(rows, folder / "run.profile", by=BY)
    return folder


@pytest.fixture(scope="module")
def cases(rows: pl.DataFrame) -> list[Case]:
    random = np.random.default_rng(5)
    keys = rows.select(BY).unique().sort(BY)
    width = int(loadlens.summarize(rows, by=BY, timeline=True).timeline["window_s"][0])
    first, last = (int(rows["end_time"].min()) // width, int(rows["end_time"].max()) // width + 1)  # type: ignore[arg-type]
    found = []
    while len(found) < NUM_SELECTIONS:
        some = np.sort(random.choice(keys.height, random.integers(1, keys.height + 1), replace=False))
        of_keys = rows.join(keys[some], on=BY)
        times, part = None, of_keys
        if len(found) % 3:
            begin, end = np.sort(random.choice(np.arange(first, last + 1), 2, replace=False)) * width
            times = (int(begin), int(end))
            part = of_keys.filter(pl.col("end_time").is_between(begin, end, closed="left"))
        if part.filter(pl.col(LATENCY) > 0).height and (times or len(some) < keys.height):
            profile = loadlens.summarize(of_keys, by=BY, timeline=True).profile
            case = Case(keys=some.tolist(), times=times, of_keys=of_keys, rows=part, profile=profile)
            found.append(case)
    return found


@pytest.fixture(scope="module")
def shown(folder: Path, cases: list[Case]) -> list[dict[str, Any]]:
    """What the page tells of each case."""
    found = []
    with opened(folder / "out" / "report.html") as page:
        for case in cases:
            chosen(page, case.address)
            found.append(page.evaluate(SHOWN))
    return found


def sliced(case: Case, folder: Path, by: list[str]) -> pl.DataFrame:
    """The library's summary of a case, from the saved profile."""
    profile = folder / "run.profile"
    keys = loadlens.summarize(profile, BY).summary.select(BY)[case.keys]
    where = pl.any_horizontal(
        (pl.col("endpoint") == endpoint) & (pl.col("size") == size) for endpoint, size in keys.iter_rows()
    )
    start = 0.0 if case.times is None else _first_start(folder)
    times = {} if case.times is None else {"from_": case.times[0] - start, "to": case.times[1] - start}
    if times and times["from_"] <= 0:
        del times["from_"]
    return loadlens.summarize(profile, by, where=where, **times).summary


def _first_start(folder: Path) -> float:
    return float(pl.read_parquet(folder / "run.parquet")["start_time"].min())  # type: ignore[arg-type]


def test_totals_are_those_of_the_library(
    cases: list[Case], shown: list[dict[str, Any]], folder: Path
) -> None:
    for case, told in zip(cases, shown, strict=True):
        (expected,) = sliced(case, folder, []).to_dicts()
        total = told["total"]
        assert total["num_invocations"] == case.rows.height == expected["num_invocations"]
        assert total["num_errors"] == case.rows.height - len(case.latencies) == expected["num_errors"]
        assert total["throughput"] == pytest.approx(expected["throughput"], rel=1e-9), case.address
        exact = {"mean": np.mean, "min": np.min, "max": np.max}
        for name, figure in exact.items():
            assert total[f"{LATENCY}_{name}"] == pytest.approx(figure(case.latencies), rel=1e-12)
        for name, q in PERCENTILES.items():
            value = total[f"{LATENCY}_{name}"]
            if case.times:  # of all of the time, a profile has finer buckets
                told_of_profile = case.profile.quantile(q, [], between=case.times)["latency_ms"].item()
                assert value == pytest.approx(told_of_profile, rel=1e-12)
            assert value == pytest.approx(np.quantile(case.latencies, q), rel=COARSE_ERROR)


def test_rows_are_those_of_the_library(cases: list[Case], shown: list[dict[str, Any]], folder: Path) -> None:
    for case, told in zip(cases, shown, strict=True):
        labels = {tuple(names) for names, _ in told["rows"]}
        assert len(labels) == len(case.keys)
        if case.times is None:
            continue  # the figures of the whole run, which are those of the page without scripts
        found: dict[tuple[str, ...], dict[str, float]] = {names: {} for names in labels}
        for names, figures in told["rows"]:
            found[tuple(names)] |= figures
        for row in sliced(case, folder, BY).to_dicts():
            figures = found.pop((row["endpoint"], str(row["size"])))
            for name in ("num_invocations", "num_errors", "error_rate", "throughput"):
                if row[name] is not None:
                    assert figures[name] == pytest.approx(row[name], rel=1e-9), (case.address, name)
        assert all(figures["num_invocations"] == 0 for figures in found.values())


def mean_active(case: Case, resolution_s: float) -> float | None:
    """The mean over the seconds of a case between which calls are there; both ends weigh a half."""
    start, end = (np.sort(case.of_keys[name].to_numpy()) for name in ("start_time", "end_time"))
    begin, last = case.times or (int(start[0]) - 1, int(end[-1]) + 2)
    second = np.arange(begin, last + 1)
    active = np.searchsorted(start, second) - np.searchsorted(end, second)
    inside = (second > start[0]) & (second < end[-1] + resolution_s)
    weight = np.where((second == begin) | (second == last), 0.5, 1.0) * inside
    return float((active * weight).sum() / weight.sum()) if weight.sum() else None


def test_active_calls_and_throughput_are_told(
    cases: list[Case], shown: list[dict[str, Any]], resolution_s: float
) -> None:
    for case, told in zip(cases, shown, strict=True):
        active = mean_active(case, resolution_s)
        if active is not None:
            assert f", {format_value('active_calls', active)} active on the average" in told["status"]
        throughput = format_value("throughput", told["total"]["throughput"])
        assert f", {throughput} successful per s" in told["status"]


def test_levels_of_the_load_are_those_of_the_library(cases: list[Case], shown: list[dict[str, Any]]) -> None:
    for case, told in zip(cases, shown, strict=True):
        windows = timeline(case.profile)
        if case.times:
            windows = windows.filter(pl.col("window_start_s").is_between(*case.times, closed="left"))
        expected = load_of(case.profile, windows).table.to_dicts()
        assert len(told["levels"]) == len(expected), case.address
        for figures, level in zip(told["levels"], expected, strict=True):
            assert set(figures) == set(level) - {"active_from", "active_to", "p90_ms"}
            for name, value in figures.items():
                assert value == pytest.approx(level[name] or 0, rel=1e-9, abs=1e-9), (case.address, name)


def test_charts_over_time_are_those_of_the_library(cases: list[Case], shown: list[dict[str, Any]]) -> None:
    for case, told in zip(cases, shown, strict=True):
        windows = timeline(case.profile)
        first, last = case.times or (windows["window_start_s"].min(), windows["window_start_s"].max() + 1)  # type: ignore[operator]
        windows = windows.filter(pl.col("window_start_s").is_between(first, last, closed="left"))
        covered = windows.filter(pl.col("covered_s") >= 0.1 * pl.col("window_s"))
        windows = windows if covered.is_empty() else covered
        for title, (name, words) in _OVER_TIME.items():
            found = [text.split()[-1 - words] for text in told["charts"].get(title, [])]
            expected = [format_value(name, value) for value in windows[name]]
            some = [[value for value in values if value != NOTHING] for values in (found, expected)]
            assert some[0] == some[1], (case.address, title)


_OVER_TIME = {"Throughput (per s)": ("throughput", 2), "Active calls": ("active_calls", 0)}
"""Charts by their titles: the column of the timeline that they show, and words after a value."""


def test_failures_are_those_of_the_rows(cases: list[Case], shown: list[dict[str, Any]]) -> None:
    for case, told in zip(cases, shown, strict=True):
        failed = case.rows.filter(pl.col("error").is_not_null())
        calls = {key: part.height for key, part in case.rows.group_by(BY)}
        expected = {
            (str(endpoint), str(size), str(error)): (part.height, part.height / calls[endpoint, size])
            for (endpoint, size, error), part in failed.group_by(*BY, "error")
        }
        found = {
            tuple(labels): (figures["count"], pytest.approx(figures["error_rate"], rel=1e-12))
            for labels, figures in told["failures"]
            if "count" in figures and case.times
        }
        if case.times:
            assert found == expected, case.address
        strips = told["charts"].get("Failed calls over time, by error", [])
        sums: dict[str, int] = {}
        for text in strips:
            for part in text.split(": ", 1)[1].split(", "):
                name, count = part.rsplit(" ", 1)
                error = name.rsplit(":", 1)[0]
                sums[error] = sums.get(error, 0) + int(count)
        assert sums == dict(failed.group_by("error").len().rows()), case.address


def test_the_distribution_is_that_of_the_rows(cases: list[Case], shown: list[dict[str, Any]]) -> None:
    for case, told in zip(cases, shown, strict=True):
        buckets = case.latencies.view(np.int64) >> 48
        expected = np.bincount(buckets - buckets.min())
        values = told["charts"]["How latencies spread (calls by latency)"]
        assert [int(text.rsplit(" ", 1)[1].replace(",", "")) for text in values] == expected.tolist()
