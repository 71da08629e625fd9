"""From paths to opened files: what each of them is, and how its rows are scanned."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import polars as pl

from loadlens.errors import InputError
from loadlens.sources.columnar import canonical_frame, constant, raw_scan, scan_files
from loadlens.sources.dialects import detect, open_reader, refuse_transactions
from loadlens.sources.dialects.generic import mapped_dialect, mapped_frame
from loadlens.sources.dialects.toolkit import LOADLENS_CSV
from loadlens.sources.files import DataFile, hive_columns, inspect_columns, kind_of
from loadlens.sources.options import Reading
from loadlens.sources.storage.location import Location, of_each
from loadlens.sources.storage.stamps import modified_ns
from loadlens.sources.text.log import TextFile
from loadlens.sources.text.stream import read_head
from loadlens.sources.wording import listed

__all__ = ["as_data_file", "inspect_all", "scan_tabular", "text_file"]


def inspect_all(paths: Sequence[Location], options: Reading) -> tuple[list[DataFile], list[TextFile]]:
    """The columnar files and the text files among ``paths``, each looked at but not read.

    Raises:
        InputError: lists every file that cannot be read.
    """
    found = of_each(lambda path: _inspected(path, options), paths)
    problems = [problem for error in found if isinstance(error, InputError) for problem in error.problems]
    if problems:
        raise InputError(*problems)
    tabular = [file for file in found if isinstance(file, DataFile)]
    text = [file for file in found if isinstance(file, TextFile)]
    runs = [file for file in text if file.dialect.name != LOADLENS_CSV.name]
    if len(runs) < 2 or any("file" in file.schema for file in text):  # noqa: PLR2004  # one is no comparison
        return tabular, text
    return tabular, [replace(file, constants=(*file.constants, ("file", file.path.name))) for file in text]


def _inspected(path: Location, options: Reading) -> DataFile | TextFile | InputError:
    try:
        kind = kind_of(path)
        if kind == "text":
            return text_file(path, options)
        if options.level != "requests":
            raise refuse_transactions(f"{path}: {kind}")
        file = inspect_columns(path, kind)
        constants = (*file.constants, *_name_columns(path, options, [name for name, _ in file.columns]))
        return replace(file, constants=constants)
    except InputError as error:
        return error


def _name_columns(path: Location, options: Reading, columns: Collection[str]) -> list[tuple[str, str | None]]:
    """The columns that the name of a file tells; the file itself must not have them."""
    told = options.name_keys.values(path) if options.name_keys else {}
    doubled = [name for name in told if name in columns]
    if doubled:
        raise InputError(
            f"{path}: has the column {listed(doubled)} already, which its name is to give too; "
            f"give the group another name"
        )
    return list(told.items())


def text_file(path: Location, options: Reading) -> TextFile:
    """Opens a text file, whose dialect its content tells unless ``options`` do.

    Raises:
        InputError: it cannot be read, or is in no known format.
    """
    head = read_head(path)
    dialect = mapped_dialect(options.column_map) if options.column_map else detect(head, options.format)
    reader = open_reader(dialect, head, options.level)
    constants = (*hive_columns(path), *_name_columns(path, options, reader.schema))
    file = TextFile(head=head, dialect=dialect, reader=reader, constants=constants)
    file.check_constants()
    return file


def scan_tabular(files: Sequence[DataFile], options: Reading) -> pl.LazyFrame:
    """Scans columnar files into canonical columns, by the map of columns if there is one."""
    if options.column_map is None:
        return scan_files(files)
    frames = [
        mapped_frame(raw_scan([file]), options.column_map, str(file.path)).with_columns(
            constant(file.path, name, text) for name, text in dict(file.constants).items()
        )
        for file in files
    ]
    return canonical_frame(pl.concat(frames, how="diagonal_relaxed"), "the log")


def as_data_file(file: TextFile) -> DataFile:
    """A text file as others see it; its rows are estimated from its first lines."""
    head = file.head
    rows = head.text_bytes * max(len(head.lines), 1) // len(head.data)
    return DataFile(
        path=head.path,
        kind="text",
        columns=tuple(file.schema.items()),
        constants=file.constants,
        size=head.size,
        rows=rows,
        modified_ns=modified_ns(head.path),
    )
