"""What requests are called in tables: names as they were logged, but for secrets, queries of URLs and ids."""

from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from loadlens.dialects.base import without_credentials
from loadlens.messages import counted, shortened
from loadlens.text.typed_rows import Parsed

__all__ = ["JoinedNames", "Naming", "many_labels", "with_ids_replaced"]

_URL: Final = r"(?is)^((?:[^\n]* / )?(?:https?|wss?)://[^\s?#]*)"
"""The beginning of a name that is an absolute URL, perhaps after the groups around a request."""

_CUTS: Final = (
    (rf"{_URL}\?[^\s#]*", "${1}"),
    (rf"{_URL}(#[/!][^\s?]*)\?\S*", "${1}${2}"),
    (rf"{_URL}#(?:[^\s/!]\S*|$)", "${1}"),
)
"""Queries; those within a fragment that is a route, such as ``#/login``; fragments that are none."""

_SERVER: Final = r"(?s)^(?P<server>.*?[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*)?(?P<path>.*)$"
_UUID: Final = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_SHORTEST_HEX: Final = 8
_HEX: Final = "|".join(
    [
        *(f"[A-Fa-f]{{{n}}}[0-9][0-9A-Fa-f]{{{_SHORTEST_HEX - 1 - n},}}" for n in range(_SHORTEST_HEX)),
        f"[A-Fa-f]{{{_SHORTEST_HEX},}}[0-9][0-9A-Fa-f]*",
    ]
)
"""Hexadecimal digits of which at least one is no letter, as words such as ``effaced`` have none."""

_NUMBERS: Final = "[0-9]+(?:[-_,;~][0-9]+)*"
_SEGMENT: Final = rf"/(?:{_UUID}|{_HEX}|{_NUMBERS})(\.[A-Za-z][A-Za-z0-9]*)?([/?#\s]|$)"
_PART: Final = rf"([/_=,;~-])(?:{_UUID}|{_HEX}|[0-9]{{3,}})([/_=,;~?#&.\s-]|$)"

_MOST_NAMES: Final = 2**20

_FEWEST_MANY = 20
_MANY_IN_ANY_LOG = 1000
_SHARE_OF_CALLS = 20  # a twentieth
_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class JoinedNames:
    """Names that are absolute URLs and what they became, in bounded memory.

    Attributes:
        pairs: hashes of each different name and of its label, and whether they differ.
        is_full: whether there were more names than are kept.
    """

    pairs: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(
            schema={"label": pl.UInt64, "name": pl.UInt64, "is_cut": pl.Boolean}
        )
    )
    is_full: bool = False

    @classmethod
    def of(cls, names: pl.Series, labels: pl.Series) -> "JoinedNames":
        """Of different names and what each became."""
        pairs = pl.DataFrame(
            {"label": labels.hash(), "name": names.hash(), "is_cut": names.ne_missing(labels)}
        )
        return cls(pairs=pairs)

    def __or__(self, other: "JoinedNames") -> "JoinedNames":
        if self.is_full or other.pairs.is_empty():
            return self
        pairs = pl.concat([self.pairs, other.pairs]).unique()
        return JoinedNames(pairs=pairs.head(_MOST_NAMES), is_full=other.is_full or pairs.height > _MOST_NAMES)

    def sentence(self) -> str:
        """How many names became one by a cut, for people; nothing where none did."""
        labels = self.pairs.filter("is_cut").get_column("label").unique()
        names = self.pairs.filter(pl.col("label").is_in(labels.implode())).height
        if names == labels.len():
            return ""
        most = "more than " if self.is_full else ""
        became = counted(labels.len(), "label")
        return (
            f"queries and fragments are cut from names that are absolute URLs: {most}{names:,} names became "
            f"{became}; keep them with --keep-query (keep_query=True)"
        )


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How the names of requests become labels.

    A name that a user gave stays as it is. Queries and fragments of absolute URLs are cut, as tools log
    them raw, and credentials are masked in any name.

    Attributes:
        cuts: whether absolute URLs lose query and fragment; a fragment that is a route (``#/login``) stays.
        template: whether ids in paths become ``{id}``.
    """

    cuts: bool = True
    template: bool = False

    def of(self, name: pl.Expr) -> pl.Expr:
        """The labels of a column of names."""
        return name.map_batches(self.labels, return_dtype=pl.String(), is_elementwise=True)

    def labels(self, names: pl.Series) -> pl.Series:
        """The label of each name; null stays null."""
        return self._named(names)[0]

    def parsed(self, part: Parsed) -> tuple[Parsed, JoinedNames | None]:
        """``part`` with labels in the place of names, and what its names that are URLs became, if any are."""
        if "label" not in part.rows.columns:
            return part, None
        names = part.rows.get_column("label")
        labels, joined = self._named(names)
        if labels is not names:
            part = replace(part, rows=part.rows.with_columns(labels))
        return part, joined

    def _named(self, names: pl.Series) -> tuple[pl.Series, JoinedNames | None]:
        suspect = names.str.contains_any(["://", "=", "@", *(["/"] if self.template else [])])
        if not suspect.any():
            return names, None
        # Names repeat: each is looked at once.
        found = names.filter(suspect).unique()
        cut = self._cut(found)
        is_url = found.str.contains(_URL)
        has_cut = self.cuts and is_url.any()
        joined = JoinedNames.of(found.filter(is_url), cut.filter(is_url)) if has_cut else None
        labels = cut.to_frame("name").select(without_credentials(pl.col("name"))).to_series()
        labels = with_ids_replaced(labels) if self.template else labels
        if (labels == found).all():
            return names, joined
        return names.replace(found, labels), joined

    def _cut(self, names: pl.Series) -> pl.Series:
        if not self.cuts:
            return names
        for pattern, kept in _CUTS:
            names = names.str.replace(pattern, kept)
        return names


def with_ids_replaced(names: pl.Series) -> pl.Series:
    """Names with ``{id}`` in the place of numbers, UUIDs and hexadecimal runs in their paths.

    A segment of a path that is a number (or several, such as ``2026-03-01``), a UUID, or at least 8
    hexadecimal digits of which one is no letter is replaced, before a suffix such as ``.json`` too. Within a
    segment or a query, what stands between ``- _ = , ; ~`` is replaced as well, numbers from 3 digits on.
    Servers and ports stay, as do ``/v2/`` and ``/face/``.
    """
    parts = names.to_frame("name").select(pl.col("name").str.extract_groups(_SERVER)).unnest("name")
    path = pl.col("path")
    # Of two neighbours the first takes the character between them: the second is found the second time.
    for pattern, replacement in ((_SEGMENT, "/{id}${1}${2}"), (_PART, "${1}{id}${2}")) * 2:
        path = path.str.replace_all(pattern, replacement)
    has_path = pl.col("path").str.contains("/", literal=True)
    server = pl.col("server").fill_null("")
    label = server + pl.when(has_path).then(path).otherwise("path")
    return parts.select(label).to_series().alias(names.name)


def many_labels(labels: pl.Series, calls: int) -> str:
    """What to do about labels that are too many to be compared; nothing where they are not.

    They are where there are 20 or more and as many as a twentieth of the calls, or 1,000 or more; and where
    a template would at least halve them, or it is both.

    Args:
        labels: the labels of all calls, as often as it may be.
        calls: how many calls there are.
    """
    labels = labels.drop_nulls().unique()
    count = labels.len()
    is_share = count >= _FEWEST_MANY and count * _SHARE_OF_CALLS >= calls
    if not is_share and count < _MANY_IN_ANY_LOG:
        return ""
    replaced = with_ids_replaced(labels)
    kept = replaced.n_unique()
    has_ids = 2 * kept <= count
    if not has_ids and not (is_share and count >= _MANY_IN_ANY_LOG):
        return ""
    examples = labels.filter(replaced != labels) if has_ids else labels
    shown = without_credentials(pl.lit(examples.sort().head(_EXAMPLES)))
    names = ", ".join(map(shortened, pl.select(shown).to_series()))
    became = counted(kept, "label remains", "labels remain")
    advice = (
        f"--label-template (label_template=True) writes the ids in them as {{id}}: {became}"
        if has_ids
        else "name calls by their route where they are logged, or group by another column with --by"
    )
    return f"{count:,} different labels in {calls:,} calls, such as {names}; {advice}"
