"""Options of the commands that start tasks on clusters."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from albert_fast.options.base import REQUIRED, option
from albert_fast.options.shared import INPUT, OUTPUT, TASKS, ConfigFile

JOBS = "Jobs"
WORKERS = "Workers"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slurm(ConfigFile):
    """`slurm`. All other options on its command line are those of the command that it submits."""

    WRAPS: ClassVar[bool] = True

    command_line: tuple[str, ...] = option(
        REQUIRED,
        "The command to run, prepare-text, train-tokenizer, tokenize, make-records or pretrain, with its arguments and "
        "options. All but pretrain need --num-tasks, and must not have --task-id. Options of slurm can be anywhere "
        "between them.",
        INPUT,
        metavar="COMMAND",
        argument=True,
    )
    tasks: str | None = option(
        None,
        "Numbers of the tasks to run, as in 3,7-9, to run only these again. finish lists them.",
        TASKS,
        metavar="IDS",
        shown="all",
    )
    max_running: int | None = option(
        None, "Maximum number of tasks that run at the same time.", TASKS, low=1, shown="no limit"
    )
    max_requeues: int = option(
        3,
        "How often a task or a run starts again that was stopped by its time limit, or killed. It resumes each time. "
        "After an error, it does not start again.",
        TASKS,
        low=0,
        high=1000,
    )
    num_workers: int | None = option(
        None, "Number of machines that pretrain runs on.", WORKERS, low=1, high=10_000, shown="1"
    )
    gpus_per_worker: int | None = option(
        None, "Number of GPUs of each of these machines. 0 trains on the CPU.", WORKERS, low=0, high=1024, shown="1"
    )
    sbatch_option: tuple[str, ...] = option(
        (),
        "Option of sbatch for all jobs, by its long name and without dashes, as in partition=cpu. Can be given several "
        "times.",
        JOBS,
        metavar="NAME=VALUE",
    )
    cpus_per_task: int | None = option(
        None,
        "Number of cores of a task or worker. For a task, it is also --num-threads if that is not given.",
        JOBS,
        low=1,
        high=1024,
        shown="--num-threads of the command if given, otherwise 4, or 8 per GPU",
    )
    mem: str | None = option(
        None,
        "Memory of a task or worker, as sbatch takes it: a number with K, M, G or T.",
        JOBS,
        metavar="SIZE",
        shown="of a task, an estimate by its command and threads; of a worker, 8 GiB and 16 GiB per GPU",
    )
    log_dir: Path | None = option(
        None,
        "Directory for the scripts and logs of the jobs. All machines must be able to write to it.",
        OUTPUT,
        metavar="DIR",
        shown=".slurm in the output of the command; slurm-logs for prepare-text, pretrain and remote outputs",
    )
    dry_run: bool = option(
        False, "Submit nothing. Print the scripts, and the commands that submit them, as lines for a shell.", OUTPUT
    )
    wait: bool = option(False, "Wait until all jobs have ended, and show their states.", OUTPUT)
