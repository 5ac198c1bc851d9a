"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from disks import Killed, fail_at

from albert_fast import AlbertFastError, files

if TYPE_CHECKING:
    from collections.abc import Callable


def contents(directory: Path) -> dict[str, str]:
    """The files in a directory, those with a leading dot too, and what they hold."""
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    files.write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(AlbertFastError, match=r"^cannot write .*a\.json: No space"):
        files.write_atomic(path, b"new")
    assert contents(tmp_path) == {"a.json": "old"}


def test_of_files_that_belong_together_none_is_replaced_alone(tmp_path: Path) -> None:
    model, rules = tmp_path / "model", tmp_path / "rules"
    files.write_together({model: b"1", rules: b"1"})
    blocked = tmp_path / "directory"
    blocked.mkdir()
    with pytest.raises(AlbertFastError, match="Is a directory"):
        files.write_together({model: b"2", blocked: b"2", rules: b"2"})
    assert contents(tmp_path) == {"model": "1", "rules": "1"}
    files.write_together({model: b"2", rules: b"2"})
    assert contents(tmp_path) == {"model": "2", "rules": "2"}


SETS = {
    "all": {"vocab": "1", "rules": "1", "model": "1"},
    "two": {"rules": "1", "model": "1"},
    "others": {"vocab": "1", "rules": "1"},
    "one": {"rules": "1"},
    "none": {},
}
NAMES = ("vocab", "rules", "model")


@pytest.mark.parametrize("old", SETS.values(), ids=SETS)
@pytest.mark.parametrize("error", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()], ids=type)
@pytest.mark.parametrize("after", [False, True])
def test_what_fails_between_files_leaves_the_old_ones(
    old: dict[str, str], error: BaseException, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {tmp_path / name: b"2" for name in NAMES}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    for number in range(1, len(old) + len(NAMES) + 1):
        with monkeypatch.context() as patched:
            fail_at(number, error, patched, after=after, ever=False)
            with pytest.raises((AlbertFastError, KeyboardInterrupt)):
                files.write_together(new)
        assert contents(tmp_path) == old, number
    # As many renames as there are.
    with monkeypatch.context() as patched:
        fail_at(len(old) + len(NAMES) + 1, error, patched, after=after, ever=False)
        files.write_together(new)
    assert contents(tmp_path) == dict.fromkeys(NAMES, "2")


@pytest.mark.parametrize("old", SETS.values(), ids=SETS)
@pytest.mark.parametrize("error", [OSError(errno.EIO, os.strerror(errno.EIO)), Killed()], ids=type)
@pytest.mark.parametrize("after", [False, True])
def test_the_next_process_repairs_what_a_killed_one_left(
    old: dict[str, str], error: BaseException, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one whose disk failed in such a way that the old files could not be put back."""
    for number in range(1, len(old) + len(NAMES) + 1):
        directory = tmp_path / str(number)
        directory.mkdir()
        for name, text in old.items():
            (directory / name).write_text(text)
        new = {directory / name: b"2" for name in NAMES}
        with monkeypatch.context() as patched:
            fail_at(number, error, patched, after=after, ever=True)
            with pytest.raises((AlbertFastError, Killed)):
                files.write_together(new)
        # The repair may be killed too.
        for again in range(1, 7):
            with monkeypatch.context() as patched:
                fail_at(again, Killed(), patched, after=after, ever=True)
                with contextlib.suppress(Killed):
                    files.repair(new)
        files.repair(new)
        found = {name: text for name, text in contents(directory).items() if not name.endswith(".tmp")}
        whole = [old, dict.fromkeys(NAMES, "2")]
        # If there were none, or not the one that counts, it is not there now either.
        assert found in whole or ("model" not in old and "model" not in found), (number, found)
        assert not any(name.endswith(".old") for name in found)
        if old:
            assert found in whole, (number, found)
        files.write_together({directory / name: b"3" for name in NAMES})
        assert contents(directory) == dict.fromkeys(NAMES, "3")


def test_a_directory_that_is_not_synced_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = files.sync

    def syncing(path: Path) -> None:
        if path.is_dir():
            no_space()
        synced(path)

    monkeypatch.setattr(files, "sync", syncing)
    for names in (NAMES, NAMES[:1]):
        with pytest.raises(AlbertFastError, match=rf"^cannot write {re.escape(str(tmp_path))}: No space"):
            files.write_together({tmp_path / name: b"2" for name in names})
    assert contents(tmp_path).keys() <= {"vocab"}


def test_a_file_gets_its_name_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old")
    with files.whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert contents(tmp_path) == {"log": "new"}
    with contextlib.suppress(KeyboardInterrupt), files.whole_file(path, tmp_path / "other") as temporary:
        temporary.write_text("half")
        assert contents(tmp_path) == {"log": "new", "other": "half"}
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"log": "new"}


def test_a_directory_takes_the_place_of_another_whole(tmp_path: Path) -> None:
    final, left = tmp_path / "model", tmp_path / ".model.tmp"
    final.mkdir()
    (final / "old").write_text("1")
    left.mkdir()  # by a process that was killed
    (left / "half").write_text("0")
    with files.whole_directory(final) as temporary:
        (temporary / "new").write_text("2")
        assert contents(final) == {"old": "1"}
    assert contents(tmp_path) == {"model/new": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def error(_: Path) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize(("how", "disk"), [(error, os.fsync), (files.remove_tree, os.fsync), (Path.touch, no_space)])
def test_a_directory_stays_if_no_other_is_finished(
    how: Callable[[Path], None], disk: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block fails, or removes what it filled, or the disk is full."""
    final = tmp_path / "model"
    final.mkdir()
    (final / "old").write_text("1")
    with contextlib.suppress(OSError), files.whole_directory(final) as temporary:
        (temporary / "new").write_text("2")
        monkeypatch.setattr(os, "fsync", disk)
        how(temporary)
    assert contents(tmp_path) == {"model/old": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_size_and_a_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.measure(tmp_path / "a") == (3, digest)
    assert files.inside(tmp_path / "a", tmp_path)
    assert not files.inside(tmp_path, tmp_path / "a")


def test_links_that_lead_to_themselves_are_paths(tmp_path: Path) -> None:
    loop, link = tmp_path / "loop", tmp_path / "link"
    loop.symlink_to("loop")
    link.symlink_to(tmp_path)
    assert files.resolved(loop) == files.resolved(link / "loop") == files.resolved(tmp_path) / "loop"
    assert files.inside(loop, tmp_path)
    assert files.inside(loop, link)
    assert not files.inside(tmp_path, loop)
