"""What requests and errors are called: without what tells one call from another, and without secrets."""

from typing import Final

import polars as pl

__all__ = [
    "MAX_CLASS_CHARACTERS",
    "filled",
    "numberless",
    "without_credentials",
]

MAX_CLASS_CHARACTERS: Final = 60
"""How much of a message becomes the class of an error."""


_USER = r"//[^/?#\s]*@"
_CREDENTIAL = (
    r"(?i)([?&#;](?:[\w.-]*(?:token|secret|passw|pwd|signature|credential|api[_-]?key|jwt|session[_-]?id)"
    r"[\w.-]*|sig|auth|authorization)=)[^&#;\s\[{<$:*][^&#;\s]*"
)


def without_credentials(text: pl.Expr) -> pl.Expr:
    """Text whose URLs have no user and password, and ``***`` in the place of tokens, keys and signatures.

    A placeholder, such as ``token=[token]`` or ``token=${}``, is none of these.
    """
    return text.map_batches(_without_credentials, return_dtype=pl.String(), is_elementwise=True)


def _without_credentials(text: pl.Series) -> pl.Series:
    if not text.str.contains_any(["@", "="]).any():
        return text
    return text.str.replace_all(_USER, "//").str.replace_all(_CREDENTIAL, "${1}***")


def numberless(text: pl.Expr) -> pl.Expr:
    """Messages with ``N`` for every number, so that ids and ports do not make an error class each."""
    return text.str.replace_all(r"\d+", "N")


def filled(text: pl.Expr) -> pl.Expr:
    """``text`` without blanks around it; null where nothing is left."""
    text = text.str.strip_chars()
    return pl.when(text != "").then(text)
