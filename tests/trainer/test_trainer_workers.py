"""Several workers, and several devices, learn what one does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from ports import free_ports
from trainer_runs import (
    ADVICE,
    ROOT,
    Material,
    arguments,
    evaluations,
    finish,
    lines,
    losses,
    start,
    steps,
    training,
    wait_for,
    weights,
    worst,
)

from albert_fast.files import locked
from trainer.run.meeting import GREETING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

CLOSE = 1e-5
"""Of losses, absolute, and of weights, relative: sums in another order."""


def start_workers(
    words: list[str], count: int = 2, *, chief: bool = False, more: dict[int, list[str]] | None = None
) -> list[subprocess.Popen[str]]:
    """Starts them; `chief`: the first is one, as managed training has it; `more`: arguments of one worker only."""
    addresses = [f"localhost:{port}" for port in free_ports(count)]
    tasks = [("chief", 0)] * chief + [("worker", index) for index in range(count - chief)]
    cluster = {"chief": addresses[:1], "worker": addresses[1:]} if chief else {"worker": addresses}
    return [
        start(
            words + (more or {}).get(worker, []),
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}),
        )
        for worker, (kind, index) in enumerate(tasks)
    ]


def options(material: Material) -> dict[str, Any]:
    return {"eval_records": material.held_out, "eval_batch_size": 50, "micro_batch_size": 2}


@pytest.fixture(scope="module")
def one(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of one worker on one device."""
    from tensorflow.python.util import _pywrap_determinism

    from albert_fast.cli import main

    run = tmp_path_factory.mktemp("one") / "run"
    assert main(arguments(material, run, **options(material))) == 0
    yield run
    _pywrap_determinism.enable(False)


def assert_equal(run: Path, one: Path) -> None:
    apart = float(np.abs(losses(run) - losses(one)).max())
    most, name = worst(weights(run), weights(one))
    print(f"losses differ by {apart:.2g} at most, weights by {most:.2g} of their norm ({name})")
    assert apart < CLOSE
    assert most < CLOSE, name
    expected = evaluations(one)
    assert evaluations(run).keys() == expected.keys()
    for step, figures in evaluations(run).items():
        assert figures == pytest.approx(expected[step], abs=CLOSE)
        assert figures["records"] == 436


def test_two_workers_equal_one(material: Material, one: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = arguments(material, run, **options(material))
    first, second = (finish(process) for process in start_workers(words, chief=True))
    assert_equal(run, one)
    assert steps(run) == steps(one)
    assert [line["start"] for line in lines(run) if "start" in line] == ["new"]
    assert "trained for 12 steps" in first
    assert "trained for 12 steps" in second
    assert "checkpoint" in first
    assert "checkpoint" not in second
    assert json.loads((run / "run.json").read_text())["training"]["workers"] == 2


def test_a_signal_to_one_worker_stops_all(material: Material, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = arguments(material, run, num_train_steps=100_000, save_checkpoints_steps=100_000)
    workers = start_workers(words)
    assert wait_for(workers[1], lambda: len(training(run)) > 0, 0.05)
    workers[1].send_signal(signal.SIGTERM)
    first, second = (finish(process, 130) for process in workers)
    (step,) = steps(run)
    for said in (first, second):
        # TensorFlow may complain afterward that the other worker has left.
        assert f"albert-fast: stopped; saved after step {step:,}: {ADVICE}" in said.splitlines()
    # They resume together, and a time limit that one of them reaches ends both.
    first, second = (finish(process) for process in start_workers([*words, "--max-hours", "1e-9"]))
    assert steps(run) == [step, step + 1]
    for said in (first, second):
        assert f"albert-fast: stopped by --max-hours; saved after step {step + 1:,}: {ADVICE}" in said.splitlines()


SLOW = """
import os, sys, time
from pathlib import Path

from albert_fast.cli import main
from trainer.run import step

add = step._Part.add


def slow(part, width):
    function = add(part, width)

    def run(*arguments):
        if int(arguments[2][1]) >= 2:
            Path(os.environ["SLOW_BEGUN"]).touch()
            time.sleep(float(os.environ["SLOW_SECONDS"]))
        return function(*arguments)

    return run


step._Part.add = slow
sys.exit(main(sys.argv[1:]))
"""
"""Micro-batches of the third step and later ones take their time, without taking the machine's."""


def test_a_worker_that_abandons_a_step_makes_all_abandon_it(material: Material, tmp_path: Path) -> None:
    """The chief has a step of a minute and more, the other one a short one; the signal goes to the chief alone."""
    run, begun = tmp_path / "run", tmp_path / "begun"
    words = arguments(material, run, micro_batch_size=1, widths=64)
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    workers = []
    for worker, seconds in enumerate(("20", "0.1")):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
        environment = {
            "TF_CONFIG": json.dumps(task),
            "SLOW_SECONDS": seconds,
            "SLOW_BEGUN": str(begun if worker == 0 else tmp_path / "other"),
        }
        workers.append(
            subprocess.Popen(
                [sys.executable, "-c", SLOW, *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            )
        )
    assert wait_for(workers[0], begun.exists, 0.05)
    time.sleep(0.3)
    sent = time.monotonic()
    workers[0].send_signal(signal.SIGTERM)
    first, second = (finish(process, 130) for process in workers)
    took = time.monotonic() - sent
    print(f"ended {took:.1f} s after the signal")
    assert took < 70
    assert "step 3 was abandoned" in first
    for said in (first, second):
        assert said.splitlines()[-1] == f"albert-fast: stopped; saved after step 2: {ADVICE}"
    assert steps(run) == [2]
    # They resume together, and end.
    for process in start_workers(words):
        finish(process)
    assert steps(run) == [2, 4, 8, 12]


def test_where_the_chief_is_refused_the_others_end(material: Material, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with locked(run):
        first, second = (finish(process, 1) for process in start_workers(arguments(material, run)))
    assert "another command is writing to this directory" in first.splitlines()[-1]
    assert "lost another worker before the first step" in second.splitlines()[-1]


def test_waiting_for_the_others_is_said_and_can_be_interrupted(material: Material, tmp_path: Path) -> None:
    port, missing = free_ports(2)
    workers = [f"localhost:{port}", f"localhost:{missing}"]
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": 0}}
    first = start(arguments(material, tmp_path / "run"), TF_CONFIG=json.dumps(config))
    assert first.stdout
    assert "worker 0: waiting for all 2 workers in TF_CONFIG" in first.stdout.readline()
    first.send_signal(signal.SIGINT)
    assert "albert-fast: stopped" in finish(first, 130)


def test_ctrl_c_ends_a_worker_that_tensorflow_keeps_waiting(material: Material, tmp_path: Path) -> None:
    """The other worker met this one, and was then lost."""
    first, port = free_ports(2)
    workers = [f"localhost:{first}", f"localhost:{port}"]
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": 1}}
    with socket.create_server(("localhost", first)) as server:
        process = start(arguments(material, tmp_path / "run"), TF_CONFIG=json.dumps(config))
        connection, _ = server.accept()
        with connection, connection.makefile() as lines:
            connection.sendall(json.dumps(GREETING).encode() + b"\n")
            assert json.loads(lines.readline()) == {"worker": 1, "workers": 2}
            facts = json.loads(lines.readline())["facts"]
            decision = {name: facts[name] for name in ("bf16", "memory_bytes")}
            connection.sendall(json.dumps({"decision": decision}).encode() + b"\n")

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
            return True
        return False

    # Python is no longer what runs then.
    assert wait_for(process, listens, 0.2)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("worker", "words", "reason"),
    [
        (1, ["--micro-batch-size", "1"], "worker 1 has --micro-batch-size 1, and worker 0 has --micro-batch-size 2; "),
        (1, ["--eval-records", "none*"], "worker 1 cannot start: none*"),
        (0, ["--model", "none.json"], "worker 0 cannot start: "),
    ],
)
def test_a_worker_that_cannot_start_ends_the_others_with_its_message(
    material: Material, tmp_path: Path, worker: int, words: list[str], reason: str
) -> None:
    workers = start_workers(arguments(material, tmp_path / "run", **options(material)), more={worker: words})
    for process in workers:
        said, _ = process.communicate(timeout=120)
        assert process.returncode in {1, 2}
        assert "Traceback" not in said
        if process is not workers[worker] or "cannot start" not in reason:
            assert reason in said.splitlines()[-1]


def test_other_weights_are_refused(material: Material, one: Path, tmp_path: Path) -> None:
    found = sorted((one / "checkpoints").iterdir())
    more = {worker: ["--init-checkpoint", str(found[-1 - worker])] for worker in range(2)}
    for process in start_workers(arguments(material, tmp_path / "run", **options(material)), more=more):
        assert "the workers start from different weights" in finish(process, 2).splitlines()[-1]
    assert not (tmp_path / "run" / "run.json").exists()


WEAK = """
import os, sys
from albert_fast.cli import main
from trainer.run import hardware

seen = hardware.seen


def other():
    return seen() | {"bf16": "worker-0" in os.environ["NAMES"], "memory_bytes": 4 << 30, "name": os.environ["NAMES"]}


hardware.seen = other
sys.exit(main(sys.argv[1:]))
"""


def test_the_weakest_worker_decides_the_precision(material: Material, tmp_path: Path) -> None:
    run = tmp_path / "run"
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WEAK, *arguments(material, run, num_train_steps=1, num_warmup_steps=0)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "NAMES": f"device of worker-{worker}",
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
                ),
            },
        )
        for worker in range(2)
    ]
    first, _ = (finish(process) for process in workers)
    warning = "bfloat16 is slow on device of worker-1 of worker 1, so --precision is float32 by default"
    assert f"albert-fast: warning: {warning}" in first.splitlines()
    described = json.loads((run / "run.json").read_text())["training"]
    assert (described["precision"], described["workers"]) == ("float32", 2)


BUDGET = """
import json, os, sys

from albert_fast.cli import main
from trainer.run import budget


def decide(options, lines, seconds):
    assert json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 0
    return budget.Decision(options.budget_hours, 12, len(lines) * options.log_steps, 0.5, 0.25, seconds)


budget.decide = decide
sys.exit(main(sys.argv[1:]))
"""
"""Only the chief knows the speed, and two hours are enough for 12 steps."""


def test_all_workers_take_the_number_of_steps_that_the_chief_decides(material: Material, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = arguments(material, run, num_train_steps=None, budget_hours=2, num_warmup_steps=10)
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", BUDGET, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
                ),
            },
        )
        for worker in range(2)
    ]
    for process in workers:
        assert "trained for 12 steps" in finish(process)
    assert steps(run) == [4, 8, 10, 12]
    assert json.loads((run / "run.json").read_text())["budget"]["decided_at"] == 10
    # They know it when they start again.
    for process in start_workers(words):
        assert "trained for 12 steps" in finish(process)


REPLICATED = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from albert_fast.cli import main
from trainer.run import hardware

hardware.find = lambda agreed: hardware.replicated(["CPU:0", "CPU:1"])
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("jit", [False, True])
def test_two_devices_equal_one(material: Material, one: Path, tmp_path: Path, jit: bool) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", REPLICATED, *arguments(material, run, **(options(material) | {"jit": jit}))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "on 2 x " in finish(process)
    assert_equal(run, one)
