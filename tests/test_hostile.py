"""Logs that are made to do harm: bombs, and text that others would run or obey."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

import loadlens
from loadlens.cli import app
from loadlens.text.stream import UNCHECKED_BYTES
from tests.dialect_logs import KINDS, START_MS, Call
from tests.report.pages import Page

HEADER = "timeStamp,elapsed,label,responseCode,responseMessage,success"
LABELS = (
    "</script><img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<!--[if IE]><![CDATA[x]]>",
    "[red]x[/red] [link=file:///etc/passwd]y[/link]",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07 \x9b2J \x08\x7f",
    "{{7*7}} {% include 'x' %} ${7*7} datum.series",
    "\"'`&amp; </td></tr></table>",
    "a\0b \u202egnp.exe \ufeff",
    "=HYPERLINK(1)",
)
NAMED_BY_URLS = [
    name
    for name, kind in KINDS.items()
    if "label" in kind.key and name not in {"azure-trace", "loadlens-csv"}
]
DRAWN = {
    "clipPath",
    "defs",
    "g",
    "line",
    "linearGradient",
    "path",
    "rect",
    "stop",
    "style",
    "svg",
    "text",
    "tspan",
}
SECRET = "https://me:secret@host/pay?token=secret#secret"


def jmeter(labels: tuple[str, ...], rows: int = 6) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER.split(","))
    for number, label in enumerate(labels * rows):
        failed = number % 5 == 0
        outcome = (label, "so", "false") if failed else ("200", "OK", "true")
        writer.writerow([1_700_000_000_000 + 40 * number, 100 + 7 * number % 50, label, *outcome])
    return out.getvalue().encode()


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False, color=True)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("attacked")
    path = folder / "<img src=x onerror=alert(2)>[red]\x1b[31m.jtl"
    path.write_bytes(jmeter(LABELS) + b"\x1b[31m,[red]x[/red]\n")
    args = ("--out", folder / "out", "--chart-format", "svg", "--max-rejects", "1")
    return folder / "out", run("analyze", path, *args)


def test_labels_are_counted_as_they_are(attacked: tuple[Path, Result]) -> None:
    out, result = attacked
    assert result.exit_code == 0, result.stderr
    with (out / "summary.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["label"] for row in rows} == set(LABELS)
    assert {row["num_invocations"] for row in rows} == {"6"}
    document = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert {row["label"] for row in document["summary"]} == {row["label"] for row in rows}


def test_the_report_shows_text_and_runs_nothing(attacked: tuple[Path, Result]) -> None:
    text = (attacked[0] / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    page.assert_inert()
    handlers = [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert handlers == []
    assert all("alert" not in str(attributes.get("href", "")) for _, attributes in page.tags)
    for label in (LABELS[0], LABELS[3], LABELS[5]):
        assert label in page.cells
    assert "49" not in [cell for cell in page.cells if "7*7" in cell]


def test_charts_are_drawings_of_text(attacked: tuple[Path, Result]) -> None:
    charts = sorted((attacked[0] / "charts").glob("*.svg"))
    assert charts
    for path in charts:
        root = ET.fromstring(path.read_bytes())
        assert {tag(element) for element in root.iter()} <= DRAWN
        names = {name for element in root.iter() for name in element.attrib}
        assert not [name for name in names if name.startswith("on") or name.endswith("href")]


def tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def test_no_file_holds_a_command_for_a_terminal(attacked: tuple[Path, Result]) -> None:
    out, result = attacked
    drawn = [*out.glob("charts/*"), out / "report.html", out / "summary.json"]
    for text in (*(path.read_text(encoding="utf-8") for path in drawn), result.output, result.stderr):
        assert not controls(text)


def controls(text: str) -> set[str]:
    return {sign for sign in text if sign != "\n" and (sign < " " or "\x7f" <= sign <= "\x9f")}


@pytest.mark.parametrize("dialect", NAMED_BY_URLS)
def test_labels_hold_no_secrets_of_urls(tmp_path: Path, dialect: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(KINDS[dialect].write([Call(SECRET, True, START_MS + at, 5, False) for at in range(20)]))
    assert loadlens.scan_log(path).collect()["label"].unique().to_list() == ["https://host/pay"]


def test_the_terminal_shows_markup_as_text(attacked: tuple[Path, Result], tmp_path: Path) -> None:
    path = tmp_path / "[bold]log.jtl"
    path.write_bytes(jmeter(LABELS) + b"x,[red]y[/red]\x1b[31m\n")
    inspected = run("inspect", path)
    refused = run("analyze", path, "--out", tmp_path / "out")
    converted = run("convert", path, "--out", tmp_path / "converted.parquet")
    for result in (attacked[1], inspected, refused, converted):
        assert not controls(result.output)
    assert "[red]x[/red]" in attacked[1].output
    assert "[bold]log.jtl" in inspected.output
    assert (refused.exit_code, converted.exit_code) == (3, 3)
    assert "[bold]log.jtl, line 56" in refused.stderr


@pytest.mark.slow
def test_a_label_may_have_a_line_separator(tmp_path: Path) -> None:
    path = tmp_path / "log.jtl"
    path.write_bytes(jmeter(("a\u2028b", "c\u2029d")))
    assert run("analyze", path, "--out", tmp_path / "out").exit_code == 0


def test_charts_show_long_labels_in_short(tmp_path: Path) -> None:
    path = tmp_path / "log.jtl"
    path.write_bytes(jmeter(("x" * 5000 + "1", "x" * 5000 + "2")))
    result = loadlens.summarize(path, ["label"])
    assert result.summary["label"].n_unique() == 2
    assert len(result.documents()) > 1
    assert "x" * 500 not in json.dumps(result.documents())


def test_names_of_columns_are_text_too(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>[red]"
    path = tmp_path / "log.csv"
    path.write_text(f"invocation_latency,{name}\n1.5,{LABELS[0]}\n2.5,b\n", encoding="utf-8")
    result = run("analyze", path, "--out", tmp_path / "out", "--by", name)
    assert result.exit_code == 0, result.stderr
    assert Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).named("img") == []
    assert "[red]" in run("inspect", path).output


def test_a_document_type_of_xml_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="utf-8")
    path = tmp_path / "log.jtl"
    path.write_text(
        f'<?xml version="1.0"?>\n<!DOCTYPE testResults [<!ENTITY a SYSTEM "{secret.as_uri()}">'
        '<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>\n<testResults version="1.2">'
        '<httpSample t="1" ts="1700000000000" s="true" lb="&a;&c;" rc="200"/></testResults>',
        encoding="utf-8",
    )
    result = run("analyze", path, "--out", tmp_path / "out", "--max-rejects", "100%")
    assert result.exit_code == 3
    assert "secret</" not in result.output


def repeated(size: int) -> Iterator[bytes]:
    """A log of that size, in parts, of which all but the header are equal."""
    yield f"{HEADER}\n".encode()
    part = b"1700000000000,5,/a,200,OK,true\n" * 30_000
    for _ in range(size // len(part) + 1):
        yield part


def gzip_bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([packer.compress(b"\n" * size), packer.flush()])


def zstd_bomb(size: int) -> bytes:
    return bytes(pa.Codec("zstd", 19).compress(b"".join(repeated(size)), asbytes=True))


def test_a_compression_bomb_stops_with_a_message(tmp_path: Path) -> None:
    path = tmp_path / "log.jtl.zst"
    path.write_bytes(zstd_bomb(UNCHECKED_BYTES + 2**20))
    assert path.stat().st_size < UNCHECKED_BYTES / 1000
    for command in ("analyze", "convert"):
        result = run(command, path, "--out", tmp_path / "out")
        assert result.exit_code == 3
        assert f"give more than {UNCHECKED_BYTES:,}; at most 1000 times the size" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_gzip_bomb_stops_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadlens.text.stream.UNCHECKED_BYTES", 2**20)
    monkeypatch.setattr("loadlens.text.stream.MAX_EXPANSION", 100)
    path = tmp_path / "log.jtl.gz"
    path.write_bytes(gzip.compress(b"".join(repeated(2**23)), 9))
    result = run("analyze", path, "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert result.stderr.startswith(
        f"loadlens: {path}: {path.stat().st_size:,} compressed bytes give more than"
    )
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("dialect", ["xml", "gatling"])
def test_a_bomb_of_other_formats_stops_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    monkeypatch.setattr("loadlens.text.stream.UNCHECKED_BYTES", 2**20)
    begin = {
        "xml": b'<?xml version="1.0"?>\n<testResults version="1.2">\n',
        "gatling": b"RUN\tcom.example.Shop\tshop\t1700000000123\t \t3.10.5\n",
    }[dialect]
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(begin + b" " * 2**22, 9))
    with pytest.raises(loadlens.InputError, match=r"give more than|is longer than"):
        loadlens.summarize(path, by=[])


def test_a_bomb_of_nothing_known_is_refused_at_its_head(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip_bomb(2**22) + gzip.compress(b"x"))
    with pytest.raises(loadlens.InputError, match="no known format"):
        loadlens.read_log(path)


def test_a_zip_or_another_archive_is_refused(tmp_path: Path) -> None:
    for number, magic in enumerate(
        (b"PK\x03\x04", b"BZh91AY&SY", b"\xfd7zXZ\x00", b"7z\xbc\xaf", b"%PDF-1.7")
    ):
        path = tmp_path / str(number)
        path.write_bytes(magic + bytes(range(256)) * 4)
        with pytest.raises(loadlens.InputError, match="no known format"):
            loadlens.read_log(path)
