"""A run over time: what the spec says."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from loadlens.charts import Picture, keys_over_time_chart, timeline_chart
from loadlens.charts.keys_over_time import keys_to_draw, left_out_lines
from loadlens.profile.phases import Phases
from tests.charts.curves import mark_of, marks, num_rows, rows_of, valid
from tests.extent import some_rows

CALENDAR = 1_764_000_000.0  # 2025-11-24 16:00:00 UTC


def timeline(
    windows: int = 3,
    *,
    window_s: float = 10.0,
    start_s: float = 0.0,
    errors: Sequence[float | None] | None = None,
    **columns: Sequence[float | None],
) -> pl.DataFrame:
    unknown = [None] * windows
    latencies = {"p50_ms": 20.0, "p90_ms": 30.0, "p95_ms": 35.0, "p99_ms": 50.0, "max_ms": 90.0}
    figures: dict[str, Any] = {
        "window_start_s": [start_s + window_s * number for number in range(windows)],
        "window_s": [window_s] * windows,
        "covered_s": [window_s] * windows,
        "calls": [500] * windows,
        "throughput": [50.0 + number % 7 for number in range(windows)],
        "error_rate": errors or [0.01] * windows,
        **{name: [value] * windows for name, value in latencies.items()},
        "active_calls": unknown,
        "bytes_per_s": unknown,
        **columns,
    }
    types = {name: pl.Float64() for name in figures if name != "calls"}
    return pl.DataFrame(figures, schema_overrides=types)


def panels_of(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The lines of each panel by the title of its axis."""
    lines = [mark_of(panel, "line") for panel in spec["vconcat"]]
    return {line["encoding"]["y"]["axis"]["title"]: line for line in lines}


def test_panels_share_the_time_axis() -> None:
    spec = timeline_chart(timeline(active_calls=[4, 5, 6], bytes_per_s=[7e3, 8e3, 9e3]))
    panels = panels_of(spec)
    assert list(panels) == [
        "Latency (ms)",
        "Successful calls/s",
        "Error rate (%)",
        "Active calls",
        "Response bytes/s",
    ]
    assert spec["resolve"]["scale"]["x"] == "shared"
    assert all(
        panel["encoding"]["x"]["scale"] == {"domain": [0, 30], "nice": False} for panel in panels.values()
    )
    titles = [panel["encoding"]["x"]["axis"]["title"] for panel in panels.values()]
    assert titles == [None, None, None, None, "Time since start (s)"]


def test_what_is_not_known_has_no_panel() -> None:
    unknown = dict.fromkeys(("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"), [None] * 3)
    panels = panels_of(timeline_chart(timeline(**unknown)))
    assert list(panels) == ["Successful calls/s", "Error rate (%)"]
    assert panels["Error rate (%)"]["encoding"]["x"]["axis"]["labels"] is True


def test_areas_do_not_stack_and_begin_at_zero() -> None:
    spec = timeline_chart(timeline())
    areas = [part["encoding"]["y"] for part in marks(spec) if part["mark"]["type"] == "area"]
    assert len(areas) == 2
    assert all(axis["stack"] is False and axis["scale"]["zero"] for axis in areas)


@pytest.mark.parametrize(
    ("window_s", "unit", "end"),
    some_rows(
        [(1, "s", 200), (1.5, "s", 300), (3, "min", 10), (90, "min", 300), (432, "h", 24), (4_320, "h", 240)],
        2,
    ),
)
def test_the_unit_of_time_follows_from_the_span(window_s: float, unit: str, end: float) -> None:
    spec = timeline_chart(timeline(200, window_s=window_s, start_s=77.0))
    x = panels_of(spec)["Error rate (%)"]["encoding"]["x"]
    assert x["axis"]["title"] == f"Time since start ({unit})"
    assert x["scale"]["domain"] == pytest.approx([0, end])


@pytest.mark.parametrize(
    ("windows", "title", "form"),
    [
        (6, "Time (UTC), 2025-11-24", "%H:%M:%S"),
        (200, "Time (UTC), 2025-11-24", "%H:%M"),
        (3_600, "Time (UTC), 2025-11-24 to 2025-11-25", "%H:%M"),
        (20_000, "Time (UTC), 2025-11-24 to 2025-11-26", "%b %d %H:%M"),
    ],
)
def test_a_calendar_is_shown_where_the_clock_has_one(windows: int, title: str, form: str) -> None:
    spec = timeline_chart(timeline(windows, start_s=CALENDAR), is_calendar=True)
    x = panels_of(spec)["Error rate (%)"]["encoding"]["x"]
    assert (x["type"], x["scale"]["type"]) == ("temporal", "utc")
    assert x["scale"]["domain"] == [CALENDAR * 1000, (CALENDAR + windows * 10) * 1000]
    assert x["axis"]["title"] == title
    assert form in x["axis"]["labelExpr"]


def test_each_window_is_a_level_as_wide_as_it_is() -> None:
    spec = timeline_chart(timeline(2, errors=[0.0, 0.25]))
    rows = rows_of(panels_of(spec)["Error rate (%)"])
    assert [(row["time"], row["error_percent"]) for row in rows] == [(0, 0), (10, 0), (10, 25), (20, 25)]


def test_latencies_are_lines_through_the_middles_of_windows() -> None:
    spec = timeline_chart(timeline(2))
    rows = rows_of(panels_of(spec)["Latency (ms)"])
    assert [(row["time"], row["latency_ms"]) for row in rows if row["figure"] == "p99"] == [(5, 50), (15, 50)]
    assert list(dict.fromkeys(row["figure"] for row in rows)) == ["p50", "p90", "p95", "p99", "max"]


def test_a_window_without_calls_is_a_gap_in_the_error_rate() -> None:
    spec = timeline_chart(timeline(3, errors=[0.1, None, 0.2]))
    panels = panels_of(spec)
    assert [row["run"] for row in rows_of(panels["Successful calls/s"])] == [0] * 6
    errors = panels["Error rate (%)"]
    assert [(row["time"], row["run"]) for row in rows_of(errors)] == [(0, 0), (10, 0), (20, 1), (30, 1)]
    assert errors["encoding"]["detail"]["field"] == "run"


def test_windows_that_are_left_out_are_a_gap() -> None:
    spec = timeline_chart(timeline(6).filter(pl.col("window_start_s") != 20))
    rows = rows_of(panels_of(spec)["Successful calls/s"])
    assert [row["run"] for row in rows] == [0] * 4 + [1] * 6


def test_ends_that_the_load_hardly_covers_are_not_drawn_but_keep_their_time() -> None:
    spec = timeline_chart(timeline(4, covered_s=[0.0, 10.0, 10.0, 0.5]))
    for panel in panels_of(spec).values():
        times = [row["time"] for row in rows_of(panel)]
        assert min(times) >= 10
        assert max(times) <= 30
        assert panel["encoding"]["x"]["scale"]["domain"] == [0, 40]


@pytest.mark.parametrize("errors", [[0.0, 0.0, 0.0], [None, None, None]])
def test_no_errors_still_have_an_axis(errors: list[float | None]) -> None:
    chart = timeline_chart(timeline(errors=errors))
    panel = panels_of(chart)["Error rate (%)"]
    assert panel["encoding"]["y"]["scale"]["domain"] == [0, 1]
    assert ET.fromstring(Picture(chart).svg).tag.endswith("svg")


def test_the_size_of_a_chart_goes_by_its_windows() -> None:
    assert num_rows(timeline_chart(timeline(240))) == 240 * (2 * 2 + 5)


def test_row_order_does_not_matter() -> None:
    ordered = timeline(20)
    assert timeline_chart(ordered) == timeline_chart(ordered.reverse())


def test_an_empty_timeline_says_so() -> None:
    spec = valid(timeline_chart(timeline().clear()))
    assert "No timeline" in rows_of(mark_of(spec, "text"))[0]["message"]


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        (Phases(), []),
        (Phases(ramp_end_s=40.0), [("ramp-up", 0, 40), ("steady load", 40, 100)]),
        (Phases(cool_down_s=90.0), [("steady load", 0, 90), ("cool-down", 90, 100)]),
        (
            Phases(ramp_end_s=30.0, cool_down_s=70.0),
            [("ramp-up", 0, 30), ("steady load", 30, 70), ("cool-down", 70, 100)],
        ),
    ],
)
def test_phases_are_marked_above_the_panels(phases: Phases, told: list[tuple[str, float, float]]) -> None:
    spec = timeline_chart(timeline(10), phases=phases)
    bars = [part for part in marks(spec) if part["mark"]["type"] == "rect"]
    found = [(row["phase"], row["begin"], row["end"]) for bar in bars for row in rows_of(bar)]
    assert found == told


@pytest.mark.parametrize("windows", [1, 240])
@pytest.mark.parametrize("is_calendar", [True, False])
def test_timelines_render(windows: int, is_calendar: bool, caplog: pytest.LogCaptureFixture) -> None:
    phases = Phases(ramp_end_s=CALENDAR + 3)
    chart = timeline_chart(timeline(windows, start_s=CALENDAR), is_calendar=is_calendar, phases=phases)
    svg = Picture(valid(chart)).svg
    assert ("2025-11-24" if is_calendar else "Time since start") in svg
    assert "NaN" not in svg
    assert not caplog.records, "the converter warns"


def by_label(calls: dict[str, int], p99: dict[str, float]) -> pl.DataFrame:
    return pl.concat(
        timeline(4, calls=[count] * 4, p99_ms=[p99[label]] * 4).with_columns(label=pl.lit(label))
        for label, count in calls.items()
    )


def test_few_keys_are_all_drawn_the_busiest_first() -> None:
    frame = by_label({"a": 10, "b": 30, "c": 20}, {"a": 1, "b": 2, "c": 3})
    assert keys_to_draw(frame, ["label"]) == ([("b", ""), ("c", ""), ("a", "")], [])


def test_of_many_keys_the_busiest_and_the_worst_are_drawn_and_the_others_named() -> None:
    labels = [f"page{number}" for number in range(12)]
    frame = by_label(
        {label: 100 - number for number, label in enumerate(labels)},
        {label: 10.0 + (number * 5) % 12 for number, label in enumerate(labels)},
    )
    chosen, left_out = keys_to_draw(frame, ["label"])
    assert chosen == [
        *((label, "busiest") for label in ("page0", "page1", "page2")),
        *((label, "highest p99") for label in ("page7", "page9", "page4")),
    ]
    assert left_out == ["page3", "page5", "page6", "page8", "page10", "page11"]
    spec = keys_over_time_chart(frame, ["label"])
    assert len(spec["concat"]) == 12
    assert spec["title"]["subtitle"] == ["6 more: page3, page5, page6, page8, page10, page11"]
    assert spec["concat"][0]["title"]["text"] == "page0 (busiest)"


def test_names_that_find_no_room_are_counted() -> None:
    names = [f"GET /api/v1/resource/{number}" for number in range(400)]
    lines = left_out_lines(names)
    told = " ".join(lines)
    assert len(lines) <= 3
    assert max(map(len, lines)) < 130
    assert lines[0].startswith("400 more: GET /api/v1/resource/0,")
    assert f"and {400 - told.count('GET')} others" in told


def test_a_key_that_never_succeeded_is_drawn_without_latencies(caplog: pytest.LogCaptureFixture) -> None:
    unknown = dict.fromkeys(("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"), [None] * 3)
    frame = pl.concat(
        [timeline().with_columns(label=pl.lit("a")), timeline(**unknown).with_columns(label=pl.lit("b"))]
    )
    assert ">b</text>" in Picture(valid(keys_over_time_chart(frame, ["label"]))).svg
    assert not caplog.records, "the converter warns"
