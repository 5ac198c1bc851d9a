"""How much memory a step takes, before it takes it. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.config import ModelConfig

RUNTIME = 1 << 29
"""Bytes that TensorFlow and XLA take besides: about what a step of a tiny model was measured with."""

SHARE = 0.8
"""Of a device's memory that an estimate may fill: the rest is for the runtime, and for the estimate's error."""


def parameters(config: ModelConfig) -> int:
    """Weights of the model with its heads; shared ones count once."""
    vocab, size, hidden, wide = (
        config.vocab_size,
        config.embedding_size,
        config.hidden_size,
        config.intermediate_size,
    )
    embeddings = (vocab + config.type_vocab_size + config.max_position_embeddings + 2) * size
    mapping = size * hidden + hidden if config.has_mapping else 0
    attention = 4 * (hidden * hidden + hidden) + 2 * hidden
    feed_forward = hidden * wide + wide + wide * hidden + hidden + 2 * hidden
    groups = len({config.group_of_layer(layer) for layer in range(config.num_hidden_layers)})
    heads = hidden * hidden + hidden + hidden * size + 3 * size + vocab + 2 * hidden + 2
    return embeddings + mapping + groups * config.inner_group_num * (attention + feed_forward) + heads


def estimate(config: ModelConfig, micro_batch: int, length: int, predictions: int, precision: str) -> int:
    """Bytes that a step takes on a device.

    Weights, the optimizer's two slots, the gradient and the sum of gradients, all float32; of each sequence of the
    micro-batch what the backward pass needs of the forward pass; and `RUNTIME`. What a sequence takes was measured on
    processors in float32 (tiny at 128 tokens, base at 128 and 512): 0.8 to 0.9 times as much.

    Args:
        config: the model.
        micro_batch: sequences at a time.
        length: tokens of a sequence.
        predictions: masked positions of a sequence.
        precision: "bf16" or "float32".
    """
    fixed = RUNTIME + 5 * 4 * parameters(config)
    return fixed + micro_batch * activations(config, length, predictions, precision)


def activations(config: ModelConfig, length: int, predictions: int, precision: str) -> int:
    """Bytes that one sequence keeps between the forward and the backward pass."""
    width = 2 if precision == "bf16" else 4
    hidden, wide = config.hidden_size, config.intermediate_size
    # Of a block: its input, query, key, value, context and the sum after attention; a normalised sum in float32; the
    # wide layer before and after its activation; the probabilities, and in bfloat16 both they and their cast.
    token = hidden * (6 * width + 4) + wide * 2 * width
    attention = config.num_attention_heads * length * length * (6 if precision == "bf16" else 4)
    blocks = config.num_hidden_layers * config.inner_group_num
    logits = predictions * config.vocab_size * (8 + width)
    return blocks * (length * token + attention) + length * config.embedding_size * 16 + logits


def fitting_micro_batch(
    config: ModelConfig, share: int, length: int, predictions: int, precision: str, memory: int | None, tokens: int
) -> int:
    """The largest micro-batch that divides a device's share of the batch, has at most `tokens` tokens, and fits.

    Args:
        config: the model.
        share: sequences of a step on a device.
        length: tokens of a sequence.
        predictions: masked positions of a sequence.
        precision: "bf16" or "float32".
        memory: the device's, in bytes; None where it is not known.
        tokens: where a larger micro-batch is no faster.
    """
    for size in range(min(share, max(1, tokens // length)), 1, -1):
        fits = memory is None or estimate(config, size, length, predictions, precision) <= SHARE * memory
        if share % size == 0 and fits:
            return size
    return 1
