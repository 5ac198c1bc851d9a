"""Workers that train together, with a group that only pretends to run them. It needs neither Ray nor TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from albert_fast import AlbertFastError
from albert_fast.cluster.workers import State, run_workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from conftest import Command

RUNS = State()
DONE = State(0)
LOST = State(lost=True)
KILLED = State(-9)
SAVED = State(130)
FAILED = State(1, lines=("albert-fast: worker 1: waiting", "albert-fast: error: run: --batch-size is wrong", "bye"))


class Group:
    """Is, one look after the other, as `looks` say. The last look stays."""

    def __init__(self, *looks: Sequence[State]) -> None:
        self._looks = list(looks)
        self.closed = self.asked = False

    def poll(self) -> Sequence[State]:
        assert not self.closed
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]

    def ask_to_stop(self) -> None:
        self.asked = True

    def close(self) -> None:
        self.closed = True


class Runs:
    def __init__(self, *groups: Group) -> None:
        self.groups = groups
        self.attempts: list[int] = []
        self.shown: list[str] = []
        self.said: list[str] = []
        self.now = 0.0

    def start(self, attempt: int) -> Group:
        assert all(group.closed for group in self.groups[:attempt])
        self.attempts.append(attempt)
        return self.groups[attempt]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, max_failures: int = 3) -> None:
        run_workers(
            self.start,
            max_failures=max_failures,
            show=self.shown.append,
            say=self.said.append,
            clock=lambda: self.now,
            sleep=self.sleep,
        )


def test_all_end_well() -> None:
    line = State(lines=("a", "b"))
    runs = Runs(Group([line, line], [RUNS, DONE], [State(0, lines=("c",)), DONE]))
    runs.run()
    assert (runs.attempts, runs.shown, runs.said) == ([0], ["a", "b", "c"], [])
    assert runs.groups[0].closed


@pytest.mark.parametrize(
    ("gone", "how"),
    [(LOST, "was lost"), (KILLED, "was stopped (exit code -9)"), (SAVED, "was stopped (exit code 130)")],
)
def test_all_start_again_if_one_is_gone(gone: State, how: str) -> None:
    runs = Runs(Group([RUNS, RUNS], [RUNS, gone]), Group([LOST, RUNS]), Group([DONE, DONE]))
    runs.run()
    assert runs.attempts == [0, 1, 2]
    again = "starting all workers again from the newest checkpoint"
    assert runs.said == [
        f"worker 1 of 2 {how}; {again} (2 more failures accepted)",
        f"worker 0 of 2 was lost; {again} (1 more failure accepted)",
    ]
    assert all(group.closed for group in runs.groups)


def test_too_many_are_lost() -> None:
    runs = Runs(*(Group([RUNS, LOST]) for _ in range(3)))
    with pytest.raises(AlbertFastError) as caught:
        runs.run(max_failures=2)
    assert str(caught.value).startswith("worker 1 of 2 was lost, and this was failure 3 of at most 2 (`max_fail")
    assert runs.attempts == [0, 1, 2]
    runs = Runs(Group([RUNS, LOST]))
    with pytest.raises(AlbertFastError):
        runs.run(max_failures=0)


def test_an_error_of_one_ends_all_with_its_message() -> None:
    runs = Runs(Group([RUNS, FAILED], [RUNS, State(1)]))
    with pytest.raises(AlbertFastError) as caught:
        runs.run()
    assert (str(caught.value), caught.value.kind) == ("worker 1: run: --batch-size is wrong", "training")
    assert runs.groups[0].closed
    assert runs.now >= 15
    runs = Runs(Group([State(2, lines=("Aborted",)), RUNS], [State(2), RUNS]))
    with pytest.raises(AlbertFastError) as caught:
        runs.run()
    assert str(caught.value) == "worker 0: it ended with the exit code 2 (Aborted)"
    assert caught.value.exit_code == 2


def test_an_error_that_follows_from_a_loss_does_not_count() -> None:
    """The others notice first, and end with an error, because they cannot reach it."""
    runs = Runs(Group([FAILED, RUNS], [State(1), RUNS], [State(1), LOST]), Group([DONE, DONE]))
    runs.run()
    assert runs.attempts == [0, 1]


def test_the_error_of_the_first_counts() -> None:
    other = State(1, lines=("albert-fast: error: the other worker is gone",))
    runs = Runs(Group([RUNS, FAILED], [other, State(1)]))
    with pytest.raises(AlbertFastError, match="worker 1: run: --batch-size is wrong"):
        runs.run()
    assert runs.shown == []


def test_ctrl_c_lets_all_save() -> None:
    class Interrupted(Group):
        def poll(self) -> Sequence[State]:
            if not self.asked:
                raise KeyboardInterrupt
            return super().poll()

    group = Interrupted([State(lines=("saving",)), RUNS], [SAVED, RUNS], [SAVED, SAVED])
    runs = Runs(group)
    with pytest.raises(KeyboardInterrupt):
        runs.run()
    assert (group.asked, group.closed, runs.shown) == (True, True, ["saving"])
    # Not for ever.
    stuck = Interrupted([RUNS, RUNS])
    runs = Runs(stuck)
    with pytest.raises(KeyboardInterrupt):
        runs.run()
    assert stuck.closed
    assert 120 <= runs.now < 122


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("pretrain --max-retries 3", "--max-retries has no effect with pretrain; remove it"),
        (
            "make-records tokens --output-dir out --num-workers 3",
            "--num-workers has no effect with make-records",
        ),
        (
            "pretrain --tokens a --output-dir run --batch-size 7 --num-workers 2",
            "--batch-size must be a multiple of --",
        ),
        ("pretrain --tokens a", "--output-dir is required"),
        (
            "pretrain --tokens a --output-dir run --max-failure 2",
            "unknown option --max-failure; did you mean --m",
        ),
    ],
)
def test_command_lines_that_are_refused(words: str, error: str, command: Command) -> None:
    done = command("ray", *words.split())
    assert done.code == 2
    assert done.error.startswith(error)


def test_a_cluster_that_is_too_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from albert_fast.cluster import ray_training
    from albert_fast.cluster.ray import Node

    found = [Node(8, 0, 8), Node(16, 0, 4), Node(64, 0, 0)]
    monkeypatch.setattr(ray_training, "nodes", lambda ray: found)

    def check(*sizes: int, autoscaling: bool = False) -> Any:
        ray_training.check_nodes(None, *sizes, autoscaling=autoscaling)

    check(3, 4, 4)
    check(1, 1, 8)
    check(22, 4, 0)
    check(99, 4, 4, autoscaling=True)
    with pytest.raises(
        AlbertFastError, match=r"^4 workers with 4 CPUs and 4 GPUs each do not fit .*, which can run 3;"
    ):
        check(4, 4, 4)
    with pytest.raises(AlbertFastError, match=r"^23 workers with 4 CPUs each do not fit .*, which can run 22;"):
        check(23, 4, 0)
