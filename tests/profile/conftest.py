"""Every test of the engine runs twice: counting in tables, and counting by group-bys."""

import pytest

from loadlens.profile import scan


@pytest.fixture(params=["tables", "groups"], autouse=True)
def _way_of_counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    fewest = 0 if request.param == "tables" else 10**12
    monkeypatch.setattr(scan, "FEWEST_ROWS_FOR_TABLES", fewest)
