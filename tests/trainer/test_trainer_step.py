"""The training step: what it computes does not depend on widths, micro-batches or devices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from test_trainer_packing import made_up
from trainer_models import batch, difference, relative_difference

from trainer.model import losses
from trainer.model.config import ModelConfig
from trainer.model.features import FEATURES
from trainer.model.model import Albert
from trainer.model.optimizers import Lamb
from trainer.model.schedule import Schedule
from trainer.run import hardware, packing
from trainer.run.feed import Packer, Work
from trainer.run.step import Replica, Report, Step, make_gradient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.run.packing import Width

pytestmark = pytest.mark.tensorflow

SMALL = ModelConfig(2000, 32, 2, 4, 64, embedding_size=16, max_position_embeddings=128)
DROPOUT = replace(SMALL, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
LENGTHS = [64, 3, 60, 17, 16, 33, 32, 64, 5, 9, 20, 40]


def golden(number: int) -> dict[str, Any]:
    """Eight golden records as NumPy arrays, with ids of the small vocabulary."""
    return {name: feature.numpy() for name, feature in batch(number).items()}


def pack(features: dict[str, Any], widths: Sequence[Width], config: ModelConfig = SMALL) -> Work:
    return Packer(widths, config, hardware.one())({name: features[name] for name in FEATURES})


def cuts(micro: int, *tokens: int, longest: int = 64, predictions: int = 10) -> tuple[Width, ...]:
    return packing.explicit(tokens, longest, predictions, micro, packing.sizes(made_up(LENGTHS)), len(LENGTHS))


def replica(config: ModelConfig, **how: Any) -> Replica:
    model = Albert(config, seed=5, **how)
    return Replica(model, Lamb(model.named_variables))


def after_steps(
    config: ModelConfig, widths: Sequence[Width], jit: bool, batches: Sequence[dict[str, Any]]
) -> tuple[list[Report], dict[str, Any]]:
    made = replica(config)
    step = Step([made], Schedule(0.01, 10, 0), seed=7, jit=jit)
    reports = [step(pack(features, widths, config), number) for number, features in enumerate(batches)]
    return reports, {name: variable.numpy() for name, variable in made.model.named_variables.items()}


def gradient(
    config: ModelConfig, widths: Sequence[Width], features: dict[str, Any], jit: bool = False
) -> tuple[Any, Any]:
    """The sums and the gradient of a step, as the optimizer gets them."""
    made = replica(config)
    step = Step([made], Schedule(0.01, 10, 0), seed=7, jit=jit)
    step(pack(features, widths, config), 3)
    total = step.parts[0].total.numpy()
    return total[step.parts[0].size :], total[: step.parts[0].size]


@pytest.mark.slow
@pytest.mark.parametrize("config", [SMALL, DROPOUT], ids=["plain", "dropout"])
def test_widths_and_micro_batches_change_no_gradient(config: ModelConfig) -> None:
    features = made_up(LENGTHS)
    sums, expected = gradient(config, packing.full(64, 10, 12), features)
    for widths, jit in (
        (cuts(4, 16, 32), False),
        (cuts(1, 8, 24, 40), False),
        (packing.full(64, 10, 5), False),
        (cuts(6, 32), True),
    ):
        other_sums, other = gradient(config, widths, features, jit)
        np.testing.assert_allclose(other_sums[[0, 2]], sums[[0, 2]], rtol=1e-6)
        np.testing.assert_array_equal(other_sums[[1, 3]], sums[[1, 3]])
        assert relative_difference(other, expected) < 1e-6, widths


@pytest.mark.slow
def test_the_order_of_the_rows_changes_no_gradient() -> None:
    features = made_up(LENGTHS)
    _, expected = gradient(SMALL, cuts(4, 16, 32), features)
    order = np.random.default_rng(1).permutation(len(LENGTHS))
    _, other = gradient(SMALL, cuts(4, 16, 32), {name: feature[order] for name, feature in features.items()})
    assert relative_difference(other, expected) < 1e-6
    # With dropout it does: a mask goes with the row's number.
    _, dropped = gradient(DROPOUT, cuts(4, 16, 32), features)
    _, other = gradient(DROPOUT, cuts(4, 16, 32), {name: feature[order] for name, feature in features.items()})
    assert relative_difference(other, dropped) > 0.01


def test_a_step_is_the_gradient_of_the_whole_batch() -> None:
    """Against the plain function of the uncut batch, without micro-batches, rows' weights or sorting."""
    features = made_up(LENGTHS)
    _, found = gradient(SMALL, cuts(4, 16, 32), features)
    tensors = {name: tf.constant(features[name]) for name in FEATURES}
    model = Albert(SMALL, seed=5, attention="autodiff")
    _, expected = make_gradient(model, jit=False)(tensors, losses.totals(tensors), tf.constant([7, 3]))
    assert relative_difference(found, expected) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
def test_micro_batches_add_up_to_the_batch(jit: bool) -> None:
    batches = [golden(number) for number in range(3)]
    reports, weights = after_steps(SMALL, packing.full(128, 20, 8), jit, batches)
    split_reports, split_weights = after_steps(SMALL, packing.full(128, 20, 2), jit, batches)
    for left, right in zip(tf.nest.flatten(reports), tf.nest.flatten(split_reports), strict=True):
        assert difference(left, right) < 1e-5
    for name, values in weights.items():
        if name.endswith("self/key/bias"):
            # Its gradient is nothing but rounding: softmax does not see a shift of all scores.
            assert max(np.abs(values).max(), np.abs(split_weights[name]).max()) < 1e-6
        else:
            assert relative_difference(split_weights[name], values) < 1e-4, name
    losses_seen = [float(report.metrics.loss) for report in reports]
    assert losses_seen[2] < losses_seen[0]
    assert [float(report.learning_rate) for report in reports] == pytest.approx([0.01, 0.009, 0.008])


@pytest.mark.slow
def test_steps_with_dropout_can_be_repeated() -> None:
    batches = [golden(number) for number in range(2)]
    _, weights = after_steps(DROPOUT, packing.full(128, 20, 4), False, batches)
    _, again = after_steps(DROPOUT, packing.full(128, 20, 4), False, batches)
    for name, values in weights.items():
        assert difference(values, again[name]) == 0


@pytest.mark.slow
def test_bfloat16_tracks_float32_over_200_steps() -> None:
    """On golden records, from loss 8.3 down: the mean losses of each 20 steps are within 1 %."""
    config = replace(SMALL, initializer_range=0.05)
    batches = [golden(number) for number in range(25)]
    widths = packing.full(128, 20, 8)
    means = []
    for dtype in (tf.float32, tf.bfloat16):
        model = Albert(config, dtype, seed=5)
        step = Step([Replica(model, Lamb(model.named_variables))], Schedule(0.01, 200, 20), seed=7, jit=True)
        losses_seen = [float(step(pack(batches[n % 25], widths, config), n).metrics.loss) for n in range(200)]
        means.append(np.reshape(losses_seen, (10, 20)).mean(axis=1))
    exact, rounded = means
    assert exact[-1] < exact[0] - 1
    np.testing.assert_allclose(rounded, exact, rtol=0.01)


@pytest.mark.parametrize("jit", [False, True])
def test_a_step_that_is_not_finite_changes_nothing(jit: bool) -> None:
    made = replica(SMALL)
    step = Step([made], Schedule(0.01, 10, 0), jit=jit)
    widths = packing.full(128, 20, 4)
    good = golden(0)
    step(pack(good, widths), 0)
    before = {name: variable.numpy() for name, variable in made.variables.items()}
    bad = good | {"masked_lm_weights": good["masked_lm_weights"] * np.float32("nan")}
    report = step(pack(bad, widths), 1, lambda: (1.0, 0.0))
    assert np.isnan(float(report.metrics.loss))
    assert np.isnan(float(report.gradient_norm))
    assert report.signals.numpy().tolist() == [1, 0]
    assert int(report.tokens) == int(bad["input_mask"].sum())
    for name, values in before.items():
        np.testing.assert_array_equal(made.variables[name], values)
    step(pack(good, widths), 1)
    assert difference(made.variables["bert/pooler/dense/kernel"], before["bert/pooler/dense/kernel"]) > 0


@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_abandoned_step_changes_nothing(after: int) -> None:
    made = replica(SMALL)
    step = Step([made], Schedule(0.01, 10, 0), jit=False)
    work = pack(golden(0), packing.full(128, 20, 2))
    before = {name: variable.numpy() for name, variable in made.variables.items()}
    asked: list[int] = []

    def abandon(left: int) -> bool:
        asked.append(left)
        return len(asked) > after

    report = step(work, 0, abandon=abandon)
    assert asked == [4, 3, 2, 1][: after + 1]
    assert float(report.abandoned) == 1
    for name, values in before.items():
        np.testing.assert_array_equal(made.variables[name], values)
    # The next try of the same step is as if nothing had been.
    other = replica(SMALL)
    expected = Step([other], Schedule(0.01, 10, 0), jit=False)(work, 0)
    report = step(work, 0)
    assert float(report.abandoned) == 0
    assert float(report.metrics.loss) == float(expected.metrics.loss)
    for name, variable in other.variables.items():
        np.testing.assert_array_equal(made.variables[name], variable)


def test_compilations_are_told() -> None:
    told: list[Width] = []
    step = Step([replica(SMALL)], Schedule(0.01, 10, 0), jit=True, compiling=told.append)
    widths = cuts(6, 32)
    for number in range(2):
        step(pack(made_up(LENGTHS), widths), number)
    assert len(told) == len(set(told)) > 1
    assert set(told) <= set(widths)
    assert step.seconds is not None


def test_tokens_are_counted_with_and_without_padding() -> None:
    features = made_up(LENGTHS)
    step = Step([replica(SMALL)], Schedule(0.01, 10, 0), jit=False)
    work = pack(features, cuts(4, 16, 32))
    report = step(work, 0)
    assert int(report.tokens) == sum(LENGTHS) == work.tokens
    assert int(report.computed) == work.computed == sum(w.rows * w.tokens for w, _ in work.parts[0])
    assert float(report.operations) == pytest.approx(work.operations / 1e12)
