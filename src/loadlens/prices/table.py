"""What a price table holds, and what it answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, Literal

from loadlens.errors import PriceError

__all__ = ["Kind", "PriceTable"]

Kind = Literal["serverless", "provisioned", "gb-second", "instances"]
BYTES_PER_GIB: Final = 1024**3
MB_PER_GB: Final = 1024


@dataclass(frozen=True, kw_only=True)
class PriceTable:
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
