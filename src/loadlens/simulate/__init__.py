"""A benchmark without an endpoint: simulated logs in the layout of the reference toolkit."""

from loadlens.simulate.folder import simulate_results_folder

__all__ = ["simulate_results_folder"]
