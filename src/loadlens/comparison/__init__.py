"""Two runs compared key by key: differences, their confidence intervals, verdicts, and costs."""

from loadlens.comparison.compared_runs import LEVEL, METRICS, MOST_DRAWN, VERDICTS, ComparedRun, Comparison
from loadlens.comparison.key_by_key import ComparisonQuestion, Prices, compared_prices

__all__ = [
    "LEVEL",
    "METRICS",
    "MOST_DRAWN",
    "VERDICTS",
    "ComparedRun",
    "Comparison",
    "ComparisonQuestion",
    "Prices",
    "compared_prices",
]
