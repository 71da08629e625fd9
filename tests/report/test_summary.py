import polars as pl

import loadlens
from loadlens.messages import sentence
from loadlens.report import Figure, Report, summary_report
from tests.report.pages import CHART, HOSTILE, OPTIONS, page_of, tables_of
from tests.sample_logs import small_log


def report(
    by: list[str], log: pl.DataFrame | None = None, figures: dict[str, object] | None = None
) -> Report:
    return summary_report(
        source="log.csv",
        version="1.2.3",
        options=OPTIONS,
        summary=loadlens.summarize(small_log() if log is None else log, by),
        figures=figures or {},  # type: ignore[arg-type]
    )


def test_sections():
    found = report(["memory_size"], figures={"latency_density": CHART})
    assert [section.anchor for section in found.sections] == [
        "at-a-glance",
        "summary",
        "data-quality",
        "how-to-read",
    ]
    assert len(page_of(found).named("svg")) == 1


def test_a_hostile_label_is_inert_and_shown():
    log = small_log().with_columns(label=pl.lit(HOSTILE))
    page = page_of(report(["label"], log))
    page.assert_inert()
    assert HOSTILE in page.cells


def test_without_a_key_the_log_is_one_row():
    found = report([])
    assert all(table.frame.height == 1 for table in tables_of(found) if table.num_keys == 0)
    assert not any(table.totals for table in tables_of(found))
    assert "Median latency" in [card.label for card in found.cards]
    page_of(found)


def test_a_missing_key_is_an_en_dash():
    log = small_log().with_columns(label=pl.lit(None, dtype=pl.String))
    assert "–" in page_of(report(["label"], log)).cells


def test_figures_keep_their_order_and_get_captions():
    figures = {
        "latency_by_hour": CHART,
        "latency_density": CHART,
        "errors": ("Errors by minute.", CHART),
    }
    found = report(["memory_size"], figures=figures)
    captions = [
        block.caption for section in found.sections for block in section.blocks if isinstance(block, Figure)
    ]
    assert captions[0] == "latency by hour"
    assert captions[1].startswith("How latencies spread")
    assert captions[2] == "Errors by minute."


def test_a_log_without_a_success():
    log = small_log().with_columns(invocation_latency=pl.lit(-1.0))
    found = report(["memory_size"], log)
    assert [card.label for card in found.cards] == ["Calls", "Error rate"]
    assert found.cards[1].value == "100.00%"


def test_many_configurations_are_cut_with_a_note():
    log = small_log()
    log = log.with_columns(label=pl.int_range(pl.len()).cast(pl.String))
    copies = pl.concat([log.with_columns(pl.col("label") + f"-{copy}") for copy in range(2)])
    found = report(["label"], copies)
    cut = [table for table in tables_of(found) if table.note]
    assert len(cut) == 3
    assert all(table.frame.height == 200 for table in cut)
    assert cut[0].note == f"The first 200 of {copies.height} rows; summary.csv has them all."
    assert cut[2].totals["num_rows"] == copies.height


def test_the_configurations_that_stand_out_come_first_where_not_all_are_shown():
    labels = [f"/{number:03}" for number in range(300)]
    log = pl.DataFrame({"label": labels * 2, "invocation_latency": [10.0] * 600, "success": True})
    more = pl.DataFrame(
        {
            "label": ["/299"] * 5 + ["/250"] + ["/200"] * 2,
            "invocation_latency": [10.0] * 5 + [9_000.0] + [-1.0] * 2,
            "success": [True] * 6 + [False] * 2,
        }
    )
    found = report(["label"], pl.concat([log, more]))
    calls, slowest, failing = [
        table for table in tables_of(found) if "of 300 configurations" in table.caption
    ]
    assert calls.caption == "Most calls: 20 of 300 configurations; summary.csv has all"
    assert calls.frame.row(0, named=True)["label"] == "/299"
    assert slowest.frame.row(0, named=True)["label"] == "/250"
    assert slowest.frame["invocation_latency_p99"].is_sorted(descending=True)
    assert failing.caption == "Most failures: 1 of 300 configurations; summary.csv has all"
    assert failing.frame.select("label", "num_errors").rows() == [("/200", 2)]
    assert calls.frame.height == slowest.frame.height == 20


def test_few_configurations_are_all_in_one_table():
    assert not [
        table for table in tables_of(report(["memory_size"])) if "summary.csv has all" in table.caption
    ]


def test_a_warning_begins_with_a_capital_but_for_the_name_of_a_file():
    assert sentence("its times are whole seconds") == "Its times are whole seconds."
    assert sentence("run.jtl: 3 rows are cut short") == "run.jtl: 3 rows are cut short."
    assert sentence("runs/a and 2 more files: no header") == "runs/a and 2 more files: no header."
