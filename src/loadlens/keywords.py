"""Arguments as callers may write them: one column without a list, and no misspelt keywords."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from os import PathLike
from typing import Final, ParamSpec, TypeVar, cast

from loadlens.errors import UsageError

__all__ = ["columns_of", "refusing_unknown_keywords"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def columns_of(by: str | Sequence[str]) -> tuple[str, ...]:
    """The columns that ``by`` names; a text alone is one column, and not its letters.

    Raises:
        UsageError: it names none, or one of them twice.
    """
    columns = (by,) if isinstance(by, str) else by
    if not isinstance(columns, Sequence) or not all(isinstance(name, str) for name in columns):
        raise UsageError(f"by: got {by!r}, expected names of columns, such as ['memory_size']")
    doubled = sorted({name for name in columns if columns.count(name) > 1})
    if doubled:
        raise UsageError(f"by names {', '.join(doubled)} more than once; name each column once")
    return tuple(columns)


def _is_callable(name: str) -> Callable[[object], bool]:
    return lambda value: value is None or callable(getattr(value, name, None))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_EXPECTED: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "executor": (_is_callable("submit"), "None or an executor, such as ProcessPoolExecutor()"),
    "on_progress": (_is_callable("__call__"), "None or a function that takes a Progress"),
    "exact": (lambda value: isinstance(value, bool), "True or False"),
    "heatmap": (lambda value: isinstance(value, bool), "True or False"),
    "partition_rows": (_is_whole, "a whole number of rows"),
    "spill_folder": (lambda value: value is None or isinstance(value, str | PathLike), "None or a path"),
    "engine": (
        lambda value: isinstance(value, str) or type(value).__module__.startswith("polars"),
        "the name of an engine of Polars, such as 'streaming'",
    ),
}
"""What the values of options are that any function may be given."""


def _check_values(keywords: Mapping[str, object]) -> None:
    """Refuses options of a wrong type, before anything is read.

    Raises:
        UsageError: names the first of them.
    """
    for name, (is_right, expected) in _EXPECTED.items():
        if name in keywords and not is_right(keywords[name]):
            raise UsageError(f"{name}: got {keywords[name]!r}, expected {expected}")


def refusing_unknown_keywords(
    options: type,
) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Makes a function whose last parameter is ``**options`` refuse keywords that are none of them.

    Args:
        options: the TypedDict of the options.
    """

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        own = [
            name
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        known = [*own, *cast("Mapping[str, object]", options.__annotations__)]

        @wraps(function)
        def checked(*arguments: _Arguments.args, **keywords: _Arguments.kwargs) -> _Result:
            for name in keywords:
                if name not in known:
                    close = get_close_matches(name, known, n=1)
                    hint = f"; did you mean {close[0]!r}?" if close else f"; it takes {', '.join(known)}"
                    raise TypeError(
                        f"{function.__name__}() got an unexpected keyword argument {name!r}{hint}"
                    )
            _check_values(keywords)
            return function(*arguments, **keywords)

        return checked

    return decorate
