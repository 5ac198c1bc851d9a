"""The learning rate of a step: linear warmup, then a fall by one of three rules.

"polynomial" is create_optimizer of the reference. "wsd" is warmup-stable-decay (MiniCPM, arXiv 2404.06395) with the
decay 1 - sqrt(x) (Hägele et al., arXiv 2405.18392). "cosine" is half a wave from the end of warmup to the last step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import tensorflow as tf

from albert_fast.errors import option_error
from albert_fast.options.training import LearningRateSchedule, check_warmup, decay_steps


@dataclass(frozen=True)
class Schedule:
    """Warmup and decay. Steps are counted from 0; the polynomial decay includes the warmup steps.

    Raises:
        AlbertFastError: a field breaks its rule.
    """

    learning_rate: float = 0.00176
    """Peak learning rate, reached at the end of warmup, above 0."""
    num_train_steps: int = 125_000
    """The step at which the rate has fallen, at least 1."""
    num_warmup_steps: int = 3_125
    """Number of warmup steps, or 0 for none. At step k below it, the rate is learning_rate * k / num_warmup_steps."""
    poly_power: float = 1.0
    """Exponent of the polynomial decay, above 0; 1 is a straight line."""
    start_warmup_step: int = 0
    """The step that warmup counts from, for training that continues another run. Without warmup it has no effect."""
    learning_rate_schedule: LearningRateSchedule = "polynomial"
    """The rule of the fall."""
    decay_fraction: float = 0.1
    """The fraction of the steps, at the end, in which wsd's rate falls, above 0."""
    final_learning_rate_fraction: float = 0.0
    """The fraction of learning_rate that the rate falls to, below 1."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "poly_power", "decay_fraction"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise option_error(name, "a number above 0", value)
        for name, least in (("num_train_steps", 1), ("num_warmup_steps", 0), ("start_warmup_step", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise option_error(name, f"a whole number of at least {least}", value)
        if self.learning_rate_schedule not in get_args(LearningRateSchedule):
            rule = f"one of {', '.join(get_args(LearningRateSchedule))}"
            raise option_error("learning_rate_schedule", rule, self.learning_rate_schedule)
        if not 0 <= self.final_learning_rate_fraction < 1:
            raise option_error(
                "final_learning_rate_fraction", "a number from 0 to below 1", self.final_learning_rate_fraction
            )
        check_warmup(self, self.num_train_steps)

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Return the float32 rate of `step`, an integer scalar. From num_train_steps on, it is the final one.

        It is 0 before start_warmup_step, at which the reference's rate would be negative.
        """
        step = tf.cast(step, tf.int64)
        fallen = {"polynomial": self._polynomial, "wsd": self._wsd, "cosine": self._cosine}
        decayed = self.learning_rate * fallen[self.learning_rate_schedule](step)
        if self.final_learning_rate_fraction:
            final = self.learning_rate * self.final_learning_rate_fraction
            decayed = final + (1 - self.final_learning_rate_fraction) * decayed
        if self.num_warmup_steps == 0:
            return decayed
        warm = tf.cast(tf.maximum(step - self.start_warmup_step, 0), tf.float32)
        warming = self.learning_rate * (warm / self.num_warmup_steps)
        return tf.where(step - self.start_warmup_step < self.num_warmup_steps, warming, decayed)

    # Each of these returns the fraction of the peak at `step`, from 1 to 0. The remaining steps are counted as an
    # integer: 1 - step / num_train_steps would lose precision near the end.

    def _polynomial(self, step: tf.Tensor) -> tf.Tensor:
        return tf.pow(self._left(step, self.num_train_steps), self.poly_power)

    def _wsd(self, step: tf.Tensor) -> tf.Tensor:
        left = self._left(step, decay_steps(self, self.num_train_steps))
        # 1 - sqrt(1 - left), without the difference of two numbers that are nearly equal.
        return left / (1 + tf.sqrt(1 - left))

    def _cosine(self, step: tf.Tensor) -> tf.Tensor:
        warm = self.start_warmup_step + self.num_warmup_steps if self.num_warmup_steps else 0
        fall = self.num_train_steps - warm
        # (1 + cos(pi * (1 - left))) / 2, in the same way.
        return tf.square(tf.sin(math.pi / 2 * self._left(step, max(1, fall))))

    def _left(self, step: tf.Tensor, fall: int) -> tf.Tensor:
        """Return the remaining part of the last `fall` steps: 1 before them, and 0 after the last."""
        left = tf.clip_by_value(self.num_train_steps - step, 0, fall)
        return tf.cast(left, tf.float32) / fall
