"""Misspelt keyword arguments are refused where a function hands its options on as a whole."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar, cast

__all__ = ["refusing_unknown_keywords"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


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
