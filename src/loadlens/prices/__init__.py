"""Dated price tables, and their loader."""

from loadlens.prices.loading import BUILT_IN_TABLES, load_prices
from loadlens.prices.table import Kind, PriceTable

__all__ = ["BUILT_IN_TABLES", "Kind", "PriceTable", "load_prices"]
