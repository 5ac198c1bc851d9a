"""Runs the workers of one training, which only work together, and starts all of them again if one is lost.

It knows neither the training nor the cluster.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from albert_fast._native import AlbertFastError
from albert_fast.text import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SETTLE = 15.0
"""Seconds after a worker has failed in which another one may turn out to be lost, which is then the cause."""

STOP_WITHIN = 120.0
"""Seconds that workers have to write a checkpoint after Ctrl-C."""

ERROR = "albert-fast: error: "
"""What the line of an error begins with."""

KEPT = 50
"""How many lines of each worker are kept, to quote from."""


@dataclasses.dataclass(frozen=True)
class State:
    """How a worker is, and what it has said since it was asked last."""

    code: int | None = None
    """The exit code if the process has ended. It is negative if a signal has killed the process."""
    lost: bool = False
    """Whether the machine or the process that watches it is gone."""
    lines: tuple[str, ...] = ()

    @property
    def was_stopped(self) -> bool:
        """Whether the worker is gone without an error of its own: lost, killed, or asked to end by someone else."""
        return self.lost or (self.code is not None and (self.code < 0 or self.code > 128))

    @property
    def failed(self) -> bool:
        """Whether the worker has ended with an error."""
        return self.code not in {None, 0} and not self.was_stopped


class Group(Protocol):
    """The workers of one attempt."""

    def poll(self) -> Sequence[State]:
        """Returns the states of all workers, in their order."""

    def ask_to_stop(self) -> None:
        """Sends all workers the signal that lets them write a checkpoint and end."""

    def close(self) -> None:
        """Kills what is left of all workers."""


def run_workers(
    start: Callable[[int], Group],
    *,
    max_failures: int,
    show: Callable[[str], None],
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Runs all workers until all of them have ended well.

    If one is lost or killed, all are ended, and all are started again: they resume from the newest checkpoint. If one
    ends with an error, the others are ended, because they would wait for it.

    Args:
        start: starts all workers. It gets the number of the attempt, from 0.
        max_failures: how often all are started again.
        show: called with each line that worker 0 says.
        say: called with a line about what happens.
        clock: returns seconds; for tests.
        sleep: waits; for tests.

    Raises:
        AlbertFastError: a worker has ended with an error, whose message it has; workers were lost too often.
        KeyboardInterrupt: Ctrl-C was pressed. All workers have ended.
    """
    for attempt in itertools.count():
        group = start(attempt)
        try:
            lost = _Attempt(group, show, clock, sleep).run()
        except KeyboardInterrupt:
            _stop(group, show, clock, sleep)
            raise
        finally:
            group.close()
        if lost is None:
            return
        if attempt >= max_failures:
            message = f"{lost}, and this was failure {attempt + 1} of at most {max_failures} (`max_failures`)"
            advice = "what is saved is kept: run the same command again to resume"
            raise AlbertFastError(f"{message}; {advice}", kind="training")
        left = number(max_failures - attempt - 1, "more failure")
        say(f"{lost}; starting all workers again from the newest checkpoint ({left} accepted)")


class _Attempt:
    """The workers from their start until one of them is gone."""

    def __init__(
        self,
        group: Group,
        show: Callable[[str], None],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._group, self._show, self._clock, self._sleep = group, show, clock, sleep
        self._said: dict[int, deque[str]] = {}

    def run(self) -> str | None:
        """Returns None if all workers have ended well, or which one was lost.

        Raises:
            AlbertFastError: a worker has ended with an error.
        """
        first: tuple[int, int] | None = None
        deadline = 0.0
        while True:
            states = self._group.poll()
            self._keep(states)
            for index, state in enumerate(states):
                if state.was_stopped:
                    how = "was lost" if state.lost else f"was stopped (exit code {state.code})"
                    return f"worker {index} of {len(states)} {how}"
            if all(state.code == 0 for state in states):
                return None
            failed = next(((index, state.code) for index, state in enumerate(states) if state.failed), None)
            if failed is not None and first is None:
                first = (failed[0], failed[1] or 0)
                deadline = self._clock() + SETTLE
            if first is not None and self._clock() >= deadline:
                raise self._error(*first)
            self._sleep(0.5)

    def _keep(self, states: Sequence[State]) -> None:
        for index, state in enumerate(states):
            self._said.setdefault(index, deque(maxlen=KEPT)).extend(state.lines)
            if index == 0:
                for line in state.lines:
                    # It becomes the error of the command.
                    if not line.startswith(ERROR):
                        self._show(line)

    def _error(self, index: int, code: int) -> AlbertFastError:
        lines = self._said[index]
        reason = next((line.removeprefix(ERROR) for line in reversed(lines) if line.startswith(ERROR)), "")
        if not reason:
            last = lines[-1] if lines else "it said nothing"
            reason = f"it ended with the exit code {code} ({last})"
        return AlbertFastError(f"worker {index}: {reason}", kind="option" if code == 2 else "training")


def _stop(
    group: Group, show: Callable[[str], None], clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """Lets all workers write a checkpoint and end."""
    group.ask_to_stop()
    deadline = clock() + STOP_WITHIN
    while clock() < deadline:
        states = group.poll()
        for line in states[0].lines:
            show(line)
        if all(state.lost or state.code is not None for state in states):
            return
        sleep(0.5)
