"""The trainer's error, and the reasons in errors of other libraries. Nothing here imports TensorFlow."""

from __future__ import annotations

import errno
import os


class TrainerError(Exception):
    """An error the user can fix: a message of one line with the rule, the value, the place and what to do."""


def some(names: list[str], most: int = 3) -> str:
    """Return the first `most` of `names` and the number of the others, for a message of one line."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def reason(error: BaseException) -> str:
    """Return what went wrong, in one line."""
    if isinstance(error, OSError):
        known = error.strerror or str(error)
        return f"{error.filename}: {known}" if error.filename is not None else known
    text = " ".join(str(getattr(error, "message", error)).split())
    return os.strerror(errno.ENOSPC) if "No space left" in text else text[:300] or type(error).__name__
