"""Delta and Iceberg tables: the rows that the table holds now, not those of every file in its folder."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.errors import InputError, UsageError
from loadlens.logs.files import inspect_columns
from tests.extent import some_of
from tests.stores import S3, small_log

deltalake = pytest.importorskip("deltalake")
catalogs = pytest.importorskip("pyiceberg.catalog.sql")

OLD, NEW = small_log(150).with_columns(invocation_latency=1e6), small_log(200)
NOW = NEW.filter(pl.col("invocation_latency") >= 20)


def delta_table(address: str, options: dict[str, str] | None = None) -> str:
    """A table whose folder holds three versions of files, of which the last one counts."""
    OLD.write_delta(address, storage_options=options)
    NEW.write_delta(address, mode="overwrite", storage_options=options)
    deltalake.DeltaTable(address, storage_options=options).delete("invocation_latency < 20")
    return address


def iceberg_table(address: str, options: dict[str, str] | None = None) -> str:
    names = {
        "aws_endpoint_url": "s3.endpoint",
        "aws_region": "s3.region",
        "aws_access_key_id": "s3.access-key-id",
        "aws_secret_access_key": "s3.secret-access-key",
    }
    properties = {names[name]: value for name, value in (options or {}).items() if name in names}
    warehouse = address if options else f"file://{address}"
    catalog = catalogs.SqlCatalog("tests", uri="sqlite:///:memory:", warehouse=warehouse, **properties)
    catalog.create_namespace("runs")
    table = catalog.create_table("runs.calls", schema=NEW.to_arrow().schema)
    table.append(OLD.to_arrow())
    table.overwrite(NEW.to_arrow())
    table.delete("invocation_latency < 20")
    catalog.engine.dispose()
    return f"{address}/runs/calls"


MAKERS = {"delta": delta_table, "iceberg": iceberg_table}
Maker = Callable[..., str]


def rows(source: Any, options: dict[str, str] | None = None) -> pl.DataFrame:
    return loadlens.scan_log(source, storage_options=options).collect().sort("start_time")


@pytest.mark.parametrize("kind", MAKERS)
def test_a_table_gives_the_rows_that_it_holds_now(tmp_path: Path, kind: str) -> None:
    path = MAKERS[kind](str(tmp_path / "table"))
    assert sum(1 for _ in Path(path).rglob("*.parquet")) > 1
    assert_frame_equal(rows(path), NOW)
    file = loadlens.read_log(path).files[0]
    assert (file.kind, file.rows) == (kind, NOW.height)
    assert 0 < file.size < sum(part.stat().st_size for part in Path(path).rglob("*.parquet"))


@pytest.mark.parametrize("kind", some_of(MAKERS, 2))
def test_a_table_in_an_object_store_too(s3: S3, kind: str) -> None:
    path = MAKERS[kind]("s3://logs/table", s3.options)
    assert_frame_equal(rows(path, s3.options), NOW)
    assert_frame_equal(rows(f"{path}/", {**s3.options, "s3.connect-timeout": "10"}), NOW)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_summary_of_a_table_is_that_of_its_rows(tmp_path: Path, kind: str) -> None:
    path = MAKERS[kind](str(tmp_path / "table"))
    assert_frame_equal(
        loadlens.summarize(path, ["memory_size"]).summary, loadlens.summarize(NOW, ["memory_size"]).summary
    )


@pytest.mark.parametrize("kind", MAKERS)
def test_a_table_in_a_folder_is_one_log_beside_others(tmp_path: Path, kind: str) -> None:
    MAKERS[kind](str(tmp_path / "runs" / "table"))
    small_log(30, memory_size=4096).write_parquet(tmp_path / "runs" / "more.parquet")
    log = loadlens.read_log(tmp_path / "runs")
    assert sorted(file.kind for file in log.files) == [kind, "parquet"]
    assert log.frame.collect().height == NOW.height + 30


@pytest.mark.parametrize("kind", MAKERS)
def test_a_table_stays_at_the_version_in_which_it_was_opened(tmp_path: Path, kind: str) -> None:
    path = MAKERS[kind](str(tmp_path / "table"))
    log = loadlens.read_log(path)
    if kind == "delta":
        deltalake.DeltaTable(path).restore(0)
    else:
        first = next(Path(path).glob("metadata/00001-*.metadata.json"))
        shutil.copy(first, first.with_name("00099-later.metadata.json"))
    assert_frame_equal(rows(log), NOW)
    assert_frame_equal(rows(path), OLD)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("pattern", ["**/*.parquet", "one"])
def test_a_file_of_a_table_is_refused(tmp_path: Path, kind: str, pattern: str) -> None:
    path = MAKERS[kind](str(tmp_path / "table"))
    source = next(Path(path).rglob("*.parquet")) if pattern == "one" else f"{path}/{pattern}"
    with pytest.raises(
        InputError, match=f"is part of the {kind.title()} table {path}, which .*; name the table"
    ):
        loadlens.read_log(source)


def test_files_of_a_partitioned_table_are_refused_too(tmp_path: Path) -> None:
    path = str(tmp_path / "table")
    NEW.write_delta(path, delta_write_options={"partition_by": ["memory_size"]})
    for part in (next(Path(path).rglob("*.parquet")), f"{path}/memory_size=1024", f"{path}/*"):
        with pytest.raises(InputError, match="name the table"):
            loadlens.read_log(part)
    assert loadlens.read_log(path).key == ("memory_size",)


def test_iceberg_metadata_can_be_named(tmp_path: Path) -> None:
    path = Path(iceberg_table(str(tmp_path / "table")))
    first = sorted(path.glob("metadata/*.metadata.json"))
    assert_frame_equal(rows(first[-1]), NOW)
    assert_frame_equal(rows(first[1]), OLD)


def test_two_newest_versions_of_an_iceberg_table_are_for_the_caller_to_choose_from(tmp_path: Path) -> None:
    path = Path(iceberg_table(str(tmp_path / "table")))
    newest = max(path.glob("metadata/*.metadata.json"))
    shutil.copy(newest, newest.with_name(newest.name[:6] + "z" + newest.name[6:]))
    with pytest.raises(InputError, match=r"has 2 newest versions: .*; name the one that the catalog knows"):
        loadlens.read_log(path)


def test_rules_that_rows_of_a_table_break_are_told(tmp_path: Path) -> None:
    path = str(tmp_path / "table")
    small_log(3).with_columns(invocation_latency=pl.lit(float("nan"))).write_delta(path)
    with pytest.raises(InputError, match="table, row 1, column invocation_latency: got nan"):
        loadlens.summarize(path, by=[])


@pytest.mark.parametrize(("kind", "library"), [("delta", "deltalake"), ("iceberg", "pyiceberg.table")])
def test_what_reads_a_table_may_have_to_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, library: str
) -> None:
    path = MAKERS[kind](str(tmp_path / "table"))
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=rf"pip install 'loadlens\[{kind}\]'"):
        loadlens.read_log(path)


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    path = Path(delta_table(str(tmp_path / "table")))
    for part in path.glob("_delta_log/*.json"):
        part.write_text("nothing of sense")
    with pytest.raises(InputError, match="is a Delta table that cannot be read: "):
        loadlens.read_log(path)


@pytest.mark.parametrize("kind", MAKERS)
def test_row_groups_of_large_files_are_known(tmp_path: Path, kind: Literal["delta", "iceberg"]) -> None:
    path = Path(MAKERS[kind](str(tmp_path / kind)))
    assert inspect_columns(path, kind, small_file_bytes=0).row_group_bytes > 0
    assert inspect_columns(path, kind).row_group_bytes == 0


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_a_table_is_sliced_as_a_file_of_its_rows(kind: str, tmp_path: Path) -> None:
    table = MAKERS[kind](str(tmp_path / "table"))
    first = NOW["start_time"].min()
    middle = NOW["start_time"].median()
    assert isinstance(first, float)
    assert isinstance(middle, float)
    where = "invocation_latency < 50"
    part = NOW.filter((pl.col("start_time") < middle) & (pl.col("invocation_latency") < 50))
    got = loadlens.summarize(table, [], to=middle - first, where=where, totals=True)
    assert got.outside is not None
    assert got.outside.inside == part.height
    assert got.summary.equals(loadlens.summarize(part, []).summary)
