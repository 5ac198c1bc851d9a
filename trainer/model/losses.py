"""The two pretraining losses and their accuracies, as sums that add up over micro-batches and replicas.

The loss of a step (get_masked_lm_output and get_sentence_order_output of the reference) is

    sum(w * ce) / (sum(w) + 1e-5)  +  sum(sentence-order ce) / instances

over all predictions and all instances of the step. Here ce is the cross entropy and w the weight (0 at padding). A mean
of the means of the micro-batches would differ, because micro-batches hold different numbers of predictions. So the
denominators are computed first, only from the data (`totals`), and every micro-batch divides by those of the whole
step. Its losses, and therefore its gradients, then simply add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from trainer.model.model import Logits

EPSILON = 1e-5
"""Makes the masked-LM loss 0 if a step has no predictions."""


class Totals(NamedTuple):
    """The denominators of a step's sums: float32 scalars."""

    masked_lm_weight: tf.Tensor
    """Sum of the weights of the predictions."""
    sentences: tf.Tensor
    """Number of instances."""


class Sums(NamedTuple):
    """The sums over a step: float32 scalars."""

    masked_lm: tf.Tensor
    """Weighted sum of the cross entropies of the predictions, in nats."""
    masked_lm_correct: tf.Tensor
    """Weighted number of predictions whose most likely piece is correct."""
    sentence_order: tf.Tensor
    """Sum of the cross entropies of the instances' order, in nats."""
    sentence_order_correct: tf.Tensor
    """Number of instances whose order is predicted correctly."""


class Metrics(NamedTuple):
    """What a step reports: float32 scalars."""

    loss: tf.Tensor
    """The sum of the next two, which training minimizes."""
    masked_lm_loss: tf.Tensor
    """Mean cross entropy of the predictions, in nats."""
    sentence_order_loss: tf.Tensor
    """Mean cross entropy of the instances' order, in nats."""
    masked_lm_accuracy: tf.Tensor
    """Fraction of predictions that are correct; 0 if there are none."""
    sentence_order_accuracy: tf.Tensor
    """Fraction of instances whose order is predicted correctly."""


def totals(batch: dict[str, tf.Tensor]) -> Totals:
    """Return the denominators of a batch, from `masked_lm_weights` [B, P] and `next_sentence_labels` [B, 1]."""
    weights = tf.cast(batch["masked_lm_weights"], tf.float32)
    return Totals(tf.reduce_sum(weights), tf.cast(tf.size(batch["next_sentence_labels"]), tf.float32))


def sums(logits: Logits, batch: dict[str, tf.Tensor], row_weights: tf.Tensor | float = 1.0) -> Sums:
    """Return the numerators of a batch.

    Args:
        logits: the model's output, float32 [B, P, V] and [B, 2].
        batch: `masked_lm_ids` integers [B, P], `masked_lm_weights` [B, P], `next_sentence_labels` integers [B, 1].
        row_weights: float32 [B], the weight of each instance's order: 0 for rows that only fill a batch.
    """
    weights = tf.cast(batch["masked_lm_weights"], tf.float32)
    ids = batch["masked_lm_ids"]
    labels = tf.reshape(batch["next_sentence_labels"], [-1])  # [B, 1] -> [B]
    masked_lm = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits.masked_lm)  # [B, P]
    order = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits.sentence_order)  # [B]
    return Sums(
        tf.reduce_sum(weights * masked_lm),
        tf.reduce_sum(weights * _hits(logits.masked_lm, ids)),
        tf.reduce_sum(row_weights * order),
        tf.reduce_sum(row_weights * _hits(logits.sentence_order, labels)),
    )


def loss(part: Sums, whole: Totals) -> tf.Tensor:
    """Return a batch's part, float32, of the loss of a step with denominators `whole`. The parts add up to the loss."""
    return _masked_lm(part, whole) + part.sentence_order / whole.sentences


def metrics(whole: Sums, by: Totals) -> Metrics:
    """Return the losses and accuracies of a step from its sums and denominators."""
    masked_lm = _masked_lm(whole, by)
    order = whole.sentence_order / by.sentences
    return Metrics(
        masked_lm + order,
        masked_lm,
        order,
        tf.math.divide_no_nan(whole.masked_lm_correct, by.masked_lm_weight),
        whole.sentence_order_correct / by.sentences,
    )


def _masked_lm(part: Sums, whole: Totals) -> tf.Tensor:
    return part.masked_lm / (whole.masked_lm_weight + EPSILON)


def _hits(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return float32, shaped like `labels`: 1 if the largest logit of the last axis is at the label, otherwise 0."""
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == tf.cast(labels, tf.int32), tf.float32)
