"""The training steps to measure: the trainer's, of this or another checkout, and that of transformers in PyTorch.

Each side takes the same NumPy batches. A trainer prepares a batch ahead of its step, so preparing it is not timed.
Nothing here imports TensorFlow, PyTorch or the trainer before a side is made, because a process has only one of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from trainer.model.config import ModelConfig

THREADS = 2
RATE = 1e-4
NOT_ASKED = -100
"""The label of a position that transformers need not predict."""

NumpyBatch = dict[str, "NDArray[Any]"]


class Side(NamedTuple):
    """One of the sides to compare."""

    prepare: Callable[[NumpyBatch], Any]
    """Converts a batch to what `step` takes."""
    step: Callable[[Any], float]
    """Trains on a prepared batch and returns the loss, so the step has ended."""
    shapes: Callable[[Any], set[str]]
    """Returns the shapes of the micro-batches of a prepared batch. Each shape is compiled once."""
    reset: Callable[[], None]
    """Undoes what the steps did to the model, if the side can. What the first steps compiled stays compiled."""
    what: str
    """The name and version of the side."""


def model_config(name: str, layers: int | None = None, vocab_size: int | None = None) -> ModelConfig:
    """Return a preset without dropout, which the published second version does not have either.

    Args:
        name: the preset.
        layers: number of layers; None for that of the preset.
        vocab_size: number of pieces of the tokenizer; None for that of the preset.
    """
    preset: ModelConfig = trainer_module("model.config").ModelConfig.preset(name)
    config = replace(preset, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    if layers is not None:
        config = replace(config, num_hidden_layers=layers)
    return config if vocab_size is None else replace(config, vocab_size=vocab_size)


def cpu_tensorflow() -> Any:
    """Return TensorFlow on `THREADS` threads of the CPU."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    return tf


def trainer_module(name: str) -> Any:
    """Import a module of the trainer on `sys.path` by its name in this checkout, such as "run.step".

    In older checkouts all modules are in `trainer` itself.
    """
    rooms = importlib.util.find_spec("trainer.run") is not None
    return importlib.import_module(f"trainer.{name if rooms else name.rpartition('.')[2]}")


def splits_batches_itself(step_module: Any) -> bool:
    """Tell whether a trainer's step splits whole batches of tensors into equal micro-batches of full width.

    Version 0.1.0 did so until widths were added: its `make_step` has the size of a micro-batch as a parameter.
    """
    make_step = getattr(step_module, "make_step", None)
    return make_step is not None and "micro_batch" in inspect.signature(make_step).parameters


def trainer(config: ModelConfig, micro_batch: int, sample: Sequence[NumpyBatch], *, cut: bool = True) -> Side:
    """Return the trainer on `sys.path`: the gradients of a batch's micro-batches, clipping, AdamW.

    Args:
        config: the model.
        micro_batch: number of rows of a micro-batch of full width.
        sample: batches from which `cut` chooses the widths.
        cut: whether micro-batches are only as wide as their rows need, if the trainer can do that.
    """
    tf = cpu_tensorflow()
    step_module = trainer_module("run.step")
    model = trainer_module("model.model").Albert(config)
    replica = step_module.Replica(model, trainer_module("model.optimizers").AdamW(model.named_variables))
    schedule = trainer_module("model.schedule").Schedule(RATE, 10**6, 0)
    variables: dict[str, Any] = replica.variables
    before = {name: variable.numpy() for name, variable in variables.items()}
    steps_done = [0]
    what = f"TensorFlow {tf.__version__}, XLA"

    def reset() -> None:
        steps_done[0] = 0
        for name, variable in variables.items():
            variable.assign(before[name])

    def number() -> int:
        steps_done[0] += 1
        return steps_done[0] - 1

    if splits_batches_itself(step_module):
        one_step = step_module.make_step([replica], schedule, micro_batch, jit=True)
        no_signals = tf.constant(step_module.NO_SIGNALS)

        def tensors(batch: NumpyBatch) -> Any:
            return {name: tf.constant(value) for name, value in batch.items()}

        def whole_step(features: Any) -> float:
            return float(one_step(features, tf.constant(number(), tf.int64), no_signals).metrics.loss)

        def one_shape(features: Any) -> set[str]:
            return {f"{micro_batch} x {features['input_ids'].shape[1]}"}

        return Side(tensors, whole_step, one_shape, reset, what)

    train = step_module.Step([replica], schedule)
    chosen = widths(config, micro_batch, sample, cut=cut)
    pack = trainer_module("run.feed").Packer(chosen, config, trainer_module("run.hardware").one())

    def step(work: Any) -> float:
        return float(train(work, number()).metrics.loss)

    def shapes(work: Any) -> set[str]:
        return {str(placed.width) for placed in work.parts[0]}

    return Side(pack, step, shapes, reset, what)


def widths(config: ModelConfig, micro_batch: int, sample: Sequence[NumpyBatch], *, cut: bool) -> tuple[Any, ...]:
    """Return the micro-batch shapes that `pretrain` would choose for rows like those of `sample`, or full width."""
    flops, packing = trainer_module("model.flops"), trainer_module("run.packing")
    length, predictions = sample[0]["input_ids"].shape[1], sample[0]["masked_lm_ids"].shape[1]
    if not cut:
        whole: tuple[Any, ...] = packing.full(length, predictions, micro_batch)
        return whole
    found = [packing.sizes(batch) for batch in sample]
    sizes = packing.Sizes(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    fraction = len(sample[0]["input_ids"])
    chosen: tuple[Any, ...] = packing.choose(
        sizes, length, predictions, micro_batch, fraction, lambda *row: flops.training_flops(config, *row)
    )
    return chosen


def longest(batch: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of tokens of a batch's longest row."""
    return int(batch["input_mask"].sum(axis=1).max())


def labels(batch: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Return the masked tokens as transformers takes them: int64 [B, S], `NOT_ASKED` at all other positions."""
    found = np.full(batch["input_ids"].shape, NOT_ASKED, np.int64)
    rows, places = np.nonzero(batch["masked_lm_weights"])
    found[rows, batch["masked_lm_positions"][rows, places]] = batch["masked_lm_ids"][rows, places]
    return found


def micro_batches(batch: Mapping[str, NDArray[Any]], rows: int, *, cut: bool) -> list[NumpyBatch]:
    """Return a batch as transformers takes it: micro-batches of `rows` rows, in the order of the batch.

    Args:
        batch: the whole batch.
        rows: number of rows of a micro-batch.
        cut: whether each is padded only to its longest row, and not to the width of the batch.
    """
    asked = labels(batch)
    found = []
    for start in range(0, len(asked), rows):
        part = {name: value[start : start + rows] for name, value in batch.items()}
        width = longest(part) if cut else asked.shape[1]
        found.append(
            {
                "input_ids": part["input_ids"][:, :width].astype(np.int64),
                "attention_mask": part["input_mask"][:, :width].astype(np.int64),
                "token_type_ids": part["segment_ids"][:, :width].astype(np.int64),
                "labels": asked[start : start + rows, :width],
                "sentence_order_label": part["next_sentence_labels"][:, 0].astype(np.int64),
            }
        )
    return found


def transformers(config: ModelConfig, micro_batch: int, attention: str, *, cut: bool = False) -> Side:
    """Return AlbertForPreTraining in PyTorch: forward, backward, accumulation, AdamW; eager mode, without clipping.

    Args:
        config: the model.
        micro_batch: number of rows of a micro-batch.
        attention: the attention implementation, "sdpa" or "eager".
        cut: whether micro-batches are padded only to their longest row.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch
    import transformers as hugging_face

    torch.set_num_threads(THREADS)
    names = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "embedding_size",
        "max_position_embeddings",
    )
    # This is the same function as "gelu_new", but a single operation and therefore faster.
    settings = hugging_face.AlbertConfig(
        **{name: getattr(config, name) for name in names},
        hidden_act="gelu_pytorch_tanh",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation=attention,
    )
    model = hugging_face.AlbertForPreTraining(settings).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, fused=True)

    def prepare(batch: NumpyBatch) -> list[dict[str, Any]]:
        parts = micro_batches(batch, micro_batch, cut=cut)
        return [{name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in p.items()} for p in parts]

    def step(parts: Sequence[dict[str, Any]]) -> float:
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in parts:
            loss = model(**part).loss / len(parts)
            loss.backward()
            total += float(loss.detach())
        optimizer.step()
        return total

    def shapes(parts: Sequence[dict[str, Any]]) -> set[str]:
        # Nothing is compiled here.
        return set() if cut else {" x ".join(map(str, part["input_ids"].shape)) for part in parts}

    version = f"transformers {hugging_face.__version__}, torch {torch.__version__}"
    padded = "padded to the longest of a micro-batch" if cut else "padded to the full width"
    return Side(prepare, step, shapes, lambda: None, f"{version}, {attention} attention, {padded}")
