import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import loadlens
from loadlens import Costing, analyze, compare
from loadlens.cost import Capacity, Strategy, Traffic, cost_comparison
from loadlens.errors import GateError, InputError, OutputError, PriceError, UsageError
from loadlens.gates import check_gates, parse_gate
from loadlens.tasks.decisions import Decisions
from tests.comparison.runs import run
from tests.folders import LOG_FILES, STABILITY, files_below, leave_out_drawings, results_folder, tree
from tests.profile.cases import Inline
from tests.report.pages import Page

COSTING = Costing(
    prices=(loadlens.load_prices(), loadlens.load_prices("lambda-x86")),
    traffic=Traffic.parse("10M/month peak 9/s"),
    capacities=(Capacity.told("ml.c5.large", 4),),
    strategy=Strategy(name="cost"),
)
INSTANCES = loadlens.load_prices("sagemaker-instances")
COST_CHARTS = {"charts/cost_pareto.png", "charts/cost_break_even.png"}
COMPARISON_CHARTS = {"charts/comparison_latency_density.png", "charts/comparison_latency_spectrum.png"}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return _written(tmp_path / "base.parquet", {1024: 2, 2048: 1})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return _written(tmp_path / "log.parquet", {1024: 2, 2048: 1.5})


def _written(path: Path, factors: dict[int, float]) -> Path:
    run(factors, calls=800, name="memory_size").write_parquet(path)
    return path


@pytest.fixture(autouse=True)
def no_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_drawings(monkeypatch)


def decided(log: Path, out: Path, **questions: Any) -> tuple[Decisions, dict[str, Any], Page]:
    """What was decided, summary.json, and the page."""
    analysis = analyze([log], out, **questions)
    assert isinstance(analysis, loadlens.LogAnalysis)
    document = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return analysis.decisions, document, Page((out / "report.html").read_text(encoding="utf-8"))


def sections(page: Page) -> list[str | None]:
    """The sections in their order, which the contents list has too."""
    ids = [section["id"] for section in page.named("section")]
    assert [link["href"] for link in page.named("a")] == [f"#{name}" for name in ids]
    return ids


def test_nothing_is_decided_unless_asked(log: Path, tmp_path: Path) -> None:
    found, document, page = decided(log, tmp_path / "out")
    assert found == Decisions()
    assert [document[name] for name in ("gates", "comparison", "costing")] == [None] * 3
    assert sections(page) == [
        "at-a-glance",
        "summary",
        "over-time",
        "load",
        "failures",
        "data-quality",
        "how-to-read",
    ]


def test_gates(log: Path, tmp_path: Path) -> None:
    texts = ["p99 < 10s", "max < 1ms for memory_size=2048", "p50 < 1s within 60s of every window"]
    found, document, page = decided(log, tmp_path / "out", gates=[parse_gate(texts[0]), *texts[1:]])
    check = check_gates(log, texts)
    assert found.gates is not None
    assert [(verdict.holds, verdict.value) for verdict in found.gates.verdicts] == [
        (verdict.holds, verdict.value) for verdict in check.verdicts
    ]
    assert sections(page)[:3] == ["at-a-glance", "gates", "summary"]
    assert page.cells.count("FAILED") == 2  # the gate that fails, and its verdict
    assert document["gates"]["holds"] is False
    assert [gate["slo"] for gate in document["gates"]["gates"]] == texts
    assert [len(gate["results"]) for gate in document["gates"]["gates"]] == [2, 1, 2]


def test_a_baseline(log: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found, document, page = decided(log, out, baseline=base, min_effect=0.1)
    comparison = compare(base, log, min_effect=0.1)
    assert found.comparison is not None
    assert_frame_equal(found.comparison.metrics, comparison.metrics)
    assert found.comparison.verdicts["worse"] == 1
    assert sections(page)[1:7] == ["summary", "over-time", "load", "failures", "comparison", "data-quality"]
    assert document["comparison"]["verdicts"] == comparison.verdicts
    assert len(document["comparison"]["metrics"]) == comparison.metrics.height
    assert f"of 2 keys, against {base}" in page.text
    assert files_below(out) >= {*LOG_FILES, *COMPARISON_CHARTS}


def test_a_cost(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found, document, page = decided(log, out, costing=COSTING)
    costing = cost_comparison(loadlens.read_log(log), COSTING)
    assert found.costing is not None
    assert_frame_equal(found.costing.costs, costing.costs)
    assert_frame_equal(found.costing.break_even, costing.break_even)
    assert sections(page)[1:7] == ["summary", "over-time", "load", "failures", "cost", "data-quality"]
    assert costing.choice.reason in page.text
    assert document["costing"]["reason"] == costing.choice.reason
    assert document["costing"]["monthly"] == costing.monthly.to_dicts()
    assert files_below(out) >= {*LOG_FILES, *COST_CHARTS}


def test_all_at_once(log: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found, document, page = decided(
        log, out, gates=["p99 < 10s"], baseline=base, costing=COSTING, chart_formats=["png", "svg"]
    )
    assert sections(page) == [
        "at-a-glance", "gates", "summary", "over-time", "load", "failures", "comparison", "cost",
        "data-quality", "how-to-read",
    ]  # fmt: skip
    assert found.comparison is not None
    assert found.comparison.costs.height == 4
    pngs = {name for name in files_below(out) if name.endswith(".png")}
    assert pngs >= COST_CHARTS | COMPARISON_CHARTS
    assert {name.replace(".png", ".svg") for name in pngs} <= files_below(out)
    assert document["gates"]["holds"] is True


def test_each_log_is_counted_once_and_looked_at_once(log: Path, base: Path, tmp_path: Path) -> None:
    workers = Inline()
    gates = ["p99 < 10s", "p90 < 90ms filtered", "p99 < 1s within 5s of every window"]
    questions: dict[str, Any] = {"gates": gates, "baseline": base, "costing": COSTING}
    together, *_ = decided(log, tmp_path / "out", by=["memory_size"], executor=workers, **questions)
    work = [(arguments[0].part.files[0].path.name, done.__name__) for done, arguments in workers.submitted]
    assert work == [
        (name, step) for name in ("base.parquet", "log.parquet") for step in (COUNTING, LOOKING)
    ]  # fmt: skip
    assert together.gates is not None
    assert together.gates.verdicts == check_gates(log, gates, ["memory_size"]).verdicts


COUNTING, LOOKING = "count_partition", "look_at_partition"


def test_the_key_of_each_answer(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    frame = pl.concat(
        run({1024: 1, 2048: 2}, calls=200, name="memory_size").with_columns(region=pl.lit(region))
        for region in ("eu", "us")
    )
    frame.write_parquet(log)
    questions = {"gates": ["max < 10s"], "baseline": frame, "costing": Costing()}
    found, *_ = decided(log, tmp_path / "region", by=["region"], **questions)
    assert found.gates is not None
    assert found.comparison is not None
    assert found.costing is not None
    assert found.gates.by == found.comparison.by == ("region",)
    assert found.costing.by == ("region", "memory_size")
    assert found.comparison.base.name == "the baseline"


def test_a_key_that_json_cannot_say(log: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(log).with_columns(day=pl.date(2026, 11, 22))
    path = tmp_path / "days.parquet"
    frame.write_parquet(path)
    _, document, _ = decided(path, tmp_path / "out", by=["day"], gates=["max < 10s"], baseline=frame)
    assert document["summary"][0]["day"] == "2026-11-22"
    assert document["gates"]["gates"][0]["results"][0]["key"] == {"day": "2026-11-22"}
    assert document["comparison"]["keys"][0]["day"] == "2026-11-22"


@pytest.mark.parametrize(
    ("questions", "error", "says"),
    [
        ({"gates": ["p99 << 1s"]}, GateError, "character 5"),
        ({"gates": ["p99 < 1s for label=pay"]}, GateError, "label"),
        ({"gates": ["p99 < 1s"], "exact": False}, UsageError, "exact"),
        ({"baseline": "missing.csv"}, InputError, "missing.csv"),
        ({"baseline": pl.DataFrame({"x": [1]})}, InputError, "invocation_latency"),
        ({"min_effect": 0, "baseline": run({1024: 1}, name="memory_size")}, UsageError, "min_effect"),
        ({"costing": Costing(), "by": ["invocation_latency"]}, UsageError, "invocation_latency"),
        ({"costing": Costing(prices=(INSTANCES,))}, PriceError, "instances"),
        ({"costing": Costing(loads={"ml.c5.large": "missing.csv"})}, InputError, "missing.csv"),
    ],
)
def test_a_question_without_an_answer_leaves_nothing_behind(
    log: Path, tmp_path: Path, questions: dict[str, Any], error: type[Exception], says: str
) -> None:
    before = tree(tmp_path)
    with pytest.raises(error, match=says):
        analyze([log], tmp_path / "made" / "out", **questions)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("question", [{"gates": ["p99 < 1s"]}, {"baseline": "x"}, {"costing": Costing()}])
def test_questions_about_a_results_folder_name_its_log(question: dict[str, Any], tmp_path: Path) -> None:
    folder = results_folder(tmp_path / "run")
    with pytest.raises(UsageError, match=f"name an invocation log in it, such as .*{STABILITY}"):
        analyze([folder], tmp_path / "out", **question)
    assert not (tmp_path / "out").exists()


def test_a_results_folder_is_no_baseline(log: Path, tmp_path: Path) -> None:
    folder = results_folder(tmp_path / "run")
    with pytest.raises(UsageError, match="is a results folder"):
        analyze([log], tmp_path / "out", baseline=folder)


@pytest.mark.parametrize("kind", ["baseline", "list", "load"])
def test_what_is_read_is_never_overwritten(log: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "other").mkdir()
    other = _written(tmp_path / "other" / "other.parquet", {1024: 1})
    question: dict[str, Any] = {
        "baseline": {"baseline": other},
        "list": {"baseline": [other]},
        "load": {"costing": Costing(loads={"ml.c5.large": other})},
    }[kind]
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="overlaps the input"):
        analyze([log], tmp_path / "other", overwrite=True, **question)
    assert tree(tmp_path) == before
