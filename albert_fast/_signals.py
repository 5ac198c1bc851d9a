"""Handles the signals that ask a command to end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that ask a command to end: Ctrl-C, a scheduler, a closed terminal, and the warnings that Slurm, LSF and Grid
Engine send before they end a job."""

TRACKER = "albert-fast tracker"
"""What the names of threads begin with that may be stuck when the process is to end."""

MAY_BE_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that stay ignored if they are ignored at the start, as nohup does with SIGHUP."""


@contextlib.contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Raises `KeyboardInterrupt` for each of `SIGNALS` within the block, so that a command cleans up as for Ctrl-C.

    It only works in the main thread. In another thread, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, _interrupt)
        for number in SIGNALS
        if number != signal.SIGINT and (number not in MAY_BE_IGNORED or signal.getsignal(number) != signal.SIG_IGN)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ending_at_ctrl_c() -> Iterator[None]:
    """Ends the process at any of `SIGNALS` within the block, which loads modules and has nothing to clean up.

    An exception does not work here. NumPy turns a `KeyboardInterrupt` during its own import into an `ImportError`, and
    other modules continue without what they were loading. It only works in the main thread, and does not replace
    another program's handler.
    """
    usual = (signal.default_int_handler, signal.SIG_DFL, _interrupt)
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS if main and signal.getsignal(number) in usual}
    for number in before:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"albert-fast: stopped\n")
    os._exit(130)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
