"""What the files of the bench share."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

MB = 1_000_000
MIB = 1 << 20
CHILD = str(Path(__file__).with_name("child.py"))


class Row(NamedTuple):
    """A line of the table."""

    what: str
    measured: str
    must: str
    aim: str
    reached: bool | None
    """None where there is no target."""
    aim_reached: bool | None
    against: str


def say(message: str) -> None:
    """Progress, on standard error."""
    print(f"bench: {message}", file=sys.stderr, flush=True)


def run_child(script: str, arguments: list[str]) -> dict[str, Any]:
    """What a process of `script` says."""
    done = subprocess.run([sys.executable, script, *arguments], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
