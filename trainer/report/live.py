"""The live display of training on standard error: a table on a terminal, otherwise a plain line now and then.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from albert_fast.text import duration, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from rich.live import Live as RichLive
    from rich.table import Table
    from typing_extensions import Self

LINE_EVERY = 10.0
"""Minimum number of seconds between two plain lines of training."""

UNKNOWN = "n/a"
"""Text for a figure that is null, missing or not finite."""


def _number(line: Mapping[str, Any], name: str) -> float | None:
    value = line.get(name)
    return float(value) if isinstance(value, int | float) else None


def fixed(line: Mapping[str, Any], name: str) -> str:
    """Format a loss or an accuracy with three digits after the point."""
    value = _number(line, name)
    return UNKNOWN if value is None else f"{value:.3f}"


def amount(value: float | None) -> str:
    """Format a rate with about three digits: "0.42", "31.6", "2,411", "1.13M"."""
    if value is None:
        return UNKNOWN
    for suffix, size in (("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:.3g}{suffix}" if value < 999.5 * size else f"{value / size:,.0f}{suffix}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float | None) -> str:
    """Format a fraction from 0 to 1 as a percentage."""
    return UNKNOWN if value is None else f"{100 * value:.1f}%"


def learning_rate(line: Mapping[str, Any]) -> str:
    """Format the learning rate with three digits."""
    value = _number(line, "learning_rate")
    return UNKNOWN if value is None else f"{value:.2e}"


def masked(line: Mapping[str, Any]) -> str:
    """Format the fraction of masked tokens, with a comma, if it changes in the run. Otherwise, return ""."""
    value = _number(line, "masked_lm_prob")
    return "" if value is None else f"masked {percent(value)}, "


def speed(line: Mapping[str, Any]) -> str:
    """Format instances and real tokens per second, TFLOP/s and MFU if known, padding, and the time spent on input."""
    compiled, waited = _number(line, "compile_seconds"), _number(line, "input_wait")
    rate, tokens = _number(line, "sequences_per_second"), _number(line, "tokens_per_second")
    if rate is None and compiled:
        # All of its steps compiled, so none of them shows the speed.
        parts = [f"compiled for {duration(compiled)}"]
    else:
        parts = [f"{amount(rate)} seq/s", f"{amount(tokens)} tokens/s"]
    if (tflops := _number(line, "tflops")) is not None:
        parts.append(f"{amount(tflops)} TFLOP/s")
    if (mfu := _number(line, "mfu")) is not None:
        parts.append(f"MFU {percent(mfu)}")
    if (padding := _number(line, "padding")) is not None:
        parts.append(f"padding {percent(padding)}")
    if waited is not None or not compiled:
        parts.append(f"input wait {percent(waited)}")
    return ", ".join(parts)


def step_of(step: int, total: int) -> str:
    """Format the progress: "step 1,200 of 125,000 (1.0%)". It is 100% only at the end."""
    done = 100 * step / total if total else 100.0
    return f"step {step:,} of {total:,} ({min(done, 99.9) if step < total else done:.1f}%)"


def plain_line(line: Mapping[str, Any], total: int, left: float | None) -> str:
    """Format a training line for a log. `left` is the number of seconds left, if known."""
    text = (
        f"{step_of(line['step'], total)}: "
        f"MLM loss {fixed(line, 'masked_lm_loss')} acc {fixed(line, 'masked_lm_accuracy')}, "
        f"SOP loss {fixed(line, 'sentence_order_loss')} acc {fixed(line, 'sentence_order_accuracy')}, "
        f"lr {learning_rate(line)}, {masked(line)}{speed(line)}"
    )
    return text if left is None else f"{text}, {duration(left)} left"


def evaluation_line(line: Mapping[str, Any]) -> str:
    """Format an evaluation line for a log."""
    found = line["evaluation"]
    text = (
        f"evaluation at step {line['step']:,}: "
        f"MLM loss {fixed(found, 'masked_lm_loss')} acc {fixed(found, 'masked_lm_accuracy')}, "
        f"SOP loss {fixed(found, 'sentence_order_loss')} acc {fixed(found, 'sentence_order_accuracy')}"
    )
    if (records := _number(found, "records")) is not None:
        text += f", {records:,.0f} records"
    if (seconds := _number(found, "seconds")) is not None:
        text += f" in {duration(seconds)}"
    return text


class Live:
    """Shows training while it runs. It is a context manager, so that the terminal is restored afterward.

    Args:
        total: total number of steps of the run.
        batch_size: instances per step. If given, the first lines can also show the time left.
        stream: where to write, by default standard error.
        terminal: whether to draw a table; by default whether `stream` is a terminal.
        clock: returns seconds, for tests.
        translate: called with each message, which names options as in Python. Returns what to show.
    """

    def __init__(
        self,
        total: int,
        *,
        batch_size: int | None = None,
        stream: TextIO | None = None,
        terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        translate: Callable[[str], str] = str,
    ) -> None:
        self.total = total
        """Number of steps of the run. It may change when a run with a budget knows it."""
        self._batch_size = batch_size
        self._stream = stream if stream is not None else sys.stderr
        self._terminal = self._stream.isatty() if terminal is None else terminal
        self._clock = clock
        self._translate = translate
        self._first: tuple[float, int] | None = None
        self._compiled = 0.0
        self._last_line: float | None = None
        self._held_back: str | None = None
        self._training: Mapping[str, Any] | None = None
        self._evaluation: Mapping[str, Any] | None = None
        self._left: float | None = None
        self._live: RichLive | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def update(self, line: Mapping[str, Any]) -> None:
        """Show a training line of the log: at once on a terminal, otherwise if the last line is old enough."""
        now = self._clock()
        self._training, self._left = line, self._time_left(line, now)
        if self._terminal:
            self._draw()
            return
        text = plain_line(line, self.total, self._left)
        if self._last_line is None or now - self._last_line >= LINE_EVERY:
            self._last_line, self._held_back = now, None
            self._print(text)
        else:
            self._held_back = text

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Show an evaluation line of the log."""
        self._evaluation = line
        self.say(evaluation_line(line))

    def say(self, message: str) -> None:
        """Write `message` as a separate line, above the table if there is one."""
        text = f"albert-fast: {one_line(self._translate(message))}"
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Stop drawing, with the last figures left visible. Further output begins on a new line."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._held_back is not None:
            self._print(self._held_back)
            self._held_back = None

    def _print(self, text: str) -> None:
        print(f"albert-fast: {text}", file=self._stream, flush=True)

    def _time_left(self, line: Mapping[str, Any], now: float) -> float | None:
        """Return the seconds to the last step, at the pace since the first line of this start, including checkpoints.

        Compilation is not repeated and would mislead, so neither the time before that line nor `compile_seconds`
        counts.
        """
        step = int(line["step"])
        steps = max(0, self.total - step)
        if self._first is None:
            self._first = now, step
        else:
            self._compiled += _number(line, "compile_seconds") or 0.0
        started, first_step = self._first
        if step > first_step and now - started > self._compiled:
            return steps * (now - started - self._compiled) / (step - first_step)
        rate = _number(line, "sequences_per_second")
        return steps * self._batch_size / rate if rate and self._batch_size else None

    def _draw(self) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live as RichLive

            # Redrawn only at updates: a separate thread would take time from the step.
            console = Console(file=self._stream, force_terminal=True)
            self._live = RichLive(console=console, auto_refresh=False, redirect_stdout=False)
            self._live.start()
        self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        line = self._training or {}
        head = Table.grid(padding=(0, 1))
        left = "" if self._left is None else f"{duration(self._left)} left"
        bar = ProgressBar(total=max(1, self.total), completed=line["step"], width=24)
        head.add_row(Text(step_of(line["step"], self.total)), bar, Text(left))

        tasks = Table.grid(padding=(0, 2))
        evaluated: Mapping[str, Any] | None = self._evaluation["evaluation"] if self._evaluation else None
        title = ["", "loss", "accuracy"]
        if self._evaluation is not None:
            title += [f"held out (step {self._evaluation['step']:,}): loss", "accuracy"]
        tasks.add_row(*(Text(text, style="dim") for text in title))
        for name, key in (("masked LM", "masked_lm"), ("sentence order", "sentence_order")):
            row = [name, fixed(line, f"{key}_loss"), fixed(line, f"{key}_accuracy")]
            if evaluated is not None:
                row += [fixed(evaluated, f"{key}_loss"), fixed(evaluated, f"{key}_accuracy")]
            tasks.add_row(*row)

        table = Table.grid()
        table.add_row(head)
        table.add_row(tasks)
        table.add_row(Text(f"lr {learning_rate(line)}, {masked(line)}{speed(line)}"))
        return table
