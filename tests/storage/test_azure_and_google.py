"""Logs and results in Azure's and Google's object stores, as their emulators play them."""

import gzip
import json
import os
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens.errors import InputError, LoadlensError, OutputError
from loadlens.logs import Reading
from loadlens.publish.publishing import publish_folder
from loadlens.storage.location import location
from loadlens.storage.remote import Bucket, StorageError
from tests.clouds import Azure, Cloud, arguments, azurite, fake_gcs_server
from tests.command_line import loadlens_
from tests.dialect_logs import sample
from tests.folders import leave_out_drawings
from tests.stores import NEW, parquet, small_log, write_new

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def azure_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    with azurite(tmp_path_factory.mktemp("azurite")) as service:
        yield service


@pytest.fixture(scope="module", params=["az", "gs"])
def service(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    if request.param == "az":
        yield request.getfixturevalue("azure_service")
        return
    with fake_gcs_server() as google:
        yield google


def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def cloud(service: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """An empty bucket or container, and no credentials in the environment."""
    without_credentials(monkeypatch)
    service.clear()
    return service


@pytest.fixture
def azure(azure_service: Azure, monkeypatch: pytest.MonkeyPatch) -> Azure:
    """An empty container, and no credentials in the environment."""
    without_credentials(monkeypatch)
    azure_service.clear()
    return azure_service


def files_below(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_parquet_file_gives_the_numbers_of_its_copy_on_the_disk(cloud: Cloud, tmp_path: Path) -> None:
    path = cloud.put("run.parquet", parquet(small_log(), tmp_path))
    log = loadlens.read_log(path, storage_options=cloud.options)
    assert_frame_equal(
        loadlens.summarize(log, ["memory_size"]).summary,
        loadlens.summarize(small_log(), ["memory_size"]).summary,
    )


@pytest.mark.parametrize("dialect", ["jmeter-csv", "k6-json", "gatling-binary", "oha-sqlite"])
def test_text_gives_the_rows_of_its_copy_on_the_disk(cloud: Cloud, tmp_path: Path, dialect: str) -> None:
    (tmp_path / "log").write_bytes(sample(dialect).data)
    path = cloud.put("log", sample(dialect).data)
    assert_frame_equal(
        loadlens.scan_log(path, storage_options=cloud.options).collect(),
        loadlens.scan_log(tmp_path / "log").collect(),
    )


def test_a_folder_a_glob_and_compressed_text_are_read_again_and_again(cloud: Cloud, tmp_path: Path) -> None:
    data = parquet(small_log(), tmp_path)
    for key in ("a/day=1/x.parquet", "a/day=2/y.parquet", "ab/other.parquet", "a/.hidden/z.parquet"):
        cloud.put(key, data)
    cloud.put("a/day=3/z.csv.gz", gzip.compress(small_log().write_csv().encode()))
    days = {"a": [1, 2, 3], "a/*/*.parquet": [1, 2], "a/day=[13]": [1, 3], "**/z.csv.gz": [3]}
    for pattern, expected in days.items():
        log = loadlens.read_log(f"{cloud.root}/{pattern}", storage_options=cloud.options)
        for _ in range(2):
            found = loadlens.summarize(log, ["day"]).summary
            assert found["day"].to_list() == expected
            assert found["num_invocations"].to_list() == [200] * len(expected)


def test_empty_objects_that_stand_for_folders_do_not_matter(cloud: Cloud, tmp_path: Path) -> None:
    for key in ("a/", "a/deep/", "out/"):
        cloud.put(key, b"")
    cloud.put("a/deep/x.parquet", parquet(small_log(), tmp_path))
    log = loadlens.read_log(f"{cloud.root}/a", storage_options=cloud.options)
    assert [str(file.path) for file in log.files] == [f"{cloud.root}/a/deep/x.parquet"]
    publish_folder(location(f"{cloud.root}/out", cloud.options), write_new)
    assert {name: data for name, data in cloud.tree("out").items() if name} == NEW


@pytest.mark.parametrize("key", ["with space.parquet", "a%20b.parquet", "a[1]*.parquet", "ü#x=1.parquet"])
def test_any_name_can_be_read(cloud: Cloud, tmp_path: Path, key: str) -> None:
    path = cloud.put(key, parquet(small_log(), tmp_path))
    assert loadlens.scan_log(path, storage_options=cloud.options).collect().height == 200


def test_an_analysis_goes_from_a_store_to_a_store(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    cloud.put("logs/a.parquet", parquet(small_log(), tmp_path))
    out = f"{cloud.root}/results/run-1"
    result = loadlens_("analyze", f"{cloud.root}/logs", "--out", out, *cloud.arguments)
    assert result.exit_code == 0, result.output
    assert f"Report: {out}/report.html" in result.output
    small_log().write_parquet(tmp_path / "a.parquet")
    loadlens_("analyze", tmp_path / "a.parquet", "--out", tmp_path / "out")
    there, here = cloud.tree("results/run-1"), files_below(tmp_path / "out")
    assert sorted(there) == sorted(here)
    assert there["summary.csv"] == here["summary.csv"]
    assert json.loads(there["summary.json"])["inputs"] == [f"{cloud.root}/logs"]


def test_a_toolkit_folder_in_a_store_is_recognised(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    assert loadlens_("demo", "--out", tmp_path / "demo", "--rows", "2000").exit_code == 0
    source = cloud.put_tree(tmp_path / "demo", "demo")
    result = loadlens_("analyze", source, "--out", tmp_path / "out", "--quiet", *cloud.arguments)
    assert result.exit_code == 0, result.output
    found, expected = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("out", "demo"))
    assert found["cost"]["optimal_memory_config"] == expected["cost"]["optimal_memory_config"]


def test_a_log_is_converted_a_profile_saved_and_both_analysed_there(cloud: Cloud) -> None:
    text = cloud.put("log.csv", small_log().write_csv().encode())
    table, profile, merged = (
        f"{cloud.root}/made/{name}" for name in ("log.parquet", "a.profile", "b.profile")
    )
    for command, source, out in (
        ("convert", text, table),
        ("profile", table, profile),
        ("merge", profile, merged),
    ):
        made = loadlens_(command, source, "--out", out, *cloud.arguments)
        assert made.exit_code == 0, made.output
    again = loadlens_("convert", text, "--out", table, *cloud.arguments)
    assert (again.exit_code, "exists; pass --overwrite" in again.output) == (2, True)
    assert_frame_equal(pl.read_parquet(cloud.get("made/log.parquet")), small_log())
    for source in (table, profile, merged):
        for slo, code in (("p99 < 1s", 0), ("p99 < 1ms", 1)):
            assert loadlens_("check", source, "--slo", slo, *cloud.arguments).exit_code == code
    for data in cloud.tree().values():
        assert not any(secret.encode() in data for secret in cloud.secrets)


def test_an_existing_folder_is_refused_and_with_overwrite_replaced(cloud: Cloud) -> None:
    for key in ("out/old.csv", "out/summary.json", "output/other.csv"):
        cloud.put(key, b"old")
    out = location(f"{cloud.root}/out", cloud.options)
    with pytest.raises(OutputError, match=f"{cloud.root}/out: exists; pass --overwrite"):
        publish_folder(out, write_new)
    assert cloud.tree("out") == {"old.csv": b"old", "summary.json": b"old"}
    publish_folder(out, write_new, overwrite=True)
    assert cloud.tree("out") == NEW
    assert cloud.tree("output") == {"other.csv": b"old"}


def test_what_a_failed_upload_leaves_is_removed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Bucket.put

    def failing(self: Bucket, key: str, file: Path) -> None:
        if key.endswith("summary.json"):
            raise StorageError("the line went down")
        put(self, key, file)

    monkeypatch.setattr(Bucket, "put", failing)
    with pytest.raises(OutputError, match=f"{cloud.root}/out: cannot be written: the line went down"):
        publish_folder(location(f"{cloud.root}/out", cloud.options), write_new)
    assert cloud.tree() == {}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("logs/none.parquet", "logs/none.parquet: does not exist; check the path$"),
        ("logs/none/*.csv", r"logs/none/\*.csv: matches no file; check the path$"),
        ("logs/empty.csv", "logs/empty.csv: is empty"),
        ("logs/bad.parquet", "logs/bad.parquet: is a damaged Parquet file"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(cloud: Cloud, source: str, problem: str) -> None:
    cloud.put("empty.csv", b"")
    cloud.put("bad.parquet", b"PAR1 and then nothing of sense PAR1")
    with pytest.raises(InputError, match=f"^{cloud.scheme}://{problem}") as failure:
        loadlens.read_log(f"{cloud.scheme}://{source}", storage_options=cloud.options)
    assert "\n" not in str(failure.value)


def test_a_bucket_that_is_not_there_is_told(cloud: Cloud, tmp_path: Path) -> None:
    small_log().write_csv(tmp_path / "a.csv")
    reason = {
        "az": "ContainerNotFound: The specified container does not exist",
        "gs": "NoSuchBucket: The specified bucket does not exist",
    }[cloud.scheme]
    source, out = (f"{cloud.scheme}://none/{name}" for name in ("a.csv", "a.parquet"))
    read = loadlens_("inspect", source, *cloud.arguments)
    hint = "check the path and the credentials"
    assert (read.exit_code, read.output) == (3, f"loadlens: {source}: cannot be read: {reason}; {hint}\n")
    written = loadlens_("convert", tmp_path / "a.csv", "--out", out, *cloud.arguments)
    assert (written.exit_code, written.output) == (2, f"loadlens: {out}: cannot be written: {reason}\n")


def test_wrong_credentials_are_told_in_a_line_and_not_shown(cloud: Cloud, tmp_path: Path) -> None:
    path = cloud.put("a.parquet", parquet(small_log(), tmp_path))
    small_log().write_csv(tmp_path / "a.csv")
    wrong = arguments(cloud.wrong_options)
    results = [
        loadlens_("inspect", path, *wrong),
        loadlens_("analyze", f"{cloud.root}/*.parquet", "--out", tmp_path / "out", *wrong),
        loadlens_("analyze", tmp_path / "a.csv", "--out", f"{cloud.root}/out", *wrong),
        loadlens_("convert", tmp_path / "a.csv", "--out", f"{cloud.root}/b.parquet", *wrong),
    ]
    assert [result.exit_code for result in results] == [3, 3, 2, 2]
    for result in results:
        assert result.output.count("\n") == 1
        assert "AuthorizationFailure" in result.output or "denied" in result.output or "403" in result.output
    reading = Reading.of(storage_options=cloud.wrong_options)
    with pytest.raises(LoadlensError) as failure:
        loadlens.analyze([path], tmp_path / "out", reading=reading)
    told = "".join(traceback.format_exception(failure.value)) + repr(reading)
    for text in (told, *(result.output for result in results)):
        assert not any(secret in text for secret in cloud.secrets)
    assert cloud.keys() == ["a.parquet"]


def test_credentials_are_taken_from_the_environment(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = cloud.put("run.parquet", parquet(small_log(), tmp_path))
    text = cloud.put("run.csv", small_log().write_csv().encode())
    for name, value in cloud.options.items():
        monkeypatch.setenv(name.upper(), value)
    options = {"allow_http": "true"}  # what no client takes from the environment
    assert loadlens.scan_log([table, text], storage_options=options).collect().height == 400


def test_a_text_log_that_is_replaced_while_it_is_read_is_refused(cloud: Cloud) -> None:
    path = cloud.put("log.csv", small_log().write_csv().encode())
    log = loadlens.read_log(path, storage_options=cloud.options)
    cloud.put("log.csv", small_log(300).write_csv().encode())
    with pytest.raises(InputError, match="changed while it was read"):
        loadlens.summarize(log, by=[])


def test_a_parquet_file_that_is_replaced_while_it_is_read_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    path = cloud.put("log.parquet", parquet(small_log(), tmp_path))
    log = loadlens.read_log(path, storage_options=cloud.options)
    cloud.put("log.parquet", parquet(small_log(memory_size=2048), tmp_path))
    with pytest.raises(InputError, match="changed while it was read"):
        loadlens.summarize(log, by=[])


def test_a_location_goes_to_another_process_and_back(cloud: Cloud) -> None:
    place = location(cloud.put("data.bin", b"1234"), cloud.options)
    assert pickle.loads(pickle.dumps(place)).read_bytes() == b"1234"


def test_a_large_file_is_uploaded_in_parts(azure: Azure, tmp_path: Path) -> None:
    """The other emulator knows no uploads in parts."""
    data = bytes(range(256)) * 50_000
    (tmp_path / "large").write_bytes(data)
    place = location(f"{azure.root}/large", azure.options)
    place.put(tmp_path / "large")  # type: ignore[union-attr]  # it is remote
    assert azure.tree() == {"large": data}


def test_a_shared_access_signature_opens_a_container(azure: Azure, tmp_path: Path) -> None:
    path = azure.put("run.parquet", parquet(small_log(), tmp_path))
    signed = arguments(azure.signed_options)
    result = loadlens_("convert", path, "--out", f"{azure.root}/copy.parquet", *signed)
    assert result.exit_code == 0, result.output
    assert_frame_equal(pl.read_parquet(azure.get("copy.parquet")), small_log())
    failed = loadlens_("inspect", "az://none/a.csv", *signed)
    assert failed.exit_code == 3
    for text in (result.output, failed.output, azure.get("copy.parquet").decode("latin-1")):
        assert not any(secret in text for secret in azure.secrets)


def test_the_address_of_a_data_lake_names_container_and_account(azure: Azure, tmp_path: Path) -> None:
    azure.put("a/run.parquet", parquet(small_log(), tmp_path))
    root = "abfss://logs@devstoreaccount1.dfs.core.windows.net"
    result = loadlens_("convert", f"{root}/a", "--out", f"{root}/copy.parquet", *azure.arguments)
    assert result.exit_code == 0, result.output
    assert_frame_equal(pl.read_parquet(azure.get("copy.parquet")), small_log())
