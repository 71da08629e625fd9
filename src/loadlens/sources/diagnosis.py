"""After a failed read: which file was at fault, and why."""

from collections.abc import Iterable

import polars as pl

from loadlens.sources.columnar import scan_files
from loadlens.sources.files import DataFile
from loadlens.sources.storage.location import RemotePath, secrets_of
from loadlens.sources.storage.secrets import reason_of

__all__ = ["explain"]


def explain(files: Iterable[DataFile], name: str, error: BaseException) -> list[str]:
    """One line for each file that cannot be parsed, or what the reader said where none is found."""
    problems = [problem for file in files if (problem := _explain_file(file))]
    return problems or [f"{name}: cannot be read: {reason_of(error)}"]


def _explain_file(file: DataFile) -> str:
    try:
        path = file.path.anew() if isinstance(file.path, RemotePath) else file.path
        if not path.exists():
            return f"{file.path}: has disappeared while it was read"
        if file.kind == "text":
            return ""
        scan_files([file]).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        return f"{file.path}: is damaged: {reason_of(error, secrets_of(file.path))}"
    return ""
