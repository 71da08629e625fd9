"""Output folders when runs are killed, meet each other, or have no place to write to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadlens.errors import OutputError
from loadlens.publish.publishing import publish_file, publish_folder, staging_beside
from loadlens.storage.folders import claimed_folder, exchange, temporary_folder
from tests.extent import some_of
from tests.folders import tree, write_report

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no locks that die with a process")

PUBLISH = """
import os, signal, sys
from pathlib import Path
from loadlens.publish.publishing import publish_folder

out, moment = Path(sys.argv[1]), sys.argv[2]

def kill(when):
    if when == moment:
        os.kill(os.getpid(), signal.SIGKILL)

def write(folder):
    (folder / "summary.csv").write_text("new")
    kill("writing")
    (folder / "summary.json").write_text('{"loadlens_version": "0.2.0"}')

def no_exchange(new, out):
    return False

rename, calls = os.rename, 0
def counted(*arguments):
    global calls
    calls += 1
    kill(f"before rename {calls}")
    rename(*arguments)
    kill(f"after rename {calls}")

os.rename = counted
publish_folder(out, write, overwrite=True, exchange=no_exchange)
"""


def killed(script: str, *arguments: object) -> None:
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


def old_report(out: Path) -> dict[str, bytes | None]:
    publish_folder(out, write_report)
    return tree(out)


@pytest.mark.parametrize(
    "moment",
    some_of(["writing", "before rename 1", "after rename 1", "before rename 2"], one_in=4, first=2),
)
def test_a_killed_run_leaves_the_old_report_to_the_next(tmp_path: Path, moment: str) -> None:
    out = tmp_path / "out"
    old = old_report(out)
    killed(PUBLISH, out, moment)

    def fails(_folder: Path) -> None:
        assert tree(out) == old  # what the dead run had moved away is back before any work
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish_folder(out, fails, overwrite=True)
    assert tree(out) == old
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_a_run_that_is_killed_when_all_is_done_has_published(tmp_path: Path) -> None:
    out = tmp_path / "out"
    old_report(out)
    killed(PUBLISH, out, "after rename 2")
    assert (out / "summary.csv").read_text() == "new"
    publish_folder(out, write_report, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_a_killed_run_of_a_new_folder_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    killed(PUBLISH, tmp_path / "out", "writing")
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]
    publish_folder(tmp_path / "out", write_report)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_folders_are_exchanged_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    if not exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system cannot exchange")
    assert (tmp_path / "one" / "file").read_text() == "other"
    assert (tmp_path / "other" / "file").read_text() == "one"
    with pytest.raises(OSError, match="No such file"):
        exchange(tmp_path / "one", tmp_path / "absent")


HOLD = """
import sys
import time
from pathlib import Path
from loadlens.publish.publishing import publish_folder

def write(folder):
    (folder / "a").write_text("first")
    print("writing", flush=True)
    sys.stdin.readline()

publish_folder(Path(sys.argv[1]), write)
"""


def test_a_second_run_on_one_folder_is_refused_at_its_start(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline() == "writing\n"
        for overwrite in (False, True):
            with pytest.raises(OutputError, match="another run is writing it"):
                publish_folder(out, write_report, overwrite=overwrite)
        first.stdin.write("\n")
        first.stdin.close()
    assert tree(tmp_path) == {"out": None, "out/a": b"first"}


def test_what_appears_while_a_run_works_is_not_replaced_unasked(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def write(folder: Path) -> None:
        write_report(folder)
        out.mkdir()
        (out / "theirs").write_text("theirs")

    with pytest.raises(OutputError, match="exists"):
        publish_folder(out, write)
    assert tree(tmp_path) == {"out": None, "out/theirs": b"theirs"}


def test_a_second_run_on_one_file_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "run.profile"
    with staging_beside(out), pytest.raises(OutputError, match="another run is writing it"):
        publish_file(out, lambda path: path.touch(), ())
    assert tree(tmp_path) == {}


TEMPORARY = """
import os, signal, sys
from loadlens.storage.folders import temporary_folder

with temporary_folder(sys.argv[1]) as folder:
    (folder / "log.parquet").write_bytes(b"rows")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_temporary_folders_of_killed_processes_go_and_of_living_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "loadlens-mine").mkdir()
    (tmp_path / "loadlens-0123456789abcdef.bak").mkdir()
    with temporary_folder(tmp_path) as living:
        killed(TEMPORARY, tmp_path)
        time.sleep(0.2)  # younger ones may belong to a process that is about to lock them
        assert len(list(tmp_path.iterdir())) == 4
        with temporary_folder(tmp_path) as other:
            assert {path.name for path in tmp_path.iterdir()} == {
                "loadlens-mine",
                "loadlens-0123456789abcdef.bak",
                living.name,
                other.name,
            }
    assert {path.name for path in tmp_path.iterdir()} == {"loadlens-mine", "loadlens-0123456789abcdef.bak"}


def test_a_claimed_folder_is_taken_over_but_not_from_the_living(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with claimed_folder(folder), pytest.raises(BlockingIOError), claimed_folder(folder):
        pass
    assert tree(tmp_path) == {}


def must_not_write(folder: Path) -> None:
    raise AssertionError(f"asked to write {folder}")


@pytest.mark.parametrize("out", [".", "..", "../here", "sub/.."])
def test_the_current_folder_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "here" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="is or holds the current folder; name a folder in it"):
            publish_folder(Path(out), must_not_write, overwrite=overwrite)


def test_a_mount_point_is_refused_before_any_work() -> None:
    with pytest.raises(OutputError, match="/: is a mount point, which cannot be replaced"):
        publish_folder(Path("/"), must_not_write, overwrite=True)
    if Path("/dev/shm").is_mount():
        with pytest.raises(OutputError, match="/dev/shm: is a mount point"):
            publish_folder(Path("/dev/shm"), must_not_write, overwrite=True)


def test_a_full_disk_is_told_before_any_work() -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        publish_folder(Path("/dev/full/out"), must_not_write)
    with pytest.raises(OutputError, match="cannot be written"):
        publish_folder(Path("/proc/out"), must_not_write)
