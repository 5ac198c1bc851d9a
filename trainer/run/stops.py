"""What ends a run before its last step: signals and a time limit. Nothing here imports TensorFlow."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from albert_fast._signals import MAY_BE_IGNORED, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from typing_extensions import Self

TIME_IS_UP = "max_hours"
"""The reason to stop that is not an interruption. In run.json, earlier versions wrote it as a flag."""

SAME_SIGNAL = 1.0
"""Seconds within which a second signal counts as the first, because some launchers signal a process and its group."""

LAST_MOMENT = 1.5
"""Seconds after the second signal within which the main thread must end the run. Otherwise the process is ended."""

EXIT_CODE = 130
"""Exit code of a process that a signal ended."""


class StoppedTwiceError(KeyboardInterrupt):
    """The second signal: the process must end at once."""


class Stops:
    """Turns `SIGNALS` and a time limit into a reason to save and end the run.

    The second signal raises `StoppedTwiceError` in the main thread. Python cannot do that while the main thread is in
    TensorFlow's code, so a thread watches: `LAST_MOMENT` seconds later it ends the process, with exit code 130.

    Args:
        max_hours: the limit, counted from now; None for no limit.
        heard: called with the first signal's name, in a separate thread.
        last_words: returns what to write to standard error if the watching thread ends the process.
    """

    def __init__(
        self,
        max_hours: float | None,
        heard: Callable[[str], None] = lambda _: None,
        last_words: Callable[[], str] = lambda: "stopped",
    ) -> None:
        self.reason: str | None = None
        self.room = 0.0
        """Seconds that ending takes: a checkpoint and an evaluation. They count against the time limit."""
        self.deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
        self.asked = 0.0
        self.heard, self.last_words = heard, last_words
        self._before: dict[int, Any] = {}
        self._wakeup = -1
        self._pipe = -1
        self._left = threading.Event()

    def __enter__(self) -> Self:
        read, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        threading.Thread(target=self._watch, args=(read,), name="albert-fast stops", daemon=True).start()
        for number in SIGNALS:
            if number not in MAY_BE_IGNORED or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._stop)
        # Python writes a signal's number there immediately, whatever the main thread is doing.
        self._wakeup = signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._pipe)

    def __call__(self, ahead: float = 0.0) -> str | None:
        """Return the reason to end, or None.

        Args:
            ahead: seconds of work that would come first if there is no reason yet.
        """
        if self.reason is None and self.deadline is not None and time.monotonic() + ahead + self.room >= self.deadline:
            self.reason = TIME_IS_UP
        return self.reason

    def _stop(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked and now > self.asked + SAME_SIGNAL:
            # The files on disk are complete at any time.
            raise StoppedTwiceError
        self.asked = self.asked or now
        self.reason = signal.Signals(number).name

    def _watch(self, read: int) -> None:
        """Read the signals' numbers until the pipe is closed."""
        first = 0.0
        with os.fdopen(read, "rb", buffering=0) as pipe:
            while (found := pipe.read(1)) and not self._left.is_set():
                if found[0] not in SIGNALS:
                    continue
                now = time.monotonic()
                if not first:
                    first = now
                    # In a separate thread: a terminal that accepts no output must not keep this thread from watching.
                    name = signal.Signals(found[0]).name
                    threading.Thread(target=self.heard, args=(name,), name="albert-fast heard", daemon=True).start()
                elif now > first + SAME_SIGNAL and not self._left.wait(LAST_MOMENT):
                    self._end()

    def _end(self) -> None:
        """End the process. Nothing may wait for the main thread or for TensorFlow."""
        words = "stopped"
        with contextlib.suppress(Exception):
            words = self.last_words()
        with contextlib.suppress(OSError, ValueError):
            stream = sys.stderr.fileno()
            # A table that is drawn on a terminal hides the cursor.
            end_table = "\x1b[?25h\n" if os.isatty(stream) else ""
            os.write(stream, f"{end_table}albert-fast: {words}\n".encode(errors="backslashreplace"))
        os._exit(EXIT_CODE)
