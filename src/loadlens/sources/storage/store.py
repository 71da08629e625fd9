"""What every place beyond the disk offers: sizes, listings and bytes."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from loadlens.sources.storage.secrets import StorageOptions

__all__ = ["CHANGED", "ObjectFacts", "StorageError", "Store"]

CHANGED: Final = "has changed while it was read; read it again"


class StorageError(OSError):
    """A store does not give or take something; the text has no secrets."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EIO, reason)


@dataclass(frozen=True, kw_only=True)
class ObjectFacts:
    """What a store tells of an object.

    Attributes:
        size: bytes.
        etag: changes when the object does; empty where the store has none.
        modified_ns: when it was written, in ns since 1970; None where the store does not tell.
    """

    size: int
    etag: str = ""
    modified_ns: int | None = field(default=None, compare=False)  # listings are more precise than answers


class Store(Protocol):
    """A bucket, a container or a web server; whatever fails in it raises a StorageError."""

    @property
    def root(self) -> str:
        """Its address, without a slash at its end and without credentials."""

    @property
    def options(self) -> StorageOptions:
        """Its options, for Polars."""

    def shown(self, key: str) -> str:
        """The address of an object for people: without secrets."""

    def url(self, key: str) -> str:
        """The whole address of an object, for Polars and nobody else: it may hold a signature."""

    def facts(self, key: str) -> ObjectFacts | None:
        """What lies under ``key``; None if nothing does."""

    def below(self, prefix: str) -> Iterator[tuple[str, ObjectFacts]]:
        """The keys of all objects below a folder."""

    def chunks(self, key: str, facts: ObjectFacts) -> Iterator[bytes]:
        """The bytes of an object from its beginning, as long as it is the one that ``facts`` tell of."""

    def part(self, key: str, start: int, length: int) -> bytes:
        """Some bytes of an object."""
