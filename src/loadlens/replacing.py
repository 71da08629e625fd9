"""What an output may replace: only what loadlens wrote."""

import json
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Final

from loadlens.errors import OutputError

__all__ = ["files_below", "refuse_replacing"]

_MARK: Final = "loadlens_version"
"""What the JSON document at the top of a folder holds if loadlens wrote the folder."""

_OWN_FILES: Final = (
    # analyze
    "summary.csv",
    "summary.json",
    "quality.csv",
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
    # demo
    "*_raw_results/*.csv",
    "*_raw_results/*.parquet",
    "invoke_args_examples.jsonl",
)
"""Every file that loadlens writes into a folder."""

_SHOWN: Final = 3
_LARGEST_DOCUMENT: Final = 2**28  # bytes; a larger one is not read, and so marks nothing


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
