"""Small logs of which every cost can be worked out by hand."""

from collections.abc import Mapping

import polars as pl

from loadlens import load_prices, read_log
from loadlens.cost import Usage, usage_of
from loadlens.cost.prices import PriceTable

LAMBDA = load_prices("lambda-x86")
SERVERLESS = load_prices()
PROVISIONED = load_prices("sagemaker-provisioned-concurrency")


def usage(columns: Mapping[str, object], **options: object) -> Usage:
    rows = len(columns["invocation_latency"])  # type: ignore[arg-type]
    frame = pl.DataFrame({"memory_size": [1024] * rows, **columns}, strict=False)
    return usage_of(read_log(frame), **options)  # type: ignore[arg-type]


def per_ms(prices: PriceTable, memory_size: int = 1024) -> float:
    return prices.price_of_second(memory_size) / 1000
