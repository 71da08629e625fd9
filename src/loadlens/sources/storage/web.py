"""Files on web servers, read over HTTP with the addresses as they were given."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from loadlens.sources.storage.secrets import StorageOptions, reason_of, shown
from loadlens.sources.storage.store import CHANGED, ObjectFacts, StorageError

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["WEB_SCHEMES", "WebServer"]

WEB_SCHEMES: Final = ("http", "https")

_CHUNK_BYTES: Final = 2**20
_TIMEOUT_S: Final = 60
_PARTIAL: Final = 206
_NOT_THERE: Final = (404, 410)
_ALLOWED: Final = "/%:@!$&'()*+,;=~-._"  # what an address may hold as it is


@dataclass(frozen=True, kw_only=True)
class WebServer:
    """A web server, or the part of it that a signed address opens.

    Attributes:
        root: its address, without a slash at its end.
        query: what stands behind ``?`` in the address: often a signature, never to be shown.
    """

    root: str
    query: str = field(default="", repr=False)

    @property
    def options(self) -> StorageOptions:
        """None: web servers have no options."""
        return StorageOptions()

    def shown(self, key: str) -> str:
        """The address of a file for people: without its query."""
        return shown(self.url(key))

    def url(self, key: str) -> str:
        """The whole address of a file."""
        return f"{self.root}/{key}{self.query and '?'}{self.query}"

    def facts(self, key: str) -> ObjectFacts | None:
        """What lies under ``key``; None if nothing does."""
        # A signed address may allow GET alone, so HEAD is no way to ask.
        try:
            with self._response(key, "bytes=0-0") as response:
                return _facts(response)
        except FileNotFoundError:
            return None

    def below(self, prefix: str) -> Iterator[tuple[str, ObjectFacts]]:  # noqa: ARG002  # as other stores
        """Nothing: a web server lists no files."""
        return iter(())

    def chunks(self, key: str, facts: ObjectFacts) -> Iterator[bytes]:
        """The bytes of a file from its beginning, as long as it is the one that ``facts`` tell of."""
        with self._response(key) as response:
            if (response.headers.get("ETag") or "") != facts.etag:
                raise StorageError(CHANGED)
            while chunk := response.read(_CHUNK_BYTES):
                yield chunk

    def part(self, key: str, start: int, length: int) -> bytes:
        """Some bytes of a file."""
        with self._response(key, f"bytes={start}-{start + length - 1}") as response:
            if response.status != _PARTIAL:  # the server gives whole files only
                response.read(start)
            return response.read(length)

    @contextmanager
    def _response(self, key: str, extent: str = "") -> "Iterator[HTTPResponse]":
        import http.client
        import urllib.error
        import urllib.request

        address = f"{self.root}/{quote(key, safe=_ALLOWED)}{self.query and '?'}{self.query}"
        request = urllib.request.Request(address, headers={"Range": extent} if extent else {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310  # http or https
                yield response
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _NOT_THERE:
                raise FileNotFoundError(errno.ENOENT, "does not exist") from None
            raise StorageError(f"the server answers {error.code} {error.reason}") from None
        except StorageError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise StorageError(reason_of(error)) from None


def _facts(response: "HTTPResponse") -> ObjectFacts:
    told = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get(
        "Content-Length"
    )
    if not (told and told.isdecimal()):
        raise StorageError("the server does not tell the size of the file; download it first")
    return ObjectFacts(size=int(told), etag=response.headers.get("ETag") or "")
