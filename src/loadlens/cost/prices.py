"""Dated price tables: what one holds, and how it is found and read from TOML."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, Final, Literal, TypeVar, get_args

from loadlens.errors import PriceError
from loadlens.keywords import checked_arguments
from loadlens.messages import Shown
from loadlens.storage.input_documents import parse_toml, read_toml
from loadlens.storage.secrets import shown

__all__ = ["BUILT_IN_TABLES", "DEFAULT_TABLE", "Kind", "PriceTable", "load_prices"]


Kind = Literal["serverless", "provisioned", "gb-second", "instances"]
BYTES_PER_GIB: Final = 1024**3
MB_PER_GB: Final = 1024

DEFAULT_TABLE: Final = "sagemaker-serverless"
BUILT_IN_TABLES: Final = (
    DEFAULT_TABLE,
    "sagemaker-provisioned-concurrency",
    "sagemaker-instances",
    "lambda-x86",
    "lambda-arm",
)
"""The names of the tables that come along, the default first."""

_REQUIRED: Final[Mapping[Kind, tuple[str, ...]]] = {
    "serverless": ("per_second", "data", "instance_per_hour", "comparable_instance"),
    "provisioned": ("per_second", "provisioned_per_second", "data"),
    "gb-second": ("gb_second", "request"),
    "instances": ("instance_per_hour",),
}
_ENTRIES: Final[Mapping[str, tuple[str, ...]]] = {
    "data": ("per_gib",),
    "gb_second": ("price", "smallest_mb", "largest_mb"),
    "request": ("price",),
    "billing": ("step_ms", "init"),
}
"""Sections with entries of fixed names; the others go by memory size or instance type."""

_BY_NAME: Final = ("per_second", "provisioned_per_second", "instance_per_hour", "comparable_instance")
_TEXTS: Final = ("name", "region", "source", "valid_from", "valid_until", "note")
_LEAST_STEP_MS: Final = 0.001
_MOST_STEP_MS: Final = 86_400_000
_MOST_MB: Final = 2**31


@dataclass(frozen=True, kw_only=True, repr=False)
class PriceTable(Shown):
    """Prices of a serverless service, of instances, or of both.

    Attributes:
        kind: ``serverless`` has a price of a second by memory size; ``provisioned`` also one of keeping
            an environment ready; ``gb-second`` a price that grows with memory; ``instances`` instances alone.
        name: the service.
        region: where the prices hold.
        currency: ISO 4217 code.
        valid_from: ISO 8601 date.
        valid_until: ISO 8601 date; empty where no end is known.
        source: where the prices come from.
        from_memory: whether they were written down from memory.
        note: a remark.
        path: the file they were read from.
        price_per_second: price of a second of use, by memory size in MB; empty for other kinds.
        price_per_gb_second: price of a second of 1024 MB; None for other kinds.
        memory_range: smallest and largest memory size in MB that ``price_per_gb_second`` holds for.
        provisioned_price_per_second: price of a second of one provisioned concurrency, by memory size.
        price_per_gib: price of a GiB of data, in or out.
        price_per_request: price of a call, whatever it takes.
        billed_step_ms: billed durations are rounded up to multiples of it; 0 for no rounding.
        bills_init: whether the start of a new environment is billed like use.
        instance_price_per_hour: price of an hour, by instance type.
        comparable_instance: instance type, by memory size in MB.
    """

    kind: Kind = "serverless"
    name: str
    region: str
    currency: str
    valid_from: str
    valid_until: str = ""
    source: str
    from_memory: bool = False
    note: str = ""
    path: str
    price_per_second: Mapping[int, float] = field(default_factory=dict)
    price_per_gb_second: float | None = None
    memory_range: tuple[int, int] = (0, 0)
    provisioned_price_per_second: Mapping[int, float] = field(default_factory=dict)
    price_per_gib: float = 0.0
    price_per_request: float = 0.0
    billed_step_ms: float = 0.0
    bills_init: bool = False
    instance_price_per_hour: Mapping[str, float] = field(default_factory=dict)
    comparable_instance: Mapping[int, str] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """What it prices, where and in what currency."""
        return f"{self.name}, {self.region}, in {self.currency}"

    @property
    def short_name(self) -> str:
        """The name of its file without the suffix, by which a built-in table is asked for."""
        return PurePath(self.path).stem

    @property
    def price_per_byte(self) -> float:
        """Price of a byte, in or out."""
        return self.price_per_gib / BYTES_PER_GIB

    def price_of_second(self, memory_size: int) -> float:
        """Price of a second of use with ``memory_size`` MB.

        Raises:
            PriceError: the table has no price for it.
        """
        if self.price_per_gb_second is None:
            return self._by_size(self.price_per_second, "per_second", memory_size)
        smallest, largest = self.memory_range
        if not smallest <= memory_size <= largest:
            raise PriceError(
                f"{self.path}: [gb_second] has no price for memory size {memory_size} MB; it has {smallest} "
                f"to {largest}; choose a size in this range, or pass another price table"
            )
        return self.price_per_gb_second * memory_size / MB_PER_GB

    def price_of_provisioned_second(self, memory_size: int) -> float:
        """Price of a second of one provisioned concurrency with ``memory_size`` MB; 0 where there is none.

        Raises:
            PriceError: the table has such prices, but none for it.
        """
        if self.kind != "provisioned":
            return 0.0
        return self._by_size(self.provisioned_price_per_second, "provisioned_per_second", memory_size)

    def price_of_instance_hour(self, instance: str) -> float:
        """Price of an hour of an instance type.

        Raises:
            PriceError: the table has no price for it.
        """
        if instance in self.instance_price_per_hour:
            return self.instance_price_per_hour[instance]
        has = ", ".join(sorted(self.instance_price_per_hour)) or "none"
        raise PriceError(
            f"{self.path}: [instance_per_hour] has no entry for {instance}; it has {has}; add it, or pass "
            f"another price table"
        )

    def require(self, memory_sizes: Iterable[int]) -> None:
        """Raises a PriceError that lists all of ``memory_sizes`` (MB) without a price or an instance."""
        sizes = sorted(set(memory_sizes))
        for table, priced in (
            ("per_second", self.price_per_second),
            ("comparable_instance", self.comparable_instance),
        ):
            missing = [size for size in sizes if size not in priced]
            if missing:
                raise self._missing(table, missing, priced)

    def _by_size(self, prices: Mapping[int, float], section: str, memory_size: int) -> float:
        if memory_size not in prices:
            raise self._missing(section, [memory_size], prices)
        return prices[memory_size]

    def _missing(self, section: str, sizes: Iterable[int], priced: Mapping[int, object]) -> PriceError:
        has = ", ".join(str(size) for size in sorted(priced)) or "none"
        return PriceError(
            f"{self.path}: [{section}] has no entry for memory size {', '.join(map(str, sizes))} MB; "
            f"it has {has}; add the size, or pass another price table"
        )


_Value = TypeVar("_Value")


@checked_arguments()
def load_prices(table: str | PathLike[str] | None = None) -> PriceTable:
    """Loads a price table.

    Args:
        table: the name of a built-in table, such as ``lambda-arm``, or the path of a TOML file (``./`` in
            front tells a file of such a name); without it, the reference's table for us-east-1.

    Raises:
        PriceError: the file is missing, is not TOML, or has missing, unknown or impossible entries.
    """
    if table is None or (isinstance(table, str | Path) and str(table) in BUILT_IN_TABLES):
        file = f"{table or DEFAULT_TABLE}.toml"
        text = resources.files("loadlens.cost").joinpath("price_tables", file).read_text(encoding="utf-8")
        return _table(parse_toml(text, file, PriceError), file)
    expected = f"a price table as TOML, or one of {', '.join(BUILT_IN_TABLES)}"
    return _table(read_toml(table, PriceError, expected), shown(table))


def _table(data: Mapping[str, Any], path: str) -> PriceTable:
    kind = _kind(data, path)
    _check_sections(data, kind, path)
    billing, gb_second = data.get("billing", {}), data.get("gb_second", {})
    table = PriceTable(
        kind=kind,
        **{name: str(data.get(name, "")) for name in _TEXTS},
        currency=str(data.get("currency", "USD")),
        from_memory=_truth(data, "from_memory", path),
        path=path,
        price_per_second=_by_size(_prices(data, "per_second", path), path, "per_second"),
        price_per_gb_second=_prices(data, "gb_second", path).get("price"),
        memory_range=_memory_range(gb_second, path) if gb_second else (0, 0),
        provisioned_price_per_second=_by_size(
            _prices(data, "provisioned_per_second", path), path, "provisioned_per_second"
        ),
        price_per_gib=_prices(data, "data", path).get("per_gib", 0.0),
        price_per_request=_prices(data, "request", path).get("price", 0.0),
        billed_step_ms=_step(billing, path),
        bills_init=_truth(billing, "init", f"{path}: [billing]"),
        instance_price_per_hour=_prices(data, "instance_per_hour", path),
        comparable_instance=_by_size(_names(data, path), path, "comparable_instance"),
    )
    _check_instances(table)
    return table


def _kind(data: Mapping[str, Any], path: str) -> Kind:
    kind = data.get("kind", "serverless")
    if kind not in _REQUIRED:
        raise PriceError(f"{path}: kind: got {kind!r}, expected one of {', '.join(get_args(Kind))}")
    found: Kind = kind
    return found


def _check_sections(data: Mapping[str, Any], kind: Kind, path: str) -> None:
    missing = [name for name in _REQUIRED[kind] if not isinstance(data.get(name), dict) or not data[name]]
    if missing:
        raise PriceError(f"{path}: missing sections: {', '.join(f'[{name}]' for name in missing)}")
    known = {*_TEXTS, *_ENTRIES, *_BY_NAME, "kind", "currency", "from_memory"}
    unknown = sorted(set(data) - known)
    if unknown:
        raise PriceError(f"{path}: unknown entries: {', '.join(unknown)}; it may have {_listed(known)}")
    for section in sorted({*_ENTRIES, *_BY_NAME} & data.keys()):
        _check_entries(data[section], section, kind, path)


def _check_entries(entries: object, section: str, kind: Kind, path: str) -> None:
    if not isinstance(entries, dict):
        raise PriceError(f"{path}: {section}: got {entries!r}, expected a section [{section}]")
    known = _ENTRIES.get(section)
    if known is None:
        return
    lacking = [name for name in known if name not in entries] if section in _REQUIRED[kind] else []
    if lacking:
        raise PriceError(f"{path}: [{section}] lacks {', '.join(lacking)}; expected {_listed(known)}")
    unknown = sorted(set(entries) - set(known))
    if unknown:
        raise PriceError(f"{path}: [{section}] has unknown {', '.join(unknown)}; expected {_listed(known)}")


def _listed(names: tuple[str, ...] | set[str]) -> str:
    return ", ".join(sorted(names))


def _prices(data: Mapping[str, Any], section: str, path: str) -> dict[str, float]:
    return {
        key: _number(price, f"{path}: [{section}] {key}", "a price of 0 or more")
        for key, price in data.get(section, {}).items()
    }


def _number(value: object, where: str, expected: str = "a number of 0 or more") -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise PriceError(f"{where}: got {value!r}, expected {expected}")
    return float(value)


def _step(billing: Mapping[str, Any], path: str) -> float:
    where = f"{path}: [billing] step_ms"
    step = _number(billing.get("step_ms", 0), where)
    if step and not _LEAST_STEP_MS <= step <= _MOST_STEP_MS:
        raise PriceError(
            f"{where}: got {step:g}, expected 0 (no rounding), or 0.001 (1 us) to 86400000 (1 day)"
        )
    return step


def _truth(data: Mapping[str, Any], name: str, where: str) -> bool:
    value = data.get(name, False)
    if not isinstance(value, bool):
        raise PriceError(f"{where}: {name}: got {value!r}, expected true or false")
    return value


def _memory_range(section: Mapping[str, Any], path: str) -> tuple[int, int]:
    names = ("smallest_mb", "largest_mb")
    smallest, largest = (section.get(name) for name in names)
    whole = all(type(value) is int and 0 < value < _MOST_MB for value in (smallest, largest))
    if not whole or smallest > largest:  # type: ignore[operator]  # both are whole numbers then
        raise PriceError(
            f"{path}: [gb_second] smallest_mb, largest_mb: got {smallest!r}, {largest!r}, expected whole "
            f"numbers of MB, the smallest first"
        )
    return smallest, largest  # type: ignore[return-value]


def _names(data: Mapping[str, Any], path: str) -> dict[str, str]:
    section = data.get("comparable_instance", {})
    wrong = sorted(key for key, name in section.items() if not isinstance(name, str))
    if wrong:
        got = section[wrong[0]]
        raise PriceError(f"{path}: [comparable_instance] {wrong[0]}: got {got!r}, expected an instance type")
    return dict(section)


def _by_size(section: Mapping[str, _Value], path: str, name: str) -> dict[int, _Value]:
    wrong = sorted(key for key in section if not key.isdecimal())
    if wrong:
        raise PriceError(f"{path}: [{name}] {wrong[0]}: expected a memory size in MB, a whole number")
    return {int(key): value for key, value in section.items()}


def _check_instances(table: PriceTable) -> None:
    named = set(table.comparable_instance.values())
    unpriced = sorted(str(name) for name in named if name not in table.instance_price_per_hour)
    if unpriced:
        raise PriceError(
            f"{table.path}: [comparable_instance] names {', '.join(unpriced)}, which [instance_per_hour] "
            f"does not price"
        )
