"""Gates on very many configurations: text is bounded and says how many more there are."""

import polars as pl

from loadlens.gates import check_document, check_gates, markdown_text


def test_markdown_has_the_failures_first_and_says_how_many_more() -> None:
    latencies = [10.0] * 1_500 + [900.0] * 3
    labels = [f"/{number:04}" for number in range(len(latencies))]
    log = pl.DataFrame({"label": labels, "invocation_latency": latencies})
    found = check_gates(log, ["p99 < 100ms"], ["label"])
    lines = markdown_text(found).splitlines()
    rows = [line for line in lines if line.startswith(("| ✅", "| ❌"))]
    assert len(rows) == 1_000
    assert [row.startswith("| ❌") for row in rows[:4]] == [True, True, True, False]
    assert lines[-1] == "503 more rows, 0 of them failed: --json has all of them"
    assert len(check_document(found, [])["gates"][0]["results"]) == 1_503


def test_verdicts_of_each_configuration_by_hand() -> None:
    log = pl.DataFrame(
        {"label": ["a", None, "b", "b"], "invocation_latency": [1.0, 200.0, -1.0, -1.0], "size": [1, 1, 2, 2]}
    )
    found = check_gates(log, ["p50 < 100ms"], ["label", "size"])
    assert [(dict(v.key), v.value, v.calls, v.holds) for v in found.verdicts] == [
        ({"label": "a", "size": 1}, 1.0, 1, True),
        ({"label": "b", "size": 2}, None, 0, False),
        ({"label": None, "size": 1}, 200.0, 1, False),
    ]
