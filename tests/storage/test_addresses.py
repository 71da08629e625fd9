"""Addresses: what each scheme means for inputs and outputs, and what of them nobody sees."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.cli.executors import workforce
from loadlens.errors import InputError, OutputError, UsageError
from loadlens.storage.location import location, target
from loadlens.storage.secrets import shown
from tests.extent import some_of
from tests.sample_logs import small_log

pytestmark = pytest.mark.usefixtures("no_drawings")

SECRET = "hunter2hunter2"
WITH_SECRETS = (
    f"ftp://user:{SECRET}@127.0.0.1/x.jtl",
    f"sftp://user:{SECRET}@host:22/x.jtl",
    f"hdfs://user:pa/{SECRET}@host/x.jtl",
    f"hdfs://user:pa?{SECRET}@host/x.jtl",
    f"hdfs://user:pa#{SECRET}@host/x@y.jtl",
    f"gopher://{SECRET}@host/x.jtl",
    f"ftp://host/x.jtl?token={SECRET}",
    f"ftp://host/x.jtl#token={SECRET}",
    f"FTP://user:{SECRET}@host/x.jtl",
    f"https://user:{SECRET}@host/x.jtl",
    f"s3://user:{SECRET}@bucket/x.jtl",
    f"s3://{SECRET}@bucket/x.jtl",
    f"file://user:{SECRET}@host/x.jtl",
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a log.csv"
    small_log().write_csv(path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("address", some_of(WITH_SECRETS, 3))
def test_an_address_is_shown_and_refused_without_its_secret(address: str, log: Path, tmp_path: Path) -> None:
    assert SECRET not in shown(address)
    for arguments in (
        ("check", address, "--slo", "p99 < 1s"),
        ("analyze", log, "--out", address),
        ("convert", log, "--out", address),
        ("profile", log, "--out", address),
        ("compare", log, address),
        ("check", log, "--slo", "p99 < 1s", "--junit", address),
        ("check", log, "--slo", "p99 < 1s", "--map-file", address),
    ):
        result = run(*arguments)
        assert result.exit_code in {2, 3}
        assert SECRET not in result.output + result.stderr
        assert shown(address) in result.stderr
    assert list(tmp_path.iterdir()) == [log]


@given(
    scheme=st.sampled_from(["ftp", "https", "tls", "hdfs", "sftp+x"]),
    user=st.text("abc.%-", min_size=1),
    password=st.text("xyz0/?#:!$&()%", max_size=12).map(lambda text: f"a{text}{SECRET}"),
    path=st.text("abc/", max_size=9),
)
def test_no_part_of_a_password_is_shown(scheme: str, user: str, password: str, path: str) -> None:
    text = shown(f"{scheme}://{user}:{password}@host/{path}?sig={SECRET}")
    assert text == f"{scheme}://host/{path}?..."


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:4873/@scope/x",
        "abfss://logs@account.dfs.core.windows.net/a@b",
        "s3://bucket/a@b?.csv",
    ],
)
def test_what_is_no_secret_stays(address: str) -> None:
    assert shown(address) == address


@pytest.mark.parametrize("address", ["hdfs://h/x", "dbfs:/x", "sftp://h/x", "ftp://h/x", "x-y.z+1://h"])
def test_an_unknown_scheme_is_named_and_no_folder_is_made(
    address: str, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scheme = address.partition(":")[0]
    with pytest.raises(InputError, match=f"{scheme.replace('+', '.')}: is no scheme"):
        loadlens.read_log(address)
    with pytest.raises(OutputError, match=f"{scheme.replace('+', '.')}: is no scheme"):
        loadlens.analyze([log], address)
    assert run("demo", "--out", address, "--rows", 10).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_a_file_address_is_the_path_that_it_names(log: Path, tmp_path: Path) -> None:
    expected = loadlens.summarize(log, by=[]).summary
    place = f"{tmp_path}/a%20log.csv"
    for address in (
        f"file://{place}",
        f"file://localhost{place}",
        f"FILE://LOCALHOST{place}",
        f"file:{place}",
    ):
        assert location(address) == log
        assert loadlens.summarize(address, by=[]).summary.equals(expected)
    gates = tmp_path / "gates #1.toml"
    gates.write_text('[[gate]]\nslo = "count > 0"\n', encoding="utf-8")
    junit = tmp_path / "ju nit.xml"
    named = (
        "--slo-file",
        f"file://{tmp_path}/gates%20%231.toml",
        "--junit",
        f"file://{tmp_path}/ju%20nit.xml",
    )
    assert run("check", f"file://{place}", *named).exit_code == 0
    assert junit.exists()
    for command in ("convert", "profile"):
        assert run(command, log, "--out", f"file://{tmp_path}/made%20by%20{command}").exit_code == 0
        assert (tmp_path / f"made by {command}").is_file()


@pytest.mark.parametrize("address", ["file://other/x.csv", "file:///x.csv?a=1", "file:///x.csv#part"])
def test_a_file_address_of_something_else_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"expected file:///folder/file"):
        location(address)


def test_an_address_is_not_to_be_made_a_path(log: Path) -> None:
    with pytest.raises(InputError, match=r"s3:/bucket/x\.csv: is an address in a Path"):
        loadlens.read_log(Path("s3://bucket/x.csv"))
    with pytest.raises(OutputError, match="is an address in a Path"):
        loadlens.analyze([log], Path("s3://bucket/out"))


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        ("https://host/out", "web servers are only read"),
        (f"s3://bucket/out?sig={SECRET}", r"s3://bucket/out\?\.\.\.: results have addresses without a query"),
        ("-", "results are files"),
    ],
)
def test_where_nothing_is_written(out: str, problem: str) -> None:
    with pytest.raises(OutputError, match=problem):
        target(out)


@pytest.mark.parametrize("place", ["s3://bucket/junit.xml", "https://host/junit.xml", "hdfs://h/junit.xml"])
@pytest.mark.parametrize("option", ["--junit", "--markdown", "--rejects"])
def test_reports_of_gates_go_to_the_disk(option: str, place: str, log: Path, tmp_path: Path) -> None:
    result = run("check", log, "--slo", "count > 0", option, place)
    assert result.exit_code == 2
    assert place in result.stderr
    assert list(tmp_path.iterdir()) == [log]


@pytest.mark.parametrize("scheme", ["tcp", "tls", "ws", "http"])
def test_a_cluster_is_not_signed_in_to_with_a_password(scheme: str) -> None:
    with pytest.raises(UsageError) as failure, workforce(cluster=f"{scheme}://user:{SECRET}@host:8786"):
        pass
    (problem,) = failure.value.problems
    assert f"got '{scheme}://host:8786', expected tcp://HOST:PORT" in problem


def test_a_cluster_with_tls_needs_certificates() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(UsageError, match="needs certificates"), workforce(cluster="tls://127.0.0.1:9"):
        pass


@pytest.mark.parametrize(
    "arguments",
    [("--slo-file", "/dev/zero"), ("--slo", "count > 0", "--map-file", "/dev/zero")],
)
def test_an_endless_document_is_refused(arguments: tuple[str, ...], log: Path) -> None:
    result = run("check", log, *arguments)
    assert result.exit_code == 2
    assert "/dev/zero: cannot be read: it holds more than 16,777,216 bytes" in result.stderr


def test_endless_prices_are_refused() -> None:
    with pytest.raises(loadlens.PriceError, match="it holds more than"):
        loadlens.load_prices("/dev/zero")
