"""Results that save themselves as one folder of files."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import polars as pl

from loadlens.keywords import checked_arguments
from loadlens.publish.publishing import publish_folder
from loadlens.storage.location import PathSource, target

__all__ = ["ChartFormat", "SavedFolder", "folder_files", "write_csv"]

ChartFormat = Literal["png", "svg"]


class SavedFolder:
    """A result that writes itself as one folder of files."""

    folder: ClassVar[str] = ""

    @classmethod
    def of_figures(cls, figures: Any, **more: Any) -> Self:
        """The result that has the fields of ``figures``, and ``more``."""
        own = {field.name: getattr(figures, field.name) for field in fields(figures)}
        return cls(**own, **more)

    @property
    def file_names(self) -> list[str]:
        """The files that may be written into the folder."""
        raise NotImplementedError

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",)) -> None:
        """Writes the files into an existing folder."""
        raise NotImplementedError

    @checked_arguments()
    def save(
        self,
        path: PathSource,
        chart_formats: Sequence[ChartFormat] = ("png",),
        *,
        overwrite: bool = False,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        """Writes this result as a folder, which appears whole or not at all.

        Args:
            path: the folder, or a prefix in an object store such as ``s3://bucket/folder``. A result of the
                toolkit's benchmarks goes into a folder below it, which has the name that the toolkit gives.
            chart_formats: file formats of the charts, where there are some.
            overwrite: whether an existing folder of such files is replaced.
            storage_options: options of the object store.

        Raises:
            OutputError: the folder exists and may not be replaced, or cannot be written.
        """
        place = target(path, storage_options)
        publish_folder(
            place / self.folder if self.folder else place,
            lambda folder: self.write(folder, chart_formats),
            overwrite=overwrite,
            own_files=self.file_names,
        )


def folder_files(tables: Sequence[str], charts: Sequence[str] = ()) -> list[str]:
    """The files that tables and charts are written to, in all formats."""
    suffixes = get_args(ChartFormat)
    return [
        *(f"{name}.csv" for name in tables),
        *(f"{name}.{suffix}" for name in charts for suffix in suffixes),
    ]


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    r"""Writes a frame as UTF-8 CSV with shortest round-trip floats and ``\\n`` line ends."""
    durations = [name for name, dtype in frame.schema.items() if dtype == pl.Duration]
    texts = frame.with_columns(pl.col(name).dt.to_string("polars") for name in durations)
    texts.write_csv(path, line_terminator="\n")
