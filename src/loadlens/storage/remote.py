"""Object stores and web servers: sizes, listings and bytes."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from loadlens.errors import UsageError
from loadlens.storage.secrets import StorageOptions, reason_of, shown

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from obstore.store import AzureStore, GCSStore, S3Store

__all__ = ["CHANGED", "WEB_SCHEMES", "Bucket", "ObjectFacts", "StorageError", "Store", "WebServer"]


CHANGED: Final = "has changed while it was read; read it again"

_OBJECT_CHUNK_BYTES: Final = 4 * 2**20
_RETRIES: Final[dict[str, Any]] = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}
_OF_POLARS_ALONE: Final = ("file_cache_ttl", "max_retries", "retry_", "rate_")
_OF_A_CREDENTIAL: Final = ("key", "key_id", "token", "skip_signature")

WEB_SCHEMES: Final = ("http", "https")

_RESPONSE_CHUNK_BYTES: Final = 2**20
_TIMEOUT_S: Final = 60
_PARTIAL: Final = 206
_NOT_THERE: Final = (404, 410)
_ALLOWED: Final = "/%:@!$&'()*+,;=~-._"  # what an address may hold as it is


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


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket or container.

    Attributes:
        scheme: ``s3``, ``gs``, ``az`` and so on.
        authority: the name of the bucket, or ``container@account.host``.
        options: options of the store, under the names that Polars has for them.
    """

    scheme: str
    authority: str
    options: StorageOptions = field(default_factory=StorageOptions)

    def __getstate__(self) -> dict[str, Any]:
        return {"scheme": self.scheme, "authority": self.authority, "options": self.options}

    def __hash__(self) -> int:
        return hash(self.root)

    @property
    def root(self) -> str:
        """Its address."""
        return f"{self.scheme}://{self.authority}"

    def shown(self, key: str) -> str:
        """The address of an object for people."""
        return shown(self.url(key))

    def url(self, key: str) -> str:
        """The whole address of an object."""
        return f"{self.root}/{key}"

    def facts(self, key: str) -> ObjectFacts | None:
        """What lies under ``key``; None if nothing does."""
        with self._client() as client:
            try:
                return _facts_of_object(client.head(key))
            except FileNotFoundError:
                return None

    def below(self, prefix: str) -> Iterator[tuple[str, ObjectFacts]]:
        """The keys of all objects below a folder."""
        with self._client() as client:
            for chunk in client.list(prefix or None):
                # Consoles make an empty object of the folder's own name, to show an empty folder.
                yield from (
                    (item["path"], _facts_of_object(item)) for item in chunk if item["path"] != prefix
                )

    def chunks(self, key: str, facts: ObjectFacts) -> Iterator[bytes]:
        """The bytes of an object from its beginning, as long as it is the one that ``facts`` tell of."""
        with self._client() as client:
            found = client.get(key, options={"if_match": facts.etag} if facts.etag else {})
            if _facts_of_object(found.meta) != facts:  # not every store heeds the condition
                raise StorageError(CHANGED)
            yield from (bytes(chunk) for chunk in found.stream(_OBJECT_CHUNK_BYTES))

    def part(self, key: str, start: int, length: int) -> bytes:
        """Some bytes of an object."""
        with self._client() as client:
            return bytes(client.get_range(key, start=start, length=length))

    def put(self, key: str, file: Path) -> None:
        """Writes a local file under ``key``; the object appears whole or not at all."""
        with self._client() as client:
            client.put(key, file)

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; one that is not there does not matter."""
        with self._client() as client:
            for key in keys:
                try:
                    client.delete(key)
                except FileNotFoundError:
                    continue

    @contextmanager
    def _client(self) -> "Iterator[S3Store | GCSStore | AzureStore]":
        """The client; what it raises becomes a StorageError without secrets."""
        client = self._opened
        from obstore.exceptions import BaseError, PreconditionError

        try:
            yield client
        except StorageError:
            raise
        except PreconditionError:
            raise StorageError(CHANGED) from None
        except (BaseError, OSError, ValueError) as error:
            raise StorageError(reason_of(error, self.options.secrets)) from None

    @cached_property
    def _opened(self) -> "S3Store | GCSStore | AzureStore":
        try:
            from obstore import store
            from obstore.exceptions import BaseError
        except ImportError:
            raise UsageError(
                f"{self.root}: object stores need obstore; install it with: pip install 'loadlens[cloud]'"
            ) from None
        try:
            if self.scheme in {"s3", "s3a"}:
                return store.S3Store(self.authority, **self._settings, credential_provider=self._of_boto3())
            if self.scheme in {"gs", "gcs"}:
                return store.GCSStore(self.authority, **self._settings)
            return self._azure(store.AzureStore)
        except (BaseError, ValueError, TypeError) as error:
            reason = reason_of(error, self.options.secrets)
            raise UsageError(f"{self.root}: cannot be opened with these storage options: {reason}") from None

    def _azure(self, store: "type[AzureStore]") -> "AzureStore":
        settings = self._settings
        if "@" not in self.authority:
            return store(self.authority, **settings)
        # Its from_url panics at options of the connection, such as azure_allow_http.
        named = store.from_url(self.root).config
        given = settings["config"]
        config = {
            name: value for name, value in named.items() if not any(other.endswith(name) for other in given)
        }
        return store(**{**settings, "config": {**config, **given}})

    @property
    def _settings(self) -> dict[str, Any]:
        config = {
            name: value
            for name, value in self.options.items()
            if not name.startswith(_OF_POLARS_ALONE) and "." not in name  # s3.endpoint is Iceberg's
        }
        return {"config": config, "retry_config": _RETRIES}

    def _of_boto3(self) -> Any:  # a callable of obstore's
        """Where Polars looks for credentials too: boto3, if it is installed and no key is given."""
        if any(name.endswith(_OF_A_CREDENTIAL) for name in self.options):
            return None
        try:
            from obstore.auth.boto3 import Boto3CredentialProvider

            return Boto3CredentialProvider()
        except (ImportError, ValueError):  # not installed, or it finds none
            return None


def _facts_of_object(meta: Any) -> ObjectFacts:  # a dict of obstore's
    etag = meta["e_tag"] or ""
    if etag and not etag.endswith('"'):  # Azure's listings leave out the quotes that its other answers have
        etag = f'"{etag}"'
    written = meta.get("last_modified")
    modified_ns = round(written.timestamp() * 1000) * 10**6 if written else None
    return ObjectFacts(size=meta["size"], etag=etag, modified_ns=modified_ns)


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
                return _facts_of_response(response)
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
            while chunk := response.read(_RESPONSE_CHUNK_BYTES):
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


def _facts_of_response(response: "HTTPResponse") -> ObjectFacts:
    told = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get(
        "Content-Length"
    )
    if not (told and told.isdecimal()):
        raise StorageError("the server does not tell the size of the file; download it first")
    return ObjectFacts(size=int(told), etag=response.headers.get("ETag") or "")
