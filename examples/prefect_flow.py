"""A Prefect flow that analyses the logs of one day."""

import sys

from prefect import flow, get_run_logger, task

import loadlens


def may_pass(_task: object, _run: object, state: object) -> bool:
    """Whether another try can help: not where the arguments are wrong."""
    return not isinstance(state.result(raise_on_failure=False), loadlens.UsageError)


@task(retries=2, retry_delay_seconds=60, retry_condition_fn=may_pass, timeout_seconds=3600)
def analyze_day(logs: str, report: str) -> list[str]:
    """Writes the report and returns a line for each gate that fails."""
    analysis = loadlens.analyze(
        [logs],
        report,
        by=["label"],
        gates=["p99 < 300ms", "error_rate < 1%"],
        memory_limit=2 * 2**30,
        overwrite=True,  # a retry replaces what an earlier try has written
    )
    return analysis.decisions.gates.failures


@flow
def load_test_report(logs: str, report: str) -> None:
    """Fails the run if a gate does."""
    failed = analyze_day(logs, report)
    get_run_logger().info("report: %s", report)
    if failed:
        raise RuntimeError("\n".join([*failed, f"see {report}"]))


if __name__ == "__main__":
    load_test_report(*sys.argv[1:])
