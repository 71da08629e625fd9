"""Compiles the native library into the wheel, or beside its source where the package is edited in place."""

import importlib.util
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
        return ["ziglang>=0.13"] if _compiling(self.root).zig_is_needed() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles, and says for which platform the wheel is."""
        compiling = _compiling(self.root)
        name = compiling.library_name()
        folder = Path(self.root, NATIVE) if version == "editable" else Path(self.directory)
        folder.mkdir(parents=True, exist_ok=True)
        self._library = compiling.compile_library(folder / name)
        build_data["pure_python"] = False
        build_data["tag"] = compiling.wheel_tag()
        if version != "editable":
            build_data["force_include"][str(self._library)] = f"loadlens/native/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Leaves the wheel alone in the folder of what was built."""
        if version != "editable":
            self._library.unlink()


def _compiling(root: str) -> ModuleType:
    """The module that compiles, without the package, which is not installed yet."""
    path = Path(root, NATIVE, "compiling.py")
    spec = importlib.util.spec_from_file_location("_loadlens_compiling", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
