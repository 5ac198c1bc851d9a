"""Jobs of Slurm: scripts for sbatch, and their submission.

A command that is divided into tasks becomes an array job, with one element per task. A second job depends on it, and
completes the output. If every task must be run several times, in rounds, there is an array job for each round.

Nothing here knows what the commands do. Their words come from the caller.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from albert_fast.errors import AlbertFastError, option_error
from albert_fast.files import write_atomic
from albert_fast.text import number, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

WARNING = 120
"""Seconds before the time limit at which Slurm signals a task. It may be up to a minute more."""

RESERVED = {
    "array": "pass `num_tasks`, and `tasks` to run some of them again",
    "chdir": "the jobs run in the directory in which they are submitted",
    "cpus-per-task": "pass `cpus_per_task`",
    "dependency": "the jobs of a command depend on each other; submit the command when the other job has ended",
    "error": "pass `log_dir`",
    "mem": "pass `mem`",
    "open-mode": "a task that runs again appends to its log",
    "output": "pass `log_dir`",
    "parsable": "albert-fast reads what sbatch prints",
    "signal": "the tasks need the signal that albert-fast asks for, to end before the time limit",
    "test-only": "pass `dry_run`",
    "wait": "pass `wait`",
    "wrap": "albert-fast writes the script",
}
"""Options of sbatch that only albert-fast can set, and what to do instead."""

LOST = ("SLURM_RESTART_COUNT", "SBATCH_ARRAY_INX", "SBATCH_OPEN_MODE", "SBATCH_SIGNAL", "SBATCH_WAIT")
"""Variables that would change the jobs: the first one if the submitting process is itself a job that was restarted."""

UNKNOWN = "UNKNOWN"
"""The state of a job that Slurm has forgotten."""
ENDED = frozenset(
    (
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "REVOKED",
        "TIMEOUT",
        UNKNOWN,
    )
)
"""The states of jobs that have ended."""
PATIENCE = 60
"""How often squeue may fail before it counts as an error."""


TASK_ID = '"$SLURM_ARRAY_TASK_ID"'
"""Stands for the number of the task in the words of a program."""


@dataclasses.dataclass(frozen=True)
class Program:
    """What a job runs, and what it needs for it."""

    words: tuple[str, ...]
    """The command line: words, which are quoted, and `TASK_ID`."""
    cpus: int
    memory: str
    """As sbatch --mem takes it."""

    @property
    def line(self) -> str:
        """The command line for a shell."""
        return " ".join(word if word == TASK_ID else shlex.quote(word) for word in self.words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """A command that is divided into tasks, as jobs run it."""

    name: str
    """The name of the command."""
    task: Program
    """A task, whose number is `TASK_ID`."""
    finish: Program
    """What completes the output when all tasks have ended."""
    num_tasks: int
    tasks: str
    """The tasks to run in the first round, such as "0-7" or "3,7-9"."""
    rounds: int
    """How often all tasks are run."""
    options: tuple[str, ...]
    """Options of sbatch for all jobs, as `checked` returns them."""
    max_running: int | None
    """The maximum number of tasks that run at the same time."""
    max_requeues: int
    """How often a task that was stopped is run again."""
    logs: Path
    """The directory of scripts and logs. It is absolute."""
    directory: Path
    """The working directory of the jobs. It is absolute."""

    @property
    def script(self) -> Path:
        """The script of the array jobs."""
        return self.logs / f"{self.name}.sh"

    @property
    def finish_script(self) -> Path:
        """The script of the last job."""
        return self.logs / f"{self.name}-finish.sh"

    def array(self, tasks: str) -> str:
        """Returns the elements of an array job, as sbatch --array takes them."""
        return tasks if self.max_running is None else f"{tasks}%{self.max_running}"


@dataclasses.dataclass(frozen=True)
class Submitted:
    """The jobs of a command."""

    arrays: tuple[str, ...]
    """The numbers of the array jobs: one per round."""
    finish: str
    """The number of the job that completes the output."""
    cluster: str | None
    """The cluster that the jobs run on, if it is another than usual."""

    @property
    def jobs(self) -> tuple[str, ...]:
        """The numbers of all jobs."""
        return (*self.arrays, self.finish)


def checked(options: Iterable[str]) -> tuple[str, ...]:
    """Returns options of sbatch as "name=value" or "name".

    Raises:
        AlbertFastError: it is no long option, or only albert-fast can set it.
    """
    found = []
    for option in options:
        bare = option.removeprefix("--")
        name = bare.partition("=")[0]
        if not re.fullmatch(r"[a-z][a-z-]+", name) or "\n" in option or "\0" in option:
            rule = "the long name of an option of sbatch, with its value, as in partition=cpu"
            raise option_error("sbatch_option", rule, option)
        # sbatch takes abbreviations too.
        taken = next((reserved for reserved in RESERVED if reserved.startswith(name)), None)
        if taken is not None:
            message = f"sbatch_option must not set --{taken}: {RESERVED[taken]}"
            raise AlbertFastError(message, kind="option", option="sbatch_option", value=option)
        found.append(bare)
    return tuple(found)


def checked_tasks(tasks: str | None, num_tasks: int) -> str:
    """Returns the tasks to run, such as "3,7-9". None: all of them.

    Raises:
        AlbertFastError: it is no such list, or there are not so many tasks.
    """
    if tasks is None:
        return f"0-{num_tasks - 1}"
    parts = [part.strip() for part in tasks.split(",")]
    ranges = [re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part, re.ASCII) for part in parts]
    ends = [(int(found[1]), int(found[2] or found[1])) for found in ranges if found]
    if len(ends) < len(parts) or any(not first <= last < num_tasks for first, last in ends):
        rule = f"numbers of tasks from 0 to {num_tasks - 1}, as in 3,7-9"
        raise option_error("tasks", rule, tasks)
    return ",".join(parts)


# Scripts


def scripts(work: Work) -> dict[Path, str]:
    """Returns the scripts of the jobs, by their paths."""
    return {work.script: _array_script(work), work.finish_script: _finish_script(work)}


def _head(work: Work, program: Program, name: str, log: str, options: Iterable[str]) -> str:
    """Returns the first lines of a script, with the options of sbatch. Those of the user come last, and win."""
    other_memory = any(option.startswith("mem-per-") for option in work.options)
    lines = [
        f"job-name=albert-fast-{name}",
        f"chdir={work.directory}",
        # Slurm replaces %A, for example.
        f"output={str(work.logs).replace('%', '%%')}/{log}",
        f"cpus-per-task={program.cpus}",
        *([] if other_memory else [f"mem={program.memory}"]),
        "requeue",
        "open-mode=append",
        *options,
        *work.options,
    ]
    return "#!/bin/bash\n" + "".join(f"#SBATCH {shlex.quote(f'--{line}')}\n" for line in lines)


def _array_script(work: Work) -> str:
    head = _head(
        work, work.task, work.name, "%A_%a.log", [f"array={work.array(work.tasks)}", f"signal=B:USR1@{WARNING}"]
    )
    body = f"""
        # One of {number(work.num_tasks, "task")}, whose number is SLURM_ARRAY_TASK_ID.
        # Slurm sends USR1 to this script {WARNING} seconds before the time limit. The task then stops, and this script
        # asks Slurm to run it again later. A task that runs again resumes.

        max_requeues={work.max_requeues}
        program=
        stopping=
        cancelled=
        code=1
        trap 'stopping=1; [ -z "$program" ] || kill -TERM "$program" 2>/dev/null' USR1
        # Slurm sends this one to all processes of the job.
        trap 'cancelled=1' TERM

        {work.task.line} &
        program=$!
        [ -z "$stopping" ] || kill -TERM "$program"
        # A signal ends `wait`, but not the program.
        while
            wait "$program"
            code=$?
            kill -0 "$program" 2>/dev/null
        do :; done
        wait "$program"
        found=$?
        [ "$found" = 127 ] || code=$found

        # 75 is the code of a temporary failure. A larger one than 128 is that of a program that was stopped.
        if [ -z "$cancelled" ] && {{ [ "$code" -gt 128 ] || [ "$code" -eq 75 ]; }}; then
            if [ "${{SLURM_RESTART_COUNT:-0}}" -lt "$max_requeues" ]; then
                echo "albert-fast: the task was stopped (exit code $code), and will run again"
                # Slurm ends this script when it has queued the task again.
                scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" && sleep 300
            else
                echo "albert-fast: the task was stopped (exit code $code), and has run again too often"
            fi
        fi
        exit "$code"
        """
    return f"{head}\n{textwrap.dedent(body).strip()}\n"


def _finish_script(work: Work) -> str:
    head = _head(work, work.finish, f"{work.name}-finish", "finish-%j.log", [])
    return f"{head}\n# Completes the output, or says which tasks to run again.\nexec {work.finish.line}\n"


def _sbatch(work: Work, round_number: int, before: str) -> list[str]:
    """Returns the command that submits the array job of a round, which begins after the job `before`."""
    words = ["sbatch", "--parsable"]
    if round_number > 0:
        # A round would only repeat the error of a task that failed. If one has failed, this job is removed.
        words += [f"--dependency=afterok:{before}", "--kill-on-invalid-dep=yes"]
        every = checked_tasks(None, work.num_tasks)
        words += [] if every == work.tasks else [f"--array={work.array(every)}"]
    return [*words, str(work.script)]


def _sbatch_finish(work: Work, before: str) -> list[str]:
    """Returns the command that submits the last job. It also runs if tasks failed, to say which."""
    return ["sbatch", "--parsable", f"--dependency=afterany:{before}", str(work.finish_script)]


def dry_run(work: Work) -> str:
    """Returns the lines for a shell that do what `submit` does."""
    lines = [f"mkdir -p {shlex.quote(str(work.logs))}"]
    for path, text in scripts(work).items():
        end = "END"
        while end in text.splitlines():
            end += "_"
        lines.append(f"cat > {shlex.quote(str(path))} <<'{end}'\n{text}{end}")
    before = ""
    for round_number in range(work.rounds):
        lines.append(f"job=$({_shown(_sbatch(work, round_number, before))})")
        # sbatch may print the name of the cluster too.
        before = "${job%%;*}"
    lines.append(_shown(_sbatch_finish(work, before)))
    return "\n".join(lines)


def _shown(words: Sequence[str]) -> str:
    """Returns a command for a shell, in which the number of an earlier job is a variable."""
    return " ".join(f'"{word}"' if "${" in word else shlex.quote(word) for word in words)


# Submission


def submit(work: Work) -> Submitted:
    """Writes the scripts and submits the jobs: all of them or none.

    Raises:
        AlbertFastError: there is no sbatch; Slurm refuses a job; a script cannot be written.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    if shutil.which("sbatch") is None:
        message = (
            "sbatch is not installed here; run this where jobs are submitted, or pass dry_run=True to see the jobs"
        )
        raise AlbertFastError(message, kind="io")
    limit = max_array_size()
    if limit is not None and work.num_tasks > limit:
        rule = f"at most {limit:,} on this cluster, whose MaxArraySize this is"
        raise option_error("num_tasks", rule, work.num_tasks, "pass fewer tasks")
    with _written(scripts(work)):
        jobs: list[str] = []
        cluster = None
        try:
            for round_number in range(work.rounds):
                job, cluster = _submitted(_sbatch(work, round_number, jobs[-1] if jobs else ""))
                jobs.append(job)
            finish, cluster = _submitted(_sbatch_finish(work, jobs[-1]))
        except BaseException:
            if jobs:
                _run(client(cluster, "scancel", *jobs))
            raise
    return Submitted(tuple(jobs), finish, cluster)


def client(cluster: str | None, name: str, *words: str) -> list[str]:
    """Returns the command line of a client of Slurm, such as scancel."""
    return [name, *([] if cluster is None else [f"--clusters={cluster}"]), *words]


def max_array_size() -> int | None:
    """Returns the limit of the cluster for the number of elements of an array job, or None if it does not say.

    Raises:
        AlbertFastError: Slurm does not answer.
    """
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _said(["scontrol", "show", "config"]), re.MULTILINE)
    return None if found is None else int(found[1])


def _submitted(words: Sequence[str]) -> tuple[str, str | None]:
    """Submits a job. Returns its number, and the name of its cluster if sbatch says it."""
    said = _said(words).strip()
    found = re.fullmatch(r"(\d+)(?:;(\S+))?", said)
    if found is None:
        message = f"sbatch printed no number of a job, but: {one_line(said)[:200]}"
        raise AlbertFastError(message, kind="io")
    return found[1], found[2]


def _said(words: Sequence[str]) -> str:
    """Runs a client of Slurm and returns what it prints.

    Raises:
        AlbertFastError: it fails.
    """
    done = _run(words)
    if done.returncode != 0:
        lines = [line.removeprefix(f"{words[0]}: ").removeprefix("error: ") for line in done.stderr.splitlines()]
        reason = one_line("; ".join(filter(None, lines))) or f"it ends with exit code {done.returncode}"
        raise AlbertFastError(f"Slurm refused {words[0]}: {reason}", kind="io")
    return done.stdout


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in LOST}
    try:
        return subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise AlbertFastError(f"{words[0]} is not installed here", kind="io") from None


@contextlib.contextmanager
def _written(files: Mapping[Path, str]) -> Iterator[None]:
    """Writes scripts, and removes them again if the block fails, with the directories that were made for them."""
    made: list[Path] = []
    try:
        for path, text in files.items():
            missing = [parent for parent in path.parents if not parent.exists()]
            made += missing
            path.parent.mkdir(parents=True, exist_ok=True)
            made.insert(0, path)
            write_atomic(path, text.encode(errors="surrogateescape"))
        yield
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


# Progress


@dataclasses.dataclass
class Watch:
    """What is known about the elements of jobs, and how to ask Slurm for more."""

    submitted: Submitted
    states: dict[str, str] = dataclasses.field(default_factory=dict)
    """The last known states by element, such as "7_0"."""
    failures: int = 0
    """How often squeue has failed since it last answered."""

    def ask(self) -> None:
        """Asks Slurm for the states. Those of elements that it has forgotten stay.

        Raises:
            AlbertFastError: Slurm has not answered many times.
        """
        jobs = ",".join(self.submitted.jobs)
        words = ["--noheader", "--array", "--states=all", f"--jobs={jobs}", "--format=%i|%T"]
        done = _run(client(self.submitted.cluster, "squeue", *words))
        if done.returncode == 0:
            self.failures = 0
            found = dict(line.strip().split("|") for line in done.stdout.splitlines() if "|" in line)
            gone = {name for name in self.states if name not in found and self.states[name] not in ENDED}
            self.states |= found | dict.fromkeys(gone, UNKNOWN)
        elif "Invalid job id" in done.stderr:
            self.states |= {name: UNKNOWN for name, state in self.states.items() if state not in ENDED}
            self.states.setdefault(self.submitted.finish, UNKNOWN)
        else:
            # The controller may be restarting.
            self.failures += 1
            if self.failures >= PATIENCE:
                raise AlbertFastError(f"Slurm does not answer: {one_line(done.stderr)}", kind="io")

    @property
    def finish(self) -> str | None:
        """The state of the last job, if it has ended."""
        state = self.states.get(self.submitted.finish)
        return state if state in ENDED else None

    def described(self) -> str:
        """Returns how many tasks are in which state: "12 completed, 4 running, 48 pending"."""
        tasks = Counter(state for name, state in self.states.items() if name != self.submitted.finish)
        order = sorted(tasks, key=lambda state: (state != "COMPLETED", state == "PENDING", state))
        return ", ".join(f"{tasks[state]:,} {state.lower().replace('_', ' ')}" for state in order)
