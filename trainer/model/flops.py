"""Floating-point operations of a training step, which turn tokens/s into a fraction of the hardware's peak.

Only the matrix products of the unrolled layers count, with 2 operations for a multiply-add. Everything else is a few
percent and by convention not counted. Shared weights cost as much as separate ones. With S tokens and P predictions per
instance, L layers of K blocks, and E, H, I, V as in `trainer.model.model`, the forward pass of one instance takes

    mapping             2 S E H                        (absent if E == H, unless `square_mapping`)
    a block             8 S H^2                        query, key, value and output
                        4 S^2 H                        scores, and probabilities times values
                        4 S H I                        the feed-forward layer's two products
    pooler and order    2 H^2 + 4 H
    masked LM           2 P H E + 2 P E V

In total that is L K (8 S H^2 + 4 S^2 H + 4 S H I) plus the rest. The backward pass takes twice that, because every
product has two factors, each with a gradient. The trainer counts the real tokens of an instance. The operations for
padding are wasted and have a separate figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig

Count = TypeVar("Count", int, NDArray[np.int64])


def forward_flops(config: ModelConfig, length: Count, predictions: Count) -> Count:
    """Return the operations of the forward pass of an instance with `length` tokens and `predictions` masked tokens.

    For arrays, the result is an array.
    """
    size, hidden = config.embedding_size, config.hidden_size
    mapping = 2 * length * size * hidden if config.has_mapping else 0
    attention = 8 * length * hidden**2 + 4 * length**2 * hidden
    feed_forward = 4 * length * hidden * config.intermediate_size
    blocks = config.num_hidden_layers * config.inner_group_num
    sentence_order = 2 * hidden**2 + 4 * hidden
    masked_lm = 2 * predictions * size * (hidden + config.vocab_size)
    return mapping + blocks * (attention + feed_forward) + sentence_order + masked_lm


def training_flops(config: ModelConfig, length: Count, predictions: Count) -> Count:
    """Return the operations of the forward and backward pass of one instance; see `forward_flops`."""
    return 3 * forward_flops(config, length, predictions)


def training_values(config: ModelConfig, batch: int, length: int, predictions: int) -> int:
    """Count the numbers in factors and results of all matrix products of a step's forward and backward pass.

    Multiplied by the bytes per number, this is the least that a device reads and writes if no product stays in its
    caches. A product of [m, k] and [k, n] has m k + k n + m n numbers, and so has each of its two gradients.

    Args:
        config: the model.
        batch: number of instances.
        length: tokens per instance.
        predictions: masked tokens per instance.
    """
    size, hidden, wide = config.embedding_size, config.hidden_size, config.intermediate_size
    tokens, masked, head = batch * length, batch * predictions, config.head_size

    def product(rows: int, depth: int, columns: int, times: int = 1) -> int:
        return times * (rows * depth + depth * columns + rows * columns)

    heads = batch * config.num_attention_heads
    block = product(tokens, hidden, hidden, 4) + product(tokens, hidden, wide) + product(tokens, wide, hidden)
    block += product(length, head, length, heads) + product(length, length, head, heads)
    total = config.num_hidden_layers * config.inner_group_num * block
    if config.has_mapping:
        total += product(tokens, size, hidden)
    total += product(batch, hidden, hidden) + product(batch, hidden, 2)
    total += product(masked, hidden, size) + product(masked, size, config.vocab_size)
    # Segment ids have no gradient.
    return 3 * total + 2 * product(tokens, config.type_vocab_size, size)
