"""The results of a benchmark as JSON, as a Markdown table and as a chart."""

import json
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.contenders import FLOOR, LOADLENS
from benchmarks.runner import Outcome

__all__ = ["markdown_table", "results", "runs_text", "write_report"]

Results = dict[str, Any]

_PACKAGES: Final = ("loadlens", "polars", "duckdb", "pandas", "scipy", "numpy", "pyarrow")
_FIGURES: Final = ("wall_s", "query_s", "cpu_s", "peak_mib")
_HEADER: Final = (
    "rows",
    "format",
    "contender",
    "wall s",
    "query s",
    "query / floor",
    "query / loadlens",
    "CPU s",
    "peak MiB",
    "same answers",
)
_NOTES: Final = (
    "Wall: from starting the process until it has ended. Query: after imports, by the contender's own clock. "
    "CPU: user and system time. Peak: the largest resident memory of the process. The floor reads the needed "
    "columns and computes nothing else. Rows with curves make density curves too."
)


def write_report(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Writes ``results.json``, ``results.md``, ``results.svg`` and ``results.png`` into ``folder``."""
    from benchmarks.chart import comparison_chart
    from loadlens.charts import Picture

    folder.mkdir(parents=True, exist_ok=True)
    found = results(outcomes)
    text = json.dumps(found, indent=2, ensure_ascii=False)
    (folder / "results.json").write_text(f"{text}\n", encoding="utf-8", newline="\n")
    (folder / "results.md").write_text(markdown_table(found), encoding="utf-8", newline="\n")
    picture = Picture(comparison_chart(found))
    for suffix in ("svg", "png"):
        picture.save(folder / f"results.{suffix}")


def results(outcomes: Sequence[Outcome]) -> Results:
    """Everything measured, with medians and ratios, and what it was measured on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "runs": max((len(outcome.runs) for outcome in outcomes), default=0),
        "machine": _machine(),
        "versions": {"python": platform.python_version(), **_versions()},
        "results": [_result(outcome, outcomes) for outcome in outcomes],
    }


def _versions() -> dict[str, str]:
    """Of the installed packages; a contender that lacks its own has failed and says so."""
    installed = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
    }


def _result(outcome: Outcome, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    judged = outcome.contender.name != FLOOR and not outcome.skipped
    return {
        "rows": outcome.rows,
        "format": outcome.format,
        "contender": outcome.contender.name,
        "label": outcome.contender.label,
        **{name: outcome.median(name) for name in _FIGURES},
        "query_to_floor": _ratio(outcome, outcomes, FLOOR),
        "query_to_loadlens": _ratio(outcome, outcomes, LOADLENS),
        "same_answers": not outcome.problems if judged else None,
        "problems": outcome.problems,
        "skipped": outcome.skipped,
        "runs": [asdict(run) for run in outcome.runs],
    }


def _ratio(outcome: Outcome, outcomes: Sequence[Outcome], name: str) -> float | None:
    """Query time as a multiple of that of the contender ``name`` on the same log."""
    log = (outcome.rows, outcome.format)
    bases = [other for other in outcomes if (other.rows, other.format, other.contender.name) == (*log, name)]
    seconds = outcome.median("query_s")
    base = bases[0].median("query_s") if bases else None
    return seconds / base if seconds and base else None


def markdown_table(found: Results) -> str:
    """The medians as a Markdown table, with what they were measured on below it."""
    lines = [_line(_HEADER), _line(["--:", "---", "---", *["--:"] * 6, "---"])]
    lines += [_line(_cells(result)) for result in found["results"]]
    machine, versions = found["machine"], found["versions"]
    measured = (
        f"{runs_text(found['runs'])}, {found['date']}, {machine['system']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB of memory; "
        f"{', '.join(f'{name} {value}' for name, value in versions.items())}."
    )
    problems = [f"- {line}" for result in found["results"] for line in result["problems"]]
    return "\n".join([*lines, "", measured, _NOTES, *(["", *problems] if problems else []), ""])


def runs_text(number: int) -> str:
    """How often every contender ran, in words."""
    return f"Medians of up to {number} runs (results.json has each)" if number > 1 else "One run"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(result: dict[str, Any]) -> list[str]:
    name = [f"{result['rows']:,}", result["format"], result["label"]]
    if result["skipped"]:
        return [*name, *["–"] * 6, f"not run: {result['skipped']}"]
    figures = [
        _number(result["wall_s"], ".2f"),
        _number(result["query_s"], ".2f"),
        _number(result["query_to_floor"], ".1f", "×"),
        _number(result["query_to_loadlens"], ".1f", "×"),
        _number(result["cpu_s"], ".1f"),
        _number(result["peak_mib"], ",.0f"),
    ]
    return [*name, *figures, {True: "yes", False: "**no**", None: "–"}[result["same_answers"]]]


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else f"{value:{form}}{unit}"
