"""The figures as one DuckDB SQL statement, without density curves."""

from pathlib import Path

import duckdb

from benchmarks.contenders.harness import Rows, main

__all__ = ["query"]

SQL = """
with every_row as (
    select
        max_concurrency, num_clients, memory_size,
        count(invocation_latency) as num_invocations,
        count(*) filter (invocation_latency <= 0) as num_errors,
        count(*) filter (invocation_latency > 0) as successes,
        sum(throttle_exception)::bigint as throttle_exception,
        sum(insufficient_memory_error)::bigint as insufficient_memory_error,
        sum(other_model_error)::bigint as other_model_error,
        quantile_cont(invocation_latency, [0.9, 0.95, 0.99, 0.999]) filter (invocation_latency > 0) as tail,
        avg(invocation_latency) as mean,
        quantile_cont(invocation_latency, [0.25, 0.75]) as quartiles,
        mean + 5 * (quartiles[2] - quartiles[1]) as outlier_fence,
        max(end_time) - min(start_time) as span
    from log
    group by all
),
kept as (
    select log.*
    from log join every_row using (max_concurrency, num_clients, memory_size)
    where invocation_latency > 0 and invocation_latency <= outlier_fence
),
kept_rows as (
    select
        max_concurrency, num_clients, memory_size,
        count(*) as kept,
        quantile_cont(invocation_latency, [0.25, 0.5, 0.75]) as quartiles,
        avg(invocation_latency) as invocation_latency_mean,
        max(invocation_latency) as invocation_latency_max
    from kept
    group by all
),
per_second as (
    select max_concurrency, num_clients, memory_size, trunc(end_time) as second, count(*) as completions
    from kept
    group by all
),
tps as (
    select
        max_concurrency, num_clients, memory_size,
        trunc(avg(completions))::bigint as tps_avg,
        quantile_cont(completions, [0.25, 0.5, 0.75]) as quartiles,
        max(completions) as tps_max
    from per_second
    group by all
)
select
    max_concurrency, num_clients, memory_size,
    num_invocations, num_errors,
    throttle_exception, insufficient_memory_error, other_model_error,
    kept_rows.quartiles[2] as invocation_latency_median,
    invocation_latency_mean,
    invocation_latency_max,
    kept_rows.quartiles[3] - kept_rows.quartiles[1] as invocation_latency_iqr,
    tps_avg,
    trunc(tps.quartiles[1])::bigint as tps_p25,
    trunc(tps.quartiles[2])::bigint as tps_p50,
    trunc(tps.quartiles[3])::bigint as tps_p75,
    tps_max,
    tail[1] as invocation_latency_p90,
    tail[2] as invocation_latency_p95,
    tail[3] as invocation_latency_p99,
    tail[4] as invocation_latency_p999,
    successes - kept as outliers_removed,
    outlier_fence,
    kept / span as throughput
from every_row
left join kept_rows using (max_concurrency, num_clients, memory_size)
left join tps using (max_concurrency, num_clients, memory_size)
order by all
"""


def query(path: Path) -> Rows:
    """Figures of all rows, joined with those of the kept rows and of their completions per second."""
    with duckdb.connect() as connection:
        reader = connection.read_parquet if path.suffix == ".parquet" else connection.read_csv
        reader(str(path)).create_view("log")
        done = connection.execute(SQL)
        names = [column[0] for column in done.description or ()]
        return [dict(zip(names, row, strict=True)) for row in done.fetchall()]


if __name__ == "__main__":
    main(query)
