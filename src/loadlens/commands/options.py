"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "By",
    "Format",
    "KeyFromName",
    "Logs",
    "Map",
    "MapFile",
    "MaxRejects",
    "Out",
    "Overwrite",
    "Quiet",
    "SafeCsv",
]

Logs = Annotated[list[str], typer.Argument(metavar="LOGS...", help="Logs: files, folders, globs.")]
By = Annotated[
    list[str] | None,
    typer.Option("--by", help="Column to group by; repeatable.", metavar="COLUMN", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", help="Folder to write; it appears whole or not at all.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", help="Format of text logs; without it, their content tells.", show_default=False
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="What a column is, e.g. latency=elapsed:ms, end=ts:epoch_ms, success='status<400'; repeatable.",
        metavar="TARGET=COLUMN",
        show_default=False,
    ),
]
MapFile = Annotated[Path | None, typer.Option(help="The same as a TOML file.", show_default=False)]
KeyFromName = Annotated[
    str | None,
    typer.Option(
        help=r"Regular expression over file names; its named groups become columns, e.g. 'run_(?P<run>\d+)'.",
        show_default=False,
    ),
]
MaxRejects = Annotated[
    str, typer.Option("--max-rejects", help="Rows that may be rejected: a count or a percentage, e.g. 0.5%.")
]
SafeCsv = Annotated[
    bool, typer.Option("--safe-csv", help="Disarm CSV cells that a spreadsheet would take for formulas.")
]
