"""What requests and errors are called: without what tells one call from another, and without secrets."""

from typing import Final

import polars as pl

__all__ = [
    "error_class",
    "filled",
    "numberless",
    "without_credentials",
]

_MAX_CLASS_CHARACTERS: Final = 60


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


def error_class(message: pl.Expr, until: str = "") -> pl.Expr:
    r"""The class of errors of that message: how it begins, in up to 60 characters, without secrets.

    Queries of URLs are cut and credentials masked, wherever they stand.

    Args:
        message: what went wrong.
        until: characters that end a class, as within brackets of a regular expression, such as ``\n:(``.
    """
    bare = without_credentials(message.str.replace_all(r"(//[^\s?#]*)[?#]\S*", "$1"))
    kept = rf"[^{until}]" if until else "."
    return bare.str.extract(rf"(?s)^\s*({kept}{{1,{_MAX_CLASS_CHARACTERS}}})")


def numberless(text: pl.Expr) -> pl.Expr:
    """Messages with ``N`` for every number, so that ids and ports do not make an error class each."""
    return text.str.replace_all(r"\d+", "N")


def filled(text: pl.Expr) -> pl.Expr:
    """``text`` without blanks around it; null where nothing is left."""
    text = text.str.strip_chars()
    return pl.when(text != "").then(text)
