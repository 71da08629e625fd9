"""Arguments as callers may write them: one column without a list, and no misspelt keywords."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from numbers import Real
from os import PathLike
from pathlib import Path, PurePath
from typing import Final, ParamSpec, TypeVar, cast

import polars as pl

from loadlens.errors import InputError, LoadlensError, OutputError, PriceError, UsageError

__all__ = ["check_values", "checked_arguments", "columns_of", "key_of"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def columns_of(by: str | Sequence[str]) -> tuple[str, ...]:
    """The columns that ``by`` names; a text alone is one column, and not its letters.

    Raises:
        UsageError: it names none, or one of them twice.
    """
    columns = (by,) if isinstance(by, str) else by
    if (
        isinstance(columns, bytes)
        or not isinstance(columns, Sequence)
        or not all(isinstance(name, str) for name in columns)
    ):
        raise UsageError(f"by: got {by!r}, expected names of columns, such as ['memory_size']")
    doubled = sorted({name for name in columns if columns.count(name) > 1})
    if doubled:
        raise UsageError(f"by names {', '.join(doubled)} more than once; name each column once")
    return tuple(columns)


def key_of(by: str | Sequence[str] | None, natural: tuple[str, ...]) -> tuple[str, ...]:
    """The key columns: those that ``by`` names, which may be none; without it, the log's natural key."""
    return natural if by is None else columns_of(by)


def _none_or(*classes: type) -> Callable[[object], bool]:
    return lambda value: value is None or isinstance(value, classes)


def _can(name: str, value: object) -> bool:
    return callable(getattr(value, name, None))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf


def _is_share(value: object) -> bool:
    return isinstance(value, Real) and 0 < float(value) < 1


def _is_listed(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | PurePath | Mapping)


def _are_pairs(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(part, str) for pair in value.items() for part in pair)
    return value is None or (_is_listed(value) and all(isinstance(text, str) for text in _items(value)))


def _items(value: object) -> Iterable[object]:
    return cast("Iterable[object]", value)


def _is_folder(value: object) -> bool:
    return value is None or (isinstance(value, str | PathLike) and value != "" and Path(value).is_dir())


def _may_be_path(value: object) -> bool:
    """Whether a value may name a place: of the types that Python has, only a text does."""
    return type(value).__module__ != "builtins" or isinstance(value, str)


def _may_be_log(value: object) -> bool:
    return _may_be_path(value) or _is_listed(value)


_Expected = tuple[Callable[[object], bool], str]

_FLAG: Final[_Expected] = (lambda value: isinstance(value, bool), "True or False")
_NAME: Final[_Expected] = (_none_or(str), "None or a text")
_LOG: Final[_Expected] = (_may_be_log, "paths, a LazyFrame, a DataFrame or an Arrow table")
_PATH: Final[_Expected] = (_may_be_path, "a path")
_PRICES: Final[_Expected] = (
    lambda value: value is None or _may_be_log(value),
    "a price table, its name or its path, such as 'lambda-arm'",
)
_SIZE: Final[_Expected] = (_is_size, "a number of bytes, 0 or more")

_EXPECTED: Final[Mapping[str, _Expected]] = {
    **dict.fromkeys(
        ("exact", "heatmap", "overwrite", "force", "safe_csv", "no_header", "keep_query", "label_template"),
        _FLAG,
    ),
    **dict.fromkeys(("base_name", "candidate_name"), _NAME),
    **dict.fromkeys(("average_request_size", "average_response_size"), _SIZE),
    **dict.fromkeys(("inputs", "source", "log", "base", "candidate", "invocations"), _LOG),
    "baseline": (lambda value: value is None or _may_be_log(value), f"None or {_LOG[1]}"),
    "out": _PATH,
    "result_save_path": (lambda value: value is None or _may_be_path(value), f"None or {_PATH[1]}"),
    **dict.fromkeys(("prices", "table"), _PRICES),
    "endpoint_metrics": (
        lambda value: value is None or _may_be_path(value),
        "None, a path or a DataFrame of Polars",
    ),
    "min_effect": (
        _is_share,
        "more than 0 and less than 1, such as 0.05 for 5 %: no data can show no difference at all",
    ),
    "request_size": (lambda value: value is None or _is_size(value), f"None or {_SIZE[1]}"),
    "executor": (
        lambda value: value is None or _can("submit", value),
        "None or an executor, such as ProcessPoolExecutor()",
    ),
    "on_progress": (
        lambda value: value is None or callable(value),
        "None or a function that takes a Progress",
    ),
    "on_stage": (callable, "a function that takes a text"),
    "partition_rows": (lambda value: _is_whole(value) and value > 0, "a whole number of rows, 1 or more"),  # type: ignore[operator]  # whole numbers compare
    "memory_limit": (
        lambda value: value is None or _is_whole(value),
        "None or a whole number of bytes",
    ),
    "spill_folder": (_is_folder, "None or a folder that exists"),
    "storage_options": (_are_pairs, "None or names and values, such as {'aws_region': 'eu-west-1'}"),
    "percentiles": (_is_listed, "quantiles such as [0.5, 0.99]"),
    "chart_formats": (_is_listed, "names such as ['png', 'svg']"),
    "gates": (_is_listed, "a list of gates or texts such as ['p99 < 300ms']"),
    "texts": (_is_listed, "a list of texts such as ['p99 < 300ms']"),
    "endpoint_metrics_summary": (lambda value: isinstance(value, pl.DataFrame), "a DataFrame of Polars"),
    "engine": (
        lambda value: isinstance(value, str) or type(value).__module__.startswith("polars"),
        "the name of an engine of Polars, such as 'streaming'",
    ),
}
"""What the values of arguments are, whatever public function takes them."""

_ERRORS: Final[Mapping[str, type[LoadlensError]]] = {
    **dict.fromkeys(("inputs", "source", "log", "base", "candidate", "invocations", "baseline"), InputError),
    **dict.fromkeys(("out", "result_save_path", "spill_folder"), OutputError),
    **dict.fromkeys(("prices", "table"), PriceError),
    "endpoint_metrics": InputError,
}
"""What is raised for a wrong value where that is no UsageError: what is raised for the place itself."""

_HIDDEN: Final = frozenset({"storage_options"})  # its values may be secrets
_MOST_CHARACTERS: Final = 100


def check_values(given: Mapping[str, object], classes: Mapping[str, type] | None = None) -> None:
    """Refuses arguments of a wrong type, before anything is read.

    Args:
        given: values by the names of arguments.
        classes: arguments that are None or of a class.

    Raises:
        UsageError: names the first of them.
    """
    for name, value in given.items():
        is_right, expected = _EXPECTED.get(name, _ANYTHING)
        if classes and name in classes:
            is_right, expected = _none_or(classes[name]), f"None or a {classes[name].__name__}"
        if not is_right(value):
            error = _ERRORS.get(name, UsageError)
            raise error(f"{name}: got {_shown(name, value)}, expected {expected}")


_ANYTHING: Final[_Expected] = (lambda _: True, "")


def _shown(name: str, value: object) -> str:
    plain = str(value) if isinstance(value, PurePath) else value
    text = type(value).__name__ if name in _HIDDEN else repr(plain)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def checked_arguments(
    options: type | None = None, classes: Mapping[str, type] | None = None
) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Makes a public function refuse arguments of wrong types, and keywords that it does not know.

    Args:
        options: the TypedDict of what its last parameter takes, where that is ``**options``.
        classes: arguments that are None or of a class.
    """

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        parameters = inspect.signature(function).parameters.values()
        own = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
        known = [*own, *cast("Mapping[str, object]", options.__annotations__ if options else {})]

        @wraps(function)
        def checked(*arguments: _Arguments.args, **keywords: _Arguments.kwargs) -> _Result:
            for name in keywords:
                if name not in known:
                    close = get_close_matches(name, known, n=1)
                    hint = f"; did you mean {close[0]!r}?" if close else f"; it takes {', '.join(known)}"
                    raise TypeError(
                        f"{function.__name__}() got an unexpected keyword argument {name!r}{hint}"
                    )
            check_values({**dict(zip(own, arguments, strict=False)), **keywords}, classes)
            return function(*arguments, **keywords)

        return checked

    return decorate
