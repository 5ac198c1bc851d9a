"""Signals and the limit of hours within steps that take minutes: what ends, how soon, and what is kept."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("tensorflow")

from trainer_runs import (
    ADVICE,
    DEADLINE,
    ROOT,
    Material,
    arguments,
    assert_same,
    checkpoint,
    evaluations,
    finish,
    lines,
    steps,
    training,
    wait_for,
    weights,
)

from trainer.run.stops import TIME_IS_UP, Stops

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow, pytest.mark.usefixtures("not_ignored")]

SLOW = """
import ctypes, os, sys, time
from pathlib import Path

from albert_fast.cli import main
from trainer.model import checkpoints
from trainer.run import evaluation, step

seconds, first = float(os.environ["SLOW_SECONDS"]), int(os.environ.get("SLOW_FROM", "0"))
begun = Path(os.environ["SLOW_BEGUN"])


def slow(function, when=lambda arguments: True):
    def run(*arguments):
        if when(arguments):
            begun.touch()
            time.sleep(seconds)
        return function(*arguments)

    return run


def stuck(*arguments, **named):
    # In code that hears no signal, as TensorFlow's is.
    if named["step"] == first:
        begun.touch()
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):
            ctypes.CDLL(None).pthread_mutex_lock(mutex)
    return write(*arguments, **named)


what = os.environ["SLOW"]
if what == "micro-batches":
    add = step._Part.add
    step._Part.add = lambda part, width: slow(add(part, width), lambda found: int(found[2][1]) >= first)
elif what == "evaluation":
    make = evaluation._make_sums
    evaluation._make_sums = lambda *found: (lambda sums: lambda width: slow(sums(width)))(make(*found))
elif what == "checkpoint":
    write = checkpoints.write
    checkpoints.write = stuck
sys.exit(main(sys.argv[1:]))
"""
"""A run in which something takes its time, without taking the machine's."""

SOON = 60
"""Seconds in which a run must end whose step takes another two minutes: it writes a checkpoint and a report first."""
AT_ONCE = 6
"""Seconds in which a process must end that was asked twice; 2 where no other one wants the machine."""


class Slow:
    """A run of steps of eight micro-batches, and when it has become slow."""

    def __init__(self, words: list[str], what: str, directory: Path, seconds: float, first: int = 0) -> None:
        self.begun = directory / "begun"
        self.begun.unlink(missing_ok=True)
        environment = {
            "SLOW": what,
            "SLOW_SECONDS": str(seconds),
            "SLOW_FROM": str(first),
            "SLOW_BEGUN": str(self.begun),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", SLOW, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )

    def wait(self) -> None:
        assert wait_for(self.process, self.begun.exists, 0.05), self.process.communicate()[0]
        time.sleep(0.3)

    def stop(self, number: signal.Signals = signal.SIGTERM, times: int = 1) -> tuple[str, float]:
        """Sends signals; what the process has said, and the seconds from the last one to its end."""
        for left in range(times, 0, -1):
            sent = time.monotonic()
            self.process.send_signal(number)
            if left > 1:
                time.sleep(1.5)
        self.process.wait(DEADLINE)
        took = time.monotonic() - sent
        print(f"{number.name}, {times} times: ended {took:.1f} s later")
        return finish(self.process, 130), took


def words_of(material: Material, run: Path, **changes: Any) -> list[str]:
    return arguments(material, run, **{"model": material.dropout, "micro_batch_size": 1, "widths": 64, **changes})


@pytest.fixture(scope="module")
def whole(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    from albert_fast.cli import main

    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(words_of(material, run)) == 0
    return run


def resume(material: Material, run: Path, whole: Path, **changes: Any) -> str:
    """Ends the run, which must then be as if nothing had happened; what it says."""
    from albert_fast.cli import main

    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert main(words_of(material, run, **changes)) == 0, said.getvalue()
    assert_same(weights(run), weights(whole))
    return said.getvalue()


def test_a_long_step_is_abandoned(material: Material, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    slow = Slow(words_of(material, run), "micro-batches", tmp_path, 20, first=6)
    slow.wait()
    said, took = slow.stop()
    assert took < SOON
    assert "albert-fast: SIGTERM: saving a checkpoint, then stopping; a second signal stops at once" in said
    assert "step 7 was abandoned" in said
    assert said.splitlines()[-1] == f"albert-fast: stopped; saved after step 6: {ADVICE}"
    # No checkpoint of step 6 was due.
    assert steps(run) == [4, 6]
    assert json.loads((run / "run.json").read_text())["steps"]["stopped"] == "SIGTERM"
    assert f"resuming from {checkpoint(run, 6)}" in resume(material, run, whole)
    assert [step for step, *_ in training(run)] == [2, 4, 6, 8, 10, 12]


def test_a_short_step_is_finished(material: Material, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    slow = Slow(words_of(material, run), "micro-batches", tmp_path, 0.4, first=6)
    slow.wait()
    # As Slurm's sbatch --signal=USR1@120 sends it.
    said, _ = slow.stop(signal.SIGUSR1)
    assert "albert-fast: SIGUSR1: saving a checkpoint, then stopping" in said
    assert "abandoned" not in said
    assert said.splitlines()[-1] == f"albert-fast: stopped; saved after step 7: {ADVICE}"
    resume(material, run, whole)


def test_the_first_step_is_abandoned_while_nothing_is_known_of_it(material: Material, tmp_path: Path) -> None:
    run = tmp_path / "run"
    slow = Slow(words_of(material, run), "micro-batches", tmp_path, 3)
    slow.wait()
    said, took = slow.stop()
    assert took < SOON
    assert said.splitlines()[-1] == "albert-fast: stopped; no step was finished"
    assert steps(run) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_step_at_once(
    number: signal.Signals, material: Material, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    slow = Slow(words_of(material, run), "micro-batches", tmp_path, 120, first=6)
    slow.wait()
    said, took = slow.stop(number, 2)
    assert took < AT_ONCE
    kept = checkpoint(run, 4)
    assert said.splitlines()[-1] == f"albert-fast: stopped; {kept} is kept: {ADVICE} from it"
    assert steps(run) == [4]
    assert json.loads((run / "run.json").read_text())["steps"]["stopped"] == number.name
    # There is no new report: this one was written at the checkpoint.
    assert "Not finished: 4 of 12 steps" in (run / "report.html").read_text()
    if number == signal.SIGINT:
        resume(material, run, whole)


def test_a_second_signal_ends_what_hears_none(material: Material, whole: Path, tmp_path: Path) -> None:
    """The main thread is in the middle of writing a checkpoint, and does not come back."""
    run = tmp_path / "run"
    slow = Slow(words_of(material, run), "checkpoint", tmp_path, 0, first=8)
    slow.wait()
    said, took = slow.stop(signal.SIGINT, 2)
    assert took < AT_ONCE
    assert said.splitlines()[-1] == f"albert-fast: stopped; {checkpoint(run, 4)} is kept: {ADVICE} from it"
    resume(material, run, whole)


def test_an_evaluation_is_ended_and_made_up_for(material: Material, tmp_path: Path) -> None:
    from albert_fast.cli import main

    run = tmp_path / "run"
    changes = {"eval_records": material.held_out, "eval_batch_size": 8, "num_train_steps": 8}
    words = words_of(material, run, **changes)
    slow = Slow(words, "evaluation", tmp_path, 5)
    slow.wait()
    said, took = slow.stop(signal.SIGHUP)
    assert took < SOON
    assert "the evaluation after step 4 was not finished; the run repeats it when it resumes" in said
    assert said.splitlines()[-1] == f"albert-fast: stopped; saved after step 4: {ADVICE}"
    assert evaluations(run) == {}
    assert main(words) == 0
    assert list(evaluations(run)) == [4, 8]
    # Twice.
    (run / "metrics.jsonl").unlink()
    for step in (4, 8):
        (checkpoint(run, step) / "evaluation.json").unlink()
    slow = Slow(words, "evaluation", tmp_path, 120)
    slow.wait()
    said, took = slow.stop(signal.SIGINT, 2)
    assert took < AT_ONCE
    assert said.splitlines()[-1] == f"albert-fast: stopped; {checkpoint(run, 8)} is kept: {ADVICE} from it"


def test_the_limit_of_hours_holds_between_steps(material: Material, whole: Path, tmp_path: Path) -> None:
    """No step is begun that would end too late: with steps of 6 seconds, whichever way the machine is busy."""
    run, limit = tmp_path / "run", 30.0
    words = words_of(material, run, max_hours=limit / 3600, save_checkpoints_steps=1)
    slow = Slow(words, "micro-batches", tmp_path, 0.75)
    said = finish(slow.process)
    assert "--max-hours leaves no time for a checkpoint until the first one has been timed" in said
    done = steps(run)[-1]
    assert 1 <= done < 12
    assert said.splitlines()[-1] == f"albert-fast: stopped by --max-hours; saved after step {done}: {ADVICE}"
    (start,) = [line["time"] for line in lines(run) if "start" in line]
    late = (checkpoint(run, done) / "checkpoint.json").stat().st_mtime - start - limit
    print(f"{done} steps; the last checkpoint is there {-late:.1f} s before the limit")
    assert late < 3 or done == 1
    resume(material, run, whole, save_checkpoints_steps=4, keep_checkpoint_max=20)


def test_stops_leave_room() -> None:
    stops = Stops(1.0)
    assert stops() is None
    assert stops(ahead=3590) is None
    stops.room = 20
    assert stops() is None
    assert stops(ahead=3590) == TIME_IS_UP
    assert stops() == TIME_IS_UP
    assert Stops(None)(ahead=1e9) is None


def test_stops_tell_of_the_first_signal_and_leave_no_trace() -> None:
    heard: list[str] = []
    told = threading.Event()

    def hear(name: str) -> None:
        heard.append(name)
        told.set()

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    files = set(Path("/proc/self/fd").iterdir())
    with Stops(None, hear) as stops:
        for _ in range(2):  # at once: they count as one
            os.kill(os.getpid(), signal.SIGTERM)
        assert told.wait(30)
        assert stops() == "SIGTERM"
    assert heard == ["SIGTERM"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert wait(lambda: set(Path("/proc/self/fd").iterdir()) == files)


def wait(reached: Callable[[], bool]) -> bool:
    until = time.monotonic() + 30
    while not reached() and time.monotonic() < until:
        time.sleep(0.02)
    return reached()
