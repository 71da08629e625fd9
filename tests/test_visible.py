"""What cannot be seen is shown, everywhere; what people write stays as it is."""

import csv
import unicodedata
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from loadlens.charts.drawing import printable
from loadlens.cli import app
from loadlens.messages import visible, visible_lines

READ = [
    "naïve café / Straße / Ελληνικά / Русский",
    "مرحبا بالعالم",
    "می\u200cخواهم",  # Persian: two parts of a word that are not joined
    "שָׁלוֹם עולם",
    "क्\u200dष क्ष",
    "支付 결제 お支払い",
    "👩\u200d👩\u200d👧 ❤️\u200d🔥 1️⃣ ☎️",
    "e\u0301",
]
STRAY = ["a\u200db", "\u200cx", "支\u200d", "a\ufe0fb", " \ufe0f", "👩\u200d\u200d👩"]
HIDDEN = [
    *map(chr, (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))),
    *map(chr, (0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF, 0x3164, 0xFFFF)),
    *map(chr, (0xE0001, 0xE0041, 0xE007F, 0xE0100, 0xD800)),
]


@pytest.mark.parametrize("text", READ)
def test_text_that_people_write_stays(text: str) -> None:
    assert visible(text) == visible_lines(text) == text


@pytest.mark.parametrize("text", [*STRAY, *(f"pay{hidden}gnp.exe" for hidden in HIDDEN)], ids=ascii)
def test_what_is_hidden_is_shown(text: str) -> None:
    assert visible(text).count("�") == 1 + text.count("\u200d\u200d")
    assert len(visible(text)) == len(text)


def test_all_that_unicode_calls_a_control_or_a_format_is_hidden() -> None:
    of_scripts = {
        chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)
    }
    signs = of_scripts | {chr(code) for code in range(0x13430, 0x13440)}  # seen: numbers, verses, hieroglyphs
    for character in map(chr, range(0x110000)):
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in signs:
            assert visible(f"a{character}b") == "a�b", ascii(character)


def test_lines_stay_lines() -> None:
    assert visible_lines("a\tb\r\nc\x1b") == "a\tb\r\nc�"


def is_shown(text: str) -> bool:
    return text == visible_lines(text) and READ[1] in text and READ[6] in text


def test_nothing_hidden_comes_out(tmp_path: Path) -> None:
    names = [READ[1], READ[6], *(f"b{hidden}c" for hidden in HIDDEN[32:-1])]
    log, out = tmp_path / "log.parquet", tmp_path / "out"
    rows = {"invocation_latency": [float(len(names))] * len(names), "end_time": range(len(names))}
    pl.DataFrame({**rows, "label": names}, strict=False).write_parquet(log)

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    run("analyze", log, "--out", out, "--by", "label", "--chart-format", "svg", "--quiet")
    files = ("--junit", tmp_path / "junit.xml", "--markdown", tmp_path / "gates.md")
    printed = run("check", log, "--slo", "p99 < 9s", "--by", "label", *files)
    assert printed == visible_lines(printed)
    assert is_shown(run("check", log, "--slo", "p99 < 9s", "--by", "label", "--json"))
    written = [out / "report.html", out / "summary.json", tmp_path / "junit.xml", tmp_path / "gates.md"]
    for path in written:
        assert is_shown(path.read_text(encoding="utf-8")), path.name
    for path in (out / "charts").iterdir():
        assert path.read_text(encoding="utf-8") == visible_lines(path.read_text(encoding="utf-8"))
    with (out / "summary.csv").open(encoding="utf-8", newline="") as lines:  # data, which stay as they are
        assert {row["label"] for row in csv.DictReader(lines)} == set(names)


def test_charts_show_the_same() -> None:
    assert printable("a\u202eb\nc") == "a�b�c"
    for text in READ:
        assert printable(text) == text


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041", "\x9b"])
def test_messages_show_it(tmp_path: Path, hidden: str) -> None:
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / f"a{hidden}b.csv")])
    assert result.exit_code == 3
    assert hidden not in result.stderr
    assert "a�b.csv" in result.stderr
    result = CliRunner().invoke(app, ["check", "x.csv", "--slo", f"p99 < {hidden}x"])
    assert hidden not in result.output
