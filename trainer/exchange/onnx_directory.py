"""Export to ONNX: a directory that onnxruntime, Hugging Face's optimum and Transformers.js open.

    onnx/model.onnx      the model: for filling masks, or the encoder if the task is "encoder"
    onnx/encoder.onnx    the encoder, if the task is "both"
    config.json          the configuration, as in a Hugging Face directory
    README.md            the model card
    tokenizer.json, spiece.model, ...    the tokenizer's files, as in a Hugging Face directory

Weights of more than 2 GB are in onnx/model.onnx_data, because a file of protocol buffers cannot be larger.

Before the directory appears, onnxruntime computes every output for a few inputs, and `to_onnx` compares it with that of
the model in TensorFlow. Nothing here is compiled for one machine: onnxruntime optimizes the graph when it opens it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf

from trainer.errors import TrainerError, reason
from trainer.exchange import onnx_graph, tokenizer_check
from trainer.exchange.export import (
    as_json,
    check_variables,
    check_vocabulary,
    hugging_face_config,
    tokenizer_files,
    unwritten,
)
from trainer.exchange.output import replacing
from trainer.model.model import Albert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from albert_fast import Tokenizer
    from trainer.exchange.export import Trained
    from trainer.model.config import ModelConfig

FILES = {
    "both": {"model.onnx": "fill-mask", "encoder.onnx": "encoder"},
    "fill-mask": {"model.onnx": "fill-mask"},
    "encoder": {"model.onnx": "encoder"},
}
"""The files in onnx/ for each task, and what each computes. optimum and Transformers.js look for model.onnx there."""

ARCHITECTURES = {"fill-mask": "AlbertForMaskedLM", "encoder": "AlbertModel"}
"""The class of transformers whose outputs model.onnx has."""

TOLERANCE, RELATIVE_TOLERANCE = 1e-4, 1e-5
"""Largest difference between an output of onnxruntime and that of the model: the first, plus the second times the
output's largest value. With 4,096 hidden units, rounding differs by 6e-6 of that value."""

LARGEST = 2**31 - 2**24
"""Largest number of bytes of weights in a model, which protocol buffers limit to 2 GiB. The rest is for the graph."""


class _Sample(NamedTuple):
    """Inputs to compare outputs for: integers [rows, tokens]."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]


def to_onnx(trained: Trained, directory: Path, card: str, task: str, version: str) -> float:
    """Write a directory for onnxruntime, and return the largest difference between its outputs and the model's.

    Args:
        trained: what to write, with its tokenizer.
        directory: the directory, which is replaced if it exists: see `trainer.exchange.export.check_output`.
        card: the text of README.md.
        task: a key of `FILES`.
        version: albert-fast's version.

    Raises:
        TrainerError: the tokenizer has another size, its files would give other programs other ids, variables are
            missing or have other shapes, onnxruntime computes something else than the model, or the directory cannot
            be written.
        ValueError: there is no tokenizer.
    """
    if trained.tokenizer is None:
        raise ValueError("an ONNX directory needs a tokenizer, got None")
    check_vocabulary(trained.tokenizer, trained.config)
    check_variables(trained)
    tokenizer = tokenizer_files(trained.tokenizer, trained.config.max_position_embeddings)
    tokenizer_check.check(trained.tokenizer, tokenizer)
    architecture = {"architectures": [ARCHITECTURES[FILES[task]["model.onnx"]]]}
    files = {
        "config.json": as_json(hugging_face_config(trained.config, trained.tokenizer) | architecture),
        "README.md": card.encode(),
        **tokenizer,
    }
    try:
        with replacing(directory) as temporary:
            (temporary / "onnx").mkdir()
            for name, part in FILES[task].items():
                metadata = {"task": part, "step": str(trained.step), **_tokenizer_facts(trained.tokenizer)}
                _save(trained, temporary / "onnx" / name, part, version=version, metadata=metadata)
            for name, content in files.items():
                (temporary / name).write_bytes(content)
            return _compare(trained, temporary / "onnx", FILES[task])
    except OSError as error:
        raise unwritten(directory, error) from error


def _tokenizer_facts(tokenizer: Tokenizer) -> dict[str, str]:
    """Return what a program that has only the model must know about its tokenizer, as metadata."""
    rules = {"lower_case": tokenizer.lower_case, "keep_accents": tokenizer.keep_accents}
    return {"tokenizer": tokenizer.kind, "tokenizer_digest": tokenizer.digest, "text_rules": json.dumps(rules)}


def _save(trained: Trained, path: Path, task: str, *, version: str, metadata: Mapping[str, str]) -> None:
    large = sum(value.nbytes for value in trained.values.values()) > LARGEST
    data = f"{path.name}_data" if large else None
    values, config = trained.values, trained.config
    model = onnx_graph.build(values, config, task, version=version, metadata=metadata, data=data)
    onnx.save_model(model, path)
    if data is not None:
        with (path.parent / data).open("wb") as file:
            onnx_graph.write_data(model, values, file)


def _compare(trained: Trained, directory: Path, files: Mapping[str, str]) -> float:
    """Return the largest difference between outputs of the files and of the model in TensorFlow.

    Raises:
        TrainerError: it is larger than allowed, or onnxruntime cannot open or run a file.
    """
    largest = 0.0
    samples = _samples(trained.config)
    # On a GPU, TensorFlow may round the factors of its products.
    with tf.device("/CPU:0"):
        model = Albert(trained.config)
        for name, variable in model.named_variables.items():
            variable.assign(trained.values[name])
        for name, task in files.items():
            outputs = onnx_graph.OUTPUTS[task]
            answers = _answers(directory / name, outputs, samples)
            for sample, answer in zip(samples, answers, strict=True):
                for output, theirs, ours in zip(outputs, answer, _expected(model, task, sample), strict=True):
                    difference = float(np.abs(theirs - ours).max()) if theirs.shape == ours.shape else math.inf
                    allowed = TOLERANCE + RELATIVE_TOLERANCE * float(np.abs(ours).max())
                    # NaN is not within the tolerance.
                    if not difference <= allowed:
                        raise TrainerError(
                            f"onnxruntime {onnxruntime.__version__} computes another {output} from onnx/{name} than "
                            f"TensorFlow: they differ by up to {difference:.2g}, and {allowed:.2g} is allowed; use "
                            "another version of onnxruntime",
                            kind="data",
                        )
                    largest = max(largest, difference)
    return largest


def _answers(path: Path, outputs: Sequence[str], samples: Sequence[_Sample]) -> list[list[NDArray[np.float32]]]:
    """Return onnxruntime's outputs for each sample."""
    settings = onnxruntime.SessionOptions()
    # Its warnings are about GPUs, and about its own optimizations.
    settings.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        return [session.run(list(outputs), sample._asdict()) for sample in samples]
    except Exception as error:
        # onnxruntime's exceptions have no other class in common.
        message = f"onnxruntime {onnxruntime.__version__} cannot run onnx/{path.name}: {reason(error)}"
        raise TrainerError(f"{message}; use another version of onnxruntime", kind="data") from error


def _samples(config: ModelConfig) -> list[_Sample]:
    """Return batches of random ids: one token, the most tokens, and rows with padding."""
    draw = np.random.default_rng(1)
    limit = config.max_position_embeddings
    samples = []
    for lengths in ([1], [min(limit, 5), min(limit, 16), min(limit, 11)], [limit, limit // 3 + 1]):
        shape = (len(lengths), max(lengths))
        mask = np.arange(shape[1]) < np.array(lengths)[:, np.newaxis]
        segments = np.arange(shape[1]) >= np.array(lengths)[:, np.newaxis] // 2
        ids = draw.integers(0, config.vocab_size, shape)
        types = np.where(mask & segments, min(1, config.type_vocab_size - 1), 0)
        samples.append(_Sample(ids, mask.astype(np.int64), types.astype(np.int64)))
    return samples


def _expected(model: Albert, task: str, sample: _Sample) -> list[NDArray[np.float32]]:
    """Return the outputs of the model in TensorFlow."""
    encoded = model.encode(*(tf.constant(array, tf.int32) for array in sample))
    if task == "encoder":
        return [encoded.sequence_output.numpy(), encoded.pooled_output.numpy()]
    rows, tokens = sample.input_ids.shape
    positions = tf.tile(tf.range(tokens)[tf.newaxis], [rows, 1])
    return [model.masked_lm_logits(encoded.sequence_output, positions).numpy()]
