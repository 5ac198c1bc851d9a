"""Directories in Hugging Face's cache. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albert_fast import AlbertFastError
from albert_fast.tokenizers import files as tokenizer_files
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from pathlib import Path


def resolve(path: Path) -> Path:
    """Return the snapshot to read if `path` is a model's directory in the cache, otherwise `path`.

    Raises:
        TrainerError: the snapshot is unknown, as in `albert_fast.tokenizers.files.snapshot`.
    """
    try:
        return tokenizer_files.snapshot(path)
    except AlbertFastError as error:
        raise TrainerError(str(error), kind=error.kind, path=error.path or path) from None
