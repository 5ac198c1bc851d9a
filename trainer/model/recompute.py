"""Recomputation: the backward pass computes a block's activations again instead of keeping them, which saves memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.model.layers import Block, Pass


def recomputed(block: Block, x: tf.Tensor, forward: Pass) -> tf.Tensor:
    """Return `block(x, forward)`, keeping only `x` for the backward pass. Values and gradients do not change."""
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
    """Return `x` as a value that, to the compiler, does not exist before `upstream`. What is added is always 0.

    Otherwise the compiler would notice that the second computation equals the first, and keep the results of the first.
    XLA's own barrier does not help: on CPUs it is removed before equal computations are merged for the last time.
    """
    bits = tf.bitcast(tf.cast(tf.reshape(upstream, [-1])[0], tf.float32), tf.uint32)
    shifted = tf.bitwise.right_shift(bits, tf.constant(31, tf.uint32))  # the sign: 0 or 1
    return x + tf.cast(tf.bitwise.right_shift(shifted, tf.constant(1, tf.uint32)), x.dtype)


def unknown_zero(count: tf.Tensor) -> tf.Tensor:
    """Return a zero, bfloat16 [], that the compiler does not know, from `count`, int32 [] and not negative."""
    bits = tf.bitwise.right_shift(tf.bitcast(count, tf.uint32), tf.constant(31, tf.uint32))
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(1, tf.uint32)), tf.bfloat16)


def rounded(x: tf.Tensor, zero: tf.Tensor) -> tf.Tensor:
    """Return `x`, bfloat16, as a value that the compiler does not replace with the float32 value that it was cast from.

    XLA removes a cast to bfloat16 and back. A value with several uses is then written and read in float32, which takes
    twice the time on a GPU. XLA leaves a sum in bfloat16 as it is on GPUs that have one (from the H100 on).
    """
    return x + zero
