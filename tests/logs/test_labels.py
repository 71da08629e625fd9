"""What requests are called: names that users gave stay, URLs as tools log them lose their queries."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import loadlens
from loadlens.cli import app
from loadlens.logs.labels import JoinedNames, Naming, with_ids_replaced
from loadlens.tasks.convert import convert
from tests.extent import some_rows

START = 1_700_000_000

NAMES = (
    "Cart/pay #1 (guest)",
    "Cart/pay #2 (member)",
    "/blog?id=[id]",
    "/blog?tag=[tag]",
    "/#/login",
    "/#/checkout",
    "https://app.test/#/login",
    "https://app.test/#/checkout",
    "Is cart empty?",
    "Is cart empty? no",
    "GET /a?type=x",
    "GET /a?type=y",
    " cart",
    "Cart",
    "cart",
    "a / b?c / d",
)
"""Names that nobody takes for a URL whose query tells one call from another."""

URLS = ("https://a.test/x?id=1", "https://a.test/x?id=2#top", "https://a.test/x", "http://me:pw@a.test/y?z")
LABELS = ["http://a.test/y", "https://a.test/x"]


def text(header: str, rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([*([header.split(",")] if header else []), *rows])
    return out.getvalue()


def jmeter(names: Sequence[str]) -> str:
    header = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success"
    rows = [(START * 1000 + n, 10, name, 200, "OK", "t 1", "true") for n, name in enumerate(names)]
    return text(header, rows)


def k6(names: Sequence[str]) -> str:
    header = "metric_name,timestamp,metric_value,expected_response,method,name,status,url"
    rows = [("http_req_duration", START, 10, "true", "GET", name, 200, name) for name in names]
    return text(header, rows)


def k6_json(names: Sequence[str]) -> str:
    time = "2023-11-14T22:13:20.5Z"
    tags = [{"name": name, "url": name, "status": "200", "expected_response": "true"} for name in names]
    points = [{"time": time, "value": 10, "tags": one} for one in tags]
    return "".join(
        json.dumps({"metric": "http_req_duration", "type": "Point", "data": point}) + "\n" for point in points
    )


def locust(names: Sequence[str]) -> str:
    header = "timestamp,request_type,name,response_time_ms,response_length,status_code,exception"
    return text(header, [(START + n, "GET", name, 10, 7, 200, "") for n, name in enumerate(names)])


def vegeta(names: Sequence[str]) -> str:
    return text(
        "",
        [
            ((START + n) * 10**9, 200, 10**7, 1, 7, "", "", "", n, "GET", name, "")
            for n, name in enumerate(names)
        ],
    )


def gatling(names: Sequence[str]) -> str:
    rows = [("RUN", "com.example.Shop", "shop", START * 1000, " ", "3.10.5")]
    rows += [("REQUEST", "", name, START * 1000, START * 1000 + 10, "OK", " ") for name in names]
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


WRITERS = {writer.__name__: writer for writer in (jmeter, k6, k6_json, locust, vegeta, gatling)}
DIALECTS = pytest.mark.parametrize("dialect", WRITERS)


def opened(folder: Path, dialect: str, names: Sequence[str], **options: bool) -> loadlens.Log:
    path = folder / f"{dialect}.log"
    path.write_text(WRITERS[dialect](names), encoding="utf-8")
    return loadlens.read_log(path, **options)  # type: ignore[arg-type]  # flags only


def labels_of(log: loadlens.Log) -> list[str]:
    return sorted(loadlens.summarize(log, ["label"]).summary["label"])


@DIALECTS
def test_names_that_a_user_gave_stay_apart(tmp_path: Path, dialect: str) -> None:
    # k6's tags have no blanks around them in any of its outputs.
    names = [name.strip() for name in NAMES] if dialect.startswith("k6") else NAMES
    log = opened(tmp_path, dialect, names)
    assert labels_of(log) == sorted(set(names))
    assert "became" not in "\n".join(log.findings.sentences())


@DIALECTS
def test_urls_lose_their_queries_and_say_how_many_became_one(tmp_path: Path, dialect: str) -> None:
    log = opened(tmp_path, dialect, URLS * 3)
    assert labels_of(log) == LABELS
    said = "\n".join(log.findings.sentences())
    assert "4 names became 2 labels; keep them with --keep-query (keep_query=True)" in said


@DIALECTS
def test_queries_are_kept_where_that_is_asked_for(tmp_path: Path, dialect: str) -> None:
    log = opened(tmp_path, dialect, [*URLS, "https://a.test/x?token=secret"], keep_query=True)
    assert labels_of(log) == [
        "http://a.test/y?z",
        "https://a.test/x",
        "https://a.test/x?id=1",
        "https://a.test/x?id=2#top",
        "https://a.test/x?token=***",
    ]
    assert "became" not in "\n".join(log.findings.sentences())


@DIALECTS
def test_a_url_that_is_cut_alone_joins_nothing(tmp_path: Path, dialect: str) -> None:
    log = opened(tmp_path, dialect, ["https://a.test/x?id=1", "https://a.test/y?id=1"])
    assert labels_of(log) == ["https://a.test/x", "https://a.test/y"]
    assert "became" not in "\n".join(log.findings.sentences())


@DIALECTS
def test_ids_become_one_label_by_a_template(tmp_path: Path, dialect: str) -> None:
    names = [f"/user/{n}/cart" for n in range(50)] + [f"http://10.0.0.1:8080/v2/{n}?x={n}" for n in range(9)]
    assert labels_of(opened(tmp_path, dialect, names, label_template=True)) == [
        "/user/{id}/cart",
        "http://10.0.0.1:8080/v2/{id}",
    ]


FORMS = ["parquet", "arrow", "csv", "frame", "lazy", "arrow table", "map", "mapped frame"]


def in_form(tmp_path: Path, kind: str, labels: pl.Series, **options: Any) -> loadlens.Log:
    """A log with these labels, all calls of 5 ms."""
    frame = pl.DataFrame({"label": labels, "invocation_latency": [5.0] * len(labels)})
    frame.write_csv(tmp_path / "canonical.csv")
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    frame.rename({"label": "url", "invocation_latency": "ms"}).write_csv(tmp_path / "a.csv")
    column_map = ["latency=ms:ms", "label=url"] if kind in {"map", "mapped frame"} else None
    source: object = {
        "parquet": tmp_path / "a.parquet",
        "arrow": tmp_path / "a.arrow",
        "csv": tmp_path / "canonical.csv",
        "frame": frame,
        "lazy": frame.lazy(),
        "arrow table": frame.to_arrow(),
        "map": tmp_path / "a.csv",
        "mapped frame": frame.rename({"label": "url", "invocation_latency": "ms"}),
    }[kind]
    return loadlens.read_log(source, column_map=column_map, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", FORMS)
def test_a_template_applies_to_every_form_of_input(tmp_path: Path, kind: str) -> None:
    labels = pl.Series([f"/user/{n}" for n in range(40)] + ["/v2/x?token=1"] * 2)
    log = in_form(tmp_path, kind, labels, label_template=True)
    assert labels_of(log) == ["/user/{id}", "/v2/x?token=***"]


@pytest.mark.parametrize("kind", FORMS)
def test_credentials_are_masked_in_every_form_of_input(tmp_path: Path, kind: str) -> None:
    secret = [
        "https://user:pw@h/a?id=1",
        "/pay?api_key=k1",
        "/pay?api_key=k2",
        "/s?sig=x#/top",
        "/a?token=${}",
    ]
    log = in_form(tmp_path, kind, pl.Series([*secret, " spaced ", None, "plain?q=1"]))
    found = loadlens.summarize(log, by=["label"]).summary
    assert dict(found.select("label", "num_invocations").rows()) == {
        "https://h/a?id=1": 1,
        "/pay?api_key=***": 2,
        "/s?sig=***#/top": 1,
        "/a?token=${}": 1,
        " spaced ": 1,
        None: 1,
        "plain?q=1": 1,
    }


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["/x?token=1", "/x?token=2", "b"])])
def test_credentials_are_masked_in_categories(dtype: Any) -> None:
    labels = pl.Series(["/x?token=1", "/x?token=2", "b", None], dtype=dtype)
    found = loadlens.summarize(
        pl.DataFrame({"label": labels, "invocation_latency": 1.0}), by=["label"]
    ).summary
    assert dict(found.select("label", "num_invocations").rows()) == {"/x?token=***": 2, "b": 1, None: 1}


def test_gates_comparisons_and_converted_logs_mask_credentials_too(tmp_path: Path) -> None:
    frame = pl.DataFrame({"label": ["/x?token=1", "/x?token=2"], "invocation_latency": 1.0})
    frame.write_parquet(tmp_path / "a.parquet")
    (verdict,) = loadlens.check_gates(tmp_path / "a.parquet", ["p50 < 1s"], ["label"]).verdicts
    assert (dict(verdict.key), verdict.calls) == ({"label": "/x?token=***"}, 2)
    assert loadlens.compare(frame, frame, ["label"]).keys["label"].to_list() == ["/x?token=***"]
    frame.write_csv(tmp_path / "a.csv")
    convert([tmp_path / "a.csv"], tmp_path / "converted.parquet")
    assert set(pl.read_parquet(tmp_path / "converted.parquet")["label"]) == {"/x?token=***"}
    assert labels_of(loadlens.read_log(tmp_path / "converted.parquet")) == ["/x?token=***"]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("/user/8731/cart", "/user/{id}/cart"),
        ("/1/2/3/4", "/{id}/{id}/{id}/{id}"),
        ("/a/1/", "/a/{id}/"),
        ("/a/1#x", "/a/{id}#x"),
        ("GET /a/1", "GET /a/{id}"),
        ("/a/550e8400-e29b-41d4-a716-446655440000", "/a/{id}"),
        ("/a/user-550E8400-e29b-41d4-a716-446655440000/b", "/a/user-{id}/b"),
        ("/a/507f1f77bcf86cd799439011/b", "/a/{id}/b"),
        ("/a/8731.json", "/a/{id}.json"),
        ("/a/2026-03-01", "/a/{id}"),
        ("/a/order-8731/b", "/a/order-{id}/b"),
        ("/a?id=8731&page=2", "/a?id={id}&page=2"),
        ("https://h1.test:8080/a/12345", "https://h1.test:8080/a/{id}"),
        ("https://127.0.0.1/7", "https://127.0.0.1/{id}"),
        ("/v2/a", "/v2/a"),
        ("/api/v1.2/a", "/api/v1.2/a"),
        ("/api/1.0/a", "/api/1.0/a"),
        ("/face/decade/deadbeef/facade", "/face/decade/deadbeef/facade"),
        ("/login/2fa/e2e/b2b", "/login/2fa/e2e/b2b"),
        ("/jquery-3.6.0.min.js", "/jquery-3.6.0.min.js"),
        ("/step-2/utf-16", "/step-2/utf-16"),
        ("Order 8731", "Order 8731"),
        ("order-8731", "order-8731"),
        ("", ""),
        (None, None),
    ],
)
def test_ids_in_paths(name: str | None, label: str | None) -> None:
    assert with_ids_replaced(pl.Series("name", [name], dtype=pl.String)).to_list() == [label]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("https://user:pa@ss@host/a/b?token=x&y=@/z#f", "https://host/a/b"),
        ("http://host?token=x", "http://host"),
        ("HTTPS://Host/x?y", "HTTPS://Host/x"),
        ("wss://host/x?y", "wss://host/x"),
        ("https://host/a#token", "https://host/a"),
        ("https://host/#/login?token=x", "https://host/#/login"),
        ("https://host/#!home", "https://host/#!home"),
        ("https://host/?a=1#/r", "https://host/#/r"),
        ("http://host/a?b=1 Redirect 1", "http://host/a Redirect 1"),
        ("http://host/a#", "http://host/a"),
        ("a / b / https://host/x?y=1", "a / b / https://host/x"),
        ("http://host/@user", "http://host/@user"),
        ("host:80/a?id=1", "host:80/a?id=1"),
        ("GET http://u:p@host/a?b=1", "GET http://host/a?b=1"),
        ("/a?access_token=x&b=1", "/a?access_token=***&b=1"),
        ("/a?token=[token]", "/a?token=[token]"),
        ("/a?x", "/a?x"),
        ("Checkout #2", "Checkout #2"),
        (None, None),
    ],
)
def test_what_a_name_becomes(name: str | None, label: str | None) -> None:
    assert Naming().labels(pl.Series([name, "x"])).to_list() == [label, "x"]


def test_canonical_labels_are_a_users_own(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text("label,invocation_latency", [(name, 5) for name in URLS[:3]]), encoding="utf-8")
    assert labels_of(loadlens.read_log(path)) == sorted(URLS[:3])


@given(st.lists(st.lists(st.sampled_from([f"https://h/{n % 5}?{n}" for n in range(12)]), max_size=6)))
def test_joined_names_are_counted_over_any_parts(parts: list[list[str]]) -> None:
    found, naming = JoinedNames(), Naming()
    for part in parts:
        names = pl.Series("label", part, dtype=pl.String).unique()
        found |= JoinedNames.of(names, naming.labels(names))
    names = {name for part in parts for name in part}
    labels = {name.partition("?")[0] for name in names}
    expected = f"{len(names)} names became {len(labels)} label{'s' * (len(labels) != 1)};"
    assert (expected in found.sentence()) == (len(names) > len(labels))


def many(calls: int, distinct: int, pattern: str = "/user/{}/cart") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "label": [pattern.format(n % distinct) for n in range(calls)],
            "invocation_latency": [5.0] * calls,
        }
    )


def word(number: int) -> str:
    """A different word for each number, of letters that are no hexadecimal digits."""
    return "".join("ghijklmnop"[int(digit)] for digit in str(number))


@pytest.mark.parametrize(
    ("frame", "said"),
    some_rows(
        [
            (
                many(2000, 2000),
                "2,000 different labels in 2,000 calls, such as '/user/0/cart', '/user/1/cart', ",
            ),
            (many(2000, 100), "100 different labels in 2,000 calls"),
            (many(30, 30), "30 different labels in 30 calls"),
            (many(30_000, 1000), "1,000 different labels in 30,000 calls"),
            (many(2000, 2000, "https://me:pw@h/{}"), "such as 'https://h/0'"),
            (many(2000, 99), ""),
            (many(19, 19), ""),
            (many(2000, 200, "/v{}/x"), ""),
            (many(2000, 2000, "/v{}/x"), "or group by another column with --by"),
        ],
        2,
    ),
)
def test_labels_with_ids_are_warned_of_and_counted(frame: pl.DataFrame, said: str) -> None:
    log = loadlens.read_log(frame)
    loadlens.summarize(log, ["label"])
    found = "\n".join(log.findings.sentences())
    assert said in found
    assert ("different labels" in found) == bool(said)
    assert ("--label-template" in found) == (bool(said) and "--by" not in said)
    whole = loadlens.read_log(frame)
    loadlens.summarize(whole, [])
    assert whole.findings.sentences() == []


def test_labels_without_ids_are_warned_of_where_they_are_very_many() -> None:
    frame = many(3000, 1500).with_columns(pl.Series("label", [f"/{word(n % 1500)}" for n in range(3000)]))
    log = loadlens.read_log(frame)
    loadlens.summarize(log, ["label"])
    assert "1,500 different labels in 3,000 calls" in "\n".join(log.findings.sentences())
    few = loadlens.read_log(frame.head(400))
    loadlens.summarize(few, ["label"])
    assert "different labels" not in "\n".join(few.findings.sentences())


def test_a_template_ends_the_warning(tmp_path: Path) -> None:
    path = tmp_path / "log.jtl"
    path.write_text(jmeter([f"/user/{n}/cart" for n in range(300)]), encoding="utf-8")
    plain = CliRunner().invoke(app, ["check", str(path), "--slo", "p99 < 1s"])
    assert "300 different labels in 300 calls" in plain.output.replace("\n", " ")
    assert "1 label remains" in plain.output.replace("\n", " ")
    ids = CliRunner().invoke(app, ["check", str(path), "--slo", "p99 < 1s", "--label-template"])
    assert "different labels" not in ids.output


def test_a_saved_profile_tells_too_many_labels_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jtl"
    path.write_text(jmeter([f"/user/{n}/cart" for n in range(300)]), encoding="utf-8")
    loadlens.profile_log(path, tmp_path / "a.profile")
    log = loadlens.read_log(tmp_path / "a.profile")
    loadlens.summarize(log, log.key, exact=False)
    assert "\n".join(log.findings.sentences()).count("different labels") == 1
    with pytest.raises(loadlens.UsageError, match="profile the log again with --label-template"):
        loadlens.read_log(tmp_path / "a.profile", label_template=True)


@pytest.mark.parametrize("flag", ["keep_query", "label_template"])
def test_flags_are_true_or_false(flag: str) -> None:
    with pytest.raises(loadlens.UsageError, match=f"{flag}: got 'yes', expected True or False"):
        loadlens.read_log("nowhere.csv", **{flag: "yes"})  # type: ignore[arg-type]


def test_the_command_line_has_both_options(tmp_path: Path) -> None:
    path = tmp_path / "log.jtl"
    path.write_text(jmeter([*URLS, *(f"/user/{n}" for n in range(5))]), encoding="utf-8")
    plain = CliRunner().invoke(app, ["check", str(path), "--slo", "count >= 3"])
    assert plain.exit_code == 1
    assert "4 names became 2 labels" in plain.output.replace("\n", " ")
    kept = CliRunner().invoke(app, ["check", str(path), "--slo", "count >= 1", "--keep-query"])
    assert kept.exit_code == 0
    assert "https://a.test/x?id=1" in kept.output
    ids = CliRunner().invoke(app, ["check", str(path), "--slo", "count >= 1", "--label-template"])
    assert ids.exit_code == 0, ids.output
    assert "/user/{id}" in ids.output
