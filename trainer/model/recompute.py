"""Memory for time: a block's activations are computed again where the backward pass needs them, and not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.model.layers import Block, Pass


def recomputed(block: Block, x: tf.Tensor, forward: Pass) -> tf.Tensor:
    """`block(x, forward)`, of which only `x` is kept for the backward pass. Values and gradients are the same."""
    dropout = forward.dropout
    place = dropout.place

    @tf.custom_gradient
    def run(x: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(upstream: tf.Tensor, variables: list[tf.Variable]) -> tuple[tf.Tensor, list[tf.Tensor]]:
            after, dropout.place = dropout.place, place
            kept = behind(x, upstream)
            with tf.GradientTape() as tape:
                tape.watch(kept)
                again = block(kept, forward)
            dropout.place = after
            return tape.gradient(again, (kept, variables), output_gradients=upstream)  # type: ignore[no-any-return]

        return block(x, forward), gradient

    return run(x)


def behind(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """`x`, but for a compiler a value of its own that is not there before `upstream`: what is added is always 0.

    Otherwise it would see that the second computation is the first, and keep that one's results. XLA's own barrier is
    gone on processors before equal computations are merged for the last time.
    """
    bits = tf.bitcast(tf.cast(tf.reshape(upstream, [-1])[0], tf.float32), tf.uint32)
    shifted = tf.bitwise.right_shift(bits, tf.constant(31, tf.uint32))  # the sign: 0 or 1
    return x + tf.cast(tf.bitwise.right_shift(shifted, tf.constant(1, tf.uint32)), x.dtype)
