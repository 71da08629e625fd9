import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from loadlens.errors import InputError, OutputError
from loadlens.publish.publishing import publish_files, publish_folder, refuse_files, refuse_output_inside
from tests.folders import old_report, tree

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def write_new(folder: Path) -> None:
    (folder / "new.txt").write_text("new")
    (folder / "sub").mkdir()
    (folder / "sub" / "deep.txt").write_text("deep")


NEW = {"new.txt": b"new", "sub": None, "sub/deep.txt": b"deep"}


def must_not_write(folder: Path) -> NoReturn:
    raise AssertionError(f"asked to write {folder}")


def cannot_exchange(_one: Path, _other: Path) -> bool:
    """As on a file system that cannot exchange two folders in one step."""
    return False


def old_folder(out: Path) -> Path:
    old_report(out)
    (out / "charts").mkdir()
    (out / "charts" / "old.png").write_text("old")
    return out


def fail_renames(monkeypatch: pytest.MonkeyPatch, fails: set[int], error: BaseException) -> None:
    """Makes the renames of these numbers, counted from 1, raise ``error``."""
    real, calls = Path.rename, 0

    def rename(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls in fails:
            raise error
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)


def test_a_new_folder_appears_with_what_was_written(tmp_path: Path) -> None:
    publish_folder(tmp_path / "out", write_new)
    assert tree(tmp_path) == {"out": None} | {f"out/{name}": content for name, content in NEW.items()}


def test_nothing_appears_before_all_is_written(tmp_path: Path) -> None:
    out = old_folder(tmp_path / "out")
    before = tree(out)

    def write(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        write_new(folder)
        assert tree(out) == before

    publish_folder(out, write, overwrite=True)
    assert tree(out) == NEW


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    publish_folder(out, write_new)
    assert tree(out) == NEW


def test_a_folder_has_the_rights_of_any_new_folder(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    publish_folder(tmp_path / "out", write_new)
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    out = old_folder(tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"exists.*--overwrite"):
        publish_folder(out, must_not_write)
    assert tree(tmp_path) == before


def test_overwriting_replaces_the_whole_folder(tmp_path: Path) -> None:
    publish_folder(old_folder(tmp_path / "out"), write_new, overwrite=True)
    assert tree(tmp_path) == {"out": None} | {f"out/{name}": content for name, content in NEW.items()}


def test_overwriting_needs_no_old_folder(tmp_path: Path) -> None:
    publish_folder(tmp_path / "out", write_new, overwrite=True)
    assert tree(tmp_path / "out") == NEW


def make_file(out: Path) -> None:
    out.write_text("a file")


def make_link_to_folder(out: Path) -> None:
    out.symlink_to(old_folder(out.with_name("elsewhere")), target_is_directory=True)


def make_link_to_file(out: Path) -> None:
    out.with_name("file").write_text("a file")
    out.symlink_to(out.with_name("file"))


def make_dangling_link(out: Path) -> None:
    out.symlink_to(out.with_name("nowhere"))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make", [make_file, make_link_to_folder, make_link_to_file, make_dangling_link])
def test_what_is_no_folder_is_refused(tmp_path: Path, make: Callable[[Path], None], overwrite: bool) -> None:
    make(tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="is not a folder"):
        publish_folder(tmp_path / "out", must_not_write, overwrite=overwrite)
    assert tree(tmp_path) == before


FAILURES = [
    InputError("no rows"),
    ValueError("a mistake"),
    KeyboardInterrupt(),
    SystemExit(143),
    MemoryError(),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("make", [old_folder, Path.mkdir, None], ids=["old", "empty", "absent"])
def test_a_failure_leaves_all_as_it_was(
    tmp_path: Path, make: Callable[[Path], object] | None, failure: BaseException
) -> None:
    if make:
        make(tmp_path / "out")
    before = tree(tmp_path)

    def write(folder: Path) -> None:
        write_new(folder)
        raise failure

    with pytest.raises(type(failure)) as raised:
        publish_folder(tmp_path / "out", write, overwrite=True)
    assert raised.value is failure
    assert tree(tmp_path) == before


def test_a_disk_that_is_full_is_an_output_error(tmp_path: Path) -> None:
    out = old_folder(tmp_path / "out")
    before = tree(tmp_path)

    def write(folder: Path) -> None:
        write_new(folder)
        raise OSError(28, "No space left on device", str(folder / "summary.json"))

    with pytest.raises(OutputError, match="No space left on device"):
        publish_folder(out, write, overwrite=True)
    assert tree(tmp_path) == before


def test_parents_are_made(tmp_path: Path) -> None:
    publish_folder(tmp_path / "a" / "b" / "out", write_new)
    assert tree(tmp_path / "a" / "b" / "out") == NEW


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_made_parents_go_again_and_others_stay(tmp_path: Path, failure: BaseException) -> None:
    (tmp_path / "mine").mkdir()

    def write(folder: Path) -> None:
        write_new(folder)
        raise failure

    with pytest.raises(type(failure)):
        publish_folder(tmp_path / "mine" / "a" / "b" / "out", write)
    assert tree(tmp_path) == {"mine": None}


def test_a_made_parent_that_somebody_else_uses_by_now_stays(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        write_new(folder)
        (tmp_path / "a" / "theirs.txt").write_text("theirs")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish_folder(tmp_path / "a" / "b" / "out", write)
    assert tree(tmp_path) == {"a": None, "a/theirs.txt": b"theirs"}


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    for out in (tmp_path / "file" / "out", tmp_path / "file" / "a" / "b" / "out"):
        with pytest.raises(OutputError):
            publish_folder(out, must_not_write)
    assert tree(tmp_path) == {"file": b"a file"}


@pytest.mark.parametrize("out", ["{long}", "new/{long}", "{long}/out", "new/{long}/out"])
def test_a_name_that_is_too_long_is_refused(tmp_path: Path, out: str) -> None:
    with pytest.raises(OutputError):
        publish_folder(tmp_path / out.format(long="n" * 300), must_not_write)
    assert tree(tmp_path) == {}


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_a_parent_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o555)
    for out in (parent / "out", parent / "a" / "out"):
        with pytest.raises(OutputError, match="Permission denied"):
            publish_folder(out, must_not_write)
    parent.chmod(0o755)
    assert tree(tmp_path) == {"parent": None}


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(16, "Device or resource busy"), OutputError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["OSError", "KeyboardInterrupt"],
)
def test_a_swap_that_fails_brings_the_old_folder_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    error: BaseException,
    raised: type[BaseException],
) -> None:
    out = old_folder(tmp_path / "out")
    before = tree(tmp_path)
    fail_renames(monkeypatch, {step}, error)
    with pytest.raises(raised):
        publish_folder(out, write_new, overwrite=True, exchange=cannot_exchange)
    assert tree(tmp_path) == before


def test_an_old_folder_that_cannot_be_brought_back_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = old_folder(tmp_path / "out")
    fail_renames(monkeypatch, {2, 3}, OSError(5, "Input/output error"))
    with pytest.raises(OutputError):
        publish_folder(out, write_new, overwrite=True, exchange=cannot_exchange)
    assert b"old" in tree(tmp_path).values()


def test_a_rename_to_a_new_folder_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_renames(monkeypatch, {1}, OSError(16, "Device or resource busy"))
    with pytest.raises(OutputError, match="Device or resource busy"):
        publish_folder(tmp_path / "a" / "out", write_new)
    assert tree(tmp_path) == {}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "logs" / "day").mkdir(parents=True)
    (tmp_path / "logs" / "day" / "a.csv").write_text("a")
    return tmp_path / "logs"


@pytest.mark.parametrize(
    ("out", "source"),
    [
        ("logs", "logs"),
        ("logs/out", "logs"),
        ("logs/day/deep/out", "logs"),
        ("logs", "logs/day"),
        ("logs", "logs/day/a.csv"),
        ("logs/day/a.csv", "logs/day/a.csv"),
        (".", "logs/day/a.csv"),
        ("logs/../logs/out", "logs"),
        ("other/../logs", "logs/day/../day/a.csv"),
    ],
)
def test_an_output_that_overlaps_an_input_is_refused(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch, out: str, source: str
) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(OutputError, match="overlaps the input"):
        refuse_output_inside(tmp_path / out, [tmp_path / "other", tmp_path / source])
    monkeypatch.chdir(logs.parent)
    with pytest.raises(OutputError, match="overlaps the input"):
        refuse_output_inside(Path(out), [tmp_path / source])


def test_a_link_does_not_hide_an_overlap(tmp_path: Path, logs: Path) -> None:
    (tmp_path / "link").symlink_to(logs, target_is_directory=True)
    for out, source in ((tmp_path / "link" / "out", logs), (logs / "out", tmp_path / "link")):
        with pytest.raises(OutputError, match="overlaps the input"):
            refuse_output_inside(out, [source])


@pytest.mark.parametrize("out", ["out", "logs2", "log", "logs/day/b.csv", "logs/day/a.csv.out", "logs/out"])
def test_an_output_beside_an_input_is_allowed(tmp_path: Path, logs: Path, out: str) -> None:
    refuse_output_inside(tmp_path / out, [logs / "day" / "a.csv"])
    refuse_output_inside(tmp_path / out, [])


def writer(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return write


def test_files_replace_what_was_there(tmp_path: Path) -> None:
    first, second = tmp_path / "new" / "folder" / "a.xml", tmp_path / "b.md"
    second.write_text("old", encoding="utf-8")
    publish_files([(first, writer("ä\n")), (second, writer("new\n"))])
    assert first.read_bytes() == "ä\n".encode()
    assert second.read_bytes() == b"new\n"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.xml", "b.md"]


def test_a_file_that_cannot_be_written_leaves_all_as_they_were(tmp_path: Path) -> None:
    good, blocked = tmp_path / "a.xml", tmp_path / "file" / "b.md"
    good.write_text("old", encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match=r"b\.md: cannot be written"):
        publish_files([(good, writer("new")), (blocked, writer("new"))])
    assert good.read_text(encoding="utf-8") == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.xml", "file"]


def test_a_writer_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        publish_files([(path, writer("\udcff"))])
    assert path.read_text(encoding="utf-8") == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.xml"]


def test_files_that_are_inputs_folders_or_doubles_are_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("x", encoding="utf-8")
    (tmp_path / "link.xml").symlink_to(log)
    for path in (log, tmp_path / "link.xml"):
        with pytest.raises(OutputError, match="is one of the inputs"):
            refuse_files([path], [None, log])
    with pytest.raises(OutputError, match="is a folder"):
        refuse_files([tmp_path], [])
    with pytest.raises(OutputError, match="is named for two outputs"):
        refuse_files([tmp_path / "a", tmp_path / "." / "a"], [])
    refuse_files([tmp_path / "a", tmp_path / "b"], [log])
