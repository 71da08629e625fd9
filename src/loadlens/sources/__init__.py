"""Text, columns and frames of many shapes in; one canonical LazyFrame out."""

from loadlens.sources.endpoint_metrics import EndpointMetricsSource, read_endpoint_metrics
from loadlens.sources.findings import REJECTS_FILE, Findings, TooManyRejectsError, disarmed
from loadlens.sources.log import (
    Log,
    Reading,
    Source,
    is_in_memory,
    open_log,
    read_log,
    reading,
    scan_log,
)
from loadlens.sources.mapping import ColumnMap
from loadlens.sources.saved import SavedProfile, saved_profiles
from loadlens.sources.storage.location import Location, PathSource, RemotePath, location, target
from loadlens.sources.storage.secrets import StorageOptions, shown
from loadlens.sources.toolkit import ToolkitFolder, average_request_size, find_toolkit_folder

__all__ = [
    "REJECTS_FILE",
    "ColumnMap",
    "EndpointMetricsSource",
    "Findings",
    "Location",
    "Log",
    "PathSource",
    "Reading",
    "RemotePath",
    "SavedProfile",
    "Source",
    "StorageOptions",
    "TooManyRejectsError",
    "ToolkitFolder",
    "average_request_size",
    "disarmed",
    "find_toolkit_folder",
    "is_in_memory",
    "location",
    "open_log",
    "read_endpoint_metrics",
    "read_log",
    "reading",
    "saved_profiles",
    "scan_log",
    "shown",
    "target",
]
