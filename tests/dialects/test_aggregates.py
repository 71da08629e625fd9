"""Reports of tools, which are refused by name.

Those of ab, siege 4.0, wrk 4.1, autocannon 9 and Locust in ``recorded`` were recorded against a server on
loopback; those here are written after the formats that the tools publish.
"""

import json

import pytest

from loadlens.dialects import DIALECTS, detect
from loadlens.dialects.tool_aggregates import AGGREGATES
from loadlens.errors import InputError

from .reading import RECORDED, head, logs_of_others

STATISTICS = {"total": 100, "ok": 98, "ko": 2}
REPORTS: dict[str, tuple[str, str, str]] = {
    "artillery 2": (
        json.dumps(
            {
                "aggregate": {
                    "counters": {"vusers.created": 10, "http.codes.200": 10, "http.requests": 10},
                    "rates": {"http.request_rate": 10},
                    "summaries": {"http.response_time": {"min": 1, "max": 9, "count": 10, "p99": 8.9}},
                },
                "intermediate": [{"counters": {"http.requests": 10}}],
            },
            indent=2,
        ),
        "Artillery's report",
        "afterResponse",
    ),
    "artillery 1": (
        '{"aggregate":{"timestamp":"2018-03-12T15:40:39.730Z","scenariosCreated":60,"latency":{"min":76.2}}}',
        "Artillery's report",
        "afterResponse",
    ),
    "artillery's text": (
        (
            "--------------------------------\nSummary report @ 16:34:24(+0900)\n"
            "--------------------------------\n\nhttp.codes.200: ...... 5000\n"
        ),
        "Artillery's report",
        "--map",
    ),
    "artillery's old text": (
        "All virtual users finished\nSummary report @ 00:46:37(-0300) 2018-10-10\n  Scenarios launched: 9\n",
        "Artillery's report",
        "--map",
    ),
    "autocannon's text": (
        "Running 10s test @ http://localhost:3000\n10 connections\n\n\x1b[90m┌─────────┬──────┐\x1b[39m\n",
        "autocannon's result",
        "Node.js",
    ),
    "wrk2": (
        (
            "Running 30s test @ http://127.0.0.1:80/index.html\n  2 threads and 100 connections\n"
            "  Thread calibration: mean lat.: 0.873ms, rate sampling interval: 10ms\n"
        ),
        "what wrk or wrk2 prints",
        "hey -o csv",
    ),
    "an HdrHistogram": (
        "       Value     Percentile TotalCount 1/(1-Percentile)\n\n       0.205     0.000000  1  1.00\n",
        "percentiles of an HdrHistogram",
        "single requests",
    ),
    "vegeta report -type=hdrplot": (
        "Value(ms)  Percentile  TotalCount  1/(1-Percentile)\n0.076715  0.000000  0  1.000000\n",
        "percentiles of an HdrHistogram",
        "single requests",
    ),
    "bombardier's text": (
        (
            "Bombarding http://localhost:8080 with 1000000 request(s) using 100 connection(s)\nDone!\n"
            "Statistics        Avg      Stdev        Max\n"
        ),
        "bombardier's result",
        "oha --output-format csv",
    ),
    "bombardier's text of a duration": (
        "Bombarding http://localhost:8088/calculate for 30s using 1 connection(s)\n",
        "bombardier's result",
        "oha --output-format csv",
    ),
    "bombardier's JSON": (
        '{"spec":{"numberOfConnections":1,"testType":"timed","testDurationSeconds":30},"result":{"bytesRead":1}}',
        "bombardier's result",
        "oha --output-format csv",
    ),
    "siege 3": (
        "\nTransactions:\t\t   46 hits\nAvailability:\t\t  76.67 %\nElapsed time:\t\t  0.24 secs\n",
        "siege's result",
        "hey -o csv",
    ),
    "Gatling's global_stats.json": (
        json.dumps({"name": "All Requests", "numberOfRequests": STATISTICS, "meanResponseTime": STATISTICS}),
        "Gatling's statistics",
        "simulation.log",
    ),
    "Gatling's stats.json": (
        json.dumps(
            {
                "type": "GROUP",
                "name": "All Requests",
                "stats": {
                    "name": "All Requests",
                    "numberOfRequests": STATISTICS,
                    "meanResponseTime": STATISTICS,
                },
            },
            indent=1,
        ),
        "Gatling's statistics",
        "simulation.log",
    ),
    "Gatling's stats.js": ('var stats = {\n    type: "GROUP",\n', "Gatling's statistics", "simulation.log"),
    "Gatling's console": (
        (
            "================================================================================\n"
            "---- Global Information --------------------------------------------------------\n"
            "> request count                                         10 (OK=10     KO=0     )\n"
        ),
        "Gatling's statistics",
        "simulation.log",
    ),
    "JMeter's aggregate report": (
        "Label,# Samples,Average,Median,90% Line,95% Line,99% Line,Min,Max,Error %,Throughput\n",
        "JMeter's statistics",
        "-l run.jtl",
    ),
    "JMeter's summary report": (
        "Label,# Samples,Average,Min,Max,Std. Dev.,Error %,Throughput,Received KB/sec,Avg. Bytes\n",
        "JMeter's statistics",
        "-l run.jtl",
    ),
    "JMeter's statistics.json": (
        json.dumps(
            {
                "Total": {
                    "transaction": "Total",
                    "sampleCount": 9,
                    "errorCount": 1,
                    "errorPct": 11.1,
                    "meanResTime": 3,
                }
            }
        ),
        "JMeter's statistics",
        "-l run.jtl",
    ),
    "JMeter's summariser": (
        (
            "2023-11-14 22:13:20,123 INFO o.a.j.r.Summariser: summary =     99 in 00:00:10 = 9.9/s Avg:  12 "
            "Min:     9 Max:    40 Err:     0 (0.00%)\n"
        ),
        "JMeter's statistics",
        "-l run.jtl",
    ),
    "Locust's table": (
        (
            "[2023-11-14 22:13:20,123] host/INFO/locust.main: Shutting down\n"
            "Type     Name      # reqs      # fails |    Avg     Min     Max    Med |   req/s  failures/s\n"
        ),
        "a table of statistics that Locust prints",
        "events.request",
    ),
    "AIPerf's JSON": (
        json.dumps(
            {"request_throughput": {"unit": "requests/sec", "avg": 9.0}, "input_config": {}}, indent=2
        ),
        "AIPerf's or GenAI-Perf's statistics",
        "--export-level records",
    ),
    "AIPerf's CSV": (
        "Metric,avg,min,max,p99,p95,p90,p75,p50,std\nRequest Latency (ms),1,1,1,1,1,1,1,1,1\n",
        "AIPerf's or GenAI-Perf's statistics",
        "profile_export.jsonl",
    ),
    "vegeta's histogram": (
        "Bucket           #     %       Histogram\n[0s,     100ms]  10    100.00% ####\n",
        "a report of vegeta",
        "vegeta encode --to csv",
    ),
    "vegeta's report": (
        "Requests      [total, rate, throughput]         10, 11.11, 10.53\n",
        "a report of vegeta",
        "vegeta encode --to csv",
    ),
    "vegeta's report as JSON": (
        '{"latencies":{"total":237119463,"mean":2371194,"50th":2854306,"max":1291},"requests":10}',
        "a report of vegeta",
        "vegeta encode --to csv",
    ),
    "Fortio": (
        '{\n  "RunType": "HTTP",\n  "Labels": "x",\n  "RequestedQPS": "8",\n  "DurationHistogram": {}\n}\n',
        "Fortio's result",
        "-access-log-file",
    ),
    "hyperfine's JSON": (
        json.dumps(
            {"results": [{"command": "sleep 1", "mean": 1.0, "stddev": 0.1, "times": [1.0]}]}, indent=2
        ),
        "hyperfine's result",
        "jq",
    ),
    "hyperfine's CSV": (
        "command,mean,stddev,median,user,system,min,max\nsleep 1,1,0,1,0,0,1,1\n",
        "hyperfine's result",
        "--map",
    ),
    "k6's text": (
        (
            "  █ TOTAL RESULTS\n\n    HTTP\n    http_req_duration..............: avg=117.55ms\n"
            "      { expected_response:true }...: avg=117.55ms\n    http_req_failed................: 0.00%\n"
            "    http_reqs......................: 2      7.3/s\n"
        ),
        "k6's summary as text",
        "--out csv",
    ),
    "k6's JSON of handleSummary": (
        json.dumps(
            {
                "root_group": {"name": "", "path": ""},
                "metrics": {
                    "http_reqs": {"type": "counter", "contains": "default", "values": {"count": 2}},
                    "http_req_duration": {"type": "trend", "contains": "time", "values": {"avg": 1}},
                },
            },
            indent=4,
        ),
        "k6's summary as JSON",
        "--out csv",
    ),
    "oha's JSON": (
        '{\n  "summary": {\n    "successRate": 1.0,\n    "total": 2.0\n  }\n}\n',
        "oha's summary",
        "--output-format csv",
    ),
    "oha's text": (
        "Summary:\n  Success rate:\t100.00%\n  Total:\t0.0233 secs\n",
        "oha's summary",
        "--output-format csv",
    ),
}
RECORDED_REPORTS = {
    "siege.txt": "siege's result",
    "siege.json": "siege's result",
    "siege.log": "siege's result",
    "wrk.txt": "what wrk or wrk2 prints",
    "wrk_latency.txt": "what wrk or wrk2 prints",
    "autocannon.json": "autocannon's result",
    "autocannon.txt": "autocannon's result",
    "ab.txt": "ApacheBench's report",
    "ab_percentiles.csv": "ApacheBench's percentiles (ab -e)",
    "hey_flaky_summary.txt": "hey's summary",
}


@pytest.mark.parametrize("border", ["", "\ufeff", "\r\n\n"])
@pytest.mark.parametrize("name", REPORTS)
def test_reports_are_refused_by_name_with_what_to_do(name: str, border: str) -> None:
    log, title, advice = REPORTS[name]
    with pytest.raises(InputError) as caught:
        detect(head(border + log))
    told = str(caught.value)
    assert told.startswith((f"a.log: is {title}", f"a.log: is the {title}"))
    assert advice in told


@pytest.mark.parametrize("name", RECORDED_REPORTS)
def test_recorded_reports_are_refused_by_name(name: str) -> None:
    with pytest.raises(InputError) as caught:
        detect(head((RECORDED / name).read_bytes()))
    assert f"is {RECORDED_REPORTS[name]}: " in str(caught.value)


@pytest.mark.parametrize("path", sorted(RECORDED.iterdir()), ids=lambda path: path.name)
def test_each_recorded_file_is_at_most_one_of_them(path: str) -> None:
    top = head((RECORDED / path).read_bytes())
    found = [refused.title for refused in AGGREGATES if refused.matches(top)]
    assert len(found) <= 1
    assert not found or not any(dialect.matches(top) for dialect in DIALECTS)


@pytest.mark.parametrize("path", logs_of_others(), ids=lambda path: path.name)
def test_logs_of_single_requests_are_left_alone(path: str) -> None:
    top = head((RECORDED / path).read_bytes())
    if any(dialect.matches(top) for dialect in DIALECTS):
        assert not any(refused.matches(top) for refused in AGGREGATES)


@pytest.mark.parametrize(
    "log",
    [
        "",
        "\n\n",
        "{}",
        "[]",
        "a,b\n1,2\n",
        '{"results": [1]}\n',
        '{"name": "x", "connections": 3}\n',
        "Running the tests\n10 connections\n",
        "Label,Latency\nx,1\n",
        '{"metadata": {"request_start_ns": 1}, "metrics": {"request_latency": {"unit": "ms", "value": 1}}}\n',
        "\x00\x01\xff" * 99,
        "{" * 10**5,
    ],
)
def test_other_texts_are_none(log: str) -> None:
    assert not any(refused.matches(head(log)) for refused in AGGREGATES)
