"""`albert-fast slurm`."""

import sys
import time
from pathlib import Path

from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, Stopped, UsageError, check_output_dir, info
from albert_fast.cli.tasked import TASKED, parse
from albert_fast.cluster.slurm import (
    TASK_ID,
    Program,
    Submitted,
    Watch,
    Work,
    checked,
    checked_tasks,
    client,
    dry_run,
    submit,
)
from albert_fast.options import Slurm, options_of
from albert_fast.paths import RemotePath
from albert_fast.text import number

CPUS = 4
"""The cores of a task if neither --cpus-per-task nor --num-threads is given."""

EVERY = 5.0
"""Seconds between two looks at the jobs, with --wait."""


@command(Slurm)
def slurm(options: Slurm, given: frozenset[str]) -> None:
    r"""Run a command as many tasks on a Slurm cluster. A last job completes the output.

        albert-fast slurm make-records tokens --output-dir records --num-shards 256 --num-tasks 64 \
            --sbatch-option partition=cpu --sbatch-option time=2:00:00

    A task that reaches its time limit keeps what is complete, and resumes. The last job fails if tasks have failed, and
    says which. To run these again, repeat the command with --tasks.

    The number of the last job is printed on standard output, so that other jobs can depend on it.
    """
    work = work_of(options)
    if options.dry_run:
        if options.wait:
            raise UsageError("--wait has no effect with --dry-run; remove one")
        print(dry_run(work))
        return
    submitted = submit(work)
    report(work, submitted)
    print(submitted.finish, flush=True)
    if options.wait:
        wait(work, submitted)


def work_of(options: Slurm) -> Work:
    """Returns what the jobs do.

    Raises:
        UsageError: the command cannot be divided, or one of its options or of slurm breaks a rule.
    """
    name, *words = options.command_line
    if name.startswith("-"):
        raise UsageError(f"{name}: the command must come before its options, as in `albert-fast slurm make-records`")
    stage, _ = parse(name, words, [option.flag for option in options_of(Slurm).values()])
    tasked = TASKED[name]
    tasked.check(stage)
    num_tasks, num_threads = stage.num_tasks, stage.num_threads  # type: ignore[attr-defined]
    tasks = checked_tasks(options.tasks, num_tasks)
    sbatch_options = checked(options.sbatch_option)
    if options.mem is not None and any(option.startswith("mem-per-") for option in sbatch_options):
        raise UsageError("--mem and the memory in --sbatch-option exclude each other; remove one")
    cpus = options.cpus_per_task or num_threads or CPUS
    # A task may see all cores of its machine, though it was given some of them.
    threads = [] if num_threads is not None else ["--num-threads", str(cpus)]
    memory = options.mem or f"{tasked.memory(stage, num_threads or cpus)}M"
    output = tasked.output_of(stage)
    logs = options.log_dir or (Path("slurm-logs") if isinstance(output, RemotePath) else output / ".slurm")
    if isinstance(logs, RemotePath):
        raise UsageError(f"--log-dir must be a directory on disk, got {logs}")
    check_output_dir(logs)
    program = (sys.executable, "-m", "albert_fast")
    return Work(
        name=name,
        # These options come first, because there may be a -- among the user's words.
        task=Program((*program, name, "--task-id", TASK_ID, *threads, *words), cpus, memory),
        finish=Program((*program, "finish", "--num-tasks", str(num_tasks), "--", str(output)), 1, memory),
        num_tasks=num_tasks,
        tasks=tasks,
        rounds=tasked.rounds(stage),
        options=sbatch_options,
        max_running=options.max_running,
        max_requeues=options.max_requeues,
        logs=logs.absolute(),
        directory=Path.cwd(),
    )


def report(work: Work, submitted: Submitted) -> None:
    """Says what was submitted, where to look, and how to stop it."""
    what = f"{number(work.num_tasks, 'task')} of {work.name}"
    if work.tasks != checked_tasks(None, work.num_tasks):
        what = f"of the {what}, {work.tasks}"
    if work.rounds > 1:
        what += f" in {work.rounds} rounds"
    jobs, last = f"job{'s' if work.rounds > 1 else ''} {', '.join(submitted.arrays)}", f"job {submitted.finish}"
    info(f"submitted {jobs} ({what}) and {last}, which completes the output")
    info(f"logs: {work.logs}/{submitted.arrays[0]}_TASK.log and {log_of(work, submitted)}")
    info(f"watch: {' '.join(client(submitted.cluster, 'squeue', '--jobs', ','.join(submitted.jobs)))}")
    info(f"cancel: {cancel(submitted)}")


def log_of(work: Work, submitted: Submitted) -> Path:
    """Returns the log of the last job."""
    return work.logs / f"finish-{submitted.finish}.log"


def cancel(submitted: Submitted) -> str:
    """Returns the command that cancels all jobs."""
    return " ".join(client(submitted.cluster, "scancel", *submitted.jobs))


def wait(work: Work, submitted: Submitted) -> None:
    """Waits until the last job has ended, and says in which states the tasks are.

    Raises:
        CommandError: the last job has failed.
        Stopped: Ctrl-C was pressed.
    """
    watch, said = Watch(submitted), ""
    try:
        while watch.finish is None:
            watch.ask()
            if (now := watch.described()) != said:
                info(f"tasks: {now}")
                said = now
            if watch.finish is None:
                time.sleep(EVERY)
    except KeyboardInterrupt:
        raise Stopped(f"the jobs continue; to cancel them, run {cancel(submitted)}") from None
    log = log_of(work, submitted)
    try:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
    except OSError:
        last = ""
    if watch.finish != "COMPLETED":
        state = watch.finish.lower().replace("_", " ")
        reason = last.removeprefix("albert-fast: ").removeprefix("error: ") or f"see {log}"
        raise CommandError(f"the last job, {submitted.finish}, has ended: {state}; {reason}")
    info(last.removeprefix("albert-fast: ") or "complete")
