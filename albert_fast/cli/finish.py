"""`albert-fast finish`."""

from albert_fast import _native
from albert_fast.cli.build import command
from albert_fast.cli.common import info, interruptible
from albert_fast.options import Finish
from albert_fast.text import number


@command(Finish)
def finish(options: Finish, given: frozenset[str]) -> None:
    """Complete the records that several tasks have written. The last task does so by itself, unless it was killed.

        albert-fast finish records --num-tasks 64

    If shards are missing, the command lists them and exits with 1. With --num-tasks, it also lists the tasks to run
    again, in the way that sbatch --array takes them.
    """
    with interruptible("run the same command again"):
        result = _native.finish(options.directory, num_tasks=options.num_tasks)
    counts = [number(result["totals"]["instances"], "instance"), number(len(result["shards"]), "shard")]
    if result["already_complete"]:
        info(f"{options.directory}: these records are already complete, with {' in '.join(counts)}")
    else:
        info(f"completed {options.directory}: {' in '.join(counts)}")
