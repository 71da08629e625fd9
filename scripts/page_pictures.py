"""Pictures of two pages side by side: ``python scripts/page_pictures.py OLD.html NEW.html --out pictures``.

Each page is shown on a wide and a narrow screen, light and dark, and in print, and ``all.png`` has all of
these. Takes Playwright, Pillow, a Chromium, and ``pdftoppm`` for the print.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, sync_playwright

WIDTHS: Final = (1280, 390)
SCHEMES: Final = ("light", "dark")
SHEETS: Final = 3
"""How many sheets of the print are shown."""

SHEET_WIDTH: Final = 640
ROWS: Final = (("1280-light",), ("1280-dark",), ("390-light", "390-dark", "print"))
"""How the picture with all views is laid out."""

WIDTH: Final = 1400
"""Of the picture with all views, px."""

GAP: Final = 24
BORDER: Final = "#888888"
COLOURS: Final = 256


@dataclass(frozen=True, kw_only=True)
class View:
    """How a page is looked at.

    Attributes:
        name: of the view, for the file.
        width: of the screen, px; 0 is print.
        scheme: light or dark.
    """

    name: str
    width: int = 0
    scheme: str = "light"


VIEWS: Final = (
    *(View(name=f"{width}-{scheme}", width=width, scheme=scheme) for width in WIDTHS for scheme in SCHEMES),
    View(name="print"),
)


def main() -> None:
    """Takes the pictures of both pages and joins them, one file for each view, and all views in one."""
    parser = argparse.ArgumentParser(description="Makes pictures of two pages side by side.")
    parser.add_argument(
        "old", help="the page on the left: a file, or an address such as file:///...#select=1-2"
    )
    parser.add_argument("new", help="the page on the right")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--height", type=int, default=2000, help="how much of a page is shown, px")
    parser.add_argument("--from", dest="top", type=int, default=0, help="where it begins, px")
    parser.add_argument("--names", nargs=2, default=("before", "after"), help="what stands above them")
    parser.add_argument("--browser", default="/usr/bin/chromium", help="path of Chromium")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    joined = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser)
        for view in VIEWS:
            pages = [
                taken(browser, page, view, options.top, options.height) for page in (options.old, options.new)
            ]
            joined[view.name] = side_by_side(pages, options.names)
            save(joined[view.name], options.out / f"{view.name}.png")
        browser.close()
    save(montage([[joined[name] for name in row] for row in ROWS], WIDTH), options.out / "all.png")


def taken(browser: Browser, page: str, view: View, top: int, height: int) -> Image.Image:
    """The picture of a page."""
    with tempfile.TemporaryDirectory() as folder:
        if view.width == 0:
            return printed(browser, page, Path(folder))
        shown = browser.new_page(
            viewport={"width": view.width, "height": 900}, color_scheme=view.scheme, device_scale_factor=1
        )
        shown.goto(address(page))
        shown.wait_for_timeout(1000)
        shown.screenshot(path=f"{folder}/page.png", full_page=True)
        shown.close()
        with Image.open(f"{folder}/page.png") as picture:
            return picture.convert("RGB").crop((0, top, view.width, min(top + height, picture.height)))


def address(page: str) -> str:
    """The address of a page that may be named as a file."""
    return page if "://" in page else Path(page).resolve().as_uri()


def printed(browser: Browser, page: str, folder: Path) -> Image.Image:
    """The first sheets of a page as a browser prints it, one below the other."""
    shown = browser.new_page()
    shown.goto(address(page))
    shown.wait_for_timeout(1000)
    shown.pdf(path=folder / "page.pdf", format="A4")
    shown.close()
    last = ["-l", str(SHEETS), "-scale-to-x", str(SHEET_WIDTH), "-scale-to-y", "-1"]
    subprocess.run(["pdftoppm", "-png", *last, folder / "page.pdf", folder / "sheet"], check=True)
    return below(list(_opened(sorted(folder.glob("sheet*.png")))))


def _opened(paths: Sequence[Path]) -> Iterator[Image.Image]:
    for path in paths:
        with Image.open(path) as picture:
            yield framed(picture.convert("RGB"))


def framed(picture: Image.Image) -> Image.Image:
    """A picture with a line around it."""
    ImageDraw.Draw(picture).rectangle((0, 0, picture.width - 1, picture.height - 1), outline=BORDER)
    return picture


def below(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other."""
    height = sum(picture.height for picture in pictures) + GAP * (len(pictures) - 1)
    whole = Image.new("RGB", (max(picture.width for picture in pictures), height), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height + GAP
    return whole


def side_by_side(pictures: Sequence[Image.Image], names: Sequence[str]) -> Image.Image:
    """Pictures beside each other, each with its name above."""
    size = max(14, pictures[0].width // 40)
    head = 2 * size
    height = max(picture.height for picture in pictures) + head
    whole = Image.new("RGB", (sum(picture.width for picture in pictures) + GAP, height), "white")
    left = 0
    for picture, name in zip(pictures, names, strict=True):
        ImageDraw.Draw(whole).text((left, size // 3), name, "black", font=ImageFont.load_default(size))
        whole.paste(framed(picture), (left, head))
        left += picture.width + GAP
    return whole


def montage(rows: Sequence[Sequence[Image.Image]], width: int) -> Image.Image:
    """Rows of pictures, each row as wide as the others, and its pictures equally high."""
    return below([in_a_row(pictures, width) for pictures in rows])


def in_a_row(pictures: Sequence[Image.Image], width: int) -> Image.Image:
    """Pictures beside each other, equally high."""
    room = width - GAP * (len(pictures) - 1)
    height = int(room / sum(picture.width / picture.height for picture in pictures))
    whole = Image.new("RGB", (width, height), "white")
    left = 0
    for picture in pictures:
        size = (picture.width * height // picture.height, height)
        whole.paste(picture.resize(size, Image.Resampling.LANCZOS), (left, 0))
        left += size[0] + GAP
    return whole


def save(picture: Image.Image, path: Path) -> None:
    """Writes a picture with few colours."""
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
