"""JMeter's JTL files as XML, perhaps damaged: an element for each sample, with samples within samples.

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

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, Final
from xml.parsers import expat

import polars as pl

from loadlens.dialects.base import Dialect, Level
from loadlens.dialects.durations import Logged, recipe_with
from loadlens.dialects.jmeter_samples import (
    MILLISECONDS,
    PART_NAME,
    REQUESTS,
    SUMS,
    SUMS_ADVICE,
    TRANSACTION_MESSAGE,
    failure_class,
    nesting_warnings,
    refuse,
    spans,
    time_rule,
)
from loadlens.errors import InputError
from loadlens.schema import LATENCY, Rule
from loadlens.storage.location import Location
from loadlens.text.nesting import PARTS, TRANSACTIONS
from loadlens.text.stream import Head, open_stream
from loadlens.text.typed_rows import Parsed, Recipe, Reject, bounded, cast_cells, seconds

__all__ = ["FAILURE", "JMETER_XML", "ROOT", "Document", "Sample", "Samples"]


ROOT: Final = "testResults"
"""The outermost element."""

FAILURE: Final = "failureMessage"
"""The element with the message of an assertion; its text becomes an attribute of the sample."""

_HTTP_SAMPLE: Final = "httpSample"
_SAMPLES: Final = {"sample", _HTTP_SAMPLE}
_OUTERMOST: Final = 2  # below the root
_PLUGIN_SAMPLE: Final = "SampleResult"
_FOREIGN: Final = "is neither sample nor httpSample, but written by a plugin in a form of its own"
_STRAY: Final = "is text where a sample is expected: its beginning is lost"
_DAMAGED: Final = "the XML is damaged, and skipped up to the next sample of the outermost level"
_SAMPLE_TAG: Final = rb"<(?:sample|httpSample)[ \t]"
_MOST_INDENT: Final = len("<testResults>") - 1  # beyond that, samples stand behind each other
_LONGEST_MARK: Final = len("\n<httpSample ") + _MOST_INDENT
_MOST_SWALLOWED: Final = 10_000
_MAX_TAG_BYTES: Final = 2**20
_MAX_DEPTH: Final = 100
_MAX_FAILURE_CHARACTERS: Final = 500

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

_DURATIONS: Final = {"connect": Logged(source="ct"), "first_byte": Logged(source="lt")}


class _DamageError(Exception):
    """What XML allows, but no sane log holds."""


class _UnclosedError(_DamageError):
    """A sample begins that cannot be within the open one, whose end is lost.

    Attributes:
        begins: at which byte of what the parser was given.
    """

    def __init__(self, begins: int) -> None:
        super().__init__("a sample is not closed before the next one of the outermost level")
        self.begins = begins


@dataclass(kw_only=True)
class Sample:
    """A sample, from its start tag on.

    Attributes:
        line: where its start tag begins, from 1.
        tag: ``sample`` or ``httpSample``.
        attributes: those of its start tag, and ``FAILURE``.
        is_part: whether its time is part of a sample around it.
        has_samples: whether samples that count are within it.
        column: where in its line its start tag begins, from 0.
        swallowed: its parts that begin where samples of the outermost level do: if its end turns out to be
            lost, they are such samples.
    """

    line: int
    tag: str
    attributes: dict[str, str]
    is_part: bool
    has_samples: bool = False
    column: int = 0
    swallowed: list["Sample"] = field(default_factory=list)

    @property
    def is_transaction(self) -> bool:
        """Whether it is the sum of a transaction controller, or of other samples that count."""
        return self.has_samples or self.attributes.get("rm", "").startswith(TRANSACTION_MESSAGE)

    def includes(self, name: str) -> bool:
        """Whether a sample of that name within it is a part of it, not one that it sums up."""
        if self.is_part or self.tag == _HTTP_SAMPLE:
            return True
        own = self.attributes.get("lb", "")
        is_named_after = name.startswith(own) and re.fullmatch(f"(?:{PART_NAME})+", name[len(own) :])
        return bool(is_named_after) and not self.is_transaction

    def cannot_hold(self, other: "Sample") -> bool:
        """Whether another sample is of another thread, or begins after this one's end."""
        threads = {self.attributes.get("tn", ""), other.attributes.get("tn", "")} - {""}
        if len(threads) > 1:
            return True
        start, other_start = _number(self.attributes.get("ts")), _number(other.attributes.get("ts"))
        took, idle = _number(self.attributes.get("t")), _number(self.attributes.get("it"))
        is_sum = self.attributes.get("rm", "").startswith(TRANSACTION_MESSAGE)  # may leave out pauses
        if start is None or other_start is None or took is None or (is_sum and idle is None):
            return False
        end = start + took + (idle or 0)
        return other_start > end or (other_start == end and self.column == other.column)

    @property
    def start_tag(self) -> str:
        """Its start tag, of bounded length."""
        return _start_tag(self.tag, self.attributes)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _start_tag(name: str, attributes: Mapping[str, str]) -> str:
    cells = (f' {key}="{html.escape(value)}"' for key, value in attributes.items() if key != FAILURE)
    return bounded(f"<{name}{''.join(cells)}>")


class Samples:
    """Collects what the elements of a document hold, in the order of their end tags.

    Attributes:
        level: whether samples or transactions count.
        complete: those that count, or may.
        rejects: what should be a sample, but cannot be read.
        left_out: samples that do not count, by what they are.
        indent: the column where the first sample of the outermost level begins; None before that.
    """

    indent: int | None = None

    def __init__(self, level: Level = "requests") -> None:
        self.level = level
        self.forget()

    def forget(self) -> None:
        """Begins anew with what is collected."""
        self.complete: list[Sample] = []
        self.rejects: list[Reject] = []
        self.left_out: Counter[str] = Counter()

    def listen_to(self, parser: expat.XMLParserType, first_line: int) -> None:
        """Takes the events of a parser that begins in that line, outside of any sample."""
        self._open: list[Sample] = []
        self._foreign: Sample | None = None
        self._depth = self._foreign_depth = 0
        self._parser, self._lines_before = parser, first_line - 1
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.buffer_text = True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _DamageError(f"elements are nested more than {_MAX_DEPTH} deep")
        if self._foreign_depth:
            self._refuse_unclosed(name)
            return
        line = self._lines_before + self._parser.CurrentLineNumber
        if name in _SAMPLES:
            column = self._parser.CurrentColumnNumber
            sample = Sample(line=line, tag=name, attributes=attributes, is_part=False, column=column)
            self._begin(sample)
        elif self._depth == _OUTERMOST or _PLUGIN_SAMPLE in name:
            self._foreign_depth = self._depth
            if not self._is_part():
                column = self._parser.CurrentColumnNumber
                self.indent = column if self.indent is None else self.indent
                self._foreign = Sample(
                    line=line, tag=name, attributes=attributes, is_part=False, column=column
                )
        elif name == FAILURE and self._open:
            self._open[-1].attributes.setdefault(FAILURE, "")
            self._parser.CharacterDataHandler = self._add_failure

    def _refuse_unclosed(self, name: str) -> None:
        """Refuses a foreign element that holds a sample of the outermost level: what ends it was lost."""
        is_outermost = name in _SAMPLES and self._parser.CurrentColumnNumber == self.indent
        if is_outermost and self._foreign_depth == _OUTERMOST:
            raise _UnclosedError(self._parser.CurrentByteIndex)

    def _begin(self, sample: Sample) -> None:
        if self.indent is None:
            self.indent = sample.column
        if self._open and self._open[-1].cannot_hold(sample):
            raise _UnclosedError(self._parser.CurrentByteIndex)
        sample.is_part = self._is_part(sample.attributes.get("lb", ""))
        self._open.append(sample)

    def give_up(self) -> Sample | None:
        """Gives the outermost element that is open and cannot be completed; what it swallowed counts."""
        for sample in self._open:
            for other in sample.swallowed:
                other.is_part = False
                self._count(other)
        lost = self._open[0] if self._open else self._foreign
        self._open = []
        return lost

    def _is_part(self, name: str = "") -> bool:
        """Whether the sample that begins here is part of an open one, or else counts in its place."""
        if not self._open:
            return False
        around = self._open[-1]
        is_part = around.includes(name)
        around.has_samples |= not is_part
        return is_part

    def _text(self, text: str) -> None:
        """Takes text, which has no place between samples: the rest of one whose beginning is lost."""
        if self._depth < _OUTERMOST and not text.isspace():
            line = self._lines_before + self._parser.CurrentLineNumber
            self.rejects.append(Reject(line, "", _STRAY, bounded(text.strip())))

    def _add_failure(self, text: str) -> None:
        attributes = self._open[-1].attributes
        attributes[FAILURE] = (attributes[FAILURE] + text)[:_MAX_FAILURE_CHARACTERS]

    def _end(self, name: str) -> None:
        if self._foreign_depth == self._depth:
            self._foreign_depth = 0
            if self._foreign:
                self.rejects.append(Reject(self._foreign.line, "", _FOREIGN, self._foreign.start_tag))
                self._foreign = None
        elif name == FAILURE:
            self._parser.CharacterDataHandler = self._text
        elif name in _SAMPLES and not self._foreign_depth:
            self._end_sample(self._open.pop())
        self._depth -= 1

    def _end_sample(self, sample: Sample) -> None:
        for part in sample.swallowed:
            self._count(part)
        outer = self._open[-1] if self._open else None
        if sample.is_part and outer and sample.column == self.indent == outer.column:
            outer.swallowed.append(sample)
            if len(outer.swallowed) > _MOST_SWALLOWED:
                raise _UnclosedError(self._parser.CurrentByteIndex)
        else:
            self._count(sample)

    def _count(self, sample: Sample) -> None:
        if self.level == "transactions":
            if sample.is_transaction:
                self.complete.append(sample)
            else:
                self.left_out[REQUESTS] += 1
        elif sample.is_part:
            self.left_out[PARTS] += 1
        elif sample.has_samples:
            self.left_out[TRANSACTIONS] += 1
        else:
            self.complete.append(sample)


class Document:
    """A document that comes in chunks and may be damaged.

    Attributes:
        samples: what has been read so far.
    """

    def __init__(self, path: Location, level: Level = "requests") -> None:
        self.samples = Samples(level)
        self._path = path
        self._encoding: str | None = None
        self._parser: expat.XMLParserType | None = self._new_parser(1)
        self._fed = 0  # bytes that this parser was given
        self._kept = b""  # the end of the last chunk, in which the next sample may begin
        self._line = 1  # where ``_kept`` begins

    def _new_parser(self, first_line: int) -> expat.XMLParserType:
        parser = expat.ParserCreate(self._encoding)
        parser.StartDoctypeDeclHandler = self._refuse
        parser.XmlDeclHandler = self._declare
        self.samples.listen_to(parser, first_line)
        return parser

    def _refuse(self, *_doctype: object) -> None:
        # Entities, with which a small file becomes a large one or reads others, are declared in it.
        raise InputError(
            f"{self._path}: has a document type declaration, which JMeter never writes and which can do "
            f"harm; remove it"
        )

    def _declare(self, _version: str, encoding: str | None, _standalone: int) -> None:
        # What begins anew after damage begins with ASCII.
        if encoding and "<".encode(encoding) == b"<":
            self._encoding = encoding

    def feed(self, chunk: bytes) -> None:
        """Reads the next chunk.

        Raises:
            InputError: the document has a document type declaration, or an encoding that is not known.
        """
        window = self._kept + chunk
        floor = 0
        at = self._resume(window, floor) if self._parser is None else len(self._kept)
        while at is not None and (damage := self._parse(window[at:])):
            message, offset = damage
            self._reject(f"{_DAMAGED}: {message}", window, at + offset)
            at = self._resume(window, max(at + offset - 1, floor))
            floor = floor if at is None else at + 1
        kept = min(len(window), _LONGEST_MARK - 1)
        self._line += window.count(b"\n", 0, len(window) - kept)
        self._kept = window[len(window) - kept :]

    def close(self) -> None:
        """Notes whether the document ended early."""
        damage = self._parse(b"", is_last=True) if self._parser else None
        if damage:
            self._reject(f"the XML is cut off: {damage[0]}", self._kept, len(self._kept))

    def _parse(self, data: bytes, *, is_last: bool = False) -> tuple[str, int] | None:
        """What is wrong and where in ``data``, which may be before it; None if nothing is."""
        parser = self._parser
        if parser is None:
            return None
        self._fed += len(data)
        try:
            parser.Parse(data, is_last)
            if self._fed - parser.CurrentByteIndex > _MAX_TAG_BYTES:
                raise _DamageError(f"a tag is longer than {_MAX_TAG_BYTES:,} bytes")
        except expat.ExpatError as error:
            message = expat.ErrorString(error.code)
        except _UnclosedError as error:
            return str(error), error.begins - self._fed + len(data)
        except _DamageError as error:
            message = str(error)
        except (LookupError, ValueError) as error:
            raise InputError(f"{self._path}: its encoding cannot be read: {error}") from error
        else:
            return None
        return message, parser.CurrentByteIndex - self._fed + len(data)

    def _resume(self, window: bytes, floor: int) -> int | None:
        """Where the next sample of the outermost level begins; a new parser is made for it."""
        indent = self.samples.indent or 0
        is_indented = indent <= _MOST_INDENT  # otherwise all samples are on one line
        before = rb"\n[ \t]{%d}" % indent if is_indented else b""
        pattern = re.compile(before + rb"(%b)" % _SAMPLE_TAG)
        found = pattern.search(window, max(floor - indent if is_indented else floor, 0))
        if found is None:
            self._parser = None
            return None
        at = found.start(1)
        self._parser = self._new_parser(self._line_of(window, at))
        root = f"<{ROOT}>".encode()
        self._parser.Parse(root, False)
        self._fed = len(root)
        return at

    def _line_of(self, window: bytes, at: int) -> int:
        return self._line + window.count(b"\n", 0, max(at, 0))

    def _reject(self, reason: str, window: bytes, at: int) -> None:
        lost = self.samples.give_up()
        if lost:
            reject = Reject(lost.line, "", reason, lost.start_tag)
        else:
            # A tag that does not end well is found out only where the next one begins.
            at = max(window.rfind(b"<", 0, max(at, 0)), 0)
            raw = window[at:].split(b"\n", 1)[0]
            reject = Reject(self._line_of(window, at), "", reason, bounded(raw))
        self.samples.rejects.append(reject)


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


_WORKER: Final = pl.concat_str([pl.col(name).fill_null("") for name in ("hn", "tn")], separator=" ")
_MEASURED: Final = recipe_with(_XML, _DURATIONS)
_XML_WITH_DURATIONS: Final = replace(_MEASURED, columns=(*_MEASURED.columns, _WORKER.alias("worker")))


def _open_durations(_head: Head) -> _Xml:
    return _XML_WITH_DURATIONS


def _open_transactions(_head: Head) -> _Xml:
    return replace(_XML, level="transactions", spans=())


def _warnings(_head: Head, _rows: int, facts: Mapping[str, int]) -> list[str]:
    return nesting_warnings(facts)


JMETER_XML: Final = Dialect(
    signs=(b"<",),
    name="jmeter-xml",
    title="JMeter XML",
    key=("label",),
    clock="epoch",
    closed_loop=True,
    logged_times=("start_time",),
    matches=_matches,
    open=_open,
    open_durations=_open_durations,
    open_transactions=_open_transactions,
    warnings=_warnings,
)
