"""The Slurm of the tests does what scripts for clusters count on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from slurm import DEADLINE, Slurm, SlurmError, descendants

if TYPE_CHECKING:
    from collections.abc import Callable

HELPERS = Path(__file__).parents[1] / "helpers"
HEEDFUL = """
import pathlib, signal, sys, time
def stop(*_):
    print("asked to stop", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""
"""A program that ends with 75 where it is asked to stop. It makes a file when it is ready for that."""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def heedful(directory: Path) -> str:
    """The command that runs `HEEDFUL` and makes a file named `ready`, with the number of the element."""
    (directory / "heedful.py").write_text(HEEDFUL, encoding="utf-8")
    return f'exec {sys.executable} heedful.py "ready$SLURM_ARRAY_TASK_ID"'


def test_elements_of_an_array_and_jobs_that_wait_for_them(slurm: Slurm, tmp_path: Path) -> None:
    array = slurm.submit(tmp_path, 'echo "$SLURM_ARRAY_TASK_ID"; [ "$SLURM_ARRAY_TASK_ID" != 2 ]', "--array=0-3")
    always = slurm.submit(tmp_path, "true", f"--dependency=afterany:{array}")
    never = slurm.submit(tmp_path, "true", f"--dependency=afterok:{array}", "--kill-on-invalid-dep=yes")
    whole = slurm.submit(tmp_path, "true", "--array=0-1")
    after = slurm.submit(tmp_path, "true", f"--dependency=afterok:{whole}", "--kill-on-invalid-dep=yes")
    assert slurm.wait(array) == {f"{array}_{i}": "FAILED" if i == 2 else "COMPLETED" for i in range(4)}
    assert {one: slurm.wait(one)[one] for one in (always, never, after)} == {
        always: "COMPLETED",
        never: "CANCELLED",
        after: "COMPLETED",
    }
    found = slurm.show(array)
    assert [found[f"{array}_{i}"]["ExitCode"] for i in range(4)] == ["0:0", "0:0", "1:0", "0:0"]
    assert slurm.show(never)[never]["Reason"] == "DependencyNeverSatisfied"
    assert [(tmp_path / f"slurm-{array}_{i}.out").read_text(encoding="utf-8") for i in range(4)] == [
        f"{i}\n" for i in range(4)
    ]


@pytest.mark.slow
def test_a_script_can_requeue_its_element(slurm: Slurm, tmp_path: Path) -> None:
    """Those that wait for the array wait for the second try."""
    script = """
    echo "try ${SLURM_RESTART_COUNT:-0} of $SLURM_ARRAY_TASK_ID"
    if [ "$SLURM_ARRAY_TASK_ID" = 1 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 1 ]; then
        scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
        sleep 600
    fi
    """
    array = slurm.submit(tmp_path, script, "--array=0-1", "--requeue", "--open-mode=append", "--output=%a.txt")
    after = slurm.submit(tmp_path, "cat ?.txt > all.txt", f"--dependency=afterok:{array}", "--kill-on-invalid-dep=yes")
    assert slurm.wait(after) == {after: "COMPLETED"}
    assert slurm.states(array) == {f"{array}_0": "COMPLETED", f"{array}_1": "COMPLETED"}
    lines = (tmp_path / "all.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("try")] == ["try 0 of 0", "try 0 of 1", "try 1 of 1"]


@pytest.mark.slow
def test_cancelling_asks_before_it_kills(slurm: Slurm, tmp_path: Path) -> None:
    array = slurm.submit(tmp_path, heedful(tmp_path), "--array=0-1", "--output=%a.txt")
    stubborn = slurm.submit(tmp_path, "trap '' TERM; touch stubborn; while :; do sleep 0.1; done")
    after = slurm.submit(tmp_path, "true", f"--dependency=afterany:{array}")
    until(lambda: all((tmp_path / name).exists() for name in ("ready0", "ready1", "stubborn")))
    slurm.run("scancel", f"{array}_1")
    until(lambda: slurm.states(array)[f"{array}_1"] == "CANCELLED")
    assert slurm.states(array)[f"{array}_0"] == "RUNNING"
    slurm.run("scancel", array, stubborn)
    assert slurm.wait(array) == {f"{array}_0": "CANCELLED", f"{array}_1": "CANCELLED"}
    assert slurm.wait(stubborn) == {stubborn: "CANCELLED"}
    for i in range(2):
        assert "asked to stop\n" in (tmp_path / f"{i}.txt").read_text(encoding="utf-8")
    # Who cancels an array has to cancel what runs after it in any case.
    assert slurm.wait(after) == {after: "COMPLETED"}


@pytest.mark.slow
def test_a_signal_comes_before_the_time_limit(slurm: Slurm, tmp_path: Path) -> None:
    """It reaches the program that the script has become; Slurm looks at limits twice a minute."""
    options = ("--time=1", "--signal=B:TERM@55", "--output=out.txt")
    job = slurm.submit(tmp_path, heedful(tmp_path), *options)
    assert slurm.wait(job, seconds=2 * DEADLINE) == {job: "FAILED"}
    assert slurm.show(job)[job]["ExitCode"] == "75:0"
    assert "asked to stop\n" in (tmp_path / "out.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_jobs_of_a_node_that_fails_run_again(slurm: Slurm, tmp_path: Path) -> None:
    script = 'touch "ready$SLURM_JOB_NAME"; [ -n "$SLURM_RESTART_COUNT" ] || sleep 600'
    again = slurm.submit(tmp_path, script, "--requeue", "--job-name=again")
    once = slurm.submit(tmp_path, script, "--no-requeue", "--job-name=once")
    until(lambda: all((tmp_path / f"ready{name}").exists() for name in ("again", "once")))
    slurm.fail_node()
    assert slurm.wait(once) == {once: "NODE_FAIL"}
    assert slurm.wait(again) == {again: "COMPLETED"}
    assert slurm.show(again)[again]["Restarts"] == "1"


def test_what_it_refuses(slurm: Slurm, tmp_path: Path) -> None:
    with pytest.raises(SlurmError, match="Invalid job array specification"):
        slurm.submit(tmp_path, "true", "--array=0-1001")
    with pytest.raises(SlurmError, match="Invalid job id specified"):
        slurm.states("99999")


@pytest.mark.parametrize("killed", [False, True])
def test_it_leaves_nothing_behind(needs_slurm: None, tmp_path: Path, killed: bool) -> None:
    """Neither when it is stopped nor when the process that started it is killed, while jobs run."""
    program = f"""
import pathlib, signal, sys
from slurm import Slurm
with Slurm() as slurm:
    place = pathlib.Path({str(tmp_path)!r})
    slurm.submit(place, "setsid sleep 600 & sleep 600 & touch ready; wait")
    print(slurm.pid, slurm.directory, flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(HELPERS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        pid, directory = process.stdout.readline().split()
        until((tmp_path / "ready").exists)
        pids = list(descendants(int(pid)))
        assert len(pids) >= 7, "three daemons, the helpers of two of them, a script and its two children"
        if killed:
            process.send_signal(signal.SIGKILL)
        else:
            process.stdin.close()
        until(lambda: process.poll() is not None)
    until(lambda: not any(Path(f"/proc/{one}").exists() for one in (pid, *pids)))
    assert not Path(directory).exists()
