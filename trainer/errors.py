"""The trainer's error, and texts for its message. Nothing here imports TensorFlow."""

from __future__ import annotations

import errno
import os

from albert_fast.errors import AlbertFastError


class TrainerError(AlbertFastError):
    """An `AlbertFastError` of training, evaluation or export; see there for the arguments.

    The kind is "training" unless another one describes the error better.
    """

    default_kind = "training"


def some(names: list[str], most: int = 3) -> str:
    """Return the first `most` of `names`, and how many more there are, for a message of one line."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def reason(error: BaseException) -> str:
    """Return what went wrong according to another library's error, in one line."""
    if isinstance(error, OSError):
        known = error.strerror or str(error)
        return f"{error.filename}: {known}" if error.filename is not None else known
    text = " ".join(str(getattr(error, "message", error)).split())
    return os.strerror(errno.ENOSPC) if "No space left" in text else text[:300] or type(error).__name__
