"""A Dagster asset: one report for each day of logs, with its gates as an asset check."""

import dagster as dg

import loadlens


class Folders(dg.ConfigurableResource):
    """Where logs are and reports go: paths, or addresses such as s3://bucket/logs."""

    logs: str
    reports: str


@dg.asset(
    partitions_def=dg.DailyPartitionsDefinition(start_date="2026-11-01"),
    retry_policy=dg.RetryPolicy(max_retries=2, delay=60),
    check_specs=[dg.AssetCheckSpec("gates", asset="load_test_report")],
)
def load_test_report(context: dg.AssetExecutionContext, folders: Folders) -> dg.MaterializeResult:
    """The analysis of one day's logs by label."""
    day = context.partition_key
    report = f"{folders.reports}/{day}"
    try:
        analysis = loadlens.analyze(
            [f"{folders.logs}/{day}"],
            report,
            by=["label"],
            gates=["p99 < 300ms", "error_rate < 1%"],
            memory_limit=2 * 2**30,
            overwrite=True,  # a retry replaces what an earlier try has written
        )
    except loadlens.UsageError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    failed, summary = analysis.decisions.gates.failures, analysis.summary.summary
    return dg.MaterializeResult(
        metadata={"report": report, "dagster/row_count": int(summary["num_invocations"].sum())},
        check_results=[
            dg.AssetCheckResult(check_name="gates", passed=not failed, description="\n".join(failed))
        ],
    )


defs = dg.Definitions(
    assets=[load_test_report],
    resources={"folders": Folders(logs="s3://bucket/logs", reports="s3://bucket/reports")},
)
