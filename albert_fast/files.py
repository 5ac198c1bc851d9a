"""Outputs that one run at a time writes."""

import contextlib
import os
from collections.abc import Iterator

from albert_fast._native import OutputLock


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], *, whole: bool = False) -> Iterator[OutputLock]:
    """Keeps a second run from writing to `path` within the block; every command that writes goes through this lock.

    Check what is there inside the block: it may have appeared while another run had the lock.

    Args:
        path: the output.
        whole: whether it is a file or a folder that appears whole, in place of what is there. Otherwise it is a folder
            that is filled in place: it is created, and removed again if it is empty at the end.

    Raises:
        AlbertFastError: another run is writing there, or the folder cannot be created.
    """
    lock = OutputLock(path, whole=whole)
    try:
        yield lock
    finally:
        lock.release()
