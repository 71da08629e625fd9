"""What a summary tells beside its table, as one object."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Annotated, Final

from loadlens.keywords import Takes, checked_options
from loadlens.profile import Measure
from loadlens.profile.measures import checked_measures
from loadlens.summaries.apdex import Apdex
from loadlens.summaries.coordinated_omission import AUTO, checked_interval

__all__ = ["Details"]


def _is_interval(value: object) -> bool:
    return value is None or value == AUTO or (isinstance(value, int | float) and 0 < value < float("inf"))


_INTERVAL: Final = Takes(_is_interval, "None, ms above 0, or 'auto'")


@checked_options
@dataclass(frozen=True, kw_only=True)
class Details:
    """What a summary tells beside its table; what is not asked for is not computed.

    Attributes:
        totals: whether the figures of all calls together are told besides.
        failures: whether failed calls are told apart by their error.
        measures: further durations of the calls.
        apdex: by what calls are judged; None for no such judgement.
        expected_interval: at what interval, in ms, a worker meant to send calls of one configuration;
            ``auto`` for the cadence of the log's workers; None for no correction of percentiles.
    """

    totals: bool = False
    failures: bool = False
    measures: tuple[Measure, ...] = ()
    apdex: Apdex | None = None
    expected_interval: Annotated[float | str | None, _INTERVAL] = None

    @classmethod
    def of(
        cls,
        *,
        totals: bool = False,
        failures: bool = False,
        measures: Sequence[Measure | str] = (),
        apdex: Apdex | str | PathLike[str] | None = None,
        expected_interval: str | None = None,
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
            expected_interval=checked_interval(expected_interval),
        )

    @property
    def asked_of_logs(self) -> tuple[str, ...]:
        """What is asked for that results folders of the toolkit do not have, as the command line calls it."""
        asked = {
            "--measure": self.measures,
            "--apdex": self.apdex,
            "--expected-interval": self.expected_interval,
        }
        return tuple(option for option, value in asked.items() if value)

    @property
    def further_columns(self) -> tuple[object, ...]:
        """What takes columns that logs of tools have on request alone; nothing where nothing does."""
        return (*self.measures, *([AUTO] if self.expected_interval == AUTO else []))
