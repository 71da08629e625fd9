"""The report of a comparison of two runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from loadlens.comparison import LEVEL, METRICS, MOST_DRAWN, VERDICTS, Comparison
from loadlens.cost import MEMORY, priced_text
from loadlens.messages import sentence
from loadlens.report.columns import NOTHING, column_header, format_value, key_text
from loadlens.report.page import Block, Callout, Card, Figure, Image, Notes, Report, Section, Table
from loadlens.report.sections import counted, joined, settings_table
from loadlens.schema import LATENCY

__all__ = [
    "change_text",
    "comparison_card",
    "comparison_report",
    "comparison_section",
    "deciding_text",
    "figure_text",
    "metric_header",
    "verdict_sentence",
]

_MOST_KEYS: Final = 200
_MOST_METRIC_ROWS: Final = 210  # those of 30 keys
_MOST_NAMED: Final = 5
_INTERVAL: Final = f"{LEVEL:.0%} interval"
_BASES: Final = ("base_basis", "candidate_basis")
_COST: Final = "cost_per_1M_invocations"
_HEADERS: Final = {"error_rate": "Error rate", "mean": "Mean (ms)", "throughput": "Throughput (1/s)"}
_CAPTIONS: Final = {
    "latency_density": (
        "How the latencies of both runs spread, without each run's calls above mean + 5 × IQR; at most "
        f"{MOST_DRAWN} keys, those that changed first."
    ),
    "latency_spectrum": (
        "Latency by percentile of both runs, of every successful call; off by at most 0.2 %."
    ),
}


def comparison_report(*, comparison: Comparison, version: str, figures: Mapping[str, Image]) -> Report:
    """The report of a comparison.

    Args:
        comparison: the comparison.
        version: of loadlens.
        figures: the charts ``latency_density`` and ``latency_spectrum``.
    """
    return Report(
        title="Comparison of two runs",
        subtitle=f"{comparison.candidate.name} against {comparison.base.name}",
        cards=_cards(comparison),
        sections=_sections(comparison, figures),
        footer=f"Made by loadlens {version}.",
    )


def comparison_section(comparison: Comparison, figures: Mapping[str, Image]) -> Section:
    """All of a comparison as one section of another report.

    Args:
        comparison: the comparison.
        figures: the charts ``latency_density`` and ``latency_spectrum``.
    """
    sections = _sections(comparison, figures, whole="summary.json")
    return joined(sections, title="Comparison with the baseline", anchor="comparison")


def _sections(comparison: Comparison, figures: Mapping[str, Image], whole: str = "") -> tuple[Section, ...]:
    """All sections; ``whole`` is the file with all rows, by default those of a comparison's own folder."""
    return (
        _at_a_glance(comparison),
        _verdicts(comparison, whole or "comparison.json"),
        _metrics(comparison, whole or "comparison.csv"),
        *_costs(comparison, whole or "costs.csv"),
        _curves(figures),
        *_one_run_only(comparison, whole or "comparison.json"),
        _how_to_read(comparison),
    )


def comparison_card(comparison: Comparison) -> Card:
    """How many keys are worse."""
    worse = comparison.verdicts[VERDICTS[0]]
    keys = f"of {counted(comparison.keys.height, 'key')}, against {comparison.base.name}"
    return Card(label="Worse than the baseline", value=f"{worse:,}", detail=keys)


def verdict_sentence(comparison: Comparison) -> str:
    """How many keys have which verdict, in one sentence."""
    counts = [f"{count:,} {verdict}" for verdict, count in comparison.verdicts.items() if count]
    return f"Of {counted(comparison.keys.height, 'key')}: {', '.join(counts)}."


def metric_header(metric: str) -> str:
    """What a table calls a metric."""
    return _HEADERS.get(metric, f"{metric} (ms)")


def deciding_text(metrics: str) -> str:
    """The metrics that a verdict comes from as a table shows them."""
    return metrics.replace("_", " ") or NOTHING


def figure_text(metric: str, value: float | None) -> str:
    """A figure of a metric as a table shows it."""
    column = metric if metric in _HEADERS and metric != "mean" else f"{LATENCY}_mean"
    return format_value(column, value)


def change_text(metric: str, change: float | None, base: float | None) -> str:
    """A change as a share of the base, that of an error rate in percentage points."""
    if change is None or base is None:
        return NOTHING
    if metric == "error_rate":
        return f"{_signed(f'{100 * change:+.2f}')} pp"
    return _signed(f"{100 * change / base:+.1f}") + "%" if base else NOTHING


def _signed(number: str) -> str:
    """A number with its sign, unless it is 0 as shown."""
    return number if float(number) else number[1:]


def _gravest_first(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(pl.col("verdict").cast(pl.Enum(VERDICTS)), maintain_order=True)


def _cards(comparison: Comparison) -> tuple[Card, ...]:
    keys = f"of {counted(comparison.keys.height, 'key')}"
    return tuple(
        Card(label=verdict.capitalize(), value=f"{count:,}", detail=keys)
        for verdict, count in comparison.verdicts.items()
    )


def _at_a_glance(comparison: Comparison) -> Section:
    settings = {
        "Base": comparison.base.name,
        "Candidate": comparison.candidate.name,
        "Grouped by": ", ".join(comparison.by) or "nothing: the logs as a whole",
        "Minimum effect": f"{100 * comparison.min_effect:g} %",
        "Confidence": f"{100 * LEVEL:g} %",
    }
    if comparison.prices:
        settings["Price tables"] = ", ".join(table.short_name for table in comparison.prices)
    blocks: list[Block] = [
        Callout(text=_result(comparison), kind="result"),
        settings_table("Input and options", settings),
        *[Callout(text=sentence(told)) for told in comparison.warnings],
    ]
    return Section(title="At a glance", anchor="at-a-glance", blocks=tuple(blocks))


def _result(comparison: Comparison) -> str:
    """The verdicts, and the keys that are worse by name."""
    worse = comparison.keys.filter(pl.col("verdict") == VERDICTS[0])
    if worse.is_empty() or not comparison.by:
        return verdict_sentence(comparison)
    named = [
        f"{key_text(comparison.by, key)} ({deciding_text(metrics)})"
        for *key, metrics in worse.select(*comparison.by, "deciding").head(_MOST_NAMED).iter_rows()
    ]
    more = f" and {worse.height - _MOST_NAMED:,} more" if worse.height > _MOST_NAMED else ""
    return f"{verdict_sentence(comparison)} Worse: {'; '.join(named)}{more}."


def _verdicts(comparison: Comparison, file: str) -> Section:
    frame = _gravest_first(comparison.keys)
    shown = frame.head(_MOST_KEYS).select(
        *comparison.by,
        pl.col("verdict").alias("Verdict"),
        pl.Series("Because of", [deciding_text(names) for names in frame["deciding"].head(_MOST_KEYS)]),
        pl.col("base_calls").alias("Calls, base"),
        pl.col("candidate_calls").alias("Calls, candidate"),
        pl.col("base_errors").alias("Failures, base"),
        pl.col("candidate_errors").alias("Failures, candidate"),
    )
    table = Table(
        caption="Verdict of each key",
        frame=shown,
        num_keys=len(comparison.by),
        note=_rest(frame, _MOST_KEYS, "keys", file),
    )
    return Section(
        title="Verdicts",
        anchor="verdicts",
        lead="The gravest first. A key is worse as soon as one metric is, whatever the others are.",
        blocks=(table,),
    )


def _metrics(comparison: Comparison, file: str) -> Section:
    frame = _gravest_first(comparison.metrics)
    rows = frame.head(_MOST_METRIC_ROWS)
    texts = pl.DataFrame([_texts(row) for row in rows.iter_rows(named=True)])
    table = Table(
        caption="Metrics of each key",
        frame=pl.concat([rows.select(comparison.by), texts], how="horizontal"),
        num_keys=len(comparison.by) + 1,
        figures=("Base", "Candidate", "Change", _INTERVAL),
        note=_rest(frame, _MOST_METRIC_ROWS, "rows", file),
    )
    return Section(
        title="Metrics",
        anchor="metrics",
        lead=(
            "Every successful call counts, none is filtered. The interval is that of the change; it takes "
            "calls as independent of each other."
        ),
        blocks=(table,),
    )


def _texts(row: Mapping[str, object]) -> dict[str, str]:
    metric, base = str(row["metric"]), _number(row["base"])
    low, high, change = (
        change_text(metric, _number(row[name]), base)
        for name in ("difference_low", "difference_high", "difference")
    )
    if low.endswith(" pp") and high.endswith(" pp"):
        low = low.removesuffix(" pp")
    return {
        "Metric": metric_header(metric),
        "Base": figure_text(metric, base),
        "Candidate": figure_text(metric, _number(row["candidate"])),
        "Change": change,
        _INTERVAL: NOTHING if NOTHING == low == high else f"{low} to {high}",
        "Verdict": str(row["metric_verdict"] or NOTHING),
    }


def _costs(comparison: Comparison, file: str) -> Sequence[Section]:
    """What calls cost; no section without prices."""
    if not comparison.prices:
        return ()
    frame = _gravest_first(comparison.costs)
    rows = frame.head(_MOST_KEYS)
    bases = [_both(row, "basis") for row in frame.unique(_BASES).sort(_BASES).iter_rows(named=True)]
    texts = pl.DataFrame([_cost_texts(row, comparison) for row in rows.iter_rows(named=True)])
    if len(bases) == 1:
        texts = texts.drop("Priced by")
    table = Table(
        caption="Cost of each key",
        frame=pl.concat([rows.select(comparison.by), texts], how="horizontal"),
        num_keys=len(comparison.by),
        figures=tuple(name for name in texts.columns if name not in {"Price table", "Priced by"}),
        note=_rest(frame, _MOST_KEYS, "rows", file),
    )
    lead = (
        f"Cost of a successful call by its {' or '.join(bases)}, with what cold starts and failures add. It "
        f"has no interval, and no verdict depends on it."
    )
    return (Section(title="Cost", anchor="cost", lead=lead, blocks=(table,)),)


def _cost_texts(row: Mapping[str, Any], comparison: Comparison) -> dict[str, str]:
    """The cells of a key under a table; memory sizes where the key does not tell them."""
    memory = {} if MEMORY in comparison.by else {column_header(MEMORY): _both(row, MEMORY)}
    tables = {"Price table": row["prices"]} if len(comparison.prices) > 1 else {}
    currency = comparison.prices[0].currency
    return {
        **memory,
        **tables,
        "Priced by": _both(row, "basis"),
        f"Base per 1M calls ({currency})": format_value(_COST, row["base"]),
        f"Candidate per 1M calls ({currency})": format_value(_COST, row["candidate"]),
        f"Difference ({currency})": format_value(_COST, row["difference"]),
        "Change": change_text(_COST, row["difference"], row["base"]),
    }


def _both(row: Mapping[str, Any], name: str) -> str:
    """What holds for both runs, once where it is the same."""
    base, candidate = (format_value(name, row[f"{role}_{name}"]) for role in ("base", "candidate"))
    return base if base == candidate else f"{base} → {candidate}"


def _number(value: object) -> float | None:
    return value if isinstance(value, float) else None


def _rest(frame: pl.DataFrame, most: int, noun: str, file: str) -> str:
    return (
        f"The first {most:,} of {frame.height:,} {noun}; {file} has them all." if frame.height > most else ""
    )


def _curves(figures: Mapping[str, Image]) -> Section:
    blocks = tuple(Figure(caption=_CAPTIONS[name], picture=chart) for name, chart in figures.items())
    return Section(title="Latency of both runs", anchor="latency", blocks=blocks)


def _one_run_only(comparison: Comparison, file: str) -> Sequence[Section]:
    runs = {
        f"Only in the base: {comparison.base.name}": comparison.only_in_base,
        f"Only in the candidate: {comparison.candidate.name}": comparison.only_in_candidate,
    }
    tables = tuple(
        Table(
            caption=caption,
            frame=frame.head(_MOST_KEYS),
            num_keys=len(comparison.by),
            note=_rest(frame, _MOST_KEYS, "keys", file),
        )
        for caption, frame in runs.items()
        if not frame.is_empty()
    )
    lead = "These keys were not compared."
    return [Section(title="In one run only", anchor="one-run", lead=lead, blocks=tables)] if tables else []


def _how_to_read(comparison: Comparison) -> Section:
    effect = f"{100 * comparison.min_effect:g}"
    items = {
        "Worse, better": (
            "The change is larger than chance explains, all six metrics of a key taken together "
            "(Bonferroni: of keys that did not change at most 5 % come out so), and at least "
            f"{effect} % of the base's figure."
        ),
        "No difference": (
            f"The intervals of all six metrics exclude a change of {effect} % or more; that of the error "
            f"rate, one of {effect} percentage points."
        ),
        "Too little data": "Neither can be said of the metrics that are named: more calls would tell.",
        "Intervals": (
            f"{LEVEL:.0%} confidence. Percentiles: order statistics of both runs by the binomial "
            "distribution, which assumes nothing of the latencies; at least 30 calls have to lie beyond a "
            "percentile. Mean: normal. Error rate: Newcombe's hybrid score. Calls that depend on each other, "
            "as in a burst, make them too narrow."
        ),
        "Metrics": f"{', '.join(map(metric_header, METRICS))}; throughput decides nothing.",
        "Throughput": (
            "Successful calls, divided by the time from the first start to the last end and the resolution "
            "of the clock. It has no interval: seconds are not independent."
        ),
        **_cost_note(comparison),
        "pp": "Percentage points.",
        NOTHING: "No such value.",
    }
    return Section(title="How to read this", anchor="how-to-read", blocks=(Notes(items=items),))


def _cost_note(comparison: Comparison) -> dict[str, str]:
    if not comparison.prices:
        return {}
    bases = {basis for name in _BASES for basis in comparison.costs[name]}
    return {
        "Cost": (
            "The price of a second of the calls' memory size, times what a call is billed; and what "
            "requests, bytes, cold starts and failures cost. A call is billed: "
            f"{priced_text(bases, comparison.prices)}"
        )
    }
