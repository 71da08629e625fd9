"""What latency is good enough."""

import re
from dataclasses import dataclass
from typing import Final

from loadlens.errors import UsageError

__all__ = ["Objective", "checked_percentile", "percentile_text"]

_TEXT: Final = re.compile(r"\s*p(\d{1,2}(?:\.\d+)?)\s*<\s*(\d+(?:\.\d+)?)\s*(ms|s)\s*")
_MS: Final = {"ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A latency percentile of the successful calls that must lie below a limit.

    Attributes:
        percentile: 0 to 1.
        limit_ms: what it must be below.
    """

    percentile: float
    limit_ms: float

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Understands ``p95 < 300ms`` or ``p99.9 < 1.5s``.

        Raises:
            UsageError: the text is no objective.
        """
        match = _TEXT.fullmatch(text)
        if match is None or not float(match[2]):
            raise UsageError(f"objective: got {text!r}, expected one such as 'p95 < 300ms' or 'p99.9 < 1.5s'")
        return cls(percentile=checked_percentile(float(match[1])), limit_ms=float(match[2]) * _MS[match[3]])

    def __str__(self) -> str:
        return f"{percentile_text(self.percentile)} < {self.limit_ms:,g} ms"


def checked_percentile(percent: float) -> float:
    """The quantile of a percentile.

    Raises:
        UsageError: it is not between 0 and 100.
    """
    if not 0 < percent < 100:  # noqa: PLR2004
        raise UsageError(f"percentile: got {percent:g}, expected a number between 0 and 100, such as 95")
    return round(percent / 100, 12)


def percentile_text(quantile: float) -> str:
    """A quantile as people write it: 0.999 is p99.9."""
    return f"p{round(quantile * 100, 10):g}"
