"""The native library under the sanitizers of addresses and undefined behaviour: ``pytest -m slow``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import loadlens
from loadlens.native.compiling import compile_library, library_name

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
SEEDS = 1000
"""Each counts three batches, merges two tallies, looks at a fourth batch, and reads lines of cells."""

PROGRAM = """
import sys
from loadlens.engine import binding
from tests.engine import test_binding
from tests.native import test_cells

assert binding.__file__.startswith(sys.argv[1])
for seed in range(int(sys.argv[2])):
    test_binding.check_seed(seed)
    test_cells.check_seed(seed)
print("done")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package whose library is checked at every step."""
    folder = tmp_path_factory.mktemp("sanitized") / "site"
    shutil.copytree(
        Path(loadlens.__file__).parent, folder / "loadlens", ignore=shutil.ignore_patterns("*.so")
    )
    compile_library(folder / "loadlens" / "native" / library_name(), options=SANITIZERS)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="takes GCC's way to load the sanitizer before Python")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="takes GCC's sanitizers")
def test_the_library_touches_nothing_that_it_should_not(package: Path) -> None:
    asan = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = {
        **os.environ,
        "LD_PRELOAD": asan,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python leaves memory to the end of the process
        "PYTHONPATH": f"{package}{os.pathsep}{Path(__file__).parents[2]}",
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(package), str(SEEDS)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr[-4000:]
