"""What a price table holds, and how it is read from TOML."""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeVar

from loadlens.errors import PriceError

__all__ = ["DEFAULT_TABLE", "PriceTable", "load_prices"]

DEFAULT_TABLE: Final = "sagemaker-serverless.toml"
BYTES_PER_GIB: Final = 1024**3

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class PriceTable:
    """Prices of a serverless endpoint and of the instances that it compares with.

    Attributes:
        name: the service.
        region: where the prices hold.
        currency: ISO 4217 code.
        valid_from: ISO 8601 date.
        source: where the prices come from.
        path: the file they were read from.
        price_per_second: price of a second of use, by memory size in MB.
        price_per_gib: price of a GiB of data, in or out.
        instance_price_per_hour: price of an hour, by instance type.
        comparable_instance: instance type, by memory size in MB.
    """

    name: str
    region: str
    currency: str
    valid_from: str
    source: str
    path: str
    price_per_second: Mapping[int, float]
    price_per_gib: float
    instance_price_per_hour: Mapping[str, float]
    comparable_instance: Mapping[int, str]

    @property
    def price_per_byte(self) -> float:
        """Price of a byte, in or out."""
        return self.price_per_gib / BYTES_PER_GIB

    def require(self, memory_sizes: Iterable[int]) -> None:
        """Raises a PriceError that lists all of ``memory_sizes`` (MB) without a price or an instance."""
        sizes = sorted(set(memory_sizes))
        for table, priced in (
            ("per_second", self.price_per_second),
            ("comparable_instance", self.comparable_instance),
        ):
            missing = [str(size) for size in sizes if size not in priced]
            if missing:
                has = ", ".join(str(size) for size in sorted(priced))
                raise PriceError(
                    f"{self.path}: [{table}] has no entry for memory size {', '.join(missing)} MB; "
                    f"it has {has}; add the size, or pass another price table"
                )


def load_prices(path: str | PathLike[str] | None = None) -> PriceTable:
    """Loads a price table from a TOML file; without one, the reference's table for us-east-1.

    Raises:
        PriceError: the file is missing, is not TOML, or has missing, unknown or impossible entries.
    """
    if path is None:
        text = resources.files("loadlens.prices").joinpath(DEFAULT_TABLE).read_text(encoding="utf-8")
        return _parse(text, DEFAULT_TABLE)
    try:
        return _parse(Path(path).read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise PriceError(
            f"{path}: cannot be read: {error.strerror}; expected a price table as TOML"
        ) from error
    except UnicodeDecodeError as error:
        raise PriceError(f"{path}: is not UTF-8 text; expected a price table as TOML") from error


def _parse(text: str, path: str) -> PriceTable:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PriceError(f"{path}: is not TOML: {error}") from error
    _check_sections(data, path)
    instance_per_hour = _prices(data["instance_per_hour"], path, "instance_per_hour")
    table = PriceTable(
        **{name: str(data.get(name, "")) for name in ("name", "region", "source", "valid_from")},
        currency=str(data.get("currency", "USD")),
        path=path,
        price_per_second=_by_size(_prices(data["per_second"], path, "per_second"), path, "per_second"),
        price_per_gib=_prices(data["data"], path, "data")["per_gib"],
        instance_price_per_hour=instance_per_hour,
        comparable_instance=_by_size(_names(data["comparable_instance"], path), path, "comparable_instance"),
    )
    _check_instances(table)
    return table


def _check_sections(data: Mapping[str, Any], path: str) -> None:
    sections = ("per_second", "data", "instance_per_hour", "comparable_instance")
    missing = [name for name in sections if not isinstance(data.get(name), dict) or not data[name]]
    if missing:
        raise PriceError(f"{path}: missing sections: {', '.join(f'[{name}]' for name in missing)}")
    if "per_gib" not in data["data"]:
        raise PriceError(f"{path}: [data] lacks per_gib, the price of a GiB in or out")


def _prices(section: Mapping[str, Any], path: str, name: str) -> dict[str, float]:
    wrong = [key for key, price in section.items() if not _is_price(price)]
    if wrong:
        key = min(wrong)
        raise PriceError(f"{path}: [{name}] {key}: got {section[key]!r}, expected a price of 0 or more")
    return {key: float(price) for key, price in section.items()}


def _names(section: Mapping[str, Any], path: str) -> dict[str, str]:
    wrong = sorted(key for key, name in section.items() if not isinstance(name, str))
    if wrong:
        got = section[wrong[0]]
        raise PriceError(f"{path}: [comparable_instance] {wrong[0]}: got {got!r}, expected an instance type")
    return dict(section)


def _is_price(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


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
