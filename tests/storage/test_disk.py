"""Temporary folders that go whatever happens."""

import shutil
from pathlib import Path

import pytest

from loadlens.errors import OutputError
from loadlens.storage.folders import refusing_full_disk, temporary_folder


def test_a_second_interrupt_does_not_keep_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove, calls = shutil.rmtree, []

    def interrupted_once(folder: Path, **options: bool) -> None:
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", interrupted_once)
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path):
        raise KeyboardInterrupt
    assert len(calls) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError(28, "full"), OSError("write failed (os error 122)")])
def test_a_full_disk_is_told_as_such(error: OSError) -> None:
    told = pytest.raises(OutputError, match=r"^here: cannot be written: .+; free some$")
    with told, refusing_full_disk("here", "free some"):
        raise error


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(PermissionError), refusing_full_disk("here", "free some"):
        raise PermissionError(13, "no")
