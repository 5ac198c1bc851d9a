"""Files and directories that appear whole or not at all, and outputs that one process at a time writes.

A file is written as `.NAME.tmp` next to its place, and a directory is filled as `.NAME.tmp`. When everything is on
disk, it gets its name. An existing output, which is restored if something fails, is called `.NAME.old` meanwhile. These
names are the same each time, so what a killed process leaves is gone after the next one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from albert_fast import _native
from albert_fast._native import AlbertFastError, OutputLock
from albert_fast.paths import RemotePath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], *, whole: bool = False) -> Iterator[OutputLock]:
    """Keeps a second process from writing to `path` within the block. Every command that writes takes this lock.

    Check what exists inside the block: it may have appeared while another process held the lock.

    Args:
        path: the output.
        whole: whether it is a file or a directory that appears whole and replaces what exists. Otherwise it is a
            directory that is filled in place: it is created, and removed again if it is empty at the end.

    Raises:
        AlbertFastError: another process is writing there, or the directory cannot be created.
    """
    lock = OutputLock(path, whole=whole)
    try:
        yield lock
    finally:
        lock.release()


# --- files -----------------------------------------------------------------------------------------------------------


def write_atomic(path: Path, data: bytes) -> None:
    """Writes `path` whole or not at all.

    Raises:
        AlbertFastError: the file cannot be written.
    """
    write_together({path: data})


def write_apart(path: Path, data: bytes) -> None:
    """Writes `path` whole or not at all, while others may write the same file.

    Raises:
        AlbertFastError: the file cannot be written.
    """
    if isinstance(path, RemotePath):
        _native.remote_write(path, data)
        return
    tries = 1
    while not _write_apart(path, data, is_last=tries == 10):
        tries += 1


def _write_apart(path: Path, data: bytes, *, is_last: bool) -> bool:
    """Returns whether it was written. Another process may take the temporary for what a killed one has left."""
    try:
        with whole_file(path, path.with_name(f".{path.name}.{secrets.token_hex(3)}.tmp")) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path.parent.is_dir() and not is_last:
            return False
        message = f"cannot write {path}: {error.strerror or error}"
        raise AlbertFastError(message, kind="io", path=path) from error
    return True


def write_together(files: Mapping[Path, bytes]) -> None:
    """Writes files of one directory that belong together. If one of them cannot be written, none is replaced.

    The last file marks a complete set, and never exists next to files of another set. The old one is first renamed to
    `.NAME.old`, and the new one comes last. An error or Ctrl-C restores the old files. If the process is killed,
    `repair` cleans up. In a bucket, the old marker is removed first, and a killed process leaves a set without one.

    Raises:
        AlbertFastError: a file cannot be written.
    """
    *others, last = files
    if isinstance(last, RemotePath):
        if others:
            _native.remote_remove(last)
        for path, data in files.items():
            _native.remote_write(path, data)
        return
    repair(files)
    path, written = last, False
    try:
        for path, data in files.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            _temporary(path).write_bytes(data)
            sync(_temporary(path))
        written = True
        for path in [last, *others] if others else []:
            if os.path.lexists(path):
                path.replace(_aside(path))
        for path in files:
            _temporary(path).replace(path)
        path = last.parent
        sync(path)
    except BaseException as error:
        try:
            if written and others:
                _undo(files)
        except OSError:
            pass  # `repair` needs the temporaries
        else:
            _discard_all(map(_temporary, files))
        if isinstance(error, OSError):
            raise AlbertFastError(f"cannot write {path}: {error.strerror or error}", kind="io", path=path) from error
        raise
    _discard_all(map(_aside, files))


def repair(files: Iterable[Path]) -> None:
    """Cleans up after a process that was killed while it wrote these files together: all are then old, or all new.

    Args:
        files: in the order of `write_together`.

    Raises:
        AlbertFastError: a file cannot be renamed.
    """
    files = list(files)
    if isinstance(files[-1], RemotePath) or not any(os.path.lexists(_aside(path)) for path in files):
        return
    if os.path.lexists(files[-1]):  # all new files are there
        _discard_all(map(_aside, files))
        return
    try:
        _undo(files)
    except OSError as error:
        message = f"cannot restore {files[-1]}: {error.strerror or error}"
        raise AlbertFastError(message, kind="io", path=files[-1]) from error
    _discard_all(map(_temporary, files))


def _undo(files: Iterable[Path]) -> None:
    """Reverts what `write_together` did after it wrote the temporary files, the last step first.

    A file without its temporary file is a new one, and gets the temporary name again. Another process can therefore
    finish this.

    Raises:
        OSError: a file cannot be renamed.
    """
    *others, last = files
    for path in (last, *others):
        if os.path.lexists(path) and not os.path.lexists(_temporary(path)):
            path.replace(_temporary(path))
    for path in (*others, last):
        if os.path.lexists(_aside(path)):
            _aside(path).replace(path)


@contextlib.contextmanager
def whole_file(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Yields a name to write a file under. It becomes `path` when the block ends without an error.

    The file may still be open then, and be written to under its new name.

    Args:
        path: the file.
        temporary: the name, in the same directory. By default it is that of `path`, with a dot before and .tmp after
            it.

    Raises:
        OSError: the file was not written, or cannot be renamed.
    """
    temporary = _temporary(path) if temporary is None else temporary
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        _discard(temporary)
        raise
    sync(path.parent)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _discard(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def _discard_all(paths: Iterable[Path]) -> None:
    for path in paths:
        _discard(path)


def measure(path: Path) -> tuple[int, str]:
    """Returns the size in bytes and the SHA-256 of a file."""
    size, sha256 = 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size += len(block)
            sha256.update(block)
    return size, sha256.hexdigest()


def sync(path: Path) -> None:
    """Waits until the contents of a file, or the names in a directory, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def inside(path: Path, directory: Path) -> bool:
    """Returns whether `path` is `directory`, or inside it."""
    return resolved(path).is_relative_to(resolved(directory))


def resolved(path: Path) -> Path:
    """Returns the absolute path, with links followed. Unlike `Path.resolve`, it accepts circular links."""
    return Path(os.path.realpath(path))


# --- directories -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def whole_directory(final: Path) -> Iterator[Path]:
    """Yields a directory to fill. It becomes `final`, and replaces it, when the block ends without an error.

    If the block removes the directory, `final` stays as it is. Only one process at a time may do this with `final`: see
    `locked`.

    Raises:
        OSError: the directory cannot be written.
    """
    temporary = _temporary(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        remove_tree(temporary)
        temporary.mkdir()
        yield temporary
        if not temporary.exists():
            return
        for path in temporary.rglob("*"):
            sync(path)
        sync(temporary)
        put(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def put(temporary: Path, final: Path) -> None:
    """Renames the directory `temporary` to `final`, and replaces one that has this name."""
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
    """Removes a directory in such a way that a killed process leaves no half of it under its name."""
    hidden = _hide(path)
    if hidden is not None:
        sync(path.parent)
        remove_tree(hidden)


def _hide(path: Path) -> Path | None:
    """Renames a directory, if it exists, to `.NAME.old`, and returns that."""
    if not path.exists():
        return None
    hidden = _aside(path)
    remove_tree(hidden)
    path.rename(hidden)
    return hidden


def remove_tree(path: Path) -> None:
    """Removes a directory if it exists."""
    if path.exists():
        shutil.rmtree(path)
