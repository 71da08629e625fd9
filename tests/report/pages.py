"""Results to report on, and how to look into the page that comes out."""

from base64 import b64encode
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser

import polars as pl

import loadlens
from loadlens.report import Report, Section, Table, render
from tests.sample_logs import small_log, stability_log

HOSTILE = "</script><img src=x onerror=alert(1)>"


@dataclass(frozen=True)
class Drawing:
    """A chart that has been drawn."""

    svg: str


SVG = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="80" height="20" viewBox="0 0 80 20">'
    '<text y="10">drawn</text></svg>'
)
CHART = Drawing(SVG)
OPTIONS = {"Outlier fence": "mean-iqr", "Price table": "sagemaker-serverless.toml"}
_RAW = ("script", "style")
_VOID = {"meta", "img", "br", "hr", "link", "input"}


@dataclass
class Page(HTMLParser):
    """A page taken apart; refuses one whose tags do not balance."""

    text: str
    open_tags: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()
        assert self.open_tags == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open_tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag in _RAW:
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open_tags and self.open_tags[-1] in ("td", "th"):
            self.cells[-1] += data
        if self.open_tags and self.open_tags[-1] in _RAW:
            self.scripts[-1] += data

    def assert_inert(self) -> None:
        """Nothing runs but the script of the page itself, and nothing is loaded."""
        assert not {"img", "iframe", "link", "base", "object", "embed"} & {tag for tag, _ in self.tags}
        assert not [name for _, attributes in self.tags for name in attributes if name.startswith("on")]
        running = [one for one in self.named("script") if one.get("type") != "application/json"]
        (policy,) = [one["content"] for one in self.named("meta") if "http-equiv" in one]
        assert len(running) == 1
        assert policy == (
            f"default-src 'none'; style-src '{_digest(self.scripts[0])}'; "
            f"script-src '{_digest(self.scripts[-1])}'; base-uri 'none'; form-action 'none'"
        )
        assert self.text.count("</script") == len(self.named("script"))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def page_of(report: Report) -> Page:
    return Page(render(report))


def report_of(*blocks: object, title: str = "Title") -> Report:
    section = Section(title="Part", anchor="part", blocks=blocks)  # type: ignore[arg-type]
    return Report(title=title, subtitle="log.csv", sections=(section,))


def tables_of(report: Report) -> list[Table]:
    return [block for section in report.sections for block in section.blocks if isinstance(block, Table)]


@cache
def concurrency() -> loadlens.ConcurrencyResult:
    return loadlens.summarize_concurrency_results(small_log())


@cache
def stability() -> loadlens.StabilityResult:
    return loadlens.summarize_stability_results(stability_log(small_log()))


def cost_of(
    *latencies: float, sizes: tuple[int, ...] = (1024, 2048, 3072, 4096, 5120, 6144)
) -> loadlens.CostResult:
    """The cost of sizes whose model takes ``latencies`` ms."""
    metrics = pl.DataFrame(
        {
            "memory_size": list(sizes[: len(latencies)]),
            "ModelLatency": list(latencies),
            "OverheadLatency": [0.0] * len(latencies),
        }
    )
    return loadlens.compute_cost_savings(metrics, 0, 0)
