"""Signs, which are looked for first, are in every file of their kind."""

from pathlib import Path

import pytest

from loadlens.dialects import DIALECTS, REFUSED
from loadlens.dialects.base import fits
from loadlens.text.stream import Head, read_head
from tests.dialect_logs import KINDS, sample

RECORDED = sorted(path for path in (Path(__file__).parent / "recorded").rglob("*") if path.is_file())
LOGS = Path(__file__).parents[3] / "shared" / "logs"  # absent where the project stands alone


def assert_signs_hold(head: Head) -> None:
    assert [kind.title for kind in (*DIALECTS, *REFUSED) if kind.matches(head) and not fits(kind, head)] == []


@pytest.mark.parametrize("name", KINDS)
def test_signs_are_in_the_logs_of_every_dialect(name: str) -> None:
    data = sample(name).data
    head = Head(path=Path(name), data=data, size=len(data))
    assert [dialect.name for dialect in DIALECTS if fits(dialect, head)] == [name]
    assert_signs_hold(head)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_signs_are_in_what_tools_have_written(path: Path) -> None:
    assert_signs_hold(read_head(path))


@pytest.mark.slow
@pytest.mark.skipif(not LOGS.exists(), reason="no logs of others here")
def test_signs_are_in_logs_of_others() -> None:
    for path in LOGS.rglob("*"):
        if path.is_file() and path.stat().st_size and path.suffix not in {".zip", ".md", ".parquet"}:
            assert_signs_hold(read_head(path))
