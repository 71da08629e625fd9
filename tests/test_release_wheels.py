"""Wheels for all platforms from one machine: ``pytest -m slow`` builds them all."""

import importlib.util
import struct
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def release_wheels() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_wheels", PROJECT / "scripts" / "release_wheels.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = path
    return module


def elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(11) + struct.pack("<H", machine)


def mach_o(processor: int) -> bytes:
    return struct.pack("<II", 0xFEEDFACF, processor)


def pe(machine: int) -> bytes:
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", machine)


FORMATS = [
    (elf(62), ("linux", "x86_64")),
    (elf(183), ("linux", "aarch64")),
    (mach_o(0x01000007), ("darwin", "x86_64")),
    (mach_o(0x0100000C), ("darwin", "aarch64")),
    (pe(0x8664), ("win32", "x86_64")),
]


@pytest.mark.parametrize(("library", "expected"), FORMATS)
def test_a_library_tells_its_system_and_processor(
    release_wheels: ModuleType, library: bytes, expected: tuple[str, str]
) -> None:
    assert release_wheels.file_format(library) == expected


@pytest.mark.parametrize(
    "library",
    [b"", b"#!/bin/sh", b"\x7fELF\x01" + bytes(40), elf(3), mach_o(7), pe(0x14C), b"MZ" + bytes(99)],
)
def test_other_files_and_processors_are_refused(release_wheels: ModuleType, library: bytes) -> None:
    with pytest.raises(release_wheels.WheelError):
        release_wheels.file_format(library)


def written_wheel(folder: Path, *, tag: str, name: str, library: bytes) -> Path:
    wheel = folder / "loadlens.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("loadlens-1.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: py3-none-{tag}\n")
        archive.writestr(f"loadlens/native/{name}", library)
    return wheel


RIGHT = {"tag": "win_amd64", "name": "_loadlens.dll", "library": pe(0x8664)}


def test_a_wheel_of_its_platform_is_accepted(release_wheels: ModuleType, tmp_path: Path) -> None:
    release_wheels.check_wheel(written_wheel(tmp_path, **RIGHT), release_wheels.PLATFORMS["win_amd64"])


@pytest.mark.parametrize(
    "wrong", [{"tag": "any"}, {"name": "_loadlens.so"}, {"library": elf(62)}, {"library": mach_o(0x01000007)}]
)
def test_a_wheel_of_another_platform_is_refused(
    release_wheels: ModuleType, tmp_path: Path, wrong: dict[str, object]
) -> None:
    wheel = written_wheel(tmp_path, **{**RIGHT, **wrong})
    with pytest.raises(release_wheels.WheelError, match=r"loadlens\.whl"):
        release_wheels.check_wheel(wheel, release_wheels.PLATFORMS["win_amd64"])


@pytest.mark.slow
def test_every_platform_has_its_wheel(release_wheels: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="takes the compiler of PyPI's ziglang")
    release_wheels.main(["--out", str(tmp_path)])
    tags = {wheel.stem.split("-", 4)[-1] for wheel in tmp_path.glob("*.whl")}
    assert tags == set(release_wheels.PLATFORMS)
