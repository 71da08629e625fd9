"""What the page computes of a selection is what the library and the rows say."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import loadlens
from loadlens.profile import Profile
from loadlens.profile.buckets import COARSE_ERROR
from loadlens.report import render, toolkit_report
from tests.report.browser import chosen, opened
from tests.sample_logs import small_log, stability_log

pytestmark = pytest.mark.slow

BY = ["endpoint", "size"]
PERCENTILES = {
    "invocation_latency_median": 0.5,
    "invocation_latency_p90": 0.9,
    "invocation_latency_p999": 0.999,
}


TOTAL = """() => Object.fromEntries([
    ...document.querySelectorAll("table[data-run]:not([data-rows])")].flatMap(table => {
    const names = [...table.querySelectorAll("th[data-column]")].map(cell => cell.dataset.column).slice(2);
    return [...table.tFoot.rows[0].cells].slice(1).map((cell, i) => [names[i], Number(cell.dataset.value)]);
}))"""


def run_rows(num_rows: int = 60_000, seconds: float = 7_000) -> pl.DataFrame:
    """Two endpoints of three sizes, one of which is slow for a while, with some failed calls."""
    random = np.random.default_rng(7)
    start = np.sort(random.uniform(0, seconds, num_rows)).round(3) + 1_000
    endpoint = random.choice(["/cart", "/search?<b>"], num_rows)
    size = random.choice([1, 2, 12], num_rows)
    latency = random.lognormal(3, 0.6, num_rows) * np.where((start > 4_000) & (size == 12), 5, 1)
    failed = random.random(num_rows) < 0.03
    return pl.DataFrame(
        {
            "endpoint": endpoint,
            "size": size,
            "start_time": start,
            "end_time": start + latency / 1000,
            "invocation_latency": np.where(failed, -1.0, latency),
        }
    )


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return run_rows()


@pytest.fixture(scope="module")
def page(rows: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    rows.write_parquet(folder / "run.parquet")
    loadlens.analyze(folder / "run.parquet", folder / "out", by=BY)
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def profile(rows: pl.DataFrame) -> Profile:
    return loadlens.summarize(rows.lazy(), by=BY, timeline=True).profile


def cells(page: Any) -> dict[tuple[str, str], dict[str, float]]:
    """The figures that the page has of each key, as exactly as it knows them."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for (
        labels,
        figures,
    ) in page.evaluate("""() => [
        ...document.querySelectorAll("table[data-run]:not([data-rows])")].flatMap(table => {
        const names = [...table.querySelectorAll("th[data-column]")].map(cell => cell.dataset.column);
        return [...table.tBodies[0].rows].map(row => [
            [...row.querySelectorAll("th")].map(cell => cell.textContent),
            Object.fromEntries([...row.cells].map((cell, i) => [names[i], cell.dataset.value])
                .filter(([, value]) => value !== undefined)),
        ]);
    })"""):
        found.setdefault(tuple(labels), {}).update({name: float(value) for name, value in figures.items()})
    return found


def edges(profile: Profile) -> np.ndarray:
    """Where windows begin and the last one ends, in s."""
    assert profile.timeline is not None
    width = profile.timeline.window_s or 0
    windows = profile.timeline.keys[f"window:{width}"].to_numpy()
    return np.arange(windows.min(), windows.max() + 2) * int(width)


def test_fifty_selections_are_what_the_library_says(page: Path, rows: pl.DataFrame, profile: Profile) -> None:
    random = np.random.default_rng(1)
    with opened(page) as shown:
        for _ in range(50):
            first, last = np.sort(random.choice(edges(profile), 2, replace=False))
            chosen(shown, f"#select={first}-{last}")
            compare(cells(shown), rows.filter(pl.col("end_time").is_between(first, last, closed="left")))
            compare_quantiles(cells(shown), profile, (float(first), float(last)))


def compare(found: dict[tuple[str, str], dict[str, float]], rows: pl.DataFrame) -> None:
    """Counts, sums and extremes are exact, percentiles within the bound."""
    good = rows.filter(pl.col("invocation_latency") > 0)
    for (endpoint, size), figures in found.items():
        own = rows.filter(endpoint=endpoint, size=int(size))
        latency = good.filter(endpoint=endpoint, size=int(size))["invocation_latency"].to_numpy()
        if own.is_empty():
            assert figures == {"num_invocations": 0, "num_errors": 0} or not figures
            continue
        assert figures["num_invocations"] == own.height
        assert figures["num_errors"] == own.height - len(latency)
        assert figures["error_rate"] == pytest.approx(1 - len(latency) / own.height, abs=1e-12)
        if not len(latency):
            continue
        assert figures["invocation_latency_min"] == latency.min()
        assert figures["invocation_latency_max"] == latency.max()
        assert figures["invocation_latency_mean"] == pytest.approx(latency.mean(), rel=1e-12)
        for name, q in PERCENTILES.items():
            assert figures[name] == pytest.approx(np.quantile(latency, q), rel=COARSE_ERROR)


def compare_quantiles(
    found: dict[tuple[str, str], dict[str, float]], profile: Profile, between: tuple[float, float]
) -> None:
    for name, q in PERCENTILES.items():
        told = profile.quantile(q, BY, between=between)
        expected = {
            (endpoint, str(size)): value for endpoint, size, value in told.select(*BY, "latency_ms").rows()
        }
        assert {key: figures[name] for key, figures in found.items() if name in figures} == pytest.approx(
            expected, rel=1e-12
        )


def test_the_whole_run_has_the_exact_figures_of_the_library(page: Path) -> None:
    with opened(page, java_script_enabled=False) as plain:
        static = plain.locator("table[data-run]:not([data-rows])").all_inner_texts()
        assert plain.locator(".panel").count() == 0
        assert plain.locator("figure > .scroll > svg").first.is_visible()
    with opened(page) as shown:
        assert not any(cells(shown).values())
        chosen(shown, "#select=2000-3000")
        assert all(cells(shown).values())
        shown.get_by_role("button", name="Whole run").click()
        chosen(shown, "#summary")
        assert not any(cells(shown).values())
        assert [
            text.split() for text in shown.locator("table[data-run]:not([data-rows])").all_inner_texts()
        ] == [text.split() for text in static]


def test_ticked_configurations_are_summed_up(page: Path, rows: pl.DataFrame, profile: Profile) -> None:
    first, last = (int(edge) for edge in edges(profile)[[5, 40]])
    some = rows.filter(pl.col("end_time").is_between(first, last, closed="left"))
    some = some.filter((pl.col("endpoint") == "/cart") & pl.col("size").is_in([1, 2]))
    latency = some.filter(pl.col("invocation_latency") > 0)["invocation_latency"]
    with opened(page, address=f"#select={first}-{last};keys=0-1") as shown:
        total = shown.evaluate(TOTAL)
        assert total["num_errors"] == some.height - latency.len()
        assert total["invocation_latency_max"] == latency.max()
        assert total["invocation_latency_mean"] == pytest.approx(latency.mean(), rel=1e-12)
        assert total["invocation_latency_p90"] == pytest.approx(
            latency.quantile(0.9, "linear"), rel=COARSE_ERROR
        )
        assert (
            shown.locator("table[data-run]:not([data-rows])").first.locator("tbody tr:visible").count() == 2
        )
        assert shown.locator(".card .value").first.inner_text() == f"{some.height:,}"
        shown.locator("summary").click()
        shown.get_by_label("/cart · size 2").uncheck()
        shown.wait_for_function("end => location.hash.endsWith(end)", arg=";keys=0")
        shown.get_by_role("searchbox", name="Filter configurations").fill("search 12")
        shown.get_by_role("button", name="Only these").click()
        shown.wait_for_function("end => location.hash.endsWith(end)", arg=";keys=5")
        assert shown.locator("table[data-run]:not([data-rows])").first.locator(
            "tbody tr:visible th"
        ).all_inner_texts() == [
            "/search?<b>",
            "12",
        ]


def test_a_range_is_dragged_moved_by_keys_and_kept_in_the_address(page: Path) -> None:
    with opened(page) as shown:
        box = shown.locator(".overview").bounding_box()
        shown.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
        shown.mouse.down()
        shown.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
        shown.mouse.up()
        begin, end = (
            shown.get_by_role("slider", name=f"{which} of the selection") for which in ("Begin", "End")
        )
        dragged = int(begin.get_attribute("aria-valuenow")), int(end.get_attribute("aria-valuenow"))
        most = int(end.get_attribute("aria-valuemax"))
        assert dragged == pytest.approx((most * 0.25, most * 0.5), abs=1)
        end.focus()
        shown.keyboard.press("ArrowRight")
        shown.wait_for_function(
            "([now]) => document.querySelectorAll('.handle')[1].ariaValueNow === now",
            arg=[str(dragged[1] + 1)],
        )
        address, told = shown.url, shown.get_by_role("status").first.inner_text()
        assert "active on the average. Percentiles are within 3.1" in told
        shown.get_by_role("link", name="Data quality").click()
        assert shown.url == address
    with opened(page, address="#" + address.split("#")[1]) as again:
        assert again.get_by_role("status").first.inner_text() == told
        again.locator(".handle").first.press("Escape")
        again.wait_for_function("() => location.hash === ''")


def test_charts_tell_their_values_and_zoom(page: Path) -> None:
    with opened(page, address="#select=2000-4000") as shown:
        figures = shown.locator("figure[data-run]")
        assert figures.count() == 7
        for figure in figures.all():
            assert figure.locator(".drawn svg.chart").count() > 0
            assert not figure.locator(".scroll").is_visible()
        latency = shown.get_by_role("slider", name="Latency (ms)", exact=False).first
        latency.press("Home")
        assert "p50 " in latency.get_attribute("aria-valuetext")
        before = int(latency.get_attribute("aria-valuemax"))
        latency.press("+")
        shown.wait_for_function(
            "most => document.querySelector('svg.chart').ariaValueMax !== most", arg=str(before)
        )
        assert not shown.url.endswith("#select=2000-4000")
        spread = shown.get_by_role("slider", name="How latencies spread (calls", exact=False)
        spread.press("End")
        spread.press("+")
        assert int(spread.get_attribute("aria-valuemax")) > 0
        shown.get_by_role("button", name="Show all").click()


def test_tables_sort_and_filter(page: Path) -> None:
    with opened(page) as shown:
        table = shown.locator("table[data-run]:not([data-rows])").first
        before = table.locator("tbody").inner_text()
        header = table.get_by_role("columnheader", name="p99.9")
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") == "descending"
        column = header.evaluate("cell => cell.cellIndex")
        values = [
            float(row.split("\t")[column].replace(",", ""))
            for row in table.locator("tbody tr").all_inner_texts()
        ]
        assert values == sorted(values, reverse=True)
        header.get_by_role("button").click()
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") is None
        assert table.locator("tbody").inner_text() == before


def test_hostile_labels_stay_text(tmp_path: Path) -> None:
    hostile = '</script><img src=x onerror="window.taken = 1"><b>bold</b>'
    rows = run_rows(3_000, 300).with_columns(endpoint=pl.lit(f"{hostile}\u202edrawkcab"))
    rows.write_parquet(tmp_path / "run.parquet")
    loadlens.analyze(tmp_path / "run.parquet", tmp_path / "out", by=BY)
    with opened(tmp_path / "out" / "report.html", address="#select=1100-1200") as shown:
        shown.locator("summary").click()
        assert hostile in shown.locator(".keys label").first.inner_text()
        assert hostile in shown.locator("[data-chart=over_time_by_key] .legend").last.inner_text()
        assert shown.evaluate("window.taken") is None
        assert shown.locator("img").count() == 0
        assert all(cells(shown).values())
        assert "\u202e" not in shown.locator("body").inner_text()
        assert shown.locator(".unselected").count() == 0


def test_each_benchmark_of_a_results_folder_has_a_selection_of_its_own(tmp_path: Path) -> None:
    report = toolkit_report(
        source="run",
        version="1",
        options={"Outlier fence": "none"},
        stability=loadlens.summarize_stability_results(stability_log(small_log()), timeline=True),
        concurrency=loadlens.summarize_concurrency_results(small_log(), timeline=True),
        cost=None,
        no_cost_reason=None,
        figures={},
    )
    path = tmp_path / "report.html"
    path.write_text(render(report), encoding="utf-8")
    with opened(path) as shown:
        panels = shown.locator("section > section.panel")
        assert panels.count() == 2
        panels.last.locator(".handle").first.press("ArrowRight")
        shown.wait_for_function("() => location.hash.startsWith('#concurrency:select=')")
        panels.first.locator(".handle").last.press("ArrowLeft")
        shown.wait_for_function("() => location.hash.startsWith('#stability:select=')")
        address = shown.url.split("#")[1]
        told = panels.locator(".status").all_inner_texts()
        assert len(set(told)) == 2
    with opened(path, address=f"#{address}") as again:
        assert again.locator(".status").all_inner_texts() == told


FOCUSED = """() => {
    const element = document.activeElement;
    if (element === document.body) return null;
    const { top, bottom } = element.getBoundingClientRect();
    const panel = document.querySelector(".panel"), place = panel.getBoundingClientRect();
    const isCovered = !panel.contains(element) && bottom <= place.bottom && top >= place.top;
    const isNamed = Boolean(element.ariaLabel || element.textContent.trim());
    const isSeen = !isCovered && getComputedStyle(element).outlineStyle !== "none";
    return { what: element.outerHTML.slice(0, 200), isNamed, isSeen };
}"""


def test_the_tab_key_goes_from_the_begin_of_the_page_to_its_end(page: Path) -> None:
    with opened(page, address="#select=2000-4000") as shown:
        focused = []
        for _ in range(300):
            shown.keyboard.press("Tab")
            focused.append(shown.evaluate(FOCUSED))
            if focused[-1] is None:
                break
        assert focused.pop() is None
        assert len(focused) > 30
        assert [stop for stop in focused if not (stop["isNamed"] and stop["isSeen"])] == []


def test_what_cannot_follow_a_selection_says_so(page: Path) -> None:
    with opened(page, address="#select=2000-4000") as shown:
        marked = shown.locator("main :has(> .of-whole)")
        texts = [text.removesuffix(" (of the whole run)") for text in marked.all_inner_texts()]
        assert [text for text in texts if "calls failed" in text]
        assert "Rows of the log" in [text.split("\n")[0] for text in texts]
        assert not [
            text for text in texts if text.startswith(("Failed calls by error", "Latency and through"))
        ]
        assert all(mark.is_visible() for mark in shown.locator(".of-whole").all())
        shown.get_by_role("button", name="Whole run").click()
        shown.wait_for_function("() => location.hash === ''")
        assert not any(mark.is_visible() for mark in shown.locator(".of-whole").all())


OVERLAPS = """() => [...document.querySelectorAll(".drawn:not([hidden]) svg.chart")].flatMap(chart => {
    const boxes = [...chart.querySelectorAll("text")].map(text => text.getBoundingClientRect());
    const meet = (one, other) => one.left < other.right && other.left < one.right
        && one.top + 3 < other.bottom && other.top + 3 < one.bottom;
    return boxes.filter((box, i) => boxes.slice(i + 1).some(other => meet(box, other)))
        .map(() => chart.getAttribute("aria-label"));
})"""


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_of_charts_do_not_overlap_and_the_page_is_no_wider_than_the_screen(
    page: Path, width: int
) -> None:
    with opened(page, address="#select=2000-4000", viewport={"width": width, "height": 900}) as shown:
        shown.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert shown.evaluate(OVERLAPS) == []
        assert shown.evaluate("document.documentElement.scrollWidth") <= width


def test_a_selection_without_calls_draws_nothing_and_says_so(page: Path) -> None:
    with opened(page, address="#keys=none") as shown:
        shown.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert shown.locator(".drawn:visible").count() == 0
        assert shown.get_by_text("nothing to draw in this selection").count() == 7
        assert shown.get_by_text("None in the selection.").count() == 2
        assert ": 0 calls." in shown.get_by_role("status").first.inner_text()
