"""What every contender's process does around its query; imports nothing that would count as its memory."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["COLUMNS", "ERRORS", "KEY", "PERCENTILES", "Rows", "main"]

Rows = list[dict[str, Any]]

KEY: Final = ["max_concurrency", "num_clients", "memory_size"]
ERRORS: Final = ["throttle_exception", "insufficient_memory_error", "other_model_error"]
COLUMNS: Final = ["invocation_latency", *ERRORS, "start_time", "end_time", *KEY]
PERCENTILES: Final = {"p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


def main(query: Callable[[Path], Rows]) -> None:
    """Runs ``query`` on the log that the command line names and writes its time (s) and rows as JSON."""
    parser = argparse.ArgumentParser(description=query.__doc__)
    parser.add_argument("log", type=Path, metavar="PATH", help="the log, Parquet or CSV")
    parser.add_argument("--answer", type=Path, required=True, metavar="FILE", help="where the answer goes")
    arguments = parser.parse_args()
    start = time.perf_counter()
    rows = query(arguments.log)
    seconds = time.perf_counter() - start
    arguments.answer.write_text(json.dumps({"query_s": seconds, "rows": rows}), encoding="utf-8")
