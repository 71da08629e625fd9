"""A results folder of the reference toolkit: which parts are there, and what it asked of the endpoint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from loadlens.errors import InputError
from loadlens.sources.finding import INVOCATION_LOG_STEM
from loadlens.sources.forms import newest_form
from loadlens.sources.storage.location import Location, PathSource, location
from loadlens.sources.wording import shortened

__all__ = [
    "EXAMPLES_NAME",
    "RAW_FOLDER",
    "ToolkitFolder",
    "average_request_size",
    "find_toolkit_folder",
]

Part = Literal["stability", "concurrency"]
RAW_FOLDER: dict[Part, str] = {
    "stability": "stability_benchmark_raw_results",
    "concurrency": "concurrency_benchmark_raw_results",
}
EXAMPLES_NAME = "invoke_args_examples.jsonl"


@dataclass(frozen=True, kw_only=True)
class ToolkitFolder:
    """The parts of a results folder; a part that is not there is None.

    Attributes:
        path: the folder.
        stability: invocation log of the stability benchmark.
        stability_metrics: its endpoint metrics.
        concurrency: invocation log of the concurrency benchmark.
        concurrency_metrics: its endpoint metrics.
        examples: the example requests, as JSON Lines.
        notes: which of several forms of a file is read, one sentence each.
    """

    path: Location
    stability: Location | None
    stability_metrics: Location | None
    concurrency: Location | None
    concurrency_metrics: Location | None
    examples: Location | None
    notes: tuple[str, ...] = ()


def find_toolkit_folder(path: PathSource, options: Mapping[str, str] | None = None) -> ToolkitFolder | None:
    """Recognises a results folder by its raw folders; ``options`` are those of object stores.

    Raises:
        InputError: a raw folder without an invocation log, or example requests as a pickle.
    """
    folder = location(path, options)
    if not any(_is_folder(folder / raw) for raw in RAW_FOLDER.values()):
        return None
    try:
        return _parts_in(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _parts_in(folder: Location) -> ToolkitFolder:
    notes: list[str] = []
    logs = {part: _log(folder / raw, notes) for part, raw in RAW_FOLDER.items()}
    return ToolkitFolder(
        path=folder,
        stability=logs["stability"],
        stability_metrics=_table(folder / RAW_FOLDER["stability"], "endpoint_metrics", notes),
        concurrency=logs["concurrency"],
        concurrency_metrics=_table(folder / RAW_FOLDER["concurrency"], "endpoint_metrics", notes),
        examples=_examples(folder),
        notes=tuple(notes),
    )


def _is_folder(path: Location) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # what is wrong is told when it is opened
        return False


def _table(folder: Location, stem: str, notes: list[str]) -> Location | None:
    path, note = newest_form(folder / f"{stem}{suffix}" for suffix in (".parquet", ".csv"))
    notes += [note] if note else []
    return path


def _log(folder: Location, notes: list[str]) -> Location | None:
    if not folder.is_dir():
        return None
    log = _table(folder, INVOCATION_LOG_STEM, notes)
    if log is None:
        raise InputError(f"{folder}: holds no invocation log; expected {INVOCATION_LOG_STEM}.csv or .parquet")
    return log


def _examples(folder: Location) -> Location | None:
    path = folder / EXAMPLES_NAME
    if path.exists():
        return path
    for other in sorted(folder.glob("invoke_args_examples.*")):
        raise InputError(
            f"{other}: example requests are read only as JSON Lines; write {EXAMPLES_NAME} with one object "
            f"with a Body a line (a pickle may run code, so it is refused)"
        )
    return None


def average_request_size(path: PathSource) -> float:
    """Mean size in bytes of the UTF-8 payloads (``Body``) of a JSON Lines file of example requests.

    Raises:
        InputError: a pickle, a line that is no object with a text ``Body``, or no line at all.
    """
    file = location(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    if data[:1] == b"\x80":
        raise InputError(f"{file}: is a Python pickle, which may run code; write the requests as JSON Lines")
    lines = [(number, line) for number, line in enumerate(data.splitlines(), start=1) if line.strip()]
    if not lines:
        raise InputError(f"{file}: is empty; expected one JSON object with a Body a line")
    return sum(_body_size(file, number, line) for number, line in lines) / len(lines)


def _body_size(file: Location, number: int, line: bytes) -> int:
    try:
        request = json.loads(line)
    except ValueError:  # invalid JSON or invalid UTF-8
        raise InputError(f"{file}, line {number}: is not JSON: {shortened(line[:60])}") from None
    body = request.get("Body") if isinstance(request, dict) else None
    if not isinstance(body, str):
        raise InputError(
            f"{file}, line {number}: expected an object with a text Body, got {shortened(request)}"
        )
    return len(body.encode("utf-8", errors="surrogatepass"))
