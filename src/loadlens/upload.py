"""Results in object stores, which have no rename: made on the disk, then uploaded with the documents last."""

import tempfile
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from loadlens.disk import FREE_TEMPORARY_SPACE, refusing_full_disk, temporary_folder
from loadlens.errors import OutputError
from loadlens.replacing import refuse_replacing
from loadlens.sources import RemotePath

__all__ = ["refuse_read_only", "upload_folder"]


def upload_folder(
    out: RemotePath, write: Callable[[Path], None], *, overwrite: bool, own_files: Collection[str] = ()
) -> None:
    """Lets ``write`` fill a temporary folder, then uploads it below ``out``.

    The JSON document at the top, such as ``summary.json``, is the last to appear and the first to go: where
    it is, all is there. What a failed upload has written is removed.

    Args:
        out: the folder to appear.
        write: fills the folder that it is given.
        overwrite: whether what lies below ``out`` is replaced, if loadlens wrote it.
        own_files: names of files that mark a folder of nothing else as written by loadlens.

    Raises:
        OutputError: something is there and may not be replaced, or the store does not take the files.
    """
    refuse_read_only(out)
    try:
        there = _refuse_existing(out, overwrite=overwrite, own_files=own_files)
        with temporary_folder() as folder:
            with refusing_full_disk(tempfile.gettempdir(), FREE_TEMPORARY_SPACE):
                write(folder)
            _upload(folder, out, there)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error


def refuse_read_only(out: RemotePath) -> None:
    """Raises an OutputError if ``out`` is on a web server."""
    if not out.is_writable:
        raise OutputError(
            f"{out}: web servers are only read; name a folder, or a prefix such as s3://bucket/folder"
        )


def _refuse_existing(out: RemotePath, *, overwrite: bool, own_files: Collection[str]) -> list[RemotePath]:
    """What lies below ``out`` and is to be replaced."""
    if out.is_file():
        raise OutputError(f"{out}: is not a folder; choose another output folder")
    there = out.rglob()
    if there:
        names = {path.key.removeprefix(f"{out.key}/"): path for path in there}
        refuse_replacing(
            out, names, lambda name: names[name].open(), overwrite=overwrite, own_files=own_files
        )
    return there


def _upload(folder: Path, out: RemotePath, there: Iterable[RemotePath]) -> None:
    files = {out / file.relative_to(folder): file for file in sorted(folder.rglob("*")) if file.is_file()}
    order = sorted(files, key=lambda target: _is_document(target, out))
    _remove(old for old in there if _is_document(old, out))
    done: list[RemotePath] = []
    try:
        for target in order:
            done.append(target)
            target.put(files[target])
    except BaseException:
        for target in done:
            with suppress(OSError):  # what has stopped the upload may stop this too
                target.unlink()
        raise
    _remove(old for old in there if old not in files)


def _is_document(path: RemotePath, out: RemotePath) -> bool:
    return path.suffix == ".json" and path.parent == out


def _remove(paths: Iterable[RemotePath]) -> None:
    for path in paths:
        path.unlink()
