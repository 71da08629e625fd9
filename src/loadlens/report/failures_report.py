"""The section of a report on failed calls: what failed, how often, when, and how long that took."""

from typing import Final

import polars as pl

from loadlens.messages import counted
from loadlens.report.columns import format_value
from loadlens.report.page import Block, Figure, Section, Table
from loadlens.schema import EARLIEST_S
from loadlens.summaries import InvocationStatistics
from loadlens.summaries.failures import failures_note

__all__ = ["FAILURES_CAPTION", "failures_section"]

FAILURES_CAPTION: Final = (
    "Failed calls over time, a strip for each error; the darker, the more calls failed in that window."
)
_MOST_ROWS: Final = 50
_TIMES: Final = {"first_start_s": "First start", "last_end_s": "Last end"}
_LEAD: Final = (
    "A refusal within milliseconds and a timeout after seconds are different illnesses, so latencies of "
    "failed calls are told by error. They take no part in any other latency of this report."
)
_QUANTILES: Final = "Median and p99 are read from buckets here, off by at most 0.2 %; all else is exact."


def failures_section(part: InvocationStatistics, strips: str | None) -> Section | None:
    """The failed calls by error; None where no call failed.

    Args:
        part: the summary.
        strips: an SVG of the failures over time; None where their times are not known.
    """
    failures = part.failures
    if failures.is_empty():
        return None
    blocks: list[Block] = [_table(failures, part)]
    if strips is not None:
        blocks.append(Figure(caption=FAILURES_CAPTION, svg=strips))
    return Section(
        title="Failures", anchor="failures", lead=f"{_told(failures)} {_LEAD}", blocks=tuple(blocks)
    )


def _told(failures: pl.DataFrame) -> str:
    """The most frequent error of all keys, in a sentence."""
    totals = failures.group_by("error").agg(pl.col("count").sum())
    totals = totals.sort(["count", "error"], descending=[True, False], nulls_last=True)
    error, count = totals.row(0)
    total = int(totals["count"].sum())
    failed = f"{counted(total, 'call')} failed"
    if error is None:
        untold = "of which the log tells no error" if count < total else "and the log tells no error"
        return f"{failed}, {f'{count:,} ' if count < total else ''}{untold}."
    share = format_value("share", count / total)
    return (
        f"{failed}, {share} of them with {error!r}, the most frequent of {counted(totals.height, 'error')}."
    )


def _table(failures: pl.DataFrame, part: InvocationStatistics) -> Table:
    shown = failures.sort("count", descending=True, maintain_order=True).head(_MOST_ROWS)
    empty = [
        name
        for name in shown.columns
        if name not in part.profile.key and failures[name].null_count() == failures.height
    ]
    rest = failures.height - shown.height
    cut = (
        f"The {shown.height} with the most calls of {failures.height:,}; failures.csv has all."
        if rest
        else ""
    )
    exact = _QUANTILES if "latency_median_ms" not in empty else ""
    note = " ".join(filter(None, (cut, exact, failures_note(part.profile))))
    kept = [name for name in shown.columns if name not in empty or name == "error"]
    times = {name: header for name, header in _TIMES.items() if name in kept}
    frame = shown.select(kept).with_columns(_times(shown[name]) for name in times).rename(times)
    return Table(
        caption="Failed calls by error",
        frame=frame,
        num_keys=len(part.profile.key) + 1,
        note=note,
        figures=tuple(times.values()),
    )


def _times(times: pl.Series) -> pl.Series:
    """Times as a reader knows them: dates where the clock has a calendar, else seconds."""
    if times.min() is None or times.min() < EARLIEST_S:  # type: ignore[operator]  # of floats
        return times.map_elements(lambda time: f"{time:,.3f} s", return_dtype=pl.String)
    milliseconds = (times * 1000).round().cast(pl.Int64)
    return milliseconds.cast(pl.Datetime("ms")).dt.to_string("%Y-%m-%d %H:%M:%S%.3f")
