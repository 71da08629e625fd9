import polars as pl
import pytest

from loadlens.comparison.compared_runs import key_verdicts, metric_verdict

COLUMNS = ("metric", "base", "difference", "difference_low", "difference_high", "wide_low", "wide_high")
TYPES = dict.fromkeys(COLUMNS[1:], pl.Float64)


def verdict_of(*values: object, min_effect: float = 0.05) -> str | None:
    row = pl.DataFrame([values], schema=list(COLUMNS), schema_overrides=TYPES, orient="row")
    return row.select(metric_verdict(min_effect)).item()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((10, 8, 12, 7, 13), "worse"),
        ((-10, -12, -8, -13, -7), "better"),
        ((10, 1, 19, -2, 22), "too little data"),  # stands out alone, but not among six
        ((1, -2, 4, -3, 5), "no difference"),
        ((3, 2, 4, 1.5, 4.5), "no difference"),  # certain but small
        ((4, 2, 6, 1, 7), "too little data"),  # may be large
        ((10, None, None, None, None), "too little data"),
        ((10, 8, None, 7, None), "worse"),  # one limit is enough
        ((None, None, None, None, None), "too little data"),
    ],
)
def test_a_latency_is_judged_by_its_limits_and_the_minimum_effect(limits, expected):
    assert verdict_of("p99", 100.0, *limits) == expected


@pytest.mark.parametrize(
    ("base", "limits", "expected"),
    [
        (0.0, (0.0, -0.0004, 0.0004, -0.0005, 0.0005), "no difference"),
        (0.0, (0.01, 0.005, 0.015, 0.004, 0.016), "worse"),
        (0.010, (0.0003, -0.001, 0.0016, -0.002, 0.002), "no difference"),
        (0.010, (0.003, 0.001, 0.005, -0.001, 0.006), "too little data"),  # three tenths more, perhaps
        (0.0, (0.0, -0.11, 0.11, -0.2, 0.2), "too little data"),
    ],
)
def test_an_error_rate_is_shown_to_be_the_same_in_percentage_points(base, limits, expected):
    assert verdict_of("error_rate", base, *limits) == expected


def test_throughput_decides_nothing():
    assert verdict_of("throughput", 100.0, 50.0, 40.0, 60.0, 40.0, 60.0) is None


def test_a_key_has_the_gravest_verdict_of_its_metrics():
    verdicts = {
        0: ("no difference", "no difference", None),
        1: ("no difference", "too little data", None),
        2: ("better", "too little data", None),
        3: ("better", "worse", None),
        4: ("worse", "worse", None),
    }
    metrics = pl.DataFrame(
        [
            (pair, metric, verdict)
            for pair, row in verdicts.items()
            for metric, verdict in zip(("p50", "p99", "throughput"), row, strict=True)
        ],
        schema=["pair", "metric", "metric_verdict"],
        orient="row",
    )
    assert key_verdicts(metrics).rows() == [
        (0, "no difference", ""),
        (1, "too little data", "p99"),
        (2, "better", "p50"),
        (3, "worse", "p99"),
        (4, "worse", "p50, p99"),
    ]
