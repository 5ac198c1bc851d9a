"""`albert-fast ray`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from albert_fast._signals import ending_at_ctrl_c
from albert_fast.cli import make_records, prepare_text, ray_training, tokenize, train_tokenizer
from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, UsageError, check_output_dir, config_file, info, interruptible, warn
from albert_fast.cli.progress import Progress
from albert_fast.cli.tasked import TASKED, parse
from albert_fast.cli.text_changes import warn_of_changes_for
from albert_fast.cli.tokenizer_file import own_store
from albert_fast.cluster import ray as cluster
from albert_fast.files import write_apart
from albert_fast.options import (
    MakeRecords,
    PrepareText,
    Ray,
    Tokenize,
    TokenizerTrainingOptions,
    TrainTokenizer,
    options_of,
)
from albert_fast.options.base import flag
from albert_fast.paths import as_path
from albert_fast.records import stores
from albert_fast.text import number, quantity
from albert_fast.tokenizers import extending
from albert_fast.tokenizers.completing import MODEL

if TYPE_CHECKING:
    from albert_fast import Tokenizer

WITH_TASKS = frozenset({"task_memory", "max_retries"})
WITH_WORKERS = frozenset({"num_workers", "gpus_per_worker", "cpus_per_worker", "max_failures"})
"""Options that only have an effect with commands that are divided into tasks, or with `pretrain`."""

NAMED = 20
"""How many failed tasks have a line of their own."""


@dataclasses.dataclass(frozen=True)
class Around:
    """What a command does before its tasks and after them."""

    tokenizer: Callable[[Any], Tokenizer | None]
    """Checks the options, warns, and returns the tokenizer that all tasks use, if there is one."""
    end: Callable[[Any, Tokenizer | None, cluster.Done, frozenset[str]], None]
    """Writes the configuration next to the output, and reports it if all tasks are done. The last argument has the
    names of the options that the user gave."""


@command(Ray)
def ray(options: Ray, given: frozenset[str]) -> None:
    """Run a command on a Ray cluster. prepare-text, train-tokenizer, tokenize and make-records become many tasks.

        albert-fast ray make-records s3://bucket/tokens --output-dir s3://bucket/records --dupe-factor 10

        albert-fast ray pretrain --tokens store --model base --output-dir run --num-workers 2 --gpus-per-worker 8

    All nodes must see the input and the output: use a bucket, or a directory that they share. They need the same
    version of albert-fast. If the command is interrupted, run it again to resume.

    The output of tasks is, byte for byte, that of one machine. If a node is lost, its tasks are run again on others. A
    task that fails three times does not stop the others. It is named at the end, and the exit code is 1.

    The workers of pretrain train together. If one is lost, all start again from the newest checkpoint.
    """
    name, *words = options.command_line
    if name.startswith("-"):
        raise UsageError(f"{name}: the command must come before its options, as in `albert-fast ray make-records`")
    own = [option.flag for option in options_of(Ray).values()]
    refuse_others(given, WITH_TASKS if name == "pretrain" else WITH_WORKERS, name)
    if name == "pretrain":
        ray_training.pretrain(options, words, own)
        return
    chosen, named = parse(name, words, own, need_count=False)
    TASKED[name].check(chosen)
    with ending_at_ctrl_c():
        cluster.library()
    around = AROUND[name]
    tokenizer = around.tokenizer(chosen)
    shown: Any = chosen
    with (
        interruptible("what is finished is kept: run the same command again to resume"),
        Progress() as progress,
    ):
        done = cluster.run(
            chosen,
            tokenizer=None if tokenizer is None or is_own(shown) else tokenizer,
            address=options.address,
            num_tasks=shown.num_tasks if "num_tasks" in named else None,
            task_memory=options.task_memory,
            max_retries=options.max_retries,
            autoscaling=options.autoscaling,
            report=lambda status: show(progress, name, status),
        )
    if done.tasks:
        around.end(chosen, tokenizer, done, named)
    for task, reason in sorted(done.failed.items())[:NAMED]:
        info(f"task {task} of {done.num_tasks} failed: {reason}")
    if done.failed:
        raise CommandError(failure(done))


def refuse_others(given: frozenset[str], others: frozenset[str], name: str) -> None:
    """Refuses options that have no effect with a command.

    Raises:
        UsageError: one of `others` is given.
    """
    for one in sorted(given & others):
        raise UsageError(f"{flag(one)} has no effect with {name}; remove it")


def is_own(options: Any) -> bool:
    """Returns whether the tokenizer is that of a token store, which each worker opens itself."""
    if isinstance(options, Tokenize):
        own = own_store(options.tokenizer, options.vocab_file, options.inputs)
        return own is not None and own == options.tokenizer
    # Stores of a mixture have the same tokenizer.
    inputs = [store for store, _ in stores(options)][:1]
    own = own_store(options.tokenizer, options.vocab_file, inputs)
    return own is not None and own == as_path(inputs[0])


def show(progress: Progress, name: str, status: cluster.Status) -> None:
    """Shows how far the work is."""
    stage = name if status.rounds == 1 else f"{name}, round {status.round} of {status.rounds}"
    more = [f"{status.done:,} of {number(status.total, 'task')}"]
    if written := status.counts.get("bytes"):
        more.append(f"{quantity(written, 'bytes')} written")
    if status.again:
        more.append(f"{status.again:,} run again")
    if status.failed:
        more.append(f"{status.failed:,} failed")
    if not status.slots:
        more.append("waiting for a node")
    done = status.work * status.done // max(1, status.total)
    progress(stage, "bytes", done, status.work, ", ".join(more))


def failure(done: cluster.Done) -> str:
    """Returns the error if tasks have failed."""
    listed = ", ".join(map(str, sorted(done.failed)[:NAMED]))
    more = f" and {len(done.failed) - NAMED:,} more" if len(done.failed) > NAMED else ""
    what = f"{'task' if len(done.failed) == 1 else 'tasks'} {listed}{more} of {done.num_tasks} failed"
    if done.not_tried:
        return f"{what}, none has ended well, and the other {number(done.not_tried, 'task')} were not run"
    return f"{what}; all others are done: run the same command again to run only what is missing"


def _start_prepare(options: PrepareText) -> None:
    check_output_dir(as_path(options.output))


def _end_prepare(options: PrepareText, tokenizer: Tokenizer | None, done: cluster.Done, given: frozenset[str]) -> None:
    # Every task of every round has found the corpus complete.
    before = done.counts.get("already_complete", 0) == done.counts.get("runs", 0)
    directory = as_path(options.output)
    summary = directory / prepare_text.SUMMARY
    if not (before and summary.exists()):
        write_apart(*config_file(directory, "prepare-text", options))
        if done.found:
            write_apart(summary, prepare_text.summary_of(done.found))
    if not done.found:
        return
    if before:
        info(f"{directory}: this corpus is already complete")
        return
    for message in done.found["notes"]:
        info(message)
    for message in done.found["warnings"]:
        warn(message)
    prepare_text.report(done.found, directory, options, None)


def _start_training(options: TrainTokenizer) -> None:
    check_output_dir(options.output_dir)
    extending.prepare(options.part(TokenizerTrainingOptions), options.output_dir / MODEL)


def _end_training(
    options: TrainTokenizer, tokenizer: Tokenizer | None, done: cluster.Done, given: frozenset[str]
) -> None:
    if not done.found:
        return
    # Every task of every round has found the tokenizer complete.
    before = done.counts.get("already_complete", 0) == done.counts.get("runs", 0)
    made = done.found["made"]._replace(already_complete=before)
    if not before:
        write_apart(*train_tokenizer.config_of(options))
        train_tokenizer.warn_of_dropped(made)
        train_tokenizer.warn_of_text(options, made, given)
    train_tokenizer.report(made, options.output_dir)


def _end_tokenize(options: Tokenize, tokenizer: Tokenizer | None, done: cluster.Done, given: frozenset[str]) -> None:
    assert tokenizer is not None
    tokenize.keep_config(options, tokenizer, is_task=True)
    if done.found:
        before = done.counts.get("already_complete", 0) == done.tasks
        tokenize.report({**done.found, "already_complete": before, "task": None}, options.output_dir)
        warn_of_changes_for(options.inputs, tokenizer, given)


def _end_records(options: MakeRecords, tokenizer: Tokenizer | None, done: cluster.Done, given: frozenset[str]) -> None:
    assert tokenizer is not None
    before = done.counts.get("already_complete", 0) == done.tasks
    make_records.keep_config(options, tokenizer, already_complete=before, is_task=True)
    if done.found:
        make_records.report({**done.found, "already_complete": before, "task": None}, options.output_dir)


AROUND = {
    "prepare-text": Around(_start_prepare, _end_prepare),
    "train-tokenizer": Around(_start_training, _end_training),
    "tokenize": Around(tokenize.open_for, _end_tokenize),
    "make-records": Around(lambda options: make_records.open_for(options)[0], _end_records),
}
"""What each command of `TASKED` does before and after."""
assert AROUND.keys() == TASKED.keys()
