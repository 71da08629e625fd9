"""The same calls in several files: noticed and refused, whatever the files are called."""

import bz2
import gzip
import json
import lzma
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.errors import InputError, UsageError
from loadlens.logs import Reading
from loadlens.tasks.convert import convert
from tests.extent import combinations, some_of
from tests.jmeter_runs import HEADER, dated, jtl

pytestmark = pytest.mark.usefixtures("no_drawings")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def problems_in(*sources: object) -> tuple[str, ...]:
    log = loadlens.read_log([str(source) for source in sources])
    with pytest.raises(InputError) as failure:
        loadlens.summarize(log, by=[])
    return failure.value.problems


def latencies(*sources: object) -> list[float]:
    log = loadlens.read_log([str(source) for source in sources])
    loadlens.summarize(log, by=[])
    return sorted(log.frame.collect()["invocation_latency"].to_list())


def forced(*sources: object) -> int:
    log = loadlens.read_log([str(source) for source in sources], force=True)
    return int(loadlens.summarize(log, by=[]).summary["num_invocations"].sum())


def large(path: Path, rows: int = 12_000, *, middle: int = 5) -> Path:
    """A log of more than is looked at to know what it is; ``middle`` is a latency in its middle."""
    lines = [f"{1700000000000 + i},{middle if i == rows // 2 else 7},a,200,true,10\n" for i in range(rows)]
    path.write_text(HEADER + "".join(lines), encoding="utf-8")
    return path


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstd,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize(("suffix", "make"), combinations(COMPRESSIONS, [jtl, large]))
def test_a_copy_is_refused_compressed_or_not(
    tmp_path: Path, suffix: str, make: Callable[[Path], Path]
) -> None:
    path = jtl(tmp_path / "run.jtl", 100, 110) if make is jtl else make(tmp_path / "run.jtl")
    rows = path.read_text(encoding="utf-8").count("\n") - 1
    copy = tmp_path / "old" / f"copy.jtl{suffix}"
    copy.parent.mkdir()
    copy.write_bytes(COMPRESSIONS[suffix](path.read_bytes()))
    for source in ([tmp_path], [path, copy], [f"{tmp_path}/**/*"]):
        (problem,) = problems_in(*source)
        assert "have the same content" in problem
        assert str(path) in problem
        assert str(copy) in problem
        assert "--force (force=True)" in problem
    assert forced(tmp_path) == 2 * rows


def test_every_command_refuses_a_copy_unless_it_is_meant(tmp_path: Path) -> None:
    by = ["--by", "label"]
    runs = tmp_path / "runs"
    path = jtl(runs / "run.jtl", 100, 110)
    (runs / "run.jtl.gz").write_bytes(gzip.compress(path.read_bytes()))
    for number, command in enumerate(
        (
            ["check", runs, "--slo", "count > 0", *by],
            ["analyze", runs, "--out", tmp_path / "report", *by],
            ["profile", runs, "--out", tmp_path / "run.profile", *by],
            ["compare", runs, path, *by],
        )
    ):
        refused = run(*command)
        assert (refused.exit_code, len(refused.stderr.splitlines())) == (3, 1), number
        assert "have the same content" in refused.stderr
        assert run(*command, "--force").exit_code == 0


def test_copies_that_the_key_keeps_apart_by_file_are_told(tmp_path: Path) -> None:
    path = jtl(tmp_path / "run.jtl", 100, 110)
    (tmp_path / "run.jtl.gz").write_bytes(gzip.compress(path.read_bytes()))
    log = loadlens.read_log(tmp_path)
    assert log.key == ("label", "file")
    assert loadlens.summarize(log, by=log.key).summary["num_invocations"].to_list() == [2, 2]
    told = f"{path} and {path}.gz have the same content: each is counted"
    assert told in log.findings.sentences()
    result = run("check", tmp_path, "--slo", "count >= 4")
    assert result.exit_code == 1
    assert "have the same content: each is counted" in " ".join(result.stderr.split())


@pytest.mark.parametrize("link", ["hard", "symbolic", "folder"])
def test_a_file_seen_through_a_link_is_refused(tmp_path: Path, link: str) -> None:
    path = jtl(tmp_path / "run1" / "run.jtl", 100, 110)
    if link == "folder":
        (tmp_path / "latest").symlink_to(tmp_path / "run1")
    elif link == "hard":
        os.link(path, tmp_path / "run1" / "same.jtl")
    else:
        (tmp_path / "run1" / "same.jtl").symlink_to("run.jtl")
    (problem,) = problems_in(tmp_path)
    assert "are one file, whose calls would count twice" in problem
    assert forced(tmp_path) == 4


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_copy_of_a_columnar_file_is_refused(tmp_path: Path, suffix: str) -> None:
    log = pl.DataFrame({"invocation_latency": [1.0, 2.0, 3.0]})
    path = tmp_path / f"a{suffix}"
    log.write_parquet(path) if suffix == ".parquet" else log.write_ipc(path)
    shutil.copy(path, tmp_path / f"b{suffix}")
    (problem,) = problems_in(tmp_path)
    assert "have the same content" in problem
    assert forced(tmp_path) == 2 * log.height


@pytest.mark.parametrize("compress", [False, True])
def test_large_files_of_one_size_and_equal_ends_are_different(tmp_path: Path, *, compress: bool) -> None:
    one, other = large(tmp_path / "a.jtl", 40_000), large(tmp_path / "b.jtl", 40_000, middle=6)
    assert one.stat().st_size == other.stat().st_size
    if compress:
        other.with_suffix(".jtl.gz").write_bytes(gzip.compress(other.read_bytes(), 1))
        other.unlink()
    assert len(latencies(tmp_path)) == 80_000


def test_a_log_that_goes_on_after_another_ends_is_different(tmp_path: Path) -> None:
    path = large(tmp_path / "a.jtl")
    data = path.read_bytes() + b"1700000000000,9,a,200,true,10\n"
    (tmp_path / "b.jtl.gz").write_bytes(gzip.compress(data))
    assert len(latencies(tmp_path)) == 24_001


@pytest.mark.parametrize(
    "header", [HEADER, '<?xml version="1.0"?>\n<testResults version="1.2">\n</testResults>\n']
)
def test_logs_without_a_call_are_no_copies(tmp_path: Path, header: str) -> None:
    jtl(tmp_path / "run.jtl", 100)
    for name in "abc":
        (tmp_path / f"{name}.jtl").write_text(header, encoding="utf-8")
    assert latencies(tmp_path) == [100]


def test_equal_partitions_of_two_days_are_no_copies(tmp_path: Path) -> None:
    for day in (1, 2):
        jtl(tmp_path / f"day={day}" / "run.jtl", 100, 110)
        folder = tmp_path / "parquet" / f"day={day}"
        folder.mkdir(parents=True)
        pl.DataFrame({"invocation_latency": [1.0, 2.0]}).write_parquet(folder / "run.parquet")
    assert len(latencies(tmp_path / "day=1", tmp_path / "day=2")) == 4
    assert latencies(tmp_path / "parquet") == [1, 1, 2, 2]


def k6_logs(folder: Path, calls: int = 10, *, later: int = 0) -> None:
    head = (
        "metric_name,timestamp,metric_value,check,error,error_code,expected_response,group,method,name,proto,"
    )
    lines = [head + "scenario,service,status,subproto,tls_version,url,extra_tags,metadata"]
    points = []
    for number in range(calls):
        second, value = 1700000000 + later + number, 10.123456789 + number
        lines.append(f"http_req_duration,{second},{value:.6f},,,,true,,GET,u,HTTP/1.1,default,,200,,,u,,")
        tags = {"expected_response": "true", "method": "GET", "name": "u", "status": "200", "url": "u"}
        data = {"time": f"2023-11-14T22:13:{20 + number + later:02}.5Z", "value": value, "tags": tags}
        points.append(json.dumps({"metric": "http_req_duration", "type": "Point", "data": data}))
    folder.mkdir(exist_ok=True)
    (folder / "run.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "out.json").write_text("\n".join(points) + "\n", encoding="utf-8")


@pytest.mark.slow
def test_workers_know_files_of_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(canonical(), tmp_path / "r.csv")
    write(canonical(), tmp_path / "q.parquet")
    monkeypatch.chdir(tmp_path)
    refused = run("check", "r.csv", "q.parquet", "--slo", "count > 0", "--workers", "2")
    assert refused.exit_code == 3
    assert "are the same run (20 calls each" in refused.stderr


@pytest.mark.parametrize("workers", [[], pytest.param(["--workers", "2"], marks=pytest.mark.slow)])
def test_two_outputs_of_one_k6_run_are_refused(tmp_path: Path, workers: list[str]) -> None:
    k6_logs(tmp_path / "k6")
    gate = ("--by", "label", "--slo", "count >= 20", "--quiet", *workers)
    refused = run("check", tmp_path / "k6", *gate)
    assert refused.exit_code == 3
    assert (
        "are the same run (10 calls each, of one time span and the same latencies), whose" in refused.stderr
    )
    assert run("check", tmp_path / "k6", *gate, "--force").exit_code == 0
    assert run("check", tmp_path / "k6" / "run.csv", *gate).exit_code == 1


def test_two_runs_of_one_shape_are_two(tmp_path: Path) -> None:
    k6_logs(tmp_path / "k6")
    shutil.move(tmp_path / "k6" / "out.json", tmp_path / "first.json")
    k6_logs(tmp_path / "k6", later=25)
    (tmp_path / "k6" / "out.json").unlink()
    log = loadlens.read_log([tmp_path / "first.json", tmp_path / "k6"])
    assert loadlens.summarize(log, by=[]).summary["num_invocations"].item() == 20


def test_csv_and_xml_of_one_jmeter_run_are_refused(tmp_path: Path) -> None:
    jtl(tmp_path / "run.csv", 100, 110, 120)
    samples = [
        f'<httpSample t="{100 + 10 * i}" ts="{1700000000000 + i * 1000}" s="true" lb="a" rc="200" by="10"/>\n'
        for i in range(3)
    ]
    xml = f'<testResults version="1.2">\n{"".join(samples)}</testResults>\n'
    (tmp_path / "run.xml").write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}', encoding="utf-8")
    with pytest.raises(InputError, match=r"are the same run \(3 calls each"):
        loadlens.summarize(loadlens.read_log(tmp_path), by=["label"])
    assert forced(tmp_path) == 6


def test_a_converted_file_beside_its_logs_is_refused(tmp_path: Path) -> None:
    one, two = jtl(tmp_path / "one.jtl", 100), jtl(tmp_path / "two.jtl", 110)
    convert([one, two], tmp_path / "all.parquet")
    first, second = problems_in(tmp_path)
    assert first.startswith(f"{tmp_path / 'all.parquet'} was made of {one}, whose calls would count twice")
    assert second.startswith(f"{tmp_path / 'all.parquet'} was made of {two}, ")
    assert len(problems_in(tmp_path / "all.parquet", one)) == 1
    assert forced(tmp_path) == 4
    convert([one], tmp_path / "again" / "one.parquet")
    (problem,) = problems_in(tmp_path / "all.parquet", tmp_path / "again")
    assert f"were both made of {one}" in problem


def test_a_profile_beside_its_log_counts_twice_where_it_is_meant(tmp_path: Path) -> None:
    path = jtl(tmp_path / "run.jtl", 100, 110)
    profile = tmp_path / "run.profile"
    assert run("profile", path, "--by", "label", "--out", profile).exit_code == 0
    refused = run("check", path, profile, "--by", "label", "--slo", "count > 0")
    assert refused.exit_code == 3
    assert "holds the log" in refused.stderr
    assert run("check", path, profile, "--by", "label", "--slo", "count >= 4", "--force").exit_code == 0


@pytest.mark.parametrize("force", ["yes", 1, None])
def test_force_is_true_or_false(force: object) -> None:
    with pytest.raises(UsageError, match=r"force: got .*, expected True or False"):
        Reading.of(force=force)  # type: ignore[arg-type]  # what is tested


def test_an_older_copy_of_another_stem_is_refused_too(tmp_path: Path) -> None:
    path = jtl(tmp_path / "run.jtl", 100, 110)
    shutil.copy(path, tmp_path / "run (copy).jtl")
    dated(path, 0)
    assert "have the same content" in problems_in(tmp_path)[0]
    frame = pl.DataFrame({"invocation_latency": [1.0], "success": [True]})
    frame.write_parquet(tmp_path / "run.parquet")
    assert latencies(tmp_path) == [1, 100, 110]


def canonical(rows: int = 20, *, later: float = 0.0) -> pl.DataFrame:
    start = [1000.25 + later + number for number in range(rows)]
    latency = [20.0 + 1.5 * number for number in range(rows)]
    end = [time + ms / 1000 for time, ms in zip(start, latency, strict=True)]
    return pl.DataFrame({"invocation_latency": latency, "start_time": start, "end_time": end})


WRITERS: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    "csv": lambda frame, path: frame.write_csv(path),
    "csv.gz": lambda frame, path: path.write_bytes(gzip.compress(frame.write_csv().encode())) and None,
    "parquet": lambda frame, path: frame.write_parquet(path),
    "arrow": lambda frame, path: frame.write_ipc(path),
}


def write(frame: pl.DataFrame, path: Path) -> Path:
    WRITERS[path.name.partition(".")[2]](frame, path)
    return path


@pytest.mark.parametrize(
    ("names", "shuffled"),
    combinations(
        [("r.csv", "q.parquet"), ("r.csv.gz", "q.arrow"), ("r.arrow", "q.parquet"), ("r.csv", "r2.parquet")],
        [False, True],
        one_in=4,
    ),
)
def test_the_same_calls_as_text_and_as_columns_are_refused(
    tmp_path: Path, names: tuple[str, str], *, shuffled: bool
) -> None:
    write(canonical(), tmp_path / names[0])
    second = canonical().sample(fraction=1, shuffle=True, seed=1) if shuffled else canonical()
    write(second, tmp_path / names[1])
    (problem,) = problems_in(tmp_path)
    assert "are the same run (20 calls each, of one time span and the same latencies), whose" in problem
    assert names[0] in problem
    assert names[1] in problem
    assert forced(tmp_path) == 40
    gate = ["check", tmp_path, "--slo", "p99 < 1s"]
    assert run(*gate).exit_code == 3
    assert run(*gate, "--force").exit_code == 0
    windows = ["check", tmp_path, "--slo", "p99 < 1s within 5s of every window"]
    assert run(*windows).exit_code == 3
    assert run("compare", tmp_path, tmp_path / names[0]).exit_code == 3


def test_the_same_calls_under_a_map_are_refused(tmp_path: Path) -> None:
    frame = canonical().rename({"invocation_latency": "ms", "start_time": "start"}).select("ms", "start")
    write(frame, tmp_path / "r.csv")
    write(frame, tmp_path / "q.parquet")
    log = loadlens.read_log(tmp_path, column_map=["latency=ms:ms", "start=start:relative_s"])
    with pytest.raises(InputError, match="are the same run"):
        loadlens.summarize(log, by=[])


def test_rejected_rows_do_not_hide_the_same_calls(tmp_path: Path) -> None:
    frame = canonical().with_columns(
        end_time=pl.when(pl.int_range(pl.len()) == 7).then(0.5).otherwise("end_time")
    )
    write(frame, tmp_path / "r.csv")
    write(frame, tmp_path / "q.parquet")
    log = loadlens.read_log(tmp_path, max_rejects=2)
    with pytest.raises(InputError, match=r"are the same run \(19 calls each"):
        loadlens.summarize(log, by=[])


@pytest.mark.parametrize(
    "other",
    [canonical(later=30.0), canonical(21), canonical().with_columns(pl.col("invocation_latency") + 1)],
)
def test_other_calls_of_other_formats_are_counted(tmp_path: Path, other: pl.DataFrame) -> None:
    write(canonical(), tmp_path / "r.csv")
    write(other, tmp_path / "q.parquet")
    assert len(latencies(tmp_path)) == 20 + other.height


def test_the_same_calls_that_the_key_keeps_apart_by_file_are_told(tmp_path: Path) -> None:
    write(canonical(), tmp_path / "r.csv")
    write(canonical(), tmp_path / "q.parquet")
    log = loadlens.read_log(tmp_path)
    assert loadlens.summarize(log, by=["file"]).summary["num_invocations"].to_list() == [20, 20]
    told = [sentence for sentence in log.findings.sentences() if "same run" in sentence]
    assert len(told) == 1
    assert told[0].endswith("each is counted")
    loadlens.summarize(log, by=["file"])
    assert [sentence for sentence in log.findings.sentences() if "same run" in sentence] == told


def test_parquet_files_without_rows_are_no_copies(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        write(canonical(0), tmp_path / name)
    write(canonical(), tmp_path / "c.parquet")
    assert len(latencies(tmp_path)) == 20


def test_a_scan_reads_all_forms_if_it_is_meant(tmp_path: Path) -> None:
    write(canonical(), tmp_path / "r.csv")
    write(canonical(), tmp_path / "r.parquet")
    assert loadlens.scan_log(tmp_path).collect().height == 20
    assert loadlens.scan_log(tmp_path, force=True).collect().height == 40
    with pytest.raises(UsageError, match="force"):
        loadlens.scan_log(tmp_path, force="yes")  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("shards", [("1", "3"), ("a", "b"), (2, 1)])
def test_calls_of_other_keys_are_others(tmp_path: Path, shards: tuple[object, object]) -> None:
    frame = canonical(12)
    write(frame.with_columns(shard=pl.Series(["1", "2"] * 6)), tmp_path / "r.csv")
    write(frame.with_columns(shard=pl.Series(shards * 6)), tmp_path / "q.parquet")
    if set(map(str, shards)) == {"1", "2"}:
        assert len(problems_in(tmp_path)) == 1
    else:
        assert len(latencies(tmp_path)) == 24


def test_calls_of_other_labels_are_others_in_arrow_and_parquet(tmp_path: Path) -> None:
    write(canonical(12).with_columns(label=pl.lit("a")), tmp_path / "r.arrow")
    write(canonical(12).with_columns(label=pl.lit("b")), tmp_path / "q.parquet")
    assert len(latencies(tmp_path)) == 24


@pytest.mark.parametrize("other", ["r.csv", "r.arrow"])
def test_a_few_calls_in_typed_columns_may_be_equal_by_chance(tmp_path: Path, other: str) -> None:
    write(canonical(9), tmp_path / other)
    write(canonical(9), tmp_path / "q.parquet")
    assert len(latencies(tmp_path)) == 18


def resaved_jtl(path: Path, *, by_pandas: bool = False, shift: int = 0, label: str = "a") -> None:
    rows = [(1700000000000 + 137 * i + shift, 100 + 7 * i) for i in range(15)]
    lines = [f"{time},{ms},{label},200,true,10\n" for time, ms in rows]
    if by_pandas:
        lines = [
            f"{i},{time}.0,{ms}.0,{label},200,True,10\n" for i, (time, ms) in reversed([*enumerate(rows)])
        ]
    path.write_text(("," if by_pandas else "") + HEADER + "".join(lines), encoding="utf-8")


def vegeta_csv(path: Path, *, reverse: bool) -> None:
    lines = [
        f"{1700000000000000000 + i * 10**9},200,{10**7 + i},0,5,,,x,{i},GET,http://a/,\n" for i in range(12)
    ]
    path.write_text("".join(reversed(lines) if reverse else lines), encoding="utf-8")


ONE_FORMAT: dict[str, Callable[[Path], object]] = {
    "csv in another order": lambda folder: (
        write(canonical(), folder / "a.csv"),
        write(canonical().reverse(), folder / "b.csv"),
    ),
    "csv of fewer decimals": lambda folder: (
        write(canonical(), folder / "a.csv"),
        write(canonical().with_columns(pl.col("end_time").round(3)), folder / "b.csv"),
    ),
    "parquet in another order": lambda folder: (
        write(canonical(), folder / "a.parquet"),
        write(canonical().reverse(), folder / "b.parquet"),
    ),
    "parquet of several row groups": lambda folder: (
        write(canonical(), folder / "a.parquet"),
        canonical().write_parquet(folder / "b.parquet", row_group_size=7, compression="snappy"),
    ),
    "arrow in another order": lambda folder: (
        write(canonical(), folder / "a.arrow"),
        write(canonical().reverse(), folder / "b.arrow"),
    ),
    "jmeter saved again by pandas": lambda folder: (
        resaved_jtl(folder / "a.csv"),
        resaved_jtl(folder / "b.csv", by_pandas=True),
    ),
    "vegeta sorted": lambda folder: (
        vegeta_csv(folder / "a.csv", reverse=False),
        vegeta_csv(folder / "b.csv", reverse=True),
    ),
}


@pytest.mark.parametrize("kind", ONE_FORMAT)
def test_the_same_calls_written_anew_in_one_format_are_refused(kind: str, tmp_path: Path) -> None:
    ONE_FORMAT[kind](tmp_path)
    first, second = sorted(tmp_path.iterdir())
    log = loadlens.read_log([first, second])
    key = [name for name in log.key if name != "file"]
    with pytest.raises(InputError, match=rf"{first.name} and {second} are the same run"):
        loadlens.summarize(log, key)
    assert loadlens.summarize(loadlens.read_log([first, second], force=True), key).summary[
        "num_invocations"
    ].sum() in {24, 30, 40}


OTHERS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "other labels": lambda frame: frame.with_columns(label=pl.lit("b")),
    "another configuration": lambda frame: frame.with_columns(memory_size=pl.lit(2048)),
    "a little later": lambda frame: frame.with_columns(pl.col("start_time", "end_time") + 0.25),
    "other times between the same ends": lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 9).then(pl.col("start_time") + 0.3).otherwise("start_time")
    ).with_columns(end_time=pl.max_horizontal("end_time", "start_time")),
    "another latency": lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 9)
        .then(1.0)
        .otherwise("invocation_latency")
        .alias("invocation_latency")
    ),
}


@pytest.mark.parametrize(("kind", "suffix"), combinations(OTHERS, ["csv", "parquet", "arrow"]))
def test_two_runs_of_one_format_that_are_alike_are_two(kind: str, suffix: str, tmp_path: Path) -> None:
    """Two machines that send the same load at once have as many calls in the same span."""
    frame = canonical().with_columns(label=pl.lit("a"), memory_size=pl.lit(1024))
    write(frame, tmp_path / f"a.{suffix}")
    write(OTHERS[kind](frame), tmp_path / f"b.{suffix}")
    assert len(latencies(tmp_path)) == 40


def test_a_third_file_may_be_the_run_of_the_first(tmp_path: Path) -> None:
    frame = canonical().with_columns(label=pl.lit("a"))
    write(frame, tmp_path / "a.csv")
    write(frame.with_columns(label=pl.lit("b")), tmp_path / "b.csv")
    write(frame.reverse(), tmp_path / "c.csv")
    (problem,) = problems_in(tmp_path)
    assert f"a.csv and {tmp_path / 'c.csv'} are the same run" in problem


def test_few_equal_calls_of_one_format_may_be_so_by_chance(tmp_path: Path) -> None:
    write(canonical(2), tmp_path / "a.csv")
    write(canonical(2).reverse(), tmp_path / "b.csv")
    assert len(latencies(tmp_path)) == 4


@pytest.mark.parametrize(
    "how", some_of([["--workers", "2"], ["--workers", "2", "--spill-folder", "spilled"]], 2)
)
def test_workers_name_files_as_the_caller_did(
    how: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spilled").mkdir()
    write(canonical(), tmp_path / "r.csv")
    write(canonical(), tmp_path / "q.parquet")
    resaved_jtl(tmp_path / "bad.jtl")
    with (tmp_path / "bad.jtl").open("a") as file:
        file.write("soon,5,a,200,true,10\n")
    monkeypatch.chdir(tmp_path)
    refused = run("analyze", "r.csv", "q.parquet", "--out", "out", *how)
    assert refused.exit_code == 3
    assert refused.stderr.startswith("loadlens: r.csv and q.parquet are the same run (20 calls each")
    rejected = run("check", "bad.jtl", "r.csv", "--slo", "count > 0", *how[:2])
    assert rejected.exit_code == 3
    assert "loadlens: bad.jtl, line 17, column timeStamp: got 'soon'" in rejected.stderr
    assert str(tmp_path) not in rejected.stderr


def test_files_of_one_content_are_told_once(tmp_path: Path) -> None:
    """They are the same run too."""
    for name in ("a.csv", "b.csv", "c.csv", "d.parquet"):
        write(canonical(), tmp_path / name)
    log = loadlens.read_log(tmp_path)
    loadlens.summarize(log, by=["file"])
    same, run = (sentence for sentence in log.findings.sentences() if sentence.endswith("each is counted"))
    assert "and 1 more have the same content" in same
    assert f"{tmp_path / 'a.csv'} and {tmp_path / 'd.parquet'} are the same run" in run


@pytest.mark.parametrize("name", ["run.jtl", "log.csv"])
def test_logs_that_were_put_together_are_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "run.jtl":
        resaved_jtl(path)
    else:
        write(canonical(), path)
    once = path.read_text(encoding="utf-8")
    for times, told in ((1, ""), (2, "1 line repeats its header"), (3, "2 lines repeat its header")):
        # Each log has other rows.
        parts = [re.sub(r"(\d)(?=\n)", rf"\g<1>{number}", once) for number in range(times)]
        path.write_text("".join(parts), encoding="utf-8")
        log = loadlens.read_log(path)
        loadlens.summarize(log, by=[])
        sentences = [sentence for sentence in log.findings.sentences() if "its header" in sentence]
        assert [told in sentence for sentence in sentences] == [True] * bool(told)
