"""What the commands that need TensorFlow share."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert_fast.cli import config
from albert_fast.cli.common import CommandError, UsageError, one_line

if TYPE_CHECKING:
    from trainer.config import ModelConfig

NEEDED = ("tensorflow", "matplotlib", "safetensors")
"""What the extra `train` brings."""


def require_tensorflow(command: str) -> None:
    """Refuses, with what to install, where TensorFlow and its company are missing. Imports none of them.

    Raises:
        CommandError: something is missing.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(
            f'{command} needs {", ".join(missing)}: pip install "albert-fast[train]", or "albert-fast[gpu]" for '
            "TensorFlow with CUDA"
        )
    # TensorFlow's own remarks on its start; errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextlib.contextmanager
def trainer_errors() -> Iterator[None]:
    """Turns the trainer's errors into those of the command line."""
    from trainer.errors import TrainerError

    try:
        yield
    except TrainerError as error:
        raise CommandError(one_line(str(error))) from error


def model_config(model: str, vocab_size: int | None) -> "tuple[str, ModelConfig]":
    """The model that `--model` names, and what to call it.

    Args:
        model: a preset, or a JSON or YAML file with the keys of an albert_config.json, by themselves or under
            `albert_config`.
        vocab_size: the tokenizer's pieces, which a preset takes; None where they are not known.

    Raises:
        UsageError: neither a preset nor a file, or a file that holds no plain ALBERT.
    """
    from trainer.config import PRESETS, ModelConfig

    if model in PRESETS:
        return model, ModelConfig.preset(model, *([] if vocab_size is None else [vocab_size]))
    path = Path(model)
    if not path.is_file():
        raise UsageError(f"--model must be one of {', '.join(PRESETS)}, or a configuration's file; there is no {model}")
    content: dict[str, Any] = config.read(path)
    content.pop("albert_fast_version", None)
    try:
        return path.name, ModelConfig.from_mapping(content)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
