"""The commands that can be divided into tasks, and how their arguments are read without running them.

Schedulers start such a command many times. Each time it has the same arguments, and another `--task-id`.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import typer
import typer.core

from albert_fast.cli import flags
from albert_fast.cli.build import given, resolved, typer_command
from albert_fast.cli.commands import STAGES
from albert_fast.cli.common import UsageError
from albert_fast.cli.tokenizer_file import check_choice, check_inputs
from albert_fast.cluster.commands import DIVIDED, Divided
from albert_fast.options import TrainTokenizer
from albert_fast.options.base import flag, options_of
from albert_fast.paths import as_path
from albert_fast.prepare import read_patterns
from albert_fast.records import stores
from albert_fast.tokenizers.files import refuse_unfinished

if TYPE_CHECKING:
    from albert_fast.options import MakeRecords, PrepareText, Tokenize
    from albert_fast.options.base import Stage


@dataclasses.dataclass(frozen=True)
class Tasked:
    """A command that can be divided into tasks."""

    name: str
    """The command as it is typed."""
    check: Callable[[Any], None]
    """Raises an error if the options are such that every task would be refused. It may look at the input."""

    @property
    def divided(self) -> Divided:
        """What a task does and needs."""
        return DIVIDED[self.name]

    @property
    def stage(self) -> type[Stage]:
        """The dataclass of the command's options, which has `num_tasks`, `task_id` and `num_threads`."""
        return self.divided.stage


def _check_prepare_text(options: PrepareText) -> None:
    if options.shard_size is None:
        raise UsageError(
            "with --num-tasks, --shard-size is required, because tasks divide the input into portions of this size, in "
            "MiB; 256 is usual"
        )
    for name, reason in (
        ("overwrite", "each task would remove the corpus of the others"),
        ("dry_run", "a task only reads a part of the input"),
        ("dedup_lines", "it compares each line with all lines before it"),
        ("num_shards", "--shard-size decides how many files there are"),
    ):
        if getattr(options, name):
            raise UsageError(f"with --num-tasks, {flag(name)} is not possible, because {reason}; remove it")
    _check_files(options.inputs)
    if options.boilerplate is not None:
        read_patterns(options.boilerplate)


def _check_tokenize(options: Tokenize) -> None:
    check_choice(options.tokenizer, options.vocab_file)
    _refuse_overwrite(options, "store")
    _check_files(options.inputs)


def _check_train_tokenizer(options: TrainTokenizer) -> None:
    if options.engine != TrainTokenizer.engine:
        raise UsageError(
            f"with --num-tasks, --engine {options.engine} is not possible, because the library cannot divide its work; "
            "remove it, which makes the same model"
        )
    _refuse_overwrite(options, "words")
    _check_files(options.inputs)


def _check_files(inputs: Sequence[str]) -> None:
    if "-" in inputs:
        raise UsageError(
            "with --num-tasks, standard input is not possible, because every input must be a file that all tasks can "
            "read; write it to a file first"
        )
    check_inputs(inputs)


def _check_make_records(options: MakeRecords) -> None:
    if len(options.inputs) == 1:
        refuse_unfinished(as_path(options.inputs[0]))
    if not stores(options):
        raise UsageError(
            "with --num-tasks, the inputs must be token stores, so that every task reads the same; run tokenize first, "
            "and pass its --output-dir"
        )
    _refuse_overwrite(options, "records")
    options.instance_options()


def _refuse_overwrite(options: TrainTokenizer | Tokenize | MakeRecords, output: str) -> None:
    if options.overwrite:
        raise UsageError(
            f"with --num-tasks, --overwrite is not possible, because each task would remove the {output} of the "
            "others; remove the directory before the first task, or pass another --output-dir"
        )


TASKED: Mapping[str, Tasked] = MappingProxyType(
    {
        command.name: command
        for command in [
            Tasked("prepare-text", _check_prepare_text),
            Tasked("train-tokenizer", _check_train_tokenizer),
            Tasked("tokenize", _check_tokenize),
            Tasked("make-records", _check_make_records),
        ]
    }
)
"""The commands by their names."""
assert TASKED.keys() == DIVIDED.keys()


def parse(
    command: str, args: Sequence[str], more: Iterable[str] = (), *, need_count: bool = True
) -> tuple[Stage, frozenset[str]]:
    """Reads the arguments of a command of `TASKED`, with the command's own parser, and does not run the command.

    Args:
        command: the name of the command.
        args: the words after it, without --task-id.
        more: options of the command that starts the tasks. A misspelled option may be meant to be one of them.
        need_count: whether --num-tasks must be given. Otherwise, the options are those for one task if it is not.

    Returns:
        The options for task 0, and the names of those that the user gave, on the command line or in --config. For
        another task, replace `task_id`.

    Raises:
        UsageError: the command cannot be divided; --num-tasks is missing; --task-id is given; an argument is missing.
        AlbertFastError: a value breaks its rule.
        typer.Exit: the help was printed.
        Exception: typer's own error about the arguments, as when the command runs.
    """
    if command not in TASKED:
        # A scheduler reads the arguments of pretrain, which has workers instead of tasks, in another way.
        raise UsageError(f"{command} cannot run on a cluster; the commands that can are {', '.join(TASKED)}, pretrain")
    context = context_of(command, args, more)
    values = dict(context.params)
    if values["task_id"] is not None:
        raise UsageError("--task-id is different for each task, and must not be given here; remove it")
    if values["num_tasks"] is None:
        if need_count:
            raise UsageError(f"--num-tasks is required: how many tasks {command} is divided into")
        values["num_tasks"] = 1
    return resolved(TASKED[command].stage, context, values | {"task_id": 0}), given(context)


def context_of(command: str, args: Sequence[str], more: Iterable[str] = ()) -> typer.Context:
    """Returns what typer reads from the arguments of any command, which does not run. See `parse`."""
    flags.begin(STAGES[command])
    root = typer.Context(
        typer.core.TyperGroup(name="albert-fast"), info_name="albert-fast", help_option_names=["-h", "--help"]
    )
    try:
        context: typer.Context = typer_command(command).make_context(command, [*args], parent=root)
    except Exception as error:
        unknown: Any = error
        if hasattr(unknown, "possibilities"):
            known = [*more, *(option.flag for option in options_of(STAGES[command]).values())]
            unknown.possibilities = difflib.get_close_matches(unknown.option_name, known, n=1)
        raise
    return context
