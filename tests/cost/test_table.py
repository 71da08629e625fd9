from pathlib import Path

import pytest

import loadlens

VALID = """
name = "Ours"
region = "eu-central-1"
currency = "EUR"
valid_from = 2026-01-01
source = "a price list"

[per_second]
512 = 0.00001
1024 = 0.00002

[data]
per_gib = 0.02

[instance_per_hour]
"small" = 0.05

[comparable_instance]
512 = "small"
1024 = "small"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_reference_table() -> None:
    prices = loadlens.load_prices()
    per_second = {1024: 0.00002, 2048: 0.00004, 3072: 0.00006, 4096: 0.00008, 5120: 0.0001, 6144: 0.00012}
    assert prices.price_per_second == per_second
    assert prices.price_per_gib == 0.016
    assert prices.price_per_byte == pytest.approx(0.016 / 2**30)
    assert prices.instance_price_per_hour == {
        "ml.t2.medium": 0.056,
        "ml.c5.large": 0.102,
        "ml.c5.xlarge": 0.204,
    }
    instances = ["ml.t2.medium"] * 2 + ["ml.c5.large"] * 3 + ["ml.c5.xlarge"]
    assert list(prices.comparable_instance.values()) == instances
    assert (prices.region, prices.currency) == ("us-east-1", "USD")


@pytest.mark.parametrize("as_text", [True, False])
def test_a_table_from_a_file(tmp_path: Path, *, as_text: bool) -> None:
    path = written(tmp_path, VALID)
    prices = loadlens.load_prices(str(path) if as_text else path)
    assert prices.price_per_second == {512: 0.00001, 1024: 0.00002}
    assert (prices.name, prices.currency, prices.valid_from) == ("Ours", "EUR", "2026-01-01")
    assert prices.path == str(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[per_second]", "[per_second", ["is not TOML"]),
        ("[per_second]", "[per_minute]", ["missing section", "[per_second]"]),
        ("[data]\nper_gib = 0.02", "", ["missing section", "[data]"]),
        ("per_gib", "per_gb", ["[data]", "per_gib"]),
        ("512 = 0.00001", "512 = -0.1", ["[per_second] 512", "-0.1"]),
        ("512 = 0.00001", "512 = nan", ["[per_second] 512", "nan"]),
        ("512 = 0.00001", "512 = inf", ["[per_second] 512", "inf"]),
        ("512 = 0.00001", "512 = true", ["[per_second] 512", "True"]),
        ("512 = 0.00001", '512 = "cheap"', ["[per_second] 512", "'cheap'"]),
        ("512 = 0.00001", "half = 0.00001", ["[per_second] half", "memory size"]),
        ("per_gib = 0.02", 'per_gib = "0.02"', ["[data] per_gib", "'0.02'"]),
        ('"small" = 0.05', '"small" = "x"', ["[instance_per_hour] small", "'x'"]),
        ('512 = "small"', '512 = "large"', ["[comparable_instance]", "large"]),
        ('512 = "small"', "512 = 7", ["[comparable_instance]", "7"]),
        ('512 = "small"', '512 = ["small"]', ["[comparable_instance]", "small"]),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path: Path, old: str, new: str, said: list[str]) -> None:
    assert old in VALID
    path = written(tmp_path, VALID.replace(old, new, 1))
    with pytest.raises(loadlens.PriceError) as caught:
        loadlens.load_prices(path)
    (problem,) = caught.value.problems
    assert problem.startswith(str(path))
    assert "\n" not in problem
    assert all(word in problem for word in said)


def test_all_missing_sections_are_listed(tmp_path: Path) -> None:
    with pytest.raises(loadlens.PriceError) as caught:
        loadlens.load_prices(written(tmp_path, 'name = "Ours"'))
    assert all(f"[{name}]" in str(caught.value) for name in ("per_second", "data", "comparable_instance"))


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(loadlens.PriceError, match=r"none\.toml: cannot be read"):
        loadlens.load_prices(path)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(loadlens.PriceError, match="cannot be read"):
        loadlens.load_prices(tmp_path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(loadlens.PriceError, match="not UTF-8"):
        loadlens.load_prices(path)


def test_a_price_error_is_an_input_error() -> None:
    assert issubclass(loadlens.PriceError, loadlens.InputError)
    assert issubclass(loadlens.InputError, loadlens.LoadlensError)


def test_the_table_says_which_sizes_it_lacks() -> None:
    prices = loadlens.load_prices()
    prices.require([1024, 6144])
    with pytest.raises(loadlens.PriceError, match="8192, 10240 MB"):
        prices.require([10240, 1024, 8192, 10240])


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 3000, "a = " + "{b = " * 3000, "currency = " + "9" * 5000, "a = 0x" + "f" * 5000],
    ids=["deep lists", "deep tables", "a long number", "a long number in hexadecimal"],
)
def test_toml_of_any_depth_and_size_ends_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(loadlens.PriceError) as error:
        loadlens.load_prices(tmp_path / "prices.toml")
    (problem,) = error.value.problems
    assert "prices.toml" in problem
    assert "\n" not in problem


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(loadlens.PriceError, match="cannot be read"):
        loadlens.load_prices("lambda-arm\0")


@pytest.mark.parametrize("step", ["1e-9", "1e300", "86400001"])
def test_a_billing_step_that_no_service_has_is_refused(tmp_path: Path, step: str) -> None:
    with pytest.raises(loadlens.PriceError, match=r"\[billing\] step_ms: got .*, expected 0 \(no rounding\)"):
        loadlens.load_prices(written(tmp_path, f"{VALID}[billing]\nstep_ms = {step}\n"))


@pytest.mark.parametrize("step", ["0", "0.001", "100", "86400000"])
def test_a_billing_step_of_any_service_is_read(tmp_path: Path, step: str) -> None:
    table = loadlens.load_prices(written(tmp_path, f"{VALID}[billing]\nstep_ms = {step}\n"))
    assert table.billed_step_ms == float(step)
