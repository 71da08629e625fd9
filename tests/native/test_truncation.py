"""A file that is cut while it is mapped ends no process: zeros are read, and told."""

import mmap
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadlens.native.truncation import surviving_truncation

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let a mapped file be cut")

PAGES = 16


@pytest.fixture
def mapped(tmp_path: Path) -> mmap.mmap:
    """A file of 16 pages of ones, mapped, of which the first alone is left."""
    path = tmp_path / "mapped"
    path.write_bytes(b"\1" * PAGES * mmap.PAGESIZE)
    with path.open("r+b") as file:
        found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        file.truncate(mmap.PAGESIZE)
    return found


def test_zeros_are_read_behind_the_end(mapped: mmap.mmap) -> None:
    with surviving_truncation() as truncation:
        assert mapped[0] == 1
        assert not truncation.happened
        assert mapped[mmap.PAGESIZE :] == bytes((PAGES - 1) * mmap.PAGESIZE)
        assert truncation.happened
    with surviving_truncation() as later:
        assert not later.happened


def test_overlapping_readers_share_the_handler(mapped: mmap.mmap) -> None:
    first, second = surviving_truncation(), surviving_truncation()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert mapped[-1] == 0
    second.__exit__(None, None, None)


PROGRAM = """
import mmap, sys
from pathlib import Path
from loadlens.native.truncation import surviving_truncation

path = Path(sys.argv[1])
path.write_bytes(bytes(4 * mmap.PAGESIZE))
file = path.open("r+b")
mapped = mmap.mmap(file.fileno(), 0)
with surviving_truncation():
    pass
file.truncate(0)
if sys.argv[2] == "write":
    with surviving_truncation():
        mapped[0] = 1
print(mapped[0])
"""


@pytest.mark.parametrize("what", ["read", "write"])
def test_reads_by_others_and_writes_end_as_they_did(tmp_path: Path, what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "mapped"), what], capture_output=True, check=False
    )
    assert -done.returncode in ({signal.SIGBUS} if what == "read" else {signal.SIGBUS, signal.SIGSEGV})
