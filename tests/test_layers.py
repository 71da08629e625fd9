"""Imports run downwards only, the engine is light to import, and pieces are small."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import loadlens

PACKAGE = Path(loadlens.__file__).parent

# From the bottom up. Rooms of one layer know nothing of each other.
LAYERS = (
    ("errors",),
    ("messages", "schema"),
    ("keywords", "native", "storage"),
    ("text",),
    ("dialects",),
    ("logs",),
    ("profile",),
    ("publish",),
    ("saved",),
    ("engine",),
    ("summaries",),
    ("cost", "gates"),
    ("comparison",),
    ("charts",),
    ("report",),
    ("results",),
    ("api",),
    ("tasks", "demo"),
    ("__init__",),
    ("cli", "polars_namespace"),
    ("__main__",),
)
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
ENGINE = (
    "errors",
    "messages",
    "schema",
    "native",
    "storage",
    "text",
    "dialects",
    "logs",
    "profile",
    "saved",
    "engine",
    "summaries",
    "cost",
    "publish",
)
NOT_IN_THE_ENGINE = ("altair", "vl_convert", "jinja2", "typer", "rich")

MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 650
MOST_LINES_OF_A_FUNCTION = 60


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def nodes_of(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


@cache
def imports_of(path: Path) -> list[str]:
    """Every module that ``path`` imports, wherever in it and for whatever purpose, by its full name."""
    found: list[str] = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def rooms_used_by(path: Path) -> set[str]:
    """The rooms that ``path`` imports from; what is in no room is a name of the package itself."""
    parts = [name.split(".") for name in imports_of(path)]
    own = [part[1] if len(part) > 1 else "" for part in parts if part[0] == "loadlens"]
    return {
        room if (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file() else "__init__"
        for room in own
    }


def test_every_module_has_a_layer() -> None:
    assert MODULES
    assert [name_of(path) for path in MODULES if room_of(path) not in LAYER_OF] == []


def test_imports_run_downwards_only() -> None:
    upwards = {
        (name_of(path), used)
        for path in MODULES
        for used in rooms_used_by(path) - {room_of(path)}
        if LAYER_OF[used] >= LAYER_OF[room_of(path)]
    }
    assert not upwards


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.name for path in MODULES if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_modules_and_functions_are_short() -> None:
    long = [name_of(path) for path in MODULES if path.read_text(encoding="utf-8").count("\n") > MOST_LINES]
    functions = {
        (name_of(path), node.name): lines_of(node)
        for path in MODULES
        for node in nodes_of(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long += [name for name, lines in functions.items() if lines > MOST_LINES_OF_A_FUNCTION]
    assert functions
    assert not long


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Those of the code, without the docstring."""
    told = (ast.get_docstring(function, clean=False) or "").count("\n")
    return (function.end_lineno or 0) - function.lineno - told


def test_the_engine_draws_and_prints_nothing() -> None:
    modules = [path for path in MODULES if room_of(path) in ENGINE]
    foreign = {
        (name_of(path), name)
        for path in modules
        for name in imports_of(path)
        if name.split(".")[0] in NOT_IN_THE_ENGINE
    }
    assert modules
    assert not foreign


def test_importing_the_package_loads_neither_charts_nor_the_command_line() -> None:
    heavy = [*NOT_IN_THE_ENGINE, "pandas", "loadlens.charts", "loadlens.report", "loadlens.cli"]
    code = f"import sys, loadlens; print([name for name in {heavy!r} if name in sys.modules])"
    # The command is this interpreter and a constant.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_numpy_is_known_to_polars_before_threads_ask_for_it() -> None:
    # Of two threads that are the first to show Polars an array, one may fail.
    code = (
        "import polars, loadlens.engine;"
        "from polars.dataframe.frame import np as known;"
        "print('ndarray' in vars(known))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "True"


def test_no_test_module_borrows_from_another() -> None:
    borrowing = re.compile(r"^from tests\.(?:\w+\.)?test_", flags=re.MULTILINE)
    tests = Path(__file__).parent.rglob("test_*.py")
    found = [path.name for path in tests if borrowing.search(path.read_text(encoding="utf-8"))]
    assert not found, "what two of them need goes into a module of its own"
