"""What a summary tells beside its table, as one object."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from loadlens.keywords import checked_options
from loadlens.profile import Measure
from loadlens.profile.measures import checked_measures
from loadlens.summaries.apdex import Apdex

__all__ = ["Details"]


@checked_options
@dataclass(frozen=True, kw_only=True)
class Details:
    """What a summary tells beside its table; what is not asked for is not computed.

    Attributes:
        totals: whether the figures of all calls together are told besides.
        failures: whether failed calls are told apart by their error.
        measures: further durations of the calls.
        apdex: by what calls are judged; None for no such judgement.
    """

    totals: bool = False
    failures: bool = False
    measures: tuple[Measure, ...] = ()
    apdex: Apdex | None = None

    @classmethod
    def of(
        cls,
        *,
        totals: bool = False,
        failures: bool = False,
        measures: Sequence[Measure | str] = (),
        apdex: Apdex | str | PathLike[str] | None = None,
    ) -> "Details":
        """What a caller asks for.

        Raises:
            UsageError: it cannot be understood.
        """
        return cls(
            totals=totals,
            failures=failures,
            measures=checked_measures(measures),
            apdex=None if apdex is None else Apdex.of(apdex),
        )
