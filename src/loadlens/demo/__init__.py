"""A benchmark without an endpoint: simulated logs in the layout of the reference toolkit."""

from loadlens.demo.simulated_folder import simulate_results_folder

__all__ = ["simulate_results_folder"]
