"""loadlens prices: the price tables that there are, and what one of them holds."""

from typing import Annotated

import polars as pl
import typer

from loadlens.prices import BUILT_IN_TABLES, PriceTable, load_prices
from loadlens.terminal import print_frame, print_line

__all__ = ["prices_command"]


def prices_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME_OR_FILE", help="A built-in table, or a TOML file of your own.", show_default=False
        ),
    ] = None,
) -> None:
    """List the built-in price tables, or show one."""
    if name is None:
        _list()
    else:
        _show(load_prices(name))


def _list() -> None:
    tables = [load_prices(name) for name in BUILT_IN_TABLES]
    rows = {
        "Name": list(BUILT_IN_TABLES),
        "Service": [table.name for table in tables],
        "Region": [table.region for table in tables],
        "Currency": [table.currency for table in tables],
        "Valid from": [table.valid_from for table in tables],
        "From memory": ["yes: check before use" if table.from_memory else "no" for table in tables],
    }
    print_frame("Price tables", pl.DataFrame(rows))
    print_line("The first one is the default. Show one with: loadlens prices NAME")


def _show(table: PriceTable) -> None:
    facts = {
        "Service": table.name,
        "Region": table.region,
        "Currency": table.currency,
        "Valid": f"from {table.valid_from or 'an unknown date'} to {table.valid_until or 'now'}",
        "Source": table.source,
        "From memory": "yes: check before use" if table.from_memory else "no",
        "Note": table.note,
    }
    told = {name: text for name, text in facts.items() if text}
    print_frame(table.short_name, pl.DataFrame({"Fact": list(told), "Value": list(told.values())}))
    print_frame("Prices", pl.DataFrame(_prices(table), schema=["What", table.currency], orient="row"))


def _prices(table: PriceTable) -> list[tuple[str, str]]:
    smallest, largest = table.memory_range
    single = {
        f"a second of 1,024 MB, from {smallest:,} to {largest:,} MB": table.price_per_gb_second,
        "a request": table.price_per_request or None,
        "a GiB in or out": table.price_per_gib or None,
    }
    by_size = {
        "a second of use of {:,} MB": table.price_per_second,
        "a second of one provisioned concurrency of {:,} MB": table.provisioned_price_per_second,
    }
    rows = [(what, _exact(price)) for what, price in single.items() if price is not None]
    for what, prices in by_size.items():
        rows += [(what.format(size), _exact(price)) for size, price in sorted(prices.items())]
    rows += [
        (f"an hour of {instance}", _exact(price)) for instance, price in table.instance_price_per_hour.items()
    ]
    if table.billed_step_ms:
        rows.append(("durations are rounded up to", f"{table.billed_step_ms:g} ms"))
    if table.kind == "gb-second":
        rows.append(("the start of a new environment (INIT)", "billed" if table.bills_init else "not billed"))
    return rows


def _exact(price: float) -> str:
    """All digits of a price, without an exponent."""
    return f"{price:.12f}".rstrip("0").rstrip(".")
