"""`albert-fast finish`."""

from albert_fast import _native
from albert_fast.cli.build import command
from albert_fast.cli.common import info, interruptible
from albert_fast.options import Finish
from albert_fast.text import number


@command(Finish)
def finish(options: Finish, given: frozenset[str]) -> None:
    """Complete the records or the token store of several tasks. The last task does so by itself, unless it was killed.

        albert-fast finish records --num-tasks 64

    If something is missing, the command lists it and exits with 1. With --num-tasks, it also lists the tasks to run
    again, in the way that sbatch --array takes them.
    """
    with interruptible("run the same command again"):
        result = _native.finish(options.directory, num_tasks=options.num_tasks)
    if result["kind"] == "records":
        counts = [number(result["totals"]["instances"], "instance"), number(len(result["shards"]), "shard")]
        what, there = "these records are", " in ".join(counts)
    else:
        what = "this store is"
        there = ", ".join(number(result[f"{one}s"], one) for one in ("document", "sentence", "token"))
    if result["already_complete"]:
        info(f"{options.directory}: {what} already complete, with {there}")
    else:
        info(f"completed {options.directory}: {there}")
