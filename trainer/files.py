"""Files and folders that survive a crash or show that they did not: synced, renamed into place, with digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from albert_fast.files import locked
from trainer.errors import TrainerError, some

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from pathlib import Path


def signed(content: dict[str, Any]) -> bytes:
    """`content` with its digest, as the bytes of a file."""
    return (json.dumps(content | {"sha256": digest(content)}, indent=2) + "\n").encode()


def digest(content: dict[str, Any]) -> str:
    """SHA-256 of `content` as JSON, keys sorted, with neither spaces nor line ends."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def checked(path: Path) -> dict[str, Any] | None:
    """What `signed` made the file of; None where the file is something else."""
    try:
        content = json.loads(path.read_bytes())
        given = content.pop("sha256")
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    return content if given == digest(content) else None


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


def measure(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file."""
    size, sha256 = 0, hashlib.sha256()
    for block in _blocks(path):
        size += len(block)
        sha256.update(block)
    return size, sha256.hexdigest()


def sync(path: Path) -> None:
    """Waits until a file's contents, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put(temporary: Path, final: Path) -> None:
    """Gives the folder `temporary` the name `final`, in place of one that has it."""
    hidden = _hide(final)
    try:
        temporary.rename(final)
    except BaseException:
        if hidden is not None:
            hidden.rename(final)
        raise
    sync(final.parent)
    if hidden is not None:
        remove_tree(hidden)


def remove(path: Path) -> None:
    """Removes a folder so that a process killed meanwhile leaves nothing half under its name."""
    hidden = _hide(path)
    if hidden is not None:
        sync(path.parent)
        remove_tree(hidden)


def _hide(path: Path) -> Path | None:
    """Renames a folder, where it is there, to one with a leading dot, and returns that."""
    if not path.exists():
        return None
    hidden = path.with_name(f".{path.name}.old")
    remove_tree(hidden)
    path.rename(hidden)
    return hidden


def remove_tree(path: Path) -> None:
    """Removes a folder where it is there."""
    if path.exists():
        shutil.rmtree(path)


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError):
        known = error.strerror or str(error)
        return f"{error.filename}: {known}" if error.filename is not None else known
    text = " ".join(str(getattr(error, "message", error)).split())
    return os.strerror(errno.ENOSPC) if "No space left" in text else text[:300] or type(error).__name__


@contextlib.contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A folder to fill that gets the name `final`, in place of what has it, when the block ends without an error.

    What a killed process leaves, `.NAME.tmp` beside it, is gone after the next. The caller has `final` locked (see
    `albert_fast.files`).

    Raises:
        TrainerError: something else changed what is in `final` within the block; it stays as it is.
        AlbertFastError: something else is writing there.
    """
    before = _names(final)
    temporary = final.with_name(f".{final.name}.tmp")
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_tree(temporary)
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            sync(path)
        sync(temporary)
        if _names(final) != before:
            raise TrainerError(f"{final} changed while its new content was made: pass another --output-dir")
        # A command that fills the folder in place holds this lock.
        with locked(final) if before else contextlib.nullcontext():
            put(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _names(folder: Path) -> list[str]:
    """What is in a folder; nothing if it is not there."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def check_replaceable(final: Path, own: re.Pattern[str], mark: re.Pattern[str], overwrite: bool) -> None:
    """Refuses to write a folder where another would be lost. Changes nothing.

    Args:
        final: the folder to write.
        own: full names of what a command of the same kind writes; an empty folder, or one with these alone, can be
            replaced.
        mark: full names of which one at least is in all that such a command writes: without it, the others are
            somebody else's, such as a README.md alone.
        overwrite: whether the user agreed to that.

    Raises:
        TrainerError: `final` is a file, or a folder with something in it.
    """
    try:
        found = sorted(path.name for path in final.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise TrainerError(f"cannot write to {final}: {reason(error)}") from error
    written = any(map(mark.fullmatch, found))
    foreign = [name for name in found if not (written and own.fullmatch(name))]
    if foreign and overwrite:
        raise TrainerError(
            f"{final} holds {some(foreign)}, which this command does not write: --overwrite would delete it; pass "
            "another --output-dir"
        )
    if found and not overwrite:
        raise TrainerError(f"{final} is not empty: pass another --output-dir" + ("" if foreign else ", or --overwrite"))


def inside(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder`, or in it."""
    return path.resolve().is_relative_to(folder.resolve())
