"""The commands that can be divided into tasks, and how their arguments are read without running them.

Schedulers start such a command many times. Each time it has the same arguments, and another `--task-id`.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import typer
import typer.core

from albert_fast.cli import flags
from albert_fast.cli.build import given, resolved, typer_command
from albert_fast.cli.commands import STAGES
from albert_fast.cli.common import UsageError
from albert_fast.options.base import options_of
from albert_fast.paths import as_path
from albert_fast.tokenizers.files import is_store

if TYPE_CHECKING:
    from albert_fast.options import MakeRecords
    from albert_fast.options.base import Stage


@dataclasses.dataclass(frozen=True)
class Tasked:
    """A command that can be divided into tasks."""

    name: str
    """The command as it is typed."""
    output: str
    """The name of the option that says where the command writes. `albert-fast finish` takes its value."""
    rounds: Callable[[Any], int] = lambda _: 1
    """How often each task is run, by the command's options. All tasks of a round end before the next round begins."""
    memory: Callable[[Any, int], int] = lambda _, threads: 2048 + 256 * threads
    """How much memory a task may need in MiB, by the command's options and the number of its threads."""

    check: Callable[[Any], None] = lambda _: None
    """Raises an error if the options are such that every task would be refused. It may look at the input."""

    @property
    def stage(self) -> type[Stage]:
        """The dataclass of the command's options, which has `num_tasks`, `task_id` and `num_threads`."""
        return STAGES[self.name]

    def output_of(self, options: Stage) -> Path:
        """Returns where the command writes. The path may be remote."""
        return as_path(getattr(options, self.output))


def _check_make_records(options: MakeRecords) -> None:
    if len(options.inputs) != 1 or not is_store(as_path(options.inputs[0])):
        raise UsageError(
            "with --num-tasks, the input must be one token store, so that every task reads the same; run tokenize "
            "first, and pass its --output-dir"
        )
    if options.overwrite:
        raise UsageError(
            "with --num-tasks, --overwrite is not possible, because each task would remove the records of the others; "
            "remove the directory before the first task, or pass another --output-dir"
        )
    options.instance_options()


TASKED: Mapping[str, Tasked] = MappingProxyType(
    {
        command.name: command
        for command in [
            Tasked("make-records", output="output_dir", check=_check_make_records),
        ]
    }
)
"""The commands by their names."""


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
        raise UsageError(f"{command} cannot be divided into tasks; the commands that can are {', '.join(TASKED)}")
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
