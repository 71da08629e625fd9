"""A page in a browser without a window; tests that need one are left out where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def opened(page: Path, *, address: str = "", **context: Any) -> Iterator[Any]:
    """The page, once its scripts are done; whatever it complains of fails the test."""
    playwright = pytest.importorskip("playwright.sync_api")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("needs Chromium")
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        shown = running.new_page(**context)
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("console", lambda message: complaints.append(message.text))
        shown.goto(page.as_uri() + address)
        if context.get("java_script_enabled", True):
            shown.wait_for_selector("html[data-ready]", state="attached")
        yield shown
        running.close()
    assert not complaints


def chosen(page: Any, address: str) -> None:
    """The page with the selection of an address."""
    page.evaluate(
        """address => new Promise(done => {
        location.hash = address;
        setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)));
    })""",
        address,
    )
