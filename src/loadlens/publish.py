"""An output folder appears whole or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from loadlens.errors import OutputError

__all__ = ["publish_folder", "refuse_output_inside"]


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
    _refuse_existing(out, overwrite=overwrite)
    made = _make_parents(out.parent)
    try:
        _publish(out, write)
    except BaseException:
        for folder in made:
            with suppress(OSError):  # no longer empty: somebody else uses it by now
                folder.rmdir()
        raise


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out}: is not a folder; choose another output folder")
    if out.exists() and not overwrite and any(out.iterdir()):
        raise OutputError(f"{out}: exists; pass --overwrite (overwrite=True) to replace it")


def _make_parents(parent: Path) -> list[Path]:
    """Makes missing folders and returns those it made, the deepest first."""
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{parent}: cannot be made: {error.strerror}") from error
    return made


def _publish(out: Path, write: Callable[[Path], None]) -> None:
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise OutputError(f"{out.parent}: cannot be written: {error.strerror}") from error
    try:
        content = staging / "new"
        content.mkdir()
        write(content)
        _swap(content, out, staging / "old")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(new: Path, out: Path, old: Path) -> None:
    """Renames ``new`` to ``out``, moving what was there out of the way first and back on failure."""
    replaced = out.exists()
    try:
        if replaced:
            out.rename(old)
        new.rename(out)
    except BaseException as error:
        if old.exists() and not out.exists():
            old.rename(out)
        if isinstance(error, OSError):
            raise OutputError(f"{out}: cannot be written: {error.strerror}") from error
        raise


def refuse_output_inside(out: Path, inputs: Iterable[Path]) -> None:
    """Raises an OutputError if ``out`` is, lies in, or holds one of the inputs."""
    target = out.resolve()
    for item in inputs:
        source = item.resolve()
        inside = source.is_dir() and target.is_relative_to(source)
        if inside or source.is_relative_to(target):
            raise OutputError(f"{out}: overlaps the input {item}; choose an output folder outside it")
