"""What is printed: hostile text stays inert, progress shows on terminals alone."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from tests.command_line import (
    CONTROLS,
    HOSTILE,
    assert_done,
    command,
    loadlens_,
)
from tests.folders import (
    old_report,
)
from tests.report.pages import Page
from tests.sample_logs import small_log


def test_hostile_text_is_inert(hostile_log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ("analyze", hostile_log, "--out", out, "--by", "label", "--chart-format", "svg")
    result = loadlens_(*args, color=True)
    assert_done(result)
    assert not CONTROLS & set(result.stdout)
    assert "[red]x[/red]" in result.stdout
    Page((out / "report.html").read_text(encoding="utf-8")).assert_inert()
    assert "&lt;/script&gt;" in (out / "report.html").read_text(encoding="utf-8")
    for path in (out / "charts").iterdir():
        drawing = ET.fromstring(path.read_text(encoding="utf-8"))
        assert not [element for element in drawing.iter() if element.tag.endswith(("img", "script"))]
    assert pl.read_csv(out / "summary.csv")["label"].to_list() == [HOSTILE]


def test_a_hostile_column_is_inert(tmp_path: Path) -> None:
    small_log().with_columns(pl.lit("a").alias(HOSTILE)).write_parquet(tmp_path / "log.parquet")
    out = tmp_path / "out"
    arguments = ("--out", out, "--by", HOSTILE, "--chart-format", "svg")
    result = loadlens_("analyze", tmp_path / "log.parquet", *arguments, color=True)
    assert_done(result)
    assert not CONTROLS & set(result.stdout)
    Page((out / "report.html").read_text(encoding="utf-8")).assert_inert()


@pytest.mark.parametrize("what", ["column", "key", "file", "output", "price table"])
def test_a_message_with_hostile_text_is_inert(log: Path, tmp_path: Path, what: str) -> None:
    name = HOSTILE.replace("/", "")
    args: list[object] = ["analyze", log, "--out", tmp_path / "out"]
    if what == "column":
        args[1] = tmp_path / "log.parquet"
        pl.DataFrame({HOSTILE: [1.0], "end_time": [2.0]}).write_parquet(tmp_path / "log.parquet")
    elif what == "key":
        args += ["--by", HOSTILE]
    elif what == "file":
        args[1] = tmp_path / name
    elif what == "output":
        args[3] = tmp_path / name
        old_report(tmp_path / name)
    else:
        args += ["--prices", tmp_path / name]
    result = loadlens_(*args, color=True)
    assert result.exit_code in {2, 3}
    assert len(result.stderr.splitlines()) == 1
    assert "[red]x[" in result.stderr
    assert not CONTROLS & set(result.stderr)


def read_terminal(descriptor: int) -> Iterator[bytes]:
    """What a program writes to its terminal, until it ends."""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # how Linux says that the other side is closed
                raise
            return
        if not chunk:
            return
        yield chunk


def on_terminal(*args: object) -> tuple[int, bytes]:
    """Runs the command line with a terminal for its output and its errors."""
    controller, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(command(*args), stdout=terminal, stderr=terminal, env=environment) as running:
        os.close(terminal)
        printed = b"".join(read_terminal(controller))
    os.close(controller)
    return running.returncode, printed


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals to open")
def test_progress_shows_on_a_terminal_and_hostile_text_stays_inert(hostile_log: Path, tmp_path: Path) -> None:
    exit_code, printed = on_terminal("analyze", hostile_log, "--out", tmp_path / "out", "--by", "label")
    assert exit_code == 0
    assert any(stage in printed for stage in (b"Starting", b"Reading", b"Drawing", b"Writing"))
    assert b"[red]x[/red]" in printed
    assert b"\x1b[31mred" not in printed
    assert b"\x1b]0;" not in printed
    assert "\x9b".encode() not in printed


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no terminals to open")
def test_quiet_prints_nothing_on_a_terminal(hostile_log: Path, tmp_path: Path) -> None:
    assert on_terminal("analyze", hostile_log, "--out", tmp_path / "out", "--quiet") == (0, b"")
