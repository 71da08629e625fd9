"""An Airflow DAG that analyses the logs of each day."""

from datetime import datetime, timedelta

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException


@task(retries=2, retry_delay=timedelta(minutes=5), execution_timeout=timedelta(hours=1))
def analyze_day(logs: str, report: str) -> dict[str, int]:
    """Writes the report; what another try cannot mend fails at once."""
    import loadlens  # inside the task, so that the scheduler parses this file quickly

    try:
        analysis = loadlens.analyze(
            [logs],
            report,
            by=["label"],
            gates=["p99 < 300ms", "error_rate < 1%"],
            memory_limit=2 * 2**30,
            overwrite=True,  # a retry replaces what an earlier try has written
        )
    except loadlens.UsageError as error:
        raise AirflowFailException(str(error)) from None
    failed = analysis.decisions.gates.failures
    if failed:
        raise AirflowFailException("\n".join([*failed, f"see {report}"]))
    return {"labels": analysis.summary.summary.height}


@dag(
    schedule="@daily",
    start_date=datetime(2026, 11, 1),
    catchup=False,
    params={"logs": Param("s3://bucket/logs"), "reports": Param("s3://bucket/reports")},
)
def load_test_reports() -> None:
    """One report for each day of logs."""
    analyze_day("{{ params.logs }}/{{ ds }}", "{{ params.reports }}/{{ ds }}")


report_dag = load_test_reports()
