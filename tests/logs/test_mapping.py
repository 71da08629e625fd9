import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadlens.errors import UsageError
from loadlens.logs.column_map import DURATION_UNITS, TIME_UNITS, ColumnMap, Condition, Duration, Moment
from loadlens.schema import CANONICAL_COLUMNS
from tests.extent import examples

MAP = ("latency=elapsed:ms", "end=ts:epoch_ms", "success=status<400", "label=url")


def test_a_map_of_texts() -> None:
    assert ColumnMap.parse([*MAP, "billed_duration=billed:s", "model=request.model", "status=status"]) == (
        ColumnMap(
            latency=Duration("elapsed", "ms"),
            end=Moment("ts", "epoch_ms"),
            success=Condition("status", "<", "400"),
            durations={"billed_duration": Duration("billed", "s")},
            columns={"label": "url", "model": "request.model", "status": "status"},
        )
    )


def test_blanks_around_the_parts_are_ignored() -> None:
    spaced = (" latency = elapsed : ms ", "end= ts:epoch_ms", "success = status  <400", "label =url ")
    assert ColumnMap.parse(spaced) == ColumnMap.parse(MAP)


def test_column_names_may_hold_colons_and_equals_signs() -> None:
    found = ColumnMap.parse(["latency=time: total:ms", "start=a:b:format:%H:%M:%S %F", "label=a=b"])
    assert found.latency == Duration("time: total", "ms")
    assert found.start == Moment("a:b", "format", "%H:%M:%S %F")
    assert found.columns == {"label": "a=b"}


@pytest.mark.parametrize(
    ("text", "operator", "numbers", "texts"),
    [
        ("status<400", "<", (400,), ()),
        ("status <= 399.5", "<=", (399.5,), ()),
        ("status>-1e3", ">", (-1000,), ()),
        ("status >=.5", ">=", (0.5,), ()),
        ("status==200", "==", (200,), ()),
        ("status=='200'", "==", (), ("200",)),
        ('status == "not, OK"', "==", (), ("not, OK",)),
        ("status==''", "==", (), ("",)),
        ("status!=KO", "!=", (), ("KO",)),
        ("status!==", "!=", (), ("=",)),
        ("status in 200,204", "in", (200, 204), ()),
        ("status  in  OK , 204", "in", (204,), ("OK",)),
        ("status==1_0", "==", (), ("1_0",)),
        ("status==nan", "==", (), ("nan",)),
    ],
)
def test_conditions(text: str, operator: str, numbers: object, texts: object) -> None:
    condition = ColumnMap.parse(["latency=a:s", f"success={text}"]).success
    assert condition is not None
    assert (condition.column, condition.operator) == ("status", operator)
    assert (condition.numbers, condition.texts) == (numbers, texts)


def test_a_condition_may_be_a_column_of_truth_values() -> None:
    assert ColumnMap.parse(["latency=a:s", "success=is in order"]).success == Condition("is", "in", "order")
    assert ColumnMap.parse(["latency=a:s", "success=order"]).success == Condition("order")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency", "'latency', character 8: got nothing, expected '=' and a column"),
        ("latency=", "character 9: got nothing, expected a column"),
        (
            "=elapsed:ms",
            "character 1: got '=elapsed:ms', expected TARGET=COLUMN, with TARGET one of latency,",
        ),
        ("latency=elapsed", "character 16: got nothing, expected ':' and a unit: s, ms, us, ns, min"),
        ("latency=elapsed:sec", "character 17: got 'sec', expected a unit: s, ms, us, ns, min"),
        ("latency=elapsed:", "character 17: got nothing, expected a unit: s, ms, us, ns, min"),
        ("latency=:ms", "character 9: got ':ms', expected a column"),
        ("billed_duration=billed", "character 23: got nothing, expected ':' and a unit: s, ms, us, ns, min"),
        ("start=ts", "expected ':' and a unit: epoch_s, epoch_ms, epoch_us, epoch_ns, rfc3339, relative_s,"),
        ("start=ts:ms", "character 10: got 'ms', expected a unit: epoch_s, .*, relative_ns, format:STRFTIME"),
        ("start=ts:format", "character 10: got 'format', expected a unit"),
        ("start=:format:%F %T", "character 7: got ':format:%F %T', expected a column"),
        ("start=ts:format:", "character 17: got nothing, expected a strftime format that tells the date"),
        ("start=ts:format:%H:%M:%S", "character 17: got '%H:%M:%S', expected a strftime format"),
        ("start=ts:format:%F %H:%M", "expected a strftime format that tells the date, hour, minute and sec"),
        ("start=ts:format:%Q", "expected a strftime format"),
        ("start=ts:format:now", "expected a strftime format"),
        ("start=ts:format:%F %T,%f", "expected %.f for a fraction with its point, or %3f, %6f or %9f"),
        ("start=ts:format:%F %T %Z", "expected %z, an offset"),
        ("success=status=200", "character 15: got '=200', expected one of <, <=, >, >=, ==, != or in"),
        ("success=status=<400", "character 15: got '=<400', expected one of <, <=, >, >=, ==, != or in"),
        ("success=status<", "character 16: got nothing, expected a number"),
        ("success=status < OK", "character 18: got 'OK', expected a number"),
        ("success=status<'400'", "character 16: got \"'400'\", expected a number"),
        ("success=status<>400", "character 16: got '>400', expected a number"),
        ("success=status==", "character 17: got nothing, expected a number or a text"),
        ("success=status in 200,", "character 19: got '200,', expected a number or a text"),
        ("success=<400", "character 9: got '<400', expected a column"),
        (
            "invocation_latency=elapsed",
            "character 1: got 'invocation_latency=elapsed', expected one of latency,",
        ),
        (
            "throttle_exception=a",
            "character 1: got 'throttle_exception=a', expected one of latency, start, end,",
        ),
        ("label=\udc80", "is not UTF-8 text"),
    ],
)
def test_mistakes_are_told_with_their_position(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ColumnMap.parse(["latency=a:ms", text] if not text.startswith("latency") else [text])
    (problem,) = caught.value.problems
    assert problem.startswith("column map ")
    start, _, end = message.partition(".*")
    assert start in problem
    assert end in problem


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "got nothing, expected latency=COLUMN:UNIT, or both start=COLUMN:UNIT and end=COLUMN:UNIT"),
        (["label=url"], "got label=url, expected latency=COLUMN:UNIT"),
        (["start=a:epoch_s"], "expected latency=COLUMN:UNIT"),
        (
            ["latency=a:s", "start=a:epoch_s", "end=b:epoch_s"],
            "of which each two tell the third; leave one out",
        ),
        (["latency=a:s", "latency=b:ms"], "latency is named twice: 'latency=a:s' and 'latency=b:ms'"),
        (
            ["start=a:epoch_s", "end=b:relative_s"],
            "got start as epoch_s and end as relative_s, expected one clock",
        ),
    ],
)
def test_targets_must_tell_one_latency(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ColumnMap.parse(texts)
    assert message in str(caught.value)


def test_a_fraction_as_python_writes_it_is_understood() -> None:
    moment = ColumnMap.parse(["latency=a:s", "end=ts:format:%Y-%m-%d %H:%M:%S.%f"]).end
    assert moment == Moment("ts", "format", "%Y-%m-%d %H:%M:%S%.f")
    assert moment.lacks_offset


def test_keys_are_the_label_and_the_configuration_columns() -> None:
    texts = ["latency=a:s", "model=m", "status=s", "label=l", "memory_size=b", "memory_used=u"]
    assert ColumnMap.parse(texts).keys == (
        "label",
        "model",
        "memory_size",
    )


@pytest.mark.parametrize(
    ("text", "column", "unit"),
    [
        ("memory_size=mem:bytes", "mem", "bytes"),
        ("memory_size = my mem : GB", "my mem", "GB"),
        ("memory_size=a:b:KiB", "a:b", "KiB"),
        ("memory_used=mem", "mem", None),
        ("memory_used=kind:heap", "kind:heap", None),
        ("response_size=sent:kB", "sent", "kB"),
        ("request_size=sent:MiB", "sent", "MiB"),
    ],
)
def test_sizes_may_have_units(text: str, column: str, unit: str | None) -> None:
    found = ColumnMap.parse(["latency=a:s", text])
    target = text.partition("=")[0].strip()
    assert found.columns == {target: column}
    assert found.size_units == ({target: unit} if unit else {})
    assert ColumnMap.parse(found.texts) == found


@pytest.mark.parametrize("unit", ["mb", "Mb", "KIB", "B", "byte", "gib"])
@pytest.mark.parametrize("target", ["memory_size", "memory_used", "response_size", "request_size"])
def test_a_unit_that_is_nearly_one_is_refused(target: str, unit: str) -> None:
    with pytest.raises(UsageError, match=f"got '{unit}', expected a unit: bytes, kB"):
        ColumnMap.parse(["latency=a:s", f"{target}=mem:{unit}"])


def test_a_map_may_say_that_there_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text('latency = "c1:ms"\nmemory_size = "c2:bytes"\nno_header = true\n')
    texts = ["latency=c1:ms", "memory_size=c2:bytes"]
    assert ColumnMap.from_toml(path) == ColumnMap.parse(texts, no_header=True)
    assert not ColumnMap.parse(texts).no_header


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'latency = "a:s"\nno_header = 1', "column map: no_header is 1, expected true or false"),
        (b'latency = "a:s"\nno_header = "yes"', "column map: no_header is 'yes', expected true or false"),
        (b'latency = "a:s"\nmemory_size = "m:Mb"', "character 15: got 'Mb', expected a unit: bytes"),
        (b"latency = 3", 'column map: latency is 3, expected latency = "COLUMN"'),
        (b'latency = "a"', "column map 'latency=a', character 10: got nothing, expected ':' and a unit"),
        (b'"label=x" = "a"', "got the target 'label=x', expected one of latency,"),
        (b'"" = "a"', "expected TARGET=COLUMN"),
        (b"latency", "is not TOML: "),
        (b'a = "\xff"', "is not TOML: "),
        (b"a = " + b"[" * 100_000, "is not TOML: "),
        (b"", "got nothing, expected latency=COLUMN:UNIT"),
    ],
)
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "map.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        ColumnMap.from_toml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        ColumnMap.from_toml(tmp_path / "map.toml")


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(str.strip).filter(bool)
plain = st.sampled_from(["url", "request.model", 'a "b"', "ä\\\x00", "x:y", "\x7f", "a\nb"])
operands = st.one_of(plain, st.integers().map(str), st.floats(allow_nan=False).map(str), st.just("''"))
formats = st.sampled_from(["%F %T", "%Y-%m-%d %H:%M:%S.%f", "%d/%b/%Y:%H:%M:%S %z", "%s"])
durations = st.tuples(names, st.sampled_from(DURATION_UNITS)).map(":".join)
moments = st.one_of(
    st.tuples(names, st.sampled_from(TIME_UNITS[:4])).map(":".join),
    st.tuples(names, formats).map(":format:".join),
)
conditions = st.one_of(
    st.sampled_from(["ok", "is ok"]),
    st.tuples(plain, st.sampled_from(["==", "!=", " == ", " in "]), operands).map("".join),
    st.tuples(plain, st.sampled_from(["<", ">= "]), st.integers().map(str)).map("".join),
)
reserved = {"latency", "start", "end", "success", "billed_duration", "init_duration", *CANONICAL_COLUMNS}
keys = names.filter(lambda name: "=" not in name and name not in reserved)


@st.composite
def maps(draw: st.DrawFn) -> ColumnMap:
    """Any map that can be written on the command line."""
    texts = [f"success={draw(conditions)}"] if draw(st.booleans()) else []
    if draw(st.booleans()):
        texts += [f"latency={draw(durations)}", f"{draw(st.sampled_from(['start', 'end']))}={draw(moments)}"]
    else:
        texts += [f"start={draw(moments)}", f"end={draw(moments)}"]
    if draw(st.booleans()):
        texts.append(f"init_duration={draw(durations)}")
    return ColumnMap.parse([*texts, *(f"{key}={draw(names)}" for key in draw(st.sets(keys, max_size=4)))])


@examples(20)
@given(column_map=maps())
def test_maps_survive_a_round_trip(tmp_path: Path, column_map: ColumnMap) -> None:
    path = tmp_path / "map.toml"
    entries = dict(text.split("=", 1) for text in column_map.texts)
    # A basic string of TOML is one of JSON but for the control character 7F.
    quoted = partial(json.dumps, ensure_ascii=False)
    lines = [f"{quoted(target)} = {quoted(value)}\n" for target, value in entries.items()]
    path.write_text("".join(lines).replace("\x7f", "\\u007F"), encoding="utf-8")
    assert ColumnMap.from_toml(path) == column_map
    assert ColumnMap.parse(column_map.texts) == column_map


targets = st.sampled_from(["latency", "start", "success"])
nearly = st.tuples(targets, st.text(":<=>'in format%", max_size=12)).map("=".join)


@examples(20)
@given(texts=st.lists(st.one_of(st.text(), nearly)))
def test_any_text_is_read_or_refused(texts: list[str]) -> None:
    try:
        ColumnMap.parse(texts)
    except UsageError as error:
        assert all(problem.startswith("column map") for problem in error.problems)  # noqa: PT017
