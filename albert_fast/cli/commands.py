"""The commands: names, summaries, options and functions.

A command's options and function are imported when they are first used, so that no command waits for the modules of the
others.
"""

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from albert_fast import options
from albert_fast._signals import ending_at_ctrl_c
from albert_fast.options.base import Stage

T = TypeVar("T")

SUMMARIES = {
    "prepare-text": "Turn raw text into a corpus.",
    "train-tokenizer": "Train a SentencePiece unigram tokenizer on a corpus.",
    "tokenize": "Tokenize a corpus once, for pretrain or make-records.",
    "make-records": "Turn a corpus into masked, shuffled training records.",
    "finish": "Complete what several tasks have written.",
    "slurm": "Run a command on a Slurm cluster.",
    "ray": "Run a command on a Ray cluster.",
    "inspect-records": "Show some records, and check all of them.",
    "pretrain": "Train an ALBERT on a token store or on records.",
    "evaluate": "Compute losses and accuracies on held-out records.",
    "report": "Write the report of a run, or compare runs.",
    "export": "Write a model for Hugging Face, TensorFlow 1 or ONNX.",
    "import-checkpoint": "Convert a published ALBERT to a checkpoint.",
    "fill-mask": "Find the best words for each [MASK] in a text.",
    "demo": "Train and evaluate a tiny model in a few minutes.",
}
"""What each command does: the first sentence of its description."""


class _Lazy(Mapping[str, T]):
    """Something that each command has, loaded when it is first looked up."""

    def __init__(self, load: Callable[[str], T]) -> None:
        self._load = functools.cache(load)

    def __getitem__(self, name: str) -> T:
        if name not in SUMMARIES:
            raise KeyError(name)
        return self._load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)


def _stage(name: str) -> type[Stage]:
    """Returns the options of `make-records`, for example, which are `MakeRecords`."""
    stage: type[Stage] = getattr(options, name.title().replace("-", ""))
    return stage


def _function(name: str) -> Callable[..., Any]:
    """Returns the function of `make-records`, for example: `make_records` in the module of that name."""
    own = name.replace("-", "_")
    with ending_at_ctrl_c():
        module = importlib.import_module(f"albert_fast.cli.{own}")
    function: Callable[..., Any] = getattr(module, own)
    return function


COMMANDS: Mapping[str, Callable[..., Any]] = _Lazy(_function)
"""The functions that typer calls."""

STAGES: Mapping[str, type[Stage]] = _Lazy(_stage)
"""The dataclasses of the options."""
