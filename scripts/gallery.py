"""Makes the pictures of the documentation, from simulated logs: ``python scripts/gallery.py``.

The logs are random numbers with a fixed seed, so that the same loadlens draws the same pictures. The commands
that draw them stand in ``docs/gallery.md``. Takes Pillow, and Chromium for the picture of the page.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

FOLDER: Final = Path(__file__).parent.parent / "docs" / "images"
WIDTH: Final = 1000
COLOURS: Final = 128
PAGE_SIZE: Final = (1280, 1000)
BEGIN_S: Final = 1_795_600_800  # 2026-11-25 10:00 UTC
LENGTH_S: Final = 900
RAMP_S: Final = 120
SLOW_S: Final = (480, 660)
CLIENTS: Final = 120
PAUSE_S: Final = 0.8
MEDIANS_MS: Final[Mapping[str, float]] = {
    "GET /": 35, "GET /products": 60, "GET /product/{id}": 80, "POST /cart": 110, "POST /payment": 260,
}  # fmt: skip
SHARES: Final = (0.3, 0.25, 0.25, 0.15, 0.05)
MEMORY_MB: Final = (512, 1024, 2048, 4096)

Floats = NDArray[np.float64]


def main() -> None:
    """Simulates, draws, and replaces the pictures."""
    parser = argparse.ArgumentParser(description="Makes the pictures of the documentation.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they go; default: docs/images")
    parser.add_argument("--browser", default="chromium", help="Chromium, for the picture of the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        draw(work)
        for picture in sorted(work.rglob("*.png")):
            name = f"{picture.relative_to(work).parts[0]}_{picture.name}"
            keep_small(picture, options.folder / "gallery" / name)
        take_page(options.browser, work / "report" / "report.html", work / "page.png")
        keep_small(work / "page.png", options.folder / "report.png")


def draw(work: Path) -> None:
    """Writes logs to ``work`` and runs the commands of the gallery there."""
    shop(seed=1).write_parquet(work / "run.parquet")
    shop(seed=2, slower={"POST /payment": 1.35, "GET /products": 0.8}).write_parquet(work / "next.parquet")
    functions(seed=3).write_parquet(work / "functions.parquet")
    measures = ("--measure", "connect=connect_ms:ms", "--measure", "first_byte=first_byte_ms:ms")
    loadlens(work, "analyze", "run.parquet", "--out", "report", "--by", "label", *measures)
    loadlens(work, "compare", "run.parquet", "next.parquet", "--by", "label", "--out", "comparison")
    costs = ("--prices", "lambda-arm", "--traffic", "20/s", "--by", "memory_size", "--out", "costs")
    loadlens(work, "cost", "functions.parquet", *costs)
    loadlens(work, "demo", "--out", "demo", "--rows", "100000")


def loadlens(work: Path, *arguments: str) -> None:
    """Runs a command of loadlens in a folder."""
    print("+ loadlens", *arguments)
    subprocess.run([sys.executable, "-m", "loadlens", *arguments, "--quiet"], cwd=work, check=True)


def take_page(browser: str, page: Path, picture: Path) -> None:
    """Takes a picture of the first part of a page, with the slow stretch selected."""
    selected = f"{page.as_uri()}#select={BEGIN_S + SLOW_S[0]}-{BEGIN_S + SLOW_S[1]}"
    window = f"--window-size={PAGE_SIZE[0]},{PAGE_SIZE[1]}"
    flags = ("--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=5000", window)
    subprocess.run([browser, *flags, f"--screenshot={picture}", selected], check=True, capture_output=True)


def keep_small(picture: Path, target: Path) -> None:
    """Writes a picture with few colours, as wide as it is shown."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(picture) as drawn:
        width = min(WIDTH, drawn.width)
        size = (width, drawn.height * width // drawn.width)
        small = drawn.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def shop(*, seed: int, slower: Mapping[str, float] | None = None) -> pl.DataFrame:
    """A quarter of an hour of a web shop: clients come, all is slow for a while, and payments fail."""
    rng = np.random.default_rng(seed)
    starts = _starts(rng)
    labels = np.array(list(MEDIANS_MS))
    chosen = rng.choice(len(labels), len(starts), p=SHARES)
    factors = np.array([MEDIANS_MS[name] * (slower or {}).get(name, 1.0) for name in MEDIANS_MS])
    slow = 1 + 1.5 * np.exp(-(((starts - 560) / 45) ** 2))  # a stretch in which all is slow
    load = 0.7 + 0.3 * np.minimum(starts / RAMP_S, 1)
    latency = factors[chosen] * slow * load * rng.lognormal(0, 0.35, len(starts))
    latency = np.where(rng.random(len(starts)) < 0.01, latency * rng.uniform(3, 9, len(starts)), latency)
    names = labels[chosen]
    fails = np.where((names == "POST /payment") & (starts > 520) & (starts < 640), 0.25, 0.004)
    failed = rng.random(len(starts)) < fails
    errors = np.where(
        names == "POST /payment", "HTTP 503", np.where(rng.random(len(starts)) < 0.5, "timeout", "HTTP 500")
    )
    begin = BEGIN_S + starts
    return pl.DataFrame(
        {
            "label": names,
            "start_time": begin,
            "end_time": begin + latency / 1000,
            "invocation_latency": latency,
            "success": ~failed,
            "error": pl.Series(errors).set(pl.Series(~failed), None),
            "response_size": rng.integers(300, 20_000, len(starts)),
            "connect_ms": np.where(rng.random(len(starts)) < 0.1, 0.12 * latency, 0.0),
            "first_byte_ms": latency * rng.uniform(0.6, 0.9, len(starts)),
        }
    )


def _starts(rng: np.random.Generator) -> Floats:
    """When calls start, s from the beginning: of clients that begin one after the other, and pause."""
    found = []
    for begin in np.linspace(0, RAMP_S, CLIENTS):
        pauses = rng.exponential(PAUSE_S, int(2 * LENGTH_S / PAUSE_S)) + 0.1
        found.append(begin + np.cumsum(pauses))
    starts = np.concatenate(found)
    return np.sort(starts[starts < LENGTH_S])


def functions(*, seed: int) -> pl.DataFrame:
    """Calls of a function with four sizes of memory: more memory is faster, up to a point."""
    rng = np.random.default_rng(seed)
    size = rng.choice(MEMORY_MB, 40_000)
    starts = BEGIN_S + np.sort(rng.uniform(0, LENGTH_S, len(size)))
    latency = (40 + 180_000 / np.minimum(size, 1769)) * rng.lognormal(0, 0.25, len(size))
    return pl.DataFrame(
        {
            "memory_size": size,
            "start_time": starts,
            "end_time": starts + latency / 1000,
            "invocation_latency": latency,
            "success": rng.random(len(size)) > 0.001,
        }
    )


if __name__ == "__main__":
    main()
