"""An output folder appears whole or not at all."""

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from loadlens.disk import (
    FREE_OUTPUT_SPACE,
    FREE_TEMPORARY_SPACE,
    refusing_full_disk,
    temporary_folder,
    unused_path,
)
from loadlens.errors import OutputError
from loadlens.sources import Location, PathSource, RemotePath, location
from loadlens.upload import refuse_read_only, upload_folder

__all__ = [
    "existing_paths",
    "move_to",
    "publish_file",
    "publish_files",
    "publish_folder",
    "refuse_file",
    "refuse_files",
    "refuse_output_inside",
    "staging_beside",
    "write_text",
]


def publish_folder(out: Location, write: Callable[[Path], None], *, overwrite: bool = False) -> None:
    """Lets ``write`` fill a folder beside ``out``, then renames it to ``out``.

    Whatever goes wrong, and whenever, ``out`` is as it was before and nothing else is left behind; in an
    object store, which has no rename, see ``upload_folder``.

    Args:
        out: the folder to appear; its parents are made.
        write: fills the folder that it is given.
        overwrite: whether an existing ``out`` is replaced.

    Raises:
        OutputError: ``out`` exists and may not be replaced, or cannot be written.
    """
    if isinstance(out, RemotePath):
        upload_folder(out, write, overwrite=overwrite)
        return
    made: list[Path] = []
    try:
        _refuse_existing(out, overwrite=overwrite)
        made += [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
        out.parent.mkdir(parents=True, exist_ok=True)
        _publish(out, write)
    except BaseException as error:
        for folder in made:
            with suppress(OSError):  # never made, or no longer empty: somebody else uses it by now
                folder.rmdir()
        if isinstance(error, OSError):
            raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
        raise


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out}: is not a folder; choose another output folder")
    if out.exists() and not overwrite and any(out.iterdir()):
        raise OutputError(f"{out}: exists; pass --overwrite (overwrite=True) to replace it")


def _publish(out: Path, write: Callable[[Path], None]) -> None:
    staging = unused_path(out.parent, prefix=f".{out.name}.", suffix=".partial")
    old = staging / "old"
    try:
        staging.mkdir(mode=0o700)
        new = staging / "new"
        with refusing_full_disk(out, FREE_OUTPUT_SPACE):
            new.mkdir()
            write(new)
        _swap(new, out, old)
    finally:
        if out.exists() or not old.exists():
            try:
                shutil.rmtree(staging, ignore_errors=True)
            finally:  # a second interrupt may have come in the way of the first time
                shutil.rmtree(staging, ignore_errors=True)


def _swap(new: Path, out: Path, old: Path) -> None:
    """Renames ``new`` to ``out``, moving what was there out of the way first and back on failure."""
    try:
        if out.exists():
            out.rename(old)
        new.rename(out)
    except BaseException as error:
        if old.exists() and not out.exists():
            _bring_back(old, out, error)
        raise


def _bring_back(old: Path, out: Path, error: BaseException) -> None:
    try:
        old.rename(out)
    except OSError:
        raise OutputError(f"{out}: cannot be written: {error}; its old content is in {old}") from error


def refuse_output_inside(out: Location, inputs: Iterable[Location]) -> None:
    """Raises an OutputError if ``out`` is, lies in, or holds one of the inputs."""
    for item in inputs:
        if _overlap(out.resolve(), item.resolve()):
            raise OutputError(f"{out}: overlaps the input {item}; choose an output folder outside it")


def _overlap(target: Location, source: Location) -> bool:
    if isinstance(target, Path) and isinstance(source, Path):
        return (source.is_dir() and target.is_relative_to(source)) or source.is_relative_to(target)
    if isinstance(target, RemotePath) and isinstance(source, RemotePath):
        return target.is_relative_to(source) or source.is_relative_to(target)
    return False


def publish_file(
    out: Location, write: Callable[[Path], None], inputs: Iterable[object], *, overwrite: bool = False
) -> None:
    """Lets ``write`` make a file beside ``out``, then renames it to ``out``.

    Args:
        out: the file to appear; its parents are made.
        write: makes the file that it is given.
        inputs: what is read, and must not be replaced.
        overwrite: whether an existing file is replaced.

    Raises:
        OutputError: ``out`` exists and may not be replaced, is an input, or cannot be written.
    """
    refuse_file(out, inputs, overwrite=overwrite)
    with staging_beside(out) as folder:
        write(folder / out.name)
        move_to(folder / out.name, out)


def publish_files(files: Sequence[tuple[Path, Callable[[Path], None]]]) -> None:
    """Lets writers make files, then puts all of them in their places; what is there is replaced.

    Args:
        files: the files to appear, their parents made, and what makes the file that it is given.

    Raises:
        OutputError: one cannot be written; then all stay as they were, unless the system stops between two.
    """
    with ExitStack() as staging:
        made = []
        for path, write in files:
            made.append(staging.enter_context(staging_beside(path)) / path.name)
            write(made[-1])
        for (path, _), part in zip(files, made, strict=True):
            try:
                part.replace(path)
            except OSError as error:
                raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def refuse_files(paths: Sequence[Path], inputs: Iterable[object]) -> None:
    """Raises an OutputError if one of several files to be written is a folder or an input, or named twice."""
    read = list(inputs)
    for path in paths:
        refuse_file(path, read, overwrite=True)
    doubled = [
        path for number, path in enumerate(paths) if any(_is_same(path, one) for one in paths[:number])
    ]
    if doubled:
        raise OutputError(f"{doubled[0]}: is named for two outputs; name two files")


def refuse_file(out: Location, inputs: Iterable[object], *, overwrite: bool) -> None:
    """Raises an OutputError if ``out`` is a folder or an input, or exists and may not be replaced."""
    if isinstance(out, RemotePath):
        refuse_read_only(out)
    try:
        is_folder, exists = out.is_dir(), out.exists()
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    if is_folder:
        raise OutputError(f"{out}: is a folder; name a file")
    if any(isinstance(path, Path | RemotePath) and _is_same(path, out) for path in inputs):
        raise OutputError(f"{out}: is one of the inputs; name another file")
    if exists and not overwrite:
        raise OutputError(f"{out}: exists; pass --overwrite (overwrite=True) to replace it")


def move_to(file: Path, out: Location) -> None:
    """Puts a file that is complete into its place, where it appears whole or not at all."""
    if isinstance(out, RemotePath):
        out.put(file)
    else:
        file.replace(out)


def _is_same(one: Location, other: Location) -> bool:
    if isinstance(one, RemotePath) or isinstance(other, RemotePath):
        return one == other
    return one.resolve() == other.resolve() or (other.exists() and one.samefile(other))


@contextmanager
def staging_beside(out: Location) -> Iterator[Path]:
    """A folder beside ``out`` to write into, which goes in the end, with the parents made for nothing.

    For an object store it is a temporary folder on the disk.

    Raises:
        OutputError: something cannot be written.
    """
    made: list[Path] = []
    try:
        if isinstance(out, RemotePath):
            full = refusing_full_disk(tempfile.gettempdir(), FREE_TEMPORARY_SPACE)
            with temporary_folder() as folder, full:
                yield folder
            return
        made += [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = temporary_folder(out.parent, prefix=f".{out.name}.", suffix=".partial")
        with staging as folder, refusing_full_disk(out, FREE_OUTPUT_SPACE):
            yield folder
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        for folder in made:
            with suppress(OSError):  # no longer empty, or never made
                folder.rmdir()


def existing_paths(sources: Iterable[PathSource]) -> list[Location]:
    """What paths and globs lead to: everything that is read, so that an output does not land on it."""
    return [path for source in sources for path in _existing(location(source))]


def _existing(source: Location) -> Iterator[Location]:
    if isinstance(source, RemotePath):
        yield source  # of a glob, its text lies below the same folder as all that it matches
        return
    matches = glob.glob(str(source), recursive=True)  # noqa: PTH207  # patterns may be absolute
    for text in (str(source), *matches):
        if os.path.exists(text):  # noqa: PTH110  # False, not an error, for odd names
            yield Path(text)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text with the line ends that it has."""
    path.write_text(text, encoding="utf-8", newline="\n")
