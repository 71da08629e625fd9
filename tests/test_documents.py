import json
import math
from datetime import date

import pytest

from loadlens.documents import json_text


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, 1),
        (0.1, 0.1),
        (True, True),
        (None, None),
        ("é", "é"),
        (date(2026, 11, 22), "2026-11-22"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        ((1, [date(2026, 11, 22)]), [1, ["2026-11-22"]]),
        ({2048: {"a": -math.inf}}, {"2048": {"a": "-inf"}}),
    ],
)
def test_what_json_cannot_say_is_text(value: object, read: object) -> None:
    text = json_text({"key": value})
    assert json.loads(text) == {"key": read}
    assert text.endswith("}\n")


def test_control_characters_stay_out() -> None:
    text = json_text({"key": "\x1b[31m\x7f\x9b"})
    assert text.isprintable() or all(character.isprintable() or character == "\n" for character in text)
    assert json.loads(text) == {"key": "\x1b[31m\x7f\x9b"}
