"""A log's files in parts that other processes can open: paths, ranges of rows and options, no queries."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from loadlens.sources.columnar import good_rows
from loadlens.sources.dialects import NestingReader
from loadlens.sources.files import DataFile, row_groups
from loadlens.sources.findings import Findings
from loadlens.sources.log import Log, Reading, reading
from loadlens.sources.opening import scan_tabular, text_file
from loadlens.sources.storage.location import absolute
from loadlens.sources.text.log import TextFile, common_schema, scan_text

__all__ = ["Part", "open_part", "parts_of"]

_BYTES_PER_ROW = 16  # of a compressed log, whose rows nothing tells


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some of a log's files, or some rows of one of them.

    Attributes:
        files: the files, all of them text or none.
        first_row: the first row of a part of a single file, from 0.
        num_rows: how many rows of a single file; None for files as a whole.
        options: how the files are read.
        text_columns: what the columns of the log's text files come to together.
        is_all_text: whether these are all the text files of the log.
        good: whether rows that break a rule are left out, as somebody else has told them.
    """

    files: tuple[DataFile, ...]
    first_row: int = 0
    num_rows: int | None = None
    options: Reading
    text_columns: tuple[tuple[str, pl.DataType], ...] = ()
    is_all_text: bool = True
    good: bool = False

    def __str__(self) -> str:
        name = self.files[0].name
        if self.num_rows is not None:
            return f"{name}, rows {self.first_row + 1:,} to {self.first_row + self.num_rows:,}"
        return name if len(self.files) == 1 else f"{name} and {len(self.files) - 1} more"

    @property
    def rows(self) -> int:
        """How many rows there are about."""
        return self.num_rows if self.num_rows is not None else sum(map(_rows_of, self.files))


def parts_of(log: Log, most_rows: int) -> list[Part]:
    """Divides the files of a log into parts of about ``most_rows`` rows.

    Large Parquet files are cut between row groups and Arrow files between rows; text files stay whole, and
    so do tables. Several small files of one sort make one part.
    """
    # The names of files have told their columns, and the rejected rows of all parts are judged together.
    options = replace(log.options or Reading(), name_keys=None)
    columns = tuple(common_schema(log.text).items()) if log.text else ()
    tabular = [_for_elsewhere(file) for file in log.files if file.kind != "text"]
    text = [_for_elsewhere(file) for file in log.files if file.kind == "text"]
    groups = list(_text_groups(log, text, most_rows))
    large = [file for file in tabular if file.kind in {"parquet", "arrow"} and file.rows > most_rows]
    small = [file for file in tabular if file not in large]
    parts = [
        *(part for file in large for part in _cut(file, most_rows, options)),
        *(Part(files=files, options=options) for files in _grouped(small, most_rows)),
        *(
            Part(files=files, options=options, text_columns=columns, is_all_text=len(groups) == 1)
            for files in groups
        ),
    ]
    return [replace(part, good=log.is_sifted) for part in parts]


def _text_groups(log: Log, files: Sequence[DataFile], most_rows: int) -> Iterator[tuple[DataFile, ...]]:
    """Text files that go together: those whose lines may tell of rows of others, and small ones."""
    readers = [file.reader for file in log.text]
    is_nested = any(isinstance(reader, NestingReader) and reader.is_nested for reader in readers)
    pairs = zip(files, readers, strict=True)
    nesting = [file for file, reader in pairs if is_nested and isinstance(reader, NestingReader)]
    telling = [file for file, text in zip(files, log.text, strict=True) if text.dialect.elsewhere]
    yield from (tuple(group) for group in (nesting, telling) if group)
    yield from _grouped([file for file in files if file not in (*nesting, *telling)], most_rows)


def _for_elsewhere(file: DataFile) -> DataFile:
    """A file as a process with another working folder finds it."""
    return replace(file, path=absolute(file.path), metadata={}, shown=file.name)


def _rows_of(file: DataFile) -> int:
    return file.rows or file.size // _BYTES_PER_ROW


def _grouped(files: Iterable[DataFile], most_rows: int) -> Iterator[tuple[DataFile, ...]]:
    group: list[DataFile] = []
    rows = 0
    for file in files:
        if group and rows + _rows_of(file) > most_rows:
            yield tuple(group)
            group, rows = [], 0
        group.append(file)
        rows += _rows_of(file)
    if group:
        yield tuple(group)


def _cut(file: DataFile, most_rows: int, options: Reading) -> Iterator[Part]:
    groups = [rows for rows, _ in row_groups(file.path)] if file.kind == "parquet" else _even(file, most_rows)
    first = rows = 0
    for group in groups:
        if rows and rows + group > most_rows:
            yield Part(files=(file,), first_row=first, num_rows=rows, options=options)
            first, rows = first + rows, 0
        rows += group
    yield Part(files=(file,), first_row=first, num_rows=rows, options=options)


def _even(file: DataFile, most_rows: int) -> list[int]:
    whole, rest = divmod(file.rows, most_rows)
    return [*([most_rows] * whole), *([rest] if rest else [])]


def open_part(part: Part) -> Log:
    """Opens a part as a log of its own; what is wrong with its text is in its findings alone.

    Raises:
        InputError: a file cannot be read.
    """
    findings = Findings()
    text: Sequence[TextFile] = ()
    with reading(None):
        if part.text_columns:
            text = [
                replace(text_file(file.path, part.options), constants=file.constants, shown=file.name)
                for file in part.files
            ]
            schema = pl.Schema(part.text_columns)
            frame = scan_text(
                text,
                findings,
                part.options.max_rejects,
                schema,
                is_part=not part.is_all_text,
                is_judged_elsewhere=True,
            )
        else:
            frame = scan_tabular(part.files, part.options, good=part.good and part.num_rows is None)
        if part.num_rows is not None:
            frame = frame.slice(part.first_row, part.num_rows)
            frame = good_rows(frame) if part.good else frame
        columns = tuple(frame.collect_schema())
    return Log(
        frame=frame,
        columns=columns,
        files=part.files,
        name=str(part),
        raw=frame,
        text=tuple(text),
        findings=findings,
        is_sifted=part.good,
    )
