"""Dropout whose masks depend only on what is dropped.

Whether a value is kept is a function of (seed, step, place in the model, the row's number in the step, position, unit).
The micro-batch of a row, its width, and the device that computes it do not change the masks.

The function is a counter-based hash. A few operations make a key of two words from a row and a position. The key and
the unit then give the last word by xor, shift and multiplication (the mixing steps of "lowbias32",
https://nullprogram.com/blog/2018/07/31/). XLA computes it inside the loops that use it, once in the forward and again
in the backward pass, so no random numbers and no masks are stored in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B
_GOLDEN = 0x9E3779B9
_WORDS = (0x243F6A88, 0x85A308D3)
"""Initial values of the two words of a key: the first digits of pi."""


def _word(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)


def _shifted(x: tf.Tensor, by: int) -> tf.Tensor:
    """Return `x` xor its own upper bits."""
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, _word(by)))


def _mix(x: tf.Tensor) -> tf.Tensor:
    """Apply a permutation of 32-bit words in which each bit of `x` changes about half of the bits of the result."""
    x = _shifted(x, 16) * _word(_FIRST)
    x = _shifted(x, 15) * _word(_SECOND)
    return _shifted(x, 16)


class Key:
    """Two words, uint32 of any common shape, that identify a stream of random words.

    Args:
        first: one word.
        second: the other, independent of the first.
    """

    def __init__(self, first: tf.Tensor, second: tf.Tensor) -> None:
        self.first, self.second = first, second

    @classmethod
    def of(cls, seed: tf.Tensor, step: tf.Tensor) -> Key:
        """Return the key of a step. `seed` and `step` are integer scalars."""
        return cls(_word(_WORDS[0]), _word(_WORDS[1])).fold(seed).fold(step)

    def fold(self, value: tf.Tensor | int) -> Key:
        """Return the keys of (this key, value); shapes broadcast. Different values give unrelated keys."""
        value = tf.cast(value, tf.uint32)
        return Key(_mix(self.first + _word(_GOLDEN) + value), _mix(tf.bitwise.bitwise_xor(self.second, _mix(value))))

    def expand(self) -> Key:
        """Return the key with one more axis at the end."""
        return Key(self.first[..., tf.newaxis], self.second[..., tf.newaxis])

    def words(self, size: int | tf.Tensor) -> tf.Tensor:
        """Return uint32 [..., size]: the first `size` words of each key's stream."""
        units = tf.cast(tf.range(size), tf.uint32)
        key = self.expand()
        x = _shifted(key.first + units, 16) * _word(_FIRST)
        x = _shifted(tf.bitwise.bitwise_xor(x, key.second), 15) * _word(_SECOND)
        return _shifted(x, 16)


class Dropout:
    """The dropout masks of one forward pass.

    Args:
        key: int32 [2]: seed and step. None for a pass without dropout.
        rows: int32 [B], each row's number in the step.
    """

    def __init__(self, key: tf.Tensor | None, rows: tf.Tensor | None = None) -> None:
        self.key = None if key is None else Key.of(key[0], key[1])
        self.rows = rows
        self.place = 0

    def __call__(self, x: tf.Tensor, rate: float, *axes: int | tf.Tensor) -> tf.Tensor:
        """Return `x` with each value set to 0 with probability `rate`, and the others divided by 1 - rate.

        Args:
            x: [B, *axes, U], of any shape in that order.
            rate: in [0, 1).
            axes: sizes of the axes between the rows and the last one, such as positions. The mask depends on a value's
                index on each axis, its row and its unit, but not on the sizes of the axes.
        """
        return self.at(self.next(), x, rate, *axes)

    def next(self) -> int:
        """Return the number of the next place in the pass."""
        self.place += 1
        return self.place

    def at(self, place: int, x: tf.Tensor, rate: float, *axes: int | tf.Tensor) -> tf.Tensor:
        """Apply dropout as `__call__` does, for a place that `next` returned."""
        masked = self.function(place, rate, x.shape[-1] or tf.shape(x)[-1], *axes)
        if masked is None:
            return x

        @tf.custom_gradient
        def dropped(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            return masked(values), masked

        return dropped(x)

    def function(
        self, place: int, rate: float, units: int | tf.Tensor, *axes: int | tf.Tensor
    ) -> Callable[[tf.Tensor], tf.Tensor] | None:
        """Return the linear function that drops values, which is its own transpose, or None if nothing is dropped."""
        if self.key is None or rate == 0:
            return None
        if self.rows is None:
            raise ValueError("dropout needs the rows' numbers in the step")
        key, rows = self.key, self.rows

        def masked(values: tf.Tensor) -> tf.Tensor:
            found = key.fold(place).fold(rows)
            for size in axes:
                found = found.expand().fold(tf.range(size))
            words = tf.reshape(found.words(units), tf.shape(values))
            kept = words >= _word(round(rate * 2**32))
            scaled = tf.cast(values, tf.float32) * (1 / (1 - rate))  # in bfloat16, 1 / 0.9 would be off by 0.4%
            return tf.where(kept, tf.cast(scaled, values.dtype), tf.zeros([], values.dtype))

        return masked
