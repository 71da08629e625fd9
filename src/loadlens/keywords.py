"""Arguments as callers may write them: one column without a list, wrong ones and misspelt names refused."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import wraps
from numbers import Real
from os import PathLike
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, ParamSpec, TypeVar, cast, get_args, get_origin

import polars as pl

from loadlens.errors import InputError, LoadlensError, OutputError, PriceError, UsageError

__all__ = [
    "BYTES",
    "FLAG",
    "FOLDER",
    "MIN_EFFECT",
    "STORAGE_OPTIONS",
    "Takes",
    "checked_arguments",
    "checked_options",
    "columns_of",
    "key_of",
]

_Arguments = ParamSpec("_Arguments")
_Options = TypeVar("_Options")
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
        or not all(isinstance(name, str) and name for name in columns)
    ):
        raise UsageError(f"by: got {by!r}, expected names of columns, such as ['memory_size']")
    doubled = sorted({name for name in columns if columns.count(name) > 1})
    if doubled:
        raise UsageError(f"by names {', '.join(doubled)} more than once; name each column once")
    return tuple(columns)


def key_of(by: str | Sequence[str] | None, natural: tuple[str, ...]) -> tuple[str, ...]:
    """The key columns: those that ``by`` names, which may be none; without it, the log's natural key."""
    return natural if by is None else columns_of(by)


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


@dataclass(frozen=True)
class Takes:
    """What an argument may be. Options declare it as ``Annotated[type, Takes(...)]``.

    Attributes:
        is_right: whether a value may be given.
        expected: what is expected, for the error.
        error: what is raised for another value.
        is_secret: whether the error must not tell the value.
    """

    is_right: Callable[[Any], bool]
    expected: str
    error: type[LoadlensError] = UsageError
    is_secret: bool = False

    def or_none(self) -> "Takes":
        """The same, or None."""
        return replace(
            self,
            is_right=lambda value: value is None or self.is_right(value),
            expected=f"None or {self.expected}",
        )

    def check(self, name: str, value: object) -> None:
        """Raises ``error`` for a wrong value."""
        if not self.is_right(value):
            shown = type(value).__name__ if self.is_secret else _shown(value)
            raise self.error(f"{name}: got {shown}, expected {self.expected}")


ANYTHING: Final = Takes(lambda _: True, "")
FLAG: Final = Takes(lambda value: isinstance(value, bool), "True or False")
BYTES: Final = Takes(_is_size, "a number of bytes, 0 or more")
FOLDER: Final = Takes(_is_folder, "None or a folder that exists", OutputError)
STORAGE_OPTIONS: Final = Takes(
    _are_pairs, "None or names and values, such as {'aws_region': 'eu-west-1'}", is_secret=True
)
MIN_EFFECT: Final = Takes(
    _is_share, "more than 0 and less than 1, such as 0.05 for 5 %: no data can show no difference at all"
)
_LOG: Final = Takes(_may_be_log, "paths, a LazyFrame, a DataFrame or an Arrow table", InputError)
_PATH: Final = Takes(_may_be_path, "a path", OutputError)
_PRICES: Final = Takes(
    lambda value: value is None or _may_be_log(value),
    "a price table, its name or its path, such as 'lambda-arm'",
    PriceError,
)

_BY_NAME: Final[Mapping[str, Takes]] = {
    **dict.fromkeys(
        (
            "overwrite",
            "force",
            "totals",
            "safe_csv",
            "no_header",
            "keep_query",
            "label_template",
            "failures",
            "durations",
        ),
        FLAG,
    ),
    **dict.fromkeys(
        ("base_name", "candidate_name"), Takes(lambda value: isinstance(value, str), "a text").or_none()
    ),
    **dict.fromkeys(("average_request_size", "average_response_size"), BYTES),
    "request_size": BYTES.or_none(),
    **dict.fromkeys(("inputs", "source", "log", "base", "candidate", "invocations"), _LOG),
    "baseline": _LOG.or_none(),
    "out": _PATH,
    "result_save_path": _PATH.or_none(),
    **dict.fromkeys(("prices", "table"), _PRICES),
    "endpoint_metrics": Takes(_may_be_path, "a path or a DataFrame of Polars", InputError).or_none(),
    "min_effect": MIN_EFFECT,
    "on_stage": Takes(callable, "a function that takes a text"),
    "spill_folder": FOLDER,
    "storage_options": STORAGE_OPTIONS,
    "percentiles": Takes(_is_listed, "quantiles such as [0.5, 0.99]"),
    "chart_formats": Takes(_is_listed, "names such as ['png', 'svg']"),
    "gates": Takes(_is_listed, "a list of gates or texts such as ['p99 < 300ms']"),
    "texts": Takes(_is_listed, "a list of texts such as ['p99 < 300ms']"),
    "endpoint_metrics_summary": Takes(lambda value: isinstance(value, pl.DataFrame), "a DataFrame of Polars"),
}
"""What an argument of a public function takes that its type does not tell, whatever function it is of."""

_MOST_CHARACTERS: Final = 100


def _shown(value: object) -> str:
    text = repr(str(value) if isinstance(value, PurePath) else value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def checked_arguments(
    options: Callable[..., Any] | None = None, classes: Mapping[str, type] | None = None
) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Makes a public function refuse arguments of wrong types, and keywords that it does not know.

    Args:
        options: makes an object of its further keywords, where it takes ``**options``; its signature then
            has them one by one, for ``help``.
        classes: arguments that are None or of a class.
    """
    more = list(inspect.signature(options).parameters.values()) if options else []
    takes = {**_BY_NAME, **{name: _one_of(kind, NoneType) for name, kind in (classes or {}).items()}}

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        signature = inspect.signature(function)
        own = [
            each
            for each in signature.parameters.values()
            if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        ]
        checked = _checked(function, function.__name__, [each.name for each in (*own, *more)], takes)
        shown = [each.replace(annotation=_plain(each.annotation)) for each in more]
        checked.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]  # of any function
        return checked

    return decorate


def checked_options(options: type[_Options]) -> type[_Options]:
    """Makes a dataclass refuse values that its fields do not take, and names that it does not know.

    The type of a field tells what it takes: classes, a ``Literal``, ``tuple[X, ...]``, or ``Takes`` in an
    ``Annotated``. Its default is right in any case.
    """
    fields = inspect.signature(options).parameters.values()
    takes = {field.name: _told_by(field.annotation, field.default) for field in fields}
    init = _checked(options.__init__, options.__name__, ["self", *takes], takes)
    options.__init__ = init  # type: ignore[method-assign]  # of a class that nobody knows yet
    return options


def _checked(
    function: Callable[_Arguments, _Result], shown: str, known: Sequence[str], takes: Mapping[str, Takes]
) -> Callable[_Arguments, _Result]:
    @wraps(function)
    def checked(*arguments: _Arguments.args, **keywords: _Arguments.kwargs) -> _Result:
        for name in keywords:
            if name not in known:
                raise TypeError(f"{shown}() got an unexpected keyword argument {name!r}{_hint(name, known)}")
        for name, value in {**dict(zip(known, arguments, strict=False)), **keywords}.items():
            takes.get(name, ANYTHING).check(name, value)
        return function(*arguments, **keywords)

    return checked


def _hint(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; it takes {', '.join(each for each in known if each not in {'self', 'cls'})}"


def _told_by(annotation: Any, default: object) -> Takes:
    """What an option takes, by its type and its default."""
    found = _told_by_type(annotation)
    return replace(found, is_right=lambda value: value is default or found.is_right(value))


def _told_by_type(annotation: Any) -> Takes:
    for part in getattr(annotation, "__metadata__", ()):
        if isinstance(part, Takes):
            return part
    if annotation is bool:
        return FLAG
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return Takes(lambda value: value in choices, f"one of: {', '.join(choices)}")
    if get_origin(annotation) is tuple:
        return _tuple_of(get_args(annotation)[0])
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return _one_of(*kinds) if all(isinstance(kind, type) for kind in kinds) else ANYTHING


def _one_of(*kinds: type) -> Takes:
    names = ("None" if kind is NoneType else f"a {kind.__name__}" for kind in reversed(kinds))
    return Takes(lambda value: isinstance(value, kinds), " or ".join(names))


def _tuple_of(kind: Any) -> Takes:
    each = _told_by_type(kind)
    expected = f"a tuple of {kind.__name__}" if isinstance(kind, type) else f"a tuple, each {each.expected}"
    return Takes(lambda value: isinstance(value, tuple) and all(map(each.is_right, value)), expected)


def _plain(annotation: Any) -> Any:
    """A type as users know it, without what it takes."""
    return annotation.__origin__ if get_origin(annotation) is Annotated else annotation
