import pytest

from loadlens.report.columns import column_header, format_key, format_money, format_value


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("memory_size", "Memory (MB)"),
        ("invocation_latency_p90", "p90 (ms)"),
        ("invocation_latency_p999", "p99.9 (ms)"),
        ("invocation_latency_p9999", "p99.99 (ms)"),
        ("tps_p25", "TPS p25 (1/s)"),
        ("cost_per_1M_invocations", "Cost per 1M invocations (USD)"),
        ("error_rate", "Error rate"),
        ("region", "region"),
    ],
)
def test_headers_have_units(name, header):
    assert column_header(name) == header


def test_money_is_headed_by_its_currency():
    assert column_header("serverless_monthly_cost", "EUR") == "Serverless a month (EUR)"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("num_rows", 1234567, "1,234,567"),
        ("num_rows", 2**53 + 1, "9,007,199,254,740,993"),
        ("tps_avg", 1234, "1,234"),
        ("invocation_latency_mean", 12345.6, "12,346"),
        ("invocation_latency_mean", 349.732, "349.7"),
        ("invocation_latency_mean", 38.0036, "38.0"),
        ("invocation_latency_mean", 9.5191, "9.52"),
        ("invocation_latency_mean", 0.012345, "0.0123"),
        ("invocation_latency_iqr", 0.0, "0"),
        ("invocation_latency_p999", None, "–"),
        ("invocation_latency_p999", float("nan"), "–"),
        ("error_rate", 0.0, "0%"),
        ("error_rate", 0.3325, "33.25%"),
        ("error_rate", 0.00001, "<0.01%"),
        ("error_rate", 1.0, "100.00%"),
        ("cost_per_1M_invocations", 1234.5, "1,234.50"),
        ("cost_per_invocation", 8.9258e-7, "0.000000893"),
        ("monthly_percent_savings", 98.7, "98.70"),
        ("memory_size", None, "–"),
        ("unknown", 1234, "1,234"),
        ("unknown", 1234.5, "1,234"),
        ("unknown", "as it is", "as it is"),
        ("unknown", True, "true"),
        ("unknown", float("inf"), "∞"),
    ],
)
def test_values_read_well(name, value, text):
    assert format_value(name, value) == text


def test_money_in_text_names_its_currency():
    assert format_money(73.44, "USD") == "$73.44"
    assert format_money(73.44, "EUR") == "EUR 73.44"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("shard", 1234.5, "1234.5"),
        ("shard", 1.501, "1.501"),
        ("shard", 1.502, "1.502"),
        ("shard", 1e-9, "1e-09"),
        ("shard", float("nan"), "NaN"),
        ("shard", float("-inf"), "-∞"),
        ("shard", None, "–"),
        ("shard", 1234, "1,234"),
        ("shard", "NaN", "NaN"),
        ("memory_size", 1024, "1,024"),
    ],
)
def test_keys_are_shown_in_full(name, value, text):
    assert format_key(name, value) == text
