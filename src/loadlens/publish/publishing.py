"""Outputs appear whole or not at all, on disks and in stores, and replace only what loadlens wrote."""

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Final, NoReturn

from loadlens.errors import InputError, OutputError
from loadlens.logs import TooManyRejectsError
from loadlens.storage.folders import (
    FREE_OUTPUT_SPACE,
    FREE_TEMPORARY_SPACE,
    claimed_folder,
    exchange,
    refusing_full_disk,
    temporary_folder,
)
from loadlens.storage.location import Location, PathSource, RemotePath, location

__all__ = [
    "existing_paths",
    "files_below",
    "move_to",
    "publish_file",
    "publish_files",
    "publish_folder",
    "publish_rejects",
    "refuse_file",
    "refuse_files",
    "refuse_output_inside",
    "refuse_read_only",
    "refuse_replacing",
    "rejects_of_folder",
    "staging_beside",
    "upload_folder",
    "write_text",
]


_MARK: Final = "loadlens_version"
"""What the JSON document at the top of a folder holds if loadlens wrote the folder."""

_OWN_FILES: Final = (
    # analyze
    "summary.csv",
    "summary.json",
    "quality.csv",
    "failures.csv",
    "timeline.csv",
    "load.csv",
    "measures.csv",
    "apdex.csv",
    "corrected.csv",
    "report.html",
    "rejects.csv",
    "charts/*.png",
    "charts/*.svg",
    # analyze, of a results folder of the toolkit
    "*_summary_results/*.csv",
    "*_summary_results/*.png",
    "*_summary_results/*.svg",
    "benchmarking_report/benchmarking_report.html",
    # compare
    "comparison.csv",
    "comparison.json",
    "keys.csv",
    "only_in_base.csv",
    "only_in_candidate.csv",
    "base_rejects.csv",
    "candidate_rejects.csv",
    # cost
    "costs.csv",
    "monthly.csv",
    "break_even.csv",
    "choice.json",
    # gates
    "gates.csv",
    "gates.json",
    "gates.md",
    "junit.xml",
    # demo
    "*_raw_results/*.csv",
    "*_raw_results/*.parquet",
    "invoke_args_examples.jsonl",
)
"""Every file that loadlens writes into a folder."""

_SHOWN: Final = 3
_LARGEST_DOCUMENT: Final = 2**28  # bytes; a larger one is not read, and so marks nothing

_LEAST_SPACE: Final = 2**13  # bytes; less than any output takes
_STREAMS: Final = frozenset({"/dev/stdin", "/dev/stdout", "/dev/stderr"})


def files_below(folder: Path) -> list[str]:
    """The files in a folder and its subfolders, and links, by their paths in it."""
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    ]


def refuse_replacing(
    out: object,
    files: Collection[str],
    open_file: Callable[[str], IO[bytes]],
    *,
    overwrite: bool,
    own_files: Collection[str] = (),
) -> None:
    """Raises an OutputError if a folder that has something in it may not be replaced.

    Args:
        out: the folder, for messages.
        files: the files in it.
        open_file: opens one of them.
        overwrite: whether the caller wants it replaced.
        own_files: names of files that mark a folder of nothing else as written by loadlens.
    """
    if not overwrite:
        raise OutputError(f"{out}: exists; pass --overwrite (overwrite=True) to replace it")
    if files and set(files) <= set(own_files):
        return
    if not any(_is_marked(open_file, name) for name in files if name.endswith(".json") and "/" not in name):
        raise OutputError(
            f"{out}: was not written by loadlens, so --overwrite (overwrite=True) does not replace it; "
            f"choose another output folder, or remove it first"
        )
    foreign = sorted(name for name in files if not any(fnmatchcase(name, own) for own in _OWN_FILES))
    if foreign:
        more = f" and {len(foreign) - _SHOWN:,} more" if len(foreign) > _SHOWN else ""
        raise OutputError(
            f"{out}: holds files that loadlens did not write: {', '.join(foreign[:_SHOWN])}{more}; "
            f"move them, or choose another output folder"
        )


def _is_marked(open_file: Callable[[str], IO[bytes]], name: str) -> bool:
    try:
        with open_file(name) as file:
            document = json.loads(file.read(_LARGEST_DOCUMENT))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and _MARK in document


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


def publish_folder(
    out: Location,
    write: Callable[[Path], None],
    *,
    overwrite: bool = False,
    own_files: Collection[str] = (),
    exchange: Callable[[Path, Path], bool] = exchange,
) -> None:
    """Lets ``write`` fill a folder beside ``out``, then puts it in the place of ``out``.

    Whatever goes wrong, and whenever, ``out`` is as it was before, and at most the hidden folder
    ``.NAME.partial`` is left beside it, which the next call for the same ``out`` tidies up. Only what
    loadlens wrote is replaced: a folder whose JSON document says so and that holds nothing else. In an
    object store, which has no rename, see ``upload_folder``.

    Args:
        out: the folder to appear; its parents are made.
        write: fills the folder that it is given.
        overwrite: whether an existing ``out`` is replaced.
        own_files: names of files that mark a folder of nothing else as written by loadlens; for folders
            without a document.
        exchange: exchanges two paths in one step; says False where the system cannot.

    Raises:
        OutputError: ``out`` exists and may not be replaced, is being written by another run, or cannot be
            written.
    """
    if isinstance(out, RemotePath):
        upload_folder(out, write, overwrite=overwrite, own_files=own_files)
        return
    _refuse_folder(out, overwrite=overwrite, own_files=own_files)
    with _workplace(out) as workplace:
        _bring_back(workplace / "old", out)
        _refuse_folder(out, overwrite=overwrite, own_files=own_files)  # it may be back just now
        new = workplace / "new"
        new.mkdir()
        write(new)
        _refuse_folder(out, overwrite=overwrite, own_files=own_files)
        _put(new, out, workplace / "old", exchange, overwrite=overwrite)


def _refuse_folder(out: Path, *, overwrite: bool, own_files: Collection[str]) -> None:
    """Raises an OutputError if ``out`` is no folder, cannot be renamed, or may not be replaced."""
    try:
        _refuse_unmovable(out)
        files = files_below(out) if out.exists() and any(out.iterdir()) else None
    except OSError as error:
        raise _unwritable(out, error) from error
    if files is not None:
        refuse_replacing(
            out, files, lambda name: (out / name).open("rb"), overwrite=overwrite, own_files=own_files
        )


def _refuse_unmovable(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out}: is not a folder; choose another output folder")
    if out.resolve().is_mount():
        raise OutputError(f"{out}: is a mount point, which cannot be replaced; name a folder in it")
    if Path.cwd().is_relative_to(out.resolve()):
        raise OutputError(f"{out}: is or holds the current folder; name a folder in it")


def _put(new: Path, out: Path, old: Path, exchange: Callable[[Path, Path], bool], *, overwrite: bool) -> None:
    """Puts ``new`` in the place of ``out``, in one step where the system can do so.

    A folder takes the place of none or of an empty one in any case, and of nothing else unasked.
    """
    if not overwrite or not out.exists():
        if os.name == "nt" and out.exists():
            out.rmdir()
        new.rename(out)
        return
    if exchange(new, out):
        return
    out.rename(old)
    try:
        new.rename(out)
    except BaseException:
        _bring_back(old, out)
        raise


def _bring_back(old: Path, out: Path) -> None:
    """Brings back what a run had moved out of the way before it failed, or was killed."""
    if not old.exists() or out.exists():
        return
    try:
        old.rename(out)
    except OSError as error:
        kept = old.parent.with_name(f"{out.name}.old")
        old.rename(kept)
        raise OutputError(f"{out}: cannot be written: {error}; its old content is in {kept}") from error


def rejects_of_folder(out: Location) -> Location:
    """Where the rejected rows go of a log that has too many of them: beside the output, not in it."""
    return out.with_name(f"{out.name}.rejects.csv")


def publish_rejects(
    error: TooManyRejectsError, path: Location, *, overwrite: bool, safe: bool = False
) -> NoReturn:
    """Publishes the rejected rows and raises ``error`` with a line that says where they are.

    Args:
        error: has the rows.
        path: the file to appear.
        overwrite: whether an existing one is replaced.
        safe: whether cells that a spreadsheet takes for formulas are disarmed.

    Raises:
        InputError: always.
    """
    where = f"{path}: has {error.findings.listed}"
    try:
        publish_file(
            path, lambda file: error.findings.write_rejects(file, safe=safe), (), overwrite=overwrite
        )
    except OutputError as unwritten:
        where = f"the rejected rows are not written: {unwritten}"
    raise InputError(*error.problems, where) from None


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
    """Raises an OutputError if ``out`` is no file or is an input, or exists and may not be replaced."""
    if isinstance(out, RemotePath):
        refuse_read_only(out)
    try:
        is_folder, exists = out.is_dir(), out.exists()
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    if is_folder:
        raise OutputError(f"{out}: is a folder; name a file")
    if isinstance(out, Path) and exists and (_is_stream(out) or not out.is_file()):
        raise OutputError(
            f"{out}: is a device, a pipe or a stream, in whose place a file would stand; name a file"
        )
    if any(isinstance(path, Path | RemotePath) and _is_same(path, out) for path in inputs):
        raise OutputError(f"{out}: is one of the inputs; name another file")
    if exists and not overwrite:
        raise OutputError(f"{out}: exists; pass --overwrite (overwrite=True) to replace it")


def _is_stream(out: Path) -> bool:
    """Whether a path is that of an open stream of this process, whatever it leads to."""
    where = str(out.absolute())
    return where in _STREAMS or where.startswith(("/dev/fd/", "/proc/"))


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
        OutputError: something cannot be written, or another run is writing ``out``.
    """
    if isinstance(out, Path):
        with _workplace(out) as workplace:
            yield workplace
        return
    try:
        full = refusing_full_disk(tempfile.gettempdir(), FREE_TEMPORARY_SPACE)
        with temporary_folder() as folder, full:
            yield folder
    except OSError as error:
        raise _unwritable(out, error) from error


@contextmanager
def _workplace(out: Path) -> Iterator[Path]:
    """The one hidden folder beside ``out`` that a run works in, so that two runs do not write ``out``."""
    made = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    workplace = out.parent / f".{out.name}.partial"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with claimed_folder(workplace), refusing_full_disk(out, FREE_OUTPUT_SPACE):
            _tidy(workplace)
            yield workplace
    except BlockingIOError as error:
        raise OutputError(
            f"{out}: another run is writing it; wait until that has ended, or name another place"
        ) from error
    except OSError as error:
        raise _unwritable(out, error) from error
    finally:
        for folder in made:
            with suppress(OSError):  # no longer empty, or never made
                folder.rmdir()


def _tidy(workplace: Path) -> None:
    """Removes what a killed run has left, but for an old output; tries whether the disk takes anything."""
    for path in workplace.iterdir():
        if path.name != "old":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    tried = workplace / "space"
    tried.write_bytes(bytes(_LEAST_SPACE))
    tried.unlink()


def _unwritable(out: Location, error: OSError) -> OutputError:
    return OutputError(f"{out}: cannot be written: {error.strerror or error}")


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
