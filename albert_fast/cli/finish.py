"""`albert-fast finish`."""

from pathlib import Path
from typing import Any

from albert_fast.cli.build import command
from albert_fast.cli.common import info, interruptible, warn
from albert_fast.cli.prepare_text import SUMMARY, summary_of
from albert_fast.cli.progress import Progress
from albert_fast.cli.train_tokenizer import report, warn_of_dropped
from albert_fast.files import write_apart
from albert_fast.finishing import finish_tasks
from albert_fast.options import Finish
from albert_fast.text import number


@command(Finish)
def finish(options: Finish, given: frozenset[str]) -> None:
    """Complete what several tasks have written. The last task does so by itself, unless it was killed.

        albert-fast finish records --num-tasks 64

    The directory is that of prepare-text, train-tokenizer, tokenize or make-records. If something is missing, the
    command lists it and exits with 1. With --num-tasks, it also lists the tasks to run again, in the way that sbatch
    --array takes them. Completing a tokenizer means to train it.
    """
    with interruptible("run the same command again"), Progress() as progress:
        result = finish_tasks(options.directory, options.num_tasks, progress=progress)
    if result["kind"] == "corpus":
        _corpus(options.directory, result)
        return
    if result["kind"] == "tokenizer":
        if not result["already_complete"]:
            warn_of_dropped(result["made"])
        report(result["made"], options.directory)
        return
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


def _corpus(directory: Path, result: dict[str, Any]) -> None:
    amount = f"{number(result['documents'], 'document')} in {number(len(result['outputs']), 'file')}"
    if not result["already_complete"] or not (directory / SUMMARY).exists():
        write_apart(directory / SUMMARY, summary_of(result))
    if result["already_complete"]:
        info(f"{directory}: this corpus is already complete, with {amount}")
        return
    for message in result["notes"]:
        info(message)
    for message in result["warnings"]:
        warn(message)
    info(f"completed {directory}: {amount}")
