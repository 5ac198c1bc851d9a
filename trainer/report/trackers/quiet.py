"""Keeps the trackers' packages from writing to the terminal, where the run is shown."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

from albert_fast._signals import TRACKER

if TYPE_CHECKING:
    from collections.abc import Iterator

THREAD = TRACKER
"""What the names of the trackers' threads begin with."""

_OURS = threading.local()
"""Whether what a thread writes is ours."""


class _Filter:
    """A stream without what the trackers' threads write."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith(THREAD) and not getattr(_OURS, "words", False):
            return len(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def our_words() -> Iterator[None]:
    """Let a tracker's thread write within the block."""
    _OURS.words = True
    try:
        yield
    finally:
        _OURS.words = False


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """Drop what the trackers' threads write to `sys.stdout` and `sys.stderr`, except in `our_words`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Filter(sys.stdout), _Filter(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
