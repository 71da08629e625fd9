"""Logs of any kind as one canonical Parquet file."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Final

import polars as pl

from loadlens.engine import on_good_rows
from loadlens.errors import InputError
from loadlens.logs import Findings, Log, Reading, Source, TooManyRejectsError, open_log, reading
from loadlens.logs.files import CHECKSUM, FACTS
from loadlens.logs.metadata import SOURCES, content_of
from loadlens.profile import UnusableRowsError
from loadlens.profile.progress import Limits
from loadlens.publish.publishing import move_to, publish_rejects, refuse_file, staging_beside
from loadlens.schema import breaks_one_of
from loadlens.storage.checksum import write_checksum
from loadlens.storage.folders import FREE_OUTPUT_SPACE, refusing_full_disk
from loadlens.storage.location import Location, PathSource, target

__all__ = ["convert", "rejects_beside"]

_ROWS: Final = "rows.parquet"
_REJECTS: Final = "rejects.csv"


def convert(
    inputs: Source,
    out: PathSource,
    *,
    reading: Reading | None = None,
    overwrite: bool = False,
    memory_limit: int | None = None,
) -> Findings:
    """Writes logs as one Parquet file of canonical columns, in the order of the logs, without sorting.

    Rejected rows go to a CSV file beside it. The facts of the source (files, sizes, formats, what was
    rejected or left out, what the log cannot tell) are in the file's metadata under ``loadlens``, as JSON.

    Args:
        inputs: paths, folders and globs of logs, or a log that is open.
        out: the file to appear; it appears whole or not at all.
        reading: how the logs are read; its options of object stores hold for ``out`` too.
        overwrite: whether an existing file, and the one of its rejected rows, is replaced.
        memory_limit: bytes that the row groups which are read at once have to fit into half of.

    Returns:
        What was rejected or left out.

    Raises:
        InputError: an input cannot be read, or too many of its rows were rejected; then only the file of
            rejected rows appears.
        OutputError: ``out`` or the file beside it exists and may not be replaced, is an input, or cannot be
            written.
    """
    path = target(out, reading.storage_options if reading else None)
    log = open_log(inputs, reading=reading)
    if log.saved:
        raise InputError(f"{log.saved[0].file.path}: is a saved profile, which has no rows to convert")
    Limits.of(memory_limit).refuse_huge_row_groups(log.files)
    log.refuse_copies(log.key)
    inputs_read = [file.path for file in log.files]
    for place in (path, rejects_beside(path)):
        refuse_file(place, inputs_read, overwrite=overwrite)
    with staging_beside(path) as folder:
        try:
            on_good_rows(log, lambda rows: _write(rows, folder / _ROWS, path))
        except TooManyRejectsError as error:
            publish_rejects(error, rejects_beside(path), overwrite=overwrite)
        log.refuse_copies(log.key)  # which the calls alone tell
        _publish_rejects(log.findings, folder, path)
        move_to(folder / _ROWS, path)
    return log.findings


def rejects_beside(path: Location) -> Location:
    """Where the rejected rows of a converted log go."""
    return path.with_name(f"{path.stem}.rejects.csv")


def _publish_rejects(findings: Findings, folder: Path, path: Location) -> None:
    """Puts the rejected rows beside ``path``; without any, none of an earlier run stay there."""
    beside = rejects_beside(path)
    if findings.rejected:
        findings.write_rejects(folder / _REJECTS)
        move_to(folder / _REJECTS, beside)
    elif beside.exists():  # whoever may write to a store may perhaps not delete
        beside.unlink(missing_ok=True)


def _write(log: Log, path: Path, out: Location) -> None:
    with reading(log):
        # Text obeys the rules as soon as it is parsed; a typed file is as it is.
        if log.open_rules and _any_broken(log):
            raise UnusableRowsError
        # Polars asks for the metadata when all rows are written, and so all that was found is known.
        with refusing_full_disk(out, FREE_OUTPUT_SPACE):
            log.frame.sink_parquet(
                path, metadata=lambda _: _metadata(log), maintain_order=True, engine="streaming"
            )
        write_checksum(path)
    if not pl.scan_parquet(path, glob=False).select(pl.len()).collect().item():
        raise InputError(log.without_rows())


def _metadata(log: Log) -> dict[str, str]:
    contents = {str(file.path): content_of(file) for file in log.files}
    return {FACTS: _facts(log), SOURCES: json.dumps(contents), CHECKSUM: "sha256"}


def _any_broken(log: Log) -> bool:
    broken = log.frame.select(breaks_one_of(log.open_rules).any())
    return bool(broken.collect(engine="streaming").item())


def _facts(log: Log) -> str:
    dialects = {file.path: file.dialect.name for file in log.text}
    facts = {
        "version": version("loadlens"),
        "sources": [
            {"file": str(file.path), "bytes": file.size, "format": dialects.get(file.path, file.kind)}
            for file in log.files
        ],
        "key": list(log.key),
        "logged_times": list(log.logged_times),
        **log.findings.document(),
    }
    return json.dumps(facts)
