"""The GitHub action and the container image, as far as they run without either."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sample_logs import small_log

PROJECT = Path(__file__).parents[1]
ACTION = (PROJECT / "action.yml").read_text(encoding="utf-8")


@pytest.fixture
def loadlens(tmp_path: Path) -> Path:
    """The command, as the action installs it."""
    program = tmp_path / "loadlens"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m loadlens "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def judged(program: Path, folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(folder / "summary.md"), **inputs}
    script = ["bash", str(PROJECT / "scripts" / "check_in_action.sh"), str(program)]
    return subprocess.run(
        script, env=environment, cwd=folder, capture_output=True, encoding="utf-8", check=False
    )


def test_each_line_of_an_input_is_an_argument(loadlens: Path, tmp_path: Path) -> None:
    small_log().write_csv(tmp_path / "a log.csv")
    outputs = {"MARKDOWN": "gates.md", "JUNIT": "gates.xml", "BY": "memory_size\n"}
    slo = "p99 < 1ms\nerror_rate < 100%\n"
    done = judged(loadlens, tmp_path, LOGS="a log.csv\n", SLO=slo, **outputs)
    assert done.returncode == 1, done.stderr
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("### 1 of 2 gates failed")
    assert summary.strip() == (tmp_path / "gates.md").read_text(encoding="utf-8").strip()
    assert (tmp_path / "gates.xml").exists()


def test_inputs_are_no_options_and_no_commands(loadlens: Path, tmp_path: Path) -> None:
    done = judged(loadlens, tmp_path, LOGS="--version\n$(touch made)", SLO="`touch made`")
    assert done.returncode == 2
    assert not (tmp_path / "made").exists()


def test_the_action_hands_on_what_it_declares_as_variables_alone() -> None:
    declared = set(re.findall(r"^  ([\w-]+):\n    description:", ACTION, flags=re.MULTILINE))
    handed_on = dict(re.findall(r"^ +([A-Z_]+): \$\{\{ inputs\.([\w-]+) \}\}$", ACTION, flags=re.MULTILINE))
    assert set(handed_on.values()) == declared
    assert len(re.findall(r"\$\{\{", ACTION)) == len(handed_on)
    script = (PROJECT / "scripts" / "check_in_action.sh").read_text(encoding="utf-8")
    assert set(handed_on) - {"VERSION"} == set(re.findall(r"\$\{([A-Z_]+):-\}", script))


@pytest.mark.slow
def test_what_the_image_copies_is_enough_to_build_a_wheel(tmp_path: Path) -> None:
    copied = re.findall(
        r"^COPY ((?!--)[^\n]+) (?:\./|src)$", (PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE
    )
    source = tmp_path / "source"
    source.mkdir()
    for name in " ".join(copied).split():
        subprocess.run(["cp", "-r", PROJECT / name, source / name], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", tmp_path, source], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("loadlens-*.whl"))
