"""The commands whose work can be divided into tasks: what a task does, what it needs, and how many there should be.

Nothing here knows how tasks are started. `run_task` runs in the worker that a scheduler chose.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import glob
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from albert_fast import _native
from albert_fast._native import AlbertFastError
from albert_fast.finishing import finish_tasks
from albert_fast.options import MakeRecords, PrepareText, Tokenize, TrainTokenizer, options_of
from albert_fast.paths import RemotePath, as_path, is_remote
from albert_fast.prepare import prepare_text, read_patterns
from albert_fast.records import make, stores
from albert_fast.tasks import of_task
from albert_fast.tokenizers.files import is_store, refuse_unfinished
from albert_fast.tokenizers.make import make_share
from albert_fast.tokenizers.tokenizing import tokenize_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from albert_fast._native import Tokenizer
    from albert_fast.options import Stage

MB = 1_000_000
MIB = 1 << 20
GIB = 1 << 30

MOST_TASKS = 100_000

PATHS = frozenset({"output", "eval_output"})
"""Options that are paths, and strings."""


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
    memory: Callable[[Any, int], int]
    """Returns how much memory a task may need, in bytes, by the options and the number of its threads."""
    output: Callable[[Any], Path] = lambda options: as_path(options.output_dir)
    """Returns the directory that all tasks write to, by the options. It may be remote."""
    takes_others: bool = True
    """Whether the tasks accept files in that directory that the command did not write."""
    rounds: Callable[[Any], int] = lambda _: 1
    """Returns how often all tasks are run, by the options. A round begins when all tasks of the one before are done."""
    long_finish: bool = False
    """Whether `finish` may have as much to do as a task, with as many threads."""


@dataclasses.dataclass(frozen=True)
class Left:
    """What is left to do."""

    tasks: Sequence[int]
    """The tasks to run in each round. A task that is done ends soon."""
    round: int
    """The round to begin with, from 1."""


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
        elif (known.kind is Path or name in PATHS) and values[name] is not None:
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


def left(options: Stage, count: int) -> Left:
    """Returns what so many tasks have to do that is not done yet. If there is no output at all, this is everything.

    If the output is complete, one task is left, which checks that it has these options.
    """
    known = divided(options)
    rounds = known.rounds(options)
    try:
        finish(options, count)
    except AlbertFastError as error:
        if error.task_round is None or error.tasks is None:
            return Left(range(count), 1)
        # The tasks that an early round lacks say nothing about the rounds that follow.
        return Left(range(count) if error.task_round < rounds else error.tasks, error.task_round)
    return Left([0], rounds)


def finish(options: Stage, count: int) -> Mapping[str, Any]:
    """Checks that the work of so many tasks is complete, and completes it. Returns what there is.

    Raises:
        AlbertFastError: something is missing.
    """
    threads: int | None = getattr(options, "num_threads", None)
    return finish_tasks(divided(options).output(options), count, num_threads=threads)


def concerns_all(error: AlbertFastError) -> bool:
    """Returns whether every other task will raise this error as well, because it is about the command's arguments."""
    return error.kind in {"option", "exists", "input", "tokenizer"}


# --- make-records -----------------------------------------------------------------------------------------------------


def _make_records(options: MakeRecords, tokenizer: Tokenizer | None) -> dict[str, int]:
    if tokenizer is None:
        tokenizer = _native.store_tokenizer(as_path(stores(options)[0].store))
    made = make(options, tokenizer)
    shards = made["task"]["shards"]
    return {
        "records": sum(shard["records"] for shard in shards),
        "bytes": sum(shard["bytes"] for shard in shards),
        "already_complete": int(made["already_complete"]),
    }


def _store_size(options: MakeRecords) -> int:
    """Returns the size of the token stores times the number of passes over them."""
    if len(options.inputs) == 1:
        refuse_unfinished(as_path(options.inputs[0]))
    found = stores(options)
    if not found:
        message = f"with `num_tasks`, the inputs must be token stores, got {' '.join(options.inputs)}; tokenize first"
        raise AlbertFastError(message, kind="input")
    return sum(size(as_path(store)) for store, _ in found) * options.dupe_factor


def size(directory: Path) -> int:
    """Returns the size of the files in a directory, in bytes."""
    if isinstance(directory, RemotePath):
        return sum(found[1] for found in _native.remote_list(directory))
    return sum(path.stat().st_size for path in directory.iterdir() if path.is_file())


# --- Commands that read files -----------------------------------------------------------------------------------------


def _tokenize(options: Tokenize, tokenizer: Tokenizer | None) -> dict[str, int]:
    if tokenizer is None:
        if options.tokenizer is None or not is_store(options.tokenizer):
            message = "tokenize needs a tokenizer; open it, and pass it as `tokenizer`"
            raise AlbertFastError(message, kind="option", option="tokenizer")
        tokenizer = _native.store_tokenizer(options.tokenizer)
    made = tokenize_with(options, tokenizer)
    own = of_task(made["task"]).range
    return {"portions": len(own), "already_complete": int(made["already_complete"])}


def _prepare_text(options: PrepareText, _: Tokenizer | None) -> dict[str, int]:
    patterns = read_patterns(options.boilerplate) if options.boilerplate else {}
    settings = options.as_dict()
    for name in ("inputs", "output", "config", "boilerplate"):
        del settings[name]
    made = prepare_text(options.inputs, options.output, **settings, boilerplate=[*patterns.values()])
    return {"runs": 1, "already_complete": int(made["already_complete"])}


def _train_tokenizer(options: TrainTokenizer, _: Tokenizer | None) -> dict[str, int]:
    made = make_share(options).made
    return {"runs": 1, "already_complete": int(made is not None and made.already_complete)}


COMPRESSION = MappingProxyType({".gz": 3, ".zst": 3, ".bz2": 4, ".xz": 4, ".parquet": 2})
"""How many bytes of text a byte of such a file has, about."""


def inputs_size(inputs: Iterable[str]) -> int:
    """Returns about how many bytes of text files, globs and directories have. What does not exist has none."""
    return sum(map(_input_size, inputs))


def _text_size(name: str, size: int) -> int:
    return size * COMPRESSION.get(os.path.splitext(name)[1].lower(), 1)  # noqa: PTH122 - it may be an address


def _input_size(given: str) -> int:
    if is_remote(given):
        start = given.partition("*")[0].partition("?")[0].partition("[")[0]
        # In a URL, ? begins a query.
        if start == given or given.startswith(("http://", "https://")):
            found = _native.remote_size(given)
            if found is not None:
                return _text_size(given, found)
            return sum(_text_size(one[0], one[1]) for one in _native.remote_list(given))
        directory = start.rpartition("/")[0]
        rest = given[len(directory) + 1 :]
        listed = (one for one in _native.remote_list(directory) if fnmatch.fnmatchcase(one[0], rest))
        return sum(_text_size(one[0], one[1]) for one in listed)
    total = 0
    for path in map(Path, [given] if os.path.lexists(given) else glob.glob(given, recursive=True)):
        for file in path.rglob("*") if path.is_dir() else [path]:
            with contextlib.suppress(OSError):  # which a task reports
                if file.is_file() and not file.name.startswith("."):
                    total += _text_size(file.name, file.stat().st_size)
    return total


DIVIDED: Mapping[str, Divided] = MappingProxyType(
    {
        "prepare-text": Divided(
            stage=PrepareText,
            run=_prepare_text,
            work=lambda options: inputs_size(options.inputs),
            work_per_task=2 * 60 * 30 * MB,
            memory=lambda options, threads: (
                (512 + (options.dedup_documents or options.dedup_near) * options.dedup_memory + threads * 256) * MIB
            ),
            output=lambda options: as_path(options.output),
            takes_others=False,
            rounds=lambda options: 4 if options.dedup_near else 3 if options.dedup_documents else 1,
        ),
        "train-tokenizer": Divided(
            stage=TrainTokenizer,
            run=_train_tokenizer,
            work=lambda options: inputs_size(options.inputs),
            work_per_task=2 * 60 * 20 * MB,
            # Any task may be the last one, which trains.
            memory=lambda _, threads: (2048 + threads * 256) * MIB,
            rounds=lambda options: 2 if options.input_sentence_size else 1,
            long_finish=True,
        ),
        "tokenize": Divided(
            stage=Tokenize,
            run=_tokenize,
            work=lambda options: inputs_size(options.inputs),
            work_per_task=2 * 60 * 60 * MB,
            memory=lambda _, threads: (512 + threads * 256) * MIB,
        ),
        "make-records": Divided(
            stage=MakeRecords,
            run=_make_records,
            work=_store_size,
            work_per_task=2 * GIB,
            memory=lambda _, threads: (1024 + threads * 256) * MIB,
        ),
    }
)
"""The commands by their names."""
