"""Compiles the native library from its C sources: when the package is built, or in a source tree.

The build hook loads this file by its path, before the package is installed: it needs the standard library
alone, and Polars least of all.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "RELEASES",
    "SOURCES",
    "CompilerError",
    "Release",
    "compile_library",
    "compiler",
    "library_name",
    "wheel_tag",
    "zig_is_needed",
]

SOURCES: Final = tuple(
    Path(__file__).with_name(name) for name in ("_tally.c", "_truncation.c", "_abort.c", "_cells.c")
)

_SUFFIXES: Final = {"win32": ".dll", "darwin": ".dylib"}
_FLAGS: Final = ("-std=c11", "-O3", "-DNDEBUG", "-fno-math-errno", "-fvisibility=hidden", "-shared")
_NAMES: Final = ("cc", "gcc", "clang")
_HELP: Final = (
    "loadlens counts rows in a small C library, which is compiled when it is installed: install a C compiler "
    "(Debian, Ubuntu: `apt install gcc`; Fedora: `dnf install gcc`; macOS: `xcode-select --install`) or the "
    "one that PyPI has (`pip install ziglang`), or install a wheel that was built for this platform"
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """A platform that wheels are released for, from any machine."""

    target: str
    """The platform as Zig calls it, with the oldest C library or system that the wheel runs on."""
    tag: str
    """The platform as the name of a wheel has it."""
    platform: str
    """The platform as ``sys.platform`` has it."""


RELEASES: Final = (
    Release(target="x86_64-linux-gnu.2.17", tag="manylinux_2_17_x86_64", platform="linux"),
    Release(target="aarch64-linux-gnu.2.17", tag="manylinux_2_17_aarch64", platform="linux"),
    Release(target="x86_64-linux-musl", tag="musllinux_1_2_x86_64", platform="linux"),
    Release(target="aarch64-linux-musl", tag="musllinux_1_2_aarch64", platform="linux"),
    Release(target="x86_64-macos.11.0", tag="macosx_11_0_x86_64", platform="darwin"),
    Release(target="aarch64-macos.11.0", tag="macosx_11_0_arm64", platform="darwin"),
    Release(target="x86_64-windows-gnu", tag="win_amd64", platform="win32"),
)
"""What ``scripts/release_wheels.py`` makes a wheel for."""


class CompilerError(Exception):
    """The library cannot be compiled; the message says what to do."""


def library_name(platform: str = sys.platform) -> str:
    """The file name of the library on a platform, as ``sys.platform`` calls it."""
    return f"_loadlens{_SUFFIXES.get(platform, '.so')}"


def compiler() -> tuple[str, ...] | None:
    """The command of a C compiler: that of ``CC``, one on the PATH, or PyPI's ``ziglang``; else None."""
    named = os.environ.get("CC", "").split()
    if named and shutil.which(named[0]):
        return tuple(named)
    found = next((name for name in _NAMES if shutil.which(name)), None)
    if found:
        return (found,)
    return _zig() if _has_zig() else None


def _zig() -> tuple[str, ...]:
    # Zig would compile for the very processor of this machine.
    return (sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline")


def zig_is_needed() -> bool:
    """Whether a build has to ask for PyPI's ``ziglang``, as there is no other compiler."""
    command = compiler()
    return command is None or "ziglang" in command


def _has_zig() -> bool:
    from importlib.util import find_spec

    return find_spec("ziglang") is not None


def compile_library(target: Path, *, options: Sequence[str] = (), release: Release | None = None) -> Path:
    """Compiles the library into ``target``, which appears whole or not at all.

    Args:
        target: the file to write.
        options: further options for the compiler, such as sanitizers.
        release: the platform to compile for, with PyPI's ``ziglang``; without it this machine's.

    Raises:
        CompilerError: there is no compiler, or it fails.
    """
    command = (*_zig(), "-target", release.target, "-s") if release else compiler()
    if command is None:
        raise CompilerError(f"no C compiler found; {_HELP}")
    platform = release.platform if release else sys.platform
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        position = () if platform == "win32" else ("-fPIC",)
        arguments = [*command, *_FLAGS, *position, *options, *map(str, SOURCES), "-o", str(made), "-lm"]
        # The command is a compiler that the machine names, and constants.
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            output = (done.stderr or done.stdout).strip()
            raise CompilerError(f"{' '.join(command)} cannot compile the native library:\n{output}\n{_HELP}")
        made.replace(target)
    return target


def wheel_tag(release: Release | None = None) -> str:
    """The tag of a wheel with the library of a platform, or of this machine: any Python 3 on it."""
    platform = release.tag if release else re.sub(r"\W", "_", sysconfig.get_platform())
    return f"py3-none-{platform}"
