"""What requests and errors are called: without what tells one call from another, and without secrets."""

from typing import Final

import polars as pl

from loadlens.sources.parsed import spread

__all__ = [
    "MAX_CLASS_CHARACTERS",
    "filled",
    "numberless",
    "request_name",
    "url_name",
    "without_credentials",
]

MAX_CLASS_CHARACTERS: Final = 60
"""How much of a message becomes the class of an error."""


def url_name(url: pl.Expr) -> pl.Expr:
    """A URL without user and password, query string and fragment, any of which may hold a token.

    Text that is no URL is cut at ``?`` all the same, but not at ``#``; null becomes an empty text.
    """
    path = url.fill_null("").str.extract(r"(?s)^([^?]*)").str.replace(r"(?s)^([^#]*/[^#]*)#.*$", "$1")
    return path.str.replace(r"(^|:)//[^/\s]*@", "${1}//")


def request_name(name: pl.Expr) -> pl.Expr:
    """A request's name, cut as by ``url_name`` where it is a URL or has a query string; null is empty."""
    return name.fill_null("").map_batches(_cut_urls, return_dtype=pl.String(), is_elementwise=True)


def _cut_urls(names: pl.Series) -> pl.Series:
    # Not an expression, as that would look for the characters once for each place that asks for them.
    suspect = names.str.contains_any(["?", "@", "#"])
    if not suspect.any():
        return names
    name, where = pl.col("name"), pl.col("where")
    chosen = name.filter(where)
    is_url = chosen.str.contains(r"^[A-Za-z][\w+.-]*://|^/|\?[^?\s=]+=")
    cut = spread(pl.when(is_url).then(url_name(chosen)).otherwise(chosen), where)
    frame = pl.DataFrame([names.alias("name"), suspect.alias("where")])
    return frame.select(pl.coalesce(cut, name)).to_series()


_USER = r"//[^/?#\s]*@"
_CREDENTIAL = (
    r"(?i)([?&#;](?:[\w.-]*(?:token|secret|passw|pwd|signature|credential|api[_-]?key)[\w.-]*"
    r"|sig|auth|authorization)=)[^&#;\s]*"
)


def without_credentials(text: pl.Expr) -> pl.Expr:
    """Text whose URLs have no user and password, and ``***`` in the place of tokens, keys and signatures."""
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
