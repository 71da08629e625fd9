"""Which files are the log: forms of one log, names told apart, what is passed over or cannot be read."""

import bz2
import gzip
import lzma
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.errors import InputError
from loadlens.storage.local import distinct_names, likelihood, stem_of
from loadlens.tasks.convert import convert
from tests.extent import some_of
from tests.jmeter_runs import dated, jtl, latencies
from tests.sample_logs import small_log

SUMMARY = """{
  "metrics": {
    "http_req_duration": {"type": "trend", "values": {"avg": 92.1, "p(95)": 114.5, "max": 255.3}},
    "http_reqs": {"type": "counter", "values": {"count": 1000, "rate": 10.5}}
  },
  "root_group": {"name": "", "path": ""}
}
"""
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def sentences(source: object) -> list[str]:
    log = loadlens.read_log(str(source))
    loadlens.summarize(log, by=[])
    return log.findings.sentences()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def problems_in(*sources: object) -> tuple[str, ...]:
    with pytest.raises(InputError) as failure:
        loadlens.read_log([str(source) for source in sources])
    return failure.value.problems


@pytest.mark.parametrize("suffix", some_of([".jtl", ".csv", ".jtl.gz", ".log"], 2))
def test_a_newer_text_is_read_in_the_place_of_a_converted_file(tmp_path: Path, suffix: str) -> None:
    old = jtl(tmp_path / "elsewhere" / "run.jtl", 100, 120)
    folder = tmp_path / "runs"
    folder.mkdir()
    convert([old], folder / "run.parquet")
    dated(folder / "run.parquet", 0)
    text = jtl(folder / f"run{suffix}", 900, 900, 900)
    if suffix.endswith(".gz"):
        text.write_bytes(gzip.compress(text.read_bytes()))
    dated(text, 1)
    for source in (folder, f"{folder}/*", f"{folder}/**"):
        assert latencies(source) == [900, 900, 900]
        assert (
            f"1 file passed over, as another form of the same log is newer: {folder}/run.parquet "
            f"(run{suffix} is read)" in sentences(source)
        )
    assert run("check", folder, "--slo", "p99 < 500ms", "--by", "label", "--quiet").exit_code == 1


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("seconds", [0, 1])
def test_a_columnar_file_that_is_not_older_is_read_and_says_so(
    tmp_path: Path, suffix: str, seconds: int
) -> None:
    frame = pl.DataFrame({"invocation_latency": [1.0, 2.0], "label": ["a", "a"]})
    columnar = tmp_path / f"run{suffix}"
    frame.write_parquet(columnar) if suffix == ".parquet" else frame.write_ipc(columnar)
    dated(jtl(tmp_path / "run.jtl", 900), 0)
    dated(columnar, seconds)
    assert latencies(tmp_path) == [1, 2]
    assert any(f"run.jtl (run{suffix} is read)" in sentence for sentence in sentences(tmp_path))


def test_a_converted_file_of_another_content_is_not_read_whatever_the_times_say(tmp_path: Path) -> None:
    text = jtl(tmp_path / "run.jtl", 100, 120)
    convert([text], tmp_path / "run.parquet")
    jtl(text, 900, 900)
    dated(text, 0)
    dated(tmp_path / "run.parquet", 1)
    assert latencies(tmp_path) == [900, 900]


@pytest.mark.parametrize("seconds", [0, 1, 3600])
def test_a_file_that_was_converted_without_digests_is_compared_with_its_log(
    tmp_path: Path, seconds: int
) -> None:
    """Ages may be lost, as by a checkout: what was converted has the calls of its log, or is not read."""
    text = jtl(tmp_path / "run.jtl", 100, 120)
    parquet = tmp_path / "run.parquet"
    convert([text], parquet)
    metadata = {**pl.read_parquet_metadata(parquet)}
    kept = {name: value for name, value in metadata.items() if name == "loadlens"}
    pl.read_parquet(parquet).write_parquet(parquet, metadata=kept)
    dated(text, 0)
    dated(parquet, seconds)
    assert any("run.jtl (run.parquet is read)" in sentence for sentence in sentences(tmp_path))
    dated(jtl(text, 900, 900), 0)
    assert latencies(tmp_path) == [900, 900]
    assert any("holds other calls by now" in sentence for sentence in sentences(tmp_path))


@pytest.mark.parametrize(("seconds", "is_doubtful"), [(0, True), (59, True), (61, False)])
def test_forms_of_one_age_that_hold_other_calls_are_told(
    tmp_path: Path, seconds: int, *, is_doubtful: bool
) -> None:
    frame = pl.DataFrame({"invocation_latency": [1.0, 2.0], "label": ["a", "a"]})
    frame.write_parquet(tmp_path / "run.parquet")
    dated(jtl(tmp_path / "run.jtl", 900), 0)
    dated(tmp_path / "run.parquet", seconds)
    told = "but holds 2 calls, not 1: written within a minute"
    assert any(told in sentence for sentence in sentences(tmp_path)) == is_doubtful


def test_forms_of_one_age_and_the_same_calls_are_one_log(tmp_path: Path) -> None:
    text = tmp_path / "run.csv"
    text.write_text("invocation_latency,start_time,end_time\n10,1,1.01\n20,2,2.02\n", encoding="utf-8")
    pl.read_csv(text).write_parquet(tmp_path / "run.parquet")
    assert not any("other calls" in sentence for sentence in sentences(tmp_path))


def test_a_converted_file_of_other_logs_hides_no_text(tmp_path: Path) -> None:
    other = jtl(tmp_path / "elsewhere" / "other.jtl", 1, 2)
    folder = tmp_path / "runs"
    jtl(folder / "run.jtl", 900)
    convert([other], folder / "run.parquet")
    assert latencies(folder) == [1, 2, 900]


def test_a_newer_file_that_is_no_log_hides_no_converted_one(tmp_path: Path) -> None:
    pl.DataFrame({"invocation_latency": [1.0, 2.0]}).write_parquet(dated_later := tmp_path / "run.parquet")
    dated(dated_later, 0)
    (tmp_path / "run.log").write_text("INFO jmeter: started\n", encoding="utf-8")
    assert latencies(tmp_path) == [1, 2]
    assert f"1 file in no known format passed over: {tmp_path}/run.log" in sentences(tmp_path)


def test_a_folder_named_like_a_parquet_file_is_a_form_of_the_log(tmp_path: Path) -> None:
    for part, value in enumerate([1.0, 2.0]):
        path = tmp_path / "run.parquet" / f"part-{part}.parquet"
        path.parent.mkdir(exist_ok=True)
        pl.DataFrame({"invocation_latency": [value]}).write_parquet(path)
        dated(path, 0)
    text = jtl(tmp_path / "run.jtl", 900)
    assert latencies(tmp_path) == [900]
    dated(text, -1)
    assert latencies(tmp_path) == [1, 2]
    assert latencies(tmp_path / "run.parquet") == [1, 2]


def test_forms_that_are_named_one_by_one_are_all_read(tmp_path: Path) -> None:
    pl.DataFrame({"invocation_latency": [1.0, 2.0], "label": ["a", "a"]}).write_parquet(
        tmp_path / "run.parquet"
    )
    text = jtl(tmp_path / "run.jtl", 900)
    assert latencies(tmp_path / "run.parquet", text) == [1, 2, 900]


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    jtl(tmp_path / "runs" / "task1" / "results.jtl", 100, 105, 110)
    jtl(tmp_path / "runs" / "task2" / "results.jtl", 900, 901, 902)
    jtl(tmp_path / "runs" / "other.jtl", 1, 2)
    for source in (tmp_path / "runs", f"{tmp_path}/runs/**/*.jtl"):
        log = loadlens.read_log(source)
        found = loadlens.summarize(log, by=log.key).summary
        assert dict(found.select("file", "invocation_latency_median").iter_rows()) == {
            "task1/results.jtl": 105.0,
            "task2/results.jtl": 901.0,
            "other.jtl": 1.5,
        }
    result = run("check", tmp_path / "runs", "--slo", "p50 < 600ms")
    assert result.exit_code == 1
    assert "file=task2/results.jtl" in result.stderr


def test_rejects_name_the_folder_too(tmp_path: Path) -> None:
    for task in ("task1", "task2"):
        path = jtl(tmp_path / task / "results.jtl", 100, 105 + len(task) + int(task[-1]))
        with path.open("a", encoding="utf-8") as file:
            file.write("x,y,a,200,true,1\n")
    rejects = tmp_path / "rejects.csv"
    arguments = ("--slo", "count > 0", "--max-rejects", "2", "--rejects", rejects)
    assert run("check", tmp_path / "task1", tmp_path / "task2", *arguments).exit_code == 0
    assert pl.read_csv(rejects)["file"].to_list() == [f"{tmp_path}/task{n}/results.jtl" for n in (1, 2)]


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "c d", "[x]"]), min_size=1, max_size=4).map(tuple),
        unique=True, min_size=1, max_size=12,
    )
)  # fmt: skip
def test_names_are_the_shortest_that_are_distinct(parts: list[tuple[str, ...]]) -> None:
    paths = [Path("/", *own) for own in parts]
    names = distinct_names(paths)
    assert len(set(names)) == len(paths)
    for own, name in zip(parts, names, strict=True):
        count = len(name.split("/"))
        assert tuple(name.split("/")) == own[-count:]
        shorter = own[-count + 1 :] if count > 1 else ()
        assert not shorter or sum(other[-len(shorter) :] == shorter for other in parts) > 1


def test_what_is_no_log_is_passed_over_with_one_sentence_for_each_kind(tmp_path: Path) -> None:
    for number in range(20):
        jtl(tmp_path / f"run{number}.csv", 100 + number)
        (tmp_path / f"run{number}-summary.json").write_text(SUMMARY, encoding="utf-8")
    (tmp_path / "README.md").write_text("# Runs", encoding="utf-8")
    (tmp_path / "chart.png").write_bytes(b"\x89PNG")
    (tmp_path / "notes").write_text("", encoding="utf-8")
    found = [sentence for sentence in sentences(tmp_path) if "passed over" in sentence]
    assert len(found) == 3
    assert any(text.startswith("20 files without single calls (k6's summary") for text in found)
    assert f"2 files not named like logs passed over: {tmp_path}/README.md, {tmp_path}/chart.png" in found
    assert len(latencies(tmp_path)) == 20


def test_a_folder_of_summaries_is_refused_with_the_reason_once(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"run{number}.json").write_text(SUMMARY, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no log", encoding="utf-8")
    unknown, aggregates = problems_in(tmp_path)
    assert aggregates.startswith(
        f"{tmp_path}: holds no log, only 30 files without single calls (k6's summary"
    )
    assert "k6 run --out csv=" in aggregates
    assert unknown.startswith(f"{tmp_path}: holds no log, only 1 file in no known format, such as ")


def test_a_summary_that_is_named_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "stats.csv"
    path.write_text("Type,Name,Request Count,Failure Count,Median Response Time\n", encoding="utf-8")
    (problem,) = problems_in(path)
    assert problem.startswith(f"{path}: is ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run.jtl", "sure"), ("RUN.CSV", "sure"), ("run.jtl.1", "sure"), ("run.jtl.12.gz", "sure"),
        ("run.csv-20240131", "sure"), ("run.jtl.2024-01-31", "sure"), ("run.csv.xz", "sure"),
        ("run.parquet.zip", "sure"), ("access.log", "likely"), ("access.log.1", "likely"),
        ("x.json.bz2", "likely"), ("results", "unlikely"), ("run.gz", "unlikely"), ("README.md", "none"),
        ("chart.png", "none"), ("run.jtl.bak", "none"),
    ],
)  # fmt: skip
def test_what_names_tell(name: str, expected: str) -> None:
    assert likelihood(name) == expected


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("run.jtl", "run"), ("run.jtl.gz", "run"), ("run.jtl.parquet", "run"), ("v1.2.csv", "v1.2"),
        ("v1.2.parquet", "v1.2"), ("run", "run"), (".csv", ".csv"),
    ],
)  # fmt: skip
def test_forms_of_a_log_have_one_stem(name: str, stem: str) -> None:
    assert stem_of(Path(name)).name == stem


def test_rotated_and_compressed_logs_of_a_folder_are_read(tmp_path: Path) -> None:
    jtl(tmp_path / "run.jtl", 1)
    jtl(tmp_path / "run.jtl.1", 2)
    for number, (suffix, compress) in enumerate(
        [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)], start=3
    ):
        path = jtl(tmp_path / f"run.jtl.{number}.{suffix}", number)
        path.write_bytes(compress(path.read_bytes()))
    assert latencies(tmp_path) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["run.jtl.7z", "run.csv.lz4", "run.jtl.br", "run.csv.tar.gz", "run.jtl.1"])
def test_a_file_named_like_a_log_that_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    jtl(tmp_path / "run.jtl", 1)
    (tmp_path / name).write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(range(256)))
    (problem,) = problems_in(tmp_path)
    assert problem.startswith(f"{tmp_path / name}: ")


def test_logs_with_hidden_names_are_told(tmp_path: Path) -> None:
    jtl(tmp_path / "run.jtl", 1)
    jtl(tmp_path / "_old" / "run.jtl", 2)
    jtl(tmp_path / ".ipynb_checkpoints" / "run-checkpoint.csv", 2)
    (tmp_path / "_SUCCESS").touch()
    assert latencies(tmp_path) == [1]
    assert any(
        text.startswith("2 files with names that begin with . or _ passed over")
        for text in sentences(tmp_path)
    )


@pytest.mark.parametrize("pattern", ["", "/*", "/**", "/**/*.jtl"])
def test_links_are_followed(tmp_path: Path, pattern: str) -> None:
    jtl(tmp_path / "elsewhere" / "run.jtl", 1)
    jtl(tmp_path / "runs" / "own.jtl", 2)
    (tmp_path / "runs" / "task").symlink_to(tmp_path / "elsewhere")
    assert latencies(f"{tmp_path}/runs{pattern}") == [1, 2]


@pytest.mark.parametrize("pattern", ["", "/*", "/**", "/*.jtl"])
def test_a_link_to_nothing_is_an_error(tmp_path: Path, pattern: str) -> None:
    jtl(tmp_path / "runs" / "own.jtl", 2)
    link = tmp_path / "runs" / "gone.jtl"
    link.symlink_to(tmp_path / "gone.jtl")
    (problem,) = problems_in(f"{tmp_path}/runs{pattern}")
    assert problem.startswith(f"{link}: is a link to {tmp_path / 'gone.jtl'}, which cannot be found")
    assert problems_in(link) == (problem,)


@pytest.mark.parametrize("pattern", ["", "/**"])
def test_links_in_a_circle_are_an_error(tmp_path: Path, pattern: str) -> None:
    jtl(tmp_path / "runs" / "deep" / "own.jtl", 2)
    link = tmp_path / "runs" / "deep" / "up"
    link.symlink_to("..")
    (problem,) = problems_in(f"{tmp_path}/runs{pattern}")
    assert problem.startswith(f"{link}: is a link that leads back to {tmp_path / 'runs'}")
    link.unlink()
    link.symlink_to("up")
    (problem,) = problems_in(tmp_path / "runs")
    assert problem.startswith(f"{link}: is a link to up, which cannot be found")


def test_pipes_and_sockets_of_a_folder_are_an_error_where_they_are_named_like_logs(tmp_path: Path) -> None:
    jtl(tmp_path / "run.jtl", 1)
    os.mkfifo(tmp_path / "pipe.jtl")
    (problem,) = problems_in(tmp_path)
    assert problem.startswith(f"{tmp_path / 'pipe.jtl'}: is no file but a pipe")
    (tmp_path / "pipe.jtl").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "agent.sock"))
        assert latencies(tmp_path) == [1]


@pytest.mark.parametrize("name", ["a\nb.jtl", "[x].jtl", "a*b.jtl", "what?.jtl", " a b .jtl", "-.jtl"])
def test_hostile_names(tmp_path: Path, name: str) -> None:
    path = jtl(tmp_path / "runs" / name, 1, 2)
    jtl(tmp_path / "runs" / "other.jtl", 3)
    assert latencies(path) == [1, 2]
    assert latencies(tmp_path / "runs") == [1, 2, 3]
    log = loadlens.read_log(tmp_path / "runs")
    found = loadlens.summarize(log, by=["file"]).summary["file"].to_list()
    assert sorted(found) == sorted([name, "other.jtl"])


def test_a_name_that_is_no_text_is_an_error_unless_it_is_hidden(tmp_path: Path) -> None:
    jtl(tmp_path / "run.jtl", 1)
    hidden = os.fsencode(tmp_path) + b"/.\xff.jtl"
    Path(os.fsdecode(hidden)).touch()
    assert latencies(tmp_path) == [1]
    (names,) = loadlens.read_log(tmp_path).findings.passed_over.values()
    assert list(names) == [f"{tmp_path}/.\ufffd.jtl"]
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jtl")).touch()
    (problem,) = problems_in(tmp_path)
    assert "its name is not UTF-8 text" in problem


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of root, whom permissions do not bind."""
    if ROOT:
        os.seteuid(65534)
    try:
        yield
    finally:
        if ROOT:
            os.seteuid(0)


@pytest.mark.parametrize("pattern", ["", "/**/*.jtl", "/*/*.jtl", "/*"])
@pytest.mark.parametrize("quiet", [True, False])
def test_a_folder_that_may_not_be_read_is_an_error(folder: Path, pattern: str, *, quiet: bool) -> None:
    jtl(folder / "runs" / "open" / "a.jtl", 1)
    jtl(folder / "runs" / "closed" / "b.jtl", 2)
    (folder / "runs" / "closed").chmod(0)
    flags = ["--quiet"] if quiet else ["--json"]
    with nobody():
        result = run("check", f"{folder}/runs{pattern}", "--slo", "count > 0", *flags)
    (folder / "runs" / "closed").chmod(0o755)
    assert result.exit_code == 3
    assert f"{folder}/runs/closed: cannot be read: Permission denied" in result.stderr


@pytest.mark.parametrize("name", ["b.jtl", "b.log", "b.jtl.1", "b", "b.parquet"])
def test_a_file_that_may_not_be_read_is_an_error(folder: Path, name: str) -> None:
    jtl(folder / "runs" / "a.jtl", 1)
    closed = jtl(folder / "runs" / name, 2)
    closed.chmod(0)
    with nobody():
        (problem,) = problems_in(folder / "runs")
    assert problem == f"{closed}: cannot be read: Permission denied"


def test_the_log_of_a_raw_folder_is_taken_alone_and_says_so(tmp_path: Path) -> None:
    small_log().write_csv(tmp_path / "invocation_benchmark_results.csv")
    (tmp_path / "endpoint_metrics.csv").write_text("Average\n1\n", encoding="utf-8")
    jtl(tmp_path / "other.jtl", 1)
    told = sentences(tmp_path)
    assert f"1 file beside invocation_benchmark_results.csv passed over: {tmp_path}/other.jtl" in told


def test_what_is_named_twice_is_read_once_and_says_so(tmp_path: Path) -> None:
    path = jtl(tmp_path / "run.jtl", 1, 2)
    log = loadlens.read_log([path, f"{tmp_path}/*.jtl", tmp_path])
    loadlens.summarize(log, by=[])
    assert log.findings.rows == 2
    assert f"2 files named more than once, read once: {path}, {path}" in log.findings.sentences()
