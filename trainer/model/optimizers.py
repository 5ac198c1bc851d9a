"""LAMB and AdamW as in google-research/ALBERT (lamb_optimizer.py and optimization.py).

They differ from other optimizers of these names: there is no bias correction, the weight decay is part of the update
whose norm LAMB compares, and the gradients are first clipped by their global norm. With g the clipped gradient:

    m = 0.9 m + 0.1 g        v = 0.999 v + 0.001 g^2        u = m / (sqrt(v) + 1e-6) + 0.01 w
    AdamW: w = w - rate * u
    LAMB:  w = w - rate * (|w| / |u|) * u, with ratio 1 if a norm is 0 (arXiv 1904.00962, algorithm 2)

Variables whose name matches LayerNorm, layer_norm or bias have neither weight decay nor this ratio.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Mapping

EXCLUDED = re.compile("LayerNorm|layer_norm|bias")
"""Names of variables without weight decay and trust ratio."""

KINDS = {
    "embedding": re.compile("^bert/embeddings/|/embedding_hidden_mapping_in/"),
    "attention": re.compile("/attention_1/"),
    "feed_forward": re.compile("/ffn_1/"),
    "pooler": re.compile("^bert/pooler/"),
    "heads": re.compile("^cls/"),
}
"""The kinds of weights whose trust ratios a run reports, by the names of their variables."""


class Update(NamedTuple):
    """What an update reports."""

    gradient_norm: tf.Tensor
    """Global norm of the gradients before clipping, float32. If it is not finite, nothing was changed."""
    trust_ratios: dict[str, tf.Tensor]
    """Mean of the trust ratios of each of `KINDS` that has any, float32. AdamW has none."""


class AdamW(tf.Module):
    """Adam with decoupled weight decay and without bias correction (AdamWeightDecayOptimizer of the reference).

    Args:
        variables: the float32 variables to train, by name. The names decide what is `EXCLUDED`.
        weight_decay: fraction of a weight that is added to its update.
        beta_1: decay of the mean of the gradients.
        beta_2: decay of the mean of their squares.
        epsilon: added to the square root of that mean.
        clip_norm: largest global norm of the gradients; larger ones are scaled down to it.
    """

    def __init__(
        self,
        variables: Mapping[str, tf.Variable],
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        clip_norm: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight_decay, self.beta_1, self.beta_2 = weight_decay, beta_1, beta_2
        self.epsilon, self.clip_norm = epsilon, clip_norm
        self.targets = dict(variables)
        self.m = {name: _slot(variable, f"{name}/adam_m") for name, variable in variables.items()}
        self.v = {name: _slot(variable, f"{name}/adam_v") for name, variable in variables.items()}

    def apply(self, gradients: Mapping[str, tf.Tensor], learning_rate: tf.Tensor) -> tf.Tensor:
        """Update every variable and its slots by one step.

        Args:
            gradients: the gradient of the whole step's loss, by name of variable. It must be summed over micro-batches
                and replicas first, because clipping the parts is not the same. In tf.IndexedSlices, every row counts
                separately in the norm; make them dense to get the norm of their sum.
            learning_rate: float32 scalar.

        Returns:
            The global norm of the gradients before clipping, float32. If it is not finite, nothing was changed.
        """
        return self.update(gradients, learning_rate).gradient_norm

    def update(self, gradients: Mapping[str, tf.Tensor], learning_rate: tf.Tensor) -> Update:
        """Update every variable as `apply` does, and return the trust ratios too.

        The ratios are computed for the update in any case, and their means take no time. So every step computes them:
        with two programs, one of them without ratios, the bits of a step might depend on whether it is reported.
        """
        names = list(self.targets)
        clipped, norm = tf.clip_by_global_norm([gradients[name] for name in names], self.clip_norm)
        sound = tf.math.is_finite(norm)
        ratios = {
            name: self._update(name, tf.convert_to_tensor(gradient), learning_rate, sound)
            for name, gradient in zip(names, clipped, strict=True)
        }
        return Update(norm, _means(ratios))

    @property
    def slots(self) -> dict[str, tf.Variable]:
        """Return the optimizer's own variables by their names in a TF1 checkpoint: NAME/adam_m and NAME/adam_v."""
        return {
            f"{name}/{slot}": variable
            for slot, variables in (("adam_m", self.m), ("adam_v", self.v))
            for name, variable in variables.items()
        }

    def _update(
        self, name: str, gradient: tf.Tensor, learning_rate: tf.Tensor, sound: tf.Tensor
    ) -> tf.Tensor | float | None:
        """Update a variable, and return its ratio; None if it has none."""
        weight, m, v = self.targets[name], self.m[name], self.v[name]
        mean = self.beta_1 * m + (1 - self.beta_1) * gradient
        square = self.beta_2 * v + (1 - self.beta_2) * tf.square(gradient)
        update = mean / (tf.sqrt(square) + self.epsilon)
        ratio: tf.Tensor | float | None = None
        if not EXCLUDED.search(name):
            update += self.weight_decay * weight
            ratio = self._ratio(weight, update)
            learning_rate *= ratio
        for variable, value in ((m, mean), (v, square), (weight, weight - learning_rate * update)):
            variable.assign(tf.where(sound, value, variable))
        return ratio

    def _ratio(self, weight: tf.Tensor, update: tf.Tensor) -> tf.Tensor | float:  # noqa: ARG002
        return 1.0


class Lamb(AdamW):
    """LAMB without bias correction (LAMBOptimizer of the reference). The arguments are those of `AdamW`."""

    def _ratio(self, weight: tf.Tensor, update: tf.Tensor) -> tf.Tensor | float:
        weight_norm, update_norm = tf.norm(weight), tf.norm(update)
        defined = (weight_norm > 0) & (update_norm > 0)
        return tf.where(defined, weight_norm / tf.where(defined, update_norm, 1.0), 1.0)


def _means(ratios: Mapping[str, tf.Tensor | float | None]) -> dict[str, tf.Tensor]:
    found = {}
    for kind, names in KINDS.items():
        known = [ratio for name, ratio in ratios.items() if tf.is_tensor(ratio) and names.search(name)]
        if known:
            found[kind] = tf.add_n(known) / len(known)
    return found


def _slot(variable: tf.Variable, name: str) -> tf.Variable:
    return tf.Variable(tf.zeros(variable.shape), trainable=False, name=name)
