"""Results in an object store: whole, in the right order, and never with a secret in them."""

import json
import traceback
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.errors import InputError, LoadlensError, OutputError
from loadlens.logs import Reading
from loadlens.publish.publishing import existing_paths, publish_file, publish_folder, refuse_output_inside
from loadlens.storage.location import location
from loadlens.storage.remote import Bucket, StorageError
from loadlens.storage.secrets import shown
from loadlens.tasks.convert import convert
from tests.command_line import loadlens_
from tests.folders import leave_out_drawings
from tests.stores import NEW, S3, SECRET, parquet, small_log, write_new

SIGNED = f"https://user:{SECRET}@host.invalid/run.parquet?X-Amz-Signature={SECRET}"


MARK = b'{"loadlens_version": "0.1.0"}'


def test_an_analysis_goes_from_a_store_to_a_store(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    s3.put("logs/a.parquet", parquet(small_log(), tmp_path))
    result = loadlens_("analyze", "s3://logs/logs", "--out", "s3://logs/results/run-1/", *s3.arguments)
    assert result.exit_code == 0, result.output
    assert "Report: s3://logs/results/run-1/report.html" in result.output
    small_log().write_parquet(tmp_path / "a.parquet")
    loadlens_("analyze", tmp_path / "a.parquet", "--out", tmp_path / "out")
    there = s3.tree("results/run-1")
    here = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert sorted(there) == sorted(here)
    assert there["summary.csv"] == here["summary.csv"]
    document = json.loads(there["summary.json"])
    assert document["inputs"] == ["s3://logs/logs"]


def test_the_command_line_reads_the_environment(s3: S3, tmp_path: Path) -> None:
    path = s3.put("a.parquet", parquet(small_log(), tmp_path))
    environment = {name.upper(): value for name, value in s3.options.items()}
    done = CliRunner().invoke(app, ["check", path, "--slo", "p99 < 1s"], env=environment)
    assert done.exit_code == 0, done.output
    assert "The gate holds" in done.output


@pytest.mark.slow
def test_a_toolkit_folder_in_a_store_is_recognised(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    assert loadlens_("demo", "--out", tmp_path / "demo", "--rows", "2000").exit_code == 0
    s3.put_tree(tmp_path / "demo", "demo")
    result = loadlens_("analyze", "s3://logs/demo", "--out", tmp_path / "out", "--quiet", *s3.arguments)
    assert result.exit_code == 0, result.output
    found, expected = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("out", "demo"))
    assert found["inputs"] == ["s3://logs/demo"]
    for part in ("stability", "concurrency"):
        assert_frame_equal(
            pl.DataFrame(found[part]["summary"]), pl.DataFrame(expected[part]["summary"]), rel_tol=1e-12
        )
    assert found["cost"]["optimal_memory_config"] == expected["cost"]["optimal_memory_config"]


def test_the_document_is_the_last_to_appear(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    put = Bucket.put

    def noted(self: Bucket, key: str, file: Path) -> None:
        order.append(key)
        put(self, key, file)

    monkeypatch.setattr(Bucket, "put", noted)
    publish_folder(location("s3://logs/out", s3.options), write_new)
    assert order[-1] == "out/summary.json"
    assert sorted(order) == [f"out/{name}" for name in NEW]
    assert s3.tree("out") == NEW


def test_an_existing_prefix_is_refused_and_with_overwrite_replaced(s3: S3) -> None:
    s3.put("out/charts/old.svg", b"old")
    s3.put("out/summary.json", MARK)
    s3.put("output/other.csv", b"of somebody else")
    out = location("s3://logs/out", s3.options)
    with pytest.raises(OutputError, match="s3://logs/out: exists; pass --overwrite"):
        publish_folder(out, write_new)
    assert s3.tree("out") == {"charts/old.svg": b"old", "summary.json": MARK}
    publish_folder(out, write_new, overwrite=True)
    assert s3.tree("out") == NEW
    assert s3.tree("output") == {"other.csv": b"of somebody else"}


def test_a_prefix_that_loadlens_did_not_write_is_never_replaced(s3: S3) -> None:
    s3.put("out/data.csv", b"mine")
    s3.put("out/notes.json", b"{}")
    with pytest.raises(OutputError, match=r"s3://logs/out: was not written by loadlens"):
        publish_folder(location("s3://logs/out", s3.options), write_new, overwrite=True)
    assert s3.tree("out") == {"data.csv": b"mine", "notes.json": b"{}"}


def test_a_failed_run_leaves_the_good_report_in_a_store(s3: S3) -> None:
    s3.put("out/summary.json", MARK)
    s3.put("bad.csv", b"invocation_latency\nfast\n")
    result = loadlens_("analyze", "s3://logs/bad.csv", "--out", "s3://logs/out", "--overwrite", *s3.arguments)
    assert result.exit_code == 3
    assert s3.tree("out") == {"summary.json": MARK}
    assert b"fast" in s3.tree()["out.rejects.csv"]


def test_an_object_of_the_name_is_refused(s3: S3) -> None:
    s3.put("out", b"a file")
    with pytest.raises(OutputError, match="is not a folder"):
        publish_folder(location("s3://logs/out", s3.options), write_new, overwrite=True)


@pytest.mark.parametrize("error", [StorageError("the line went down"), KeyboardInterrupt()])
@pytest.mark.parametrize("fails", [1, 3, 4])
def test_what_a_failed_upload_leaves_is_removed(
    s3: S3, monkeypatch: pytest.MonkeyPatch, error: BaseException, fails: int
) -> None:
    calls, put = 0, Bucket.put

    def failing(self: Bucket, key: str, file: Path) -> None:
        nonlocal calls
        calls += 1
        put(self, key, file)
        if calls == fails:
            raise error

    monkeypatch.setattr(Bucket, "put", failing)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        publish_folder(location("s3://logs/out", s3.options), write_new)
    assert s3.tree() == {}


def test_a_failed_overwrite_leaves_no_document_that_vouches_for_a_mixture(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("out/summary.json", MARK)
    s3.put("out/charts/old.svg", b"old")
    put = Bucket.put

    def failing(self: Bucket, key: str, file: Path) -> None:
        if key.endswith("z.html"):
            raise StorageError("the line went down")
        put(self, key, file)

    monkeypatch.setattr(Bucket, "put", failing)
    with pytest.raises(OutputError, match="s3://logs/out: cannot be written: the line went down"):
        publish_folder(location("s3://logs/out", s3.options), write_new, overwrite=True)
    assert s3.tree("out") == {"charts/old.svg": b"old"}


def test_nothing_is_uploaded_when_the_analysis_fails(s3: S3) -> None:
    s3.put("bad.csv", b"invocation_latency\nfast\n")
    result = loadlens_("analyze", "s3://logs/bad.csv", "--out", "s3://logs/out", *s3.arguments)
    assert result.exit_code == 3
    assert "s3://logs/out.rejects.csv: has all rejected rows" in result.output
    assert set(s3.tree()) == {"bad.csv", "out.rejects.csv"}


@pytest.mark.parametrize(
    ("out", "source", "overlaps"),
    [
        ("s3://logs/a", "s3://logs/a/x.parquet", True),
        ("s3://logs/a/out", "s3://logs/a", True),
        ("s3://logs/a", "s3://logs/a/*.parquet", True),
        ("s3://logs/a/out", "s3://logs/a/*.parquet", False),
        ("s3://logs/ab", "s3://logs/a", False),
        ("s3://other/a", "s3://logs/a", False),
        ("s3://logs/a", "a", False),
    ],
)
def test_results_do_not_land_on_what_is_read(out: str, source: str, overlaps: bool) -> None:
    if overlaps:
        with pytest.raises(OutputError, match="overlaps the input"):
            refuse_output_inside(location(out), existing_paths([source]))
    else:
        refuse_output_inside(location(out), existing_paths([source]))


def test_a_log_is_converted_into_a_store(s3: S3) -> None:
    s3.put("log.csv", small_log().write_csv().encode())
    result = loadlens_("convert", "s3://logs/log.csv", "--out", "s3://logs/made/log.parquet", *s3.arguments)
    assert result.exit_code == 0, result.output
    data = s3.tree("made")["log.parquet"]
    assert result.stdout == f"s3://logs/made/log.parquet: {len(data):,} bytes\n"
    assert_frame_equal(pl.read_parquet(data), small_log())
    again = loadlens_("convert", "s3://logs/log.csv", "--out", "s3://logs/made/log.parquet", *s3.arguments)
    assert again.exit_code == 2
    assert "exists; pass --overwrite" in again.output
    onto = loadlens_(
        "convert", "s3://logs/log.csv", "--out", "s3://logs/log.csv", "--overwrite", *s3.arguments
    )
    assert "is one of the inputs" in onto.output


def test_a_result_saves_itself_in_a_store(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_drawings(monkeypatch)
    result = loadlens.summarize_stability_results(small_log().with_columns(response_size=pl.lit(10)))
    result.save("s3://logs/saved", storage_options=s3.options)
    folder = "stability_benchmark_summary_results"
    assert f"{folder}/invocation_benchmark_summary.csv" in s3.tree("saved")


@pytest.mark.slow
def test_a_profile_is_saved_in_a_store_and_analysed_there(s3: S3, tmp_path: Path) -> None:
    path = s3.put("log.parquet", parquet(small_log(), tmp_path))
    made = loadlens_("profile", path, "--out", "s3://logs/day.profile", *s3.arguments)
    assert made.exit_code == 0, made.output
    checked = loadlens_("check", "s3://logs/day.profile", "--slo", "p99 < 1s", "--json", *s3.arguments)
    assert checked.exit_code == 0, checked.output
    merged = loadlens_("merge", "s3://logs/day.profile", "--out", "s3://logs/all.profile", *s3.arguments)
    assert merged.exit_code == 0, merged.output
    for data in s3.tree().values():
        assert SECRET.encode() not in data


def test_a_web_server_is_only_read() -> None:
    with pytest.raises(OutputError, match="web servers are only read"):
        publish_file(location("http://127.0.0.1:9/out.csv"), lambda path: path.touch(), [], overwrite=True)


def test_credentials_are_in_nothing_that_is_written(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    s3.put("a.csv", small_log().write_csv().encode() + b"broken\n")
    options = [*s3.arguments, "--max-rejects", "5"]
    outputs = [
        loadlens_("inspect", "s3://logs/a.csv", *s3.arguments),
        loadlens_("inspect", "s3://logs/a.csv", "--json", *s3.arguments),
        loadlens_("analyze", "s3://logs/a.csv", "--out", tmp_path / "out", *options),
        loadlens_("analyze", "s3://logs/a.csv", "--out", "s3://logs/out", "--json", *options),
        loadlens_("convert", "s3://logs/a.csv", "--out", tmp_path / "a.parquet", *options),
        loadlens_("compare", "s3://logs/a.csv", "s3://logs/a.csv", "--out", tmp_path / "compared", *options),
        loadlens_(
            "check", "s3://logs/a.csv", "--slo", "p99 < 1s", "--junit", tmp_path / "junit.xml", *options
        ),
    ]
    assert [result.exit_code for result in outputs] == [0] * len(outputs)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    written = [path.read_bytes() for path in files] + list(s3.tree("out").values())
    assert len(written) > 10
    for text in [*(result.output.encode() for result in outputs), *written]:
        assert SECRET.encode() not in text


@pytest.mark.slow
def test_signatures_are_in_nothing_that_is_written(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    s3.put("a.csv", small_log().write_csv().encode() + b"broken\n")
    address = s3.client.generate_presigned_url("get_object", Params={"Bucket": "logs", "Key": "a.csv"})
    signature = address.partition("Signature=")[2].partition("&")[0]
    few = ["--max-rejects", "5"]
    outputs = [
        loadlens_("inspect", address),
        loadlens_("inspect", address, "--json"),
        loadlens_("analyze", address, "--out", tmp_path / "out", "--baseline", address, *few),
        loadlens_("convert", address, "--out", tmp_path / "a.parquet", *few),
        loadlens_("profile", address, "--out", tmp_path / "a.profile", *few),
        loadlens_("compare", address, address, "--out", tmp_path / "compared", *few),
        loadlens_("cost", address, "--out", tmp_path / "cost", "--prices", "lambda-arm", *few),
        loadlens_("check", address, "--slo", "p99 < 1s", "--junit", tmp_path / "junit.xml", *few),
        loadlens_("check", address, "--slo", "p99 < 1s", "--json", *few),
    ]
    assert [result.exit_code for result in outputs] == [0] * len(outputs), outputs
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    for text in [*(result.output.encode() for result in outputs), *written]:
        assert signature.encode() not in text
        assert unquote(signature).encode() not in text


@pytest.mark.parametrize(
    "source",
    [
        SIGNED,
        f"http://127.0.0.1:9/run.parquet?sig={SECRET}",
        f"http://127.0.0.1:9/run.parquet?token={SECRET}&part=1",
        f"s3://user:{SECRET}@logs/run.parquet",
        "s3://logs/none.parquet",
        "s3://no-bucket/none.parquet",
        "s3://logs/bad.parquet",
    ],
)
def test_credentials_are_in_no_message_of_a_failure(s3: S3, tmp_path: Path, source: str) -> None:
    s3.put("bad.parquet", b"PAR1 nothing of sense PAR1")
    result = loadlens_("analyze", source, "--out", tmp_path / "out", *s3.arguments)
    assert result.exit_code in {2, 3}
    assert "loadlens: " in result.output
    reading = Reading.of(storage_options=s3.options)
    with pytest.raises(LoadlensError) as failure:
        loadlens.analyze([source], tmp_path / "out", reading=reading)
    told = "".join(traceback.format_exception(failure.value)) + repr(reading) + repr(failure.value)
    for text in (result.output, told):
        assert SECRET not in text


def test_a_wrong_option_is_not_repeated() -> None:
    result = loadlens_("analyze", "s3://logs/a", "--out", "out", "--storage-option", SECRET)
    assert result.exit_code == 2
    assert SECRET not in result.output
    assert "expected one such as aws_region=" in result.output


def test_a_log_does_not_print_its_credentials(s3: S3, tmp_path: Path) -> None:
    path = s3.put("a.parquet", parquet(small_log(), tmp_path))
    log = loadlens.read_log(path, storage_options=s3.options)
    assert SECRET not in repr(log)
    assert SECRET not in repr(location(SIGNED.replace(f"user:{SECRET}@", "")))
    assert "s3://logs/a.parquet" in repr(log)


def test_facts_in_a_converted_file_have_no_signature(s3: S3, tmp_path: Path) -> None:
    s3.put("a.parquet", parquet(small_log(), tmp_path))
    address = s3.client.generate_presigned_url("get_object", Params={"Bucket": "logs", "Key": "a.parquet"})
    assert "Signature=" in address
    convert([address], tmp_path / "out.parquet")
    facts = pl.read_parquet_metadata(tmp_path / "out.parquet")["loadlens"]
    assert "Signature" not in facts
    assert "/logs/a.parquet?..." in facts
    assert pl.read_parquet(tmp_path / "out.parquet").height == 200


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("runs/a?b.csv", "runs/a?b.csv"),
        ("s3://bucket/run?.csv", "s3://bucket/run?.csv"),
        ("abfss://logs@account.dfs.core.windows.net/a", "abfss://logs@account.dfs.core.windows.net/a"),
        ("https://host/a.csv?sig=1&b=2", "https://host/a.csv?..."),
        ("https://u:p@host:1/a.csv", "https://host:1/a.csv"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
    ],
)
def test_addresses_are_shown_without_credentials(source: str, expected: str) -> None:
    assert shown(source) == expected


def test_an_address_with_a_password_is_refused_without_it() -> None:
    with pytest.raises(InputError) as failure:
        loadlens.read_log(SIGNED)
    assert "https://host.invalid/run.parquet?...: holds a user or password" in str(failure.value)
