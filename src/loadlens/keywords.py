"""Arguments as callers may write them: one column without a list, and no misspelt keywords."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar, cast

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
            return function(*arguments, **keywords)

        return checked

    return decorate
