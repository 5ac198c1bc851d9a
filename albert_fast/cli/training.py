"""What the commands that need TensorFlow share."""

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert_fast.cli import config
from albert_fast.cli.common import CommandError, UsageError, warn
from albert_fast.paths import as_path

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig

NEEDED = ("tensorflow", "matplotlib", "safetensors")
"""The packages that the extra `train` installs."""

_SET_HERE: set[str] = set()
"""Environment variables that the user had not set, and this module set."""


def missing() -> list[str]:
    """Returns which of `NEEDED` are not installed. Imports none of them."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def require_tensorflow(command: str) -> None:
    """Refuses to continue if TensorFlow or its companions are missing, and says what to install. Imports none of them.

    Raises:
        CommandError: something is missing.
    """
    if lacking := missing():
        raise CommandError(
            f'{command} needs {", ".join(lacking)}: pip install ".[train]" in the clone, or ".[gpu]" for '
            "TensorFlow with CUDA"
        )
    # This hides TensorFlow's own remarks when it starts. Errors still show.
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        _SET_HERE.add("TF_CPP_MIN_LOG_LEVEL")


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Holds back what TensorFlow's libraries write to standard error while they start.

    On every start they print that they found no GPU, and which instructions they use, whatever TF_CPP_MIN_LOG_LEVEL is.
    The text is shown if it can be of use: after an error, and if the machine has an NVIDIA device.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said = file.read()
            if said and (failed or Path("/dev/nvidiactl").exists() or "TF_CPP_MIN_LOG_LEVEL" not in _SET_HERE):
                sys.stderr.write(said.decode(errors="backslashreplace"))
                sys.stderr.flush()


def start_tensorflow() -> None:
    """Imports TensorFlow and makes it look for devices, without its remarks about that."""
    with quiet_start():
        from trainer.run import hardware

        hardware.one()


def model_config(model: str, vocab_size: int | None) -> "tuple[str, ModelConfig]":
    """Returns the model that `--model` names, and what to call it.

    Args:
        model: a preset, or a JSON or YAML file with the keys of an albert_config.json, at the top level or under
            `albert_config`.
        vocab_size: the tokenizer's number of pieces, which a preset takes. None if unknown.

    Raises:
        UsageError: `model` is neither a preset nor a file, or a file that does not describe a plain ALBERT.
    """
    from trainer.model.config import PRESETS, ModelConfig

    if model in PRESETS:
        return model, ModelConfig.preset(model, *([] if vocab_size is None else [vocab_size]))
    path = as_path(model)
    if not path.is_file():
        raise UsageError(f"--model must be one of {', '.join(PRESETS)}, or the path of a configuration, got {model}")
    content: dict[str, Any] = config.read(path)
    content.pop("albert_fast_version", None)
    try:
        chosen, remarks = ModelConfig.parse(content)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    for remark in remarks:
        warn(f"{path}: {remark}")
    return path.name, chosen
