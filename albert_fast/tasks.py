"""What one of several tasks has to do. `make_records`, `tokenize` and others divide their work into tasks."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import builtins


@dataclasses.dataclass(frozen=True)
class Task:
    """What one of several tasks has to do, and what is there in all.

    The things that tasks divide are the shards of `make_records`, and the portions of the input of `tokenize` and
    `train_tokenizer`.
    """

    range: builtins.range
    """The numbers of the task's things, from 0. There are none if there are more tasks than things."""
    total: int
    """The number of things of all tasks."""
    complete: int
    """How many of these are complete."""
    round: int = 1
    """The round that the task was in, from 1. A round begins when all tasks of the one before have ended."""
    rounds: int = 1
    """How many times all tasks have to run. It is 1 for `make_records` and `tokenize`."""


def of_task(found: dict[str, Any]) -> Task:
    """Returns what the compiled core says of a task."""
    return Task(range(found["first"], found["end"]), **{name: found[name] for name in _COUNTS})


_COUNTS = ("total", "complete", "round", "rounds")
