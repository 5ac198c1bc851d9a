"""The parts of an ALBERT: dense layers, layer normalization, activations, attention layers and the block.

Weights are float32. Each use casts them to the compute dtype, so the gradients of a shared weight are summed over the
layers in float32. Softmax and layer normalization always use float32.

Hidden states have rank 2, [B * S, H], throughout the encoder, so that every product with a weight is one plain matrix
product. B is the number of instances, S the tokens per instance, H the hidden size, N the number of heads, D the size
of a head.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from trainer.model.attention import Inputs, attend
from trainer.model.recompute import rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trainer.model.config import ModelConfig
    from trainer.model.dropout import Dropout

LAYER_NORM_EPSILON = 1e-12
GENERATOR = "philox"
"""The random generator. TensorFlow's default differs between devices, and initial weights must not depend on them."""


class Weights:
    """Makes the variables of a model, each with the name and shape of its TF1 checkpoint.

    A matrix is drawn from a truncated normal distribution keyed by (seed, name). It does not depend on which other
    variables exist, or on their order.
    """

    def __init__(self, stddev: float, seed: int) -> None:
        self.stddev = stddev
        self.seed = seed

    def matrix(self, name: str, shape: Sequence[int]) -> tf.Variable:
        """Return a variable drawn from the truncated normal distribution (create_initializer of the reference)."""
        key = [self.seed, zlib.crc32(name.encode())]
        values = tf.random.stateless_truncated_normal(shape, key, stddev=self.stddev, alg=GENERATOR)
        return tf.Variable(values, name=name)

    def zeros(self, name: str, size: int) -> tf.Variable:
        """Return a vector of zeros."""
        return tf.Variable(tf.zeros([size]), name=name)

    def ones(self, name: str, size: int) -> tf.Variable:
        """Return a vector of ones."""
        return tf.Variable(tf.ones([size]), name=name)


class Dense(tf.Module):
    """x W + b in the dtype of x: [rows, inputs] -> [rows, outputs]."""

    def __init__(self, weights: Weights, scope: str, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = weights.matrix(f"{scope}/kernel", [inputs, outputs])
        self.bias = weights.zeros(f"{scope}/bias", outputs)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Map `x` [rows, inputs] -> [rows, outputs]."""
        return tf.nn.bias_add(tf.matmul(x, tf.cast(self.kernel, x.dtype)), tf.cast(self.bias, x.dtype))


class LayerNorm(tf.Module):
    """Normalizes the last axis: [..., size] of any dtype -> [..., size] float32."""

    def __init__(self, weights: Weights, scope: str, size: int) -> None:
        super().__init__()
        self.beta = weights.zeros(f"{scope}/beta", size)
        self.gamma = weights.ones(f"{scope}/gamma", size)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Normalize `x` [..., size] -> [..., size] to mean beta and standard deviation gamma."""
        return normalized(tf.cast(x, tf.float32), self.gamma, self.beta)

    def of_sum(self, x: tf.Tensor, change: tf.Tensor, zero: tf.Tensor) -> tf.Tensor:
        """Normalize x + change, both bfloat16 [rows, size], to bfloat16 [rows, size].

        The gradient is written out, so that what a GPU reads and writes between its kernels is bfloat16. XLA would keep
        float32 values, and compute the statistics of a row in the kernel of each of its uses.

        Args:
            x: one summand.
            change: the other summand.
            zero: bfloat16 [], 0, but the compiler does not know it: see `trainer.model.recompute.unknown_zero`.
        """
        size = x.shape[-1]

        @tf.custom_gradient
        def norm(
            x: tf.Tensor, change: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
        ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
                upstream = rounded(upstream, zero)
                # One kernel reads the summands and computes both statistics of each row. They are not those of the
                # forward pass, whose only kernel has one result.
                z = tf.cast(rounded(x, zero), tf.float32) + tf.cast(rounded(change, zero), tf.float32)
                mean = tf.reduce_sum(z, axis=-1, keepdims=True) / size  # [rows, 1]
                square = tf.reduce_sum(tf.square(z), axis=-1, keepdims=True) / size
                scale = tf.math.rsqrt(tf.maximum(square - tf.square(mean), 0.0) + LAYER_NORM_EPSILON)
                unit = tf.cast(rounded(tf.cast((z - mean) * scale, x.dtype), zero), tf.float32)
                wide = tf.cast(upstream, tf.float32)
                by_unit = wide * gamma
                by_unit -= tf.reduce_mean(by_unit, axis=-1, keepdims=True)
                by_unit -= unit * tf.reduce_mean(by_unit * unit, axis=-1, keepdims=True)
                by_sum = rounded(tf.cast(by_unit * scale, x.dtype), zero)
                return by_sum, by_sum, tf.reduce_sum(wide * unit, axis=0), tf.reduce_sum(wide, axis=0)

            z = tf.cast(x, tf.float32) + tf.cast(change, tf.float32)
            return rounded(tf.cast(normalized(z, gamma, beta), x.dtype), zero), gradient

        found: tf.Tensor = norm(x, change, tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta))
        return found


def normalized(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Normalize `x` float32 [..., size] to mean beta and standard deviation gamma, both [size]."""
    centered = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True)
    return centered * tf.math.rsqrt(variance + LAYER_NORM_EPSILON) * gamma + beta


@tf.custom_gradient
def gelu(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Compute the tanh approximation of GELU (arXiv 1606.08415, section 2), as in the reference's gelu.

    The gradient is written out so that a training step keeps only x. Automatic differentiation would also keep
    intermediate results, and this is the widest activation.
    """
    slope, cubic = math.sqrt(2 / math.pi), 0.044715

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        square = x * x
        tanh = tf.tanh(slope * x * (1 + cubic * square))
        inner = slope * (1 + 3 * cubic * square)
        return upstream * (0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * inner)

    return 0.5 * x * (1 + tf.tanh(slope * x * (1 + cubic * x * x))), gradient


def _gelu_bfloat16(x: tf.Tensor, zero: tf.Tensor) -> tf.Tensor:
    """Compute `gelu` of `x`, bfloat16, in float32. The gradient is rounded before all of its uses.

    1 + tanh(u) is 2 sigmoid(2 u). XLA's sigmoid takes a third of the instructions of its tanh on a GPU, and a pass over
    the widest activation is limited by these.
    """
    slope, cubic = math.sqrt(2 / math.pi), 0.044715

    @tf.custom_gradient
    def function(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def sigmoid() -> tuple[tf.Tensor, tf.Tensor]:
            wide = tf.cast(x, tf.float32)
            return wide, tf.sigmoid(wide * (2 * slope + 2 * slope * cubic * tf.square(wide)))

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            wide, part = sigmoid()
            inner = wide * (2 * slope + 6 * slope * cubic * tf.square(wide))
            found = tf.cast(upstream, tf.float32) * (part + inner * (part - tf.square(part)))
            return rounded(tf.cast(found, x.dtype), zero)

        wide, part = sigmoid()
        return tf.cast(wide * part, x.dtype), gradient

    found: tf.Tensor = function(x)
    return found


def activation(name: str, x: tf.Tensor, zero: tf.Tensor | None = None) -> tf.Tensor:
    """Apply `hidden_act` of the configuration. It is computed in float32 and returned in the dtype of x.

    Args:
        name: gelu, relu or tanh.
        x: the activation's input.
        zero: see `trainer.model.recompute.unknown_zero`. With it, GELU rounds the gradient of x, bfloat16, before all
            of its uses. Otherwise, XLA would also write it in float32 for the sum that is the gradient of a bias.
    """
    if name == "gelu" and zero is not None:
        return _gelu_bfloat16(x, zero)
    function = {"gelu": gelu, "relu": tf.nn.relu, "tanh": tf.tanh}[name]
    return tf.cast(function(tf.cast(x, tf.float32)), x.dtype)


class Pass(NamedTuple):
    """What every block needs to know about a forward pass."""

    batch: int | tf.Tensor
    """B, the number of instances."""
    length: int | tf.Tensor
    """S, the tokens per instance."""
    mask_bias: tf.Tensor
    """float32 [B, 1, 1, S]: 0 for tokens, `MASK_BIAS` for padding."""
    lengths: tf.Tensor
    """int32 [B]: the number of tokens of each instance."""
    dropout: Dropout
    """The dropout masks of the pass."""
    attention: str
    """How attention is computed: one of `trainer.options.ATTENTIONS`."""
    zero: tf.Tensor
    """bfloat16 []: see `trainer.model.recompute.unknown_zero`."""


class SelfAttention(tf.Module):
    """Multi-head self-attention with its output layer, before the residual sum: [B * S, H] -> [B * S, H]."""

    def __init__(self, weights: Weights, scope: str, config: ModelConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads, self.head_size = config.num_attention_heads, config.head_size
        self.rate, self.hidden_rate = config.attention_probs_dropout_prob, config.hidden_dropout_prob
        self.query = Dense(weights, f"{scope}/self/query", size, size)
        self.key = Dense(weights, f"{scope}/self/key", size, size)
        self.value = Dense(weights, f"{scope}/self/value", size, size)
        self.output = Dense(weights, f"{scope}/output/dense", size, size)

    def __call__(self, x: tf.Tensor, forward: Pass) -> tf.Tensor:
        """Map `x` [B * S, H] -> [B * S, H] (attention_layer of the reference)."""
        # One product of [B * S, H] and [H, 3 H] reads x once. One large product is faster than three of a third of its
        # size.
        layers = (self.query, self.key, self.value)
        kernel = tf.cast(tf.concat([layer.kernel for layer in layers], 1), x.dtype)
        bias = tf.cast(tf.concat([layer.bias for layer in layers], 0), x.dtype)
        inputs = Inputs(
            forward.batch,
            forward.length,
            self.heads,
            self.head_size,
            forward.mask_bias,
            forward.lengths,
            self.rate,
            forward.dropout,
        )
        context = attend(forward.attention, tf.nn.bias_add(tf.matmul(x, kernel), bias), inputs)  # -> [B * S, H]
        return forward.dropout(self.output(context), self.hidden_rate, forward.length)


class Block(tf.Module):
    """One inner group: attention and feed-forward, each followed by a residual sum and a LayerNorm.

    [B * S, H] -> [B * S, H], in the dtype of the input (attention_ffn_block of the reference).
    """

    def __init__(self, weights: Weights, scope: str, config: ModelConfig) -> None:
        super().__init__()
        size, intermediate = config.hidden_size, config.intermediate_size
        self.hidden_act, self.rate = config.hidden_act, config.hidden_dropout_prob
        self.attention = SelfAttention(weights, f"{scope}/attention_1", config)
        self.attention_norm = LayerNorm(weights, f"{scope}/LayerNorm", size)
        self.intermediate = Dense(weights, f"{scope}/ffn_1/intermediate/dense", size, intermediate)
        self.output = Dense(weights, f"{scope}/ffn_1/intermediate/output/dense", intermediate, size)
        self.output_norm = LayerNorm(weights, f"{scope}/LayerNorm_1", size)

    def __call__(self, x: tf.Tensor, forward: Pass) -> tf.Tensor:
        """Map `x` [B * S, H] -> [B * S, H]."""
        attended = _residual(self.attention_norm, x, self.attention(x, forward), forward)
        zero = None if x.dtype == tf.float32 else forward.zero
        wide = activation(self.hidden_act, self.intermediate(attended), zero)
        change = forward.dropout(self.output(wide), self.rate, forward.length)
        return _residual(self.output_norm, attended, change, forward)


def _residual(norm: LayerNorm, x: tf.Tensor, change: tf.Tensor, forward: Pass) -> tf.Tensor:
    if x.dtype == tf.bfloat16:
        return norm.of_sum(x, change, forward.zero)
    return tf.cast(norm(tf.cast(x, tf.float32) + tf.cast(change, tf.float32)), x.dtype)
