"""The grammar of gates: a line of text to what it demands, with the exact place of a mistake."""

import math
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from os import PathLike
from typing import Any, Final, Literal, cast

import polars as pl

from loadlens.errors import GateError, UsageError
from loadlens.keywords import checked_arguments
from loadlens.messages import listed, shortened, visible
from loadlens.storage.input_documents import read_toml

__all__ = [
    "Gate",
    "Metric",
    "Place",
    "Scanner",
    "Scope",
    "parse_gate",
    "parse_gates",
    "parse_width",
    "read_gates",
]


_TOKEN = re.compile(r"[<>=!~≤≥]+|[\w.%/µμ+-]+|\S")

_OPERATORS: Final[Mapping[str, Callable[[Any, float], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBER: Final = r"\d+(?:\.\d+)?|\.\d+"
_LARGEST: Final = Decimal(10) ** 15
_NARROWEST_S: Final = 1
_WORDS: Final = ("for", "within", "filtered")


@dataclass(frozen=True)
class Place:
    """A text, and what messages call it."""

    text: str
    source: str

    def refuse_broken_text(self) -> None:
        """Raises a GateError if the text is not Unicode, such as an argument in another encoding."""
        try:
            self.text.encode()
        except UnicodeEncodeError:
            raise GateError(f"{self.source}: is not UTF-8 text") from None

    def error(self, at: int, expected: str) -> GateError:
        """An error that shows the text with a caret under the character ``at``."""
        found = _TOKEN.match(self.text, at)
        got = repr(found[0]) if found else "nothing"
        shown = visible(self.text)
        caret = " " * sum(map(_cells, shown[:at])) + "^"
        problem = f"{self.source}, character {at + 1}: got {got}, expected {expected}"
        return GateError(problem, excerpts=(f"{shown}\n{caret}",))


def _cells(character: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


@dataclass
class Scanner:
    """Reads a text piece by piece, skipping the space between the pieces.

    Attributes:
        place: the text.
        at: where the next piece, or the space before it, begins.
        start: where the last piece began.
    """

    place: Place
    at: int = 0
    start: int = field(default=0, init=False)

    def at_match(self, pattern: str, *, skip: bool = True) -> bool:
        """Whether the next piece has a form."""
        if skip:
            self._skip()
        return re.compile(pattern).match(self.place.text, self.at) is not None

    def at_end(self) -> bool:
        """Whether nothing but space is left."""
        self._skip()
        return self.at == len(self.place.text)

    def take(self, pattern: str) -> str | None:
        """Takes the next piece if it has a form."""
        self._skip()
        found = re.compile(pattern).match(self.place.text, self.at)
        if found is None:
            return None
        self.start, self.at = self.at, found.end()
        return found[0]

    def back(self) -> None:
        """Gives the last piece back."""
        self.at = self.start

    def require(self, pattern: str, expected: str) -> str:
        """Takes the next piece, which must have a form.

        Raises:
            GateError: it has not.
        """
        found = self.take(pattern)
        if found is None:
            raise self.error(expected)
        return found

    def word(self, pattern: str, expected: str) -> tuple[str, bool]:
        """Takes a text in quotes, or one without that has a form; tells whether there were quotes.

        Raises:
            GateError: there is neither.
        """
        quote = self.take("['\"]")
        if quote is None:
            return self.require(pattern, expected), False
        opened = self.start
        end = self.place.text.find(quote, self.at)
        if end < 0:
            raise self.error(f"a closing {quote} after it", at=opened)
        word, self.at = self.place.text[self.at : end], end + 1
        return word, True

    def error(self, expected: str, *, at: int | None = None) -> GateError:
        """An error at the next piece, or at another place."""
        self._skip()
        return self.place.error(self.at if at is None else at, expected)

    def _skip(self) -> None:
        while self.at < len(self.place.text) and self.place.text[self.at].isspace():
            self.at += 1


Metric = Literal[
    "percentile", "mean", "median", "min", "max", "error_rate", "throughput", "count", "attainment", "apdex"
]
Kind = Literal["latency", "share", "rate", "count", "width"]

_KINDS: Final[Mapping[str, Kind]] = {
    "mean": "latency",
    "median": "latency",
    "min": "latency",
    "max": "latency",
    "error_rate": "share",
    "throughput": "rate",
    "count": "count",
}
_UNITS: Final[Mapping[Kind, Mapping[str, Decimal]]] = {
    "latency": {
        "ms": Decimal(1),
        "s": Decimal(1000),
        **dict.fromkeys(("us", "µs", "μs"), Decimal("0.001")),
    },
    "share": {"": Decimal(1), "%": Decimal("0.01")},
    "rate": {"": Decimal(1), "/s": Decimal(1)},
    "count": {"": Decimal(1)},
    "width": {"s": Decimal(1), "ms": Decimal("0.001"), "min": Decimal(60), "h": Decimal(3600)},
}
_UNITS_TEXT: Final[Mapping[Kind, str]] = {
    "latency": "a unit of time: ms, s or us",
    "share": "% or no unit",
    "rate": "/s or no unit",
    "count": "no unit",
    "width": "a unit of time: s, min or h",
}
_CANONICAL: Final[Mapping[Kind, str]] = {"latency": "ms", "share": "share", "rate": "1/s", "count": "calls"}
_METRICS_TEXT: Final = (
    "p99 or another percentile, " + ", ".join(_KINDS) + ", share(<300ms), apdex(500ms) or 99% <"
)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One column that a gate is restricted to.

    Attributes:
        column: a key column.
        value: what it must hold, as written; None for a missing value (``null`` without quotes).
        column_at: where in the gate the column stands.
        value_at: where in the gate the value stands.
    """

    column: str
    value: str | None
    column_at: int
    value_at: int


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a run has to keep to.

    Attributes:
        place: the text, and what messages call it.
        name: what the user calls it, else empty.
        metric: what is judged.
        quantile: which quantile, 0 to 1, for the metric ``percentile``.
        below_ms: for the metric ``attainment``, the latency in ms that calls must stay below; for a limit
            that calls may reach, the next larger number.
        target_ms: for the metric ``apdex``, the latency in ms up to which calls satisfy.
        operator: ``<``, ``<=``, ``>`` or ``>=``.
        bound: what the metric is compared with: ms, share from 0 to 1, completions per s, or calls.
        unit: the unit in which the bound was written.
        scope: the configurations that it holds for; none for all.
        window_s: the width of the windows of time that it holds for, each of them; None for the whole run.
        filtered: whether only the successes at or below the outlier fence count.
        overall: whether all calls of the log are judged together, not those of each configuration.
    """

    place: Place
    name: str = ""
    metric: Metric
    quantile: float | None = None
    below_ms: float | None = None
    target_ms: float | None = None
    operator: str
    bound: float
    unit: str
    scope: tuple[Scope, ...] = ()
    window_s: float | None = None
    filtered: bool = False
    overall: bool = False

    @property
    def text(self) -> str:
        """The gate as it was written."""
        return self.place.text

    @property
    def title(self) -> str:
        """Its name; without one, its text."""
        return self.name or self.text

    @property
    def kind(self) -> Kind:
        """What kind of figure it judges."""
        if self.metric in ("percentile", "attainment", "apdex"):
            return "latency" if self.metric == "percentile" else "share"
        return _KINDS[self.metric]

    @property
    def canonical_unit(self) -> str:
        """The unit of ``bound`` and of the values that it is compared with."""
        return _CANONICAL[self.kind]

    @property
    def is_upper(self) -> bool:
        """Whether larger values are worse."""
        return self.operator.startswith("<")

    def allows(self, value: float | None) -> bool:
        """Whether a value keeps to the gate; no value does not."""
        return value is not None and bool(_OPERATORS[self.operator](value, self.bound))

    def keeps(self, value: pl.Expr) -> pl.Expr:
        """Whether values keep to the gate; null where there is no value."""
        return cast("pl.Expr", _OPERATORS[self.operator](value, self.bound))

    def shown(self, value: float | None) -> str:
        """A value in the unit of the gate, with as many digits as it takes to see on which side it lies."""
        if value is None:
            return "–"
        if self.kind == "count":
            return f"{value:,.0f}"
        factor = _UNITS[self.kind][self.unit]
        scaled = float(Decimal(value) / factor)
        texts = [f"{Decimal(f'{scaled:.{digits}g}'):f}" for digits in (4, 6, 9, 12, 17)]
        telling = (text for text in texts if self._tells(float(Decimal(text) * factor), value))
        return next(telling, texts[-1]) + self._suffix

    def _tells(self, rounded: float, value: float) -> bool:
        return (rounded < self.bound, rounded > self.bound) == (value < self.bound, value > self.bound)

    @property
    def _suffix(self) -> str:
        if self.kind == "rate":
            return "/s"
        return f" {self.unit}" if self.kind == "latency" else self.unit


@checked_arguments()
def parse_gates(texts: Iterable[str]) -> tuple[Gate, ...]:
    """Reads gates, such as ``p99 < 300ms``.

    Raises:
        UsageError: they are no texts.
        GateError: some are no gates; it names each, and where in it the mistake is.
    """
    given = list(texts)
    wrong = [text for text in given if not isinstance(text, str)]
    if wrong:
        raise UsageError(f"gates: got {shortened(wrong[0])}, expected texts such as 'p99 < 300ms'")
    return _parsed((f"gate {shortened(text)}", text, "") for text in given)


def checked_gates(gates: Iterable[Gate | str]) -> tuple[Gate, ...]:
    """Gates that are told as such or as their texts.

    Raises:
        UsageError: some are neither.
        GateError: some texts are no gates.
    """
    given = list(gates)
    parsed = iter(parse_gates([gate for gate in given if not isinstance(gate, Gate)]))
    return tuple(gate if isinstance(gate, Gate) else next(parsed) for gate in given)


@checked_arguments()
def read_gates(path: str | PathLike[str]) -> tuple[Gate, ...]:
    """Reads gates from a TOML file: tables ``[[gate]]`` with ``slo``, the text, and maybe ``name``.

    Raises:
        GateError: the file cannot be read, or does not hold such tables, or some are no gates.
    """
    found = read_toml(path, GateError, "gates as TOML")
    tables = found.pop("gate", None)
    if found or not isinstance(tables, list) or not tables:
        got = listed([*found, *(["gate"] if tables is not None else [])]) or "nothing"
        raise GateError(f'{path}: has {got}, expected one or more tables [[gate]] with slo = "p99 < 300ms"')
    entries = [_entry(f"{path}, gate {number}", table) for number, table in enumerate(tables, start=1)]
    names = [name for _, _, name in entries if name]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise GateError(f"{path}: {listed(doubled)} names several gates; give each its own name")
    return _parsed(entries)


def _entry(source: str, table: object) -> tuple[str, str, str]:
    """What messages call it, text and name."""
    expected = 'expected slo = "p99 < 300ms" and maybe name = "..."'
    if not isinstance(table, dict):
        raise GateError(f"{source}: is {shortened(table)}, {expected}")
    wrong = [key for key, value in table.items() if key not in ("slo", "name") or not isinstance(value, str)]
    if wrong or "slo" not in table:
        raise GateError(f"{source}: has {listed(wrong or table) or 'nothing'}, {expected}")
    return source, table["slo"], " ".join(table.get("name", "").split())


def _parsed(entries: Iterable[tuple[str, str, str]]) -> tuple[Gate, ...]:
    gates: list[Gate] = []
    errors: list[GateError] = []
    for source, text, name in entries:
        try:
            gates.append(parse_gate(text, name=name, source=source))
        except GateError as error:
            errors.append(error)
    if errors:
        raise GateError.all_of(errors)
    return tuple(gates)


def parse_gate(text: str, *, name: str = "", source: str | None = None) -> Gate:
    """Reads one gate.

    Args:
        text: the gate; see the documentation for the grammar.
        name: what the user calls it.
        source: what messages call it.

    Raises:
        GateError: it is no gate; the message says where the mistake is and what was expected there.
    """
    place = Place(text.strip(), source or f"gate {shortened(text)}")
    place.refuse_broken_text()
    scanner = Scanner(place)
    overall = scanner.take(r"overall\b") is not None
    if scanner.at_match(_NUMBER):
        gate = _share_before_limit(scanner)
    elif scanner.at_match(r"share\b"):
        gate = _share_of_limit(scanner)
    elif scanner.at_match(r"apdex\b"):
        gate = _apdex(scanner)
    else:
        gate = _comparison(scanner)
    return _with_clauses(scanner, {"place": place, "name": name, "overall": overall, **gate})


def _share_before_limit(scanner: Scanner) -> dict[str, object]:
    """``99% < 300ms``."""
    bound, _ = _value(scanner, "share", units=("%",))
    return {
        "metric": "attainment",
        "below_ms": _limit(scanner),
        "operator": ">=",
        "bound": bound,
        "unit": "%",
    }


def _share_of_limit(scanner: Scanner) -> dict[str, object]:
    """``share(<300ms) >= 99%``."""
    scanner.take("share")
    scanner.require(r"\(", "'('")
    below = _limit(scanner)
    scanner.require(r"\)", "')'")
    sign = _operator(scanner)
    bound, unit = _value(scanner, "share")
    return {"metric": "attainment", "below_ms": below, "operator": sign, "bound": bound, "unit": unit}


def _apdex(scanner: Scanner) -> dict[str, object]:
    """``apdex(500ms) >= 0.9``."""
    scanner.take("apdex")
    scanner.require(r"\(", "'('")
    target, _ = _value(scanner, "latency")
    if not target:
        raise scanner.error("a target above 0", at=scanner.start)
    scanner.require(r"\)", "')'")
    sign = _operator(scanner)
    bound, unit = _value(scanner, "share")
    return {"metric": "apdex", "target_ms": target, "operator": sign, "bound": bound, "unit": unit}


def _limit(scanner: Scanner) -> float:
    """``<300ms`` as the latency that calls must stay below."""
    sign = _operator(scanner, allowed=("<", "<="))
    limit, _ = _value(scanner, "latency")
    return limit if sign == "<" else math.nextafter(limit, math.inf)


def _comparison(scanner: Scanner) -> dict[str, object]:
    name = scanner.take(r"[A-Za-z_]\w*(?:\.\w+)*") or ""
    quantile = None
    if re.fullmatch(r"p\d+(?:\.\d{1,6})?", name):
        quantile = float(Decimal(name[1:]) / 100)
        if not 0 < quantile < 1:
            raise scanner.error("a percentile above p0 and below p100, p99.9 with a point", at=scanner.start)
    elif name not in _KINDS:
        raise scanner.error(_METRICS_TEXT, at=scanner.start if name else None)
    sign = _operator(scanner)
    bound, unit = _value(scanner, _KINDS.get(name, "latency"))
    metric = name if quantile is None else "percentile"
    return {"metric": metric, "quantile": quantile, "operator": sign, "bound": bound, "unit": unit}


def _operator(scanner: Scanner, allowed: Sequence[str] = tuple(_OPERATORS)) -> str:
    sign = scanner.take(r"[<>=!~≤≥]+") or ""
    if sign not in allowed:
        *most, last = allowed
        raise scanner.error(f"{', '.join(most)} or {last}", at=scanner.start if sign else None)
    return sign


def _value(scanner: Scanner, kind: Kind, units: Sequence[str] | None = None) -> tuple[float, str]:
    """A number in the unit that is used inside, and the unit that it was written in."""
    number = scanner.require(_NUMBER, "a number, 0 or more")
    number_at = scanner.start
    unit = _unit(scanner, kind, tuple(_UNITS[kind]) if units is None else units)
    value = Decimal(number) * _UNITS[kind][unit]
    if value >= _LARGEST:
        raise scanner.error("a number below 1e15", at=number_at)
    if kind == "share" and value > 1:
        raise scanner.error("a share, from 0% to 100% or from 0 to 1", at=number_at)
    if kind == "width" and value < _NARROWEST_S:
        raise scanner.error("a width of 1s or more", at=number_at)
    return float(value), unit


def _unit(scanner: Scanner, kind: Kind, units: Sequence[str]) -> str:
    adjacent = scanner.at_match(r"[^\s,()<>=]", skip=False)
    unit = scanner.take(r"[A-Za-zµμ%/]+")
    if unit in units:
        return cast("str", unit)
    if unit:
        scanner.back()
    if "" in units and not adjacent:
        return ""
    raise scanner.error(_UNITS_TEXT[kind] if len(units) > 1 or "" in units else f"{units[0]}")


def _with_clauses(scanner: Scanner, gate: dict[str, object]) -> Gate:
    left = [word for word in _WORDS if not (gate["overall"] and word == "for")]
    while not scanner.at_end():
        word = scanner.take(r"[A-Za-z]+")
        if word not in left:
            expected = ", ".join(left) + " or the end" if left else "the end"
            raise scanner.error(expected, at=scanner.start if word else None)
        left.remove(word)
        if word == "for":
            gate["scope"] = _scope(scanner)
        elif word == "within":
            gate["window_s"] = _window(scanner)
        elif gate["metric"] in ("error_rate", "apdex"):
            raise scanner.error("no 'filtered': no fence removes a failure", at=scanner.start)
        else:
            gate["filtered"] = True
    return Gate(**gate)  # type: ignore[arg-type]  # the parts that the functions above have read


def _scope(scanner: Scanner) -> tuple[Scope, ...]:
    found: dict[str, Scope] = {}
    while True:
        column, _ = scanner.word(r"[^\s=,'\"]+", "a key column")
        column_at = scanner.start
        if column in found:
            raise scanner.error("another column: this one is named already", at=column_at)
        scanner.require("=", "'='")
        value, quoted = scanner.word(r"[^\s,'\"]+", "a value")
        missing = value == "null" and not quoted
        found[column] = Scope(
            column=column, value=None if missing else value, column_at=column_at, value_at=scanner.start
        )
        if not scanner.take(","):
            return tuple(found.values())


def parse_width(text: str, source: str = "width") -> float:
    """A width of windows of time in s, such as ``60s`` or ``5min``.

    Args:
        text: what to read.
        source: what messages call it.

    Raises:
        GateError: it is none.
    """
    scanner = Scanner(Place(text, source))
    width, _ = _value(scanner, "width")
    if not scanner.at_end():
        raise scanner.error("nothing more")
    return width


def _window(scanner: Scanner) -> float:
    width, _ = _value(scanner, "width")
    for word in ("of", "every", "window"):
        scanner.require(rf"{word}\b", f"'{word}', as in 60s of every window")
    return width
