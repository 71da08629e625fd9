"""Logs in object stores and on web servers: found, told apart and read as files on the disk are."""

import gzip
import pickle
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.errors import InputError, UsageError
from loadlens.logs.files import inspect_columns
from loadlens.storage import remote as bucket
from loadlens.storage.location import RemotePath, local_copy, location
from loadlens.storage.secrets import reason_of
from loadlens.text.stream import open_stream
from tests.dialect_logs import sample
from tests.stores import S3, SECRET, parquet, small_log

ANSWERED = "Server returned non-2xx status code:"


def names(source: object, s3: S3) -> list[str]:
    log = loadlens.read_log(source, storage_options=s3.options)  # type: ignore[arg-type]  # paths of any kind
    return [str(file.path).removeprefix("s3://logs/") for file in log.files]


def test_a_parquet_file_gives_the_numbers_of_its_copy_on_the_disk(s3: S3, tmp_path: Path) -> None:
    path = s3.put("run.parquet", parquet(small_log(), tmp_path))
    log = loadlens.read_log(path, storage_options=s3.options)
    assert log.key == ("memory_size",)
    assert_frame_equal(
        loadlens.summarize(log, ["memory_size"]).summary,
        loadlens.summarize(small_log(), ["memory_size"]).summary,
    )
    assert_frame_equal(loadlens.scan_log(path, storage_options=s3.options).collect(), small_log())


def test_an_arrow_file_is_read(s3: S3, tmp_path: Path) -> None:
    small_log().write_ipc(tmp_path / "run.arrow")
    path = s3.put("run.arrow", (tmp_path / "run.arrow").read_bytes())
    assert_frame_equal(loadlens.scan_log(path, storage_options=s3.options).collect(), small_log())


@pytest.mark.parametrize("dialect", ["jmeter-csv", "jmeter-xml", "k6-json", "gatling-binary", "oha-sqlite"])
def test_text_gives_the_rows_of_its_copy_on_the_disk(s3: S3, tmp_path: Path, dialect: str) -> None:
    (tmp_path / "log").write_bytes(sample(dialect).data)
    path = s3.put("log", sample(dialect).data)
    assert_frame_equal(
        loadlens.scan_log(path, storage_options=s3.options).collect(),
        loadlens.scan_log(tmp_path / "log").collect(),
    )


def test_compressed_text_is_read_twice_with_the_same_rows(s3: S3) -> None:
    path = s3.put("log.csv.gz", gzip.compress(small_log().write_csv().encode()))
    log = loadlens.read_log(path, storage_options=s3.options)
    assert_frame_equal(log.frame.collect(), small_log())
    assert_frame_equal(log.frame.collect(), small_log())


def test_files_of_the_disk_and_of_a_store_make_one_log(s3: S3, tmp_path: Path) -> None:
    small_log().write_parquet(tmp_path / "here.parquet")
    there = s3.put("there.parquet", parquet(small_log(memory_size=2048), tmp_path))
    log = loadlens.scan_log([tmp_path / "here.parquet", there], storage_options=s3.options)
    assert sorted(log.collect()["memory_size"].unique()) == [1024, 2048]


def test_a_prefix_holds_the_logs_below_it_and_its_folders_tell_columns(s3: S3, tmp_path: Path) -> None:
    data = parquet(small_log(), tmp_path)
    s3.put("a/day=2/y.csv", b"the same rows as Parquet")  # first: the newer of two forms is read
    for key in ("a/day=1/x.parquet", "a/day=2/y.parquet", "a/_temporary/z.parquet", "ab/other.parquet"):
        s3.put(key, data)
    s3.put("a/notes.md", b"nothing to read")
    assert names("s3://logs/a", s3) == names("s3://logs/a/", s3) == ["a/day=1/x.parquet", "a/day=2/y.parquet"]
    log = loadlens.scan_log("s3://logs/a", storage_options=s3.options)
    assert sorted(log.collect()["day"].unique()) == ["1", "2"]


def test_a_toolkit_log_in_a_prefix_is_taken_alone(s3: S3, tmp_path: Path) -> None:
    s3.put("raw/invocation_benchmark_results.csv", small_log().write_csv().encode())
    s3.put("raw/other.parquet", parquet(small_log(), tmp_path))
    assert names("s3://logs/raw", s3) == ["raw/invocation_benchmark_results.csv"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*/x.parquet", ["a/x.parquet", "b/x.parquet"]),
        ("a/?.parquet", ["a/x.parquet", "a/y.parquet"]),
        ("[b]/*", ["b/x.parquet"]),
        ("**/x.parquet", ["a/deep/x.parquet", "a/x.parquet", "b/x.parquet"]),
        ("[ab]", ["a/deep/x.parquet", "a/x.parquet", "a/y.parquet", "b/x.parquet"]),
    ],
)
def test_globs_match_as_on_the_disk(s3: S3, tmp_path: Path, pattern: str, expected: list[str]) -> None:
    keys = ("a/x.parquet", "a/y.parquet", "a/deep/x.parquet", "b/x.parquet", "a/.hidden.parquet")
    for rows, key in enumerate(keys, start=1):
        data = parquet(small_log().head(rows), tmp_path)
        s3.put(key, data)
        local = tmp_path / "tree" / key
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(data)
    assert sorted(names(f"s3://logs/{pattern}", s3)) == expected
    found = loadlens.read_log(f"{tmp_path}/tree/{pattern}").files
    assert sorted(str(file.path).partition("tree/")[2] for file in found) == expected


@pytest.mark.parametrize("key", ["with space.parquet", "a%20b.parquet", "a[1]*.parquet", "ü#?x=1.parquet"])
def test_any_name_can_be_read(s3: S3, tmp_path: Path, key: str) -> None:
    path = s3.put(key, parquet(small_log(), tmp_path))
    assert loadlens.scan_log(path, storage_options=s3.options).collect().height == 200


def test_credentials_are_taken_from_the_environment(s3: S3, tmp_path: Path) -> None:
    path = s3.put("run.parquet", parquet(small_log(), tmp_path))
    text = s3.put("run.csv", small_log().write_csv().encode())
    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3.options.items():
            environment.setenv(name.upper(), value)
        assert loadlens.scan_log([path, text]).collect().height == 400


def test_sizes_of_row_groups_are_known(s3: S3, tmp_path: Path) -> None:
    data = parquet(small_log(), tmp_path)
    (tmp_path / "run.parquet").write_bytes(data)
    here = inspect_columns(tmp_path / "run.parquet", "parquet", small_file_bytes=0)
    path = location(s3.put("run.parquet", data), s3.options)
    there = inspect_columns(path, "parquet", small_file_bytes=0)
    assert there.row_group_bytes == here.row_group_bytes > 0
    assert (there.size, there.rows, there.columns) == (here.size, here.rows, here.columns)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("s3://logs/none.parquet", "s3://logs/none.parquet: does not exist; check the path"),
        ("s3://logs/none/*.csv", r"s3://logs/none/\*.csv: matches no file; check the path"),
        ("s3://no-bucket/x.csv", "s3://no-bucket/x.csv: cannot be read: NoSuchBucket: .+; check the path"),
        ("s3:///x.csv", "names no bucket"),
        ("s3://logs/empty.csv", "s3://logs/empty.csv: is empty"),
        ("s3://logs/bad.parquet", "s3://logs/bad.parquet: is a damaged Parquet file"),
        ("s3://logs/notes", "s3://logs/notes: holds no log"),
    ],
)
def test_what_cannot_be_read_is_told(s3: S3, source: str, problem: str) -> None:
    s3.put("empty.csv", b"")
    s3.put("bad.parquet", b"PAR1 and then nothing of sense PAR1")
    s3.put("notes/readme.md", b"text")
    with pytest.raises(InputError, match=problem):
        loadlens.read_log(source, storage_options=s3.options)


def test_an_unknown_option_is_named(s3: S3) -> None:
    with pytest.raises(UsageError, match="aws_bogus"):
        loadlens.read_log("s3://logs/x.parquet", storage_options={**s3.options, "aws_bogus": "1"})


def test_a_text_log_that_is_replaced_while_it_is_read_is_refused(s3: S3) -> None:
    path = s3.put("log.csv", small_log().write_csv().encode())
    log = loadlens.read_log(path, storage_options=s3.options)
    s3.put("log.csv", small_log(300).write_csv().encode())
    with pytest.raises(InputError, match="changed while it was read"):
        loadlens.summarize(log, by=[])


def test_an_entity_tag_is_the_same_in_a_listing_and_on_its_own() -> None:
    told = [
        bucket._facts_of_object({"size": 1, "e_tag": tag}).etag for tag in ('"0x1"', "0x1", 'W/"0x1"', None)
    ]
    assert told == ['"0x1"', '"0x1"', 'W/"0x1"', ""]


def test_an_empty_object_that_stands_for_a_folder_does_not_matter(s3: S3, tmp_path: Path) -> None:
    s3.put("empty/", b"")
    s3.put("a/", b"")
    s3.put("a/x.parquet", parquet(small_log(), tmp_path))
    assert names("s3://logs/a", s3) == ["a/x.parquet"]
    assert not location("s3://logs/empty", s3.options).exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"azure_allow_http": "true"}, "account"),
        ({"azure_storage_account_name": "other", "allow_http": "true"}, "other"),
    ],
)
def test_the_address_of_a_data_lake_goes_with_options_of_the_connection(
    options: dict[str, str], expected: str
) -> None:
    place = location("abfss://logs@account.dfs.core.windows.net/a", options)
    assert isinstance(place, RemotePath)
    assert f'account_name="{expected}"' in repr(place.store._opened)  # type: ignore[attr-defined]  # a Bucket


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Error: PUT https://a?sig=1\n<Error><Code>Gone</Code>\n<Message>No.\nTime:2</Message>",
            "Gone: No",
        ),
        (
            f"Not permitted: Error performing HEAD http://a in 2ms - {ANSWERED} 403 Forbidden: \n\nAt:",
            "Not permitted: HEAD http://a answers 403 Forbidden",
        ),
        (
            f"Error performing GET http://a?b=2 in 3.3s, after 4 retries  - {ANSWERED} 500: busy\n",
            "GET http://a?... answers 500: busy",
        ),
        ("", "ValueError"),
    ],
)
def test_a_reason_is_one_line(text: str, expected: str) -> None:
    assert reason_of(ValueError(text)) == expected


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("gs://logs/a", {"google_service_account_key": f'{{"private_key": "{SECRET}'}),
        ("gs://logs/a", {"google_service_account": f"/{SECRET}.json"}),
        ("az://logs/a", {"azure_storage_account_name": "a", "azure_storage_account_key": SECRET}),
        ("az://logs/a", {"azure_storage_account_key": SECRET}),
        ("abfss://logs@a.dfs.core.windows.net/a", {"azure_storage_account_key": SECRET}),
    ],
)
def test_credentials_of_the_wrong_form_are_told_and_not_shown(address: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"cannot be opened with these storage options: .+") as failure:
        loadlens.read_log(address, storage_options=options)
    told = "".join(traceback.format_exception(failure.value))
    assert "\n" not in str(failure.value)
    assert SECRET not in told


def test_a_local_copy_is_gone_in_the_end(s3: S3, tmp_path: Path) -> None:
    place = location(s3.put("data.bin", b"1234"), s3.options)
    with local_copy(place) as copy:
        assert copy.read_bytes() == b"1234"
    assert not copy.exists()
    with local_copy(tmp_path) as same:
        assert same is tmp_path


def test_a_location_goes_to_another_process_and_back(s3: S3) -> None:
    place = location(s3.put("data.bin", b"1234"), s3.options)
    assert place.exists()
    again = pickle.loads(pickle.dumps(place))
    assert again == place
    assert again.read_bytes() == b"1234"


def test_a_missing_extra_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(UsageError, match=r"pip install 'loadlens\[cloud\]'"):
        loadlens.read_log("s3://somewhere/x.parquet")


class Web:
    """A web server that gives files to those who sign, wholly or in part."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut = False
        handler = type("Handler", (_Handler,), {"web": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def put(self, name: str, data: bytes) -> str:
        self.files[f"/{name}"] = data
        return f"http://127.0.0.1:{self.server.server_port}/{name}?sig=letmein"


class _Handler(BaseHTTPRequestHandler):
    web: Web

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        data = self.web.files.get(path)
        if query != "sig=letmein":
            self.send_error(403)
        elif data is None:
            self.send_error(404)
        else:
            self._give(data)

    def _give(self, data: bytes) -> None:
        extent = self.headers.get("Range", "").removeprefix("bytes=")
        first, _, last = extent.partition("-")
        size = len(data)
        start = int(first) if first else (size - min(int(last), size) if last else 0)
        stop = int(last) + 1 if first and last else size
        self.send_response(206 if extent else 200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(data[start:stop])))
        if extent:
            self.send_header("Content-Range", f"bytes {start}-{min(stop, size) - 1}/{size}")
        self.end_headers()
        self.wfile.write(data[start : size // 2 if self.web.cut else stop])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_files_of_a_web_server_are_read_with_their_signature(web: Web, tmp_path: Path) -> None:
    table = web.put("run.parquet", parquet(small_log(), tmp_path))
    text = web.put("run.csv", small_log().write_csv().encode())
    assert loadlens.scan_log([table, text]).collect().height == 400


def test_a_response_that_is_cut_off_is_refused(web: Web) -> None:
    path = web.put("run.csv", small_log(20_000).write_csv().encode())
    log = loadlens.read_log(path)
    web.cut = True
    with pytest.raises(InputError, match=r"run.csv\?\.\.\..*(ends after|IncompleteRead)"):
        loadlens.summarize(log, by=[])


@pytest.mark.parametrize(
    ("name", "problem"), [("none.csv", "does not exist"), ("x.csv?sig=wrong", "the server answers 403")]
)
def test_what_a_web_server_does_not_give_is_told(web: Web, name: str, problem: str) -> None:
    web.put("x.csv", b"1")
    address = web.put(name, b"").replace("?sig=wrong?sig=letmein", "?sig=wrong")
    web.files.pop("/none.csv", None)
    with pytest.raises(InputError, match=problem):
        loadlens.read_log(address)


def test_a_signature_may_allow_no_neighbours(web: Web, tmp_path: Path) -> None:
    """A folder of the toolkit is looked for beside no single file."""
    path = web.put("run.parquet", parquet(small_log(), tmp_path))
    place = location(path)
    assert isinstance(place, RemotePath)
    assert not place.is_dir()
    with open_stream(place) as stream:
        assert stream.read(4) == b"PAR1"


def test_reading_an_s3_log_leaves_polars_errors_as_input_errors(s3: S3, tmp_path: Path) -> None:
    path = s3.put("run.parquet", parquet(small_log(), tmp_path))
    log = loadlens.read_log(path, storage_options=s3.options)
    s3.clear()
    with pytest.raises(InputError, match="has disappeared while it was read"):
        loadlens.summarize(log, by=[])


def test_a_store_that_does_not_answer_is_no_damaged_file(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = s3.put("run.parquet", parquet(small_log(), tmp_path))
    answer = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    def refused(*_: object, **__: object) -> pl.LazyFrame:
        raise PermissionError(f"object-store error: 403 Forbidden: {answer}")

    monkeypatch.setattr("loadlens.logs.files.pl.scan_parquet", refused)
    with pytest.raises(InputError, match=r"run.parquet: cannot be read: AccessDenied: Access Denied$"):
        loadlens.read_log(path, storage_options=s3.options)


def test_a_map_of_columns_is_used_there_too(s3: S3, tmp_path: Path) -> None:
    frame = small_log().select(pl.col("invocation_latency").alias("took"))
    path = s3.put("run.parquet", parquet(frame, tmp_path))
    log = loadlens.read_log(path, column_map=["latency=took:ms"], storage_options=s3.options)
    assert_frame_equal(
        log.frame.select("invocation_latency").collect(), small_log().select("invocation_latency")
    )
