"""``python -m benchmarks.page_drag report.html``: the size of a report's page, and times of drags in it.

Needs Chromium and the package ``playwright``. Times are taken in the page, by ``performance.now()``: from a
movement of the pointer to the new numbers in the page, once with tables in sight and once with charts.
"""

import argparse
import shutil
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

__all__ = ["main"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
IN_SIGHT = {"tables": "table[data-run]", "charts": "figure[data-chart=over_time]"}
DRAG = """async () => {
    const chart = document.querySelector(".overview");
    chart.setPointerCapture = () => {};  // there is no real pointer
    const { x, y, width } = chart.getBoundingClientRect();
    const move = (type, part) => chart.dispatchEvent(new PointerEvent(type, {
        clientX: x + part * width, clientY: y + 9, bubbles: true, pointerId: 1 }));
    const times = [];
    move("pointerdown", 0.1);
    for (let step = 1; step <= 50; step++) {
        const began = performance.now();
        move("pointermove", 0.1 + step / 60);
        await new Promise(done => requestAnimationFrame(done));
        times.push(performance.now() - began);
        await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    }
    move("pointerup", 0.95);
    return times;
}"""


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="report.html of an analysis of a log")
    path = parser.parse_args().page.resolve()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    print(f"{path.stat().st_size / 1e6:.2f} MB")
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = running.new_page(viewport={"width": 1280, "height": 900})
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        for what, element in IN_SIGHT.items():
            times = _drag(page, element)
            print(f"{what}: median {median(times):.1f} ms, longest {max(times):.1f} ms of {len(times)}")
        running.close()


def _drag(page: Page, element: str) -> list[float]:
    page.locator(element).first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    found: list[float] = page.evaluate(DRAG)
    return found


if __name__ == "__main__":
    main()
