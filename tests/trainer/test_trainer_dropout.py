"""Dropout masks: a function of seed, step, place, row, position and unit alone, and as good as random."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
stats = pytest.importorskip("scipy.stats")

import tensorflow as tf
from trainer_models import difference

from trainer.model.dropout import Dropout, Key

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.tensorflow

LEAST = 1e-4
"""The least p value of a test that passes. Seeds are fixed, so each either passes or does not."""


def key(*numbers: int) -> tf.Tensor:
    return tf.constant(numbers or (1, 2), tf.int64)


def dropped(step: int, shape: tuple[int, ...], rate: float, place: int = 1, rows: Any = None) -> NDArray[np.bool_]:
    """Where dropout at a place of a pass drops: [B, ..., U]."""
    dropout = Dropout(key(12345, step), tf.range(shape[0]) if rows is None else tf.constant(rows, tf.int32))
    found: NDArray[np.bool_] = dropout.at(place, tf.ones(shape), rate, *shape[1:-1]).numpy() == 0
    return found


# --- what decides a mask ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_share_and_scale(dtype: tf.DType) -> None:
    x = tf.ones([500, 1000], dtype)
    values = tf.cast(Dropout(key(), tf.range(500))(x, 0.1), tf.float32).numpy()
    assert set(np.unique(values)) == {0.0, float(tf.cast(1 / 0.9, dtype))}
    assert (values == 0).mean() == pytest.approx(0.1, abs=0.002)
    assert Dropout(key(), tf.range(500))(x, 0.0) is x
    assert Dropout(None)(x, 0.1) is x


def test_the_gradient_drops_the_same() -> None:
    x = tf.random.stateless_normal([8, 16, 32], [1, 2])
    dropout = Dropout(key(), tf.range(8))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = dropout(x, 0.3, 16)
    by_x = tape.gradient(y, x, output_gradients=tf.ones_like(y)).numpy()
    np.testing.assert_allclose(by_x * x.numpy(), y.numpy(), rtol=1e-6)


def test_it_depends_on_each_number_and_on_nothing_else() -> None:
    whole = dropped(3, (8, 16, 32), 0.5)
    # Other rows beside it, another order, fewer positions: what is left is the same.
    part = dropped(3, (3, 8, 32), 0.5, rows=[5, 0, 7])
    np.testing.assert_array_equal(part, whole[[5, 0, 7], :8])
    flat = Dropout(key(12345, 3), tf.range(8)).at(1, tf.ones([8 * 16, 32]), 0.5, 16).numpy() == 0
    np.testing.assert_array_equal(flat.reshape(whole.shape), whole)
    for other in (
        dropped(4, (8, 16, 32), 0.5),
        dropped(3, (8, 16, 32), 0.5, place=2),
        dropped(3, (8, 16, 32), 0.5, rows=range(8, 16)),
        np.roll(whole, 1, axis=0),
        np.roll(whole, 1, axis=1),
        np.roll(whole, 1, axis=2),
    ):
        assert 0.4 < (other == whole).mean() < 0.6
    seed = Dropout(key(12346, 3), tf.range(8)).at(1, tf.ones([8, 16, 32]), 0.5, 16).numpy() == 0
    assert 0.4 < (seed == whole).mean() < 0.6


def test_places_count_up_in_a_pass() -> None:
    one = Dropout(key(), tf.range(64))
    x = tf.ones([64, 64])
    first, second = one(x, 0.5), one(x, 0.5)
    assert difference(first, second) > 0
    again = Dropout(key(), tf.range(64))
    assert difference(again(x, 0.5), first) == 0
    assert difference(again(x, 0.5), second) == 0
    compiled = tf.function(lambda k: Dropout(k, tf.range(64))(x, 0.5), jit_compile=True)
    assert difference(compiled(key(1, 2)), first) == 0


def test_rows_are_needed() -> None:
    with pytest.raises(ValueError, match="dropout needs the rows' numbers in the step"):
        Dropout(key())(tf.ones([2, 2]), 0.5)


# --- as good as random -----------------------------------------------------------------------------------------------


def words(*shape: int, seed: int = 12345, step: int = 0) -> NDArray[np.uint32]:
    """uint32 [*shape]: of rows, positions and so on."""
    found = Key.of(tf.constant(seed), tf.constant(step)).fold(1).fold(tf.range(shape[0]))
    for size in shape[1:-1]:
        found = found.expand().fold(tf.range(size))
    result: NDArray[np.uint32] = found.words(shape[-1]).numpy()
    return result


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
@pytest.mark.parametrize("axes", [(64, 64, 64), (2**15, 2, 4), (4, 2**14, 4), (2, 4, 2**15)])
def test_bytes_are_uniform(axes: tuple[int, ...], shift: int) -> None:
    counts = np.bincount((words(*axes).ravel() >> shift) & 255, minlength=256)
    assert stats.chisquare(counts).pvalue > LEAST


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_drops_of_a_row_are_binomial(rate: float) -> None:
    """A count for each row: neither more alike nor more different than chance has it."""
    shape = (4096, 4, 64)
    for axis in range(3):
        counts = dropped(1, shape, rate).sum(axis=tuple(a for a in range(3) if a != axis))
        draws = np.prod(shape) // shape[axis]
        statistic = ((counts - draws * rate) ** 2 / (draws * rate * (1 - rate))).sum()
        p = stats.chi2(shape[axis]).sf(statistic)
        assert LEAST < p < 1 - LEAST, axis


@pytest.mark.parametrize("distance", [1, 2, 3, 8, 64, 256])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbours_are_not_correlated(axis: int, distance: int) -> None:
    """The four outcomes of a pair, along each axis."""
    shape = [16, 16, 16]
    shape[axis] = 1024
    found = np.moveaxis(dropped(1, tuple(shape), 0.5), axis, 0).astype(np.int64)
    pairs = np.bincount((2 * found[distance:] + found[:-distance]).ravel(), minlength=4)
    assert stats.chisquare(pairs).pvalue > LEAST


def test_streams_are_not_correlated() -> None:
    """Steps, seeds and places that are next to each other: their masks agree as often as chance has it."""
    shape = (64, 32, 64)
    masks = [dropped(step, shape, 0.5, place) for step in (0, 1, 2, 255, 256) for place in (1, 2, 3)]
    size, worst = np.prod(shape), 0.0
    pairs = list(combinations(masks, 2))
    for left, right in pairs:
        worst = max(worst, abs(float((left == right).sum()) - size / 2) / np.sqrt(size / 4))
    # Of that many normal deviates the largest is above this in one case of a thousand.
    assert worst < stats.norm.isf(1e-3 / (2 * len(pairs)))


def test_windows_of_two_rows_do_not_overlap() -> None:
    """No row's stream is another one's, shifted: runs of 8 bits at any place are as often equal as chance has it."""
    found = words(256, 16, 128).reshape(-1, 128)
    assert len(np.unique(found)) > found.size * (1 - 2 * found.size / 2**32)
    starts = found[:, 0]
    inside = np.isin(starts, found[:, 1:])
    assert inside.mean() < 10 * found.size / 2**32 + 1e-3


@pytest.mark.parametrize("bit", range(0, 32, 5))
def test_each_bit_of_a_number_changes_half_of_the_words(bit: int) -> None:
    base = Key.of(tf.constant(1), tf.constant(2))
    number = tf.constant(np.arange(256, dtype=np.uint32))
    other = tf.bitwise.bitwise_xor(number, tf.constant(1 << bit, tf.uint32))
    changed = base.fold(number).words(64).numpy() ^ base.fold(other).words(64).numpy()
    share = np.unpackbits(changed.view(np.uint8)).mean()
    assert share == pytest.approx(0.5, abs=0.01)
