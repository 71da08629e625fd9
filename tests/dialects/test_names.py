import polars as pl
import pytest

from loadlens.dialects.base import error_class, filled, numberless, without_credentials


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET http://u:p@ss@host/a?b=c", "GET http://host/a?b=c"),
        ("//u@host/x", "//host/x"),
        ("/a?token=1&id=2", "/a?token=***&id=2"),
        ("/a?id=2&X-Amz-Signature=ab%2F&x=1", "/a?id=2&X-Amz-Signature=***&x=1"),
        ("https://h/#access_token=ey.J", "https://h/#access_token=***"),
        ("/a?client_secret=1;sig=2", "/a?client_secret=***;sig=***"),
        ("/a?key=1&author=x&page=2", "/a?key=1&author=x&page=2"),
        ("/a?token=[token]&secret=${}", "/a?token=[token]&secret=${}"),
        ("mail@host", "mail@host"),
        ("http://host/a@b?c=d@e", "http://host/a@b?c=d@e"),
        (" a ? b # c ", " a ? b # c "),
        (None, None),
    ],
)
def test_credentials_are_masked_in_any_text(text: str | None, masked: str | None) -> None:
    frame = pl.DataFrame({"text": [text, "x"]}, schema={"text": pl.String})
    assert frame.select(without_credentials(pl.col("text"))).to_series().to_list() == [masked, "x"]


@pytest.mark.parametrize(
    ("message", "until", "found"),
    [
        ("timeout", "", "timeout"),
        ("  dial tcp: refused", ":", "dial tcp"),
        ("GET https://me:pw@host/a?key=1 failed", "", "GET https://host/a failed"),
        ("bad /a?token=1&x=2", "", "bad /a?token=***&x=2"),
        ("x" * 99, "", "x" * 60),
        ("é" * 99, "a", "é" * 60),
        ("two\nlines", "\\n", "two"),
        ("two\nlines", "", "two\nlines"),
        ("(", "(", None),
        (None, "", None),
    ],
)
def test_classes_of_errors_are_short_and_hold_no_secrets(
    message: str | None, until: str, found: str | None
) -> None:
    frame = pl.DataFrame({"text": [message]}, schema={"text": pl.String})
    assert frame.select(error_class(pl.col("text"), until)).item() == found


def test_messages_lose_numbers_and_blanks() -> None:
    frame = pl.DataFrame({"text": [" stream 17 of 4 ", "  ", None]})
    assert frame.select(numberless(filled(pl.col("text")))).to_series().to_list() == [
        "stream N of N",
        None,
        None,
    ]
