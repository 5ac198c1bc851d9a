"""Runs that were killed, stopped, or found damaged, and go on: with the bits of a run that never ended."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("tensorflow")

from trainer_runs import (
    ADVICE,
    Material,
    arguments,
    assert_same,
    checkpoint,
    contents,
    damage,
    evaluations,
    finish,
    lines,
    start,
    steps,
    training,
    wait_for,
    weights,
)

from trainer.report.journal import Journal

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from conftest import Command

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

KILLS = int(os.environ.get("ALBERT_FAST_KILL_TRIALS", "3"))
SEED = int(os.environ.get("ALBERT_FAST_KILL_SEED", "1"))


# --- killed ----------------------------------------------------------------------------------------------------------

Moment = tuple[str, "Callable[[Path, int], bool]"]


def _last_step(run: Path) -> int:
    return max((line["step"] for line in lines(run)), default=0)


MOMENTS: list[Moment] = [
    ("a step is done", lambda run, before: _last_step(run) > before),
    ("a checkpoint is being written", lambda run, _: any((run / "checkpoints").glob(".*.tmp"))),
    ("variables are being written", lambda run, _: any((run / "checkpoints").glob(".*.tmp/variables*"))),
    ("a checkpoint has its name", lambda run, before: max(steps_seen(run), default=0) > before),
    ("an old one goes", lambda run, _: any((run / "checkpoints").glob(".*.old"))),
    ("an evaluation is being written", lambda run, _: any((run / "checkpoints").glob("*/.evaluation.json.tmp"))),
    ("some steps are done", lambda run, before: _last_step(run) > before + 7),
]


def steps_seen(run: Path) -> list[int]:
    return [int(path.name[5:]) for path in (run / "checkpoints").glob("step-*")]


def kill(process: subprocess.Popen[str], run: Path, moment: Moment, delay: float) -> bool:
    """Kills the run at a moment, or `delay` seconds after; false where it was quicker."""
    before = max(steps_seen(run), default=0)
    wait_for(process, lambda: moment[1](run, before), 0.001)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def options(kind: str, material: Material) -> dict[str, Any]:
    """A run long enough to be killed in, which drops out and keeps few checkpoints."""
    found: dict[str, Any] = {
        "model": material.dropout,
        "num_train_steps": 40,
        "save_checkpoints_steps": 5,
        "keep_checkpoint_max": 2,
        "micro_batch_size": 4,
        "log_steps": 2,
    }
    if kind == "tokens":
        return found | {"eval_records": material.held_out}
    return found | {"records": material.records, "jit": True, "batch_size": 32, "micro_batch_size": 16}


@pytest.mark.parametrize("kind", ["tokens", "records"])
def test_a_killed_run_ends_with_the_same_bits(kind: str, material: Material, tmp_path: Path) -> None:
    rng = random.Random(f"{SEED} {kind}")
    whole, run = tmp_path / "whole", tmp_path / "run"
    given = options(kind, material)
    if given.get("jit"):
        # One layer: compiling it is what takes the time.
        given["model"] = tmp_path / "model.json"
        given["model"].write_text(json.dumps(json.loads(material.dropout.read_text()) | {"num_hidden_layers": 1}))
    finish(start(arguments(material, whole, **given)))
    words = arguments(material, run, **given)
    kills = 0
    for moment in [rng.choice(MOMENTS) for _ in range(KILLS if kind == "tokens" else (KILLS + 2) // 3)]:
        killed = kill(start(words), run, moment, rng.choice([0.0, 0.0, rng.random() * 0.05]))
        print(f"{kind}: {moment[0]}: {'killed' if killed else 'was quicker'}, {steps_seen(run)}")
        kills += killed
    finish(start(words))
    assert kills > 0 or KILLS == 0
    assert steps(run) == steps(whole)
    assert_same(weights(run), weights(whole))
    assert training(run) == training(whole)
    assert [step for step, *_ in training(run)] == sorted([*range(2, 41, 2), *range(5, 41, 10)])
    assert evaluations(run) == evaluations(whole)
    assert (len(evaluations(run)) == 8) == (kind == "tokens")


def test_a_kill_between_an_evaluation_and_its_line(
    command: Command, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = arguments(material, Path("run"), num_train_steps=2, eval_records=material.held_out, eval_batch_size=109)
    append = Journal.append

    def killed(self: Journal, line: Mapping[str, Any]) -> None:
        if "evaluation" in line:
            raise KeyboardInterrupt
        append(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", killed)
        assert command(*words).code == 130
    assert steps(Path("run")) == [2]
    for _ in range(2):
        assert command(*words).code == 0
        (figures,) = evaluations(Path("run")).values()
        assert figures["records"] == 436


# --- stopped ---------------------------------------------------------------------------------------------------------


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Does something when the journal gets the training line of `step`."""
    append = Journal.append

    def watched(self: Journal, line: Mapping[str, Any]) -> None:
        append(self, line)
        if line["step"] == step and "loss" in line:
            act()

    monkeypatch.setattr(Journal, "append", watched)


@pytest.fixture(scope="module")
def whole(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    from albert_fast.cli import main

    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(arguments(material, run, model=material.dropout)) == 0
    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(
    number: signal.Signals, command: Command, material: Material, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = arguments(material, Path("run"), model=material.dropout)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        at_step(patch, 6, lambda: os.kill(os.getpid(), number))
        stopped = command(*words)
    assert stopped.code == 130
    (*_, last) = stopped.err.splitlines()
    assert last == f"albert-fast: stopped; saved after step 6: {ADVICE}"
    assert stopped.out == ""
    assert steps(Path("run")) == [4, 6]
    # The handlers are those from before.
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    again = command(*words)
    assert again.code == 0, again.err
    assert f"resuming from {checkpoint(Path('run'), 6)}" in again.err
    assert_same(weights(Path("run")), weights(whole))
    assert [line["start"] for line in lines(Path("run")) if "start" in line] == ["new", "resumed"]
    assert [step for step, *_ in training(Path("run"))] == [2, 4, 6, 8, 10, 12]


def test_two_signals_at_once_are_one(command: Command, material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        at_step(patch, 6, twice)
        stopped = command(*arguments(material, Path("run"), model=material.dropout))
    assert stopped.code == 130
    assert max(steps(Path("run"))) >= 6


def test_max_hours(command: Command, material: Material, whole: Path) -> None:
    words = arguments(material, Path("run"), model=material.dropout)
    found = command(*words, "--max-hours", 1e-9)
    assert found.code == 0
    assert steps(Path("run")) == [1]
    assert found.err.splitlines()[-1] == f"albert-fast: stopped by --max-hours; saved after step 1: {ADVICE}"
    assert command(*words).code == 0
    assert_same(weights(Path("run")), weights(whole))
    assert [step for step, *_ in training(Path("run"))] == [1, 2, 4, 6, 8, 10, 12]


def test_with_overwrite_the_same_command_does_not_go_on(command: Command, material: Material) -> None:
    words = arguments(material, Path("run"), max_hours=1e-9)
    stopped = command(*words, "--overwrite")
    assert stopped.err.splitlines()[-1].endswith(": run the same command again, without --overwrite, to resume")
    assert command(*words).code == 0
    assert steps(Path("run")) == [1, 2]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_process_is_refused(
    overwrite: bool, command: Command, material: Material, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from albert_fast.files import locked

    shutil.copytree(whole, "run")
    before = contents(Path("run"))
    with locked("run"):
        refused = command(*arguments(material, Path("run"), model=material.dropout), *["--overwrite"] * overwrite)
    assert refused.code == 1
    assert refused.error == (
        "run: another command is writing to this directory; wait for it, or pass another --output-dir"
    )
    assert contents(Path("run")) == before


def test_a_file_system_without_locks_is_used_without(
    command: Command, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lustre and some NFS mounts, which several machines share."""
    from albert_fast import files

    class NoLock:
        exclusive = False

        def __init__(self, *_: object, **__: object) -> None: ...

        def release(self) -> None: ...

    monkeypatch.setattr(files, "OutputLock", NoLock)
    found = command(*arguments(material, Path("run"), num_train_steps=2))
    assert found.code == 0
    assert "warning: run cannot be locked" in found.err


def test_a_disk_that_is_full_is_what_is_told(
    command: Command, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not what then fails of telling it."""
    from albert_fast import AlbertFastError
    from trainer.errors import TrainerError
    from trainer.run import pretrain

    def full(*_: object, **__: object) -> None:
        monkeypatch.setattr(pretrain, "write_atomic", fails)
        raise TrainerError("cannot write the checkpoint: No space left on device")

    def fails(path: Path, _: bytes) -> None:
        raise AlbertFastError(f"cannot write {path}")

    monkeypatch.setattr("trainer.model.checkpoints.write", full)
    refused = command(*arguments(material, Path("run"), num_train_steps=2))
    assert refused.code == 1
    assert refused.err.splitlines()[-1] == "albert-fast: error: cannot write the checkpoint: No space left on device"


# --- damaged ---------------------------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_passed_over(command: Command, material: Material, whole: Path) -> None:
    shutil.copytree(whole, "run")
    damage(checkpoint(Path("run"), 12) / "variables.data-00000-of-00001")
    again = command(*arguments(material, Path("run"), model=material.dropout))
    assert again.code == 0, again.err
    (told,) = [line for line in again.err.splitlines() if "warning" in line]
    assert f"{checkpoint(Path('run'), 12)} is damaged" in told
    assert told.endswith("resuming from step-00000008")
    assert steps(Path("run")) == [4, 8, 12]
    assert_same(weights(Path("run")), weights(whole))
    assert training(Path("run")) == training(whole)


def test_nothing_but_damaged_checkpoints_is_an_error(command: Command, material: Material, whole: Path) -> None:
    shutil.copytree(whole, "run")
    for step in steps(Path("run")):
        damage(checkpoint(Path("run"), step) / "checkpoint.json")
    before = contents(Path("run"))
    refused = command(*arguments(material, Path("run"), model=material.dropout))
    assert refused.code == 1
    assert "every checkpoint in run/checkpoints is damaged" in refused.error
    assert contents(Path("run")) == before


# --- another run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"batch_size": 16}, "--batch-size 8, not 16; pass 8 to resume"),
        ({"random_seed": 7}, "--random-seed 12345, not 7; pass 12345 to resume"),
        ({"learning_rate": 0.1}, "--learning-rate 0.00176, not 0.1; pass 0.00176 to resume"),
        ({"num_train_steps": 20}, "--num-train-steps 12, not 20; pass 12 to resume. For more steps, pass --init-"),
        ({"optimizer": "adamw"}, "--optimizer lamb, not adamw; pass lamb to resume"),
        ({"max_seq_length": 32}, "--max-seq-length 64, not 32; pass 64 to resume"),
        ({"ngram": 2}, "--ngram 3, not 2; pass 3 to resume"),
        (
            {"favor_shorter_ngram": False},
            "--favor-shorter-ngram, not --no-favor-shorter-ngram; pass --favor-shorter-ngram to resume",
        ),
        ({"max_predictions_per_seq": 5}, "started without --max-predictions-per-seq, not with 5; remove it to resume"),
        ({"model": "other.json"}, "a model of hidden_size 32, not 16; pass --model run/albert_config.json to resume"),
        ({"tokens": "other"}, "store, not other; pass the same --tokens to resume"),
        ({"records": "RECORDS"}, "other data; pass the same --tokens or --records to resume"),
    ],
)
def test_another_run_is_refused(
    changes: dict[str, Any], named: str, command: Command, material: Material, whole: Path
) -> None:
    shutil.copytree(whole, "run")
    Path("other.json").write_text(material.dropout.read_text().replace('"hidden_size": 32', '"hidden_size": 16'))
    if "tokens" in changes:
        text = Path(__file__).parents[1] / "golden" / "corpus" / "part-b.txt"
        tokenizer = Path(__file__).parents[1] / "golden" / "tokenizer" / "spiece.model"
        assert command("tokenize", text, "--tokenizer", tokenizer, "--output-dir", "other").code == 0
    if "records" in changes:
        changes = {"records": material.records}
    before = contents(Path("run"))
    refused = command(*arguments(material, Path("run"), **{"model": material.dropout, **changes}))
    assert refused.code == 1
    assert refused.error.startswith("run: started with")
    assert named in refused.error
    if "num_train_steps" in changes:
        assert "--init-checkpoint run and another --output-dir: the learning rate falls until step 12" in refused.error
        assert refused.error.endswith("Pass --overwrite to start over")
    else:
        assert refused.error.endswith("--overwrite to start over, or another --output-dir")
    assert contents(Path("run")) == before


def test_other_weights_to_start_from_come_too_late(command: Command, material: Material, whole: Path) -> None:
    """A run has started; what it started from stays what its files say."""
    shutil.copytree(whole, "first")
    words = arguments(material, Path("run"), model=material.dropout, num_train_steps=4)
    assert command(*words, "--init-checkpoint", "first").code == 0
    for more in ([], ["--init-checkpoint", "elsewhere"]):
        again = command(*words, *more)
        assert again.code == 0
        assert ("ignoring --init-checkpoint elsewhere: the run already has weights" in again.err) == bool(more)
        assert json.loads(Path("run/run.json").read_text())["training"]["init_checkpoint"] == "first"


def test_a_finished_run_says_so(command: Command, material: Material, whole: Path) -> None:
    shutil.copytree(whole, "run")
    again = command(*arguments(material, Path("run"), model=material.dropout))
    assert again.code == 0
    assert "trained for 12 steps" in again.err.splitlines()[-1]
    assert training(Path("run")) == training(whole)
    assert_same(weights(Path("run")), weights(whole))


def test_overwrite_starts_afresh(command: Command, material: Material, whole: Path) -> None:
    shutil.copytree(whole, "run")
    words = arguments(material, Path("run"), model=material.dropout, batch_size=4, num_train_steps=3)
    found = command(*words, "--overwrite")
    assert found.code == 0, found.err
    assert steps(Path("run")) == [3]
    assert [line["start"] for line in lines(Path("run")) if "start" in line] == ["new"]
    assert [step for step, *_ in training(Path("run"))] == [2, 3]
    # What it was started with is what it goes on with.
    assert command(*words).code == 0


def test_overwrite_that_fails_a_check_leaves_the_run(command: Command, material: Material, whole: Path) -> None:
    shutil.copytree(whole, "run")
    before = contents(Path("run"))
    words = arguments(material, Path("run"), model="tiny", max_seq_length=1024)
    assert command(*words, "--overwrite").code == 2
    assert command(*arguments(material, Path("run"), batch_size=8, micro_batch_size=3), "--overwrite").code == 2
    assert contents(Path("run")) == before


@pytest.mark.parametrize(
    ("init", "code", "told"),
    [
        ("typo", 1, "typo does not exist"),
        ("run", 2, "--overwrite would remove --init-checkpoint run, which is in run"),
        ("run/checkpoints/step-00000004", 2, "--overwrite would remove --init-checkpoint"),
        ("other", 1, "does not fit this model"),
    ],
)
def test_overwrite_with_weights_that_cannot_be_had_leaves_the_run(
    init: str, code: int, told: str, command: Command, material: Material, whole: Path
) -> None:
    shutil.copytree(whole, "run")
    if init == "other":
        shutil.copytree(whole, "other")
    model = "narrow.json" if init == "other" else material.dropout
    Path("narrow.json").write_text(material.dropout.read_text().replace('"hidden_size": 32', '"hidden_size": 16'))
    before = contents(Path("run"))
    refused = command(*arguments(material, Path("run"), model=model, init_checkpoint=init), "--overwrite")
    assert refused.code == code
    assert told in refused.error
    assert contents(Path("run")) == before


def test_a_directory_of_something_else_is_left_alone(command: Command, material: Material) -> None:
    Path("home").mkdir()
    Path("home/letters.txt").write_text("precious")
    for more in ([], ["--overwrite"]):
        refused = command(*arguments(material, Path("home")), *more)
        assert refused.code == 1
        assert refused.error == "home is not empty, and is not a run of pretrain; pass another --output-dir"
        assert contents(Path("home")) == {"letters.txt": b"precious"}


@pytest.mark.parametrize("left", [".lock", ".pretrain.config.json.tmp"])
def test_what_the_first_moments_leave_is_no_other_directory(left: str, command: Command, material: Material) -> None:
    Path("run").mkdir()
    (Path("run") / left).write_text("{")
    refused = command(*arguments(material, Path("run"), micro_batch_size=3))
    assert "--batch-size must be a multiple of --micro-batch-size" in refused.error
