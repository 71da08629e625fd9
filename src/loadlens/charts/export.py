"""Charts to PNG and SVG, offline and the same bytes each time."""

import logging
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Final

import altair as alt
import vl_convert

from loadlens.errors import UsageError

__all__ = ["save_chart", "svg_text"]

_SCALE: Final = 2
# The converter carries several Vega-Lite versions; a spec is right for the one that Altair wrote it in.
_LEAST_ADDRESS_SPACE: Final = 96 * 2**30
_NO_PICTURE: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="460" height="40"><text x="10" y="25" '
    'font-family="sans-serif" font-size="14">Not drawn: address space is limited (ulimit -v)</text></svg>'
)
_VERSION: Final = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def svg_text(chart: alt.TopLevelMixin) -> str:
    """The chart as an SVG document, ready to stand inline in HTML."""
    return _rendered(chart.to_json(validate=False, indent=None))


@lru_cache(maxsize=32)
def _rendered(spec: str) -> str:
    """The SVG of a spec; a chart is often wanted twice, in a file and in a report."""
    if _is_short_of_address_space():
        _warn()
        return _NO_PICTURE
    return vl_convert.vegalite_to_svg(spec, vl_version=_VERSION, allowed_base_urls=[])


def _is_short_of_address_space() -> bool:
    """Whether the converter would end the process, as it reserves far more addresses than it ever uses."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE


@lru_cache(maxsize=1)  # told once
def _warn() -> None:
    logging.getLogger(__name__).warning(
        "no charts are drawn: drawing takes %d GiB of address space, and this process is limited to less "
        "(ulimit -v); all figures are as ever",
        _LEAST_ADDRESS_SPACE // 2**30,
    )


def save_chart(chart: alt.TopLevelMixin, path: str | PathLike[str]) -> None:
    """Writes the chart as PNG (two pixels for each point) or SVG, as the suffix of ``path`` says.

    Raises:
        UsageError: the suffix is neither ``.png`` nor ``.svg``.
    """
    target = Path(path)
    match target.suffix.lower():
        case ".png":
            target.write_bytes(_png(chart))
        case ".svg":
            target.write_text(svg_text(chart), encoding="utf-8", newline="\n")
        case suffix:
            raise UsageError(f"{target.name}: a chart is saved as .png or .svg, got {suffix or 'no suffix'}")


def _png(chart: alt.TopLevelMixin) -> bytes:
    return vl_convert.svg_to_png(svg_text(chart), scale=_SCALE)
