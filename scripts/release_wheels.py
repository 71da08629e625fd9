"""Builds the wheels of a release for every platform, on one machine, with the compiler of PyPI's ``ziglang``.

``pip install hatchling ziglang``, then ``python scripts/release_wheels.py --out dist``. Each wheel is checked
when it is built: its tag, its library's name, and that the library is one for that system and processor.
"""

import argparse
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "src" / "loadlens" / "native"))  # the package itself need not be installed

from compiling import RELEASES, Release, library_name  # noqa: E402

PLATFORMS: Final = {release.tag: release for release in RELEASES}

# Numbers of processors in the headers of ELF, Mach-O and PE files.
_ELF: Final = {62: "x86_64", 183: "aarch64"}
_MACH_O: Final = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_PE: Final = {0x8664: "x86_64"}


class WheelError(Exception):
    """A wheel is not what its name says."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Builds and checks the wheels that the command line asks for."""
    parser = argparse.ArgumentParser(description="Builds the wheels of a release.")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="the folder for the wheels")
    parser.add_argument(
        "--platform", action="append", choices=[*PLATFORMS], help="this platform alone; may be repeated"
    )
    asked = parser.parse_args(arguments)
    for tag in asked.platform or PLATFORMS:
        build_wheel(PLATFORMS[tag], asked.out.resolve())


def build_wheel(release: Release, out: Path) -> Path:
    """Builds the wheel for one platform into a folder, and checks it.

    Raises:
        WheelError: it does not hold the one library of that platform.
        subprocess.CalledProcessError: it cannot be built; the reason is on standard error.
    """
    # The command is this interpreter and a folder that the user names.
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=PROJECT,
        env={**os.environ, "LOADLENS_WHEEL_FOR": release.tag},
        check=True,
    )
    wheel = max(out.glob(f"loadlens-*-py3-none-{release.tag}.whl"), key=lambda path: path.stat().st_mtime)
    check_wheel(wheel, release)
    return wheel


def check_wheel(wheel: Path, release: Release) -> None:
    """Refuses a wheel whose tag or library is of another platform.

    Raises:
        WheelError: the tag, the library's name, its format or its processor is another.
    """
    name = f"loadlens/native/{library_name(release.platform)}"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        libraries = [one for one in names if one.endswith((".so", ".dylib", ".dll"))]
        if libraries != [name]:
            raise WheelError(f"{wheel.name}: libraries: {libraries}, expected {name} alone")
        (metadata,) = (one for one in names if one.endswith(".dist-info/WHEEL"))
        if f"Tag: py3-none-{release.tag}" not in archive.read(metadata).decode().splitlines():
            raise WheelError(f"{wheel.name}: its metadata has another tag")
        found = file_format(archive.read(name))
    expected = release.platform, release.target.split("-")[0]
    if found != expected:
        raise WheelError(f"{wheel.name}: {name} is for {found}, expected {expected}")


def file_format(library: bytes) -> tuple[str, str]:
    """The system, as ``sys.platform`` has it, and the processor that a library is for.

    Raises:
        WheelError: it is of no known format, or for another processor.
    """
    if library[:5] == b"\x7fELF\x02":
        return "linux", _processor(_ELF, struct.unpack_from("<H", library, 18)[0])
    if library[:4] == b"\xcf\xfa\xed\xfe":
        return "darwin", _processor(_MACH_O, struct.unpack_from("<I", library, 4)[0])
    if library[:2] == b"MZ":
        (header,) = struct.unpack_from("<I", library, 60)
        if library[header : header + 4] == b"PE\0\0":
            return "win32", _processor(_PE, struct.unpack_from("<H", library, header + 4)[0])
    raise WheelError(f"neither ELF, Mach-O nor PE of 64 bits: begins with {library[:8]!r}")


def _processor(numbers: dict[int, str], number: int) -> str:
    if number not in numbers:
        raise WheelError(f"for an unknown processor, number {number:#x}")
    return numbers[number]


if __name__ == "__main__":
    main()
