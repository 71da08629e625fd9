"""Dated price tables, and their loader."""

from loadlens.prices.table import PriceTable, load_prices

__all__ = ["PriceTable", "load_prices"]
