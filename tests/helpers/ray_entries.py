"""What workers of Ray run in tests instead of a command.

As a program, it is a driver: `python ray_entries.py ADDRESS FUNCTION COUNT DIRECTORY MIB` runs COUNT tasks with so much
memory, and prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path


def trivial(place: str, task: int) -> dict[str, int]:
    return {"tasks": 1}


def fails(place: str, task: int) -> dict[str, int]:
    if task == 2:
        raise ValueError("a fault\nof the test")
    return {"tasks": 1}


def fills_memory(place: str, task: int) -> dict[str, int]:
    """Task 1 needs more than 150 MB, and task 2 more than there is."""
    from ray import get_runtime_context
    from ray.exceptions import OutOfMemoryError

    memory = int(get_runtime_context().get_assigned_resources()["memory"])
    note(place, task, memory)
    if (task == 1 and memory < 150 << 20) or task == 2:
        raise OutOfMemoryError("the node is full")
    return {"tasks": 1}


def uses_memory(place: str, task: int) -> dict[str, int]:
    """Runs for a while, so that Ray finds out what it uses."""
    import time

    note(place, task, 0)
    time.sleep(20)
    return {"tasks": 1}


def dies_once(place: str, task: int) -> dict[str, int]:
    note(place, task, os.getpid())
    if task == 1 and len(list(Path(place).glob("1-*"))) < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"tasks": 1}


def note(place: str, task: int, value: int) -> None:
    """Leaves a file for each run of a task."""
    number = len(list(Path(place).glob(f"{task}-*")))
    Path(place, f"{task}-{number}").write_text(str(value), encoding="utf-8")


def main() -> None:
    from albert_fast.cluster import ray as cluster
    from albert_fast.cluster.driver import drive

    address, function, count, place, memory = sys.argv[1:]
    ray = cluster.library()
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    pool = cluster.RayPool(ray, f"ray_entries:{function}", [place])
    done = drive(pool, range(int(count)), memory=int(memory) << 20)
    ray.shutdown()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    refused = done.refused.message if done.refused else ""
    print(json.dumps({"done": done.done, "again": done.again, "failed": done.failed, "refused": refused, "mib": most}))


if __name__ == "__main__":
    main()
