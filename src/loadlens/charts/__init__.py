"""Frames to charts, one look for all of them, and their export to PNG and SVG."""

from loadlens.charts.break_even import break_even_chart
from loadlens.charts.comparison import comparison_density_chart, comparison_spectrum_chart
from loadlens.charts.cost import cost_chart
from loadlens.charts.density import (
    concurrency_density_chart,
    stability_density_chart,
    summary_density_chart,
)
from loadlens.charts.export import save_chart, svg_text
from loadlens.charts.heatmap import heatmap_chart
from loadlens.charts.pareto import pareto_chart
from loadlens.charts.savings import savings_chart
from loadlens.charts.spectrum import spectrum_chart
from loadlens.charts.timeline import timeline_chart

__all__ = [
    "break_even_chart",
    "comparison_density_chart",
    "comparison_spectrum_chart",
    "concurrency_density_chart",
    "cost_chart",
    "heatmap_chart",
    "pareto_chart",
    "save_chart",
    "savings_chart",
    "spectrum_chart",
    "stability_density_chart",
    "summary_density_chart",
    "svg_text",
    "timeline_chart",
]
