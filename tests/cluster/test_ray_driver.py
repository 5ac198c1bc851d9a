"""The driver of tasks, with a pool that only pretends to run them. It needs no Ray."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from albert_fast.cluster.driver import End, Limits, Outcome, Status, Summary, drive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DONE = Outcome(End.DONE, {"records": 2})
LOST = Outcome(End.LOST, message="lost")
FULL = Outcome(End.MEMORY, message="full")
FAILED = Outcome(End.FAILED, message="no luck")
REFUSED = Outcome(End.REFUSED, message="no such option", error={"kind": "option"})


@dataclasses.dataclass
class Run:
    task: int
    memory: int

    __hash__ = object.__hash__


class Pool:
    """Ends one task at a time, the first that was started, as `ends` says of its number and how often it has run."""

    def __init__(self, ends: Callable[[int, int], Outcome] = lambda task, run: DONE) -> None:
        self._ends = ends
        self.running: list[Run] = []
        self.started: list[Run] = []
        self.most = 0
        self.stopped = False

    def start(self, task: int, memory: int) -> Run:
        run = Run(task, memory)
        self.running.append(run)
        self.started.append(run)
        self.most = max(self.most, len(self.running))
        return run

    def wait(self, seconds: float) -> Iterable[tuple[Run, Outcome]]:
        run = self.running.pop(0)
        return [(run, self._ends(run.task, Counter(one.task for one in self.started)[run.task]))]

    def slots(self) -> int:
        return 3

    def most_memory(self) -> int:
        return 300

    def stop(self) -> None:
        self.running.clear()
        self.stopped = True

    def runs(self, task: int) -> list[int]:
        """The memory of each run of a task."""
        return [run.memory for run in self.started if run.task == task]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def ended(pool: Pool, count: int = 20, **settings: object) -> Summary:
    clock = Clock()
    return drive(pool, range(count), memory=100, clock=clock, sleep=clock.sleep, **settings)  # type: ignore[arg-type]


def test_each_task_runs_once() -> None:
    pool, said = Pool(), list[Status]()
    summary = ended(pool, report=said.append, work=1000)
    assert summary == Summary(done=20, counts={"records": 40}, again=0, failed={}, not_tried=0)
    assert [run.task for run in pool.started] == [*range(20)]
    assert not pool.stopped
    assert said[-1] == Status(
        round=1, rounds=1, done=20, total=20, counts={"records": 40}, again=0, failed=0, slots=3, work=1000
    )
    assert [status.done for status in said] == [*range(21)]


def test_no_tasks() -> None:
    assert ended(Pool(), 0).done == 0


def test_the_number_of_tasks_in_flight_is_limited() -> None:
    pool = Pool()
    assert ended(pool, 1000, in_flight=7).done == 1000
    assert pool.most == 7
    pool = Pool()
    assert ended(pool, 1000).done == 1000
    assert pool.most == 64
    pool = Pool()
    pool.slots = lambda: 50  # type: ignore[method-assign]
    assert ended(pool, 1000).done == 1000
    assert pool.most == 100


def test_a_task_that_is_lost_runs_again_with_the_same_memory() -> None:
    pool = Pool(lambda task, run: LOST if task == 4 and run <= 5 else DONE)
    summary = ended(pool)
    assert (summary.done, summary.again, summary.failed) == (20, 5, {})
    assert pool.runs(4) == [100] * 6
    pool = Pool(lambda task, run: LOST if task == 4 else DONE)
    summary = ended(pool, limits=Limits(lost=2))
    assert (summary.done, summary.again, summary.failed) == (19, 2, {4: "lost"})
    assert len(pool.runs(4)) == 3


def test_a_task_that_was_killed_for_its_memory_gets_twice_as_much_but_not_more_than_a_node_has() -> None:
    pool = Pool(lambda task, run: FULL if task == 4 and run <= 2 else DONE)
    summary = ended(pool)
    assert (summary.done, summary.again) == (20, 2)
    assert pool.runs(4) == [100, 200, 300]
    pool = Pool(lambda task, run: FULL if task == 4 else DONE)
    assert ended(pool).failed == {4: "full"}
    assert pool.runs(4) == [100, 200, 300]


def test_memory_is_never_reduced() -> None:
    """A task may ask for more than any node has, if nodes can be added later."""
    pool = Pool(lambda task, run: FULL if run == 1 else DONE)
    pool.most_memory = lambda: 50  # type: ignore[method-assign]
    assert ended(pool, 1).done == 1
    assert pool.runs(0) == [100, 100]


def test_a_task_that_fails_three_times_does_not_stop_the_others() -> None:
    clock = Clock()
    pool = Pool(lambda task, run: FAILED if task in {4, 6} else DONE)
    summary = drive(pool, range(20), memory=100, limits=Limits(pause=8), clock=clock, sleep=clock.sleep)
    assert (summary.done, summary.again, summary.failed) == (18, 4, {4: "no luck", 6: "no luck"})
    assert [len(pool.runs(task)) for task in (3, 4, 5, 6)] == [1, 3, 1, 3]
    # The pauses are 8 s and 16 s.
    assert 24 <= sum(clock.slept) < 26
    assert summary.not_tried == 0


def test_causes_are_counted_apart() -> None:
    ends = [LOST, FULL, FAILED, LOST, FULL, FAILED, DONE]
    pool = Pool(lambda task, run: ends[run - 1] if task == 0 else DONE)
    summary = ended(pool, limits=Limits(lost=2))
    assert (summary.done, summary.again) == (20, 6)
    assert pool.runs(0) == [100, 100, 200, 200, 200, 300, 300]


def test_if_the_first_tasks_all_fail_the_others_are_not_run() -> None:
    pool = Pool(lambda task, run: FAILED)
    summary = ended(pool, 1000, in_flight=16)
    assert (summary.done, len(summary.failed), summary.not_tried) == (0, 10, 990)
    assert pool.stopped
    # One that ends well shows that the others may too.
    pool = Pool(lambda task, run: DONE if task == 5 else FAILED)
    summary = ended(pool, 1000, in_flight=16)
    assert (summary.done, len(summary.failed), summary.not_tried) == (1, 999, 0)


def test_an_error_about_all_tasks_ends_them() -> None:
    pool = Pool(lambda task, run: REFUSED if task == 3 else DONE)
    summary = ended(pool, 1000)
    assert summary.refused == REFUSED
    assert (summary.done, summary.failed) == (3, {})
    assert pool.stopped


def test_rounds_that_are_done_are_not_run() -> None:
    pool, said = Pool(), list[Status]()
    assert ended(pool, 2, rounds=3, first=2, report=said.append).done == 2
    assert [run.task for run in pool.started] == [0, 1, 0, 1]
    assert (said[0].round, said[-1].round, said[-1].rounds) == (2, 3, 3)
    # Whether the tasks can run at all is seen in the first round that is run.
    pool = Pool(lambda task, run: FAILED)
    summary = ended(pool, 30, rounds=3, first=2, in_flight=5)
    assert (len(summary.failed), summary.not_tried > 0) == (10, True)


def test_a_round_begins_when_the_one_before_is_done() -> None:
    pool = Pool(lambda task, run: LOST if (task, run) == (2, 1) else DONE)
    summary = ended(pool, 3, rounds=3)
    assert (summary.done, summary.counts, summary.again) == (3, {"records": 18}, 1)
    assert [run.task for run in pool.started] == [0, 1, 2, 2, 0, 1, 2, 0, 1, 2]


def test_no_round_begins_after_a_task_has_failed() -> None:
    pool = Pool(lambda task, run: FAILED if task == 1 else DONE)
    summary = ended(pool, 3, rounds=2)
    assert (summary.done, summary.failed) == (2, {1: "no luck"})
    assert sorted(run.task for run in pool.started) == [0, 1, 1, 1, 2]


def test_ctrl_c_ends_all_tasks() -> None:
    def interrupted(status: Status) -> None:
        if status.done == 5:
            raise KeyboardInterrupt

    pool = Pool()
    with pytest.raises(KeyboardInterrupt):
        ended(pool, report=interrupted)
    assert pool.stopped
