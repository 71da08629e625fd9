"""Logs of any kind as one canonical Parquet file."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Final

import polars as pl

from loadlens.errors import InputError, OutputError
from loadlens.sources import Findings, Log, Reading, TooManyRejectsError, open_log, reading
from loadlens.sources.files import FACTS

__all__ = ["convert", "rejects_beside"]

_ROWS: Final = "rows.parquet"
_REJECTS: Final = "rejects.csv"


def convert(
    inputs: Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    reading: Reading | None = None,
    overwrite: bool = False,
) -> Findings:
    """Writes logs as one Parquet file of canonical columns, in the order of the logs, without sorting.

    Rejected rows go to a CSV file beside it. The facts of the source (files, sizes, formats, what was
    rejected or left out, what the log cannot tell) are in the file's metadata under ``loadlens``, as JSON.

    Args:
        inputs: paths, folders and globs of logs.
        out: the file to appear; it appears whole or not at all.
        reading: how the logs are read.
        overwrite: whether an existing file, and the one of its rejected rows, is replaced.

    Returns:
        What was rejected or left out.

    Raises:
        InputError: an input cannot be read, or too many of its rows were rejected; then only the file of
            rejected rows appears.
        OutputError: ``out`` or the file beside it exists and may not be replaced, is an input, or cannot be
            written.
    """
    path = Path(out)
    log = open_log(inputs, reading=reading)
    _refuse(path, log, overwrite=overwrite)
    with _staging(path) as folder:
        try:
            _write(log, folder / _ROWS)
        except TooManyRejectsError as error:
            _publish_rejects(error.findings, folder, path)
            raise InputError(*error.problems, f"{rejects_beside(path)}: has all rejected rows") from None
        _publish_rejects(log.findings, folder, path)
        (folder / _ROWS).replace(path)
    return log.findings


def rejects_beside(path: Path) -> Path:
    """Where the rejected rows of a converted log go."""
    return path.with_name(f"{path.stem}.rejects.csv")


def _refuse(path: Path, log: Log, *, overwrite: bool) -> None:
    for target, what in ((path, "a Parquet file"), (rejects_beside(path), "another file")):
        if target.is_dir():
            raise OutputError(f"{target}: is a folder; name {what}")
        if any(_is_same(file.path, target) for file in log.files):
            raise OutputError(f"{target}: is one of the inputs; name another file")
        if target.exists() and not overwrite:
            raise OutputError(f"{target}: exists; pass --overwrite (overwrite=True) to replace it")


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or (other.exists() and one.samefile(other))


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` to write into, which goes in the end, with the parents made for nothing."""
    made: list[Path] = []
    try:
        made += [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".partial", dir=path.parent) as name:
            yield Path(name)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        for folder in made:
            with suppress(OSError):  # no longer empty, or never made
                folder.rmdir()


def _publish_rejects(findings: Findings, folder: Path, path: Path) -> None:
    """Puts the rejected rows beside ``path``; without any, none of an earlier run stay there."""
    if not findings.rejected:
        rejects_beside(path).unlink(missing_ok=True)
        return
    findings.write_rejects(folder / _REJECTS)
    (folder / _REJECTS).replace(rejects_beside(path))


def _write(log: Log, path: Path) -> None:
    with reading(log):
        # Text obeys the rules as soon as it is parsed; a typed file is as it is.
        problems = log.broken_rules() if len(log.text) < max(len(log.files), 1) else []
        if problems:
            raise InputError(*problems)
        # Polars asks for the metadata when all rows are written, and so all that was found is known.
        log.frame.sink_parquet(
            path, metadata=lambda _: {FACTS: _facts(log)}, maintain_order=True, engine="streaming"
        )
    if not pl.scan_parquet(path, glob=False).select(pl.len()).collect().item():
        raise InputError(log.without_rows())


def _facts(log: Log) -> str:
    dialects = {file.path: file.dialect.name for file in log.text}
    facts = {
        "version": version("loadlens"),
        "sources": [
            {"file": str(file.path), "bytes": file.size, "format": dialects.get(file.path, file.kind)}
            for file in log.files
        ],
        "key": list(log.key),
        **log.findings.document(),
    }
    return json.dumps(facts)
