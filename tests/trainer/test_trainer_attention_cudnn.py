"""Attention of cuDNN: all but cuDNN itself, which needs a GPU. test_gpu_kit.py compares the calls with those of JAX."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from trainer_models import relative_difference

from trainer.model import attention, attention_cudnn, losses
from trainer.model.attention_cudnn import BACKWARD, FORWARD, cudnn_attention
from trainer.model.config import ModelConfig
from trainer.model.model import Albert
from trainer.run import step

pytestmark = pytest.mark.tensorflow

SHAPE = (4, 16, 2, 8)
LENGTHS = [16, 9, 1, 0]
SCALE = 8**-0.5


def reference(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, lengths: tf.Tensor, scale: float) -> tf.Tensor:
    """What `cudnn_attention` computes, in float32 and with nothing fused."""
    length = query.shape[1]
    real = tf.sequence_mask(lengths, length)
    factors = (tf.transpose(tf.cast(x, tf.float32), [0, 2, 1, 3]) for x in (query, key, value))
    query_heads, key_heads, value_heads = factors  # [B, S, N, D] -> [B, N, S, D]
    scores = tf.matmul(query_heads, key_heads, transpose_b=True) * scale  # -> [B, N, S, S]
    # Large and finite: an empty sequence has no score left, and its result is dropped.
    scores = tf.where(real[:, tf.newaxis, tf.newaxis], scores, -1e9)
    context = tf.transpose(tf.matmul(tf.nn.softmax(scores), value_heads), [0, 2, 1, 3])
    return tf.cast(tf.where(real[:, :, tf.newaxis, tf.newaxis], context, 0.0), query.dtype)


def cudnn(
    arguments: list[tf.Tensor], module: bytes, dtypes: list[tf.DType], shapes: list[tuple[int, ...]]
) -> list[tf.Tensor]:
    """What cuDNN is taken to do with a call: beyond a sequence's end it leaves what is no number."""
    query, key, value = (tf.cast(x, tf.float32) for x in arguments[:3])
    counts = arguments[-1]
    real = tf.sequence_mask(counts, query.shape[1])
    outside = real[:, :, tf.newaxis, tf.newaxis]
    scores = tf.einsum("bsnd,btnd->bnst", query, key) * SCALE
    scores = tf.where(real[:, tf.newaxis, tf.newaxis], scores, -np.inf)
    if len(arguments) == 4:
        context = tf.einsum("bnst,btnd->bsnd", tf.nn.softmax(scores), value)
        found = [tf.where(outside, context, np.nan), tf.reduce_logsumexp(scores, -1)]
    else:
        statistics, upstream, context = arguments[3], *(tf.cast(x, tf.float32) for x in arguments[4:6])
        probabilities = tf.exp(scores - statistics[..., tf.newaxis])
        by_probabilities = tf.einsum("bsnd,btnd->bnst", upstream, value)
        sums = tf.transpose(tf.reduce_sum(upstream * context, -1), [0, 2, 1])[..., tf.newaxis]  # [B, N, S, 1]
        by_scores = probabilities * (by_probabilities - sums) * SCALE
        gradients = (
            tf.einsum("bnst,btnd->bsnd", by_scores, key),
            tf.einsum("bnst,bsnd->btnd", by_scores, query),
            tf.einsum("bnst,bsnd->btnd", probabilities, upstream),
        )
        found = [tf.where(outside, gradient, np.nan) for gradient in gradients]
    assert module
    assert [tuple(x.shape) for x in found] == [tuple(shape) for shape in shapes]
    return [tf.cast(x, dtype) for x, dtype in zip(found, dtypes, strict=True)]


def factors() -> list[tf.Tensor]:
    """Query, key, value and the gradient of the context, which is 0 at padding, as in a model."""
    made = np.random.default_rng(3).standard_normal((4, *SHAPE))
    for row, length in enumerate(LENGTHS):
        made[3, row, length:] = 0
    return [tf.constant(x, tf.bfloat16) for x in made]


def both(attention: Any) -> list[Any]:
    """The context and the three gradients, float64."""
    *inputs, upstream = factors()
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        context = attention(*inputs, tf.constant(LENGTHS), SCALE)
    return [x.numpy().astype(np.float64) for x in (context, *tape.gradient(context, inputs, upstream))]


def test_values_and_gradients_are_those_of_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_cudnn, "_call", cudnn)
    for found, wanted in zip(both(cudnn_attention), both(reference), strict=True):
        assert np.isfinite(found).all()
        assert relative_difference(found, wanted) < 0.01  # bfloat16 has three digits


def test_padding_gives_and_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_cudnn, "_call", cudnn)
    for found in both(cudnn_attention):
        for row, length in enumerate(LENGTHS):
            assert (found[row, length:] == 0).all()


def test_on_a_gpu_it_is_the_same() -> None:
    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("needs a GPU that TensorFlow sees")
    compiled = tf.function(both_tensors, jit_compile=True)
    for found, wanted in zip(compiled(), both(reference), strict=True):
        assert relative_difference(found, wanted) < 0.02


def both_tensors() -> list[tf.Tensor]:
    *inputs, upstream = factors()
    query, key, value = inputs
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        context = cudnn_attention(query, key, value, tf.constant(LENGTHS), SCALE)
    return [tf.cast(x, tf.float32) for x in (context, *tape.gradient(context, inputs, upstream))]


def test_a_model_with_it_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """That padding's context is 0 here, and not in plain attention, changes neither loss nor gradient."""
    monkeypatch.setattr(attention, "cudnn_attention", reference)
    config = ModelConfig(64, 32, 2, 4, 64, embedding_size=16, max_position_embeddings=16)
    rng = np.random.default_rng(5)
    lengths = np.array([16, 9, 5])
    batch = {
        "input_ids": tf.constant(rng.integers(5, 64, (3, 16)), tf.int32),
        "input_mask": tf.cast(tf.sequence_mask(lengths, 16), tf.int32),
        "segment_ids": tf.zeros([3, 16], tf.int32),
        "masked_lm_positions": tf.constant([[1, 2], [3, 8], [4, 0]]),
        "masked_lm_ids": tf.constant(rng.integers(5, 64, (3, 2)), tf.int32),
        "masked_lm_weights": tf.constant([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]),
        "next_sentence_labels": tf.constant([[0], [1], [0]]),
    }
    found = []
    for kind in ("plain", "cudnn"):
        share = step.make_gradient(Albert(config, attention=kind), jit=False)
        found.append(share(batch, losses.totals(batch), tf.zeros([2], tf.int32)))
    (plain, plain_gradient), (fused, fused_gradient) = found
    np.testing.assert_allclose(np.array(fused), np.array(plain), rtol=1e-5)
    assert relative_difference(fused_gradient, plain_gradient) < 1e-5


def test_the_configuration_is_in_xlas_words() -> None:
    config = attention_cudnn.backend_config(BACKWARD, SHAPE, SCALE)["cudnn_fmha_backend_config"]
    assert config["mask_type"] == "PADDING"
    assert config["fmha_scale"] == SCALE
    assert config["intermediate_tensor_shape"]["dimensions"] == ["4", "2", "16", "16"]
    names = {name for name in config if name.endswith("dot_dimension_numbers")}
    assert len(names) == 4
    assert "\\22mask_type\\22: \\22PADDING\\22" in attention_cudnn.forward_text(SHAPE, SCALE)
    assert json.dumps(SCALE) in attention_cudnn.backward_text(SHAPE, SCALE)


def test_the_compiled_function_has_one_call_each() -> None:
    spec = tf.TensorSpec(SHAPE, tf.bfloat16)

    def gradients(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, lengths: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([query, key, value])
            context = cudnn_attention(query, key, value, lengths, SCALE)
        found: list[tf.Tensor] = tape.gradient(context, [query, key, value])
        return found

    compiled = tf.function(gradients, jit_compile=True)
    text = compiled.experimental_get_compiler_ir(spec, spec, spec, tf.TensorSpec([SHAPE[0]], tf.int32))(stage="hlo")
    for target in (FORWARD, BACKWARD):
        assert text.count(f'custom_call_target="{target}"') == 1
    assert "set-dimension-size" not in text  # shapes are static all through


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (tf.TensorSpec(SHAPE, tf.float32), "the compute dtype must be bfloat16 with attention='cudnn', got float32"),
        (
            tf.TensorSpec([2, 16, 2, 12], tf.bfloat16),
            "the size of a head must be a multiple of 8 and at most 128 with attention='cudnn', got 12",
        ),
        (
            tf.TensorSpec([2, 16, 2, 136], tf.bfloat16),
            "the size of a head must be a multiple of 8 and at most 128 with attention='cudnn', got 136",
        ),
        (
            tf.TensorSpec([None, 16, 2, 8], tf.bfloat16),
            r"the shape must be known with attention='cudnn', got \(None, 16, 2, 8\)",
        ),
    ],
)
def test_what_cudnn_does_not_take_is_refused(spec: tf.TensorSpec, message: str) -> None:
    traced = tf.function(lambda x, lengths: cudnn_attention(x, x, x, lengths, SCALE))
    with pytest.raises(ValueError, match=message):
        traced.get_concrete_function(spec, tf.TensorSpec([None], tf.int32))
