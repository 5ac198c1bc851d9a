"""Starts a process that runs training steps on request, so that several take turns and none compiles twice."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Stepper:
    """A process that answers each line of standard input with a line of JSON. `missing` says why there is no process.

    Args:
        python: its interpreter.
        command: a script, and its arguments.
        path: the directory that it imports the trainer from.
    """

    def __init__(self, python: str, command: list[str], path: Path = ROOT) -> None:
        environment = os.environ | {"PYTHONPATH": str(path), "TRANSFORMERS_VERBOSITY": "error"}
        # Use a file: nobody reads a pipe while the process works, and a full pipe would block it.
        self._messages = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            env=environment,
        )
        self.about: dict[str, Any] = {}
        self.missing = ""
        self.about = self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        self._process.wait()
        self._messages.seek(0)
        messages = self._messages.read().strip().splitlines()
        self.missing = messages[-1] if messages else f"no message, exit code {self._process.returncode}"
        return {}

    def ask(self, line: object) -> dict[str, Any]:
        """Return the answer to `line`.

        Raises:
            RuntimeError: the process has ended.
        """
        assert self._process.stdin
        print(line, file=self._process.stdin, flush=True)
        answer = self._read()
        if self.missing:
            raise RuntimeError(self.missing)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._messages.close()
