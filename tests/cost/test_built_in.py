from importlib import resources
from pathlib import Path

import pytest

import loadlens
from loadlens.cost.prices import BUILT_IN_TABLES

LAMBDA = """
kind = "gb-second"
name = "Ours"
[gb_second]
price = 0.00001
smallest_mb = 128
largest_mb = 4096
[request]
price = 0.0000001
[billing]
step_ms = 1
init = true
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_files_are_listed() -> None:
    files = {
        file.name
        for file in resources.files("loadlens.cost").joinpath("price_tables").iterdir()
        if file.name.endswith(".toml")
    }
    assert files == {f"{name}.toml" for name in BUILT_IN_TABLES}


@pytest.mark.parametrize("name", BUILT_IN_TABLES)
def test_every_table_says_where_and_when_it_holds(name: str) -> None:
    table = loadlens.load_prices(name)
    assert table.short_name == name
    assert table.currency == "USD"
    assert table.region == "us-east-1"
    assert table.source
    assert len(table.valid_from) == 10
    assert bool(table.note) == table.from_memory


def test_the_default_is_the_first() -> None:
    assert loadlens.load_prices() == loadlens.load_prices(BUILT_IN_TABLES[0])
    assert not loadlens.load_prices().from_memory


def test_lambda_prices_any_size_in_its_range() -> None:
    x86, arm = (loadlens.load_prices(f"lambda-{name}") for name in ("x86", "arm"))
    assert x86.price_of_second(1024) == 0.0000166667
    assert x86.price_of_second(1536) == pytest.approx(0.0000166667 * 1.5)
    assert arm.price_of_second(128) == pytest.approx(0.0000133334 / 8)
    assert (x86.price_per_request, x86.billed_step_ms, x86.bills_init) == (2e-7, 1, True)
    assert x86.from_memory
    for size in (127, 10_241):
        with pytest.raises(loadlens.PriceError, match=f"memory size {size} MB; it has 128 to 10240"):
            x86.price_of_second(size)


def test_provisioned_concurrency_has_two_prices_by_size() -> None:
    table = loadlens.load_prices("sagemaker-provisioned-concurrency")
    assert table.price_of_second(2048) < loadlens.load_prices().price_of_second(2048)
    assert table.price_of_provisioned_second(2048) == 0.00001
    with pytest.raises(
        loadlens.PriceError, match=r"\[provisioned_per_second\] has no entry for memory size 512"
    ):
        table.price_of_provisioned_second(512)
    assert loadlens.load_prices().price_of_provisioned_second(512) == 0


def test_instances_have_no_memory_sizes() -> None:
    table = loadlens.load_prices("sagemaker-instances")
    assert table.instance_price_per_hour == loadlens.load_prices().instance_price_per_hour
    with pytest.raises(loadlens.PriceError, match="it has none"):
        table.price_of_second(1024)
    with pytest.raises(loadlens.PriceError, match=r"ml\.x; it has ml\.c5\.large"):
        table.price_of_instance_hour("ml.x")


def test_a_table_of_another_kind_from_a_file(tmp_path: Path) -> None:
    table = loadlens.load_prices(written(tmp_path, LAMBDA))
    assert table.kind == "gb-second"
    assert table.price_of_second(2048) == pytest.approx(0.00002)
    assert (table.region, table.from_memory, table.price_per_gib) == ("", False, 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'kind = "gb-second"',
            'kind = "hourly"',
            ["'hourly'", "serverless, provisioned, gb-second, instances"],
        ),
        ("[request]\nprice = 0.0000001", "", ["missing sections: [request]"]),
        ("[request]", "[requests]\nprice = 1\n[request]", ["unknown entries: requests"]),
        ("price = 0.0000001", "prize = 0.0000001", ["[request] lacks price"]),
        ("step_ms = 1", "step = 1", ["[billing] has unknown step"]),
        ("step_ms = 1", "step_ms = -1", ["[billing] step_ms", "-1"]),
        ("init = true", "init = 1", ["[billing]: init", "true or false"]),
        ("smallest_mb = 128", "smallest_mb = 8192", ["8192, 4096", "the smallest first"]),
        ("largest_mb = 4096", "largest_mb = 4096.5", ["4096.5"]),
        ("largest_mb = 4096\n", "", ["[gb_second] lacks largest_mb"]),
        ('name = "Ours"', "from_memory = 3", ["from_memory", "3"]),
        ('name = "Ours"', "data = 3", ["data: got 3", "[data]"]),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, old: str, new: str, said: list[str]) -> None:
    assert old in LAMBDA
    with pytest.raises(loadlens.PriceError) as caught:
        loadlens.load_prices(written(tmp_path, LAMBDA.replace(old, new, 1)))
    (problem,) = caught.value.problems
    assert all(word in problem for word in said), problem


def test_a_name_that_is_neither_a_table_nor_a_file_lists_the_tables() -> None:
    with pytest.raises(loadlens.PriceError, match="lambda-x86, lambda-arm"):
        loadlens.load_prices("lambda")
