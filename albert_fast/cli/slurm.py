"""`albert-fast slurm`."""

import sys
import time
from pathlib import Path
from typing import Any

from albert_fast.cli.build import command, resolved
from albert_fast.cli.common import CommandError, Stopped, UsageError, check_output_dir, info
from albert_fast.cli.tasked import TASKED, context_of, parse
from albert_fast.cluster.slurm import Submitted, Watch, checked, client, dry_run
from albert_fast.cluster.slurm_tasks import TASK_ID, Program, Work, checked_tasks
from albert_fast.cluster.slurm_training import Training
from albert_fast.options import Pretrain, Slurm, flag, options_of
from albert_fast.paths import RemotePath
from albert_fast.text import number

CPUS = 4
"""The cores of a task if neither --cpus-per-task nor --num-threads is given."""

CPUS_PER_GPU = 8
"""The cores of a worker, for each of its GPUs."""

EVERY = 5.0
"""Seconds between two looks at the jobs, with --wait."""

ONLY_TASKS = ("tasks", "max_running")
ONLY_WORKERS = ("num_workers", "gpus_per_worker")
"""Options that only have an effect on some commands."""

FLAGS = tuple(option.flag for option in options_of(Slurm).values())


@command(Slurm)
def slurm(options: Slurm, given: frozenset[str]) -> None:
    r"""Run a command on a Slurm cluster. prepare-text, train-tokenizer, tokenize and make-records become many tasks.

        albert-fast slurm make-records tokens --output-dir records --num-shards 256 --num-tasks 64 \
            --sbatch-option partition=cpu --sbatch-option time=2:00:00

    A last job completes the output. It fails if tasks have failed, and says which. To run these again, repeat the
    command with --tasks.

        albert-fast slurm pretrain --tokens tokens --output-dir run --num-workers 2 --gpus-per-worker 8

    What reaches its time limit keeps what is complete, and resumes. The number of the last job is printed on standard
    output, so that other jobs can depend on it.
    """
    name, *words = options.command_line
    if name.startswith("-"):
        raise UsageError(f"{name}: the command must come before its options, as in `albert-fast slurm make-records`")
    trains = name == "pretrain"
    for other in sorted(given & {*(ONLY_TASKS if trains else ONLY_WORKERS)}):
        raise UsageError(f"{flag(other)} has no effect with {name}; remove it")
    if options.dry_run and options.wait:
        raise UsageError("--wait has no effect with --dry-run; remove one")
    work = training_of(options, name, words) if trains else work_of(options, name, words)
    if options.dry_run:
        print(dry_run(work.jobs()))
        return
    submitted = work.submit()
    report(work, submitted)
    print(submitted.last, flush=True)
    if options.wait:
        wait(work, submitted)


def setting_of(options: Slurm, output: Path | None) -> dict[str, Any]:
    """Returns what all jobs have in common. `output` is a directory for their logs, if there is one."""
    sbatch_options = checked(options.sbatch_option)
    if options.mem is not None and any(option.startswith("mem-per-") for option in sbatch_options):
        raise UsageError("--mem and the memory in --sbatch-option exclude each other; remove one")
    usual = Path("slurm-logs") if output is None or isinstance(output, RemotePath) else output / ".slurm"
    logs = options.log_dir or usual
    if isinstance(logs, RemotePath):
        raise UsageError(f"--log-dir must be a directory on disk, got {logs}")
    check_output_dir(logs)
    return {
        "options": sbatch_options,
        "max_requeues": options.max_requeues,
        "logs": logs.absolute(),
        "directory": Path.cwd(),
    }


def work_of(options: Slurm, name: str, words: list[str]) -> Work:
    """Returns the jobs of a command that is divided into tasks.

    Raises:
        UsageError: the command cannot be divided, or one of its options or of slurm breaks a rule.
    """
    stage, _ = parse(name, words, FLAGS)
    tasked = TASKED[name]
    tasked.check(stage)
    num_tasks, num_threads = stage.num_tasks, stage.num_threads  # type: ignore[attr-defined]
    cpus = options.cpus_per_task or num_threads or CPUS
    # A task may see all cores of its machine, though it was given some of them.
    threads = [] if num_threads is not None else ["--num-threads", str(cpus)]
    divided = tasked.divided
    memory = options.mem or f"{divided.memory(stage, num_threads or cpus) >> 20}M"
    output = divided.output(stage)
    logs = None if divided.takes_others else options.log_dir
    if logs is not None and logs.absolute().is_relative_to(output.absolute()):
        raise UsageError(f"--log-dir must not be in the output of {name}, which may have no other files")
    program = (sys.executable, "-m", "albert_fast")
    finish_cpus = cpus if divided.long_finish else 1
    return Work(
        name=name,
        # These options come first, because there may be a -- among the user's words.
        task=Program((*program, name, "--task-id", TASK_ID, *threads, *words), cpus, memory),
        finish=Program((*program, "finish", "--num-tasks", str(num_tasks), "--", str(output)), finish_cpus, memory),
        num_tasks=num_tasks,
        tasks=checked_tasks(options.tasks, num_tasks),
        rounds=divided.rounds(stage),
        max_running=options.max_running,
        # Another directory would be refused as something that the command did not write.
        **setting_of(options, output if divided.takes_others else None),
    )


def training_of(options: Slurm, name: str, words: list[str]) -> Training:
    """Returns the job of a run.

    Raises:
        UsageError: an option of the command or of slurm breaks a rule.
    """
    context = context_of(name, words, FLAGS)
    stage = resolved(Pretrain, context, dict(context.params))
    if stage.overwrite:
        raise UsageError("with slurm, --overwrite is not possible, because a run that starts again would start over")
    gpus = 1 if options.gpus_per_worker is None else options.gpus_per_worker
    return Training(
        name=name,
        worker=(sys.executable, "-m", "albert_fast.cluster.slurm_worker", name, *words),
        num_workers=options.num_workers or 1,
        gpus=gpus,
        cpus=options.cpus_per_task or CPUS_PER_GPU * gpus or CPUS,
        memory=options.mem or f"{8 + 16 * gpus}G",
        **setting_of(options, None),
    )


def report(work: Work | Training, submitted: Submitted) -> None:
    """Says what was submitted, where to look, and how to stop it."""
    *first, last = submitted.jobs
    if isinstance(work, Training):
        info(f"submitted job {last} ({work.name} with {number(work.num_workers, 'worker')})")
        info(f"log: {log_of(work, submitted)}")
    else:
        what = f"{number(work.num_tasks, 'task')} of {work.name}"
        if not work.is_whole:
            what = f"of the {what}, {work.tasks}"
        if work.rounds > 1:
            what += f", in {work.rounds} rounds"
        jobs = f"job{'s' if work.rounds > 1 else ''} {', '.join(first)}"
        info(f"submitted {jobs} ({what}) and job {last}, which completes the output")
        info(f"logs: {work.logs}/{first[0]}_TASK.log and {log_of(work, submitted)}")
    info(f"watch: {' '.join(client(submitted.cluster, 'squeue', '--jobs', ','.join(submitted.jobs)))}")
    info(f"cancel: {cancel(submitted)}")


def log_of(work: Work | Training, submitted: Submitted) -> Path:
    """Returns the log of the last job."""
    return work.logs / f"{work.name if isinstance(work, Training) else 'finish'}-{submitted.last}.log"


def cancel(submitted: Submitted) -> str:
    """Returns the command that cancels all jobs."""
    return " ".join(client(submitted.cluster, "scancel", *submitted.jobs))


def wait(work: Work | Training, submitted: Submitted) -> None:
    """Waits until the last job has ended, and says in which states the tasks are.

    Raises:
        CommandError: the last job has failed.
        Stopped: Ctrl-C was pressed.
    """
    watch, said = Watch(submitted), ""
    try:
        while watch.end is None:
            watch.ask()
            if (now := watch.described()) != said:
                info(f"jobs: {now}")
                said = now
            if watch.end is None:
                time.sleep(EVERY)
    except KeyboardInterrupt:
        raise Stopped(f"the jobs continue; to cancel them, run {cancel(submitted)}") from None
    log = log_of(work, submitted)
    try:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
    except OSError:
        last = ""
    if watch.end != "COMPLETED":
        state = watch.end.lower().replace("_", " ")
        reason = last.removeprefix("albert-fast: ").removeprefix("error: ") or f"see {log}"
        raise CommandError(f"the last job, {submitted.last}, has ended: {state}; {reason}")
    info(last.removeprefix("albert-fast: ") or "complete")
