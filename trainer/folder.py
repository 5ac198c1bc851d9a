"""The names of the files in the directory of a run. docs/training.md describes each of them.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from albert_fast.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OPTIONS = "pretrain.config.json"
"""The resolved options. A directory with this file is that of a run."""
MODEL = "albert_config.json"
"""The model's configuration, which each checkpoint also has."""
CHECKPOINTS = "checkpoints"
"""The directory of the checkpoints: see `trainer.model.checkpoints`."""
METRICS = "metrics.jsonl"
"""The metrics log: see `trainer.report.journal`."""
TENSORBOARD = "tensorboard"
"""The same figures for TensorBoard."""
FACTS = "run.json"
"""Data, model, options and environment of the last start."""
REPORT = "report.html"
TRACKERS = "trackers.json"
"""What the trackers have been sent: see `trainer.report.trackers.sent`."""
COMPILED = "compiled"
"""The directory of the compiled programs: see `trainer.run.compile_cache`."""
LOCK = ".lock"
"""The lock of the process that trains there."""
SPIECE, SPIECE_RULES = "spiece.model", "spiece.config.json"
"""The tokenizer, if it is a SentencePiece model, and its text rules."""
VOCABULARY, VOCABULARY_RULES = "vocab.txt", "tokenizer_config.json"
"""The tokenizer, if it is a WordPiece vocabulary, and its text rules."""

MIRRORED = (OPTIONS, MODEL, SPIECE, SPIECE_RULES, VOCABULARY, VOCABULARY_RULES, METRICS, FACTS, REPORT, TRACKERS)
"""What a mirror has besides checkpoints and TensorBoard's events: see `trainer.run.mirror`."""

FIRST = frozenset({LOCK, f".{OPTIONS}.tmp", COMPILED})
"""What a run may leave at its very beginning, before its options are written."""


def is_run(directory: Path) -> bool:
    """Tell whether a directory is that of a run."""
    return (directory / OPTIONS).exists()


def empty(directory: Path) -> None:
    """Remove what a run leaves, except its options. A half-emptied directory must still be recognized as a run's."""
    for name in (CHECKPOINTS, TENSORBOARD):
        if (directory / name).exists():
            shutil.rmtree(directory / name)
    for name in (METRICS, FACTS, REPORT, TRACKERS, MODEL, SPIECE, SPIECE_RULES, VOCABULARY, VOCABULARY_RULES):
        (directory / name).unlink(missing_ok=True)


def write_model(directory: Path, model: str, tokenizer: Mapping[str, bytes]) -> None:
    """Write the model's configuration and the files of its tokenizer.

    Args:
        directory: the directory of the run.
        model: the text of albert_config.json.
        tokenizer: the contents of the files by name.

    Raises:
        AlbertFastError: one of them cannot be written.
    """
    for name, content in {MODEL: model.encode(), **tokenizer}.items():
        write_atomic(directory / name, content)
