"""The report of a results folder: recommendation, stability, concurrency and cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from loadlens.cost.break_even import CostAnalysis
from loadlens.report.columns import format_money, format_value, key_text
from loadlens.report.detail_sections import failures_section
from loadlens.report.load_report import scalability_table
from loadlens.report.page import Block, Callout, Card, Figure, Image, Report, Section, Table
from loadlens.report.run_data import runs_of
from loadlens.report.sections import (
    VIEW_CAPTIONS,
    counted,
    density_caption,
    endpoint_table,
    evenly_chosen,
    fence_note,
    how_to_read,
    invocation_tables,
    latency_note,
    percentile_note,
    quality_lead,
    quality_table,
    settings_table,
    total,
)
from loadlens.summaries import ConcurrencyStatistics, InvocationStatistics, StabilityStatistics

__all__ = ["break_even_sentence", "cost_cards", "recommendation_sentence", "toolkit_report"]

_STABILITY_KEY: Final = ("memory_size",)
_CONCURRENCY_KEY: Final = ("max_concurrency", "num_clients", "memory_size")
_CONCURRENCY_METRICS_KEY: Final = ("memory_size", "max_concurrency")
_SAVINGS_ROWS: Final = 12
_STABILITY_FILE: Final = "invocation_benchmark_summary.csv"
_CONCURRENCY_FILE: Final = "concurrency_benchmark_summary.csv"
_STABILITY_REST: Final = ", before outliers are removed; the chart leaves out the calls above the fence."
_FENCED: Final = (
    "Median, mean, maximum, IQR, TPS and throughput describe the successful calls at or below the fence; p90 "
    "to p99.9 and the true maximum describe every successful call."
)
_UNFENCED: Final = "All figures describe every successful call."
_CONCURRENCY_SPREAD: Final = "by number of clients, a panel for each maximum concurrency"
_CAPTIONS: Final[Mapping[str, str]] = {
    "cost_vs_performance": "Cost per 1M invocations and average latency by memory size.",
    **{
        f"{part}_{view}": text
        for part in ("stability", "concurrency")
        for view, text in VIEW_CAPTIONS.items()
    },
    "cost_savings": "Monthly cost of serverless and of the comparable instance by monthly invocations.",
}


def recommendation_sentence(cost: CostAnalysis) -> str:
    """Why the recommended size, against the cheapest and the fastest one."""
    priced = cost.metrics_with_cost.drop_nulls(["average_latency", "cost_per_1M_invocations"])
    cheapest = priced.sort("cost_per_1M_invocations", "average_latency").row(0, named=True)
    fastest = priced.sort("average_latency", "cost_per_1M_invocations").row(0, named=True)
    size = cost.optimal_memory_config
    best = priced.row(by_predicate=pl.col("memory_size") == size, named=True)
    is_cheapest = best["cost_per_1M_invocations"] == cheapest["cost_per_1M_invocations"]
    is_fastest = best["average_latency"] == fastest["average_latency"]
    if priced.height == 1:
        comparison = "the only size with all figures"
    elif is_cheapest and is_fastest:
        comparison = f"both the fastest and the cheapest of the {priced.height} sizes"
    elif is_fastest:
        comparison = f"the fastest of the {priced.height} sizes, against {_named(cheapest, 'cheapest', cost)}"
    elif is_cheapest:
        comparison = f"the cheapest of the {priced.height} sizes, against {_named(fastest, 'fastest', cost)}"
    elif cheapest == fastest:
        comparison = f"against {_named(cheapest, 'cheapest and fastest', cost)}"
    else:
        comparison = f"against {_named(cheapest, 'cheapest', cost)} and {_named(fastest, 'fastest', cost)}"
    return (
        f"{_size(size)} has the lowest latency times cost once larger sizes are discounted: "
        f"{_figures(best, cost)}, {comparison}."
    )


def break_even_sentence(cost: CostAnalysis) -> str:
    """Up to which monthly volume the recommended size costs less than the comparable instance."""
    if not math.isfinite(cost.break_even_invocations):
        return f"An invocation costs nothing at these prices, so {cost.comparable_instance} is never cheaper."
    if cost.break_even_invocations <= 0:
        return f"{cost.comparable_instance} costs nothing at these prices, so serverless is never cheaper."
    monthly = format_money(cost.instance_monthly_cost, cost.prices.currency)
    return (
        f"Up to {_volume(cost)} invocations a month, serverless at {_size(cost.optimal_memory_config)} costs "
        f"less than the comparable instance, {cost.comparable_instance} at {monthly} a month."
    )


def cost_cards(cost: CostAnalysis) -> tuple[Card, ...]:
    """Recommendation, its latency and cost, and the break-even as key figures."""
    best = cost.metrics_with_cost.row(
        by_predicate=pl.col("memory_size") == cost.optimal_memory_config, named=True
    )
    size = _size(cost.optimal_memory_config)
    monthly = format_money(cost.instance_monthly_cost, cost.prices.currency)
    per_million = format_money(best["cost_per_1M_invocations"], cost.prices.currency)
    latency = format_value("average_latency", best["average_latency"])
    finite = math.isfinite(cost.break_even_invocations)
    return (
        Card(label="Recommended memory", value=size, detail="lowest discounted latency times cost"),
        Card(label="Average latency", value=f"{latency} ms", detail=f"model and overhead at {size}"),
        Card(label="Cost per 1M invocations", value=per_million, detail=f"at {size}"),
        Card(
            label="Break-even",
            value=_volume(cost) if finite else "none",
            detail=f"invocations a month, against {cost.comparable_instance} at {monthly}",
        ),
    )


def _named(row: dict[str, float], name: str, cost: CostAnalysis) -> str:
    return f"{_figures(row, cost)} for the {name} ({_size(row['memory_size'])})"


def _figures(row: dict[str, float], cost: CostAnalysis) -> str:
    latency = format_value("average_latency", row["average_latency"])
    per_million = format_money(row["cost_per_1M_invocations"], cost.prices.currency)
    return f"{latency} ms at {per_million} per 1M invocations"


def _size(memory_size: float) -> str:
    return f"{format_value('memory_size', memory_size)} MB"


def _volume(cost: CostAnalysis) -> str:
    return f"{math.floor(cost.break_even_invocations):,}"


def toolkit_report(
    *,
    source: str,
    version: str,
    options: Mapping[str, str],
    stability: StabilityStatistics | None,
    concurrency: ConcurrencyStatistics | None,
    cost: CostAnalysis | None,
    no_cost_reason: str | None,
    figures: Mapping[str, Image],
) -> Report:
    """The report of a results folder; a part that is None is left out or its absence explained.

    Args:
        source: what the report calls the input.
        version: of loadlens.
        options: the options as the report shows them; ``Outlier fence`` names the fence.
        stability: the stability analysis.
        concurrency: the concurrency analysis.
        cost: the cost analysis.
        no_cost_reason: why there is no cost analysis, as a sentence.
        figures: the charts ``stability_latency_density``, ``concurrency_latency_density``,
            ``cost_vs_performance`` and ``cost_savings``, and of ``<part>_failures``, as far as there are any.
    """
    sections = [
        _at_a_glance(cost, no_cost_reason),
        _configuration(source, options, cost),
        *([_stability(stability, figures)] if stability else []),
        *([_concurrency(concurrency, figures)] if concurrency else []),
        *_failures(stability, concurrency, figures),
        _cost(cost, figures) if cost else _no_cost(no_cost_reason),
        _quality(stability, concurrency),
        how_to_read(_explanations(options, stability, concurrency, cost), options),
    ]
    return Report(
        title="Serverless benchmark report",
        subtitle=source,
        cards=_cards(stability, concurrency, cost),
        sections=tuple(sections),
        footer=f"Made by loadlens {version}.",
        runs=runs_of({"stability": stability, "concurrency": concurrency}),
    )


def _at_a_glance(cost: CostAnalysis | None, no_cost_reason: str | None) -> Section:
    if cost is None:
        texts = [f"No memory size is recommended. {no_cost_reason or 'There is no cost analysis.'}"]
    else:
        texts = [recommendation_sentence(cost), break_even_sentence(cost)]
    callouts = tuple(Callout(text=text, kind="result" if cost else "note") for text in texts)
    return Section(title="At a glance", anchor="at-a-glance", blocks=callouts)


def _cards(
    stability: StabilityStatistics | None,
    concurrency: ConcurrencyStatistics | None,
    cost: CostAnalysis | None,
) -> tuple[Card, ...]:
    return (
        *(cost_cards(cost) if cost else ()),
        *([_calls_card("Stability calls", stability.quality)] if stability else []),
        *([_calls_card("Concurrency calls", concurrency.quality)] if concurrency else []),
    )


def _calls_card(label: str, quality: pl.DataFrame) -> Card:
    rows, errors = total(quality, "num_rows"), total(quality, "num_errors")
    rate = format_value("error_rate", errors / rows if rows else None)
    sizes = counted(quality.height, "configuration")
    return Card(label=label, value=f"{rows:,}", detail=f"in {sizes}; {errors:,} failed ({rate})")


def _configuration(source: str, options: Mapping[str, str], cost: CostAnalysis | None) -> Section:
    settings = {"Input": source, **options}
    if cost:
        prices = cost.prices
        named = [prices.name, prices.region, f"valid from {prices.valid_from}" if prices.valid_from else ""]
        settings |= {
            "Prices": ", ".join(text for text in named if text),
            "Price source": prices.source or "not stated",
            "Average request size": f"{format_value('', cost.average_request_size)} bytes",
            "Average response size": f"{format_value('', cost.average_response_size)} bytes",
        }
    return Section(
        title="Benchmark configuration",
        anchor="configuration",
        blocks=(settings_table("Input, options and prices", settings),),
    )


def _failures(
    stability: StabilityStatistics | None,
    concurrency: ConcurrencyStatistics | None,
    figures: Mapping[str, Image],
) -> list[Section]:
    """The failed calls of both benchmarks, as far as there are any."""
    parts = {"stability": stability, "concurrency": concurrency}
    found = [
        failures_section(
            part,
            figures.get(f"{name}_failures"),
            run=name,
            of=f"{name} benchmark",
            file="summary.json",
        )
        for name, part in parts.items()
        if part
    ]
    return [section for section in found if section]


def _stability(stability: StabilityStatistics, figures: Mapping[str, Image]) -> Section:
    return Section(
        title="Stability",
        anchor="stability",
        lead=(
            f"Latency by memory size under a steady load. Latencies describe every successful call"
            f"{_STABILITY_REST if stability.kept_columns else '.'}{latency_note(stability.relative_error)}"
        ),
        blocks=(
            *_tables("stability", stability, _STABILITY_KEY, _STABILITY_FILE),
            *_density(figures, "stability", "at each memory size", stability.outliers),
            *_views(figures, "stability"),
            *_metrics(stability.endpoint_metrics, _STABILITY_KEY),
        ),
    )


def _concurrency(concurrency: ConcurrencyStatistics, figures: Mapping[str, Image]) -> Section:
    return Section(
        title="Concurrency",
        anchor="concurrency",
        lead=(
            f"Latency, errors and throughput by how many clients call at once. "
            f"{_FENCED if concurrency.kept_columns else _UNFENCED}{latency_note(concurrency.relative_error)}"
        ),
        blocks=(
            *_tables("concurrency", concurrency, _CONCURRENCY_KEY, _CONCURRENCY_FILE),
            *_density(figures, "concurrency", _CONCURRENCY_SPREAD, concurrency.outliers),
            *_scaling(concurrency),
            *_views(figures, "concurrency"),
            *_metrics(concurrency.endpoint_metrics, _CONCURRENCY_METRICS_KEY),
        ),
    )


def _scaling(concurrency: ConcurrencyStatistics) -> list[Block]:
    """The universal scalability law by clients, of each system that tells it, and why others do not."""
    blocks: list[Block] = []
    untold: dict[str, list[str]] = {}
    for key, law in concurrency.scalability.items():
        system = key_text(("max_concurrency", "memory_size"), key)
        if law.reason is None:
            blocks.append(scalability_table(law, of=f"clients, {system}", load="clients"))
        else:
            untold.setdefault(law.reason, []).append(system)
    blocks += [
        Callout(text=f"How throughput scales with clients cannot be told of {'; '.join(some)}: {reason}.")
        for reason, some in untold.items()
    ]
    return blocks


def _metrics(metrics: pl.DataFrame | None, key: Sequence[str]) -> tuple[Block, ...]:
    if metrics is None:
        return (Callout(text="This benchmark has no endpoint metrics (endpoint_metrics.csv)."),)
    if metrics.is_empty():
        return (Callout(text="The endpoint metrics hold no data for this benchmark."),)
    return (endpoint_table(metrics, key),)


def _tables(run: str, part: InvocationStatistics, key: Sequence[str], file: str) -> tuple[Table, ...]:
    """The summary of a part, whose figures follow what is selected of its run."""
    return tuple(replace(table, run=run) for table in invocation_tables(part, key, file=file))


def _density(figures: Mapping[str, Image], part: str, what: str, outliers: str) -> tuple[Figure, ...]:
    chart = figures.get(f"{part}_latency_density")
    caption = density_caption(what, outliers)
    return (Figure(caption=caption, picture=chart, name="latency_density", run=part),) if chart else ()


def _views(figures: Mapping[str, Image], part: str) -> tuple[Figure, ...]:
    """The charts that every summary has, of one part."""
    return tuple(
        replace(figure, name=view, run=part)
        for view in VIEW_CAPTIONS
        for figure in _figure(figures, f"{part}_{view}")
    )


def _figure(figures: Mapping[str, Image], name: str) -> tuple[Figure, ...]:
    return (Figure(caption=_CAPTIONS[name], picture=figures[name]),) if name in figures else ()


def _no_cost(reason: str | None) -> Section:
    text = reason or "There is no cost analysis."
    return Section(title="Cost", anchor="cost", blocks=(Callout(text=text),))


def _cost(cost: CostAnalysis, figures: Mapping[str, Image]) -> Section:
    return Section(
        title="Cost",
        anchor="cost",
        lead=(
            "What an invocation costs at each memory size, and up to which volume the recommended size costs "
            "less than an instance that runs all month (30 days)."
        ),
        blocks=(
            Table(
                caption="Endpoint metrics with cost",
                frame=cost.metrics_with_cost,
                currency=cost.prices.currency,
            ),
            *_figure(figures, "cost_vs_performance"),
            *_savings(cost),
            *_figure(figures, "cost_savings"),
        ),
    )


def _savings(cost: CostAnalysis) -> tuple[Table, ...]:
    shown = evenly_chosen(cost.savings, _SAVINGS_ROWS)
    if shown.is_empty():
        return ()
    rest = cost.savings.height > shown.height
    table = Table(
        caption=f"Savings at {format_value('memory_size', cost.optimal_memory_config)} MB against "
        f"{cost.comparable_instance}",
        frame=shown,
        note=f"{shown.height:,} of {cost.savings.height:,} rows; cost_savings_summary.csv has them all."
        if rest
        else "",
        currency=cost.prices.currency,
    )
    return (table,)


def _quality(stability: StabilityStatistics | None, concurrency: ConcurrencyStatistics | None) -> Section:
    tables = []
    if stability:
        tables.append(quality_table("Stability log", stability, _STABILITY_KEY, file="summary.json"))
    if concurrency:
        tables.append(quality_table("Concurrency log", concurrency, _CONCURRENCY_KEY, file="summary.json"))
    parts = [part for part in (stability, concurrency) if part]
    return Section(
        title="Data quality",
        anchor="data-quality",
        lead=quality_lead(parts),
        blocks=tuple(tables),
        lead_is_of_run=True,
    )


def _explanations(
    options: Mapping[str, str],
    stability: StabilityStatistics | None,
    concurrency: ConcurrencyStatistics | None,
    cost: CostAnalysis | None,
) -> dict[str, str]:
    fence = [fence_note(options)]
    if stability:
        fence.append("Stability: taken over the successful calls.")
    if concurrency:
        fence.append("Concurrency: taken over all calls as logged, failures (-1 ms) included.")
    items = {
        "Fence": " ".join(fence),
        **percentile_note(options),
    }
    if cost:
        items |= {
            "Average latency": "In the cost part: model latency plus the mean overhead latency of all sizes.",
            "Recommendation": (
                "The size with the least product of average latency and cost; each larger size gets a larger "
                "discount, down to half."
            ),
            "Break-even": "Monthly price of the instance divided by the cost of an invocation.",
        }
    return items
