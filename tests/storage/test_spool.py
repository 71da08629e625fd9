"""Standard input and pipes: read through a temporary file that is gone in the end."""

import bz2
import gzip
import io
import lzma
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.errors import InputError, OutputError
from tests.jmeter_runs import jtl

pytestmark = pytest.mark.usefixtures("no_drawings")


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    return jtl(tmp_path / "source" / "run.jtl", 100, 110, 120).read_bytes()


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def zipped(data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run.jtl", data)
    return target.getvalue()


def parquet(_data: bytes) -> bytes:
    target = io.BytesIO()
    frame = pl.DataFrame({"invocation_latency": [100.0, 110.0, 120.0], "label": ["a", "a", "a"]})
    frame.with_columns(success=True).write_parquet(target)
    return target.getvalue()


def fifo(path: Path, data: bytes) -> Path:
    """A named pipe that gives ``data`` once."""
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=(data,), daemon=True).start()
    return path


@pytest.mark.parametrize("form", [bytes, gzip.compress, bz2.compress, lzma.compress, zipped, parquet])
def test_standard_input_in_every_form(data: bytes, tmp_path: Path, form: Callable[[bytes], bytes]) -> None:
    result = run("check", "-", "--slo", "count >= 3", "--by", "label", "--json", stdin=form(data))
    assert result.exit_code == 0
    assert '"standard input"' in result.stdout
    for command in ("convert", "profile"):
        out = tmp_path / command
        if not (command == "profile" and form is parquet):
            assert run(command, "-", "--out", out, "--quiet", stdin=form(data)).exit_code == 0
            assert out.is_file()


@pytest.mark.parametrize("form", [bytes, gzip.compress, zipped, parquet])
def test_a_named_pipe(data: bytes, tmp_path: Path, form: Callable[[bytes], bytes]) -> None:
    log = loadlens.read_log(fifo(tmp_path / "pipe", form(data)))
    for _ in range(2):
        assert loadlens.summarize(log, by=["label"]).summary["num_invocations"].to_list() == [3]
    assert str(log.files[0].path) == str(tmp_path / "pipe")


@pytest.mark.slow
def test_every_analysis_of_standard_input(data: bytes, tmp_path: Path) -> None:
    base = tmp_path / "source" / "run.jtl"
    assert run("analyze", "-", "--out", tmp_path / "report", "--quiet", stdin=data).exit_code == 0
    assert "standard input" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert run("inspect", "-", stdin=data).exit_code == 0
    assert run("compare", base, "-", "--quiet", stdin=data).exit_code == 0
    assert run("compare", "-", "-", "--quiet", stdin=data).exit_code == 3
    with_workers = ("check", "-", "--slo", "count >= 3", "--by", "label", "--workers", "2", "--quiet")
    assert run(*with_workers, stdin=data).exit_code == 0


@pytest.mark.parametrize(
    ("stdin", "problem"),
    [
        (b"", "standard input: is empty (0 bytes), or has been read before"),
        (b"y\n" * 10**6, "standard input: fits no known format"),
        (bytes(10**6), "standard input: is binary data"),
        (gzip.compress(b"no log\n" * 9, mtime=0), "standard input: fits no known format"),
    ],
)
def test_what_is_no_log_is_refused_at_once(stdin: bytes, problem: str) -> None:
    result = run("check", "-", "--slo", "count > 0", stdin=stdin)
    assert result.exit_code == 3
    assert problem in result.stderr


def test_standard_input_is_named_once(data: bytes) -> None:
    result = run("check", "-", "-", "--slo", "count > 0", stdin=data)
    assert result.exit_code == 3
    assert result.stderr == "loadlens: standard input: is named more than once; it can be read once\n"


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_devices_are_refused(path: str) -> None:
    with pytest.raises(InputError, match=f"{path}: is a device or a socket"):
        loadlens.read_log(path)


def test_a_spill_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"spill_folder: got .*gone', expected .* a folder that exists"):
        loadlens.read_log("-", spill_folder=tmp_path / "gone")


def test_nothing_is_left_in_the_spill_folder(data: bytes, tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    gate = ("check", "-", "--slo", "count > 0", "--spill-folder", spill)
    assert run(*gate, stdin=data).exit_code == 0
    assert run(*gate, "--by", "nothing", stdin=data).exit_code == 3
    assert list(spill.iterdir()) == []


def open_files(process: subprocess.Popen[bytes]) -> list[str]:
    names = []
    for fd in list(Path(f"/proc/{process.pid}/fd").iterdir()):
        with suppress(FileNotFoundError):  # closed since it was listed
            names.append(str(fd.readlink()))
    return names


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs names for open files")
@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_nothing_is_left_after_a_signal(data: bytes, tmp_path: Path, number: signal.Signals) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    gate = ("--slo", "count > 0", "--spill-folder", spill)
    command = [sys.executable, "-m", "loadlens", "check", "-", *gate]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(data + data[data.index(b"\n") + 1 :] * 20_000)
        process.stdin.flush()
        while not any("loadlens-" in name for name in open_files(process)):
            assert process.poll() is None
            time.sleep(0.05)  # until the temporary file is there
        time.sleep(0.3)
        process.send_signal(number)
        process.wait(60)
    assert process.returncode in {-number, 128 + number}
    assert list(spill.iterdir()) == []
