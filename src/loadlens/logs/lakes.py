"""Delta and Iceberg tables: which files are part of one today is for the table to say, not for its folder."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

import polars as pl

from loadlens.errors import InputError, LoadlensError, UsageError
from loadlens.storage.location import Location, RemotePath, locations, secrets_of
from loadlens.storage.secrets import reason_of

__all__ = [
    "PARTS_OF_TABLES",
    "TableFiles",
    "TableKind",
    "inspect_table",
    "scan_table",
    "table_kind",
    "table_roots",
]

TableKind = Literal["delta", "iceberg"]

_DELTA_LOG: Final = "_delta_log"
_METADATA_FOLDER: Final = "metadata"
_METADATA: Final = ".metadata.json"
PARTS_OF_TABLES: Final = ("data", _METADATA_FOLDER, _DELTA_LOG)
"""Names of folders in tables."""
_NUMBER: Final = re.compile(r"v?(\d+)")
_TITLES: Final[Mapping[str, str]] = {"delta": "a Delta", "iceberg": "an Iceberg"}
_ICEBERG_OPTIONS: Final[Mapping[str, str]] = {
    "aws_endpoint_url": "s3.endpoint",
    "aws_endpoint": "s3.endpoint",
    "aws_region": "s3.region",
    "aws_access_key_id": "s3.access-key-id",
    "aws_secret_access_key": "s3.secret-access-key",
    "aws_session_token": "s3.session-token",
    "azure_storage_account_name": "adls.account-name",
    "azure_storage_account_key": "adls.account-key",
    "azure_storage_sas_key": "adls.sas-token",
}
"""The names that PyIceberg has for options of object stores."""


@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """What a table consists of in one of its versions.

    Attributes:
        version: the number of a Delta table's version, or the name of an Iceberg table's metadata file.
        size: bytes of its data files.
        largest: bytes of the largest of them.
        files: where they are.
    """

    version: str
    size: int
    largest: int
    files: tuple[Location, ...]


def table_kind(path: Location) -> TableKind | None:
    """What kind of table a folder is, or an Iceberg metadata file; None for everything else."""
    if path.name.endswith(_METADATA) and path.parent.name == _METADATA_FOLDER:
        return "iceberg"
    if (path / _DELTA_LOG).is_dir():
        return "delta"
    return "iceberg" if _metadata_files(path) else None


def table_roots(files: Iterable[PurePath]) -> set[PurePath]:
    """The folders among the parents of ``files`` that are tables."""
    return {
        file.parent.parent
        for file in files
        if file.parent.name == _DELTA_LOG
        or (file.parent.name == _METADATA_FOLDER and file.name.endswith(_METADATA))
    }


def _metadata_files(table: Location) -> list[Location]:
    return list((table / _METADATA_FOLDER).glob(f"*{_METADATA}"))


def inspect_table(path: Location, kind: TableKind) -> TableFiles:
    """Finds out which files the table has now.

    Raises:
        InputError: it cannot be read, or has several newest versions.
        UsageError: what reads such tables is not installed.
    """
    with _told(path, kind):
        return _inspect_delta(path) if kind == "delta" else _inspect_iceberg(path)


def _inspect_delta(path: Location) -> TableFiles:
    from deltalake import DeltaTable

    table = DeltaTable(_address(path), storage_options=_options(path))
    sizes = pl.DataFrame(table.get_add_actions(flatten=True))["size_bytes"].cast(pl.Int64)
    options = path.store.options if isinstance(path, RemotePath) else None
    return TableFiles(
        version=str(table.version()),
        size=int(sizes.sum()),
        largest=int(sizes.max() or 0),  # type: ignore[arg-type]  # whole numbers
        files=tuple(locations(table.file_uris(), options)),
    )


def _inspect_iceberg(path: Location) -> TableFiles:
    from pyiceberg.table import StaticTable

    metadata = _newest_metadata(path)
    table = StaticTable.from_metadata(_address(metadata), properties=_iceberg_options(path) or {})
    files = [task.file for task in table.scan().plan_files()]
    sizes = [file.file_size_in_bytes for file in files]
    options = path.store.options if isinstance(path, RemotePath) else None
    return TableFiles(
        version=metadata.name,
        size=sum(sizes),
        largest=max(sizes, default=0),
        files=tuple(locations((file.file_path.removeprefix("file://") for file in files), options)),
    )


def _newest_metadata(path: Location) -> Location:
    if path.name.endswith(_METADATA):
        return path
    found = {file: _number(file.name) for file in _metadata_files(path)}
    newest = sorted(file.name for file, number in found.items() if number == max(found.values()))
    if len(newest) > 1:
        raise InputError(
            f"{path}: has {len(newest)} newest versions: {', '.join(newest)}; name the one that the catalog "
            f"knows, as {path / _METADATA_FOLDER / newest[0]}"
        )
    return path / _METADATA_FOLDER / newest[0]


def _number(name: str) -> int:
    found = _NUMBER.match(name)
    return int(found[1]) if found else -1


def scan_table(path: Location, kind: TableKind, version: str) -> pl.LazyFrame:
    """Scans one version of a table, without the rows that are deleted in it."""
    with _told(path, kind):
        if kind == "delta":
            return pl.scan_delta(_address(path), version=int(version), storage_options=_options(path))
        metadata = path if path.name == version else path / _METADATA_FOLDER / version
        return pl.scan_iceberg(_address(metadata), storage_options=_iceberg_options(path))


def _address(path: Location) -> str:
    return path.url if isinstance(path, RemotePath) else str(path.resolve())


def _options(path: Location) -> dict[str, str] | None:
    return dict(path.store.options) or None if isinstance(path, RemotePath) else None


def _iceberg_options(path: Location) -> dict[str, str] | None:
    given = _options(path)
    return {_ICEBERG_OPTIONS.get(name, name): value for name, value in given.items()} if given else None


@contextmanager
def _told(path: Location, kind: TableKind) -> Iterator[None]:
    """Turns what the readers of tables raise into errors that name the table and no secret."""
    title = _TITLES[kind]
    try:
        yield
    except ImportError:
        raise UsageError(
            f"{path}: is {title} table; install what reads it with: pip install 'loadlens[{kind}]'"
        ) from None
    except LoadlensError:
        raise
    except Exception as error:  # noqa: BLE001  # they raise many types without a common base
        raise InputError(
            f"{path}: is {title} table that cannot be read: {reason_of(error, secrets_of(path))}"
        ) from None
