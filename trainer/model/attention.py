"""Attention of query, key and value, computed in one of several ways.

In the comments, B is the number of instances, S the tokens per instance, N the number of heads, D the size of a head,
and H = N D.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from trainer.model.attention_cudnn import cudnn_attention
from trainer.model.recompute import behind

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.model.dropout import Dropout

    Masked = Callable[[tf.Tensor], tf.Tensor]
    Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]

MASK_BIAS = -10_000.0
"""Added to the attention scores of padding (attention_layer of the reference)."""


class Inputs(NamedTuple):
    """What attention reads, besides query, key and value."""

    batch: int | tf.Tensor
    """B."""
    length: int | tf.Tensor
    """S."""
    heads: int
    """N."""
    head_size: int
    """D."""
    mask_bias: tf.Tensor
    """float32 [B, 1, 1, S]: 0 for tokens, `MASK_BIAS` for padding."""
    lengths: tf.Tensor
    """int32 [B]: the number of tokens of each instance."""
    rate: float
    """Dropout rate of the probabilities, in [0, 1)."""
    dropout: Dropout


def attend(kind: str, x: tf.Tensor, inputs: Inputs) -> tf.Tensor:
    """Compute the context of every token: softmax(Q K^T / sqrt(D) + mask) V (attention_layer of the reference).

    Args:
        kind: one of `trainer.options.ATTENTIONS`.
        x: [B * S, 3 H]: query, key and value, side by side.
        inputs: everything else that decides the result.

    Returns:
        [B * S, H], in the dtype of x.

    Raises:
        ValueError: `kind` is unknown, or it does not support these inputs.
    """
    size = inputs.heads * inputs.head_size
    x = tf.reshape(x, [inputs.batch, inputs.length, 3, inputs.heads, inputs.head_size])  # -> [B, S, 3, N, D]
    if kind == "cudnn":
        if inputs.rate:
            raise ValueError(f"attention_probs_dropout_prob must be 0 with attention='cudnn', got {inputs.rate}")
        # The gradient of a slice is padded, and the sum of the three takes one kernel with the gradients of the biases.
        # That of tf.unstack would take one kernel more.
        query, key, value = (x[:, :, part] for part in range(3))  # [B, S, 3, N, D] -> 3 x [B, S, N, D]
        context = cudnn_attention(query, key, value, inputs.lengths, 1 / math.sqrt(inputs.head_size))
        return tf.reshape(context, [-1, size])  # [B, S, N, D] -> [B * S, H]
    if kind not in {"plain", "autodiff"}:
        raise ValueError(f"attention must be one of plain, autodiff, cudnn, got {kind!r}")
    query, key, value = tf.unstack(tf.transpose(x, [2, 0, 3, 1, 4]))  # [B, S, 3, N, D] -> 3 x [B, N, S, D]
    masked = inputs.dropout.function(inputs.dropout.next(), inputs.rate, inputs.length, inputs.heads, inputs.length)
    if kind == "plain":
        context = _plain(query, key, value, inputs, masked)
    else:
        probabilities = _probabilities(query, key, inputs)
        context = tf.matmul(masked(probabilities) if masked else probabilities, value)
    context = tf.transpose(context, [0, 2, 1, 3])  # [B, N, S, D] -> [B, S, N, D]
    return tf.reshape(context, [-1, size])  # [B, S, N, D] -> [B * S, H]


def _probabilities(query: tf.Tensor, key: tf.Tensor, inputs: Inputs) -> tf.Tensor:
    """Return [B, N, S, S] in the dtype of the factors. The softmax is computed in float32."""
    scores = tf.matmul(query, key, transpose_b=True)  # [B, N, S, D] x [B, N, D, S] -> [B, N, S, S]
    scores = tf.cast(scores, tf.float32) * (1 / math.sqrt(inputs.head_size)) + inputs.mask_bias
    return tf.cast(tf.nn.softmax(scores), query.dtype)


def _plain(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, inputs: Inputs, masked: Masked | None) -> tf.Tensor:
    """Return [B, N, S, D]. For the backward pass, keep the probabilities once, in the compute dtype, and no scores."""

    @tf.custom_gradient
    def attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        probabilities = _probabilities(query, key, inputs)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            # Otherwise XLA removes the cast to bfloat16 and back, and keeps the float32 values from before it. It would
            # also keep the probabilities after dropout.
            kept = behind(probabilities, upstream) if masked or query.dtype != tf.float32 else probabilities
            dropped = masked(kept) if masked else kept
            by_value = tf.matmul(dropped, upstream, transpose_a=True)  # [B, N, S, S] x [B, N, S, D] -> [B, N, S, D]
            by_dropped = tf.matmul(upstream, value, transpose_b=True)  # [B, N, S, D] x [B, N, D, S] -> [B, N, S, S]
            by_probability = tf.cast(masked(by_dropped) if masked else by_dropped, tf.float32)
            wide = tf.cast(kept, tf.float32)
            by_score = wide * (by_probability - tf.reduce_sum(wide * by_probability, axis=-1, keepdims=True))
            by_score = tf.cast(by_score * (1 / math.sqrt(inputs.head_size)), query.dtype)
            by_query = tf.matmul(by_score, key)  # [B, N, S, S] x [B, N, S, D] -> [B, N, S, D]
            by_key = tf.matmul(by_score, query, transpose_a=True)
            return by_query, by_key, by_value

        return tf.matmul(masked(probabilities) if masked else probabilities, value), gradient

    return attention(query, key, value)
