"""Logs of any kind as one canonical Parquet file."""

import json
import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from os import PathLike
from pathlib import Path

import polars as pl

from loadlens.errors import InputError, OutputError
from loadlens.sources import Findings, Log, Reading, TooManyRejectsError, open_log, reading

__all__ = ["convert", "rejects_beside"]

_FACTS = "loadlens"


def convert(
    inputs: Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    reading: Reading | None = None,
    overwrite: bool = False,
) -> Findings:
    """Writes logs as one Parquet file of canonical columns, in the order of the logs, without sorting.

    Rejected rows go to a CSV file beside it. The facts of the source (files, sizes, formats, version) are
    in the file's metadata under ``loadlens``, as JSON.

    Args:
        inputs: paths, folders and globs of logs.
        out: the file to appear; it appears whole or not at all.
        reading: how the logs are read.
        overwrite: whether an existing file is replaced.

    Returns:
        What was rejected or left out.

    Raises:
        InputError: an input cannot be read, or too many of its rows were rejected.
        OutputError: ``out`` exists and may not be replaced, or cannot be written.
    """
    path = Path(out)
    log = open_log(inputs, reading=reading)
    _refuse(path, log, overwrite=overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    partial = Path(name)
    try:
        _write(log, partial)
        if log.findings.rejected:
            log.findings.write_rejects(rejects_beside(path))
        partial.replace(path)
    except TooManyRejectsError as error:
        error.findings.write_rejects(rejects_beside(path))
        raise InputError(*error.problems, f"{rejects_beside(path)}: has all rejected rows") from None
    finally:
        partial.unlink(missing_ok=True)
    return log.findings


def rejects_beside(path: Path) -> Path:
    """Where the rejected rows of a converted log go."""
    return path.with_name(f"{path.stem}.rejects.csv")


def _refuse(path: Path, log: Log, *, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a Parquet file")
    if any(file.path.resolve() == path.resolve() for file in log.files):
        raise OutputError(f"{path}: is one of the inputs; name another file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists; pass --overwrite (overwrite=True) to replace it")


def _write(log: Log, path: Path) -> None:
    facts = {
        "version": version("loadlens"),
        "sources": [{"file": str(file.path), "bytes": file.size, "format": file.kind} for file in log.files],
        "formats": sorted({file.dialect.name for file in log.text}),
        "key": list(log.key),
    }
    with reading(log):
        problems = log.broken_rules() if not log.text else []
        if problems:
            raise InputError(*problems)
        log.frame.sink_parquet(
            path, metadata={_FACTS: json.dumps(facts)}, maintain_order=True, engine="streaming"
        )
    if not pl.scan_parquet(path, glob=False).select(pl.len()).collect().item():
        raise InputError(f"{log.name}: has no rows")
