"""Commands that are divided into tasks, as jobs of Slurm.

Such a command becomes an array job, with one element per task. A second job depends on it, and completes the output. If
every task must be run several times, in rounds, there is an array job for each round.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import textwrap

from albert_fast.cluster.slurm import Job, Setting, Submitted, look, max_array_size, submit
from albert_fast.errors import option_error
from albert_fast.text import number

WARNING = 120
"""Seconds before the time limit at which Slurm signals a task. It may be up to a minute more."""

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
class Work(Setting):
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
    max_running: int | None
    """The maximum number of tasks that run at the same time."""

    @property
    def is_whole(self) -> bool:
        """Whether all tasks run in the first round."""
        return self.tasks == checked_tasks(None, self.num_tasks)

    def jobs(self) -> list[Job]:
        """Returns an array job for each round, and the job that completes the output."""
        script, text = self.logs / f"{self.name}.sh", self._array_script()
        # A round would only repeat the error of a task that failed. If one has failed, this job is removed.
        every = () if self.is_whole else (f"--array={self._array(checked_tasks(None, self.num_tasks))}",)
        later = Job(script, text, "afterok", ("--kill-on-invalid-dep=yes", *every))
        # It also runs if tasks have failed, to say which.
        finish = Job(self.logs / f"{self.name}-finish.sh", self._finish_script(), "afterany")
        return [Job(script, text), *[later] * (self.rounds - 1), finish]

    def submit(self) -> Submitted:
        """Submits the jobs: all of them or none.

        Raises:
            AlbertFastError: there is no Slurm, or it refuses a job.
        """
        look()
        limit = max_array_size()
        if limit is not None and self.num_tasks > limit:
            rule = f"at most {limit:,} on this cluster, whose MaxArraySize this is"
            raise option_error("num_tasks", rule, self.num_tasks, "pass fewer tasks")
        return submit(self.jobs())

    def _array(self, tasks: str) -> str:
        """Returns the elements of an array job, as sbatch --array takes them."""
        return tasks if self.max_running is None else f"{tasks}%{self.max_running}"

    def _array_script(self) -> str:
        options = [f"array={self._array(self.tasks)}", f"signal=B:USR1@{WARNING}"]
        head = self.head(self.name, "%A_%a.log", self.task.cpus, self.task.memory, options)
        body = f"""
            # One of {number(self.num_tasks, "task")}, whose number is SLURM_ARRAY_TASK_ID.
            # Slurm sends USR1 to this script {WARNING} seconds before the time limit. The task then stops, and this
            # script asks Slurm to run it again later. A task that runs again resumes.

            program=
            stopping=
            cancelled=
            code=1
            trap 'stopping=1; [ -z "$program" ] || kill -TERM "$program" 2>/dev/null' USR1
            # Slurm sends this one to all processes of the job.
            trap 'cancelled=1' TERM

            PROGRAM &
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
            """
        end = self.requeue("task", "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID")
        # Words of the user may have several lines, which must keep their indentation.
        return f"{head}\n{textwrap.dedent(body).strip().replace('PROGRAM &', f'{self.task.line} &')}\n\n{end}"

    def _finish_script(self) -> str:
        head = self.head(f"{self.name}-finish", "finish-%j.log", self.finish.cpus, self.finish.memory, [])
        return f"{head}\n# Completes the output, or says which tasks to run again.\nexec {self.finish.line}\n"


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
