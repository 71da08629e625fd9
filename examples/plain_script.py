"""Analyses the logs of one day: python plain_script.py LOGS/2026-11-22 REPORTS/2026-11-22."""

import logging
import signal
import sys

import loadlens

logger = logging.getLogger(__name__)


def main(logs: str, report: str) -> int:
    """Writes the report and returns the exit code that ``loadlens analyze`` would."""
    try:
        analysis = loadlens.analyze(
            [logs],
            report,
            by=["label"],
            gates=["p99 < 300ms", "error_rate < 1%"],
            memory_limit=2 * 2**30,
            on_progress=lambda progress: logger.info("%s: %d rows", progress.stage, progress.rows_done),
            overwrite=True,
        )
    except loadlens.LoadlensError as error:
        logger.error("%s", "\n".join(error.problems))
        return error.exit_code
    failed = analysis.decisions.gates.failures
    for line in failed:
        logger.error("%s", line)
    return 1 if failed else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    # Leaving by an exception removes temporary files on the way out.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main(*sys.argv[1:]))
