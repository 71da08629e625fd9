"""Keys of any type through every command: the counts of plain Python, or one sentence of refusal."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadlens
from loadlens import Costing, load_prices, read_log
from loadlens.cost import cost_comparison
from loadlens.tasks.convert import convert
from tests.extent import combinations, examples, some_of

pytestmark = pytest.mark.usefixtures("no_drawings")

Counts = dict[Any, int]

DAY, NOON = dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, 12)

# Two inputs' key columns, and what each value is as a key.
KINDS: dict[str, tuple[pl.Series, pl.Series, list[Any]]] = {
    "integer, float": (pl.Series([1, 2]), pl.Series([1.0, None]), [1, 2, 1, None]),
    "large integer, float": (
        pl.Series([2**53 + 1, 1]),
        pl.Series([2.0**53, 1.0]),
        [2**53 + 1, 1, 2**53, 1],
    ),
    "float, text": (pl.Series([1.0, 1.5]), pl.Series(["1", "x"]), ["1", "1.5", "1", "x"]),
    "leading zeros": (pl.Series([7, 8]), pl.Series(["007", "7"]), ["7", "8", "007", "7"]),
    "NaN": (pl.Series([float("nan"), 1.5]), pl.Series([-float("nan"), 1.5]), ["nan", 1.5, "nan", 1.5]),
    "zeros": (pl.Series([0.0, -0.0]), pl.Series([-0.0, 1.5]), [0.0, 0.0, 0.0, 1.5]),
    "decimals": (
        pl.Series(["1.50", "2"], dtype=pl.Decimal(10, 2)),
        pl.Series(["1.5", "3"], dtype=pl.Decimal(12, 3)),
        ["1.5", "2", "1.5", "3"],
    ),
    "enums": (
        pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
        pl.Series(["b", "c"], dtype=pl.Enum(["c", "b"])),
        ["a", "b", "b", "c"],
    ),
    "categories": (
        pl.Series(["a", "b"], dtype=pl.Categorical),
        pl.Series(["b", "c"], dtype=pl.Categorical),
        ["a", "b", "b", "c"],
    ),
    "dates": (pl.Series([DAY.date()] * 2), pl.Series([DAY.date(), None]), [DAY.date()] * 3 + [None]),
    "date, moment": (
        pl.Series([DAY.date()] * 2),
        pl.Series([DAY, NOON]),
        ["2024-01-01"] * 3 + ["2024-01-01 12:00:00"],
    ),
    "moments of two units and zones": (
        pl.Series([NOON] * 2, dtype=pl.Datetime("ns", "UTC")),
        pl.Series([NOON] * 2, dtype=pl.Datetime("ms", "UTC")).dt.convert_time_zone("Asia/Tokyo"),
        ["2024-01-01 12:00:00+00:00"] * 4,
    ),
    "times": (
        pl.Series([dt.time(1, 2)] * 2),
        pl.Series([dt.time(1, 2), dt.time(3, 4)]),
        [dt.time(1, 2)] * 3 + [dt.time(3, 4)],
    ),
    "durations": (
        pl.Series([dt.timedelta(1)] * 2, dtype=pl.Duration("ms")),
        pl.Series([dt.timedelta(1), dt.timedelta(0)], dtype=pl.Duration("ns")),
        ["1d", "1d", "1d", "0s"],
    ),
    "truth, text": (pl.Series([True, False]), pl.Series(["true", "1"]), ["true", "false", "true", "1"]),
    "unsigned, signed": (
        pl.Series([2**64 - 1, 5], dtype=pl.UInt64),
        pl.Series([-1, 5]),
        [str(2**64 - 1), "5", "-1", "5"],
    ),
    "unsigned": (
        pl.Series([2**64 - 1, 5], dtype=pl.UInt64),
        pl.Series([5, None], dtype=pl.UInt8),
        [2**64 - 1, 5, 5, None],
    ),
    "nothing, text": (pl.Series([None, None]), pl.Series(["a", None]), [None, None, "a", None]),
    "odd texts": (pl.Series(["", "a\nb"]), pl.Series(["a\nb", " a"]), ["", "a\nb", "a\nb", " a"]),
}
REFUSED = {
    "struct": (pl.Series([{"a": 1}] * 2), pl.Series([{"a": 1}] * 2)),
    "list": (pl.Series([[1]] * 2), pl.Series([[1]] * 2)),
    "list, text": (pl.Series([[1]] * 2), pl.Series(["a"] * 2)),
    "bytes": (pl.Series([b"a"] * 2), pl.Series([b"a"] * 2)),
    "128 bits": (pl.Series([1, 2], dtype=pl.Int128), pl.Series([1, 2])),
}


def log_of(keys: pl.Series, shift: float = 0.0, name: str = "k") -> pl.DataFrame:
    """A log of one call for each key, one in a second."""
    start = pl.Series([1.7e9 + shift + number for number in range(len(keys))])
    calls = {"invocation_latency": [10.0] * len(keys), "start_time": start, "end_time": start + 0.01}
    return pl.DataFrame(calls).with_columns(keys.alias(name), memory_size=pl.lit(1024))


def named(key: Any) -> Any:
    return "nan" if isinstance(key, float) and key != key else key  # noqa: PLR0124  # NaN alone


def counted(table: pl.DataFrame, count: str = "num_invocations", name: str = "k") -> Counts:
    return {named(key): calls for key, calls in table.select(name, count).iter_rows()}


def summarized(paths: Any, **how: Any) -> Counts:
    return counted(loadlens.summarize(paths, ["k"], **how).summary)


def checked(paths: Sequence[Path], _folder: Path) -> Counts:
    verdicts = loadlens.check_gates(paths, ["p99 < 1s"], by=["k"]).verdicts
    return {named(verdict.key["k"]): verdict.calls for verdict in verdicts}


def compared(paths: Sequence[Path], _folder: Path) -> Counts:
    """Both inputs against the second, so that each side has its own types."""
    result = loadlens.compare(list(paths), paths[1], by=["k"])
    return counted(result.keys, "base_calls") | counted(result.only_in_base, "num_rows")


def profiled(paths: Sequence[Path], folder: Path) -> Counts:
    profiles = [folder / f"{path.stem}.profile" for path in paths]
    for path, profile in zip(paths, profiles, strict=True):
        loadlens.profile_log(path, profile, by=["k"])
    loadlens.merge_profiles(profiles, folder / "merged.profile")
    merged = summarized(folder / "merged.profile")
    assert merged == summarized(profiles) == summarized([profiles[0], paths[1]])
    return merged


def converted(paths: Sequence[Path], folder: Path) -> Counts:
    convert(paths, folder / "whole.parquet")
    return summarized(folder / "whole.parquet")


def by_workers(paths: Sequence[Path], _folder: Path) -> Counts:
    with ThreadPoolExecutor(2) as pool:
        return summarized(list(paths), executor=pool, partition_rows=1)


def priced(paths: Sequence[Path], _folder: Path) -> Counts:
    costing = Costing(prices=(load_prices("lambda-arm"),))
    return counted(cost_comparison(read_log(list(paths)), costing, ["k", "memory_size"]).costs, "num_rows")


COMMANDS: dict[str, Callable[[Sequence[Path], Path], Counts]] = {
    "summarize": lambda paths, _: summarized(list(paths)),
    "check": checked,
    "cost": priced,
    "compare": compared,
    "profile": profiled,
    "convert": converted,
    "workers": by_workers,
}


def written(folder: Path, inputs: Iterable[pl.Series]) -> list[Path]:
    paths = []
    for number, keys in enumerate(inputs):
        paths.append(folder / f"{number}.parquet")
        log_of(keys, 100.0 * number).write_parquet(paths[-1])
    return paths


@pytest.mark.parametrize(("kind", "command"), combinations(KINDS, COMMANDS, one_in=8))
def test_each_key_is_counted_once_whatever_types_it_has(kind: str, command: str, tmp_path: Path) -> None:
    first, second, keys = KINDS[kind]
    got = COMMANDS[command](written(tmp_path, [first, second]), tmp_path)
    assert got == dict(Counter(keys))


@pytest.mark.parametrize(("kind", "command"), combinations(REFUSED, COMMANDS))
def test_types_that_are_no_keys_are_refused_in_one_sentence(kind: str, command: str, tmp_path: Path) -> None:
    paths = written(tmp_path, REFUSED[kind])
    if kind == "128 bits" and command == "convert":
        assert converted(paths, tmp_path) == {1: 2, 2: 2}
        return
    with pytest.raises(loadlens.InputError, match=r"column k is ") as caught:
        COMMANDS[command](paths, tmp_path)
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_untyped_csv_are_one_key(tmp_path: Path) -> None:
    log_of(pl.Series(["1.0", None, "-0.0", "007"])).write_csv(tmp_path / "a.csv")
    log_of(pl.Series(["1", "0", "1.10"]), 50).write_csv(tmp_path / "b.csv")
    log_of(pl.Series([1.0, 7.0]), 80).write_parquet(tmp_path / "c.parquet")
    expected = {"1": 3, None: 1, "0": 2, "007": 1, "1.10": 1, "7": 1}
    assert summarized(sorted(tmp_path.iterdir())) == expected


def test_keys_under_a_map_are_never_changed(tmp_path: Path) -> None:
    log_of(pl.Series(["1.0", "007", "a ", "1"])).write_csv(tmp_path / "a.csv")
    log_of(pl.Series([2**53 + 1, 1]), 50).write_parquet(tmp_path / "b.parquet")
    log_of(pl.Series([2.0**53, 1.0]), 80).write_parquet(tmp_path / "c.parquet")
    column_map = ["latency=invocation_latency:ms", "end=end_time:epoch_s", "k=k"]
    log = loadlens.read_log(sorted(tmp_path.iterdir()), column_map=column_map)
    expected = {"1.0": 1, "007": 1, "a ": 1, "1": 3, str(2**53 + 1): 1, str(2**53): 1}
    assert summarized(log) == expected


@pytest.mark.parametrize(
    "name", some_of(["code", "count", "success_mean", "p99", "key:k", " ", "a\nb", "part", "new"], 3)
)
def test_a_key_may_have_any_name_that_no_figure_has(name: str, tmp_path: Path) -> None:
    log = log_of(pl.Series(["x", "y", "x"]), name=name)
    expected = {"x": 2, "y": 1}
    assert counted(loadlens.summarize(log, [name]).summary, name=name) == expected
    assert {
        v.key[name]: v.calls for v in loadlens.check_gates(log, ["p99 < 1s"], [name]).verdicts
    } == expected
    assert counted(loadlens.compare(log, log, by=[name]).keys, "base_calls", name) == expected
    loadlens.profile_log(log, tmp_path / "a.profile", by=[name])
    assert counted(loadlens.summarize(tmp_path / "a.profile", [name]).summary, name=name) == expected


@pytest.mark.parametrize("name", ["throughput", "num_invocations", "invocation_latency_p99", "latency_ms"])
def test_names_of_figures_are_refused(name: str) -> None:
    with pytest.raises(loadlens.UsageError, match=f"by names {name}, which names a figure"):
        loadlens.summarize(log_of(pl.Series(["x"]), name=name), [name])


@pytest.mark.parametrize(
    "command",
    [
        lambda log, _, by: loadlens.summarize(log, by),
        lambda log, _, by: loadlens.check_gates(log, ["p99 < 1s"], by),
        lambda log, _, by: loadlens.compare(log, log, by=by),
        lambda log, folder, by: loadlens.profile_log(log, folder / "a.profile", by=by),
        lambda log, folder, by: loadlens.analyze(log, folder / "out", by=by),
        lambda log, _, by: cost_comparison(read_log(log), Costing(prices=(load_prices("lambda-arm"),)), by),
    ],
)
def test_a_key_that_is_named_twice_is_refused_by_every_command(
    command: Callable[[pl.DataFrame, Path, list[str]], object], tmp_path: Path
) -> None:
    by = ["memory_size", "k", "k", "memory_size"]
    with pytest.raises(loadlens.UsageError, match="by names k, memory_size more than once"):
        command(log_of(pl.Series(["x"])), tmp_path, by)


VALUES = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.sampled_from([2**53, 2**53 + 1, -(2**62)]),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0**53, float("inf")]),
    st.booleans(),
    st.sampled_from(["1", "007", "1.0", "true", "x", "", "0.5"]),
)


def spelled(value: Any) -> str | None:
    """A value as text, in plain Python: equal numbers alike, whole ones as integers."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)


@examples(6)
@given(values=st.lists(VALUES, min_size=1, max_size=12), data=st.data())
def test_counts_by_key_are_those_of_one_list_however_it_is_divided(values: list[Any], data: Any) -> None:
    inputs: dict[tuple[type, int], list[Any]] = {}
    for value in values:
        inputs.setdefault((type(value), data.draw(st.integers(0, 1))), []).append(value)
    order = data.draw(st.permutations(list(inputs.values())))
    with TemporaryDirectory() as folder:
        counts = summarized(written(Path(folder), map(pl.Series, order)))
    assert Counter({spelled(key): calls for key, calls in counts.items()}) == Counter(map(spelled, values))
