"""The tests of the engine run by both ways of counting: in tables, and by group-bys.

The default suite runs each row of a table of parameters in one of the two, by turns; ``pytest -m slow``
runs it in the other. A test without parameters runs in both.
"""

from collections import defaultdict

import pytest

from loadlens.profile import scan

WAY = "_way_of_counting"
WAYS = ["tables", "groups"]


@pytest.fixture(params=WAYS, autouse=True)
def _way_of_counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    fewest = 0 if request.param == "tables" else 10**12
    monkeypatch.setattr(scan, "FEWEST_ROWS_FOR_TABLES", fewest)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rows: dict[str, dict[tuple[int, ...], int]] = defaultdict(dict)
    for item in items:
        indices = (
            dict(item.callspec.indices)
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else {}
        )
        way, row = indices.pop(WAY, None), tuple(indices.values())
        if way is None or not row or item.get_closest_marker("slow"):
            continue
        numbers = rows[item.nodeid.partition("[")[0]]
        if numbers.setdefault(row, len(numbers)) % 2 != way:
            item.add_marker(pytest.mark.slow)
