"""Sections of a report on the details of a summary: failures, further durations, Apdex, corrections."""

from typing import Final

import polars as pl

from loadlens.dialects.durations import DURATIONS
from loadlens.messages import counted
from loadlens.report.columns import format_value
from loadlens.report.page import RUN, Block, Figure, Image, Notes, Section, Table
from loadlens.schema import EARLIEST_S
from loadlens.summaries import InvocationStatistics, SummaryStatistics
from loadlens.summaries.failures import failures_note
from loadlens.summaries.parts import dominant_part

__all__ = ["FAILURES_CAPTION", "apdex_section", "corrected_section", "failures_section", "parts_section"]

FAILURES_CAPTION: Final = (
    "Failed calls over time, a strip for each error; the darker, the more calls failed in that window."
)
_MOST_FAILURES: Final = 50
_TIMES: Final = {"first_start_s": "First start", "last_end_s": "Last end"}
_FAILURES_LEAD: Final = (
    "A refusal within milliseconds and a timeout after seconds are different illnesses, so latencies of "
    "failed calls are told by error. They take no part in any other latency of this report."
)
_QUANTILES: Final = "Median and p99 are read from buckets here, off by at most 0.2 %; all else is exact."
_PARTS_CAPTION: Final = (
    "What the mean latency of the successful calls is made of; what no measure tells of it is the rest."
)
_APDEX_LEAD: Final = (
    "Calls up to the target satisfy, those up to four times of it are tolerated; slower and failed ones "
    "frustrate. Apdex is (satisfied + tolerating / 2) / calls, from 0 to 1."
)
_APDEX_BOUNDED: Final = " Latencies are known to 0.2 %: it lies between the two bounds."
_MOST_ROWS: Final = 200
_CORRECTED_LEAD: Final = (
    "A client that waits for an answer sends nothing meanwhile: a stall of the server leaves out the very "
    "calls that it would have slowed down. For each call that took longer than the expected interval, the "
    "correction counts the calls that were left out too, with what was left of the wait (the method of "
    "HdrHistogram). It guesses what the log does not tell, so the other figures of this report are as logged."
)
_CORRECTED_NOTE: Final = "Corrected percentiles follow from latency buckets, and lie between the two bounds."


def failures_section(
    part: InvocationStatistics,
    strips: Image | None,
    *,
    run: str = RUN,
    of: str = "",
    file: str = "failures.csv",
) -> Section | None:
    """The failed calls by error; None where no call failed.

    Args:
        part: the summary.
        strips: a chart of the failures over time; None where their times are not known.
        run: the run of the report whose selection they follow.
        of: which of several logs it is of; empty for the only one.
        file: the file that has all rows.
    """
    failures = part.failures
    if failures.is_empty():
        return None
    blocks: list[Block] = [_failures_table(failures, part, run, file)]
    if strips is not None:
        blocks.append(Figure(caption=FAILURES_CAPTION, picture=strips, name="failures", run=run))
    return Section(
        title=f"Failures: {of}" if of else "Failures",
        anchor="-".join(["failures", *of.split()]),
        lead=f"{_failures_told(failures)} {_FAILURES_LEAD}",
        blocks=tuple(blocks),
        lead_is_of_run=True,
    )


def _failures_told(failures: pl.DataFrame) -> str:
    """The most frequent error of all keys, in a sentence."""
    totals = failures.group_by("error").agg(pl.col("count").sum())
    totals = totals.sort(["count", "error"], descending=[True, False], nulls_last=True)
    error, count = totals.row(0)
    total = int(totals["count"].sum())
    failed = f"{counted(total, 'call')} failed"
    if error is None:
        untold = f"for {count:,} of which" if count < total else "and"
        return f"{failed}, {untold} the log tells no error."
    share = format_value("share", count / total)
    return (
        f"{failed}, {share} of them with {error!r}, the most frequent of {counted(totals.height, 'error')}."
    )


def _failures_table(failures: pl.DataFrame, part: InvocationStatistics, run: str, file: str) -> Table:
    shown = failures.sort("count", descending=True, maintain_order=True).head(_MOST_FAILURES)
    empty = [
        name
        for name in shown.columns
        if name not in part.profile.key and failures[name].null_count() == failures.height
    ]
    rest = failures.height - shown.height
    cut = f"The {shown.height} with the most calls of {failures.height:,}; {file} has all." if rest else ""
    exact = _QUANTILES if "latency_median_ms" not in empty else ""
    note = " ".join(filter(None, (cut, exact, failures_note(part.profile))))
    kept = [name for name in shown.columns if name not in empty or name == "error"]
    times = {name: header for name, header in _TIMES.items() if name in kept}
    frame = shown.select(kept).with_columns(_times(shown[name]) for name in times).rename(times)
    return Table(
        caption="Failed calls by error",
        frame=frame,
        num_keys=len(part.profile.key) + 1,
        totals={name: int(failures[name].sum()) for name in ("count", "num_timed") if name in kept},
        note=note,
        figures=tuple(times.values()),
        run=run,
        rows="failures",
    )


def _times(times: pl.Series) -> pl.Series:
    """Times as a reader knows them: dates where the clock has a calendar, else seconds."""
    if times.min() is None or times.min() < EARLIEST_S:  # type: ignore[operator]  # of floats
        return times.map_elements(lambda time: f"{time:,.3f} s", return_dtype=pl.String)
    milliseconds = (times * 1000).round().cast(pl.Int64)
    return milliseconds.cast(pl.Datetime("ms")).dt.to_string("%Y-%m-%d %H:%M:%S%.3f")


def parts_section(part: InvocationStatistics, bars: Image | None) -> Section | None:
    """Figures of the measures, and what mean latencies are made of; None where none was asked for.

    Args:
        part: the summary.
        bars: a chart of the parts; None where no call has one.
    """
    measures = part.measures
    if measures.is_empty():
        return None
    names = list(dict.fromkeys(measures["measure"]))
    meanings = {name: DURATIONS[name].meaning for name in names if name in DURATIONS}
    blocks: list[Block] = [
        *([Figure(caption=_PARTS_CAPTION, picture=bars)] if bars is not None else []),
        Table(
            caption="Further durations of the successful calls",
            frame=measures.head(_MOST_ROWS),
            num_keys=len(part.profile.key) + 1,
            note=_rest_in(measures, "measures.csv"),
        ),
        *([Notes(items=meanings)] if meanings else []),
    ]
    return Section(
        title="Where the time goes",
        anchor="where-the-time-goes",
        lead=dominant_part(part.parts) or "No part makes most of the latency of every configuration.",
        lead_is_of_run=True,
        blocks=tuple(blocks),
    )


def apdex_section(summary: SummaryStatistics) -> Section | None:
    """The scores; None where they were not asked for."""
    scores = summary.apdex
    if scores is None:
        return None
    table = Table(
        caption="Apdex",
        frame=scores.head(_MOST_ROWS),
        num_keys=len(summary.by),
        note=_rest_in(scores, "apdex.csv"),
    )
    lead = _APDEX_LEAD + (_APDEX_BOUNDED if "apdex_low" in scores.columns else "")
    return Section(title="Apdex", anchor="apdex", lead=lead, blocks=(table,))


def corrected_section(summary: SummaryStatistics) -> Section | None:
    """The percentiles; None where they were not asked for."""
    found = summary.corrected
    if found is None:
        return None
    table = Table(
        caption="Percentiles as logged and corrected",
        frame=found.head(_MOST_ROWS),
        num_keys=len(summary.by) + 1,
        note=" ".join(filter(None, (_CORRECTED_NOTE, _rest_in(found, "corrected.csv")))),
    )
    return Section(
        title="Coordinated omission", anchor="coordinated-omission", lead=_CORRECTED_LEAD, blocks=(table,)
    )


def _rest_in(rows: pl.DataFrame, file: str) -> str:
    """Where the rows are that a table leaves out; empty where it leaves out none."""
    if rows.height <= _MOST_ROWS:
        return ""
    return f"The first {_MOST_ROWS} of {rows.height:,} rows; {file} has them all."
