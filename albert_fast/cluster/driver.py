"""Runs the tasks of a command, and runs those again that end badly. It knows neither the command nor the cluster."""

from __future__ import annotations

import dataclasses
import enum
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

LEAST_IN_FLIGHT = 64
"""How many tasks are given to the cluster at least. Tasks that wait there make an autoscaler add nodes."""

NONE_DONE = 10
"""If so many tasks have failed and none has ended well, the others are not tried."""


class End(enum.Enum):
    """How a task ended."""

    DONE = "done"
    LOST = "lost"
    """Its worker or its node is gone."""
    MEMORY = "memory"
    """Its worker was killed because the node's memory was full."""
    FAILED = "failed"
    """It raised an error. It may end well on another node, or later."""
    REFUSED = "refused"
    """It raised an error that every other task will raise as well."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a task ended, and what it has done or why it failed."""

    end: End
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What a task that is done has done."""
    message: str = ""
    """Why it failed, in one line."""
    error: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The attributes of the error of a task that was refused."""


class Pool(Protocol):
    """Where tasks run."""

    def start(self, task: int, memory: int) -> object:
        """Starts a task that may need this memory, in bytes. Returns something that stands for it."""

    def wait(self, seconds: float) -> Iterable[tuple[object, Outcome]]:
        """Waits until a task ends, but not for longer than this. Returns all that have ended."""

    def slots(self) -> int:
        """Returns how many tasks can run at the same time."""

    def most_memory(self) -> int:
        """Returns the memory of the largest node, in bytes, or 0 if there is no node."""

    def stop(self) -> None:
        """Ends all tasks."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How often a task is run."""

    lost: int = 5
    """How often a task is run again if its worker or node was lost."""
    memory: int = 2
    """How often a task is run again with twice the memory."""
    tries: int = 3
    """How often a task is run that raises an error."""
    pause: float = 2.0
    """Seconds before a task is run again that raised an error. The next pause is twice as long."""


@dataclasses.dataclass(frozen=True)
class Status:
    """How far the work is."""

    round: int
    """The round, from 1."""
    rounds: int
    done: int
    """The number of tasks of the round that are done."""
    total: int
    """The number of tasks of the round."""
    counts: Mapping[str, int]
    """The sums of what the tasks of all rounds have counted."""
    again: int
    """How often a task was run again."""
    failed: int
    """The number of tasks that were given up."""
    slots: int
    """How many tasks the nodes can run at the same time. It is 0 if all nodes are gone."""
    work: int
    """How much the tasks of a round have to do in all, in bytes."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """How the work ended."""

    done: int
    """The number of tasks that are done. In several rounds, those of the last one."""
    counts: Mapping[str, int]
    """The sums of what the tasks have counted."""
    again: int
    """How often a task was run again."""
    failed: Mapping[int, str]
    """The tasks that were given up, and why."""
    not_tried: int
    """The number of tasks that were not run because others failed."""
    refused: Outcome | None = None
    """What the first task said that was refused."""


@dataclasses.dataclass
class _Item:
    """A task that is to run, or runs."""

    task: int
    memory: int
    lost: int = 0
    grown: int = 0
    errors: int = 0
    not_before: float = 0.0


def drive(
    pool: Pool,
    tasks: Sequence[int],
    *,
    memory: int,
    rounds: int = 1,
    first: int = 1,
    limits: Limits | None = None,
    report: Callable[[Status], None] = lambda _: None,
    work: int = 0,
    in_flight: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary:
    """Runs tasks until each has ended well or was given up.

    Args:
        pool: where the tasks run.
        tasks: their numbers.
        memory: the memory of a task, in bytes.
        rounds: how often all tasks are run. A round begins when all tasks of the one before are done.
        first: the round to begin with, from 1. Those before are done.
        limits: how often a task is run that ends badly.
        report: called at least once a second.
        work: how much the tasks have to do, in bytes. It is only reported.
        in_flight: the maximum number of tasks that the pool knows at the same time. The default is twice what it can
            run, and at least `LEAST_IN_FLIGHT`.
        clock: returns seconds; for tests.
        sleep: waits; for tests.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed. No task is left running.
    """
    state = _State(pool, first, limits or Limits(), report, work, in_flight, clock, sleep)
    try:
        for number in range(first, rounds + 1):
            state.run(tasks, memory, number, rounds)
            if state.failed or state.refused:
                break
    except BaseException:
        pool.stop()
        raise
    if state.running:
        pool.stop()
    return Summary(state.done, state.counts, state.again, state.failed, state.not_tried, state.refused)


class _State:
    """The state of `drive`."""

    def __init__(
        self,
        pool: Pool,
        first: int,
        limits: Limits,
        report: Callable[[Status], None],
        work: int,
        in_flight: int | None,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._pool, self._first, self._limits, self._report, self._work = pool, first, limits, report, work
        self._in_flight, self._clock, self._sleep = in_flight, clock, sleep
        self.running: dict[object, _Item] = {}
        self.counts: dict[str, int] = {}
        self.done = self.again = self.not_tried = 0
        self.failed: dict[int, str] = {}
        self.refused: Outcome | None = None

    def run(self, tasks: Sequence[int], memory: int, round_number: int, rounds: int) -> None:
        """Runs all tasks of a round."""
        self.done = 0
        fresh = iter(tasks)
        waiting: deque[_Item] = deque()
        left = len(tasks)
        slots, looked = self._pool.slots(), self._clock()
        while True:
            now = self._clock()
            if now - looked >= 5:
                slots, looked = self._pool.slots(), now
            limit = self._in_flight or max(LEAST_IN_FLIGHT, 2 * slots)
            # Those that are run again come first, so that no task is left alone at the end.
            for _ in range(len(waiting)):
                item = waiting.popleft()
                if len(self.running) < limit and item.not_before <= now:
                    self._start(item)
                else:
                    waiting.append(item)
            while len(self.running) < limit and (task := next(fresh, None)) is not None:
                left -= 1
                self._start(_Item(task, memory))
            counts = dict(self.counts)
            again, failed = self.again, len(self.failed)
            self._report(Status(round_number, rounds, self.done, len(tasks), counts, again, failed, slots, self._work))
            if not self.running and not waiting:
                return
            if self.running:
                ended = self._pool.wait(1.0)
            else:
                self._sleep(min(1.0, max(0.01, min(item.not_before for item in waiting) - now)))
                ended = ()
            for handle, outcome in ended:
                item = self.running.pop(handle)
                if (next_item := self._after(item, outcome)) is not None:
                    waiting.append(next_item)
            hopeless = self.done == 0 and round_number == self._first and len(self.failed) >= NONE_DONE
            if self.refused is not None or hopeless:
                self.not_tried = left + len(waiting) + len(self.running)
                return

    def _start(self, item: _Item) -> None:
        self.running[self._pool.start(item.task, item.memory)] = item

    def _after(self, item: _Item, outcome: Outcome) -> _Item | None:
        """Takes note of how a task ended. Returns it if it is to be run again."""
        limits = self._limits
        if outcome.end is End.DONE:
            self.done += 1
            for name, count in outcome.counts.items():
                self.counts[name] = self.counts.get(name, 0) + count
            return None
        if outcome.end is End.REFUSED:
            self.refused = self.refused or outcome
            return None
        if outcome.end is End.LOST:
            item.lost += 1
            is_last = item.lost > limits.lost
        elif outcome.end is End.MEMORY:
            item.grown += 1
            is_last = item.grown > limits.memory
            # A task that asks for more than any node has would wait for ever.
            item.memory = max(item.memory, min(2 * item.memory, self._pool.most_memory()))
        else:
            item.errors += 1
            is_last = item.errors >= limits.tries
            item.not_before = self._clock() + limits.pause * 2 ** (item.errors - 1)
        if is_last:
            self.failed[item.task] = outcome.message
            return None
        self.again += 1
        return item
