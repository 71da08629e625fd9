"""Compiles the native library into the wheel, or beside its source where the package is edited in place.

With ``LOADLENS_WHEEL_FOR`` in the environment, a platform as names of wheels have it, the wheel is one for
that platform (``scripts/release_wheels.py``); without it, one for this machine.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = "src/loadlens/native"


class NativeLibraryHook(BuildHookInterface[Any]):
    """One library for each platform serves every Python."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """PyPI's C compiler, only where the machine has none."""
        needed = _wanted() is not None or _compiling(self.root).zig_is_needed()
        return ["ziglang>=0.13"] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles, and says for which platform the wheel is."""
        compiling = _compiling(self.root)
        release = _release(compiling)
        name = compiling.library_name(release.platform if release else sys.platform)
        folder = Path(self.root, NATIVE) if version == "editable" else Path(self.directory)
        folder.mkdir(parents=True, exist_ok=True)
        self._library = compiling.compile_library(folder / name, release=release)
        build_data["pure_python"] = False
        build_data["tag"] = compiling.wheel_tag(release)
        if version != "editable":
            build_data["force_include"][str(self._library)] = f"loadlens/native/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Leaves the wheel alone in the folder of what was built."""
        if version != "editable":
            self._library.unlink()


def _wanted() -> str | None:
    return os.environ.get("LOADLENS_WHEEL_FOR") or None


def _release(compiling: ModuleType) -> Any:
    """The platform that is asked for, or None."""
    tag = _wanted()
    known = {release.tag: release for release in compiling.RELEASES}
    if tag is not None and tag not in known:
        raise ValueError(f"LOADLENS_WHEEL_FOR={tag}: no such platform; there are {', '.join(sorted(known))}")
    return known.get(tag)


def _compiling(root: str) -> ModuleType:
    """The module that compiles, without the package, which is not installed yet."""
    path = Path(root, NATIVE, "compiling.py")
    spec = importlib.util.spec_from_file_location("_loadlens_compiling", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
