"""Scripts of jobs that run without Slurm, with programs that do what a test wants."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

from slurm import DEADLINE

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from pathlib import Path

STOPS = 'trap "exit 130" TERM; touch ready; while :; do read -t 0.05 <> <(:); done'
"""A program that ends with 130 if it is asked to, as albert-fast does."""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


class Script:
    """The script of a job."""

    def __init__(
        self, directory: Path, text: str, program: str, body: str, restarts: int | None = None, scontrol: str = "true"
    ) -> None:
        """`program`, which the script runs, is a script of its own whose lines are `body`."""
        executable(directory / "bin" / program, body)
        executable(directory / "bin" / "scontrol", f'echo "$@" >> {directory}/requeued; {scontrol}')
        executable(directory / "bin" / "sleep", f"touch {directory}/waited")
        script = directory / "script.sh"
        script.write_text(text, encoding="utf-8")
        environment = {
            "PATH": f"{directory}/bin{os.pathsep}{os.environ['PATH']}",
            "SLURM_JOB_ID": "9",
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_ARRAY_JOB_ID": "7",
            "SLURM_ARRAY_TASK_ID": "2",
            **({} if restarts is None else {"SLURM_RESTART_COUNT": str(restarts)}),
        }
        self.directory = directory
        self.process = subprocess.Popen(["bash", script], env=environment, cwd=directory, text=True, stdout=-1)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal as soon as the program is ready for it."""
        until((self.directory / "ready").exists)
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[str]]:
        """Waits for the script. Returns its exit code, and what it asked scontrol for."""
        self.said, _ = self.process.communicate(timeout=DEADLINE)
        requeued = self.directory / "requeued"
        return self.process.returncode, requeued.read_text().splitlines() if requeued.exists() else []
