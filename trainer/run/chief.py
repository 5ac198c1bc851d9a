"""What the chief worker does with the figures of a run: it writes them down, and shows them."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from trainer.run.loop import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trainer.report.journal import Journal
    from trainer.report.live import Live
    from trainer.report.tensorboard import TensorBoard
    from trainer.run import budget

REPORT_TIME = 0.05
"""Largest fraction of the time that the reports at checkpoints take. Those that would take more are left out."""


class Chief(Listener):
    """Writes the metrics log, TensorBoard's events and the report, and shows the run."""

    def __init__(
        self, journal: Journal, events: TensorBoard, live: Live, watch: budget.Watch | None, report: Callable[[], None]
    ) -> None:
        self.journal, self.events, self.live, self.watch = journal, events, live, watch
        self._report = report
        self._reported = -math.inf
        """When the last report was complete, on the clock of `time.monotonic`."""
        self._took = 0.0
        """Seconds that it took."""

    @property
    def lines(self) -> list[Mapping[str, Any]]:
        """The training lines of all starts, while the number of steps is open."""
        return self.watch.lines if self.watch is not None else []

    def planned(self, steps: int) -> None:
        """The number of steps is decided."""
        self.watch = None
        self.live.total = steps

    def training(self, line: Mapping[str, Any]) -> None:
        """Write a training line."""
        self.journal.append(line)
        self.events.write(line)
        self.live.update(line)
        if self.watch is not None:
            self.watch.add(line)

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Write an evaluation line."""
        self.journal.append(line)
        self.events.write(line)
        self.live.evaluation(line)

    def evaluated(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the line of an evaluation that a checkpoint keeps, if the log has none."""
        if not any("evaluation" in line and line["step"] == step for line in self.journal.lines):
            whole = {name: round(figures[name]) for name in ("records", "predictions") if name in figures}
            self.evaluation({"step": step, "time": time.time(), "evaluation": {**figures, **whole}})

    def checkpoint(self) -> None:
        """Write the report, unless reports take too much of the time."""
        # Of a long log the report takes seconds, and a small model may reach a checkpoint every few.
        if (began := time.monotonic()) - self._reported >= self._took / REPORT_TIME:
            self._report()
            self._reported = time.monotonic()
            self._took = self._reported - began

    def say(self, message: str) -> None:
        """Show a message."""
        self.live.say(message)
