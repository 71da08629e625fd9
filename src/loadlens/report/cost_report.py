"""The report on what it costs to run, and what to run."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from loadlens.cost import Capacity, CostComparison, percentile_text, priced_text
from loadlens.cost.prices import PriceTable
from loadlens.messages import sentence
from loadlens.report.columns import format_money, format_value
from loadlens.report.page import Block, Callout, Card, Figure, Image, Notes, Report, Section, Table
from loadlens.report.sections import counted, joined, settings_table

__all__ = ["choice_card", "cost_headers", "cost_report", "cost_section"]

_MOST_ROWS: Final = 200
_CAPTIONS: Final[Mapping[str, str]] = {
    "pareto": "Cost per 1M invocations over latency: nothing is both cheaper and faster than the front.",
    "break_even": "Monthly cost over monthly volume: each call is paid for, or instances in steps.",
}


def cost_headers(comparison: CostComparison) -> dict[str, str]:
    """What the columns of the comparison's tables are called in a report or on a terminal, with units."""
    money = comparison.currency
    return {
        "option": "Option",
        "kind": "Kind",
        "latency_ms": f"{percentile_text(comparison.percentile)} (ms)",
        "duration_basis": "Priced by",
        "billed_ms": "Billed a call (ms)",
        "cold_starts": "Cold starts",
        "failures_without_duration": "Failures not priced",
        "call_cost_per_1M": f"Calls per 1M ({money})",
        "cold_start_cost_per_1M": f"Cold starts per 1M ({money})",
        "failure_cost_per_1M": f"Failures per 1M ({money})",
        "units": "Instances or environments",
        "monthly_cost": f"Cost a month ({money})",
        "dominated": "Dominated",
        "instance": "Instance",
        "first_invocations": "From invocations a month",
        "last_invocations": "To",
        "cheaper": "Cheaper",
        "num_instances": "Instances there",
        "sustained": "Sustained",
    }


def cost_report(
    *,
    source: str,
    version: str,
    comparison: CostComparison,
    figures: Mapping[str, Image],
    remarks: Sequence[str] = (),
) -> Report:
    """The report of a comparison of costs.

    Args:
        source: what the report calls the input.
        version: of loadlens.
        comparison: the costs.
        figures: the charts ``pareto`` and ``break_even``.
        remarks: what was found out about the log, each a sentence without its end.
    """
    return Report(
        title="Cost report",
        subtitle=source,
        cards=_cards(comparison),
        sections=(
            _choice(comparison, figures, {"Input": source}),
            _configurations(comparison, remarks),
            *_month(comparison),
            _break_even(comparison, figures),
            _prices(comparison.tables),
            _how_to_read(comparison),
        ),
        footer=f"Made by loadlens {version}.",
    )


def cost_section(comparison: CostComparison, figures: Mapping[str, Image]) -> Section:
    """The same as one section of another report, whose folder has all rows in summary.json.

    Args:
        comparison: the costs.
        figures: the charts ``pareto`` and ``break_even``.
    """
    whole = "summary.json"
    return joined(
        (
            _choice(comparison, figures, {}),
            _configurations(comparison, (), whole),
            *_month(comparison, whole),
            _break_even(comparison, figures, whole),
            _prices(comparison.tables),
            _how_to_read(comparison),
        ),
        title="Cost",
        anchor="cost",
        lead="What it costs to run at each configuration, and which one to run.",
    )


def choice_card(comparison: CostComparison) -> Card:
    """What to run."""
    option = comparison.choice.option
    if option is None:
        return Card(label="Recommended", value="none", detail="no option can be recommended")
    cost = format_money(option["cost_per_1M_invocations"], comparison.currency)
    latency = format_value("average_latency", option["latency_ms"])
    figures = f"{cost} per 1M invocations, {percentile_text(comparison.percentile)} {latency} ms"
    strategy = comparison.choice.strategy.name
    return Card(label="Recommended", value=option["option"], detail=f"{figures} (strategy {strategy})")


def _cards(comparison: CostComparison) -> tuple[Card, ...]:
    option = comparison.choice.option
    if option is None:
        return (choice_card(comparison),)
    name, currency = option["option"], comparison.currency
    per_million = format_money(option["cost_per_1M_invocations"], currency)
    latency = f"{format_value('average_latency', option['latency_ms'])} ms"
    cards = [
        choice_card(comparison),
        Card(label="Cost per 1M invocations", value=per_million, detail=f"for {name}"),
        Card(label=f"{percentile_text(comparison.percentile)} latency", value=latency, detail=f"for {name}"),
    ]
    if comparison.traffic:
        row = comparison.monthly.row(by_predicate=pl.col("option") == name, named=True)
        volume = f"for {comparison.traffic.monthly_invocations:,.0f} invocations"
        cards.append(
            Card(label="Cost a month", value=format_money(row["monthly_cost"], currency), detail=volume)
        )
    return tuple(cards)


def _choice(comparison: CostComparison, figures: Mapping[str, Image], settings: Mapping[str, str]) -> Section:
    """What to run, and the options, after other ``settings``."""
    strategy = comparison.choice.strategy
    settings = {
        **settings,
        "Price tables": ", ".join(table.short_name for table in comparison.tables),
        "Configurations by": ", ".join(comparison.by),
        "Strategy": f"{strategy.name}, weight of cost {strategy.weight:g}"
        if strategy.name == "balanced"
        else strategy.name,
        "Traffic": comparison.traffic.description if comparison.traffic else "not told",
    }
    if strategy.objective:
        settings["Objective"] = str(strategy.objective)
    blocks: list[Block] = [Callout(text=comparison.choice.reason, kind="result")]
    blocks += [
        Callout(text=f"{table.name}: {table.note}") for table in comparison.tables if table.from_memory
    ]
    if "pareto" in figures:
        blocks.append(Figure(caption=_CAPTIONS["pareto"], picture=figures["pareto"]))
    blocks.append(settings_table("Input and options", settings))
    return Section(title="What to run", anchor="what-to-run", blocks=tuple(blocks))


def _configurations(comparison: CostComparison, remarks: Sequence[str], file: str = "costs.csv") -> Section:
    costs, by = comparison.costs, comparison.by
    # An option is named by its price table only where there are several.
    is_keyed = len(comparison.tables) == 1
    names = by if is_keyed else ("option",)
    figures = costs.drop("prices", "option", *by, "num_rows", "cost_per_invocation")
    # The failures are those of the log, whichever table prices them.
    unpriced = int(costs.unique(by)["failures_without_duration"].sum())
    blocks: list[Block] = [
        _table(
            "Cost of a successful call, by configuration",
            pl.concat([costs.select(names), figures], how="horizontal"),
            comparison,
            file,
            num_keys=len(names),
        )
    ]
    if unpriced:
        were = counted(unpriced, "failure was", "failures were")
        blocks.append(Callout(text=f"{were} throttled or have no duration and cost nothing here."))
    blocks += [Callout(text=sentence(remark)) for remark in remarks]
    return Section(
        title="Cost of the configurations",
        anchor="configurations",
        lead="What a warm call costs, what cold starts and failures add, and the sum.",
        blocks=tuple(blocks),
    )


def _month(comparison: CostComparison, file: str = "monthly.csv") -> tuple[Section, ...]:
    """The month at the given traffic, and what instances can take; no section without either."""
    blocks: list[Block] = []
    if comparison.traffic:
        blocks.append(_table("A month at this traffic", comparison.monthly, comparison, file))
    if comparison.capacities:
        blocks.append(_capacity_table(comparison.capacities))
    blocks += [
        _table(f"{capacity.instance} under load", capacity.levels, comparison, "the JSON file")
        for capacity in comparison.capacities
        if capacity.levels is not None
    ]
    if not blocks:
        return ()
    traffic = comparison.traffic
    lead = (
        f"{traffic.monthly_invocations:,.0f} successful invocations a month, {traffic.peak_rate:,.4g} per "
        f"second at the peak; instances needed are the peak over the capacity of one, rounded up."
        if traffic
        else "No traffic was told, so break-even holds for calls that come evenly spread."
    )
    return (Section(title="Traffic and capacity", anchor="traffic", lead=lead, blocks=tuple(blocks)),)


def _capacity_table(capacities: Sequence[Capacity]) -> Table:
    frame = pl.DataFrame(
        {
            "Instance": [capacity.instance for capacity in capacities],
            "Capacity (1/s)": [capacity.rate for capacity in capacities],
            "Basis": [capacity.basis for capacity in capacities],
        }
    )
    return Table(caption="Capacity of one instance", frame=frame)


def _break_even(
    comparison: CostComparison, figures: Mapping[str, Image], file: str = "break_even.csv"
) -> Section:
    if not comparison.capacities:
        text = (
            "No capacity of an instance is known, so there is no break-even: tell it (--capacity TYPE=RATE) "
            "or measure it (--capacity TYPE=LOG, a log of the instance under load)."
        )
        return Section(title="Break-even", anchor="break-even", blocks=(Callout(text=text),))
    blocks: list[Block] = []
    if "break_even" in figures:
        blocks.append(Figure(caption=_CAPTIONS["break_even"], picture=figures["break_even"]))
    caption = "Which is cheaper over monthly volumes; costs at the first volume of each row"
    blocks.append(_table(caption, comparison.break_even, comparison, file, num_keys=2))
    return Section(
        title="Break-even",
        anchor="break-even",
        lead="Instances come in whole numbers, so serverless may become the cheaper one again at a step.",
        blocks=tuple(blocks),
    )


def _prices(tables: Sequence[PriceTable]) -> Section:
    frame = pl.DataFrame(
        {
            "Table": [table.short_name for table in tables],
            "Service": [table.name for table in tables],
            "Region": [table.region for table in tables],
            "Currency": [table.currency for table in tables],
            "Valid": [f"{table.valid_from} to {table.valid_until or 'now'}" for table in tables],
            "Source": [table.source for table in tables],
        }
    )
    return Section(title="Prices", anchor="prices", blocks=(Table(caption="Price tables", frame=frame),))


def _table(
    caption: str, frame: pl.DataFrame, comparison: CostComparison, file: str, num_keys: int = 1
) -> Table:
    rest = frame.height > _MOST_ROWS
    headers = {name: text for name, text in cost_headers(comparison).items() if name in frame.columns}
    return Table(
        caption=caption,
        frame=frame.head(_MOST_ROWS).rename(headers),
        num_keys=num_keys,
        note=f"The first {_MOST_ROWS:,} of {frame.height:,} rows; {file} has them all." if rest else "",
        currency=comparison.currency,
    )


def _how_to_read(comparison: CostComparison) -> Section:
    items = {
        "Billed a call": priced_text(
            set(comparison.costs["duration_basis"]),
            comparison.tables,
            rounding_error=comparison.rounding_error,
        ),
        "Per 1M": "Per million successful calls; failures and cold starts are spread over them.",
        "Cold starts": "What they were billed beyond warm calls; a dash where the log does not tell them.",
        "Several price tables": "Each prices the durations of the same log: none was measured on the other.",
        "Instances or environments": (
            "Instances, or provisioned concurrency, which serves one call at a time; both run the whole "
            "month of 30 days. A dash where calls alone are paid for."
        ),
        "Capacity": (
            "The highest throughput of a load level that kept at most 1 % errors and, if one was given, the "
            "latency objective."
        ),
        "Front": "Options that no other one beats in cost and latency at once; the others are dominated.",
    }
    return Section(title="How to read this", anchor="how-to-read", blocks=(Notes(items=items),))
