"""Runs a command of albert-fast as one of the workers of a job of Slurm, with TF_CONFIG for it.

Usage, in a job: srun python -m albert_fast.cluster.slurm_worker COMMAND ...
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIRST_PORT, PORTS = 20_000, 10_000
"""Workers listen on ports from here, below those that Linux gives to clients. Each job has others."""


def tf_config(job: Mapping[str, str], ask: Callable[..., str]) -> str | None:
    """Returns TF_CONFIG for this worker, or None if it is the only one.

    Args:
        job: the environment, in which Slurm describes the job.
        ask: returns what scontrol prints.
    """
    nodes = ask("show", "hostnames", job["SLURM_STEP_NODELIST"]).split()
    counts = expanded(job["SLURM_STEP_TASKS_PER_NODE"])
    if sum(counts) == 1:
        return None
    # A name need not be one that other machines can look up. Slurm itself uses the address.
    shown = ask("--oneliner", "show", "node", job["SLURM_STEP_NODELIST"])
    addresses = dict(re.findall(r"^NodeName=(\S+) .*?\bNodeAddr=(\S+)", shown, re.MULTILINE))
    port = FIRST_PORT + int(job["SLURM_JOB_ID"]) % PORTS
    workers = [
        f"{addresses.get(node, node)}:{port + number}"
        for node, count in zip(nodes, counts, strict=True)
        for number in range(count)
    ]
    task = {"type": "worker", "index": int(job["SLURM_PROCID"])}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


def expanded(counts: str) -> list[int]:
    """Returns the numbers of tasks on each machine, which Slurm writes as "2,1(x3)"."""
    parts = [re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part) for part in counts.split(",")]
    return [int(part[1]) for part in parts if part for _ in range(int(part[2] or 1))]


def _ask(*words: str) -> str:
    return subprocess.run(["scontrol", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Becomes the command in the arguments."""
    config = tf_config(os.environ, _ask)
    os.environ.pop("TF_CONFIG", None)
    if config is not None:
        os.environ["TF_CONFIG"] = config
    os.execv(sys.executable, [sys.executable, "-m", "albert_fast", *sys.argv[1:]])


if __name__ == "__main__":
    main()
