"""``loadlens compare``: is a candidate run better or worse than a base run, key by key."""

import math
import re
from collections.abc import Sequence
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import polars as pl
import typer
from rich.table import Table
from rich.text import Text

from loadlens.analyze import json_text
from loadlens.commands.options import By, Format, Map, MaxRejects, Overwrite, Quiet
from loadlens.comparison import VERDICTS, Comparison, compare
from loadlens.errors import GateFailedError, UsageError
from loadlens.publish import existing_paths, publish_folder, refuse_output_inside, write_text
from loadlens.report.columns import column_header, format_value
from loadlens.report.comparison import (
    change_text,
    comparison_report,
    deciding_text,
    figure_text,
    metric_header,
    verdict_sentence,
)
from loadlens.report.page import render
from loadlens.results import ChartFormat, write_csv
from loadlens.sources import Log, Reading, find_toolkit_folder, open_log
from loadlens.terminal import MOST_ROWS, console_of_width, inert, progress_display

__all__ = ["FailOn", "compare_command", "write_comparison"]

_WIDTH_WITHOUT_TERMINAL: Final = 200
_SHOWN: Final = ("error_rate", "mean", "p50", "p95", "p99", "throughput")


class FailOn(StrEnum):
    """Values of --fail-on."""

    WORSE = "worse"


def compare_command(  # noqa: PLR0917  # the parameters of a command are its options
    base: Annotated[str, typer.Argument(metavar="BASE", help="Log of the run to compare with.")],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="Log of the run in question.")],
    by: By = None,
    min_effect: Annotated[
        str, typer.Option(help="Smallest change that counts, of the base's figure.")
    ] = "5%",
    fail_on: Annotated[
        FailOn | None, typer.Option(help="Exit with 1 if a key has this verdict.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; it appears whole or not at all.", show_default=False)
    ] = None,
    log_format: Format = None,
    column_map: Map = None,
    max_rejects: MaxRejects = "0",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print comparison.json instead of a table.")
    ] = False,
) -> None:
    """Compare two runs key by key: differences, confidence intervals, verdicts."""
    reading = Reading.of(format=log_format, column_map=column_map, max_rejects=max_rejects)
    if out is not None:
        refuse_output_inside(out, existing_paths([base, candidate]))
    with progress_display(quiet=quiet) as display:
        found = compare(
            *_logs(base, candidate, reading),
            by or None,
            min_effect=_share(min_effect),
            base_name=base,
            candidate_name=candidate,
            on_progress=display.on_progress,
        )
        if out is not None:
            display.on_stage("Writing the report")
            publish_folder(out, lambda folder: write_comparison(found, folder), overwrite=overwrite)
    if as_json:
        typer.echo(json_text(_document(found)), nl=False)
    elif not quiet:
        _print(found, out)
    if fail_on is not None and found.verdicts[fail_on.value]:
        raise GateFailedError(verdict_sentence(found).removesuffix("."))


def write_comparison(
    comparison: Comparison, folder: Path, chart_formats: Sequence[ChartFormat] = ("png",)
) -> None:
    """Writes comparison.csv, comparison.json, report.html and charts into an existing folder."""
    from loadlens.charts import save_chart, svg_text
    from loadlens.charts.comparison import comparison_density_chart, comparison_spectrum_chart

    charts = {
        "latency_density": comparison_density_chart(comparison.density, comparison.drawn, comparison.by),
        "latency_spectrum": comparison_spectrum_chart(comparison.spectrum, comparison.drawn, comparison.by),
    }
    write_csv(comparison.metrics, folder / "comparison.csv")
    (folder / "charts").mkdir()
    for name, chart in charts.items():
        for suffix in chart_formats:
            save_chart(chart, folder / "charts" / f"{name}.{suffix}")
    report = comparison_report(
        comparison=comparison,
        version=version("loadlens"),
        figures={name: svg_text(chart) for name, chart in charts.items()},
    )
    texts = {"report.html": render(report), "comparison.json": json_text(_document(comparison))}
    for name, text in texts.items():
        write_text(folder / name, text)


def _logs(base: str, candidate: str, reading: Reading) -> tuple[Log, Log]:
    for source in (base, candidate):
        if find_toolkit_folder(source):
            raise UsageError(
                f"{source}: is a results folder of the toolkit; name an invocation log in it, such as "
                f"concurrency_benchmark_raw_results/invocation_benchmark_results.csv"
            )
    return open_log(base, reading=reading), open_log(candidate, reading=reading)


def _share(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *%", text.strip())
    if not match:
        raise UsageError(f"--min-effect: got {text!r}, expected a percentage such as 5%")
    return float(match[1]) / 100


def _document(comparison: Comparison) -> dict[str, Any]:
    document = {"loadlens_version": version("loadlens"), **comparison.document}
    return {
        name: [_plain(row) if isinstance(row, dict) else row for row in part]
        if isinstance(part, list)
        else part
        for name, part in document.items()
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Keys may be of any type; as JSON can hold them."""
    return {
        name: value
        if value is None
        or isinstance(value, str | int)
        or (isinstance(value, float) and math.isfinite(value))
        else str(value)
        for name, value in row.items()
    }


def _print(comparison: Comparison, out: Path | None) -> None:
    console = console_of_width(_WIDTH_WITHOUT_TERMINAL)
    console.print(_table(comparison))
    rest = comparison.keys.height - MOST_ROWS
    lines = [f"{rest:,} more keys."] if rest > 0 else []
    lines += [*_one_run_only(comparison), *[f"Warning: {sentence}" for sentence in comparison.warnings]]
    lines.append(verdict_sentence(comparison))
    if out is not None:
        lines.append(f"Report: {out / 'report.html'}")
    for line in lines:
        console.print(Text(inert(line)), soft_wrap=True)


def _table(comparison: Comparison) -> Table:
    title = f"{comparison.candidate} against {comparison.base}: candidate and its change"
    table = Table(title=Text(inert(title), style="bold"), title_justify="left")
    for name in comparison.by:
        table.add_column(Text(inert(column_header(name))))
    for name in ("Verdict", "Because of"):
        table.add_column(name)
    for name in ("Calls", *map(metric_header, _SHOWN)):
        table.add_column(name, justify="right")
    keys = comparison.keys.with_row_index("row").sort(pl.col("verdict").cast(pl.Enum(VERDICTS)), "row")
    metrics = comparison.metrics.filter(pl.col("metric").is_in(_SHOWN))
    for key in keys.head(MOST_ROWS).iter_rows(named=True):
        figures = metrics[len(_SHOWN) * key["row"] : len(_SHOWN) * (key["row"] + 1)]
        cells = [format_value(name, key[name]) for name in comparison.by]
        cells += [
            key["verdict"],
            deciding_text(key["deciding"]),
            f"{key['base_calls']:,} → {key['candidate_calls']:,}",
        ]
        cells += [_cell(figure) for figure in figures.iter_rows(named=True)]
        table.add_row(*[Text(inert(cell)) for cell in cells])
    return table


def _cell(figure: dict[str, Any]) -> str:
    """The candidate's figure and its change, such as ``24.0 (+10.0%)``."""
    metric = figure["metric"]
    change = change_text(metric, figure["difference"], figure["base"])
    return f"{figure_text(metric, figure['candidate'])} ({change})"


def _one_run_only(comparison: Comparison) -> list[str]:
    found = []
    for run, frame in (("base", comparison.only_in_base), ("candidate", comparison.only_in_candidate)):
        names = [
            " · ".join(format_value(name, value) for name, value in zip(comparison.by, row, strict=True))
            for row in frame.select(comparison.by).head(MOST_ROWS).iter_rows()
        ]
        rest = f" and {frame.height - MOST_ROWS:,} more" if frame.height > MOST_ROWS else ""
        if names:
            found.append(f"Only in the {run}, not compared: {', '.join(names)}{rest}")
    return found
