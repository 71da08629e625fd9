import time
from pathlib import Path

import pytest

from loadlens.errors import InputError, UsageError
from loadlens.logs.discovery import key_from_name


def test_named_groups_become_key_columns() -> None:
    keys = key_from_name(r"(?P<tool>[a-z]+)_run(?P<run>\d+)")
    assert keys.columns == ("tool", "run")
    assert keys.values(Path("logs/hey_run07.csv.gz")) == {"tool": "hey", "run": "07"}


def test_the_name_of_the_file_goes_before_its_folders() -> None:
    keys = key_from_name(r"run_(?P<run>\d+)")
    assert keys.values(Path("run_1/run_2.csv")) == {"run": "2"}
    assert keys.values(Path("run_1/log.csv")) == {"run": "1"}


def test_a_folder_may_be_part_of_the_pattern() -> None:
    assert key_from_name(r"(?P<region>[^/]+)/[^/]+$").values(Path("a/eu-west-1/log.csv")) == {
        "region": "eu-west-1"
    }


def test_a_group_that_takes_no_part_is_empty() -> None:
    assert key_from_name(r"log(?:-(?P<run>\d+))?").values(Path("log.csv")) == {"run": ""}


def test_a_file_that_does_not_match_is_named() -> None:
    with pytest.raises(InputError, match=r"^logs/a\.csv: its name does not match .*which gives the key run;"):
        key_from_name(r"run_(?P<run>\d+)").values(Path("logs/a.csv"))


def test_a_column_of_the_configuration_must_be_a_whole_number() -> None:
    keys = key_from_name(r"mem(?P<memory_size>\w*)")
    assert keys.values(Path("mem512.csv")) == {"memory_size": "512"}
    with pytest.raises(InputError, match=r"its name says memory_size is '1GB', expected a whole number"):
        keys.values(Path("mem1GB.csv"))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"run_(?P<run>\d+", "is no regular expression: unclosed group"),
        ("a{99999999999999999999}", "is no regular expression"),
        (r"(?P<run>a)(?=b)", "look-around, including look-ahead and look-behind, is not supported"),
        (r"(?<!a)(?P<run>b)", "look-around"),
        (r"(?P<run>a)\1", "backreferences are not supported"),
        (r"(?P<run>a)(?P<run>b)", "duplicate capture group name"),
        (r"(?P<run>\w{1000}{1000})", "exceeds size limit"),
        ("(?P<run>\ud800)", "is no regular expression"),
        ("(" * 100_000, "is no regular expression"),
        (r"run_(\d+)", r"has no named group; expected one such as \(\?P<run>"),
        ("", "has no named group"),
        (r"(?P<label>\w+)", "the group label has the name of a column of the log"),
    ],
)
def test_a_bad_pattern_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        key_from_name(pattern)


@pytest.mark.parametrize(
    "pattern", [r"^(?P<run>(a+)+)$", r"^(?P<run>(a|a)*)b$", r"(?P<run>(.*)*)x$", r"^(?P<run>(\w+\s?)*)!$"]
)
def test_no_pattern_takes_longer_than_its_name(pattern: str) -> None:
    started = time.process_time()  # whatever else the machine does
    with pytest.raises(InputError, match="its name does not match"):
        key_from_name(pattern).values(Path("a" * 200 + "-.csv"))
    assert time.process_time() - started < 5


def test_digits_and_letters_of_every_script() -> None:
    assert key_from_name(r"(?P<memory_size>\d+)").values(Path("size-٥١٢.csv")) == {"memory_size": "٥١٢"}
    assert key_from_name(r"^(?P<tool>\w+)-").values(Path("größe-1.csv")) == {"tool": "größe"}


def test_groups_without_a_name_are_no_columns() -> None:
    keys = key_from_name(r"(a|b)-(?P<run>\d+)-(c)?(?P<part>x)?")
    assert keys.columns == ("run", "part")
    assert keys.values(Path("a-1-c.csv")) == {"run": "1", "part": ""}


def test_a_name_that_is_no_unicode() -> None:
    assert key_from_name(r"run_(?P<run>\d+)").values(Path("odd\udcff_run_7.csv")) == {"run": "7"}
