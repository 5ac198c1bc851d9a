"""A run on one or several machines, as a job of Slurm: one worker per machine."""

from __future__ import annotations

import dataclasses
import shlex
import textwrap

from albert_fast.cluster.slurm import Job, Setting, Submitted, look, submit

WARNING = 300
"""Seconds before the time limit at which Slurm signals the workers. A step and a checkpoint must be done in them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(Setting):
    """A command that all workers run at the same time."""

    name: str
    """The name of the command."""
    worker: tuple[str, ...]
    """The words of a worker, which finds the others by itself."""
    num_workers: int
    gpus: int
    """The number of GPUs of each worker."""
    cpus: int
    memory: str
    """The memory of a machine, as sbatch --mem takes it."""

    def jobs(self) -> list[Job]:
        """Returns the job."""
        return [Job(self.logs / f"{self.name}.sh", self._script())]

    def submit(self) -> Submitted:
        """Submits the job.

        Raises:
            AlbertFastError: there is no Slurm, or it refuses the job.
        """
        look()
        return submit(self.jobs())

    def _script(self) -> str:
        options = [f"nodes={self.num_workers}", "ntasks-per-node=1", f"signal=USR1@{WARNING}"]
        if self.gpus:
            options.append(f"gres=gpu:{self.gpus}")
        head = self.head(self.name, f"{self.name}-%j.log", self.cpus, self.memory, options)
        body = f"""
            # Slurm sends USR1 to the workers {WARNING} seconds before the time limit. They write a checkpoint and end,
            # and this script asks Slurm to start them again later. They then resume.

            cancelled=
            trap 'cancelled=1' TERM
            # A worker that ends first must not end the others. Since Slurm 22.05, srun needs the number of cores.
            srun --kill-on-bad-exit=0 --distribution=block --cpus-per-task="$SLURM_CPUS_PER_TASK" PROGRAM
            code=$?
            """
        # Words of the user may have several lines, which must keep their indentation.
        body = textwrap.dedent(body).strip().replace("PROGRAM", shlex.join(self.worker))
        return f"{head}\n{body}\n\n{self.requeue('run', '$SLURM_JOB_ID')}"
