"""The commands whose work can be divided into tasks: what a task does, what it needs, and how many there should be.

Nothing here knows how tasks are started. `run_task` runs in the worker that a scheduler chose.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from albert_fast import _native
from albert_fast._native import AlbertFastError
from albert_fast.options import MakeRecords, options_of
from albert_fast.paths import RemotePath, as_path, is_remote
from albert_fast.records import make
from albert_fast.tokenizers.files import is_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from albert_fast._native import Tokenizer
    from albert_fast.options import Stage

MIB = 1 << 20
GIB = 1 << 30

MOST_TASKS = 100_000


@dataclasses.dataclass(frozen=True)
class Divided:
    """A command that can be divided into tasks."""

    stage: type[Stage]
    """Its options, with `num_tasks`, `task_id` and `num_threads`."""
    run: Callable[[Any, Tokenizer | None], Mapping[str, int]]
    """Runs one task with the options and the tokenizer, if one was given. Returns counts, which are added up."""
    work: Callable[[Any], int]
    """Returns how much work there is, in bytes, by the options."""
    work_per_task: int
    """How much of it a thread does in about two minutes."""
    finish: Callable[[Any, int], Mapping[str, Any]]
    """Checks that the work of so many tasks is complete, and completes it. Returns what there is."""
    directory: Callable[[Any], Path] = lambda options: as_path(options.output_dir)
    """Returns the directory that all tasks write to, by the options."""
    missing: Callable[[Any, int], list[int]] = lambda _, count: [*range(count)]
    """Returns which of so many tasks are not done yet, by the options. A task that is done must end soon."""
    rounds: Callable[[Any], int] = lambda _: 1
    """Returns how often all tasks are run, by the options. A round begins when all tasks of the one before are done."""
    memory: Callable[[Any, int], int] = lambda _, threads: 512 * MIB + threads * 256 * MIB
    """Returns how much memory a task may need, in bytes, by the options and the number of its threads."""


def divided(options: Stage) -> Divided:
    """Returns what is known about the command that the options are for.

    Raises:
        AlbertFastError: the command cannot be divided into tasks.
    """
    for one in DIVIDED.values():
        if isinstance(options, one.stage):
            return one
    message = f"{type(options).__name__} cannot be divided into tasks; the commands that can are {', '.join(DIVIDED)}"
    raise AlbertFastError(message, kind="option")


def command_of(options: Stage) -> str:
    """Returns the name of the command that the options are for."""
    found = divided(options)
    return next(name for name, one in DIVIDED.items() if one is found)


def num_tasks(options: Any, threads: int) -> int:
    """Returns the number of tasks with which each takes a few minutes."""
    found = divided(options)
    count = -(-found.work(options) // (found.work_per_task * threads))
    return max(1, min(MOST_TASKS, count))


def with_absolute_paths(options: Stage) -> dict[str, Any]:
    """Returns the options as JSON represents them, with absolute paths: workers have other working directories."""
    values = options.as_dict()
    for name, known in options_of(type(options)).items():
        if name == "inputs":
            values[name] = [_absolute(path) for path in values[name]]
        elif known.kind is Path and values[name] is not None:
            values[name] = _absolute(values[name])
    return values


def _absolute(path: str) -> str:
    return path if path == "-" or is_remote(path) else str(as_path(path).absolute())


def run_task(
    command: str, options: Mapping[str, Any], tokenizer: tuple[Any, ...] | None, task: int
) -> Mapping[str, int]:
    """Runs one task of a command in this process.

    Args:
        command: the name of the command.
        options: its options, with `num_tasks`, as JSON represents them.
        tokenizer: the arguments of `_native.restore_tokenizer`, or None for that of the token store.
        task: the number of the task.

    Returns:
        What the task has done. The counts of all tasks are added up.

    Raises:
        AlbertFastError: those of the command.
        KeyboardInterrupt: the task is to end.
    """
    known = DIVIDED[command]
    chosen = known.stage(**{**options, "task_id": task})
    return known.run(chosen, None if tokenizer is None else _native.restore_tokenizer(*tokenizer))


def concerns_all(error: AlbertFastError) -> bool:
    """Returns whether every other task will raise this error as well, because it is about the command's arguments."""
    return error.kind in {"option", "exists", "input", "tokenizer"}


# --- make-records -----------------------------------------------------------------------------------------------------


def _make_records(options: MakeRecords, tokenizer: Tokenizer | None) -> dict[str, int]:
    made = make(options, _native.store_tokenizer(as_path(options.inputs[0])) if tokenizer is None else tokenizer)
    shards = made["task"]["shards"]
    return {
        "records": sum(shard["records"] for shard in shards),
        "bytes": sum(shard["bytes"] for shard in shards),
        "already_complete": int(made["already_complete"]),
    }


def _store_size(options: MakeRecords) -> int:
    """Returns the size of the token store times the number of passes over it."""
    if len(options.inputs) != 1 or not is_store(as_path(options.inputs[0])):
        message = f"with `num_tasks`, the input must be one token store, got {' '.join(options.inputs)}; tokenize first"
        raise AlbertFastError(message, kind="input")
    return size(as_path(options.inputs[0])) * options.dupe_factor


def size(directory: Path) -> int:
    """Returns the size of the files in a directory, in bytes."""
    if isinstance(directory, RemotePath):
        return sum(found[1] for found in _native.remote_list(directory))
    return sum(path.stat().st_size for path in directory.iterdir() if path.is_file())


_AGAIN = re.compile(r"; run tasks? ([0-9, -]+) of [0-9]+ again")


def _missing_records(options: MakeRecords, count: int) -> list[int]:
    """Returns the tasks that have shards to make. If there are no records at all, these are all of them.

    If the records are complete, one task is left, which checks that they have these options.
    """
    try:
        _native.finish(options.output_dir, num_tasks=count)
    except AlbertFastError as error:
        found = _AGAIN.search(str(error))
        return [*range(count)] if found is None else _numbers(found[1])
    return [0]


def _numbers(text: str) -> list[int]:
    """Returns the numbers of a list such as "3, 7-9"."""
    ranges = [part.partition("-") for part in text.replace(" ", "").split(",")]
    return [number for first, _, last in ranges for number in range(int(first), int(last or first) + 1)]


DIVIDED: Mapping[str, Divided] = MappingProxyType(
    {
        "make-records": Divided(
            stage=MakeRecords,
            run=_make_records,
            work=_store_size,
            work_per_task=2 * GIB,
            missing=_missing_records,
            finish=lambda options, count: _native.finish(options.output_dir, num_tasks=count),
        ),
    }
)
"""The commands by their names."""
