"""Keys that a file's name tells, such as the number of a run."""

from dataclasses import dataclass

import polars as pl

from loadlens.errors import InputError, UsageError
from loadlens.schema import CANONICAL_COLUMNS, CONFIGURATION_COLUMNS
from loadlens.sources.storage.location import Location
from loadlens.sources.wording import listed, shortened

__all__ = ["NameKeys", "key_from_name"]


@dataclass(frozen=True, kw_only=True)
class NameKeys:
    """A regular expression whose named groups become key columns of a file's rows.

    Polars' own, whose time grows with the name alone, whatever the expression.

    Attributes:
        pattern: the expression.
        columns: the key columns, all of them text, in the order of the groups.
    """

    pattern: str
    columns: tuple[str, ...]

    def values(self, path: Location) -> dict[str, str]:
        """What the name of a file says for each key column; a group that takes no part is empty.

        It is searched for in the file's own name first, then in the whole path as it was given.

        Raises:
            InputError: the name does not match, or tells no number for a column of whole numbers.
        """
        texts = pl.Series([text.encode(errors="replace").decode() for text in (path.name, path.as_posix())])
        matches = texts.str.contains(self.pattern)
        if not matches.any():
            raise InputError(
                f"{path}: its name does not match {self.pattern!r}, which gives the key "
                f"{listed(self.columns)}; rename it or leave it out"
            )
        found = texts.filter(matches).head(1).str.extract_groups(self.pattern).struct.unnest()
        values = {
            name: value or "" for name, value in found.row(0, named=True).items() if name in self.columns
        }
        for name in CONFIGURATION_COLUMNS:
            if name in values and not values[name].isdecimal():
                raise InputError(f"{path}: its name says {name} is {values[name]!r}, expected a whole number")
        return values


def key_from_name(pattern: str) -> NameKeys:
    r"""Understands a regular expression over file names, such as ``run_(?P<run>\d+)``.

    Raises:
        UsageError: it is none, or asks to look around or back, which takes time without a bound; it has no
            named group, or a group has the name of a canonical column other than those of the configuration.
    """
    if not isinstance(pattern, str):
        raise UsageError(f"key from name: got {pattern!r}, expected a regular expression as text")
    columns = _named_groups(pattern)
    if not columns:
        raise UsageError(
            rf"key from name {pattern!r}: has no named group; expected one such as (?P<run>\d+), of which "
            f"the name becomes the column"
        )
    taken = set(columns) & set(CANONICAL_COLUMNS) - set(CONFIGURATION_COLUMNS)
    if taken:
        raise UsageError(
            f"key from name {pattern!r}: the group {listed(taken)} has the name of a column of the log; "
            f"choose another name"
        )
    return NameKeys(pattern=pattern, columns=columns)


def _named_groups(pattern: str) -> tuple[str, ...]:
    """The names of groups; Polars calls the others by their numbers."""
    try:
        dtype = pl.select(pl.lit("").str.extract_groups(pattern)).to_series().dtype
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeEncodeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if line.startswith("error:")), lines[0])
        raise UsageError(
            f"key from name {shortened(pattern)}: is no regular expression: {reason.removeprefix('error: ')}"
        ) from error
    names = [field.name for field in dtype.fields] if isinstance(dtype, pl.Struct) else []
    return tuple(name for name in names if not name.isdecimal())
