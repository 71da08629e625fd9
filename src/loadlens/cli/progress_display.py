"""How far a run has got, on standard error."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from loadlens.profile import Progress

__all__ = ["ProgressDisplay", "progress_display"]


class ProgressDisplay:
    """Shows stages, and bars for those that count rows."""

    def __init__(self, bars: Bars | None) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._stage = ""

    def on_stage(self, stage: str) -> None:
        """Shows that a stage without a count begins."""
        self._show(stage, 0, None)

    def on_progress(self, progress: Progress) -> None:
        """Shows how many rows a stage has read."""
        done, total = progress.partitions_done, progress.partitions_total
        note = f" ({done:,} of {total:,} partitions)" if total else ""
        self._show(progress.stage, progress.rows_done, progress.rows_total, note)

    def counter(self, stage: str, total: int) -> Callable[[int], None]:
        """Something to call with the number of rows just done."""
        done = 0

        def count(rows: int) -> None:
            nonlocal done
            done += rows
            self._show(stage, done, total)

        return count

    def _show(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        if self._bars is None:
            return
        if stage != self._stage or self._task is None:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(stage, total=total)
            self._stage = stage
        self._bars.update(self._task, description=f"{stage}{note}", completed=done, total=total)


@contextmanager
def progress_display(*, quiet: bool) -> Iterator[ProgressDisplay]:
    """A display of what is under way, on standard error and only where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield ProgressDisplay(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} rows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield ProgressDisplay(bars)
