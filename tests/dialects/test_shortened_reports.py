"""Reports of which somebody kept a part, or wrote their JSON anew: refused by name all the same."""

import json

import pytest

from loadlens.dialects import DIALECTS, REFUSED, detect
from loadlens.errors import InputError

from .reading import head

TEXTS: dict[str, tuple[str, str]] = {
    "a report of vegeta": (
        """\
Requests      [total, rate, throughput]  1200, 120.00, 65.87
Duration      [total, attack, wait]      10.09s, 9.94s, 145.08ms
Latencies     [min, mean, 50, 90, 95, 99, max]  90.4ms, 113.1ms, 108.2ms, 140.1ms, 150.2ms, 247.7ms, 264.8ms
Bytes In      [total, mean]              3714690, 3095.57
Success       [ratio]                    55.42%
Status Codes  [code:count]               0:535  200:665
""",
        "vegeta encode --to csv",
    ),
    "hey's summary": (
        """\
Summary:
  Total:	2.0044 secs
  Slowest:	0.5051 secs
  Fastest:	0.0051 secs
  Average:	0.0801 secs
  Requests/sec:	99.7800

  Total data:	8000 bytes
  Size/request:	40 bytes

Response time histogram:
  0.005 [1]	|
  0.055 [120]	|■■■■■■■■■■■■■■■■■■■■

Latency distribution:
  10% in 0.0100 secs
  50% in 0.0500 secs
  99% in 0.5000 secs

Details (average, fastest, slowest):
  DNS+dialup:	0.0010 secs, 0.0051 secs, 0.5051 secs
  DNS-lookup:	0.0005 secs, 0.0000 secs, 0.0060 secs
  req write:	0.0000 secs, 0.0000 secs, 0.0010 secs
  resp wait:	0.0780 secs, 0.0050 secs, 0.5040 secs
  resp read:	0.0001 secs, 0.0000 secs, 0.0010 secs

Status code distribution:
  [200]	200 responses
""",
        "hey -o csv",
    ),
    "oha's summary": (
        """\
Summary:
  Success rate:	100.00%
  Total:	0.3 sec
  Slowest:	0.1 sec
  Fastest:	0.01 sec
  Average:	0.02 sec
  Requests/sec:	660.1

  Total data:	8 KiB
  Size/request:	40 B
  Size/sec:	26 KiB

Response time histogram:
  0.001 sec [1]  |
  0.011 sec [150] |■■■■

Response time distribution:
  10.00% in 0.0100 sec
  50.00% in 0.0200 sec

Details (average, fastest, slowest):
  DNS+dialup:	0.0010 sec, 0.0001 sec, 0.0100 sec
  DNS-lookup:	0.0001 sec, 0.0000 sec, 0.0010 sec

Status code distribution:
  [200] 200 responses
""",
        "oha with `--output-format csv`",
    ),
    "what wrk or wrk2 prints": (
        """\
Running 30s test @ http://127.0.0.1:8080/index.html
  12 threads and 400 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   635.91us    0.89ms  12.92ms   93.69%
    Req/Sec    56.20k     8.07k   62.00k    86.54%
  Latency Distribution
     50%  250.00us
     99%    5.00ms
  22464657 requests in 30.00s, 17.76GB read
Requests/sec: 748868.53
Transfer/sec:    606.33MB
""",
        "oha --output-format csv",
    ),
    "bombardier's result": (
        """\
Bombarding http://localhost:8080 with 1000000 request(s) using 125 connection(s)
 1000000 / 1000000 [=====] 100.00% 37s Done!
Statistics        Avg      Stdev        Max
  Reqs/sec     26838.57    4093.82   32812.22
  Latency        4.62ms     1.11ms    54.34ms
  HTTP codes:
    1xx - 0, 2xx - 1000000, 3xx - 0, 4xx - 0, 5xx - 0
    others - 0
  Throughput:    25.44MB/s
""",
        "oha --output-format csv",
    ),
    "siege's result": (
        """\
Transactions:		        2000 hits
Availability:		      100.00 %
Elapsed time:		        1.05 secs
Data transferred:	        0.05 MB
Response time:		        0.01 secs
Transaction rate:	     1904.76 trans/sec
Throughput:		        0.05 MB/sec
Concurrency:		       19.80
Successful transactions:        2000
Failed transactions:	           0
Longest transaction:	        0.05
Shortest transaction:	        0.00
""",
        "hey -o csv",
    ),
    "autocannon's result": (
        """\
Running 10s test @ http://localhost:3000
10 connections

┌─────────┬──────┬──────┬───────┬──────┬─────────┬─────────┬──────────┐
│ Stat    │ 2.5% │ 50%  │ 97.5% │ 99%  │ Avg     │ Stdev   │ Max      │
├─────────┼──────┼──────┼───────┼──────┼─────────┼─────────┼──────────┤
│ Latency │ 0 ms │ 0 ms │ 0 ms  │ 1 ms │ 0.02 ms │ 0.16 ms │ 16.45 ms │
└─────────┴──────┴──────┴───────┴──────┴─────────┴─────────┴──────────┘
┌───────────┬─────────┐
│ Stat      │ 1%      │ 2.5%    │ 50%     │ 97.5%   │ Avg      │ Stdev   │ Min     │
│ Req/Sec   │ 20,623  │

Req/Bytes counts sampled once per second.
252k requests in 10.02s, 31 MB read
""",
        "Node.js API",
    ),
    "Artillery's report": (
        """\
--------------------------------------
Metrics for period to: 09:43:20(+0100) (width: 9.5s)
--------------------------------------

http.codes.200: ............................ 50
http.response_time:
  min: ..................................... 22
vusers.completed: .......................... 50
""",
        "afterResponse",
    ),
    "k6's summary as text": (
        """\
     checks.........................: 100.00% ✓ 100       ✗ 0
     data_received..................: 1.2 MB  120 kB/s
     http_req_blocked...............: avg=1.2ms  min=1µs med=3µs
     http_req_duration..............: avg=113.17ms min=90ms med=108ms max=264ms p(90)=130ms p(95)=140ms
       { expected_response:true }...: avg=113.17ms
     http_reqs......................: 100    9.9/s
     iterations.....................: 100    9.9/s
     vus............................: 10     min=10 max=10
""",
        "k6 run --out csv=log.csv",
    ),
    "a table of statistics that Locust prints": (
        """\
Type     Name      # reqs      # fails |    Avg     Min     Max    Med |   req/s  failures/s
--------|---------|-------|-------------|-------|-------|-------|-------|--------|-----------
GET      /            100     0(0.00%) |     11       5      30     10 |   10.00        0.00

Response time percentiles (approximated)
Type     Name      50%    66%    75%    80%    90%    95%    98%    99%  99.9% 99.99%   100% # reqs
--------|---------|------|------|------|------|------|------|------|------|------|------|------|------
GET      /          10     11     12     13     15     20     25     28     30     30     30    100
""",
        "events.request",
    ),
    "ApacheBench's report": (
        """\
This is ApacheBench, Version 2.3 <$Revision: 1843412 $>
Copyright 1996 Adam Twiss, Zeus Technology Ltd, http://www.zeustech.net/
Licensed to The Apache Software Foundation, http://www.apache.org/

Benchmarking localhost (be patient).....done


Server Software:        nginx
Server Hostname:        localhost
Server Port:            80

Document Path:          /
Document Length:        10 bytes

Concurrency Level:      1
Time taken for tests:   0.1 seconds
Complete requests:      100
Failed requests:        0
Total transferred:      1000 bytes
HTML transferred:       1000 bytes
Requests per second:    1000.00 [#/sec] (mean)
Time per request:       1.000 [ms] (mean)
Transfer rate:          10.00 [Kbytes/sec] received

Connection Times (ms)
              min  mean[+/-sd] median   max
Connect:        0    0   0.1      0       1
Processing:     0    1   0.1      1       2
Total:          0    1   0.1      1       2

Percentage of the requests served within a certain time (ms)
  50%      1
  99%      2
 100%      2 (longest request)
""",
        "ab -g requests.tsv",
    ),
}
"""What a tool prints, and what is advised in the place of it."""

TELLS_NOTHING = 4
"""So many lines at the end of a report may be common to many tools."""

SECTIONS = [
    pytest.param(title, number, id=f"{title} from line {number + 1}")
    for title, (text, _) in TEXTS.items()
    for number, line in enumerate(text.splitlines()[:-TELLS_NOTHING])
    if number == 0 or not text.splitlines()[number - 1].strip()
]


@pytest.mark.parametrize(("title", "first"), SECTIONS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_sections_of_a_report_from_any_on_are_refused(title: str, first: int, end: str) -> None:
    text, advice = TEXTS[title]
    part = end.join(text.splitlines()[first:])
    with pytest.raises(InputError) as caught:
        detect(head(part))
    assert str(caught.value).startswith(f"a.log: is {title}: ")
    assert advice in str(caught.value)


@pytest.mark.parametrize("title", TEXTS)
def test_the_command_before_a_report_makes_no_difference(title: str) -> None:
    with pytest.raises(InputError, match=r"^a\.log: is ") as caught:
        detect(head(f"$ ./run.sh\n\n{TEXTS[title][0]}"))
    assert title in str(caught.value)


VEGETA = {
    "latencies": {"total": 237, "mean": 2, "50th": 2, "90th": 3, "95th": 3, "99th": 4, "max": 4, "min": 1},
    "bytes_in": {"total": 606700, "mean": 6067},
    "bytes_out": {"total": 0, "mean": 0},
    "earliest": "2015-09-19T14:45:50.645818631+02:00",
    "latest": "2015-09-19T14:45:51.635818575+02:00",
    "duration": 989999944,
    "requests": 100,
    "rate": 101.0,
    "throughput": 101.0,
    "success": 1,
    "status_codes": {"200": 100},
    "errors": [],
}
OHA = {
    "summary": {"successRate": 1.0, "total": 2.0, "slowest": 0.1, "requestsPerSec": 99.1},
    "responseTimeHistogram": {"0.1": 1},
    "latencyPercentiles": {"p50": 0.01, "p99": 0.1},
    "statusCodeDistribution": {"200": 200},
}
AUTOCANNON = {
    "url": "http://localhost:3000",
    "connections": 10,
    "pipelining": 1,
    "non2xx": 0,
    "latency": {"average": 1.2, "p2_5": 1, "p97_5": 3, "p99": 3},
    "requests": {"average": 100},
}
ARTILLERY = {
    "counters": {"vusers.created": 10, "http.requests": 10},
    "rates": {"http.request_rate": 10},
    "summaries": {"http.response_time": {"min": 1, "max": 9, "p99": 8.9}},
}
BOMBARDIER = {
    "spec": {"numberOfConnections": 1, "testType": "timed"},
    "result": {"req1xx": 0, "req2xx": 10, "latency": {"mean": 1, "max": 3}, "rps": {"mean": 3}},
}
SIEGE = {"transactions": 2000, "availability": 100.0, "elapsed_time": 1.05, "transaction_rate": 1904.7}
K6 = {"metrics": {"http_req_duration": {"avg": 1, "p(95)": 2.5}, "http_reqs": {"count": 9, "rate": 1}}}
LOCUST = {"name": "/", "method": "GET", "num_requests": 9, "num_failures": 0, "response_times": {"10": 9}}


def without(document: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in document.items() if name not in names}


DOCUMENTS: list[tuple[str, object]] = [
    ("a report of vegeta", VEGETA),
    ("a report of vegeta", without(VEGETA, "latencies")),
    ("a report of vegeta", {"latencies": VEGETA["latencies"], "success": 1}),
    ("a report of vegeta", VEGETA["latencies"]),
    ("oha's summary", OHA),
    ("oha's summary", OHA["summary"]),
    ("oha's summary", without(OHA, "summary")),
    ("autocannon's result", AUTOCANNON),
    ("autocannon's result", {"latency": AUTOCANNON["latency"], "requests": {"average": 100}}),
    ("Artillery's report", {"aggregate": ARTILLERY, "intermediate": [ARTILLERY]}),
    ("Artillery's report", {"intermediate": [ARTILLERY]}),
    ("Artillery's report", {"aggregate": without(ARTILLERY, "counters", "rates")}),
    ("Artillery's report", ARTILLERY),
    ("bombardier's result", BOMBARDIER),
    ("bombardier's result", {"result": BOMBARDIER["result"]}),
    ("bombardier's result", BOMBARDIER["result"]),
    ("siege's result", SIEGE),
    ("siege's result", without(SIEGE, "availability", "elapsed_time")),
    ("k6's summary as JSON", K6),
    ("k6's summary as JSON", {"metrics": {"http_req_duration": {"avg": 1, "p(95)": 2.5}}}),
    ("k6's summary as JSON", K6["metrics"]),
    ("Locust's statistics as JSON", [LOCUST]),
    ("Locust's statistics as JSON", {"stats": [without(LOCUST, "response_times")], "total_rps": 3}),
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("is_sorted", [False, True])
@pytest.mark.parametrize(("title", "document"), DOCUMENTS)
def test_reports_as_json_are_refused_however_they_are_written(
    title: str, document: object, is_sorted: bool, indent: int | None
) -> None:
    with pytest.raises(InputError) as caught:
        detect(head(json.dumps(document, indent=indent, sort_keys=is_sorted)))
    assert str(caught.value).startswith(f"a.log: is {title}")


@pytest.mark.parametrize(
    "header",
    [
        "Type,Name,Request Count,Median Response Time,95%",
        "Name,Median Response Time,Average Response Time,Requests/s",
        "Timestamp,User Count,Requests/s,Failures/s,50%,95%",
    ],
)
def test_locust_statistics_with_fewer_columns_are_refused(header: str) -> None:
    with pytest.raises(InputError, match="is a file of Locust's --csv"):
        detect(head(f"{header}\n"))


LINES: dict[str, dict[str, object]] = {
    "vegeta JSON": {
        "attack": "",
        "seq": 0,
        "code": 200,
        "timestamp": "2024-01-01T00:00:00Z",
        "latency": 5,
        "bytes_out": 0,
        "bytes_in": 9,
        "error": "",
        "method": "GET",
        "url": "http://x/",
    },
    "k6 JSON": {
        "metric": "http_req_duration",
        "type": "Point",
        "data": {"time": "2024-01-01T00:00:00Z", "value": 1.5, "tags": {"name": "/", "status": "200"}},
    },
}


@pytest.mark.parametrize("name", LINES)
def test_logs_of_single_requests_are_none_of_them(name: str) -> None:
    line = json.dumps(LINES[name], separators=(",", ":"))
    top = head(f"{line}\n{line}\n")
    assert any(dialect.matches(top) for dialect in DIALECTS)
    assert not [refused.title for refused in REFUSED if refused.matches(top)]
