"""Gates judged on a log."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, Unpack

import numpy as np
import polars as pl

from loadlens.engine import Question, ask
from loadlens.errors import GateError, UsageError
from loadlens.gates.grammar import Gate, Scope, checked_gates
from loadlens.gates.judged_figures import (
    Measures,
    gates_plan,
    hangs_on_rejects,
    is_of_whole_windows,
    measures,
    refuse_unbounded,
    value_bounds,
    value_of,
    values_behind,
)
from loadlens.keywords import checked_arguments, key_of
from loadlens.logs import Log, Reading, Source, open_log
from loadlens.messages import Shown, counted, grouped, listed
from loadlens.profile import (
    Execution,
    MeasureOptions,
    Outliers,
    Statistics,
    checked_outliers,
    key_names,
)
from loadlens.profile.clock import FINE_S
from loadlens.publish.saving import ChartFormat, SavedFolder
from loadlens.schema import LATENCY

__all__ = ["GateCheck", "Verdict", "Windows", "check_gates", "gates_question"]

_FIGURES: Final = ("value", "low", "high", "calls")
_MOST_FIGURES: Final = 2**18

_Scopes: TypeAlias = dict[tuple[tuple[str, str | None], ...], pl.Series]
"""For the columns and values of a scope, which rows it has."""

_TOO_CLOSE: Final = "too close to the bound for the figures of a saved profile: fails to be safe"


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a gate on every window of time went.

    Attributes:
        width_s: the width of a window; windows begin at multiples of it on the log's clock.
        judged: how many windows were judged.
        failed: how many of them do not keep to the gate.
        worst_start_s: the start of the worst window, in s on the log's clock; None if none has a value.
        worst_after_s: the same in s from the start of the log's first call, if the log tells that.
    """

    width_s: float
    judged: int
    failed: int
    worst_start_s: float | None
    worst_after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A gate judged for one configuration.

    Attributes:
        gate: the gate.
        key: the key columns of the configuration and what they hold.
        value: the figure, in the gate's canonical unit; of the worst window where there are windows; None
            where there is none.
        calls: how many calls it is made of.
        holds: whether the gate holds.
        reason: why there is no figure, or why a figure that is not exact fails; else empty.
        windows: how its windows went, for a gate on every window.
        low: the least that the figure can be, of the worst window where there are windows; a gate holds if it
            holds at both ends.
        high: the greatest; infinite where there is no bound.
    """

    gate: Gate
    key: Mapping[str, object]
    value: float | None
    calls: int
    holds: bool
    reason: str = ""
    windows: Windows | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class GateCheck(Shown, SavedFolder):
    """All gates judged on a log.

    Attributes:
        by: the key columns.
        outliers: the fence of gates that say ``filtered``; ``none`` where no gate does and none was named.
        gates: the gates, in the order in which they were given.
        verdicts: for each gate in that order, one for each configuration in its scope, by ascending key.
        first_start: when the first call of the log started, in s on its clock; None if no call tells.
        last_end: when the last one ended.
        relative_error: bound of the relative error of latencies; 0 but for logs that are saved profiles.
        resolution_s: of what part of a second all times are multiples: 1, 0.1, 0.01, 0.001 s, or 0 for none.
        source: what the log is called.
        unjudged: how many of its rows were rejected and so not judged.
    """

    by: tuple[str, ...]
    outliers: Outliers
    gates: tuple[Gate, ...]
    verdicts: tuple[Verdict, ...]
    first_start: float | None = None
    last_end: float | None = None
    relative_error: float = 0.0
    resolution_s: float = 0.0
    source: str = ""
    unjudged: int = 0

    @property
    def headline(self) -> str:
        """How many gates fail."""
        failed = sum(not all(verdict.holds for verdict in self.of(gate)) for gate in self.gates)
        return f"{failed} of {counted(len(self.gates), 'gate')} failed, {grouped(self.by)}"

    @property
    def shown_table(self) -> pl.DataFrame:
        """The verdicts: gate, key, value and whether it holds."""
        types = {"gate": pl.String, "key": pl.String, "value": pl.Float64, "holds": pl.Boolean}
        rows = [
            (one.gate.text, ", ".join(map(str, one.key.values())), one.value, one.holds)
            for one in self.verdicts
        ]
        return pl.DataFrame(rows, schema=types, orient="row")

    def write(self, folder: Path, chart_formats: Sequence[ChartFormat] = ()) -> None:  # noqa: ARG002  # there are none
        """Writes gates.csv, gates.json, gates.md and junit.xml into an existing folder."""
        from loadlens.gates.verdict_files import write_verdicts

        write_verdicts(self, folder)

    @property
    def file_names(self) -> list[str]:
        """The files that are written."""
        return ["gates.csv", "gates.json", "gates.md", "junit.xml"]

    @property
    def failures(self) -> list[str]:
        """One line for each gate that does not hold: how many configurations fail, and the worst of them."""
        from loadlens.gates.verdict_files import failures

        return failures(self)

    @property
    def holds(self) -> bool:
        """Whether every gate holds for every configuration in its scope."""
        return all(verdict.holds for verdict in self.verdicts)

    def of(self, gate: Gate) -> tuple[Verdict, ...]:
        """The verdicts of one gate."""
        return tuple(verdict for verdict in self.verdicts if verdict.gate is gate)


@checked_arguments(MeasureOptions, {"reading": Reading})
def check_gates(
    log: Source,
    gates: Sequence[Gate | str],
    by: str | Sequence[str] | None = None,
    *,
    outliers: Outliers | None = None,
    reading: Reading | None = None,
    **execution: Unpack[Execution],
) -> GateCheck:
    """Judges gates for every configuration of a log.

    The log is measured once for all gates, in memory that grows with configurations times windows and not
    with calls.

    Args:
        log: paths, a frame or an Arrow table.
        gates: gates, or their texts.
        by: the key columns, none (``[]``) for the log as a whole; by default, the log's natural key.
        outliers: the fence of gates that say ``filtered``, by default ``mean-iqr`` (mean + 5 IQR). Other
            gates are judged on every successful call.
        reading: how files are read.
        **execution: how to do it; see ``Execution``. Gates are judged on exact figures only.

    Raises:
        GateError: a gate cannot be understood, names a column that is not in the key, or is restricted to
            configurations that the log does not have.
        InputError: the log cannot be read, lacks columns or holds values that no statistic may use.
        UsageError: there are no gates, there is no such fence, or figures are to be approximate.
    """
    options = MeasureOptions(**execution)
    judged = checked_gates(gates)
    if outliers is not None:
        checked_outliers(outliers)
    exact = options.is_exact
    _refuse_unjudgeable(judged, exact=exact)
    opened = open_log(log, reading=reading)
    question = gates_question(opened, judged, by, outliers=outliers, exact=exact)
    return ask(opened, question, options)


def _refuse_unjudgeable(gates: Sequence[Gate], *, exact: bool) -> None:
    if not gates:
        raise UsageError("no gates: give one or more, such as p99 < 300ms")
    if not exact:
        raise UsageError("gates are judged on exact figures: leave out exact=False (--one-pass)")


def gates_question(
    log: Log,
    gates: Sequence[Gate],
    by: str | Sequence[str] | None,
    *,
    outliers: Outliers | None = None,
    exact: bool = True,
) -> Question[GateCheck]:
    """Asks whether gates hold; see ``check_gates``, which says what is raised.

    Args:
        log: the log.
        gates: the gates.
        by: the key columns, none (``[]``) for the log as a whole; by default, the log's natural key.
        outliers: the fence of gates that say ``filtered``; None for the usual one.
        exact: whether the figures will be.
    """
    judged, key = tuple(gates), key_of(by, log.key)
    _refuse_unjudgeable(judged, exact=exact)
    log.require((*key, LATENCY))
    _refuse_other_columns(judged, key, log)
    refuse_unbounded(judged, log)
    if outliers is None:
        outliers = "mean-iqr" if any(gate.filtered for gate in judged) else "none"
    parts = _by_key(judged, key)
    plans = [gates_plan(log, part, some, outliers) for part, some in parts]
    answer = partial(_judged, log, judged, parts, outliers)
    return Question(plan=plans[0], further=tuple(plans[1:]), answer=answer)


_Parts: TypeAlias = Sequence[tuple[tuple[str, ...], Sequence[Gate]]]
"""Key columns, and the gates that are judged by them."""


def _by_key(gates: Sequence[Gate], key: tuple[str, ...]) -> _Parts:
    """The gates on each configuration, and those on all calls together; as far as there are such."""
    overall = [gate for gate in gates if gate.overall or not key]
    each = [gate for gate in gates if not gate.overall and key]
    return [(columns, some) for columns, some in ((key, each), ((), overall)) if some]


def _judged(
    log: Log, judged: tuple[Gate, ...], parts: _Parts, outliers: Outliers, *statistics: Statistics
) -> GateCheck:
    verdicts: dict[int, list[Verdict]] = {}
    found: list[Measures] = []
    for (key, some), own in zip(parts, statistics, strict=True):
        figures = measures(log, key, some, own)
        verdicts |= _verdicts_of(some, figures, log.findings.unjudged)
        found += figures.values()
    return GateCheck(
        by=parts[0][0],
        outliers=outliers,
        gates=judged,
        verdicts=tuple(verdict for gate in judged for verdict in verdicts[id(gate)]),
        first_start=found[0].first_start,
        last_end=found[0].last_end,
        relative_error=max(figures.relative_error for figures in found),
        resolution_s=max(figures.resolution_s for figures in found),
        source=log.name,
        unjudged=log.findings.unjudged,
    )


def _verdicts_of(
    gates: Sequence[Gate], found: Mapping[float | None, Measures], unjudged: int
) -> dict[int, list[Verdict]]:
    """The verdicts of each gate, by its identity."""
    tables = {
        width: _tables([gate for gate in gates if gate.window_s == width], figures, unjudged)
        for width, figures in found.items()
    }
    return {
        id(gate): list(_verdicts(gate, next(tables[gate.window_s]), found[gate.window_s], unjudged))
        for gate in gates
    }


def _refuse_other_columns(gates: Sequence[Gate], key: Sequence[str], log: Log) -> None:
    errors = []
    for gate in gates:
        for scope in gate.scope:
            if scope.column in key:
                continue
            columns = listed(key) or "nothing: the log is judged as a whole"
            expected = f"a column that the log is grouped by, which is {columns}"
            if scope.column in log.columns:
                also = " ".join(f"--by {name}" for name in (*key, scope.column))
                expected += f"; to group by it too, pass {also}"
            errors.append(gate.place.error(scope.column_at, expected))
    if errors:
        raise GateError.all_of(errors)


def _tables(gates: Sequence[Gate], found: Measures, unjudged: int) -> Iterator[pl.DataFrame]:
    """For each gate the configurations in its scope, or their windows, with the ``_FIGURES``.

    Many gates are looked up at once, as each look at a table of very many columns has its price.
    """
    places = [] if found.window_s is None else ["group", "window"]
    own = found.table.select(*key_names(found.key), *places)
    at_once = max(_MOST_FIGURES // max(own.height, 1), 1)
    scopes: _Scopes = {}
    sides = {"low": found.bound("low"), "high": found.bound("high")}
    for start in range(0, len(gates), at_once):
        batch = gates[start : start + at_once]
        several = zip(*[_figures_of(gate, found, unjudged) for gate in batch], strict=True)
        figures = [
            sides.get(name, found.table).select(of_gate.alias(f"{n}") for n, of_gate in enumerate(of_gates))
            for name, of_gates in zip(_FIGURES, several, strict=True)
        ]
        for number, gate in enumerate(batch):
            columns = [frame.get_column(f"{number}") for frame in figures]
            named = [column.alias(name) for column, name in zip(columns, _FIGURES, strict=True)]
            table = own.hstack(named) if own.width else pl.DataFrame(named)
            yield table.filter(_in_scope(gate, own, scopes)) if gate.scope else table


def _figures_of(gate: Gate, found: Measures, unjudged: int) -> tuple[pl.Expr, ...]:
    bounds = value_bounds(gate, found.resolution_s, unjudged)
    return value_of(gate), *bounds, values_behind(gate).cast(pl.Int64)


def _verdicts(gate: Gate, table: pl.DataFrame, found: Measures, unjudged: int) -> Iterator[Verdict]:
    if found.window_s is None:
        yield from _over_the_run(gate, table, found, unjudged)
        return
    worse = pl.col("high" if gate.is_upper else "low").alias("value")
    for group in table.partition_by("group", maintain_order=True):
        key = (
            dict(zip(found.key, group.select(key_names(found.key)).row(0), strict=True)) if found.key else {}
        )
        shown = group.with_columns(worse) if unjudged else group
        yield _over_windows(gate, key, _rows(shown, found), found)


def _over_the_run(gate: Gate, table: pl.DataFrame, found: Measures, unjudged: int) -> Iterator[Verdict]:
    """The verdicts of configurations of which there is one row each, and may be very many."""
    for *values, value, low, high, calls in table.iter_rows():
        yield Verdict(
            gate=gate,
            key=dict(zip(found.key, values, strict=True)),
            value=value,
            calls=calls,
            holds=gate.allows(low) and gate.allows(high),
            reason=_reason(gate, value, (low, high), found, unjudged),
            low=low,
            high=high,
        )


def _reason(
    gate: Gate,
    value: float | None,
    ends: tuple[float | None, float | None],
    found: Measures,
    unjudged: int,
) -> str:
    """Why there is no figure, or why it is judged at another one."""
    if value is None:
        return _no_value(gate)
    if unjudged and hangs_on_rejects(gate):
        worse = ends[1] if gate.is_upper else ends[0]
        rows = counted(unjudged, "rejected row may have", "rejected rows may have")
        outcome = "failed" if (gate.metric == "error_rate") == gate.is_upper else "succeeded"
        return f"judged as {gate.shown(worse)}: {rows} {outcome}"
    return "" if gate.allows(ends[0]) == gate.allows(ends[1]) else _open(gate, ends[1], found)


def _open(gate: Gate, highest: float | None, found: Measures) -> str:
    """Why a figure that may lie on either side of the bound fails."""
    if gate.metric != "throughput":
        return _TOO_CLOSE
    bounded = highest is not None and math.isfinite(highest)
    most = f"may be up to {gate.shown(highest)}" if bounded else "has no upper bound"
    return f"{most}, as times are known to {found.resolution_s:g} s: fails to be safe"


def _no_value(gate: Gate) -> str:
    if gate.metric == "throughput":
        return "no successful calls that take time from first start to last end"
    return "no successful calls"


def _in_scope(gate: Gate, keys: pl.DataFrame, known: _Scopes) -> pl.Series:
    """Which rows a gate is meant for; looked up once for all gates of one scope."""
    scopes = tuple((scope.column, scope.value) for scope in gate.scope)
    if scopes in known:
        return known[scopes]
    inside = pl.repeat(True, keys.height, dtype=pl.Boolean, eager=True)
    for scope in gate.scope:
        (name,) = key_names([scope.column])
        present = keys[name].filter(inside).unique().sort().to_list()
        wanted = [value for value in present if _matches(scope, value)]
        if not wanted:
            values = listed("null" if value is None else value for value in present)
            raise gate.place.error(scope.value_at, f"one of the values of {scope.column}: {values}")
        matching = (
            keys[name].is_null() if wanted == [None] else keys[name].is_in(wanted).fill_null(value=False)
        )
        inside &= matching
    known[scopes] = inside
    return inside


def _matches(scope: Scope, value: object) -> bool:
    """Whether a value of a key column is what a gate names; numbers are compared as numbers."""
    if value is None or scope.value is None:
        return value is scope.value
    if isinstance(value, bool):
        return str(value).lower() == scope.value.lower()
    if str(value) == scope.value:
        return True
    try:
        return isinstance(value, int | float) and float(scope.value) == value
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The windows of one configuration: those that saw a call, and how many whole windows there are.

    Attributes:
        window: which multiple of the width each is, ascending.
        value: its figure, NaN where there is none.
        low: the least that it can be.
        high: the greatest.
        calls: how many calls that is made of.
        first: the first whole window.
        end: the window after the last whole one.
    """

    window: np.ndarray[Any, np.dtype[np.int64]]
    value: np.ndarray[Any, np.dtype[np.float64]]
    low: np.ndarray[Any, np.dtype[np.float64]]
    high: np.ndarray[Any, np.dtype[np.float64]]
    calls: np.ndarray[Any, np.dtype[np.int64]]
    first: int
    end: int
    width_s: float

    def whole(self) -> "_Rows":
        """The whole windows alone, those without a call among them with the value 0."""
        inside = (self.window >= self.first) & (self.window < self.end)
        columns = ("window", "value", "low", "high", "calls")
        return replace(self, **{name: getattr(self, name)[inside] for name in columns})

    @property
    def first_gap(self) -> int | None:
        """The first whole window without a call."""
        if len(self.window) >= self.end - self.first:
            return None
        late = np.flatnonzero(self.window != self.first + np.arange(len(self.window)))
        return self.first + int(late[0] if len(late) else len(self.window))


def _rows(group: pl.DataFrame, found: Measures) -> _Rows:
    width = found.window_s
    assert width is not None  # noqa: S101  # these are windows
    group = group.sort("window")
    windows = group["window"].to_numpy()
    begin, end = found.spans[group["group"][0]]
    assert end is not None  # noqa: S101  # else there would be no windows
    return _Rows(
        window=windows,
        **{
            name: group[name].cast(pl.Float64).fill_null(math.nan).to_numpy()
            for name in ("value", "low", "high")
        },
        calls=group["calls"].to_numpy(),
        first=int(windows[0]) if begin is None else math.ceil(begin / width),
        end=math.floor(end / width),
        width_s=width,
    )


def _over_windows(gate: Gate, key: Mapping[str, object], rows: _Rows, found: Measures) -> Verdict:
    """Judges a gate in each window; throughput and counts in whole windows only, empty ones too."""
    gap = None
    judged = len(rows.window)
    if is_of_whole_windows(gate):
        rows = rows.whole()
        gap, judged = rows.first_gap, max(rows.end - rows.first, 0)
    sides = list(zip(rows.low.tolist(), rows.high.tolist(), strict=True))
    ends = [gate.allows(low) + gate.allows(high) for low, high in sides]
    empty = judged - len(rows.window)
    failed = len(ends) - ends.count(2) + (0 if gate.allows(0.0) else empty)
    value, start, low, high = _worst(gate, rows, gap)
    reason = "" if judged else f"no window of {rows.width_s:g} s lies wholly in the run"
    unknown = int(np.isnan(rows.value).sum())
    if unknown:
        reason = f"no successful calls in {counted(unknown, 'window')}"
    begin, resolution_s = found.first_start, found.resolution_s
    if found.relative_error and ends.count(1):
        reason = f"{reason}{'; ' if reason else ''}{counted(ends.count(1), 'window')} {_TOO_CLOSE}"
    elif failed and gate.allows(value) and not reason:  # what the clock leaves open is all that fails it
        reason = f"times are known to {resolution_s:g} s, and so are the windows: fails to be safe"
    if not _are_told(rows.width_s, resolution_s):
        failed = judged
        reason = f"times are known to {resolution_s:g} s, which tells no windows of this width"
    return Verdict(
        gate=gate,
        key=key,
        value=value,
        calls=int(rows.calls.sum()),
        holds=judged > 0 and failed == 0,
        reason=reason,
        low=low,
        high=high,
        windows=Windows(
            width_s=rows.width_s,
            judged=judged,
            failed=failed,
            worst_start_s=start,
            worst_after_s=None if start is None or begin is None else round(start - begin, 6),
        ),
    )


def _are_told(width_s: float, resolution_s: float) -> bool:
    """Whether the clock tells in which window a call ended: a coarse one only of whole numbers of ticks."""
    return resolution_s <= FINE_S or math.isclose(width_s / resolution_s, round(width_s / resolution_s))


def _worst(gate: Gate, rows: _Rows, gap: int | None) -> tuple[float | None, ...]:
    """The worst value, the start of the first window that has it, and the least and most that it can be."""
    known = ~np.isnan(rows.value)
    columns = (rows.value, rows.window, rows.low, rows.high)
    found = list(zip(*[column[known].tolist() for column in columns], strict=True))
    if gap is not None:
        found.append((0.0, gap, 0.0, 0.0))
    if not found:
        return None, None, None, None
    sign = -1 if gate.is_upper else 1
    value, window, low, high = min(found, key=lambda each: (sign * each[0], each[1]))
    return value, window * rows.width_s, low, high
