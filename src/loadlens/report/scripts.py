"""Style and scripts of the page, and the data that scripts read.

The scripts are plain JavaScript, written by hand: small modules of one subject each, put together in one
element. What they need is little, sums over arrays and a few lines in SVG. A framework or a chart library
would be larger than all of them, would have to be updated in every page that was ever sent, and few get along
with a policy that forbids all but one script and one style.
"""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Final

__all__ = ["digest", "inert_json", "script_text", "text_of"]

_MODULES: Final = (
    "dom",
    "format",
    "unpack",
    "figures",
    "selection",
    "address",
    "tables",
    "overview",
    "keys",
    "scales",
    "charts",
    "views",
    "load",
    "failures",
    "live",
    "page",
)
"""What uses another comes after it."""


@cache
def text_of(name: str) -> str:
    """A file of this room as it is."""
    return (resources.files("loadlens.report") / name).read_text(encoding="utf-8")


@cache
def script_text() -> str:
    """All modules as one script, in a scope of its own."""
    modules = "\n".join(text_of(f"script/{name}.js") for name in _MODULES)
    return f'"use strict";\n{{\n{modules}}}\n'


@cache
def digest(text: str) -> str:
    """The name by which a content security policy allows an inline style or script."""
    found = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(found).decode('ascii')}"


def inert_json(text: str) -> str:
    """JSON that no parser of HTML takes for more than text."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
