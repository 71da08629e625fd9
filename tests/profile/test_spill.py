"""Text is parsed once; a large text log goes through a temporary file that never stays behind."""

import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

import loadlens
from loadlens.engine import measure
from loadlens.errors import InputError
from loadlens.logs import Reading, open_log
from loadlens.profile import MeasureOptions, Progress
from loadlens.profile.plan import Plan
from loadlens.profile.progress import Limits
from loadlens.schema import LATENCY
from tests import direct
from tests import sample_logs as logs
from tests.profile.cases import assert_agree, keyed, log_of, spread
from tests.watching import opened_files


class CancelledError(Exception):
    """What a job raises to stop a run."""


SPILLING = Limits(memory=2**30, most_held_bytes=0, seconds_between_reports=0)
"""However small, text is too large for memory."""


def spilling(folder: Path) -> MeasureOptions:
    return MeasureOptions(spill_folder=folder, memory_limit=SPILLING)


@pytest.fixture
def spill(tmp_path: Path) -> Path:
    folder = tmp_path / "spill"
    folder.mkdir()
    return folder


def written(frame: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def text_log() -> pl.DataFrame:
    names = pl.Series("label", ["search", "10", None, 'ü, or "so"'])
    frame = keyed(log_of(spread(2000)))
    return frame.with_columns(
        names.gather(range(4)).gather([index % 4 for index in range(2000)]).alias("label"),
        pl.Series("response_size", [index % 900 if index % 7 else None for index in range(2000)]),
    )


def assert_agrees_with_the_frame(
    paths: Path | Sequence[Path], frame: pl.DataFrame, key: tuple[str, ...], options: MeasureOptions
) -> int:
    """Asserts the statistics of the frame that the files were written from; returns the spilled bytes."""
    plan = Plan(key=key, response_sizes="response_size" in frame.columns)
    got = measure(open_log(paths), plan, options)
    assert_agree(got.table, direct.measure(open_log(frame), plan).table, plan)
    return got.spilled_bytes


@pytest.mark.parametrize("key", [(), ("memory_size",), ("label", "memory_size")])
def test_a_spilled_log_has_the_same_statistics(tmp_path: Path, spill: Path, key: tuple[str, ...]) -> None:
    frame = text_log()
    path = written(frame, tmp_path / "log.csv")
    assert assert_agrees_with_the_frame(path, frame, key, spilling(spill)) > 0
    assert not list(spill.iterdir())


@pytest.mark.parametrize("order", ["mixed", "falling"])
def test_text_is_parsed_once(tmp_path: Path, spill: Path, order: str) -> None:
    early = [1.0 + row * 7919 % 10_000 for row in range(4_000)]
    late = [100.0 + row % 50 + (2_000 if row % 97 == 0 else 0) for row in range(16_000)]
    frame = log_of([*early, *late])  # its fence falls
    frame = frame.with_columns(note=pl.lit("x" * 200))  # files that are more than their heads
    frame = frame.sample(fraction=1, shuffle=True, seed=3) if order == "mixed" else frame
    parts = frame.iter_slices(2_000)
    paths = [written(part, tmp_path / f"{number}.csv") for number, part in enumerate(parts)]
    lines = paths[0].read_text(encoding="utf-8").splitlines(keepends=True)
    paths[0].write_text("".join([*lines, "x" + lines[1]]), encoding="utf-8")
    log = open_log(paths, reading=Reading.of(max_rejects=1))
    plan = Plan(key=(), outliers="mean-iqr")
    with opened_files() as opened:
        got = measure(log, plan, spilling(spill))
    assert_agree(got.table, direct.measure(open_log(frame), plan).table, plan)
    assert log.findings.rejected == 1
    assert sorted(path for path in opened if path.endswith(".csv")) == sorted(map(str, paths))
    assert not list(spill.iterdir())


def test_a_small_log_stays_in_memory(tmp_path: Path, spill: Path) -> None:
    frame = text_log()
    path = written(frame, tmp_path / "log.csv")
    assert assert_agrees_with_the_frame(path, frame, ("label",), MeasureOptions(spill_folder=spill)) == 0


def test_parquet_is_never_spilled(tmp_path: Path) -> None:
    frame = text_log()
    assert (
        assert_agrees_with_the_frame(
            written(frame, tmp_path / "log.parquet"), frame, ("label",), MeasureOptions()
        )
        == 0
    )


@pytest.mark.parametrize("suffixes", [(".csv", ".csv", ".csv"), (".csv", ".parquet"), (".parquet", ".csv")])
def test_several_files(tmp_path: Path, spill: Path, suffixes: tuple[str, ...]) -> None:
    frame = text_log()
    rows = frame.height // len(suffixes) + 1
    paths = [
        written(frame.slice(index * rows, rows), tmp_path / f"part{index}{suffix}")
        for index, suffix in enumerate(suffixes)
    ]
    assert assert_agrees_with_the_frame(paths, frame, ("label",), spilling(spill)) > 0
    assert not list(spill.iterdir())


def test_text_beside_columns_is_spilled_too(tmp_path: Path, spill: Path) -> None:
    frame = text_log()
    paths = [
        written(frame.head(5), tmp_path / "small.csv"),
        written(frame.slice(5), tmp_path / "large.parquet"),
    ]
    assert assert_agrees_with_the_frame(paths, frame, ("memory_size",), spilling(spill)) > 0


def test_files_whose_columns_differ(tmp_path: Path, spill: Path) -> None:
    frame = text_log()
    halves = [frame.head(900).drop("label", "response_size"), frame.slice(900)]
    paths = [written(half, tmp_path / f"{index}.csv") for index, half in enumerate(halves)]
    whole = pl.concat(halves, how="diagonal")
    plan = Plan(key=("memory_size",), response_sizes=True)
    got = measure(open_log(paths), plan, spilling(spill))
    assert_agree(got.table, direct.measure(open_log(whole), plan).table, plan)
    assert not list(spill.iterdir())


def test_the_files_lie_in_the_folder_that_was_named(tmp_path: Path, spill: Path) -> None:
    seen: dict[str, int] = {}

    def look(moment: Progress) -> None:
        seen[moment.stage] = sum(file.stat().st_size for file in spill.rglob("*") if file.is_file())

    path = written(text_log(), tmp_path / "log.csv")
    result = loadlens.summarize(path, by=[], spill_folder=spill, on_progress=look, memory_limit=SPILLING)
    assert seen["Fetching the latencies that decide"] == result.spilled_bytes > 0
    assert not list(spill.iterdir())


def test_without_a_folder_the_system_has_one(
    tmp_path: Path, spill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(spill))
    seen: list[Path] = []

    def look(_: Progress) -> None:
        seen.extend(spill.iterdir())

    path = written(text_log(), tmp_path / "log.csv")
    loadlens.summarize(path, by=[], on_progress=look, memory_limit=SPILLING)
    assert seen
    assert not list(spill.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = written(text_log(), tmp_path / "log.csv")
    with pytest.raises(loadlens.LoadlensError, match="nowhere"):
        loadlens.summarize(path, by=[], spill_folder=tmp_path / "nowhere", memory_limit=SPILLING)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("fast", "line 1992, column invocation_latency: got 'fast'"),
        ("-7", "line 1992, .*got -7"),
        ("NaN", "line 1992"),
    ],
)
def test_a_bad_cell_leaves_nothing_behind(tmp_path: Path, spill: Path, cell: str, message: str) -> None:
    frame = text_log().with_columns(pl.col(LATENCY).cast(pl.String))
    bad = pl.when(pl.int_range(pl.len()) == 1990).then(pl.lit(cell)).otherwise(LATENCY).alias(LATENCY)
    path = written(frame.with_columns(bad), tmp_path / "log.csv")
    with pytest.raises(loadlens.InputError, match=message):
        loadlens.summarize(path, ["memory_size"], spill_folder=spill, memory_limit=SPILLING)
    assert not list(spill.iterdir())


STAGES = ("Parsing text", "Fetching the latencies that decide")


@pytest.mark.parametrize("error", [CancelledError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(
    ("stage", "with_rows"), [(stage, with_rows) for with_rows in (False, True) for stage in STAGES][:-1]
)
def test_a_cancelled_run_leaves_nothing_behind(
    tmp_path: Path, spill: Path, stage: str, with_rows: bool, error: type[BaseException]
) -> None:
    # The last stage does not count rows.
    def cancel(moment: Progress) -> None:
        if moment.stage == stage and bool(moment.rows_done) == with_rows:
            raise error

    path = written(text_log(), tmp_path / "log.csv")
    with pytest.raises(error):
        loadlens.summarize(
            path, ["memory_size"], spill_folder=spill, on_progress=cancel, memory_limit=SPILLING
        )
    assert not list(spill.iterdir())


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, spill: Path) -> None:
    sent = []

    def interrupt(moment: Progress) -> None:
        if moment.stage == STAGES[0] and moment.rows_done and not sent:
            sent.append(moment)
            signal.raise_signal(signal.SIGINT)

    path = written(text_log(), tmp_path / "log.csv")
    with pytest.raises(KeyboardInterrupt):
        loadlens.summarize(
            path, ["memory_size"], spill_folder=spill, on_progress=interrupt, memory_limit=SPILLING
        )
    assert not list(spill.iterdir())


def test_toolkit_functions_spill_as_well(tmp_path: Path, spill: Path) -> None:
    path = written(logs.small_log(), tmp_path / "log.csv")
    in_memory = [loadlens.summarize_stability_results(path), loadlens.summarize_concurrency_results(path)]
    spilled = [
        loadlens.summarize_stability_results(path, spill_folder=spill, memory_limit=SPILLING),
        loadlens.summarize_concurrency_results(path, spill_folder=spill, memory_limit=SPILLING),
    ]
    for one, other in zip(in_memory, spilled, strict=True):
        assert one.spilled_bytes == 0
        assert other.spilled_bytes > 0
        exact = [name for name, dtype in one.summary.schema.items() if dtype.is_integer()]
        assert other.summary.select(exact).equals(one.summary.select(exact))
    assert not list(spill.iterdir())


@pytest.mark.parametrize("held_bytes", [2**26, 0])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_rows_that_no_figure_needs_obey_the_rules_however_a_log_is_read(
    tmp_path: Path, suffix: str, held_bytes: int
) -> None:
    broken = pl.when(pl.int_range(pl.len()) == 7).then(-5).otherwise("response_size").alias("response_size")
    path = written(text_log().with_columns(broken), tmp_path / f"log{suffix}")
    limits = Limits(memory=2**30, most_held_bytes=held_bytes)
    with pytest.raises(InputError, match="response_size"):
        measure(open_log(path), Plan(key=("label",)), MeasureOptions(memory_limit=limits))
