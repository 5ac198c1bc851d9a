"""What ends a run before its last step: signals and a limit of hours. Nothing here imports TensorFlow."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from typing_extensions import Self

TIME_IS_UP = "--max-hours"
"""The reason to stop that is no interruption."""

SAME_SIGNAL = 1.0
"""Seconds within which a second signal is taken for the first: some launchers send one to the process and its group."""


class Stops:
    """Turns Ctrl-C, SIGTERM and a limit of hours into a reason to save and to end.

    The second signal raises KeyboardInterrupt in the main thread.

    Args:
        max_hours: from now on; None for no limit.
    """

    def __init__(self, max_hours: float | None) -> None:
        self.reason: str | None = None
        self.room = 0.0
        """Seconds that ending takes: a checkpoint, and an evaluation. They count against the limit of hours."""
        self.deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
        self.asked = 0.0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __call__(self, ahead: float = 0.0) -> str | None:
        """The reason to end, or None.

        Args:
            ahead: seconds of work that would come first, if there were no reason yet.
        """
        if self.reason is None and self.deadline is not None and time.monotonic() + ahead + self.room >= self.deadline:
            self.reason = TIME_IS_UP
        return self.reason

    def _stop(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked and now > self.asked + SAME_SIGNAL:
            # Asked twice: what is on the disk is whole at any time.
            raise KeyboardInterrupt
        self.asked = self.asked or now
        self.reason = signal.Signals(number).name
