"""Two runs compared key by key: differences, their confidence intervals, verdicts, and costs."""

from loadlens.comparison.compare import ComparisonQuestion, Prices, compare, compared_prices
from loadlens.comparison.result import METRICS, MOST_DRAWN, ComparedRun, Comparison
from loadlens.comparison.verdicts import LEVEL, VERDICTS

__all__ = [
    "LEVEL",
    "METRICS",
    "MOST_DRAWN",
    "VERDICTS",
    "ComparedRun",
    "Comparison",
    "ComparisonQuestion",
    "Prices",
    "compare",
    "compared_prices",
]
