"""Estimates of the memory that a step takes, made before the step. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig

RUNTIME = {"CPU": 1_100_000_000, "GPU": 1 << 29}
"""Bytes that are used apart from the model and its step.

On a CPU, they are those of the process, as measured. On a GPU, they are those of CUDA and what it loads, which is a
guess.
"""

COMPILER = {"CPU": 12_000_000, "GPU": 0}
"""Bytes that the compiler keeps for each block, as measured on a CPU."""

HIDDEN_STATES = 8
"""What a block keeps of a token between the forward and the backward pass, counted in hidden states."""

USABLE_FRACTION = 0.8
"""Fraction of a device's memory that an estimate may fill. The rest is for the runtime and the estimate's error."""


def parameters(config: ModelConfig) -> int:
    """Return the number of weights of the model with its heads. Shared weights count once."""
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


def estimate(
    config: ModelConfig,
    micro_batch: int,
    length: int,
    predictions: int,
    precision: str,
    *,
    recompute: bool = False,
    attention: str = "plain",
    kind: str = "GPU",
) -> int:
    """Estimate the bytes that a step takes on a device.

    They are the weights, the optimizer's two slots and the sum of gradients, all float32, the temporary memory of a
    micro-batch's gradient (`temporary`), and `RUNTIME`.

    On CPUs, this is within 10% of a run's largest resident set (tiny and base, 64 to 512 tokens, float32).

    Args:
        config: the model.
        micro_batch: instances per micro-batch.
        length: tokens per instance.
        predictions: masked tokens per instance.
        precision: "bf16", "float32" or "tf32".
        recompute: whether the backward pass recomputes each block's activations.
        attention: as in `albert_fast.options.TrainingOptions`.
        kind: "CPU" or "GPU".
    """
    kept = 4 * 4 * parameters(config)
    how: dict[str, Any] = {"recompute": recompute, "attention": attention, "copies": 1 if kind == "CPU" else 0}
    kept += RUNTIME[kind] + COMPILER[kind] * config.num_hidden_layers * config.inner_group_num
    return kept + temporary(config, micro_batch, length, predictions, precision, **how)


def temporary(
    config: ModelConfig,
    micro_batch: int,
    length: int,
    predictions: int,
    precision: str,
    *,
    recompute: bool = False,
    attention: str = "plain",
    copies: int = 0,
) -> int:
    """Estimate the temporary bytes of a micro-batch's gradient, as XLA assigns them to its buffers.

    Memory use peaks at one of three moments: when the logits exist, before the backward pass has freed the activations
    of a block, or when it has made the last of the blocks' gradients, which XLA sums at the end. The estimate was
    compared with XLA's own assignment of memory, in float32 on CPUs and in bfloat16 on an H100: see docs/training.md.

    Args:
        config: as `estimate`.
        micro_batch: as `estimate`.
        length: as `estimate`.
        predictions: as `estimate`.
        precision: as `estimate`.
        recompute: as `estimate`.
        attention: as `estimate`.
        copies: number of copies of the factors of large products, which libraries on CPUs make in addition to XLA's
            buffers.
    """
    width = 2 if precision == "bf16" else 4
    blocks = config.num_hidden_layers * config.inner_group_num
    size, wide = config.hidden_size, config.intermediate_size
    block = activations(config, length, precision, attention)
    held = blocks * length * size * width + block if recompute else blocks * block
    logits = predictions * config.vocab_size * (width + 4)
    # The word embeddings are transposed for the logits.
    logits += copies * 4 * predictions * config.vocab_size
    head = 4 * config.vocab_size * config.embedding_size + micro_batch * (held + logits)
    gradient = width * (4 * size * size + 2 * size * wide)
    before = 4 * parameters(config)
    backward = micro_batch * (held + copies * block)
    after = blocks * gradient
    if recompute:
        # While a block is recomputed, the gradients of all other blocks exist.
        again = block * (1 + copies) + length * size * width
        return max(head, before + micro_batch * again + after - gradient)
    return max(head, before + backward, before + after)


def activations(config: ModelConfig, length: int, precision: str, attention: str = "plain") -> int:
    """Return the bytes that a block keeps of one instance between the forward and the backward pass.

    They are its input, query, key, value, context, the sum after attention, and two normalized sums; the wide layer
    before and after its activation; and the probabilities, which fused attention does not keep.
    """
    width = 2 if precision == "bf16" else 4
    hidden, wide = config.hidden_size, config.intermediate_size
    token = width * (HIDDEN_STATES * hidden + 2 * wide)
    probabilities = 0 if attention == "cudnn" else width * config.num_attention_heads * length * length
    if attention == "autodiff" and precision == "bf16":
        probabilities *= 2
    return length * token + probabilities


def fitting_micro_batch(
    config: ModelConfig,
    instances: int,
    length: int,
    predictions: int,
    precision: str,
    memory: int | None,
    tokens: int,
    *,
    recompute: bool = False,
    attention: str = "plain",
    kind: str = "GPU",
) -> int:
    """Return the largest micro-batch that divides a device's part of the batch, has at most `tokens` tokens, and fits.

    Args:
        config: the model.
        instances: instances per step on a device.
        length: tokens per instance.
        predictions: masked tokens per instance.
        precision: "bf16", "float32" or "tf32".
        memory: memory of the device in bytes; None if it is unknown.
        tokens: number of tokens above which a micro-batch is no faster.
        recompute: whether the backward pass recomputes each block's activations.
        attention: as in `albert_fast.options.TrainingOptions`.
        kind: "CPU" or "GPU".
    """
    how: dict[str, Any] = {"recompute": recompute, "attention": attention, "kind": kind}
    for size in range(min(instances, max(1, tokens // length)), 1, -1):
        needed = estimate(config, size, length, predictions, precision, **how)
        fits = memory is None or needed <= USABLE_FRACTION * memory
        if instances % size == 0 and fits:
            return size
    return 1
