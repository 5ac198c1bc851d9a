"""The learning rate of a step: linear warmup, then polynomial decay to 0 (create_optimizer of the reference)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from albert_fast.errors import option_error


@dataclass(frozen=True)
class Schedule:
    """Warmup and polynomial decay. Steps are counted from 0; the decay includes the warmup steps.

    Raises:
        AlbertFastError: a field breaks its rule.
    """

    learning_rate: float = 0.00176
    """Peak learning rate, reached at the end of warmup, above 0."""
    num_train_steps: int = 125_000
    """The step at which the rate reaches 0, at least 1."""
    num_warmup_steps: int = 3_125
    """Number of warmup steps, or 0 for none. At step k below it, the rate is learning_rate * k / num_warmup_steps."""
    poly_power: float = 1.0
    """Exponent of the decay, above 0; 1 is a straight line."""
    start_warmup_step: int = 0
    """The step that warmup counts from, for training that continues another run. Without warmup it has no effect."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "poly_power"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise option_error(name, "a number above 0", value)
        for name, least in (("num_train_steps", 1), ("num_warmup_steps", 0), ("start_warmup_step", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise option_error(name, f"a whole number of at least {least}", value)
        if self.start_warmup_step + self.num_warmup_steps > self.num_train_steps:
            left = self.num_train_steps - self.start_warmup_step
            rule = f"at most {left}, so that warmup ends within num_train_steps ({self.num_train_steps})"
            raise option_error("num_warmup_steps", rule, self.num_warmup_steps)

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Return the float32 rate of `step`, an integer scalar. It is 0 from num_train_steps on.

        It is also 0 before start_warmup_step, at which the reference's rate would be negative.
        """
        step = tf.cast(step, tf.int64)
        # The remaining steps are counted as an integer: 1 - step / num_train_steps would lose precision near the end.
        left = tf.cast(tf.maximum(self.num_train_steps - step, 0), tf.float32)
        decayed = self.learning_rate * tf.pow(left / self.num_train_steps, self.poly_power)
        if self.num_warmup_steps == 0:
            return decayed
        warm = tf.cast(tf.maximum(step - self.start_warmup_step, 0), tf.float32)
        warming = self.learning_rate * (warm / self.num_warmup_steps)
        return tf.where(step - self.start_warmup_step < self.num_warmup_steps, warming, decayed)
