"""Every error that loadlens raises on purpose."""

__all__ = ["InputError", "LoadlensError", "OutputError", "PriceError", "UsageError"]


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
