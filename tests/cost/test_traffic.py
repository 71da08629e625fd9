from pathlib import Path

import pytest

from loadlens import InputError, UsageError
from loadlens.cost import Traffic

MONTH = 30 * 24 * 3600


@pytest.mark.parametrize(
    ("text", "monthly", "peak"),
    [
        ("50/s", 50 * MONTH, 50),
        ("3,000/min", 50 * MONTH, 50),
        ("10M/month", 1e7, 1e7 / MONTH),
        ("2.5k/day", 75_000, 2500 / 86_400),
        ("1B / month", 1e9, 1e9 / MONTH),
        ("10M/month peak 40/s", 1e7, 40),
        ("7200/h peak 3/s", 2 * MONTH, 3),
    ],
)
def test_rates_and_counts(text: str, monthly: float, peak: float) -> None:
    traffic = Traffic.parse(text)
    assert traffic.monthly_invocations == pytest.approx(monthly)
    assert traffic.peak_rate == pytest.approx(peak)
    assert traffic.peak_factor == pytest.approx(peak * MONTH / monthly)


@pytest.mark.parametrize(
    "text", ["", "50", "50/year", "-5/s", "0/s", "nan/s", "1e99/s", "10M/month peak", "9" * 30 + "/s"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        Traffic.parse(text)


def test_a_peak_below_the_mean_is_refused() -> None:
    with pytest.raises(UsageError, match="below its mean"):
        Traffic.parse("50/s peak 40/s")


@pytest.mark.parametrize(
    "text",
    ["hour,rate_per_s\n0,1\n1,3\n", "invocations\n3600\n10800\n", "rate_per_s,note\n 1 ,x\n3.0,y\n"],
)
def test_hourly_rates_repeat_to_fill_a_month(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(text, encoding="utf-8")
    traffic = Traffic.parse(str(path))
    assert traffic.monthly_invocations == pytest.approx(2 * MONTH)
    assert traffic.peak_rate == pytest.approx(3)
    assert "2 hourly rates" in traffic.description


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("hour\n0\n", "rate_per_s, invocations"),
        ("rate_per_s,invocations\n0,1\n", "expected one column"),
        ("rate_per_s\n1\nmany\n", "line 3"),
        ("rate_per_s\n1\n-1\n", "line 3"),
        ("rate_per_s\nnan\n", "line 2"),
        ("rate_per_s\ninf\n", "line 2"),
        ("hour,rate_per_s\n0,\n", "line 2"),
        ("rate_per_s\n0\n0\n", "no calls"),
        ("rate_per_s\n", "no calls"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        Traffic.parse(str(path))
