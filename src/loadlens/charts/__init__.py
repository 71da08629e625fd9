"""Frames to charts, one look for all of them, and their pictures."""

from loadlens.charts.density import concurrency_density_chart, stability_density_chart, summary_density_chart
from loadlens.charts.drawing import Spec
from loadlens.charts.failures_over_time import failures_chart
from loadlens.charts.heatmap import heatmap_chart
from loadlens.charts.keys_over_time import keys_over_time_chart
from loadlens.charts.latency_parts import parts_chart
from loadlens.charts.load_curves import load_chart
from loadlens.charts.monthly_costs import break_even_chart, pareto_chart
from loadlens.charts.over_time import timeline_chart
from loadlens.charts.pictures import Picture, altair_chart, prepare
from loadlens.charts.spectrum import spectrum_chart
from loadlens.charts.toolkit_costs import cost_chart, savings_chart
from loadlens.charts.two_runs import comparison_density_chart, comparison_spectrum_chart

__all__ = [
    "Picture",
    "Spec",
    "altair_chart",
    "break_even_chart",
    "comparison_density_chart",
    "comparison_spectrum_chart",
    "concurrency_density_chart",
    "cost_chart",
    "failures_chart",
    "heatmap_chart",
    "keys_over_time_chart",
    "load_chart",
    "pareto_chart",
    "parts_chart",
    "prepare",
    "savings_chart",
    "spectrum_chart",
    "stability_density_chart",
    "summary_density_chart",
    "timeline_chart",
]
