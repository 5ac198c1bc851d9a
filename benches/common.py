"""Helpers that the files of the benchmark share."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

MB = 1_000_000
MIB = 1 << 20
CHILD = str(Path(__file__).with_name("child.py"))


class Row(NamedTuple):
    """A row of the table."""

    what: str
    measured: str
    must: str
    aim: str
    reached: bool | None
    """Whether the target was reached; None if there is no target."""
    aim_reached: bool | None
    against: str


def say(message: str) -> None:
    """Show progress on standard error."""
    print(f"bench: {message}", file=sys.stderr, flush=True)


def run_child(script: str, arguments: list[str]) -> dict[str, Any]:
    """Run `script` in a process, and return what it reports."""
    done = subprocess.run([sys.executable, script, *arguments], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def launch_fresh(command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> dict[str, float]:
    """Return a command's time and peak memory. A small process starts it, and shows its messages if it fails."""
    with log.open("w") as file:
        done = subprocess.run(
            [sys.executable, CHILD, "launch", *command],
            stdout=subprocess.PIPE,
            stderr=file,
            check=True,
            env={**os.environ, **(environment or {})},
        )
    found: dict[str, float] = json.loads(done.stdout)
    if found["code"]:
        sys.exit(f"bench: {' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return found


class Time(NamedTuple):
    """The time that something took, in seconds."""

    wall: float
    cpu: float

    def __add__(self, other: object) -> "Time":
        assert isinstance(other, Time)
        return Time(self.wall + other.wall, self.cpu + other.cpu)


def timed(work: Callable[[], Any]) -> tuple[Any, Time]:
    """Return what `work` returns, and its time."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Time(time.perf_counter() - wall, time.process_time() - cpu)


def ratio(values: list[float]) -> str:
    """Format median and range."""
    digits = 0 if min(values) >= 100 else 1 if min(values) >= 1 else 2
    median, low, high = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{median}x ({low} to {high})"


def rate(values: list[float]) -> str:
    """Format the median in MB per second."""
    median = statistics.median(values) / MB
    return f"{median:.1f} MB/s" if median >= 1 else f"{median:.3f} MB/s"
