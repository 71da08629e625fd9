"""What load-testing tools report of a run and no dialect reads, each with where its single requests are."""

from typing import Final

from loadlens.dialects.base import Refused, any_of, begins, document, has_line, table

__all__ = ["AGGREGATES"]

_REASON: Final = "it holds aggregates, not single requests"
_ANOTHER_TOOL: Final = (
    "{tool} writes no log of single requests: send the same load with a tool that does, such as "
    "`oha --output-format csv`, `hey -o csv` or `vegeta attack`"
)

AGGREGATES: Final = (
    Refused(
        title="Artillery's report",
        reason=_REASON,
        advice=(
            "let an afterResponse hook of its processor append a CSV row for each response (time, url, "
            "response.timings.phases.total in ms, statusCode), and say which column is what with --map"
        ),
        matches=any_of(
            begins(r'\{\s*"aggregate"\s*:\s*\{[\s\S]*?"(?:counters|scenariosCreated)"\s*:'),
            document("aggregate", "intermediate"),
            document("aggregate", "summaries"),
            document("counters", "summaries"),
            document("intermediate", "counters"),
            has_line(
                r"Summary report @ \d\d:\d\d:\d\d",
                r"Metrics for period to: \d\d:\d\d:\d\d",
                r"Report @ \d\d:\d\d:\d\d\S* \d{4}-\d\d-\d\d",
                r"(?:http\.(?:codes\.\d{3}|requests?\w*|response\w*)|vusers\.\w+):(?: \.{3,}|$)",
            ),
        ),
    ),
    Refused(
        title="autocannon's result",
        reason=_REASON,
        advice=(
            "use its Node.js API to write a CSV row for each response event (time, statusCode, responseTime "
            "in ms), and say which column is what with --map"
        ),
        matches=any_of(
            document("latency", "non2xx"),
            document("latency", "p97_5"),
            has_line(
                r"Running \d+\S* test @ \S+\s+\d+ connections\b",
                r"│ Stat +│ +\d",
                r"│ Req/Sec +│",
                r"Req/Bytes counts sampled ",
            ),
        ),
    ),
    Refused(
        title="bombardier's result",
        reason=_REASON,
        advice=_ANOTHER_TOOL.format(tool="bombardier"),
        matches=any_of(
            document("spec", "numberOfConnections", "result"),
            document("req1xx", "req2xx"),
            has_line(
                r"Bombarding \S+ (?:with|for) ", r"Statistics +Avg +Stdev +Max", r"HTTP codes:\n +1xx - \d"
            ),
        ),
    ),
    Refused(
        title="what wrk or wrk2 prints",
        reason=_REASON,
        advice=_ANOTHER_TOOL.format(tool="wrk"),
        matches=has_line(
            r"Running \d\S* test @ \S+\s+\d+ threads? and \d+ connections?\b",
            r"\d+ threads? and \d+ connections?$",
            r"Thread Stats +Avg +Stdev +Max",
            r"Latency Distribution(?: \(HdrHistogram[^\n]*\))?\n +\d+(?:\.\d+)?% ",
            r"\d+ requests in \d\S*, \d\S*B read$",
            r"Transfer/sec: +\d",
        ),
    ),
    Refused(
        title="the percentiles of an HdrHistogram (wrk2 --latency, vegeta report -type=hdrplot)",
        reason=_REASON,
        advice="take the log that the tool writes of single requests",
        matches=has_line(r"Value(?:\(ms\))?\s+Percentile\s+TotalCount\s+1/\(1-Percentile\)"),
    ),
    Refused(
        title="siege's result",
        reason=_REASON,
        advice=_ANOTHER_TOOL.format(tool="siege"),
        matches=any_of(
            document("transactions", "transaction_rate"),
            document("transactions", "availability"),
            has_line(
                r"\*\* SIEGE \d",
                r"Transactions:\s+\d+\s+hits$",
                r"Availability:\s+\d+\.\d+ %$",
                r"Transaction rate:\s+\S+ trans/sec$",
                r"(?:Longest|Shortest) transaction:\s+\d",
            ),
            table("Date & Time", "Trans", "Elap Time", "OKAY", "Failed"),
        ),
    ),
    Refused(
        title="Gatling's statistics",
        reason=_REASON,
        advice="take the simulation.log in the folder of the run's report",
        matches=any_of(
            document("name", "numberOfRequests", "meanResponseTime"),
            begins(r"var stats\s*=\s*\{"),
            has_line(r"---- Global Information -{4,}"),
        ),
    ),
    Refused(
        title="JMeter's statistics (aggregate or summary report, statistics.json, summariser)",
        reason=_REASON,
        advice="take the results file of the run: `jmeter -n -t test.jmx -l run.jtl`",
        matches=any_of(
            table("Label", "# Samples", "Average"),
            table("sampler_label", "aggregate_report_count"),
            document("transaction", "sampleCount", "errorCount", "meanResTime"),
            has_line(r".*\bsummary [+=] +\d+ in +\S+ = +\S+/s Avg:"),
        ),
    ),
    Refused(
        title="AIPerf's or GenAI-Perf's statistics",
        reason=_REASON,
        advice="take the profile_export.jsonl beside it, which AIPerf writes with --export-level records",
        matches=any_of(
            table("Metric", "avg", "min", "max", "p99", "p50"),
            begins(
                r'\{(?![\s\S]*"(?:request_start_ns|timestamp_ns)")[\s\S]*?'
                r'"(?:(?:error_)?request_(?:latency|throughput|count)|(?:inter_token|inter_chunk)_latency|ttft)"'
                r'\s*:\s*\{(?=[^{}]*"unit"\s*:)(?=[^{}]*"avg"\s*:)'
            ),
        ),
    ),
    Refused(
        title="Fortio's result",
        reason=_REASON,
        advice="let it write every request: `fortio load -access-log-file requests.log URL`, and say which "
        "column is what with --map",
        matches=document("RunType", "RequestedQPS", "DurationHistogram"),
    ),
    Refused(
        title="hyperfine's result",
        reason="it times runs of commands, not requests",
        advice="if they are to count as calls, write one a row, as with jq -r '.results[].times[]', and say "
        "which column is what with --map",
        matches=any_of(
            document("results", "command", "mean", "stddev"),
            table("command", "mean", "stddev", "median", "user", "system"),
        ),
    ),
)
