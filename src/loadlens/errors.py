"""Every error that loadlens raises on purpose."""

from collections.abc import Iterable

__all__ = [
    "GateError",
    "GateFailedError",
    "InputError",
    "LoadlensError",
    "OutputError",
    "PriceError",
    "UsageError",
    "WorkerError",
]


class LoadlensError(Exception):
    """Base class. Each problem is one line that a person can act on.

    Attributes:
        problems: the lines, one for each problem found.
        exit_code: what the command line exits with.
    """

    exit_code = 3

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InputError(LoadlensError):
    """An input cannot be read, or holds values that no statistic may use."""


class PriceError(InputError):
    """A price table is malformed or lacks a price that is needed."""


class UsageError(LoadlensError):
    """The caller's arguments do not make sense together."""

    exit_code = 2


class OutputError(UsageError):
    """The output folder exists, or lies where it may not be written."""


class GateError(UsageError):
    """A gate cannot be understood, or does not fit the log that it is asked of.

    Attributes:
        excerpts: the gates as they were written, each with a caret under the mistake on a line of its own.
    """

    def __init__(self, *problems: str, excerpts: tuple[str, ...] = ()) -> None:
        super().__init__(*problems)
        self.excerpts = excerpts

    def __str__(self) -> str:
        return "\n".join([*self.problems, *self.excerpts])

    @classmethod
    def all_of(cls, errors: Iterable["GateError"]) -> "GateError":
        """One error for several."""
        errors = list(errors)
        problems = [problem for error in errors for problem in error.problems]
        return cls(*problems, excerpts=tuple(excerpt for error in errors for excerpt in error.excerpts))


class WorkerError(LoadlensError):
    """The workers of an executor or a cluster cannot do their work; the input is not to blame."""


class GateFailedError(LoadlensError):
    """A run does not keep to a gate."""

    exit_code = 1
