"""Blocks that the reports of all kinds of logs have in common, judged gates among them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from loadlens.gates import GateCheck, Verdict
from loadlens.gates.verdict_files import detail, gate_text, summary_line, worst_of
from loadlens.messages import counted
from loadlens.report.columns import NOTHING, format_key, key_text
from loadlens.report.load_report import LOAD_CAPTIONS
from loadlens.report.over_time_report import OVER_TIME_CAPTIONS
from loadlens.report.page import Block, Callout, Card, Heading, Notes, Section, Table
from loadlens.schema import ERROR_COLUMNS, LATENCY
from loadlens.summaries import InvocationStatistics

__all__ = [
    "ALL_CALLS",
    "KEPT_CALLS",
    "VIEW_CAPTIONS",
    "counted",
    "density_caption",
    "endpoint_table",
    "evenly_chosen",
    "fence_note",
    "gates_card",
    "gates_section",
    "how_to_read",
    "invocation_tables",
    "joined",
    "latency_note",
    "leading_tables",
    "percentile_note",
    "quality_lead",
    "quality_table",
    "settings_table",
    "total",
    "totals_of",
]


FENCE_OPTION: Final = "Outlier fence"

_MOST_ROWS: Final = 200
_MOST_LEADING: Final = 20
_BY_LATENCY: Final = (f"{LATENCY}_p99", f"{LATENCY}_p999", f"{LATENCY}_p95", f"{LATENCY}_max")
_MOST_COLUMNS: Final = 16  # as many as a printed page can hold
_CALLS: Final = ("num_invocations", "successful_invocations")
_TPS: Final = ("tps_avg", "tps_p25", "tps_p50", "tps_p75", "tps_max")
_RATES: Final[tuple[str, ...]] = ("num_errors", *ERROR_COLUMNS, "error_rate", *_TPS, "throughput")
_FENCES: Final[Mapping[str, str]] = {
    "mean-iqr": "A call above mean + 5 × IQR of its configuration's latencies is an outlier (mean-iqr).",
    "tukey": "A call above q75 + 1.5 × IQR of its configuration's latencies is an outlier (tukey).",
    "none": (
        "No fence was applied: no call was removed (none). The one that is shown is mean + 5 × IQR of the "
        "latencies of a configuration."
    ),
}
KEPT_CALLS: Final = "At or below the fence"
ALL_CALLS: Final = "Every successful call"


VIEW_CAPTIONS: Final[Mapping[str, str]] = {
    "latency_spectrum": (
        "Latency by percentile, of every successful call; read from the profile, off by at most 0.2 %."
    ),
    **OVER_TIME_CAPTIONS,
    **LOAD_CAPTIONS,
    "latency_heatmap": "Latency of the successful calls over time; each row spans an eighth of a doubling.",
}
"""Captions of the charts that every summary of invocations has."""


def density_caption(what: str, outliers: str) -> str:
    """The caption of a density chart, which leaves out the calls that a fence removes."""
    return (
        f"How latencies spread {what}{'' if outliers == 'none' else ', without the calls above the fence'}."
    )


def total(frame: pl.DataFrame, name: str) -> int:
    """The sum of a column of counts; 0 without the column."""
    return int(frame[name].sum()) if name in frame.columns else 0


def evenly_chosen(frame: pl.DataFrame, count: int) -> pl.DataFrame:
    """At most ``count`` rows of ``frame``, the first and the last among them."""
    if frame.height <= count:
        return frame
    return frame[np.linspace(0, frame.height - 1, count).round().astype(np.int64)]


def invocation_tables(part: InvocationStatistics, key: Sequence[str], *, file: str) -> tuple[Table, ...]:
    """A summary of invocations as tables that fit a page: a wide one has its errors and throughput apart.

    Where calls were removed, headings tell the columns of those that were kept from those of all.

    Args:
        part: the summary.
        key: the names of the key columns.
        file: the CSV file that holds the whole summary.
    """
    unused = ["outliers_removed"] if part.outliers == "none" else []
    if f"{LATENCY}_max" not in part.kept_columns:  # which is that of all calls
        unused.append(f"{LATENCY}_max_all")
    figures = [name for name in part.summary.columns if name not in (*key, *unused)]
    calls = [name for name in figures if name in _CALLS]
    rates = [name for name in _RATES if name in figures]
    latencies = [name for name in figures if name not in (*calls, *rates)]
    captions = {"Latency of the calls": latencies, "Errors and throughput": rates}
    if len(key) + len(figures) <= _MOST_COLUMNS:
        captions = {"Latency, errors and throughput": [*latencies, *rates]}
    return tuple(_grouped(caption, part, key, (calls, names), file) for caption, names in captions.items())


def leading_tables(part: InvocationStatistics, key: Sequence[str], *, file: str) -> tuple[Table, ...]:
    """Of more configurations than a table shows, those with the most calls, the slowest, the most failing.

    Args:
        part: the summary.
        key: the names of the key columns.
        file: the CSV file that holds the whole summary.
    """
    summary = part.summary
    if summary.height <= _MOST_ROWS:
        return ()
    slowest = next((name for name in _BY_LATENCY if name in summary.columns), None)
    rankings = {"Most calls": "num_invocations", "Slowest": slowest, "Most failures": "num_errors"}
    shown = [*rankings.values(), "error_rate", f"{LATENCY}_median", f"{LATENCY}_max", "throughput"]
    columns = [name for name in dict.fromkeys(shown) if name in summary.columns]
    tables = []
    for title, name in rankings.items():
        if name not in columns:
            continue
        frame = summary.filter(pl.col(name) > 0).select(*key, *columns)
        first = frame.sort(name, descending=True, maintain_order=True).head(_MOST_LEADING)
        caption = f"{title}: {first.height} of {counted(summary.height, 'configuration')}; {file} has all"
        tables += [Table(caption=caption, frame=first, num_keys=len(key))] if first.height else []
    return tuple(tables)


def _grouped(
    caption: str,
    part: InvocationStatistics,
    key: Sequence[str],
    columns: tuple[Sequence[str], Sequence[str]],
    file: str,
) -> Table:
    """A table of calls and figures, the figures of kept calls and of all under headings of their own."""
    calls, names = columns
    kept = [name for name in names if name in part.kept_columns]
    latencies = [name for name in names if name.startswith(LATENCY) and name not in kept]
    rest = [name for name in names if name not in (*kept, *latencies)]
    groups = {KEPT_CALLS: kept, ALL_CALLS: latencies} if kept or part.outliers != "none" else {}
    ordered = [*kept, *latencies, *rest] if groups else names
    frame, note = part.summary.select(*key, *calls, *ordered), ""
    if part.bounds.height and "throughput" in ordered:
        at = frame.columns.index("throughput") + 1
        frame = frame.insert_column(at, part.bounds["throughput_high"])
        note = f"Throughput is known to lie between these two: {part.clock_note}."
    table = _headed(caption, frame, len(key), file)
    return replace(table, groups=groups, totals=totals_of(part, frame), note=f"{note} {table.note}".strip())


def totals_of(part: InvocationStatistics, frame: pl.DataFrame) -> dict[str, object]:
    """The figures of all calls together, of the columns of a table of several configurations."""
    if part.total is None or part.summary.height == 1:
        return {}
    return {name: part.total[name][0] for name in part.total.columns if name in frame.columns}


def endpoint_table(metrics: pl.DataFrame, key: Sequence[str]) -> Table:
    """The metrics of the endpoint, the mean of their averages for each configuration."""
    return Table(
        caption="Endpoint metrics: CloudWatch averages",
        frame=metrics.select(*key, pl.exclude(key)),
        num_keys=len(key),
    )


def quality_table(caption: str, part: InvocationStatistics, key: Sequence[str], *, file: str) -> Table:
    """Rows read, failures by class, the fence and the successes above it, with totals."""
    quality = part.quality.drop("outliers_removed") if part.outliers == "none" else part.quality
    counts = [name for name in quality.columns if name not in (*key, "outlier_fence")]
    table = _headed(caption, quality, len(key), file)
    return Table(
        caption=caption,
        frame=table.frame,
        num_keys=table.num_keys,
        totals={name: total(quality, name) for name in counts} if quality.height > 1 else {},
        note=table.note,
    )


def quality_lead(parts: Sequence[InvocationStatistics]) -> str:
    """What happened to all rows of all logs, and how exact the figures are."""
    qualities = [part.quality for part in parts]
    rows, errors, above = (
        sum(total(quality, name) for quality in qualities)
        for name in ("num_rows", "num_errors", "outliers_above_fence")
    )
    lay = f"{counted(above, 'slow call')} lay above the fence"
    if all(part.outliers == "none" for part in parts):
        lay = f"{counted(above, 'successful call')} took longer than mean + 5 × IQR"
    read = f"{counted(rows, 'row was', 'rows were')} read"
    return f"{read}; {counted(errors, 'call')} failed and {lay}. {_exactness(parts)}"


def latency_note(relative_error: float) -> str:
    """How far off percentiles are, as a sentence that follows others; nothing where they are exact."""
    if not relative_error:
        return ""
    return f" Not exact: percentiles are off by at most {relative_error:.1%}; see the data quality section."


def _exactness(parts: Sequence[InvocationStatistics]) -> str:
    error = max((part.relative_error for part in parts), default=0.0)
    if error == 0:
        return "All figures of the tables are exact."
    told = f"Latencies were read from the profile in one pass: percentiles are off by at most {error:.1%}."
    fence = " The fence is made of such figures and less exact, so calls close to it may count on either side"
    if all(part.outliers == "none" for part in parts):
        return f"{told}{fence}."
    return f"{told}{fence}, and with them the figures of the kept calls; TPS count every successful call."


def settings_table(caption: str, settings: Mapping[str, str]) -> Table:
    """Names and values of settings."""
    return Table(
        caption=caption, frame=pl.DataFrame({"Setting": list(settings), "Value": list(settings.values())})
    )


def fence_note(options: Mapping[str, str]) -> str:
    """The formula of the fence that was used."""
    chosen = options.get(FENCE_OPTION, "")
    return _FENCES.get(
        chosen, f"The fence was: {chosen}." if chosen else "A call above the fence is an outlier."
    )


def percentile_note(options: Mapping[str, str]) -> dict[str, str]:
    """What is to be said of percentiles where a fence removes calls."""
    if options.get(FENCE_OPTION) == "none":
        return {}
    return {"Percentiles": "p90 to p99.9 are taken before outliers are removed: a tail is never filtered."}


def how_to_read(items: Mapping[str, str], options: Mapping[str, str]) -> Section:
    """The section that explains the figures: ``items`` and what holds for every report with ``options``."""
    filtered = options.get(FENCE_OPTION) != "none"
    completion = "A successful call at or below the fence." if filtered else "A successful call."
    common = {
        "IQR": "Interquartile range: q75 - q25 of the latencies.",
        "Quantiles": (
            "Linear interpolation between order statistics (Hyndman-Fan type 7, the default of NumPy and "
            "pandas); the data quality section says whether they are exact."
        ),
        "Completion": completion,
        "TPS": (
            "Transactions per second: completions counted for each second, seconds without any left out; "
            "mean, quartiles and maximum of these counts are cut to whole numbers."
        ),
        "Throughput": (
            "Completions divided by the time from the first start to the last end of all calls, idle time "
            "and the resolution of the clock (at most 1 s) included."
        ),
        NOTHING: "No such value: nothing was measured, or no call succeeded.",
    }
    return Section(title="How to read this", anchor="how-to-read", blocks=(Notes(items={**items, **common}),))


def joined(sections: Iterable[Section], *, title: str, anchor: str, lead: str = "") -> Section:
    """Several sections as one: the first as it is, each of the others under a heading of its own."""
    first, *others = sections
    blocks: list[Block] = [*first.blocks]
    for section in others:
        blocks += [Heading(text=section.title, lead=section.lead), *section.blocks]
    return Section(title=title, anchor=anchor, lead=lead, blocks=tuple(blocks))


def _headed(caption: str, frame: pl.DataFrame, num_keys: int, file: str) -> Table:
    rest = frame.height > _MOST_ROWS
    note = f"The first {_MOST_ROWS:,} of {frame.height:,} rows; {file} has them all." if rest else ""
    return Table(caption=caption, frame=frame.head(_MOST_ROWS), num_keys=num_keys, note=note)


_MOST_VERDICTS: Final = 60
_OWN_COLUMNS: Final = ("Verdict", "Gate", "Value", "Calls", "Detail")


def gates_card(check: GateCheck) -> Card:
    """How many gates hold."""
    total = len(check.gates)
    failed = sum(not all(verdict.holds for verdict in check.of(gate)) for gate in check.gates)
    value = f"{failed:,} of {total:,} failed" if failed else f"{total:,} of {total:,} hold"
    return Card(label="Gates", value=value, detail="each judged for every configuration in its scope")


def gates_section(check: GateCheck) -> Section:
    """A row for each gate where it was judged several times, then one for each verdict, failures first."""
    return Section(
        title="Gates",
        anchor="gates",
        lead=(
            "What the run has to keep to. Gates are judged on every successful call, before outliers are "
            "removed, unless they say filtered."
        ),
        blocks=(
            Callout(text=f"{summary_line(check)}.", kind="result" if check.holds else "failure"),
            *([_by_gate(check)] if len(check.verdicts) > len(check.gates) else []),
            _table(check),
        ),
    )


def _by_gate(check: GateCheck) -> Table:
    judged = [check.of(gate) for gate in check.gates]
    failed = [[verdict for verdict in verdicts if not verdict.holds] for verdicts in judged]
    worst = [
        worst_of(gate, fails or verdicts)
        for gate, fails, verdicts in zip(check.gates, failed, judged, strict=True)
    ]
    columns = {
        "Verdict": ["FAILED" if fails else "holds" for fails in failed],
        "Gate": [gate_text(gate) for gate in check.gates],
        "Configurations": [len(verdicts) for verdicts in judged],
        "Failed": [len(fails) for fails in failed],
        "Worst value": [verdict.gate.shown(verdict.value) for verdict in worst],
        "Worst configuration": [key_text(tuple(one.key), tuple(one.key.values())) for one in worst],
    }
    return Table(caption="Gates", frame=pl.DataFrame(columns), num_keys=1, figures=("Worst value",))


def _table(check: GateCheck) -> Table:
    verdicts = sorted(check.verdicts, key=lambda verdict: verdict.holds)
    shown = verdicts[:_MOST_VERDICTS]
    details: list[object] = [detail(verdict) for verdict in shown]
    columns: dict[str, list[object]] = {
        "Verdict": ["holds" if verdict.holds else "FAILED" for verdict in shown],
        "Gate": [gate_text(verdict.gate) for verdict in shown],
        **{_apart(name): _key_cells(name, shown) for name in check.by},
        "Value": [verdict.gate.shown(verdict.value) for verdict in shown],
        "Calls": [verdict.calls for verdict in shown],
        **({"Detail": details} if any(details) else {}),
    }
    rest = f"The first {len(shown):,} of {len(verdicts):,} rows; summary.json has them all."
    return Table(
        caption="Verdicts by configuration" if check.by else "Verdicts",
        frame=pl.DataFrame(columns, strict=False),
        num_keys=1,
        figures=("Value",),
        note=rest if len(verdicts) > len(shown) else "",
    )


def _key_cells(name: str, verdicts: Sequence[Verdict]) -> list[object]:
    """What verdicts have in a key column: text where some are of all calls together."""
    if all(verdict.key for verdict in verdicts):
        return [verdict.key[name] for verdict in verdicts]
    return [format_key(name, verdict.key[name]) if verdict.key else "all" for verdict in verdicts]


def _apart(key: str) -> str:
    """The name of a key column, told from the columns of verdicts."""
    return f"{key} (key)" if key in _OWN_COLUMNS else key
