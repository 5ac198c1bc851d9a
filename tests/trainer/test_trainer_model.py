"""The model, its losses and the gradient step, against the reference's own values and against themselves."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from trainer_models import MODELS, NAMES, arrays, batch, difference, forward_batch, load, relative_difference

from trainer.model import losses
from trainer.model.config import PRESETS, ModelConfig
from trainer.model.flops import forward_flops, training_flops
from trainer.model.layers import LayerNorm, Weights, activation, gelu
from trainer.model.model import Albert, Logits
from trainer.model.recompute import unknown_zero
from trainer.run.step import make_gradient

pytestmark = pytest.mark.tensorflow

SMALL = ModelConfig(100, 32, 2, 4, 64, embedding_size=16, max_position_embeddings=128)
DROPOUT = replace(SMALL, vocab_size=2000, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)


def key(*numbers: int) -> tf.Tensor:
    return tf.constant(numbers or (1, 2), tf.int32)


# --- as the reference ------------------------------------------------------------------------------------------------


@pytest.mark.golden
@pytest.mark.parametrize("name", NAMES)
def test_variables_have_the_reference_names_and_shapes(name: str) -> None:
    lines = (MODELS / name / "variables.txt").read_text().splitlines()
    expected = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines}
    model = Albert(ModelConfig.from_file(MODELS / name / "albert_config.json"))
    assert {key: str(list(variable.shape)) for key, variable in model.named_variables.items()} == expected
    assert len(model.variables) == len(expected)


@pytest.mark.golden
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_forward_values_are_the_reference_ones(name: str, jit: bool) -> None:
    model, features, expected = load(name), forward_batch(name), arrays(name, "forward.npz")

    @tf.function(jit_compile=jit)
    def forward() -> Any:
        encoded = model.encode(features["input_ids"], features["input_mask"], features["segment_ids"])
        logits = model(features)
        return encoded, logits, losses.metrics(losses.sums(logits, features), losses.totals(features))

    encoded, logits, metrics = forward()
    for output in ("embedding_output", "sequence_output", "pooled_output"):
        assert difference(getattr(encoded, output), expected[output]) < 1e-5
    order = tf.nn.log_softmax(logits.sentence_order)
    assert difference(order, expected["sentence_order_log_probs"]) < 1e-5
    labels = features["next_sentence_labels"]
    assert difference(-tf.gather(order, labels, batch_dims=1)[:, 0], expected["sentence_order_example_loss"]) < 1e-5
    masked = tf.nn.sparse_softmax_cross_entropy_with_logits(features["masked_lm_ids"], logits.masked_lm)
    assert difference(tf.reshape(masked, [-1]), expected["masked_lm_example_loss"]) < 1e-5
    assert difference(metrics.masked_lm_loss, expected["masked_lm_loss"]) < 1e-5
    assert difference(metrics.sentence_order_loss, expected["sentence_order_loss"]) < 1e-5
    if name == "tiny":
        first = tf.nn.log_softmax(logits.masked_lm)[0]
        assert difference(first, expected["masked_lm_logits_log_softmax"]) < 1e-5


# --- the model by itself ---------------------------------------------------------------------------------------------


def test_initial_weights() -> None:
    model = Albert(replace(SMALL, vocab_size=5000), seed=3)
    for name, variable in model.named_variables.items():
        values = variable.numpy()
        assert values.dtype == np.float32
        if name.endswith(("kernel", "embeddings", "weights")):
            assert 0 < np.abs(values).max() <= 0.04
        else:
            assert (values == (1 if name.endswith("gamma") else 0)).all()
    words = model.word_embeddings.numpy()
    # A normal distribution cut off at two standard deviations has 0.8796 of its standard deviation.
    assert words.std() == pytest.approx(0.02 * 0.8796, rel=0.01)
    assert abs(words.mean()) < 2e-4

    same, other = Albert(replace(SMALL, vocab_size=5000), seed=3), Albert(replace(SMALL, vocab_size=5000), seed=4)
    assert difference(same.word_embeddings, words) == 0
    assert difference(other.word_embeddings, words) > 0.01
    # The layers of a block differ from one another, and a variable from itself in a model of another depth does not.
    deeper = Albert(replace(SMALL, num_hidden_layers=5, inner_group_num=2), seed=3).named_variables
    query = "bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel"
    assert difference(deeper[query], model.named_variables[query]) == 0
    assert difference(deeper[query], deeper[query.replace("query", "key")]) > 0.01


def test_padding_changes_nothing() -> None:
    model, features = load("tiny"), batch(0)
    padding = tf.constant([[0] * 90 + [1] * 38] * 8)
    features |= {"input_mask": 1 - padding, "masked_lm_positions": features["masked_lm_positions"] % 90}
    changed = features | {
        "input_ids": features["input_ids"] * (1 - padding),
        "segment_ids": features["segment_ids"] * (1 - padding),
    }
    assert difference(model(features).masked_lm, model(changed | {"input_mask": 1 - padding * 0}).masked_lm) > 0.01
    for left, right in zip(model(features), model(changed), strict=True):
        assert difference(left, right) < 1e-5


def test_sizes_need_not_be_known_when_traced() -> None:
    model, features = load("groups"), batch(0)
    features["masked_lm_positions"] %= 100
    signature = {name: tf.TensorSpec([None] * feature.shape.rank, feature.dtype) for name, feature in features.items()}
    traced = tf.function(model, input_signature=[signature])
    shorter = {name: feature[:3, :100] for name, feature in features.items()}
    for part in (features, shorter):
        for left, right in zip(traced(part), model(part), strict=True):
            assert difference(left, right) < 1e-5


@pytest.mark.parametrize("name", ["gelu", "relu", "tanh"])
def test_activations(name: str) -> None:
    x = tf.constant(np.linspace(-9, 9, 1001), tf.float32)
    expected = {"gelu": lambda x: tf.nn.gelu(x, approximate=True), "relu": tf.nn.relu, "tanh": tf.tanh}
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours, theirs = activation(name, x), expected[name](x)
    assert difference(ours, theirs) < 5e-6
    assert difference(tape.gradient(ours, x), tape.gradient(theirs, x)) < 5e-6
    assert activation(name, tf.cast(x, tf.bfloat16)).dtype == tf.bfloat16
    assert Albert(replace(SMALL, hidden_act=name)).named_variables.keys() == Albert(SMALL).named_variables.keys()


def test_gelu_gradient_by_differences() -> None:
    x = tf.constant(np.linspace(-4, 4, 81), tf.float64)
    computed, numeric = tf.test.compute_gradient(gelu, [x])
    assert difference(computed[0], numeric[0]) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_gradient_by_differences(name: str) -> None:
    """Along a random direction through all variables at once; in float32, so only to about a per cent."""
    model, features = load(name), batch(0)
    whole = losses.totals(features)
    variables = model.named_variables

    @tf.function
    def loss() -> tf.Tensor:
        return losses.loss(losses.sums(model(features), features), whole)

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, variables)
    assert all(gradient is not None for gradient in gradients.values())
    # Mostly along the gradient, so that the slope is not lost in the rounding of the loss.
    rng = np.random.default_rng(0)
    direction = {
        n: tf.convert_to_tensor(g) + 0.02 * tf.constant(rng.normal(size=g.shape), tf.float32)
        for n, g in gradients.items()
    }
    slope = sum(float(tf.reduce_sum(tf.convert_to_tensor(g) * direction[n])) for n, g in gradients.items())
    values = []
    for sign in (1, -2):
        for n, variable in variables.items():
            variable.assign_add(sign * 1e-3 * direction[n])
        values.append(float(loss()))
    assert (values[0] - values[1]) / 2e-3 == pytest.approx(slope, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_tracks_float32(name: str) -> None:
    features = batch(0)
    results = {}
    for dtype in (tf.float32, tf.bfloat16):
        model = load(name, compute_dtype=dtype)
        assert model.encode(*(features[f] for f in ("input_ids", "input_mask", "segment_ids")))[1].dtype == dtype
        with tf.GradientTape() as tape:
            logits = model(features)
            loss = losses.loss(losses.sums(logits, features), losses.totals(features))
        assert {logits.masked_lm.dtype, logits.sentence_order.dtype, loss.dtype} == {tf.float32}
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, model.named_variables).values()]
        assert {g.dtype for g in gradients} == {tf.float32}
        results[dtype] = (logits, float(loss), np.concatenate([np.ravel(g) for g in gradients]))
    (exact, exact_loss, exact_gradient), (rounded, rounded_loss, rounded_gradient) = results.values()
    assert rounded_loss == pytest.approx(exact_loss, abs=0.01)
    assert 0 < relative_difference(rounded.masked_lm, exact.masked_lm) < 0.02
    assert relative_difference(rounded.sentence_order, exact.sentence_order) < 0.08
    assert relative_difference(rounded_gradient, exact_gradient) < 0.1


def test_errors_name_rule_and_value() -> None:
    with pytest.raises(ValueError, match=r"^compute_dtype must be float32 or bfloat16, got tf.float16$"):
        Albert(SMALL, tf.float16)
    ids = tf.zeros([1, 129], tf.int32)
    with pytest.raises(ValueError, match=r"at most max_position_embeddings \(128\) tokens, got 129$"):
        Albert(SMALL).encode(ids, ids, ids)


# --- dropout ---------------------------------------------------------------------------------------------------------


def test_dropout_in_the_model_is_keyed() -> None:
    model, features = Albert(DROPOUT), batch(0)
    compiled = tf.function(model, jit_compile=True)
    plain, one, other = (model(features, chosen).masked_lm for chosen in (None, key(1, 2), key(1, 3)))
    assert difference(model(features, key(1, 2)).masked_lm, one) == 0
    assert difference(compiled(features, key(1, 2)).masked_lm, one) < 1e-5
    for left, right in pairwise((plain, one, other, plain)):
        assert difference(left, right) > 0.01
    for off in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        part = Albert(ModelConfig.from_mapping(asdict(DROPOUT) | {off: 0}))
        assert difference(part(features, key()).masked_lm, plain) > 1e-5


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("config", [SMALL, DROPOUT], ids=["plain", "dropout"])
def test_ways_to_attend_and_recomputation_change_no_gradient(config: ModelConfig, jit: bool) -> None:
    features = {n: f % config.vocab_size if n.endswith("ids") else f for n, f in batch(0).items()}
    found = {}
    for way in ({"attention": "autodiff"}, {"attention": "plain"}, {"attention": "plain", "recompute": True}):
        model = Albert(config, seed=3, **way)
        sums, gradient = make_gradient(model, jit=jit)(features, losses.totals(features), key())
        found[str(way)] = (float(sums.masked_lm), gradient.numpy())
    (loss, expected), *others = found.values()
    for other_loss, gradient in others:
        assert other_loss == pytest.approx(loss, rel=1e-6)
        assert relative_difference(gradient, expected) < 1e-6


def test_unknown_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="attention must be one of plain, autodiff, cudnn, got 'flash'"):
        Albert(DROPOUT, attention="flash")(batch(0))
    with pytest.raises(ValueError, match=r"attention_probs_dropout_prob must be 0 with attention='cudnn', got 0\.1"):
        Albert(DROPOUT, attention="cudnn")(batch(0))


# --- losses ----------------------------------------------------------------------------------------------------------


def made_up(weights: Any) -> tuple[Logits, dict[str, tf.Tensor]]:
    rng = np.random.default_rng(1)
    logits = Logits(
        tf.constant(rng.normal(size=(4, 3, 7)), tf.float32), tf.constant(rng.normal(size=(4, 2)), tf.float32)
    )
    features = {
        "masked_lm_ids": tf.constant(rng.integers(0, 7, (4, 3)), tf.int32),
        "masked_lm_weights": tf.constant(weights, tf.float32),
        "next_sentence_labels": tf.constant(rng.integers(0, 2, (4, 1)), tf.int32),
    }
    return logits, features


def test_losses_by_hand() -> None:
    logits, features = made_up([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]])
    metrics = losses.metrics(losses.sums(logits, features), losses.totals(features))

    def cross_entropy(values: Any, label: int) -> float:
        values = np.asarray(values, np.float64)
        return float(np.log(np.exp(values).sum()) - values[label])

    ids, labels = features["masked_lm_ids"].numpy(), features["next_sentence_labels"].numpy()[:, 0]
    used = [(row, place) for row in range(4) for place in range(3) if features["masked_lm_weights"][row, place] > 0]
    masked = [cross_entropy(logits.masked_lm[at], ids[at]) for at in used]
    order = [cross_entropy(logits.sentence_order[row], labels[row]) for row in range(4)]
    assert float(metrics.masked_lm_loss) == pytest.approx(sum(masked) / (6 + 1e-5), rel=1e-6)
    assert float(metrics.sentence_order_loss) == pytest.approx(np.mean(order), rel=1e-6)
    assert float(metrics.loss) == pytest.approx(sum(masked) / (6 + 1e-5) + np.mean(order), rel=1e-6)
    hits = [int(np.argmax(logits.masked_lm[at])) == ids[at] for at in used]
    assert float(metrics.masked_lm_accuracy) == pytest.approx(np.mean(hits))
    right = np.argmax(logits.sentence_order, axis=1) == labels
    assert float(metrics.sentence_order_accuracy) == pytest.approx(right.mean())


def test_losses_without_predictions() -> None:
    logits, features = made_up(np.zeros([4, 3]))
    metrics = losses.metrics(losses.sums(logits, features), losses.totals(features))
    assert float(metrics.masked_lm_loss) == float(metrics.masked_lm_accuracy) == 0
    assert float(metrics.loss) == float(metrics.sentence_order_loss) > 0


def test_losses_of_parts_add_up() -> None:
    logits, features = made_up([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]])
    whole = losses.totals(features)
    expected = losses.loss(losses.sums(logits, features), whole)
    shares = []
    for rows in (slice(0, 1), slice(1, 4)):
        part = Logits(logits.masked_lm[rows], logits.sentence_order[rows])
        shares.append(losses.loss(losses.sums(part, {name: f[rows] for name, f in features.items()}), whole))
    assert difference(sum(shares), expected) < 1e-6
    assert difference(sum(shares) / 2, expected) > 0.1


# --- operations ------------------------------------------------------------------------------------------------------

DOT = re.compile(r" = \w+\[([\d,]*)\]\S* dot\(\w+\[([\d,]*)\]\S* %\S+, .*?lhs_contracting_dims=\{([\d,]*)\}")


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def dot_flops(function: Any, *arguments: Any) -> int:
    """Operations of all matrix products in the HLO that a compiled function becomes, before XLA changes it."""
    text = function.experimental_get_compiler_ir(*arguments)(stage="hlo")
    found = DOT.findall(text)
    assert len(found) == text.count(" dot(") > 0
    total = 0
    for out, left, contracted in found:
        sizes = numbers(left)
        total += 2 * int(np.prod(numbers(out), dtype=np.int64)) * int(np.prod([sizes[a] for a in numbers(contracted)]))
    return total


@pytest.mark.parametrize(
    ("config", "length"),
    [
        (replace(PRESETS["tiny"], vocab_size=2000), 128),
        (replace(PRESETS["base"], num_hidden_layers=2, vocab_size=3000), 512),
        (replace(SMALL, embedding_size=32, num_hidden_groups=3, inner_group_num=2, num_hidden_layers=3), 64),
    ],
)
def test_flops_are_those_of_the_compiled_step(config: ModelConfig, length: int) -> None:
    model, sequences, predictions = Albert(config), 2, 20
    features = {name: tf.zeros([sequences, length], tf.int32) for name in ("input_ids", "input_mask", "segment_ids")}
    features |= {
        "masked_lm_positions": tf.zeros([sequences, predictions], tf.int32),
        "masked_lm_ids": tf.zeros([sequences, predictions], tf.int32),
        "masked_lm_weights": tf.ones([sequences, predictions]),
        "next_sentence_labels": tf.zeros([sequences, 1], tf.int32),
    }

    @tf.function(jit_compile=True)
    def forward(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return losses.loss(losses.sums(model(batch), batch), losses.totals(batch))

    @tf.function(jit_compile=True)
    def train(batch: dict[str, tf.Tensor]) -> Any:
        with tf.GradientTape() as tape:
            loss = losses.loss(losses.sums(model(batch), batch), losses.totals(batch))
        return tape.gradient(loss, model.named_variables)

    expected = sequences * forward_flops(config, length, predictions)
    assert dot_flops(forward, features) == pytest.approx(expected, rel=0.02)
    expected = sequences * training_flops(config, length, predictions)
    assert dot_flops(train, features) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("jit", [False, True])
def test_the_gradients_written_for_bfloat16_are_those_of_float32(jit: bool) -> None:
    """LayerNorm of a sum, and GELU, against automatic differentiation in float32 of the same rounded inputs."""
    rng = np.random.default_rng(4)
    norm = LayerNorm(Weights(0.02, 1), "norm", 32)
    norm.gamma.assign(1 + 0.3 * rng.standard_normal(32))
    norm.beta.assign(0.3 * rng.standard_normal(32))
    x, change, upstream = (tf.cast(rng.standard_normal((50, 32)) + shift, tf.bfloat16) for shift in (0.5, 0, 0))

    def differentiated(wide: bool) -> list[tf.Tensor]:
        dtype = tf.float32 if wide else tf.bfloat16
        zero = unknown_zero(tf.constant(7))
        inputs = [tf.cast(x, dtype), tf.cast(change, dtype)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            found = norm(inputs[0] + inputs[1]) if wide else norm.of_sum(inputs[0], inputs[1], zero)
            found = activation("gelu", found, None if wide else zero)
        gradients = tape.gradient(found, [*inputs, norm.gamma, norm.beta], tf.cast(upstream, dtype))
        return [found, *gradients]

    compiled = tf.function(differentiated, jit_compile=jit, autograph=False)
    for found, wanted in zip(compiled(False), differentiated(True), strict=True):
        difference = np.linalg.norm(tf.cast(found, tf.float32) - wanted) / np.linalg.norm(wanted)
        assert difference < 0.008  # two roundings to bfloat16
