"""Text, columns and frames of many shapes in; one canonical LazyFrame out."""

from loadlens.logs.column_map import ColumnMap
from loadlens.logs.findings import REJECTS_FILE, Findings, TooManyRejectsError, disarmed
from loadlens.logs.log import Log, Reading, Source, is_in_memory, open_log, read_log, reading, scan_log
from loadlens.logs.metadata import SavedProfile, saved_profiles
from loadlens.logs.toolkit_folder import (
    EndpointMetricsSource,
    ToolkitFolder,
    average_request_size,
    find_toolkit_folder,
    read_endpoint_metrics,
)
from loadlens.storage.location import Location, PathSource, RemotePath, location, target
from loadlens.storage.secrets import StorageOptions, shown

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
