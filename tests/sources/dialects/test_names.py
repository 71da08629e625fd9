import polars as pl
import pytest

from loadlens.sources.dialects.names import filled, numberless, url_name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://u:p@host:1/a?token=1#x", "http://host:1/a"),
        ("GET http://u:p@ss@host/a", "GET http://host/a"),
        ("//u@host/x", "//host/x"),
        ("/a#token", "/a"),
        ("a?token", "a"),
        ("?token", ""),
        ("http://host?mail=a@b.c", "http://host"),
        ("http://host/a@b", "http://host/a@b"),
        ("Order #5", "Order #5"),
        ("two\nlines?x\ny", "two\nlines"),
        (None, ""),
    ],
)
def test_names_of_requests_hold_no_secrets(url: str | None, name: str) -> None:
    frame = pl.DataFrame({"url": [url]}, schema={"url": pl.String})
    assert frame.select(url_name(pl.col("url"))).item() == name


def test_messages_lose_numbers_and_blanks() -> None:
    frame = pl.DataFrame({"text": [" stream 17 of 4 ", "  ", None]})
    assert frame.select(numberless(filled(pl.col("text")))).to_series().to_list() == [
        "stream N of N",
        None,
        None,
    ]
