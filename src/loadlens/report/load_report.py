"""The section of a report on the load: what it was, and how latency and throughput depend on it."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from loadlens.messages import sentence
from loadlens.report.page import RUN, Block, Callout, Figure, Image, Section, Table
from loadlens.summaries import InvocationStatistics
from loadlens.summaries.load import Load
from loadlens.summaries.scalability import Scalability

__all__ = ["LOAD_CAPTIONS", "load_section", "scalability_table"]

LOAD_CAPTIONS: Final[Mapping[str, str]] = {
    "load": (
        "Successful calls per second and latency against active calls: small points are windows of time, "
        "large ones levels of the load."
    ),
}
"""Captions of the charts on load, by their names."""

_NAMES: Final = {
    "rate_per_s": "Rate of one call alone (1/s)",
    "contention": "Contention (sigma)",
    "coherency": "Coherency (kappa)",
    "knee_load": "Knee ({load})",
    "peak_load": "Peak ({load})",
    "peak_throughput": "Throughput at the peak (1/s)",
}


def load_section(part: InvocationStatistics, figures: Mapping[str, Image]) -> Section | None:
    """The load of a run; None where the log tells neither its mean nor its levels.

    Args:
        part: the summary.
        figures: the charts by their names.
    """
    load = part.load
    if load.mean_active is None and load.table.is_empty():
        return None
    blocks: list[Block] = [Callout(text=sentence(load.warning))] if load.warning else []
    blocks += [
        Figure(caption=text, picture=figures[name], name=name, run=RUN)
        for name, text in LOAD_CAPTIONS.items()
        if name in figures
    ]
    if load.scalability.reason is None:
        blocks.append(scalability_table(load.scalability))
    if not load.table.is_empty():
        blocks.append(_levels(load.table))
    told = " ".join(_told(load))
    return Section(title="Load", anchor="load", lead=told, blocks=tuple(blocks), lead_is_of_run=True)


def _told(load: Load) -> list[str]:
    told = []
    if load.mean_active is not None:
        peak = "" if load.peak_active is None else f", at most {load.peak_active:,} at any second"
        told.append(f"Active calls: {load.mean_active:,.4g} on the average over time{peak}.")
    if load.littles_law is not None and load.mean_active is not None and not load.warning:
        told.append(f"Little's law agrees: arrival rate x mean latency is {load.littles_law:,.4g}.")
    return [*told, load.scalability.sentence]


def scalability_table(law: Scalability, *, of: str = "active calls", load: str = "active calls") -> Table:
    """The figures of the law with their intervals.

    Args:
        law: one that is told.
        of: what it is fitted to, for the caption.
        load: the unit of the load.
    """
    rows = [
        (
            name.format(load=load),
            _number(law.figures[figure]),
            " to ".join(map(_number, law.intervals[figure])),
        )
        for figure, name in _NAMES.items()
    ]
    frame = pl.DataFrame(
        rows, schema=dict.fromkeys(("figure", "fitted", "95 % interval"), pl.String), orient="row"
    )
    return Table(
        caption=f"Universal scalability law by {of}, fitted to {law.num_points:,} windows",
        frame=frame,
        figures=("fitted", "95 % interval"),
    )


def _number(value: float) -> str:
    return "none" if value == float("inf") else f"{value:,.4g}"


def _levels(table: pl.DataFrame) -> Table:
    counts, rates = ["calls", "errors"], ["active_from", "active_to", "active_calls", "covered_s"]
    frame = table.select(*rates, *counts, "error_rate", "throughput", "p50_ms", "p95_ms", "p99_ms", "max_ms")
    caption = "Latency and throughput by active calls (load.csv)"
    return Table(caption=caption, frame=frame, num_keys=2, run=RUN, rows="levels")
