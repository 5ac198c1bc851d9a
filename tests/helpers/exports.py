"""What the tests of export, import-checkpoint and fill-mask share. Imports TensorFlow."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from conftest import GOLDEN

from trainer.model import checkpoints
from trainer.model.config import ModelConfig
from trainer.model.model import Albert

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

MODELS = GOLDEN / "model"
TOKENIZER = GOLDEN / "tokenizer" / "spiece.model"
WORDPIECE = GOLDEN / "tokenizer" / "wordpiece.txt"
NAMES = ("tiny", "groups", "square")

Values = dict[str, "NDArray[np.float32]"]


def config_of(name: str) -> ModelConfig:
    return ModelConfig.from_file(MODELS / name / "albert_config.json")


def golden_values(name: str) -> Values:
    """The variables of a golden model."""
    reader = tf.train.load_checkpoint(str(MODELS / name / "model.ckpt-0"))
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if key != "global_step"}


def tokenizer_files(lower_case: bool = False, keep_accents: bool = True) -> dict[str, bytes]:
    """The golden tokenizer as a checkpoint holds it; cased, as its pieces are."""
    content = TOKENIZER.read_bytes()
    rules = {
        "model_sha256": hashlib.sha256(content).hexdigest(),
        "lower_case": lower_case,
        "keep_accents": keep_accents,
    }
    return {"spiece.model": content, "spiece.config.json": json.dumps(rules).encode()}


def write_checkpoint(
    directory: Path,
    values: Values,
    config: ModelConfig,
    *,
    step: int = 7,
    slots: bool = True,
    files: Mapping[str, bytes] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> checkpoints.Checkpoint:
    """A run's directory with a checkpoint of these values, and slots of the optimizer."""
    variables = {name: tf.Variable(value) for name, value in values.items()}
    if slots:
        variables |= {
            f"{name}{slot}": tf.Variable(np.full_like(value, number))
            for name, value in values.items()
            for number, slot in enumerate(checkpoints.SLOTS, 1)
        }
    return checkpoints.write(
        directory / "checkpoints",
        variables,
        step=step,
        seed=3,
        config=config,
        facts=facts,
        files=tokenizer_files() if files is None else files,
    )


def golden_run(directory: Path, name: str = "tiny", **options: Any) -> checkpoints.Checkpoint:
    """A run's directory with a checkpoint of a golden model."""
    return write_checkpoint(directory, golden_values(name), config_of(name), **options)


def fresh_values(config: ModelConfig, seed: int = 5) -> Values:
    return {name: variable.numpy() for name, variable in Albert(config, seed=seed).named_variables.items()}


def hugging_face_directory(path: Path, name: str = "tiny", **changes: Any) -> Path:
    """A copy of a golden Hugging Face directory with the tokenizer, its config.json changed."""
    shutil.copytree(MODELS / name / "hf", path)
    (path / "outputs.npz").unlink()
    for file, content in tokenizer_files().items():
        (path / file).write_bytes(content)
    if changes:
        config = path / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return path


def same(left: Mapping[str, NDArray[Any]], right: Mapping[str, NDArray[Any]]) -> bool:
    """Whether two models are equal to the bit."""
    assert left.keys() == right.keys()
    return all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name].tobytes() == right[name].tobytes()
        for name in left
    )


def listing(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
