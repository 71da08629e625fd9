"""An output folder appears whole or not at all."""

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from os import PathLike
from pathlib import Path

from loadlens.errors import OutputError

__all__ = ["existing_paths", "publish_folder", "refuse_output_inside", "write_text"]


def publish_folder(out: Path, write: Callable[[Path], None], *, overwrite: bool = False) -> None:
    """Lets ``write`` fill a folder beside ``out``, then renames it to ``out``.

    Whatever goes wrong, and whenever, ``out`` is as it was before and nothing else is left behind.

    Args:
        out: the folder to appear; its parents are made.
        write: fills the folder that it is given.
        overwrite: whether an existing ``out`` is replaced.

    Raises:
        OutputError: ``out`` exists and may not be replaced, or cannot be written.
    """
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
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    old = staging / "old"
    try:
        new = staging / "new"
        new.mkdir()
        write(new)
        _swap(new, out, old)
    finally:
        if out.exists() or not old.exists():
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


def refuse_output_inside(out: Path, inputs: Iterable[Path]) -> None:
    """Raises an OutputError if ``out`` is, lies in, or holds one of the inputs."""
    target = out.resolve()
    for item in inputs:
        source = item.resolve()
        inside = source.is_dir() and target.is_relative_to(source)
        if inside or source.is_relative_to(target):
            raise OutputError(f"{out}: overlaps the input {item}; choose an output folder outside it")


def existing_paths(sources: Iterable[str | PathLike[str]]) -> list[Path]:
    """What paths and globs lead to: everything that is read, so that an output does not land on it."""
    named = [path for source in sources for path in (source, *_matches(str(source)))]
    return [Path(path) for path in named if os.path.exists(path)]  # noqa: PTH110  # False, not an error, for odd names


def _matches(pattern: str) -> list[str]:
    return glob.glob(pattern, recursive=True)  # noqa: PTH207  # patterns may be absolute


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text with the line ends that it has."""
    path.write_text(text, encoding="utf-8", newline="\n")
