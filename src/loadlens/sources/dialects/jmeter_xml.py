"""JMeter's JTL files as XML: one element for each sample, with samples within samples.

What is counted is the call that a user waits for:

- A sample that holds no other sample counts, unless it is the sum of a transaction controller whose samples
  the log has beside it.
- An ``httpSample`` that holds samples counts, and so does any sample whose samples are named after it; they
  are its parts (the steps of a redirect, embedded resources), whose time it includes. They are left out.
- Another ``sample`` that holds samples is their sum, such as that of a transaction controller. It is left
  out, and the samples within it are looked at by these same rules.

A sample is complete with its end tag. Where the XML is damaged or cut off, the complete samples before the
damage count, one reject tells the place, and reading goes on at the next line that begins with a sample of
the outermost level, as JMeter writes them.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Final
from xml.parsers import expat

import polars as pl

from loadlens.schema import LATENCY, Rule
from loadlens.sources.dialects.base import Dialect, Level
from loadlens.sources.dialects.jmeter_document import FAILURE, ROOT, Document, Samples
from loadlens.sources.dialects.jmeter_samples import (
    SUMS,
    SUMS_ADVICE,
    failure_class,
    nesting_warnings,
    refuse,
    spans,
    time_rule,
)
from loadlens.sources.dialects.jmeter_times import MILLISECONDS
from loadlens.sources.parsed import Parsed, Recipe, cast_cells, seconds
from loadlens.sources.storage.location import Location
from loadlens.sources.text.stream import Head, open_stream

__all__ = ["JMETER_XML"]

_CHUNK_BYTES: Final = 64 * 2**10
_BATCH_CHUNKS: Final = 64
_ROOT_BYTES: Final = 4096
_MS_PER_S: Final = 1000

_TYPES: Final[dict[str, pl.DataType]] = {
    "ts": pl.Int64(),
    "t": pl.Int64(),
    "lb": pl.String(),
    "rc": pl.String(),
    "rm": pl.String(),
    "s": pl.Boolean(),
    "by": pl.Int64(),
    "sby": pl.Int64(),
    "sc": pl.Int64(),
    "tn": pl.String(),
    "hn": pl.String(),
    "it": pl.String(),
    FAILURE: pl.String(),
}
_MEANING: Final = (
    ("ts", "start of the sample, ms since 1970"),
    ("t", "latency, ms"),
    ("lb", "name of the sampler"),
    ("rc", "status, which may be text"),
    ("rm", "what the server said, or how the sample failed"),
    ("s", "whether the sample succeeded"),
    ("by", "size of the response, bytes"),
    ("sby", "size of the request, bytes"),
    ("sc", "how many samples it sums up, which must be 1"),
    ("tn", "name of the thread"),
    ("hn", "name of the host"),
    ("it", "pauses within it that are not in t, ms"),
    (FAILURE, "which assertion failed"),
)


class _FoundError(Exception):
    """The name of the root has been found."""


@dataclass(frozen=True, kw_only=True)
class _Xml(Recipe):
    """Reads samples from their XML; the line of a row is that of its start tag.

    Attributes:
        level: whether samples or transactions count.
    """

    level: Level = "requests"

    @property
    def is_nested(self) -> bool:
        """Rows may belong to others, which are mostly, but not always, around them."""
        return self.level == "requests"

    @property
    def spanning(self) -> "_Xml":
        """The same, as the spans of all rows are read anyway."""
        return self

    def batches(self, path: Location) -> Iterator[Parsed]:
        """Reads the document from front to back.

        Raises:
            InputError: the document has a document type declaration or an encoding that is not known, or
                its compressed data is damaged.
        """
        document = Document(path, self.level)
        with open_stream(path) as stream:
            for number, chunk in enumerate(iter(partial(_next_chunk, stream), b""), start=1):
                document.feed(chunk)
                if number % _BATCH_CHUNKS == 0:
                    yield self._taken(document.samples)
        document.close()
        yield self._taken(document.samples)

    def _taken(self, samples: Samples) -> Parsed:
        found = samples.complete
        cells = [tuple(map(sample.attributes.get, self.types)) for sample in found]
        text = pl.DataFrame(cells, schema=dict.fromkeys(self.types, pl.String()), orient="row")
        typed, faults = cast_cells(text, self.types)
        parsed = self.finish(
            typed,
            lines=[sample.line for sample in found],
            raw=lambda index: found[index].start_tag,
            faults=faults,
            rejects=samples.rejects,
            left_out=samples.left_out,
        )
        samples.forget()
        return refuse(parsed, {SUMS: SUMS_ADVICE})


def _next_chunk(stream: IO[bytes]) -> bytes:
    """The next bytes to the end of a line, so that no start tag is divided."""
    data = stream.read(_CHUNK_BYTES)
    return data if not data or data.endswith(b"\n") else data + stream.readline(_CHUNK_BYTES)


def _columns() -> tuple[pl.Expr, ...]:
    start, latency = pl.col("ts"), pl.col("t")
    return (
        pl.col("s").alias("success"),
        pl.when(~pl.col("s"))
        .then(failure_class(pl.col("rc"), [pl.col(FAILURE), pl.col("rm")]))
        .alias("error"),
        seconds(start, per_second=_MS_PER_S).alias("start_time"),
        seconds(start + latency, per_second=_MS_PER_S).alias("end_time"),
        latency.cast(pl.Float64).alias(LATENCY),
        pl.col("lb").fill_null("").alias("label"),
        pl.col("by").alias("response_size"),
        pl.col("sby").alias("request_size"),
    )


def _spans() -> tuple[pl.Expr, ...]:
    threads = [pl.col(name).fill_null("") for name in ("tn", "hn")]
    return spans(
        thread=pl.concat_str(threads, separator="\n"),
        start_ms=pl.col("ts"),
        elapsed=pl.col("t"),
        idle=pl.col("it"),
        label=pl.col("lb"),
        message=pl.col("rm"),
        clock_ms=1,
    )


_XML: Final = _Xml(
    types=_TYPES,
    columns=_columns(),
    rules=(
        *(Rule(column=name, expected="0 or more", broken=pl.col(name) < 0) for name in ("t", "by", "sby")),
        time_rule("ts", MILLISECONDS),
    ),
    left_out={SUMS: (pl.col("sc") > 1).fill_null(value=False)},
    spans=_spans(),
    required=frozenset({"ts", "t", "s"}),
    meaning=_MEANING,
)


def _root(data: bytes) -> str:
    """The name of the first element, or of the document type; empty where there is none."""
    names: list[str] = []

    def found(name: str, *_others: object) -> None:
        names.append(name)
        raise _FoundError

    parser = expat.ParserCreate()
    parser.StartElementHandler = found
    parser.StartDoctypeDeclHandler = found
    with suppress(_FoundError, expat.ExpatError, LookupError, ValueError):
        parser.Parse(data, False)
    return names[0] if names else ""


def _matches(head: Head) -> bool:
    return _root(head.data[:_ROOT_BYTES]) == ROOT


def _open(_head: Head) -> _Xml:
    return _XML


def _open_transactions(_head: Head) -> _Xml:
    return replace(_XML, level="transactions", spans=())


def _warnings(_head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    return nesting_warnings(facts)


JMETER_XML: Final = Dialect(
    name="jmeter-xml",
    title="JMeter XML",
    key=("label",),
    clock="epoch",
    closed_loop=True,
    logged_times=("start_time",),
    matches=_matches,
    open=_open,
    open_transactions=_open_transactions,
    warnings=_warnings,
)
