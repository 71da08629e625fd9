"""Wrong arguments of the Python API: one line with the argument, what was given and what is expected."""

import inspect
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loadlens
from loadlens.errors import LoadlensError
from tests.faults.logs import KEY, written
from tests.folders import tree

api: Any = loadlens  # called with arguments of the wrong types
NUL = "a\0b"

CALLS: dict[str, Callable[[Path], object]] = {
    **{
        f"by {by!r}": lambda log, by=by: api.summarize(log, by=by)
        for by in (3, [1], [None], ["memory_size", 2], {"memory_size": 1})
    },
    **{
        f"memory_limit {size!r}": lambda log, size=size: api.summarize(log, by=KEY, memory_limit=size)
        for size in (0, -1, 1.5, math.nan, math.inf, "2GiB", True)
    },
    **{
        f"percentiles {wanted!r}": lambda log, wanted=wanted: api.summarize(log, by=KEY, percentiles=wanted)
        for wanted in (None, 0.5, [0], [1], [50], [-1], [math.nan], ["0.5"], "0.5", [None])
    },
    **{
        f"outliers {name!r}": lambda log, name=name: api.summarize(log, by=KEY, outliers=name)
        for name in (None, "", "iqr", 3)
    },
    **{
        f"min_effect {share!r}": lambda log, share=share: api.compare(log, log, min_effect=share)
        for share in (None, 0, -1, 1, math.nan, math.inf, "5%")
    },
    **{
        f"gates {gates!r}": lambda log, gates=gates: api.check_gates(log, api.parse_gates(gates))
        for gates in (None, [], "p99 < 3ms", [3], [None], 3)
    },
    **{
        f"{name} {value!r}": lambda log, name=name, value=value: api.summarize(log, by=KEY, **{name: value})
        for name, values in {
            "executor": (3, "threads"),
            "on_progress": (3, "print"),
            "exact": ("yes", 1),
            "heatmap": (None, "yes"),
            "partition_rows": (0, "many", 1.5, True),
            "spill_folder": (3, b"folder", []),
            "engine": (3, None, ["streaming"]),
        }.items()
        for value in values
    },
    **{
        f"{name} {value!r}": lambda log, name=name, value=value: api.read_log(log, **{name: value})
        for name, value in {"column_map": 3, "storage_options": 3, "format": 3, "max_rejects": []}.items()
    },
    "column_map [3]": lambda log: api.read_log(log, column_map=[3]),
    **{
        f"gates of check {gates!r}": lambda log, gates=gates: api.check_gates(log, gates)
        for gates in (3, None, [3], "p99 < 3ms", [])
    },
    **{f"profile {path!r}": lambda _, path=path: api.load_profile(path) for path in (None, 3)},
    **{f"log {log!r}": lambda _, log=log: api.read_log(log) for log in (None, [], 3, b"log", NUL, [3])},
    **{
        f"out {out!r}": lambda log, out=out: api.analyze([log], out, by=KEY, overwrite=True)
        for out in (None, 3, NUL, b"out", "/", ".", "-", "/proc/out", "ftp://host/out")
    },
    **{
        f"file {out!r}": lambda log, out=out: api.profile_log(log, out, by=KEY, overwrite=True)
        for out in (None, 3, NUL, "/", "/dev/full/out", "hdfs://host/out")
    },
    "out is the log": lambda log: api.analyze([log], log, by=KEY, overwrite=True),
    "out holds the log": lambda log: api.analyze([log], log.parent, by=KEY, overwrite=True),
    "file is the log": lambda log: api.profile_log(log, log, by=KEY, overwrite=True),
    **{f"prices {table!r}": lambda _, table=table: api.load_prices(table) for table in (3, [], NUL, "/")},
    **{f"gates file {path!r}": lambda _, path=path: api.read_gates(path) for path in (None, 3, NUL, "/")},
    **{
        f"key_from_name {pattern!r}": lambda log, pattern=pattern: api.read_log(log, key_from_name=pattern)
        for pattern in (3, "(", "x", "(?P<run>x)")
    },
    **{
        f"max_rejects {limit!r}": lambda log, limit=limit: api.read_log(log, max_rejects=limit)
        for limit in ("many", -1, math.nan, "101%", "-1%")
    },
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = written(tmp_path_factory.mktemp("logs") / "log.parquet", 50)
    loadlens.profile_log(path, path.with_name("run.profile"), by=KEY)
    return path


@pytest.mark.parametrize("name", CALLS, ids=ascii)
def test_a_wrong_argument_is_refused_in_one_line(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = tree(log.parent)
    with pytest.raises(LoadlensError) as told:
        CALLS[name](log)
    assert all(problem and "\n" not in problem for problem in told.value.problems)
    assert (tree(log.parent), tree(tmp_path)) == (before, {})


# Every parameter of everything that is public, so that new ones are looked at too.

SOUND: dict[str, Callable[[Path], dict[str, object]]] = {
    "Costing": lambda _: {},
    "Reading": lambda _: {},
    "analyze": lambda log: {"inputs": log, "out": "out", "chart_formats": (), "overwrite": True},
    "check_gates": lambda log: {"log": log, "gates": ["p99 < 1s"]},
    "compare": lambda log: {"base": log, "candidate": log, "by": KEY},
    "compute_cost_savings": lambda log: {
        "endpoint_metrics_summary": pl.read_parquet(log),
        "average_request_size": 5,
    },
    "load_prices": lambda _: {"table": "lambda-arm"},
    "load_profile": lambda log: {"path": log.with_name("run.profile")},
    "merge_profiles": lambda log: {
        "inputs": log.with_name("run.profile"),
        "out": "out.profile",
        "overwrite": True,
    },
    "parse_gates": lambda _: {"texts": ["p99 < 1s"]},
    "profile_log": lambda log: {"inputs": log, "out": "out.profile", "overwrite": True},
    "read_gates": lambda _: {"path": "gates.toml"},
    "read_log": lambda log: {"source": log},
    "scan_log": lambda log: {"source": log},
    "summarize": lambda log: {"log": log, "by": KEY},
    "summarize_concurrency_results": lambda log: {"invocations": log},
    "summarize_stability_results": lambda log: {"invocations": log},
}
WRONG = [
    None, 5, -1, math.nan, True, "", NUL, "nonsense", b"", [], ["a\0"], [None], (1, 2), {}, Path(NUL),
]  # fmt: skip


def parameters() -> Iterator[tuple[str, str]]:
    for name in loadlens.__all__:
        called = getattr(loadlens, name)
        if name in SOUND or inspect.isfunction(called):
            for parameter in inspect.signature(called).parameters.values():
                yield name, parameter.name


@pytest.mark.parametrize(("function", "parameter"), list(parameters()))
def test_every_parameter_refuses_what_it_cannot_take(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, parameter: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LoadlensError) as told:
        getattr(api, function)(**{**SOUND[function](log), parameter: object()})
    assert len(told.value.problems) == 1
    name, _, _ = told.value.problems[0].partition(": got ")
    assert re.sub("[- ]", "_", name) == parameter
    assert tree(tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("function", "parameter"), list(parameters()))
def test_every_parameter_takes_or_refuses_a_value(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, parameter: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in WRONG:
        try:
            getattr(api, function)(**{**SOUND[function](log), parameter: value})
        except LoadlensError as error:
            problems = error.problems
            assert all(problem.strip() for problem in problems), value


def test_percentiles_may_be_read_once_only(log: Path) -> None:
    summary = loadlens.summarize(log, by=[], percentiles=(quantile for quantile in (0.99, 0.5))).summary
    assert {"invocation_latency_p50", "invocation_latency_p99"} <= set(summary.columns)
