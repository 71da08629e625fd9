"""How price tables are found and read from TOML."""

import math
from collections.abc import Mapping
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from loadlens.errors import PriceError
from loadlens.keywords import checked_arguments
from loadlens.prices.table import Kind, PriceTable
from loadlens.sources.storage.documents import parse_toml, read_toml
from loadlens.sources.storage.secrets import shown

__all__ = ["BUILT_IN_TABLES", "DEFAULT_TABLE", "load_prices"]

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
        text = resources.files("loadlens.prices").joinpath(file).read_text(encoding="utf-8")
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
