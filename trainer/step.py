"""A training step: the gradients of its micro-batches, their sum, one update.

Only what has to be global is: the losses' denominators come from the whole batch before its first micro-batch, the norm
that clips from the whole gradient after its last. So the step's size, not the micro-batch's, decides what is learnt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from trainer import losses
from trainer.layers import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.model import Albert
    from trainer.optimizers import AdamW
    from trainer.schedule import Schedule

Batch = dict[str, tf.Tensor]
"""The features of records: integers [B, S], [B, P] and [B, 1], and `masked_lm_weights` float32 [B, P]."""

Share = tuple[losses.Sums, dict[str, tf.Tensor]]
"""What a micro-batch adds: to the losses' numerators, and to the gradient of each variable by name."""


class Report(NamedTuple):
    """What a step reports, besides changing the model: float32 scalars."""

    metrics: losses.Metrics
    """Losses and accuracies before the update."""
    gradient_norm: tf.Tensor
    """Global norm of the gradient before clipping."""
    learning_rate: tf.Tensor
    """The rate of the update."""


def dropout_key(seed: int, step: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    """int32 [2]: the key of micro-batch `part` of `step`, so that a resumed run draws what an unbroken one would."""
    key = tf.random.fold_in(tf.constant([seed, 0]), step, alg=GENERATOR)
    return tf.random.fold_in(key, part, alg=GENERATOR)


def make_step(
    model: Albert, optimizer: AdamW, schedule: Schedule, micro_batch: int, seed: int = 0, jit: bool = True
) -> Callable[[Batch, tf.Tensor], Report]:
    """A function of a batch, its size a multiple of `micro_batch`, and its step's number, int64 and counted from 0.

    Args:
        model: trained in place.
        optimizer: over the model's `named_variables`.
        schedule: gives the learning rate.
        micro_batch: sequences whose activations are held at a time.
        seed: decides the dropout masks.
        jit: whether XLA compiles the gradient of a micro-batch and the update.
    """
    variables = model.named_variables

    @tf.function(jit_compile=jit)
    def gradients(part: Batch, whole: losses.Totals, key: tf.Tensor) -> Share:
        with tf.GradientTape() as tape:
            sums = losses.sums(model(part, key), part)
            loss = losses.loss(sums, whole)
        return sums, {name: tf.convert_to_tensor(g) for name, g in tape.gradient(loss, variables).items()}

    update = tf.function(optimizer.apply, jit_compile=jit)

    @tf.function
    def step(batch: Batch, number: tf.Tensor) -> Report:
        size = batch["input_ids"].shape[0]
        if size is None or size % micro_batch:
            raise ValueError(f"the batch must be a multiple of the micro-batch ({micro_batch}), not {size}")
        whole = losses.totals(batch)

        def part(index: int | tf.Tensor) -> Share:
            rows = {name: feature[index * micro_batch :][:micro_batch] for name, feature in batch.items()}
            for name, feature in rows.items():
                rows[name] = tf.ensure_shape(feature, [micro_batch, *batch[name].shape[1:]])
            share: Share = gradients(rows, whole, dropout_key(seed, number, index))
            return share

        def add(index: tf.Tensor, so_far: Share) -> tuple[tf.Tensor, Share]:
            return index + 1, tf.nest.map_structure(tf.add, so_far, part(index))

        parts = size // micro_batch
        _, (sums, gradient) = tf.while_loop(lambda index, _: index < parts, add, (1, part(0)), parallel_iterations=1)
        rate = schedule(number)
        norm = update(gradient, rate)
        return Report(losses.metrics(sums, whole), norm, rate)

    done: Callable[[Batch, tf.Tensor], Report] = step
    return done
