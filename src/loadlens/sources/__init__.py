"""Text, columns and frames of many shapes in; one canonical LazyFrame out."""

from loadlens.sources.endpoint_metrics import EndpointMetricsSource, read_endpoint_metrics
from loadlens.sources.log import Log, Source, open_log, reading, scan_log
from loadlens.sources.toolkit import ToolkitFolder, average_request_size, find_toolkit_folder

__all__ = [
    "EndpointMetricsSource",
    "Log",
    "Source",
    "ToolkitFolder",
    "average_request_size",
    "find_toolkit_folder",
    "open_log",
    "read_endpoint_metrics",
    "reading",
    "scan_log",
]
