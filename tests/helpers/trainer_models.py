"""The golden models and their batches, for the trainer's tests. Imports TensorFlow."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tfrecords
from conftest import GOLDEN

from trainer.model.config import ModelConfig
from trainer.model.model import Albert

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODELS = GOLDEN / "model"
TRAINING: dict[str, Any] = json.loads((MODELS / "training.json").read_text())
NAMES = ("tiny", "groups", "square")


def load(name: str, model: type[Albert] = Albert, compute_dtype: tf.DType = tf.float32) -> Albert:
    """A golden model with the weights of its checkpoint."""
    made = model(ModelConfig.from_file(MODELS / name / "albert_config.json"), compute_dtype)
    checkpoint = tf.train.load_checkpoint(str(MODELS / name / "model.ckpt-0"))
    for variable_name, variable in made.named_variables.items():
        variable.assign(checkpoint.get_tensor(variable_name))
    return made


def arrays(name: str, file: str) -> dict[str, NDArray[Any]]:
    """The arrays of one of a golden model's files."""
    with np.load(MODELS / name / file) as stored:
        return {key: stored[key] for key in stored.files}


def forward_batch(name: str) -> dict[str, tf.Tensor]:
    """The batch that forward.npz answers."""
    stored = arrays(name, "forward.npz")
    return {key.removeprefix("in_"): tf.constant(stored[key]) for key in stored if key.startswith("in_")}


@cache
def _records() -> list[dict[str, Any]]:
    with gzip.open(GOLDEN / "records" / "default-128-00000-of-00001.tfrecord.gz") as file:
        return [tfrecords.decode_example(data) for data in tfrecords.unframe(file.read())]


def batch(step: int, size: int = 8) -> dict[str, tf.Tensor]:
    """The features of records size * step to size * step + size - 1 of records/default-128."""
    rows = _records()[size * step : size * (step + 1)]
    return {
        name: tf.constant(np.array([row[name] for row in rows]), tf.float32 if "weights" in name else tf.int32)
        for name in rows[0]
    }


def difference(left: Any, right: Any) -> float:
    """The largest absolute difference of two arrays of one shape."""
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    assert left.shape == right.shape
    return float(np.abs(left - right).max())


def relative_difference(left: Any, right: Any) -> float:
    """The norm of the difference by the norm of the second."""
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    assert left.shape == right.shape
    return float(np.linalg.norm(left - right) / np.linalg.norm(right))
