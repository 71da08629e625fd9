"""Charts as SVG and PNG, drawn in the background; and as Altair charts, for who works on with them."""

from __future__ import annotations

import json
import logging
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadlens.charts.drawing import VEGA_LITE
from loadlens.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from os import PathLike

    import altair as alt

    from loadlens.charts.drawing import Spec

__all__ = ["Picture", "altair_chart", "prepare"]

_SCALE: Final = 2
_GRADIENT: Final = re.compile(r'(?<=<linearGradient id=")gradient_\d+|(?<= fill="url\(#)gradient_\d+(?=\)")')
_TALKATIVE: Final = ("vl_convert", "tiny_skia", "usvg", "fontdb")  # loggers
_LEAST_ADDRESS_SPACE: Final = 40 * 2**30
_NO_PICTURE: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="460" height="40"><text x="10" y="25" '
    'font-family="sans-serif" font-size="14">Not drawn: address space is limited (ulimit -v)</text></svg>'
)


class Picture:
    """A chart that is drawn in the background, once for all that it is wanted for.

    Args:
        chart: a Vega-Lite document.
    """

    def __init__(self, chart: Spec) -> None:
        self.chart = chart
        _ = self._svg

    def __getstate__(self) -> dict[str, Spec]:
        return {"chart": self.chart}  # a copy is drawn where it is looked at

    @cached_property
    def _svg(self) -> Future[str]:
        return _svg_thread().submit(_drawn, self.chart)

    @property
    def svg(self) -> str:
        """The chart as an SVG document, ready to stand inline in HTML."""
        return self._svg.result()

    @property
    def png(self) -> bytes:
        """The chart as PNG, two pixels for each point."""
        return self._png.result()

    @cached_property
    def _png(self) -> Future[bytes]:
        return _png_threads().submit(lambda: _pixels(self.svg))

    def begin(self, formats: Sequence[str]) -> None:
        """Begins to draw the chart in file formats too, for a ``save`` that comes later."""
        if "png" in formats:
            _ = self._png

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the chart as PNG or SVG, as the suffix of ``path`` says.

        Raises:
            UsageError: the suffix is neither ``.png`` nor ``.svg``.
        """
        target = Path(path)
        match target.suffix.lower():
            case ".png":
                target.write_bytes(self.png)
            case ".svg":
                target.write_text(self.svg, encoding="utf-8", newline="\n")
            case suffix:
                raise UsageError(
                    f"{target.name}: a chart is saved as .png or .svg, got {suffix or 'no suffix'}"
                )


def altair_chart(chart: Spec) -> alt.TopLevelMixin:
    """A Vega-Lite document as an Altair chart, which notebooks show and which can be changed and saved."""
    import altair as alt
    from altair.utils.schemapi import debug_mode

    kinds: dict[str, Any] = {
        "layer": alt.LayerChart,
        "vconcat": alt.VConcatChart,
        "concat": alt.ConcatChart,
        "spec": alt.FacetChart,
    }
    kind = next((kinds[name] for name in kinds if name in chart), alt.Chart)
    with debug_mode(False):  # tests check each chart against the schema, which takes as long as to draw it
        made: alt.TopLevelMixin = kind.from_dict(chart, validate=False)
    return made


def prepare() -> None:
    """Starts the converter in the background, so that a first chart need not wait for it."""
    _svg_thread().submit(_converter)


# The converter has one engine of JavaScript, which a thread keeps busy; pixels are made beside it.
@cache
def _svg_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "loadlens-svg")


@cache
def _png_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, "loadlens-png")


@cache
def _converter() -> Any:
    """The converter, started; None where it would end the process."""
    if _is_short_of_address_space():
        logging.getLogger(__name__).warning(
            "no charts are drawn: drawing takes %d GiB of address space, and this process is limited to less "
            "(ulimit -v); all figures are as ever",
            _LEAST_ADDRESS_SPACE // 2**30,
        )
        return None
    converter = _vl_convert()
    converter.warm_up_workers()
    return converter


@cache
def _vl_convert() -> Any:
    """The converter's library, without its remarks: on lines of one point, on fonts that are not there."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)
    import vl_convert

    return vl_convert


def _drawn(chart: Spec) -> str:
    converter = _converter()
    if converter is None:
        return _NO_PICTURE
    document = json.dumps(chart)
    svg: str = converter.vegalite_to_svg(document, vl_version=VEGA_LITE.rpartition(".")[0])
    return _with_ids_of_its_own(svg, document)


def _with_ids_of_its_own(svg: str, document: str) -> str:
    """The same picture, whose gradients are named by what is drawn.

    Vega numbers them through a process. So they would tell what was drawn before.
    """
    found = list(dict.fromkeys(_GRADIENT.findall(svg)))
    if not found:
        return svg
    name = f"{zlib.crc32(document.encode()):08x}"
    return _GRADIENT.sub(lambda match: f"gradient_{name}_{found.index(match[0])}", svg)


def _pixels(svg: str) -> bytes:
    png: bytes = _vl_convert().svg_to_png(svg, scale=_SCALE)  # which reserves no addresses
    return png


def _is_short_of_address_space() -> bool:
    """Whether the converter would end the process, as it reserves far more addresses than it ever uses."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE
