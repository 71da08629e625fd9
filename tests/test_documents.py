import json
import math
from datetime import date

import pytest

from loadlens.messages import json_text
from loadlens.summaries.summary_columns import MOST_KEYS, keys_left_out


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


@pytest.mark.parametrize("size", [3, 300])
def test_short_documents_are_indented_and_long_lists_have_a_line_for_each_item(size: int) -> None:
    rows = [{"key": f"a\n{number}", "day": date(2026, 11, 22), "ms": number / 3} for number in range(size)]
    document = {"rows": rows, "nothing": [], "none": {}, "one": {"a": [1]}}
    text = json_text(document)
    read = json.loads(text)
    assert read == {**document, "rows": [{**row, "day": "2026-11-22"} for row in rows]}
    if size <= 100:
        assert text == json.dumps(read, indent=2, ensure_ascii=False) + "\n"
    else:
        assert sum(line.startswith('    {"key": "a\\n') for line in text.splitlines()) == size


def test_a_document_says_how_many_keys_it_leaves_out() -> None:
    assert keys_left_out(MOST_KEYS) == {}
    assert keys_left_out(MOST_KEYS + 5) == {"keys_left_out": 5}
