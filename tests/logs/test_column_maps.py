"""Home-made tables, read by a map of their columns, end to end."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.errors import UsageError
from loadlens.logs import Reading
from tests.extent import examples, some_of, some_rows

pytestmark = pytest.mark.usefixtures("no_drawings")

STATUSES = (
    "ts,ms,code\n1700000000,10,200\n1700000001,20,301\n1700000002,30000,timeout\n1700000002,30,Non HTTP: x\n"
)
HEADERLESS = "".join(f"17000000000{n}0000000,{ms}\n" for n, ms in enumerate((44.0, 39.0, 40.0, 33.0)))


def run(command: str, path: Path, *entries: str, options: Sequence[str] = ()) -> Result:
    mapped = [part for entry in entries for part in ("--map", entry)]
    return CliRunner().invoke(app, [command, str(path), *mapped, *options], catch_exceptions=False)


def check(path: Path, *entries: str, slo: str, options: Sequence[str] = ()) -> Result:
    return run("check", path, *entries, options=["--slo", slo, *options])


def file(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def summary(source: Any, *entries: str, by: Sequence[str] = (), no_header: bool = False) -> pl.DataFrame:
    log = loadlens.read_log(source, column_map=entries, no_header=no_header)
    return loadlens.summarize(log, by=by).summary


def forms(folder: Path, columns: Mapping[str, Sequence[object]]) -> list[object]:
    """The same table as CSV, NDJSON, Parquet, Arrow and frames."""
    frame = pl.DataFrame(columns)
    frame.write_csv(folder / "a.csv")
    frame.write_ndjson(folder / "a.ndjson")
    frame.write_parquet(folder / "a.parquet")
    frame.write_ipc(folder / "a.arrow")
    return [*(folder / f"a.{form}" for form in ("csv", "ndjson", "parquet", "arrow")), frame, frame.lazy()]


def test_a_status_that_is_no_number_is_a_failed_call(tmp_path: Path) -> None:
    path = file(tmp_path, STATUSES)
    entries = ("latency=ms:ms", "end=ts:epoch_s", "success=code<400")
    failing = check(path, *entries, slo="error_rate < 1%")
    assert failing.exit_code == 1
    assert "got 50%" in failing.stderr
    assert "rejected" not in failing.output.lower()
    assert check(path, *entries, slo="error_rate <= 50%").exit_code == 0
    found = summary(path, *entries)
    assert found.select("num_invocations", "num_errors").row(0) == (4, 2)
    assert found.select("error_timeout", "error_Non HTTP: x").row(0) == (1, 1)


def test_statuses_that_are_no_numbers_are_failed_calls_in_every_form(tmp_path: Path) -> None:
    columns = {
        "ms": [5.0] * 6,
        "code": ["200", "timeout", "302", None, "ERR", "503"],
    }
    for source in forms(tmp_path, columns):
        found = summary(source, "latency=ms:ms", "success=code<400")
        assert found.select("num_invocations", "num_errors").row(0) == (6, 4)
        classes = found.select("error_timeout", "error_failed", "error_ERR", "error_503")
        assert classes.row(0) == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("cells", "failed"),
    some_rows(
        [
            (["0", "0", "1"], 1),
            (["-", "N/A", "OK", "timeout"], 1),
            (["0.0", "NA", "ok", "false", "none", "null", "nan", ""], 0),
            (["True", "False", "true"], 2),
            (["0", "7", "28"], 2),
        ],
        3,
        first=1,
    ),
)
def test_what_says_that_there_is_no_error_is_none(tmp_path: Path, cells: list[str], failed: int) -> None:
    for source in forms(tmp_path, {"ms": [10] * len(cells), "err": cells}):
        found = summary(source, "latency=ms:ms", "error=err")
        assert found.select("num_invocations", "num_errors").row(0) == (len(cells), failed)


@pytest.mark.parametrize(
    "values", some_of([[0, 0, 1], [0.0, 0.0, 1.0], [False, False, True], [0, None, 5]], 2)
)
def test_error_columns_of_numbers_go_by_value(tmp_path: Path, values: list[object]) -> None:
    for source in forms(tmp_path, {"ms": [10, 20, 30], "err": values}):
        assert summary(source, "latency=ms:ms", "error=err").get_column("num_errors").to_list() == [1]


def test_keys_are_those_that_pandas_has(tmp_path: Path) -> None:
    path = file(tmp_path, 'cloud,ms\na,10\na ,20\n a,30\n"a ",40\n')
    found = summary(path, "latency=ms:ms", "cloud=cloud", by=["cloud"])
    assert dict(found.select("cloud", "num_invocations").rows()) == {"a": 1, "a ": 2, " a": 1}
    labelled = summary(path, "latency=ms:ms", "label=cloud", by=["label"])
    assert labelled.get_column("num_invocations").to_list() == found.get_column("num_invocations").to_list()


@pytest.mark.parametrize(
    "keys",
    some_of([["007", "7"], ["1e3", "1000"], ["1.0", "1"], ["+1", "1"], ["1", "1 "], ["\u0661", "1"]], 2),
)
def test_keys_that_are_equal_as_numbers_only_stay_apart(tmp_path: Path, keys: list[str]) -> None:
    for source in forms(tmp_path, {"ms": [10, 20], "shard": keys}):
        found = summary(source, "latency=ms:ms", "shard=shard", by=["shard"])
        assert sorted(found.get_column("shard").to_list()) == sorted(keys)


def test_a_file_without_a_header(tmp_path: Path) -> None:
    path = file(tmp_path, HEADERLESS)
    entries = ("latency=c2:ms", "end=c1:epoch_ns")
    assert summary(path, *entries, no_header=True).get_column("num_invocations").to_list() == [4]
    result = check(path, *entries, slo="count >= 4", options=["--no-header"])
    assert result.exit_code == 0, result.output
    assert "no header" not in result.output
    taken = check(path, "latency=44.0:ms", "end=17000000000" + "00000000:epoch_ns", slo="count >= 4")
    assert taken.exit_code == 1
    assert "say --no-header" in taken.output


def test_a_map_in_a_file_says_the_same(tmp_path: Path) -> None:
    path = file(tmp_path, HEADERLESS)
    saved = file(tmp_path, 'latency = "c2:ms"\nend = "c1:epoch_ns"\nno_header = true\n', "map.toml")
    result = run("check", path, options=["--map-file", str(saved), "--slo", "count >= 4"])
    assert result.exit_code == 0, result.output
    for command in ("inspect", "check"):
        told = run(
            command,
            path,
            options=[
                "--map-file",
                str(saved),
                "--no-header",
                *(["--slo", "count >= 4"] if command == "check" else []),
            ],
        )
        assert told.exit_code == 0, told.output


def test_no_header_goes_with_a_map_only(tmp_path: Path) -> None:
    path = file(tmp_path, HEADERLESS)
    result = check(path, slo="count >= 4", options=["--no-header"])
    assert result.exit_code == 2
    assert "leave out --no-header, or say which column is what with --map" in result.stderr
    with pytest.raises(UsageError, match="no_header: "):
        Reading.of(no_header=True)


def test_sizes_of_memory_in_any_unit_are_one_key(tmp_path: Path) -> None:
    for unit, sizes in {
        "bytes": [134217728, 268435456],
        "KiB": [131072, 262144],
        "GB": [0.125, 0.25],
    }.items():
        for source in forms(tmp_path, {"ms": [10, 20], "mem": sizes}):
            found = summary(source, "latency=ms:ms", f"memory_size=mem:{unit}", by=["memory_size"])
            assert found.get_column("memory_size").to_list() == [128, 256]


def told(source: Any, *entries: str) -> list[str]:
    """What a reader is told of a log, without its name, and without what its clock says."""
    log = loadlens.read_log(source, column_map=entries)
    loadlens.summarize(log, by=[])
    sentences = [text for text in log.findings.sentences() if "its times are whole" not in text]
    return [sentence.partition(": ")[2] for sentence in sentences]


WHEN = "format:%Y-%m-%dT%H:%M:%S%.f"


@pytest.mark.parametrize(
    ("entries", "sentences"),
    some_rows(
        [
            (
                [f"start=when:{WHEN}"],
                [
                    "the times in when have no time zone: they are taken as UTC",
                    "neither success nor error is mapped: every call counts as successful",
                ],
            ),
            (
                [f"start=when:{WHEN}", "success=code<400"],
                ["the times in when have no time zone: they are taken as UTC"],
            ),
            (
                ["error=err"],
                [
                    "neither start nor end is mapped: rates and changes over time cannot be told",
                    "success is not mapped: a call counts as failed where err holds an error",
                ],
            ),
            (
                ["end=s:relative_s", "success=code<400"],
                ["its times are of no calendar: they tell spans and rates, not when the test ran"],
            ),
            (["end=s:epoch_s", "success=code<400"], []),
        ],
        3,
    ),
)
def test_every_form_of_a_table_warns_of_the_same(
    tmp_path: Path, entries: list[str], sentences: list[str]
) -> None:
    seconds = [1.7e9, 1.7e9 + 1]
    table = pl.DataFrame(
        {
            "when": ["2024-03-31T01:59:55.000000", "2024-03-31T01:59:56.500000"],
            "s": [1.0, 2.0] if "end=s:relative_s" in entries else seconds,
            "ms": [5.0, 6.0],
            "code": ["200", "timeout"],
            "err": ["", "timeout"],
        }
    )
    typed = table.with_columns(pl.col("when").str.to_datetime())
    sources = [*forms(tmp_path, table), typed, typed.to_arrow(), typed.to_pandas()]
    for source in sources:
        assert told(source, "latency=ms:ms", *entries) == sentences


def test_times_with_a_zone_are_not_warned_of(tmp_path: Path) -> None:
    table = pl.DataFrame({"when": ["2024-03-31T01:59:55Z"], "ms": [5.0], "ok": [True]})
    typed = table.with_columns(pl.col("when").str.to_datetime("%+", time_zone="UTC"))
    local = typed.with_columns(pl.col("when").dt.convert_time_zone("Europe/Berlin"))
    for source in (*forms(tmp_path, table), typed, local):
        assert told(source, "latency=ms:ms", "start=when:rfc3339", "success=ok") == []


@pytest.mark.slow
def test_workers_warn_of_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"when": ["2024-03-31T01:59:55Z"], "ms": [5.0]}).write_parquet(path)
    result = check(path, "latency=ms:ms", "start=when:rfc3339", slo="count >= 1", options=["--workers", "1"])
    assert "every call counts as successful" in result.stderr


def test_keys_of_canonical_tables_stay_as_they_are_too(tmp_path: Path) -> None:
    path = file(tmp_path, 'cloud,label,invocation_latency\na,x,10\na ,x ,20\n a,x,30\n"a ", x,40\n')
    for name, counts in {"cloud": {"a": 1, "a ": 2, " a": 1}, "label": {"x": 2, "x ": 1, " x": 1}}.items():
        found = loadlens.summarize(path, by=[name]).summary
        assert dict(found.select(name, "num_invocations").rows()) == counts


CODES = ["200", "204", "301", "404", "503", "timeout", "ERR", "nan", "", None, " 200", "200.0", "2e2"]
NO_ERRORS = ["", None, "0", "-", "N/A", "ok", "None"]
KEYS = ["a", "a ", " a", "A", "007", "7", "1e3", "", None, "x?y=1#z", '"q"', "a,b"]
ROWS = st.fixed_dictionaries(
    {
        "ms": st.one_of(st.none(), st.floats(0, 1e6), st.integers(0, 10**6).map(float)),
        "ts": st.integers(1_600_000_000_000, 1_800_000_000_000),
        "code": st.sampled_from(CODES),
        "err": st.sampled_from([*NO_ERRORS, "1", "reset", "7"]),
        "url": st.sampled_from(KEYS),
        "shard": st.sampled_from(KEYS),
        "mem": st.sampled_from([0.125, 0.5, 1, 10]),
    }
)


def is_success(code: str | None) -> bool:
    try:
        return float(code or "") < 400 and math.isfinite(float(code or ""))
    except ValueError:
        return False


def canonical_by_pandas(rows: pd.DataFrame) -> pd.DataFrame:
    """What a map makes of rows, by hand."""
    success = rows["code"].map(is_success)
    own = rows["err"].where(~rows["err"].isin([*NO_ERRORS, "1"]))
    code = rows["code"].str.strip().replace("", None)
    latency = rows["ms"].where(rows["ms"].notna() | success, -1.0)
    end = rows["ts"] / 1000
    return pd.DataFrame(
        {
            "success": success,
            "error": own.fillna(code).fillna("failed").where(~success),
            "start_time": end - latency.clip(lower=0).fillna(0) / 1000,
            "end_time": end,
            "invocation_latency": latency,
            "label": rows["url"],
            "shard": rows["shard"],
            "memory_size": (rows["mem"] * 1024).astype(int),
        }
    )


@examples(2)
@given(rows=st.lists(ROWS, min_size=1, max_size=30))
def test_one_map_makes_the_same_of_every_form(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    schema = {"ms": pl.Float64, "ts": pl.Int64, "mem": pl.Float64}
    table = pl.DataFrame(rows, schema_overrides=schema).with_columns(
        pl.col("code", "err", "url", "shard").cast(pl.String)
    )
    entries = [
        "latency=ms:ms",
        "end=ts:epoch_ms",
        "success=code<400",
        "error=err",
        "label=url",
        "shard=shard",
    ]
    expected = pl.from_pandas(
        canonical_by_pandas(pd.DataFrame(rows, dtype=object).astype({"ms": float, "ts": int}))
    )
    for source in forms(tmp_path, table):
        log = loadlens.read_log(source, column_map=[*entries, "memory_size=mem:GB"])
        found = log.frame.collect()
        exact = ["success", "error", "invocation_latency", "label", "shard", "memory_size"]
        for name in exact:
            assert found[name].to_list() == expected[name].to_list(), (name, source)
        for name in ("start_time", "end_time"):
            assert found[name].to_list() == pytest.approx(expected[name].to_list(), abs=1e-6)
