"""What a user installs: the wheel, unpacked where nothing of the source tree is at hand."""

import os
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import loadlens
from loadlens.native.compiling import SOURCES, library_name

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist")]
    done = subprocess.run([*build, str(PROJECT)], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    assert re.fullmatch(r"loadlens-.+-py3-none-(?!any)\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(unpacked: Path, program: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Runs a program whose modules come from the unpacked wheel, away from the source tree."""
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    return subprocess.run(
        [sys.executable, "-P", "-c", program, *map(str, args)],
        env=environment,
        cwd=unpacked.parent,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def package_files(folder: Path) -> set[str]:
    files = (path.relative_to(folder) for path in (folder / "loadlens").rglob("*") if path.is_file())
    return {file.as_posix() for file in files if "__pycache__" not in file.parts}


def test_the_package_is_whole_and_nothing_else_is_in_the_wheel(unpacked: Path) -> None:
    files = package_files(unpacked)
    library = f"loadlens/native/{library_name()}"  # beside its source only once it was used there
    assert library in files
    sources = {f"loadlens/native/{source.name}" for source in SOURCES}
    assert files - {library} == package_files(PROJECT / "src") - {library, *sources}
    assert {"loadlens/py.typed", "loadlens/cost/price_tables/sagemaker-serverless.toml"} <= files
    assert {"loadlens/report/templates/page.html", "loadlens/report/templates/style.css"} <= files
    tops = {path.name for path in unpacked.iterdir()}
    assert tops == {"loadlens", f"loadlens-{loadlens.__version__}.dist-info"}


def test_metadata(unpacked: Path) -> None:
    info = unpacked / f"loadlens-{loadlens.__version__}.dist-info"
    metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"))
    assert metadata["Name"] == "loadlens"
    assert metadata["Version"] == loadlens.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert list((info / "licenses").iterdir())
    assert "loadlens = loadlens.cli:main" in (info / "entry_points.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_wheel_is_what_is_imported(unpacked: Path) -> None:
    program = "import loadlens; print(loadlens.__file__); print(loadlens.__version__)"
    done = run(unpacked, program)
    assert done.returncode == 0, done.stderr
    file, version = done.stdout.splitlines()
    assert Path(file) == unpacked / "loadlens" / "__init__.py"
    assert version == loadlens.__version__


@pytest.mark.slow
def test_the_counting_library_is_loaded_from_the_wheel(unpacked: Path) -> None:
    done = run(unpacked, "from loadlens.engine.binding import library; print(library()._name)")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()) == unpacked / "loadlens" / "native" / library_name()


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    program = "from loadlens.cli import main; main()"
    done = run(unpacked, program, "demo", "--rows", 500, "--out", tmp_path / "D")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Recommended: " in done.stdout
    assert (tmp_path / "D" / "benchmarking_report" / "benchmarking_report.html").stat().st_size > 10_000
