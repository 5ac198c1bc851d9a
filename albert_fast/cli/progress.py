"""Shows the progress of long work: a bar on a terminal, a plain line every few seconds elsewhere."""

import dataclasses
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from albert_fast.text import duration, quantity

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from typing_extensions import Self

LINE_EVERY = 5.0
"""Seconds between two plain lines."""

IN_PARTS = frozenset({"collecting words"})
"""Stages that continue after one other stage: words are collected from 500 MiB of text, then pieces found in these."""


def plain_line(
    stage: str, unit: str, done: int, total: int, elapsed: float, done_before: int = 0, more: str = ""
) -> str:
    """Returns one line of a log. Work that an earlier process did, `done_before`, does not count for the rate."""
    rate = (done - done_before) / elapsed if elapsed > 0 else 0.0
    amount = quantity(done, unit)
    if total > 0:
        # "3 of 10 batches", but "1.2 MB of 1.2 GB".
        amount = amount if unit == "bytes" else f"{done:,}"
        amount += f" of {quantity(total, unit)} ({100 * done / total:.0f}%)"
    line = f"{stage}: {amount}"
    if rate > 0:
        line += f", {quantity(rate, unit)}/s"
        if total > done:
            line += f", {duration((total - done) / rate)} left"
    return f"{line}; {more}" if more else line


@dataclasses.dataclass
class _Row:
    """A stage on the terminal."""

    task: "TaskID"
    done: int = 0
    total: int = 0
    advanced: bool = False
    """Whether anything was done since the stage began or continued."""


class Progress:
    """Shows progress on standard error. An instance is the callback that the native functions take.

    Args:
        stream: where to write. The default is standard error.
        terminal: whether to draw a bar. By default, a bar is drawn if `stream` is a terminal.
        clock: returns seconds; for tests.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._terminal = self._stream.isatty() if terminal is None else terminal
        self._clock = clock
        self._stage = ("", "")
        """The stage and its unit: a stage may have parts that count different things."""
        self._started = 0.0
        self._done_before = 0
        self._last_line = 0.0
        self._bar: RichProgress | None = None
        self._rows: dict[tuple[str, str], _Row] = {}
        """The stages that have a row on the terminal, in the order in which they began."""

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish([*self._rows])
        self.close()

    def close(self) -> None:
        """Leaves the rows as they are, so that what is printed next begins on its own line."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._rows.clear()
        self._stage = ("", "")

    def __call__(self, stage: str, unit: str, done: int, total: int, more: str = "") -> None:
        """Reports that `done` of `total` (0 if unknown) `unit`s of `stage` are done. `more` goes after that."""
        now = self._clock()
        if (stage, unit) != self._stage:
            before, self._stage = self._stage, (stage, unit)
            self._started, self._done_before, self._last_line = now, done, now
            if self._terminal:
                self._begin(before, done, total)
        if self._terminal:
            self._update(unit, done, total, now, more)
        elif now - self._last_line >= LINE_EVERY:
            self._last_line = now
            line = plain_line(stage, unit, done, total, now - self._started, self._done_before, more)
            print(f"albert-fast: {line}", file=self._stream, flush=True)

    def _begin(self, before: tuple[str, str], done: int, total: int) -> None:
        """Shows the row of the stage that begins or continues, after the stage `before`.

        The end of a stage is never reported, and a short one only at its beginning. So other stages are over now. But
        one in parts may continue after this stage, so its row shows what was last reported.
        """
        may_continue = before if before[0] in IN_PARTS else None
        self._finish([key for key, row in self._rows.items() if key != may_continue or not row.advanced])
        if self._bar is None:
            self._bar = self._open_bar()
        row = self._rows.get(self._stage)
        if row is None:
            stage, unit = self._stage
            amount = quantity(done, unit)
            task = self._bar.add_task(stage, completed=done, total=total or None, amount=amount, rate="", left="")
            row = self._rows[self._stage] = _Row(task)
        else:
            # The time that the other stage took does not count.
            self._bar.reset(row.task, completed=done, total=total or None)
        row.advanced = False

    def _update(self, unit: str, done: int, total: int, now: float, more: str) -> None:
        row = self._rows.get(self._stage)
        if self._bar is None or row is None:
            return
        row.done, row.total, row.advanced = done, total, row.advanced or done != self._done_before
        rate = self._rate(unit, done, now)
        amount = f"{quantity(done, unit)}; {more}" if more else quantity(done, unit)
        self._bar.update(row.task, completed=done, total=total or None, amount=amount, rate=rate)
        seconds = next(task.time_remaining for task in self._bar.tasks if task.id == row.task)
        self._bar.update(row.task, left=f"{duration(seconds)} left" if rate and seconds else "")

    def _finish(self, keys: list[tuple[str, str]]) -> None:
        """Shows that stages are done."""
        for key in keys:
            row = self._rows[key]
            done = max(row.done, row.total)
            if self._bar is not None:
                amount = quantity(done, key[1])
                self._bar.update(row.task, completed=done, total=done or None, amount=amount, left="")

    def _rate(self, unit: str, done: int, now: float) -> str:
        elapsed = now - self._started
        return f"{quantity((done - self._done_before) / elapsed, unit)}/s" if elapsed > 0.5 else ""

    def _open_bar(self) -> "RichProgress":
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as RichProgress

        bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(file=self._stream, force_terminal=True),
        )
        bar.start()
        return bar
