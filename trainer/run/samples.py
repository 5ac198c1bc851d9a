"""What the model predicts for a few fixed masked tokens of the held-out set, to be seen as it changes in a run.

The tokens are those of the set's first instances, so they are the same in all evaluations and starts. Predictions are
computed in float32 without XLA, because a few instances are not worth a compilation.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from trainer.run.aside import aside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from albert_fast import BatchSource, Tokenizer
    from trainer.model.model import Albert
    from trainer.run.hardware import Hardware

INSTANCES = 3
"""Number of instances that the tokens come from."""
TOKENS = 2
"""Number of tokens of an instance."""
GUESSES = 5
"""Number of pieces that are kept for a token."""
CONTEXT = 12
"""Number of tokens that are shown on each side."""

_SPACE = "▁"


class _Place(NamedTuple):
    """A masked token."""

    row: int
    position: int
    answer: int
    """The id of the right piece."""


class Samples:
    """Predicts the tokens. It can be called repeatedly.

    Args:
        model: the model on this worker's first device.
        source: the held-out set, not shuffled.
        tokenizer: that of the data.
        hardware: the devices of the run.
        warn: called with a line of warning if the predictions failed. There are none from then on.
    """

    def __init__(
        self, model: Albert, source: BatchSource, tokenizer: Tokenizer, hardware: Hardware, warn: Callable[[str], None]
    ) -> None:
        # A copy shares its variables. Fused attention needs XLA, and TensorFlow's own kernels sum bfloat16 in bfloat16.
        self._model = copy.copy(model)
        self._model.attention, self._model.recompute, self._model.compute_dtype = "plain", False, tf.float32
        self._tokenizer, self._device, self._warn = tokenizer, hardware.devices[0], warn
        self._pieces = tokenizer.pieces
        batch = next(iter(source.batches(0, 1)))
        self._places = places(batch, tokenizer.mask_id)
        rows = sorted({place.row for place in self._places})
        width = int(batch["input_mask"][rows].sum(axis=1).max()) if rows else 0
        features = (batch["input_ids"], batch["input_mask"], batch["segment_ids"])
        self._ids, self._mask, self._segments = (feature[rows, :width].astype(np.int32) for feature in features)
        self._rows = {row: number for number, row in enumerate(rows)}

    def __call__(self) -> list[dict[str, Any]]:
        """Return an object per token for an evaluation line of metrics.jsonl.

        `before` and `after` are its context, `piece` is the right piece and `probability` that of this piece. `guesses`
        are the best pieces with their probabilities.
        """
        if not self._places:
            return []
        try:
            [logits] = aside([self._logits])
        except tf.errors.OpError as error:
            self._warn(f"no more sample predictions: {str(error.message).splitlines()[0][:200]}")
            self._places = []
            return []
        return [self._described(place, scores) for place, scores in zip(self._places, logits, strict=True)]

    def _logits(self) -> NDArray[np.float64]:
        """Return float64 [tokens, V]: the scores of all pieces for each token."""
        with tf.device(self._device or None):
            encoded = self._model.encode(
                tf.constant(self._ids), tf.constant(self._mask), tf.constant(self._segments)
            ).sequence_output
            rows = tf.gather(encoded, [self._rows[place.row] for place in self._places])
            positions = tf.constant([[place.position] for place in self._places], tf.int32)
            found: NDArray[np.float32] = self._model.masked_lm_logits(rows, positions).numpy()[:, 0]
        return found.astype(np.float64)

    def _described(self, place: _Place, scores: NDArray[np.float64]) -> dict[str, Any]:
        odds = np.exp(scores - scores.max())
        odds /= odds.sum()
        best = np.argsort(-odds, kind="stable")[:GUESSES]
        ids = self._ids[self._rows[place.row]].tolist()
        ends = {self._tokenizer.cls_id, self._tokenizer.sep_id}
        low, high = place.position, place.position + 1
        while low > 0 and place.position - low < CONTEXT and ids[low - 1] not in ends:
            low -= 1
        while high < len(ids) and high - place.position <= CONTEXT and ids[high] not in ends:
            high += 1
        return {
            "before": self._text(ids[low : place.position]),
            "after": self._text(ids[place.position + 1 : high]),
            "piece": self._pieces[place.answer],
            "probability": _rounded(odds[place.answer]),
            "guesses": [[self._pieces[number], _rounded(odds[number])] for number in best.tolist()],
        }

    def _text(self, ids: Sequence[int]) -> str:
        """Return tokens as a reader sees them, with [MASK] as a word."""
        if self._tokenizer.kind == "wordpiece":
            return " ".join(self._pieces[number] for number in ids).replace(" ##", "")
        mask = self._tokenizer.mask_id
        shown = [f"{_SPACE}[MASK]" if number == mask else self._pieces[number] for number in ids]
        return " ".join("".join(shown).replace(_SPACE, " ").split())


def places(batch: Any, mask_id: int) -> list[_Place]:
    """Return up to `TOKENS` masked tokens of each of the first instances, far from each other.

    Only tokens that became [MASK] count: for the others the model sees a piece.
    """
    found = []
    for row in range(len(batch["input_ids"])):
        ids, weights = batch["input_ids"][row], batch["masked_lm_weights"][row]
        known = [
            _Place(row, int(position), int(answer))
            for position, answer, weight in zip(
                batch["masked_lm_positions"][row], batch["masked_lm_ids"][row], weights, strict=True
            )
            if weight > 0 and ids[position] == mask_id
        ]
        # Next to other masked tokens, neither a model nor a reader can tell what is missing.
        others = {place.position for place in known}
        known = [place for place in known if not others & {place.position - 1, place.position + 1}] or known
        if known:
            step = max(1, len(known) // TOKENS)
            found.append(known[step // 2 :: step][:TOKENS])
        if len(found) == INSTANCES:
            break
    return [place for of_row in found for place in of_row]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
