"""Options of `ray`."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from albert_fast.options.base import REQUIRED, option
from albert_fast.options.shared import INPUT, TASKS, ConfigFile

CLUSTER = "Cluster"
WORKERS = "Workers, with pretrain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ray(ConfigFile):
    """`ray`. All other options on its command line are those of the command that it runs."""

    WRAPS: ClassVar[bool] = True

    command_line: tuple[str, ...] = option(
        REQUIRED,
        "The command to run, prepare-text, train-tokenizer, tokenize, make-records or pretrain, with its arguments and "
        "options. For tasks, --num-tasks says how many there are, otherwise so many that a task takes about two "
        "minutes. --num-threads is the number of CPUs of a task, 1 if it is not given. Options of ray can be anywhere "
        "between them.",
        INPUT,
        metavar="COMMAND",
        argument=True,
    )
    address: str = option(
        "auto",
        "Address of the cluster. auto is the cluster that this machine belongs to. local starts Ray on this machine.",
        CLUSTER,
        metavar="ADDRESS",
    )
    task_memory: float | None = option(
        None,
        "Memory that Ray reserves for a task, in GiB. A task that is killed because the memory of the node is full is "
        "run again with twice as much, up to two times.",
        TASKS,
        metavar="GIB",
        low=0,
        above=True,
        shown="an estimate",
    )
    max_retries: int = option(
        5,
        "How often a task is run again if its worker or node is lost.",
        TASKS,
        low=0,
        high=1000,
    )
    autoscaling: bool = option(
        False,
        "Nodes may be added later: wait for one that can run a task. Otherwise, it is an error if there is none.",
        CLUSTER,
    )
    num_workers: int = option(1, "Number of workers.", WORKERS, low=1, high=10_000)
    gpus_per_worker: int = option(1, "Number of GPUs of each worker. 0 trains on CPUs.", WORKERS, low=0, high=1000)
    cpus_per_worker: int = option(1, "Number of CPUs that Ray reserves for each worker.", WORKERS, low=1, high=10_000)
    max_failures: int = option(
        3,
        "How often all workers are started again, from the newest checkpoint, after one was lost.",
        WORKERS,
        low=0,
        high=100_000,
    )
