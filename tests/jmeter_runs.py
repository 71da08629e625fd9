"""Made runs of JMeter as CSV and as XML, laid out as its own writers do, and what is a call in them."""

import csv
import io
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import loadlens

START_MS = 1_700_000_000_000
COLUMNS = [
    "timeStamp",
    "elapsed",
    "label",
    "responseCode",
    "responseMessage",
    "threadName",
    "dataType",
    "success",
    "failureMessage",
    "bytes",
    "sentBytes",
    "grpThreads",
    "allThreads",
    "URL",
    "Latency",
    "IdleTime",
    "Connect",
]


@dataclass(frozen=True, kw_only=True)
class Element:
    """A sample, or the sum of a transaction controller, with what JMeter nests in it.

    Attributes:
        is_sum: whether it is the sum of a transaction controller.
        is_call: whether it must count at the level of requests.
        inner: the samples in it.
    """

    label: str
    thread: str
    start: int
    ms: int
    ok: bool = True
    is_sum: bool = False
    is_call: bool = False
    samples: int = 0
    inner: tuple["Element", ...] = field(default=())

    @property
    def end(self) -> int:
        return self.start + self.ms

    @property
    def message(self) -> str:
        if self.is_sum:
            failed = f"number of failing samples : {1 - self.ok}"
            return f"Number of samples in transaction : {self.samples}, {failed}"
        return "OK" if self.ok else "Server Error, sorry"

    @property
    def code(self) -> str:
        return "200" if self.ok else "" if self.is_sum else "500"

    def all(self) -> Iterator["Element"]:
        """It and all that is in it, the outer first, as JMeter writes them to CSV."""
        yield self
        for element in self.inner:
            yield from element.all()


class Maker:
    """Makes the samples of one thread, one after the other."""

    def __init__(self, thread: str, chance: random.Random) -> None:
        self.thread, self.chance, self.now = thread, chance, START_MS + chance.randrange(500)

    def run(self, steps: int) -> list[Element]:
        made = [
            self.chance.choice(
                (self.page, self.page, self.plain, self.added, self.parent, self.lone_parent, self.nested)
            )()
            for _ in range(steps)
        ]
        return [element for elements in made for element in elements]

    def sample(self, label: str, inner: tuple[Element, ...] = (), *, is_call: bool = True) -> Element:
        start = inner[0].start if inner else self.now
        if not inner:
            self.now += self.chance.randint(1, 80)
        made = Element(
            label=label,
            thread=self.thread,
            start=start,
            ms=self.now - start,
            ok=self.chance.random() > 0.2,
            is_call=is_call,
            inner=inner,
        )
        self.now += self.chance.randint(1, 20)
        return made

    def plain(self) -> list[Element]:
        """A sample by itself, sometimes called as if it was a part of another."""
        return [self.sample(self.chance.choice(("ping", "Home-0", "step-7", "page-1")))]

    def page(self) -> list[Element]:
        """A sample with steps of a redirect or embedded resources, some of which have their own."""
        label = self.chance.choice(("Home", "page"))
        deeper = (self.sample(f"{label}-1-0", is_call=False), self.sample(f"{label}-1-1", is_call=False))
        first = self.sample(f"{label}-0", is_call=False)
        inner = (first, self.sample(f"{label}-1", is_call=False))
        if self.chance.random() < 0.5:
            holder = self.sample(f"{label}-2", deeper, is_call=False)
            return [self.sample(label, tuple(sorted((*inner, holder), key=lambda one: one.start)))]
        return [self.sample(label, inner)]

    def sum_of(
        self, label: str, first: int, elements: Sequence[Element], *, is_call: bool = False
    ) -> Element:
        return Element(
            label=label,
            thread=self.thread,
            start=first,
            ms=self.now - first,
            ok=all(element.ok for element in elements),
            is_sum=True,
            is_call=is_call,
            samples=len(elements),
        )

    def steps(self) -> list[Element]:
        self.now += self.chance.randint(0, 10)
        return [
            element for _ in range(self.chance.randint(1, 3)) for element in (*self.page(), *self.plain())
        ]

    def added(self) -> list[Element]:
        """A transaction whose sum comes after its samples."""
        first = self.now
        elements = self.steps()
        total = self.sum_of("Buy", first, elements)
        self.now += 5
        return [*elements, total]

    def parent(self) -> list[Element]:
        """A transaction that holds its samples."""
        first = self.now
        elements = self.steps()
        total = replace(self.sum_of("Pay", first, elements), inner=tuple(elements))
        self.now += 5
        return [total]

    def lone_parent(self) -> list[Element]:
        """A transaction whose samples are not saved, so that it is the call."""
        first = self.now
        elements = self.steps()
        total = self.sum_of("Checkout", first, elements, is_call=True)
        self.now += 5
        return [total]

    def nested(self) -> list[Element]:
        """Transactions within a transaction, and one that made no call."""
        first = self.now
        inner = [*self.lone_parent(), *self.added()]
        nothing = Element(label="Nothing", thread=self.thread, start=self.now, ms=0, is_sum=True)
        total = self.sum_of("All", first, inner)
        self.now += 5
        return [*inner, nothing, total]


def run(seed: int, threads: int = 3, steps: int = 6) -> list[Element]:
    """The samples of several threads in the order in which they end, as JMeter logs them."""
    chance = random.Random(seed)
    made = [Maker(f"Users 1-{number}", chance).run(steps) for number in range(1, threads + 1)]
    return sorted((element for elements in made for element in elements), key=lambda element: element.end)


def calls(elements: Iterable[Element]) -> list[Element]:
    """Those that must count at the level of requests."""
    return [one for element in elements for one in element.all() if one.is_call]


def csv_rows(elements: Iterable[Element]) -> list[list[object]]:
    return [
        [
            one.start,
            one.ms,
            one.label,
            one.code,
            one.message,
            one.thread,
            "" if one.is_sum else "text",
            str(one.ok).lower(),
            "",
            1000,
            100,
            3,
            3,
            "null" if one.is_sum else "http://localhost/",
            one.ms // 2,
            0,
            1,
        ]
        for element in elements
        for one in element.all()
    ]


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([COLUMNS, *rows])
    return out.getvalue()


def _xml(element: Element, depth: int) -> str:
    tag = "sample" if element.is_sum else "httpSample"
    values = {
        "t": element.ms,
        "lt": element.ms // 2,
        "ts": element.start,
        "s": str(element.ok).lower(),
        "lb": element.label,
        "rc": element.code,
        "rm": element.message,
        "tn": element.thread,
        "by": 1000,
        "sby": 100,
    }
    cells = " ".join(f"{name}={quoteattr(str(value))}" for name, value in values.items())
    indent = "  " * depth
    inner = "".join(_xml(one, depth + 1) for one in element.inner)
    return f"{indent}<{tag} {cells}>\n{inner}{indent}</{tag}>\n" if inner else f"{indent}<{tag} {cells}/>\n"


def xml_text(elements: Iterable[Element]) -> str:
    body = "".join(_xml(element, 0) for element in elements)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testResults version="1.2">\n{body}\n</testResults>\n'


HEADER = "timeStamp,elapsed,label,responseCode,success,bytes\n"


def jtl(path: Path, *latencies: int, begin: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{1700000000000 + begin + i * 1000},{ms},a,200,true,10\n" for i, ms in enumerate(latencies)]
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    return path


def dated(path: Path, seconds: int) -> Path:
    """Sets when a file was written, in seconds since some day."""
    os.utime(path, (1_700_000_000 + seconds,) * 2)
    return path


def latencies(*sources: object) -> list[float]:
    log = loadlens.read_log([str(source) for source in sources])
    return sorted(log.frame.collect()["invocation_latency"].to_list())
