"""The two pretraining losses and their accuracies, as sums that add up over micro-batches and replicas.

The loss of a step (get_masked_lm_output and get_sentence_order_output of the reference) is

    sum(w * ce) / (sum(w) + 1e-5)  +  sum(sentence-order ce) / sentences

over all predictions and all sequences of the step, with ce the cross entropy and w the weights (0 at padding). A mean
of the micro-batches' means would be another function, because they hold different numbers of predictions. So the
denominators come first, from the data alone (`totals`), and every micro-batch divides by those of the whole step: its
losses, and so its gradients, then simply add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from trainer.model.model import Logits

EPSILON = 1e-5
"""Keeps the masked-LM loss of a step without a single prediction at 0."""


class Totals(NamedTuple):
    """What the sums of a step are divided by: float32 scalars."""

    masked_lm_weight: tf.Tensor
    """Sum of the predictions' weights."""
    sentences: tf.Tensor
    """Number of sequences."""


class Sums(NamedTuple):
    """What is added up over a step: float32 scalars."""

    masked_lm: tf.Tensor
    """Weighted sum of the predictions' cross entropies, in nats."""
    masked_lm_correct: tf.Tensor
    """Weighted number of predictions whose likeliest piece is the right one."""
    sentence_order: tf.Tensor
    """Sum of the sequences' cross entropies, in nats."""
    sentence_order_correct: tf.Tensor
    """Number of sequences whose order is told right."""


class Metrics(NamedTuple):
    """What a step reports: float32 scalars."""

    loss: tf.Tensor
    """The sum of the two below: what is minimised."""
    masked_lm_loss: tf.Tensor
    """Mean cross entropy of a prediction, in nats."""
    sentence_order_loss: tf.Tensor
    """Mean cross entropy of a sequence, in nats."""
    masked_lm_accuracy: tf.Tensor
    """Share of predictions that are right; 0 where there are none."""
    sentence_order_accuracy: tf.Tensor
    """Share of sequences whose order is told right."""


def totals(batch: dict[str, tf.Tensor]) -> Totals:
    """The denominators of a batch: from `masked_lm_weights` [B, P] and `next_sentence_labels` [B, 1]."""
    weights = tf.cast(batch["masked_lm_weights"], tf.float32)
    return Totals(tf.reduce_sum(weights), tf.cast(tf.size(batch["next_sentence_labels"]), tf.float32))


def sums(logits: Logits, batch: dict[str, tf.Tensor], row_weights: tf.Tensor | float = 1.0) -> Sums:
    """The numerators of a batch.

    Args:
        logits: the model's answer, float32 [B, P, V] and [B, 2].
        batch: `masked_lm_ids` integers [B, P], `masked_lm_weights` [B, P], `next_sentence_labels` integers [B, 1].
        row_weights: float32 [B], what the order of each sequence counts: 0 for those that only fill a batch up.
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
    """A batch's share, float32, of the loss of a step whose denominators are `whole`; the shares of a step add up."""
    return _masked_lm(part, whole) + part.sentence_order / whole.sentences


def metrics(whole: Sums, by: Totals) -> Metrics:
    """The losses and accuracies of a step from its sums and denominators."""
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
    """float32 like `labels`: 1 where the largest of the last axis of `logits` is at the label, else 0."""
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == tf.cast(labels, tf.int32), tf.float32)
