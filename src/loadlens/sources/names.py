"""Keys that a file's name tells, such as the number of a run."""

import re
from dataclasses import dataclass

from loadlens.errors import InputError, UsageError
from loadlens.schema import CANONICAL_COLUMNS, CONFIGURATION_COLUMNS
from loadlens.sources.storage.location import Location
from loadlens.sources.wording import listed

__all__ = ["NameKeys", "key_from_name"]


@dataclass(frozen=True, kw_only=True)
class NameKeys:
    """A regular expression whose named groups become key columns of a file's rows."""

    pattern: re.Pattern[str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The key columns, all of them text, in the order of the groups."""
        return tuple(self.pattern.groupindex)

    def values(self, path: Location) -> dict[str, str]:
        """What the name of a file says for each key column; a group that takes no part is empty.

        It is searched for in the file's own name first, then in the whole path as it was given.

        Raises:
            InputError: the name does not match, or tells no number for a column of whole numbers.
        """
        found = self.pattern.search(path.name) or self.pattern.search(path.as_posix())
        if not found:
            raise InputError(
                f"{path}: its name does not match {self.pattern.pattern!r}, which gives the key "
                f"{listed(self.columns)}; rename it or leave it out"
            )
        values = found.groupdict(default="")
        for name in CONFIGURATION_COLUMNS:
            if name in values and not values[name].isdecimal():
                raise InputError(f"{path}: its name says {name} is {values[name]!r}, expected a whole number")
        return values


def key_from_name(pattern: str) -> NameKeys:
    r"""Compiles a regular expression over file names, such as ``run_(?P<run>\d+)``.

    Raises:
        UsageError: it cannot be compiled, has no named group, or a group has the name of a canonical
            column other than those of the configuration.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"key from name {pattern!r}: is no regular expression: {error}") from error
    groups = compiled.groupindex
    if not groups:
        raise UsageError(
            rf"key from name {pattern!r}: has no named group; expected one such as (?P<run>\d+), of which "
            f"the name becomes the column"
        )
    taken = set(groups) & set(CANONICAL_COLUMNS) - set(CONFIGURATION_COLUMNS)
    if taken:
        raise UsageError(
            f"key from name {pattern!r}: the group {listed(taken)} has the name of a column of the log; "
            f"choose another name"
        )
    return NameKeys(pattern=compiled)
