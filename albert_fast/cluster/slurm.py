"""Jobs of Slurm: their scripts, how sbatch takes them, and what has become of them.

Nothing here knows what the jobs do.
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
from albert_fast.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What the jobs of a command have in common."""

    options: tuple[str, ...]
    """Options of sbatch from the user, as `checked` returns them."""
    max_requeues: int
    """How often what was stopped is run again."""
    logs: Path
    """The directory of scripts and logs. It is absolute."""
    directory: Path
    """The working directory of the jobs. It is absolute."""

    def head(self, name: str, log: str, cpus: int, memory: str, options: Iterable[str]) -> str:
        """Returns the first lines of a script, with options of sbatch. Those of the user come last, and win.

        Args:
            name: what the job does, in its name.
            log: the name of the log, with sbatch's patterns.
            cpus: the number of cores of a task.
            memory: the memory, as sbatch --mem takes it.
            options: more options.
        """
        other_memory = any(option.startswith("mem-per-") for option in self.options)
        lines = [
            f"job-name=albert-fast-{name}",
            f"chdir={self.directory}",
            # Slurm replaces %A, for example.
            f"output={str(self.logs).replace('%', '%%')}/{log}",
            f"cpus-per-task={cpus}",
            *([] if other_memory else [f"mem={memory}"]),
            "requeue",
            "open-mode=append",
            *options,
            *self.options,
        ]
        return "#!/bin/bash\n" + "".join(f"#SBATCH {shlex.quote(f'--{line}')}\n" for line in lines)

    def requeue(self, noun: str, job: str) -> str:
        """Returns the end of a script, which runs the job again if its program was stopped.

        Args:
            noun: what the program is called.
            job: the number of the job, as a word of a shell.
        """
        lines = f"""
            # 75 is the code of a temporary failure. A larger one than 128 is that of a program that was stopped.
            if [ -z "$cancelled" ] && {{ [ "$code" -gt 128 ] || [ "$code" -eq 75 ]; }}; then
                if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {self.max_requeues} ]; then
                    echo "albert-fast: the {noun} was stopped (exit code $code), and will run again"
                    # Slurm ends this script when it has queued the job again.
                    scontrol requeue "{job}" && sleep 300
                else
                    echo "albert-fast: the {noun} was stopped (exit code $code), and has run again too often"
                fi
            fi
            exit "$code"
            """
        return f"{textwrap.dedent(lines).strip()}\n"


@dataclasses.dataclass(frozen=True)
class Job:
    """A job to submit."""

    script: Path
    text: str
    """The content of the script. Jobs of the same script have the same."""
    after: str | None = None
    """How it depends on the job before it, such as "afterany"."""
    options: tuple[str, ...] = ()
    """Options of sbatch besides those in the script."""

    def sbatch(self, before: str) -> list[str]:
        """Returns the command that submits it, after the job of the number `before`."""
        dependency = [] if self.after is None else [f"--dependency={self.after}:{before}"]
        return ["sbatch", "--parsable", *dependency, *self.options, str(self.script)]


@dataclasses.dataclass(frozen=True)
class Submitted:
    """Jobs that Slurm has accepted."""

    jobs: tuple[str, ...]
    """Their numbers."""
    cluster: str | None
    """The cluster that they run on, if it is another than usual."""

    @property
    def last(self) -> str:
        """The number of the job that ends last."""
        return self.jobs[-1]


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


def dry_run(jobs: Sequence[Job]) -> str:
    """Returns the lines for a shell that do what `submit` does."""
    scripts = {job.script: job.text for job in jobs}
    lines = [f"mkdir -p {shlex.quote(str(folder))}" for folder in dict.fromkeys(path.parent for path in scripts)]
    for path, text in scripts.items():
        end = "END"
        while end in text.splitlines():
            end += "_"
        lines.append(f"cat > {shlex.quote(str(path))} <<'{end}'\n{text}{end}")
    # sbatch may print the name of the cluster too.
    commands = [_shown(job.sbatch("${job%%;*}")) for job in jobs]
    return "\n".join([*lines, *(f"job=$({words})" for words in commands[:-1]), commands[-1]])


def _shown(words: Sequence[str]) -> str:
    """Returns a command for a shell, in which the number of an earlier job is a variable."""
    return " ".join(f'"{word}"' if "${" in word else shlex.quote(word) for word in words)


def submit(jobs: Sequence[Job]) -> Submitted:
    """Writes the scripts and submits the jobs: all of them or none.

    Raises:
        AlbertFastError: there is no sbatch; Slurm refuses a job; a script cannot be written.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    numbers: list[str] = []
    cluster = None
    with _written({job.script: job.text for job in jobs}):
        try:
            for job in jobs:
                number, cluster = _submitted(job.sbatch(numbers[-1] if numbers else ""))
                numbers.append(number)
        except BaseException:
            if numbers:
                _run(client(cluster, "scancel", *numbers))
            raise
    return Submitted(tuple(numbers), cluster)


def look() -> None:
    """Checks that jobs can be submitted from here.

    Raises:
        AlbertFastError: there is no sbatch.
    """
    if shutil.which("sbatch") is None:
        message = (
            "sbatch is not installed here; run this where jobs are submitted, or pass dry_run=True to see the jobs"
        )
        raise AlbertFastError(message, kind="io")


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
            self.states.setdefault(self.submitted.last, UNKNOWN)
        else:
            # The controller may be restarting.
            self.failures += 1
            if self.failures >= PATIENCE:
                raise AlbertFastError(f"Slurm does not answer: {one_line(done.stderr)}", kind="io")

    @property
    def end(self) -> str | None:
        """The state of the last job, if it has ended."""
        state = self.states.get(self.submitted.last)
        return state if state in ENDED else None

    def described(self) -> str:
        """Returns how many tasks are in which state: "12 completed, 4 running, 48 pending"."""
        alone = len(self.submitted.jobs) == 1
        tasks = Counter(state for name, state in self.states.items() if alone or name != self.submitted.last)
        order = sorted(tasks, key=lambda state: (state != "COMPLETED", state == "PENDING", state))
        return ", ".join(f"{tasks[state]:,} {state.lower().replace('_', ' ')}" for state in order)
