"""Misspelt options are refused, and a key may be named without a list."""

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import polars as pl
import pytest
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.profile import Execution, MeasureOptions
from tests.extent import combinations

pytestmark = pytest.mark.usefixtures("no_drawings")


def log() -> pl.DataFrame:
    return pl.DataFrame(
        {"invocation_latency": [1.0, 2.0], "response_size": [5, 6], "memory_size": [1024, 2048]}
    )


CALLS: dict[str, Callable[..., Any]] = {
    "summarize": lambda **options: loadlens.summarize(log(), **options),
    "summarize_stability_results": lambda **options: loadlens.summarize_stability_results(log(), **options),
    "summarize_concurrency_results": lambda **options: loadlens.summarize_concurrency_results(
        log(), **options
    ),
    "check_gates": lambda **options: loadlens.check_gates(log(), ["p99 < 1s"], **options),
    "compare": lambda **options: loadlens.compare(log(), log(), **options),
    "profile_log": lambda **options: loadlens.profile_log(log(), "never.profile", **options),
    "analyze": lambda **options: loadlens.analyze(["never.csv"], Path("never"), **options),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("wrong", "meant"), [("memory_limt", "memory_limit"), ("exat", "exact"), ("on_progres", "on_progress")]
)
def test_a_misspelt_option_is_refused_with_the_one_that_was_meant(name: str, wrong: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}\(\) got an .*'{wrong}'; did you mean '{meant}'\?"):
        CALLS[name](**{wrong: 1})


@pytest.mark.parametrize(
    ("options", "wrong", "meant"),
    [
        (loadlens.Costing, "percentil", "percentile"),
        (loadlens.Costing, "load", "loads"),
        (loadlens.Reading, "storage_option", "storage_options"),
        (loadlens.Reading.of, "key_from_names", "key_from_name"),
        (loadlens.read_log, "max_reject", "max_rejects"),
    ],
)
def test_a_misspelt_option_of_an_options_object_is_refused_too(
    options: Callable[..., Any], wrong: str, meant: str
) -> None:
    with pytest.raises(TypeError, match=rf"\(\) got an .*'{wrong}'; did you mean '{meant}'\?"):
        options(**{wrong: 1})


@pytest.mark.parametrize("options", [loadlens.Costing, loadlens.Reading, loadlens.Reading.of])
def test_an_options_object_names_all_that_it_takes(options: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"'zzzzzz'; it takes (?!self|cls).*\w, \w"):
        options(zzzzzz=True)


def test_keywords_and_options_of_measuring_are_the_same() -> None:
    keywords = get_type_hints(Execution)
    assert get_type_hints(MeasureOptions) == keywords
    for name in CALLS:
        parameters = inspect.signature(getattr(loadlens, name)).parameters
        assert set(keywords) <= set(parameters)


def test_a_log_is_read_by_the_keywords_of_reading() -> None:
    source, *keywords = inspect.signature(loadlens.read_log).parameters.values()
    assert source.name == "source"
    assert keywords == list(inspect.signature(loadlens.Reading.of).parameters.values())
    assert {keyword.name for keyword in keywords} - {"no_header"} == {
        field.name for field in fields(loadlens.Reading)
    }, "the map of columns says whether there is a header"


@pytest.mark.parametrize("name", CALLS)
def test_an_option_like_no_other_is_refused_with_all_that_there_are(name: str) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'zzzzzz'; it takes .*memory_limit"):
        CALLS[name](zzzzzz=True)


def test_one_column_may_be_named_without_a_list(tmp_path: Path) -> None:
    assert loadlens.summarize(log(), by="memory_size").by == ("memory_size",)
    assert loadlens.check_gates(log(), ["p99 < 1s"], by="memory_size").by == ("memory_size",)
    assert loadlens.compare(log(), log(), by="memory_size").by == ("memory_size",)
    loadlens.profile_log(log(), tmp_path / "a.profile", by="memory_size")
    assert loadlens.load_profile(tmp_path / "a.profile").key == ("memory_size",)
    loadlens.merge_profiles([tmp_path / "a.profile"], tmp_path / "b.profile", by="memory_size")
    log().write_parquet(tmp_path / "log.parquet")
    analysis = loadlens.analyze([tmp_path / "log.parquet"], tmp_path / "out", by="memory_size")
    assert isinstance(analysis, loadlens.LogAnalysis)
    assert analysis.summary.by == ("memory_size",)


NATURAL = ("label", "memory_size")


def key_of_analysis(folder: Path, **by: Any) -> tuple[str, ...]:
    analysis = loadlens.analyze(labelled(), folder / "out", gates=["p99 < 1s"], baseline=labelled(), **by)
    assert isinstance(analysis, loadlens.LogAnalysis)
    assert analysis.decisions.gates is not None
    assert analysis.decisions.comparison is not None
    (key,) = {analysis.summary.by, analysis.decisions.gates.by, analysis.decisions.comparison.by}
    return key


def key_of_profile(folder: Path, **by: Any) -> tuple[str, ...]:
    loadlens.profile_log(labelled(), folder / "a.profile", **by)
    return loadlens.load_profile(folder / "a.profile").key


KEYS: dict[str, Callable[..., tuple[str, ...]]] = {
    "summarize": lambda _, **by: loadlens.summarize(labelled(), **by).by,
    "analyze": key_of_analysis,
    "check_gates": lambda _, **by: loadlens.check_gates(labelled(), ["p99 < 1s"], **by).by,
    "compare": lambda _, **by: loadlens.compare(labelled(), labelled(), **by).by,
    "profile_log": key_of_profile,
}


def labelled() -> pl.DataFrame:
    return log().with_columns(label=pl.lit("/"), region=pl.lit("x"))


KEY_OF: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({}, NATURAL),
    ({"by": None}, NATURAL),
    ({"by": []}, ()),
    ({"by": ()}, ()),
    ({"by": "region"}, ("region",)),
    ({"by": ["region", "label"]}, ("region", "label")),
]


@pytest.mark.parametrize(("name", "case"), combinations(KEYS, KEY_OF, one_in=3))
def test_a_key_means_the_same_in_every_function(
    name: str, case: tuple[dict[str, Any], tuple[str, ...]], tmp_path: Path
) -> None:
    by, key = case
    assert KEYS[name](tmp_path, **by) == key


@pytest.mark.parametrize("command", ["analyze", "check", "compare", "profile"])
def test_commands_without_a_key_take_the_natural_one(command: str, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    labelled().write_parquet(path)
    more = {
        "analyze": ["--out", tmp_path / "out"],
        "check": ["--slo", "p99 < 1s", "--json"],
        "compare": [path, "--json"],
        "profile": ["--out", tmp_path / "a.profile"],
    }[command]
    done = CliRunner().invoke(app, [command, str(path), *map(str, more)])
    assert done.exit_code == 0, done.stderr
    if command == "profile":
        key = loadlens.load_profile(tmp_path / "a.profile").key
    else:
        text = (tmp_path / "out" / "summary.json").read_text() if command == "analyze" else done.stdout
        key = tuple(json.loads(text)["by"])
    assert key == NATURAL


# Types of Python and of the libraries that callers have.
FOREIGN = {
    "Any", "ArrowDataset", "ArrowStream", "Callable", "Collection", "Counter", "DataFrame", "DataType",
    "Executor", "Expr", "ForwardRef", "InMemoryEngine", "Iterable", "Iterator", "LazyFrame", "Literal",
    "Mapping", "None", "NoneType", "Optional", "Path", "PathLike", "RemotePath", "Self", "Sequence",
    "StreamingEngine", "Table", "TopLevelMixin", "Union", "Unpack",
}  # fmt: skip


# What other rooms of loadlens find in public objects.
OWN = {
    "ApdexOf", "Calls", "Card", "Condition", "DataFile", "Duration", "JoinedNames", "Moment", "Outside",
    "Pace", "Parsed", "Place", "Report", "Rule", "SavedProfile", "Section", "Slice", "TextFile",
    "UnitCounts",
}  # fmt: skip


def words_of(annotation: object) -> set[str]:
    """The names of types in an annotation, those that are spelt in lower case left out."""
    annotation = (
        getattr(annotation, "__origin__", annotation) if hasattr(annotation, "__metadata__") else annotation
    )
    text = annotation.__name__ if type(annotation) is type else str(annotation)
    return set(re.findall(r"\b[A-Z]\w+", text))


def functions_of(public: Any) -> list[Any]:
    """A function itself; of a class, what it is made by, its public methods and properties, its fields."""
    if inspect.isfunction(public):
        return [inspect.unwrap(public)]
    found = [public] if is_dataclass(public) else []
    for kind in public.__mro__ if inspect.isclass(public) else ():
        if kind.__module__.startswith("loadlens"):
            for name, member in vars(kind).items():
                function = getattr(member, "fget", None) or getattr(member, "func", None) or member
                function = inspect.unwrap(getattr(function, "__func__", function))
                if not name.startswith("_") and inspect.isfunction(function):
                    found.append(function)
    return found


@pytest.mark.parametrize("name", [name for name in loadlens.__all__ if name != "__version__"])
def test_every_type_that_a_signature_names_is_public(name: str) -> None:
    known = {*FOREIGN, *OWN, *loadlens.__all__}
    named = {
        (getattr(function, "__qualname__", name), word)
        for function in functions_of(getattr(loadlens, name))
        for annotation in function.__annotations__.values()
        for word in words_of(annotation)
    }
    unknown = {pair for pair in named if pair[1] not in known}
    assert not unknown, "export these from loadlens; what only our rooms use goes into OWN"
