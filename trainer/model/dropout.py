"""Dropout whose masks depend on what is dropped and on nothing else.

Whether a value is kept is a function of (seed, step, place in the model, the row's number in the step, position, unit).
So the micro-batch a row falls into, how wide that is, and which device computes it change no mask.

The function is a counter-based hash: of a row and a position a key of two words, which few operations make, and of the
key and the unit the last word, by xor, shift and multiplication (the mixing steps of "lowbias32",
https://nullprogram.com/blog/2018/07/31/). XLA computes it inside the loops that use it, in the forward and again in the
backward pass: no random numbers and no masks lie in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B
_GOLDEN = 0x9E3779B9
_WORDS = (0x243F6A88, 0x85A308D3)
"""What the two words of a key start from: the first digits of pi."""


def _word(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)


def _shifted(x: tf.Tensor, by: int) -> tf.Tensor:
    """X xor its own upper bits."""
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, _word(by)))


def _mix(x: tf.Tensor) -> tf.Tensor:
    """A permutation of the 32-bit words under which each bit of `x` changes about half of the result's."""
    x = _shifted(x, 16) * _word(_FIRST)
    x = _shifted(x, 15) * _word(_SECOND)
    return _shifted(x, 16)


class Key:
    """Two words, uint32 of any one shape, that name a stream of random words.

    Args:
        first: one word.
        second: the other, independent of the first.
    """

    def __init__(self, first: tf.Tensor, second: tf.Tensor) -> None:
        self.first, self.second = first, second

    @classmethod
    def of(cls, seed: tf.Tensor, step: tf.Tensor) -> Key:
        """The key of a step: `seed` and `step` are integer scalars."""
        return cls(_word(_WORDS[0]), _word(_WORDS[1])).fold(seed).fold(step)

    def fold(self, value: tf.Tensor | int) -> Key:
        """The keys of (this key, value): shapes broadcast. Other values have unrelated keys."""
        value = tf.cast(value, tf.uint32)
        return Key(_mix(self.first + _word(_GOLDEN) + value), _mix(tf.bitwise.bitwise_xor(self.second, _mix(value))))

    def expand(self) -> Key:
        """With one more axis at the end."""
        return Key(self.first[..., tf.newaxis], self.second[..., tf.newaxis])

    def words(self, size: int | tf.Tensor) -> tf.Tensor:
        """uint32 [..., size]: the first `size` words of each key's stream."""
        units = tf.cast(tf.range(size), tf.uint32)
        key = self.expand()
        x = _shifted(key.first + units, 16) * _word(_FIRST)
        x = _shifted(tf.bitwise.bitwise_xor(x, key.second), 15) * _word(_SECOND)
        return _shifted(x, 16)


class Dropout:
    """The dropout masks of one forward pass.

    Args:
        key: int32 [2], seed and step; None for a pass without dropout.
        rows: int32 [B], each row's number in the step.
    """

    def __init__(self, key: tf.Tensor | None, rows: tf.Tensor | None = None) -> None:
        self.key = None if key is None else Key.of(key[0], key[1])
        self.rows = rows
        self.place = 0

    def __call__(self, x: tf.Tensor, rate: float, *axes: int | tf.Tensor) -> tf.Tensor:
        """`x` with each value set to 0 with probability `rate`, the others divided by 1 - rate.

        Args:
            x: [B, *axes, U], in any shape of that order.
            rate: in [0, 1).
            axes: sizes of the axes between the rows and the last one, such as positions. A value's number on each of
                them decides with its row and unit, and the axes' sizes do not.
        """
        return self.at(self.next(), x, rate, *axes)

    def next(self) -> int:
        """The number of the next place in the pass."""
        self.place += 1
        return self.place

    def at(self, place: int, x: tf.Tensor, rate: float, *axes: int | tf.Tensor) -> tf.Tensor:
        """As the call, for a place that `next` gave."""
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
        """The linear function that drops, which is its own transpose; None where nothing is dropped."""
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
            scaled = tf.cast(values, tf.float32) * (1 / (1 - rate))  # in bfloat16 1 / 0.9 would be 0.4 % off
            return tf.where(kept, tf.cast(scaled, values.dtype), tf.zeros([], values.dtype))

        return masked
