"""Records of CSV, sound and damaged."""

import csv
import io

import polars as pl
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from loadlens.schema import Rule
from loadlens.text.delimited import Table
from loadlens.text.typed_rows import Parsed

HEADER = "start,ms,name,ok,note,bytes\n"


LOG = Table(
    names=("start", "ms", "name", "ok", "note", "bytes"),
    types={
        "start": pl.Float64(),
        "ms": pl.Int64(),
        "name": pl.String(),
        "ok": pl.Boolean(),
        "bytes": pl.Int64(),
    },
    columns=(
        pl.col("ok").alias("success"),
        pl.col("start").alias("start_time"),
        (pl.col("start") + pl.col("ms") / 1000).alias("end_time"),
        pl.col("ms").cast(pl.Float64).alias("invocation_latency"),
        pl.col("name").alias("label"),
        pl.col("bytes").alias("response_size"),
    ),
    rules=(Rule(column="ms", expected="0 or more", broken=pl.col("ms") < 0),),
    left_out={"pauses": pl.col("name") == "pause"},
    required=frozenset({"start", "ms", "ok"}),
    meaning=(("ms", "latency, ms"),),
)


CELLS = {
    "start": st.floats(0, 1e9).map(repr) | st.integers(0, 10**9).map(str),
    "ms": st.integers(0, 10**6).map(str),
    "name": st.sampled_from(["a", "GET /x?y=1", "ä", 'say "x"', "a,b", "line\nbreak", "", "pause"]),
    "ok": st.sampled_from(["true", "false", "True"]),
    "note": st.sampled_from(["", "x", "a,b"]),
    "bytes": st.integers(0, 10**6).map(str) | st.just(""),
}


RECORDS = st.lists(st.tuples(*CELLS.values()), max_size=30)


def record(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """A record with something wrong in it, but still on lines of its own."""
    cells = raw.rstrip(b"\n").split(b",")
    at = draw(st.integers(0, len(cells) - 1))
    kind = draw(st.sampled_from(["replaced", "dropped", "doubled", "quoted", "flipped"]))
    if kind == "replaced":
        cells[at] = draw(
            st.sampled_from([b"x", b"-1", b"nan", b"inf", b"1e400", b"\xff", b"\x00", b" ", b"1.5"])
        )
    elif kind == "dropped":
        del cells[at]
    elif kind == "doubled":
        cells.insert(at, b"1")
    elif kind == "quoted":
        place = draw(st.integers(0, len(cells[at])))
        cells[at] = cells[at][:place] + b'"' + cells[at][place:]
    else:
        place = draw(st.integers(0, len(raw) - 2))
        return raw[:place] + bytes([draw(st.integers(0, 255))]) + raw[place + 1 :]
    return b",".join(cells) + b"\n"


def same(one: Parsed, other: Parsed) -> None:
    assert_frame_equal(one.rows, other.rows)
    assert_frame_equal(one.rejects, other.rejects)
    for counts, others in ((one.left_out, other.left_out), (one.facts, other.facts)):
        assert {name: n for name, n in counts.items() if n} == {name: n for name, n in others.items() if n}
