"""The report of any other log: one summary by its key columns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from loadlens.logs import Findings
from loadlens.messages import sentence
from loadlens.report.columns import format_value, key_text
from loadlens.report.page import RUN, Block, Callout, Card, Figure, Image, Report, Section, Table
from loadlens.report.run_data import runs_of
from loadlens.report.sections import (
    VIEW_CAPTIONS,
    counted,
    density_caption,
    fence_note,
    how_to_read,
    invocation_tables,
    latency_note,
    leading_tables,
    percentile_note,
    quality_lead,
    quality_table,
    settings_table,
    total,
)
from loadlens.schema import LATENCY
from loadlens.summaries import SummaryStatistics
from loadlens.summaries.summary_columns import MOST_KEYS

__all__ = ["summary_report"]

_MOST_REASONS: Final = 50


def summary_report(
    *,
    source: str,
    version: str,
    options: Mapping[str, str],
    summary: SummaryStatistics,
    findings: Findings | None = None,
    figures: Mapping[str, Image | tuple[str, Image]],
    cards: Sequence[Card] = (),
    before: Sequence[Section] = (),
    after: Sequence[Section] = (),
) -> Report:
    """The report of a log that was summarised by any key.

    Args:
        source: what the report calls the input.
        version: of loadlens.
        options: the options as the report shows them; ``Outlier fence`` names the fence.
        summary: the summary.
        findings: what was rejected or left out, and what the log cannot tell.
        figures: each chart by its name, or caption and chart, in the order of the report.
        cards: key figures of what else was asked, shown first.
        before: sections on what else was asked, shown before the summary.
        after: the same, shown after it.
    """
    return Report(
        title="Load test report",
        subtitle=source,
        cards=(*cards, *_cards(summary)),
        sections=(
            _at_a_glance(source, options, summary),
            *before,
            _summary(summary, figures),
            *after,
            _quality(summary, findings or Findings()),
            how_to_read(_explanations(options), options),
        ),
        footer=f"Made by loadlens {version}.",
        runs=runs_of({RUN: summary}),
    )


def _cards(summary: SummaryStatistics) -> tuple[Card, ...]:
    quality = summary.quality
    rows, errors = total(quality, "num_rows"), total(quality, "num_errors")
    rate = format_value("error_rate", errors / rows if rows else None)
    where = f"in {counted(quality.height, 'configuration')}"
    calls = Card(label="Calls", value=f"{rows:,}", detail=where, figure="calls", run=RUN)
    told = f"{counted(errors, 'call')} failed"
    failed = Card(label="Error rate", value=rate, detail=told, figure="errors", run=RUN)
    return (calls, failed, *_extremes(summary))


def _extremes(summary: SummaryStatistics) -> tuple[Card, ...]:
    """The configurations with the least median, the highest p99 and the most throughput."""
    wanted = (
        ("Lowest median latency", f"{LATENCY}_median", "ms", False),
        ("Highest p99 latency", f"{LATENCY}_p99", "ms", True),
        ("Highest throughput", "throughput", "per s", True),
    )
    return tuple(
        _extreme(summary, label, name, unit, descending=descending)
        for label, name, unit, descending in wanted
        if name in summary.summary.columns and summary.summary[name].count()
    )


def _extreme(summary: SummaryStatistics, label: str, name: str, unit: str, *, descending: bool) -> Card:
    row = summary.summary.sort(name, descending=descending, nulls_last=True).row(0, named=True)
    where = key_text(summary.by, [row[key] for key in summary.by])
    plain = {"Lowest median latency": "Median latency", "Highest p99 latency": "p99 latency"}
    title = label if summary.summary.height > 1 else plain.get(label, "Throughput")
    value = f"{format_value(name, row[name])} {unit}"
    figure = f"{'highest' if descending else 'lowest'} {name}"
    return Card(label=title, value=value, detail=where, figure=figure, run=RUN)


def _at_a_glance(source: str, options: Mapping[str, str], summary: SummaryStatistics) -> Section:
    grouped = ", ".join(summary.by) or "nothing: the log as a whole"
    sliced = {"Slice": summary.outside.asked} if summary.outside else {}
    settings = {"Input": source, "Grouped by": grouped, **sliced, **options}
    return Section(
        title="At a glance", anchor="at-a-glance", blocks=(settings_table("Input and options", settings),)
    )


def _summary(summary: SummaryStatistics, figures: Mapping[str, Image | tuple[str, Image]]) -> Section:
    file = "summary.csv"
    tables = (
        *leading_tables(summary, summary.by, file=file),
        *invocation_tables(summary, summary.by, file=file),
    )
    return Section(
        title="Summary",
        anchor="summary",
        lead=f"{_population(summary)}{latency_note(summary.relative_error)}",
        blocks=(
            *[replace(table, run=RUN) for table in tables],
            *[_figure(name, figure, summary.outliers) for name, figure in figures.items()],
        ),
    )


def _population(summary: SummaryStatistics) -> str:
    if summary.outliers == "none":
        return "All figures describe every successful call."
    return (
        "Minimum to maximum, IQR, TPS and throughput describe the successful calls at or below the fence; "
        "p90 to p99.9 and the true maximum describe every successful call."
    )


def _figure(name: str, figure: Image | tuple[str, Image], outliers: str) -> Figure:
    if isinstance(figure, tuple):
        return Figure(caption=figure[0], picture=figure[1], name=name, run=RUN)
    captions = {"latency_density": density_caption("in each configuration", outliers), **VIEW_CAPTIONS}
    return Figure(caption=captions.get(name, name.replace("_", " ")), picture=figure, name=name, run=RUN)


def _quality(summary: SummaryStatistics, findings: Findings) -> Section:
    file = "quality.csv" if summary.quality.height > MOST_KEYS else "summary.json"
    table = quality_table("Rows of the log", summary, summary.by, file=file)
    blocks: list[Block] = [
        Callout(text=sentence(told)) for told in findings.sentences(summary.seconds_without_completion)
    ]
    counts = {
        "Rejected rows": (findings.reasons, "reason"),
        "Rows left out on purpose": (findings.left_out, "what"),
    }
    blocks.extend(
        Table(caption=caption, frame=_counts(counter, what), num_keys=1)
        for caption, (counter, what) in counts.items()
        if counter
    )
    return Section(
        title="Data quality",
        anchor="data-quality",
        lead=quality_lead([summary]) + _rejected(findings),
        lead_is_of_run=True,
        blocks=(table, *blocks),
    )


def _counts(counter: Counter[str], what: str) -> pl.DataFrame:
    """The most frequent ones, and the others in one row."""
    rows = counter.most_common(_MOST_REASONS)
    others = counter.total() - sum(count for _, count in rows)
    rows += [(f"{len(counter) - len(rows):,} more", others)] if others else []
    return pl.DataFrame(rows, schema={what: pl.String, "rows": pl.Int64}, orient="row")


def _rejected(findings: Findings) -> str:
    if not findings.rejected:
        return ""
    return f" {counted(findings.rejected, 'row was', 'rows were')} rejected: rejects.csv has each."


def _explanations(options: Mapping[str, str]) -> dict[str, str]:
    fence = f"{fence_note(options)} It is taken over all calls as logged, failures included."
    return {"Fence": fence, **percentile_note(options)}
