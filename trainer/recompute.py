"""Memory for time: a block's activations are computed again where the backward pass needs them, and not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.ops import control_flow_util

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.layers import Block, Pass


def recomputed(block: Block, x: tf.Tensor, forward: Pass) -> tf.Tensor:
    """`block(x, forward)`, of which only `x` is kept for the backward pass. Values and gradients are the same."""
    dropout = forward.dropout
    place = dropout.place

    @tf.custom_gradient
    def run(x: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(upstream: tf.Tensor, variables: list[tf.Variable]) -> tuple[tf.Tensor, list[tf.Tensor]]:
            after, dropout.place = dropout.place, place
            kept, upstream = _barrier(x, upstream)
            with tf.GradientTape() as tape:
                tape.watch(kept)
                again = block(kept, forward)
            dropout.place = after
            return tape.gradient(again, (kept, variables), output_gradients=upstream)  # type: ignore[no-any-return]

        return block(x, forward), gradient

    return run(x)


def _barrier(x: tf.Tensor, upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The same tensors, behind a barrier.

    Without it a compiler would see that the second computation is the first, and keep that one's results; and it could
    start the second before `upstream` is there.
    """
    if control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        x, upstream = gen_xla_ops.xla_optimization_barrier([x, upstream])
        return x, upstream
    with tf.control_dependencies([upstream]):
        return tf.identity(x), upstream
