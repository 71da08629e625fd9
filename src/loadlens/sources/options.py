"""How files are read, as callers say it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Annotated, Final, cast

from loadlens.errors import UsageError
from loadlens.keywords import Takes, checked_arguments, checked_options
from loadlens.sources.dialects import dialect_called
from loadlens.sources.dialects.base import Level
from loadlens.sources.findings import MaxRejects
from loadlens.sources.mapping import ColumnMap
from loadlens.sources.names import NameKeys
from loadlens.sources.names import key_from_name as compile_name_keys
from loadlens.sources.storage.secrets import StorageOptions

__all__ = ["Level", "Reading"]

_STORAGE: Final = Takes(
    lambda value: isinstance(value, StorageOptions),
    "StorageOptions; Reading.of makes them of plain values",
    is_secret=True,
)


@checked_options
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read.

    Attributes:
        format: the name of the dialect of text files; without it, their content tells.
        column_map: which columns of any table are what, in the place of a dialect.
        level: what a row is where a log has both: a request or a transaction.
        keep_query: whether names that are absolute URLs keep query and fragment.
        label_template: whether ids in the paths of labels become ``{id}``.
        name_keys: columns that the names of files tell.
        max_rejects: how many rows may be rejected.
        force: whether calls that several files hold may count several times.
        spill_folder: where standard input and pipes are kept while they are read.
        storage_options: options of object stores, such as ``aws_region``, under the names of Polars.
    """

    format: str | None = None
    column_map: ColumnMap | None = None
    level: Level = "requests"
    keep_query: bool = False
    label_template: bool = False
    name_keys: NameKeys | None = None
    max_rejects: MaxRejects = field(default_factory=MaxRejects)
    force: bool = False
    spill_folder: Path | None = None
    storage_options: Annotated[StorageOptions, _STORAGE] = field(default_factory=StorageOptions)

    def __post_init__(self) -> None:
        """Raises a UsageError for a dialect that there is none of, and a level beside a map of columns."""
        if self.format is not None:
            dialect_called(self.format)
        if self.column_map and self.level != "requests":
            raise UsageError(
                f"level: {self.level} cannot be told by a map of columns; leave out --level or --map"
            )

    @classmethod
    @checked_arguments()
    def of(
        cls,
        *,
        format: str | None = None,  # noqa: A002  # the name that the command line has for it
        column_map: ColumnMap | Iterable[str] | None = None,
        no_header: bool = False,
        level: str = "requests",
        keep_query: bool = False,
        label_template: bool = False,
        key_from_name: str | None = None,
        max_rejects: str | int = 0,
        force: bool = False,
        spill_folder: str | PathLike[str] | None = None,
        storage_options: Mapping[str, str] | Iterable[str] | None = None,
    ) -> "Reading":
        """Understands what a caller says; see ``read_log``.

        Raises:
            UsageError: an argument cannot be understood.
        """
        return cls(
            format=format,
            column_map=_column_map(column_map, no_header=no_header),
            level=cast("Level", level),
            keep_query=keep_query,
            label_template=label_template,
            name_keys=None if key_from_name is None else compile_name_keys(key_from_name),
            max_rejects=MaxRejects.parse(str(max_rejects)),
            force=force,
            spill_folder=None if spill_folder is None else Path(spill_folder),
            storage_options=StorageOptions.parse(storage_options),
        )


def _column_map(given: ColumnMap | Iterable[str] | None, *, no_header: bool) -> ColumnMap | None:
    if no_header and given is None:
        raise UsageError(
            "no_header: without a map of columns a log's content tells whether it has a header; "
            "leave out --no-header, or say which column is what with --map latency=c1:ms"
        )
    if given is None or isinstance(given, ColumnMap):
        return replace(given, no_header=True) if given and no_header else given
    entries = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not all(isinstance(entry, str) for entry in entries):
        raise UsageError(f"column_map: got {given!r}, expected texts such as ['latency=elapsed:ms']")
    return ColumnMap.parse(entries, no_header=no_header)
