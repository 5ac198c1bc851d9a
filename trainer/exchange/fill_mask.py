"""Words for the [MASK]s of a text, of one or more pieces, from the model's masked-LM head.

A word of one piece has the probability that the head gives to that piece: softmax over the whole vocabulary without
renormalization, as in transformers' fill-mask. If a text has several [MASK]s, each is filled separately, while the
others stay [MASK].

For words of n pieces, n masks replace the [MASK] of the text. A beam search fills them from left to right. It ranks the
pieces of the first mask by their probability. Then the model reads the text again with each of the best pieces in
place, which gives the probabilities for the second mask, and so on. The probability of the word is the product of
these. It is the probability given n masks, so words of different n do not share one distribution, and a product of more
factors is smaller in any case. Words are therefore compared by the mean log-probability per piece (`Word.score`). This
favors long words whose later pieces follow from the first one. For these, see the probability of the whole word.

Text right after [MASK], such as the period in "the [MASK].", gets the pieces that it would have after a word.
(transformers puts a space before it, which the model never saw there, so its answers differ for such texts.)

The following are never suggested:

- special tokens, other pieces without text, and the pieces of single bytes;
- after a space or at the start, pieces that continue a word; after anything else, pieces that begin with a space (with
  a tokenizer that marks words at their end: before a space or at the end, last pieces that do not end a word; before
  anything else, those that do);
- as later pieces of a word, those that begin a word, and those without a letter or digit;
- words of several pieces that the tokenizer itself would split into other pieces: they are found as those.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from albert_fast.errors import option_error
from trainer.errors import TrainerError, some
from trainer.exchange import initial
from trainer.exchange.export import check_vocabulary
from trainer.model import checkpoints, weights
from trainer.model.model import Albert

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from albert_fast import Tokenizer

MASK = "[MASK]"
MOST_PIECES = 5
"""Maximum number of pieces of a word, if it is not given."""

_SPACE = "▁"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_UNKNOWN = "⁇"


class Word(NamedTuple):
    """A word for a [MASK]."""

    word: str
    """The word as the tokenizer's pieces spell it: lowercase if the tokenizer lowercases."""
    probability: float
    """The probability of all its pieces together."""
    score: float
    """Mean log-probability of a piece, in nats, which words are sorted by."""
    pieces: tuple[str, ...]
    text: str
    """The text with the word instead of this [MASK]."""


class Filler:
    """Fills the [MASK]s of texts.

    Args:
        model: a model with a masked-LM head.
        tokenizer: the one that the model was trained with.

    Raises:
        TrainerError: the tokenizer does not have as many pieces as the model has word embeddings.
    """

    def __init__(self, model: Albert, tokenizer: Tokenizer) -> None:
        check_vocabulary(tokenizer, model.config)
        self.model, self.tokenizer = model, tokenizer
        self.pieces = tokenizer.pieces
        wordpiece = tokenizer.kind == "wordpiece"
        special = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
        usable = np.array(
            [i not in special and self._has_text(i, piece) for i, piece in enumerate(self.pieces)], np.bool_
        )
        glued = np.array([piece.startswith("##") if wordpiece else _SPACE not in piece for piece in self.pieces])
        solid = np.array([any(map(str.isalnum, piece)) for piece in self.pieces])
        self.after_space = usable & tokenizer.word_starts("unicode")
        self.after_text = usable & (glued | (~solid if wordpiece else False))
        self.later = usable & glued & solid
        self.solid = solid
        # A word may begin with a space that is a separate piece.
        self.first = self.after_space | np.array([piece == _SPACE for piece in self.pieces])
        self.marks_ends = tokenizer.marks_word_ends
        if self.marks_ends:
            # No piece marks the beginning of a word here; only the one that ends a word is marked.
            one_word = np.array([_SPACE not in piece[:-1] for piece in self.pieces])
            self.first = self.after_text = usable & glued
            self.before_space = usable & one_word & tokenizer.word_ends()

    def fill(self, text: str, top_k: int = 5, masks_per_word: int | None = None) -> list[list[Word]]:
        """Return the best words for each [MASK] of a text, best first: one list per [MASK], in the order of the text.

        Args:
            text: a text with one or more [MASK]s.
            top_k: number of words per [MASK]; fewer if there are fewer candidates.
            masks_per_word: maximum number of pieces of a word. None to try more and more, up to `MOST_PIECES`, until
                words of one more piece are not among the best.

        Raises:
            TrainerError: the text has no [MASK], or is too long for the model.
            AlbertFastError: `top_k` or `masks_per_word` is below 1.
        """
        for name, value in (("top_k", top_k), ("masks_per_word", masks_per_word)):
            if value is not None and value < 1:
                raise option_error(name, "at least 1", value)
        parts = text.split(MASK)
        if len(parts) == 1:
            message = f"the text must contain {MASK}, got {_shortened(text)}; write {MASK} for each word to find"
            raise TrainerError(message, kind="input")
        last = len(parts) - 1
        segments = [
            self._encode(part, after_mask=number > 0, before_mask=number < last) for number, part in enumerate(parts)
        ]
        length = sum(map(len, segments)) + len(segments) + 1
        limit = self.model.config.max_position_embeddings
        if length > limit:
            raise TrainerError(
                f"the text must have at most {limit:,} tokens, including [CLS] and [SEP], got {length:,}; shorten it: "
                f"{_shortened(text)}",
                kind="input",
            )
        mask = self.tokenizer.mask_id

        def joined(segments: list[list[int]]) -> list[int]:
            """Join these segments with a mask between every two."""
            return [i for k, segment in enumerate(segments) for i in ([mask, *segment] if k else segment)]

        found = []
        for number in range(1, len(parts)):
            gap = _Gap(
                [self.tokenizer.cls_id, *joined(segments[:number])],
                [*joined(segments[number:]), self.tokenizer.sep_id],
                space=not parts[number - 1][-1:].strip() and (number == 1 or parts[number - 1] != ""),
                space_after=not parts[number][:1].strip() and (number == last or parts[number] != ""),
                room=limit - length + 1,
            )
            before, after = MASK.join(parts[:number]), MASK.join(parts[number:])
            found.append(
                [word._replace(text=f"{before}{word.word}{after}") for word in self._words(gap, top_k, masks_per_word)]
            )
        return found

    # --- words of one gap ---------------------------------------------------------------------------------------------

    def _words(self, gap: _Gap, top_k: int, most: int | None) -> list[Word]:
        best: list[Word] = []
        for count in range(1, min(gap.room, most or MOST_PIECES) + 1):
            new = self._of_length(gap, count, max(10, 2 * top_k))
            best = sorted([*best, *new], key=lambda word: -word.score)
            # If the text continues without a space, the same letters in other pieces are one word.
            best = list({word.word: word for word in reversed(best)}.values())[::-1]
            best = sorted(best, key=lambda word: -word.score)[:top_k]
            if most is None and count > 1 and not any(len(word.pieces) == count for word in best):
                break
        return best

    def _of_length(self, gap: _Gap, count: int, width: int) -> list[Word]:
        """Return words of `count` pieces, from a beam search from left to right."""
        scores = np.zeros(1)
        chosen = np.zeros((1, 0), np.int64)
        for position in range(count):
            logs = self._log_probabilities(gap, chosen, count - position)
            if position:
                allowed = self.later
            elif gap.space and not self.marks_ends:
                allowed = self.after_space if count == 1 else self.first
            else:
                allowed = self.after_text
            if self.marks_ends and position == count - 1 and gap.space_after:
                allowed = self.before_space & (self.solid if position else True)
            totals = (scores[:, np.newaxis] + np.where(allowed, logs, -np.inf)).ravel()
            order = np.argsort(-totals, kind="stable")[:width]
            order = order[np.isfinite(totals[order])]
            rows, pieces = np.divmod(order, len(self.pieces))
            chosen = np.concatenate([chosen[rows], pieces[:, np.newaxis]], axis=1)
            scores = totals[order]
            if not len(order):
                return []
        found = []
        for score, ids in zip(scores.tolist(), chosen.tolist(), strict=True):
            word = self._text(ids)
            whole = gap.space_after if self.marks_ends else gap.space
            if count == 1 or (word and (not whole or self.tokenizer.encode(word) == ids)):
                found.append(Word(word, math.exp(score), score / count, tuple(self.pieces[i] for i in ids), ""))
        return found

    def _log_probabilities(self, gap: _Gap, chosen: NDArray[np.int64], masks: int) -> NDArray[np.float64]:
        """Return float64 [rows, V]: the log-probabilities at the first of `masks` masks after each row of `chosen`.

        `chosen` holds pieces [rows, pieces].
        """
        rows = len(chosen)

        def repeated(ids: list[int]) -> NDArray[np.int64]:
            return np.tile(np.array(ids, np.int64), (rows, 1))

        mask = [self.tokenizer.mask_id] * masks
        ids = np.concatenate([repeated(gap.left), chosen, repeated(mask), repeated(gap.right)], axis=1)
        encoded = self.model.encode(
            tf.constant(ids, tf.int32), tf.ones(ids.shape, tf.int32), tf.zeros(ids.shape, tf.int32)
        )
        where = tf.fill([rows, 1], len(gap.left) + chosen.shape[1])
        logits = self.model.masked_lm_logits(encoded.sequence_output, where).numpy()[:, 0].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        normalized: NDArray[np.float64] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return normalized

    # --- text and pieces ----------------------------------------------------------------------------------------------

    def _encode(self, part: str, *, after_mask: bool, before_mask: bool) -> list[int]:
        """Return the ids of a part of the text. What follows [MASK] without a space continues its word.

        SentencePiece puts a space before or after every text, and WordPiece takes every text for the start of a word.
        """
        ids = self.tokenizer.encode(part) if part.strip() else []
        if self.marks_ends:
            if not ids or not before_mask or part[-1:].isspace():
                return ids
            piece = self.pieces[ids[-1]]
            if piece == _SPACE:
                return ids[:-1]
            open_ended = self.tokenizer.piece_to_id(piece.removesuffix(_SPACE))
            return ids if open_ended is None else [*ids[:-1], open_ended]
        if not ids or not after_mask or part[:1].isspace():
            return ids
        piece = self.pieces[ids[0]]
        if self.tokenizer.kind == "wordpiece":
            continuing = self.tokenizer.piece_to_id(f"##{piece}") if piece[:1].isalnum() else None
        elif piece == _SPACE:
            return ids[1:]
        else:
            continuing = self.tokenizer.piece_to_id(piece[1:]) if piece.startswith(_SPACE) else None
        return ids if continuing is None else [continuing, *ids[1:]]

    def _has_text(self, number: int, piece: str) -> bool:
        text = self.tokenizer.decode([number]).strip()
        return bool(text) and text != _UNKNOWN and not _BYTE.fullmatch(piece)

    def _text(self, ids: list[int]) -> str:
        if self.tokenizer.kind == "wordpiece":
            return "".join(self.pieces[i].removeprefix("##") for i in ids)
        return "".join(self.pieces[i] for i in ids).replace(_SPACE, " ").strip()


class _Gap(NamedTuple):
    """A place for a word."""

    left: list[int]
    """The ids before it, including [CLS]."""
    right: list[int]
    """The ids after it, including [SEP]."""
    space: bool
    """Whether it is at the start of the text or after a space."""
    space_after: bool
    """Whether it is at the end of the text or before a space."""
    room: int
    """Number of masks that the model has positions for."""


def load(start: initial.Initial) -> tuple[Albert, list[str]]:
    """Return the model with the weights that `initial.initial` read, and lines for the user.

    Raises:
        TrainerError: the configuration is unknown, the weights do not fit it, or the masked-LM head is missing.
    """
    if start.config is None:
        raise TrainerError(
            f"{start.origin} has no {checkpoints.CONFIG} next to it; put it there, or run import-checkpoint with its "
            "`model`",
            kind="input",
        )
    lacking = [
        name
        for name in weights.shapes(start.config)
        if name.startswith("cls/predictions/") and name not in start.values
    ]
    if lacking:
        raise TrainerError(
            f"{start.origin} has no masked-LM head, which filling masks needs (it lacks {some(lacking, 2)})",
            kind="data",
        )
    initial.check_shapes(start, start.config)
    model = Albert(start.config)
    initial.assign(start, model.named_variables, start.config)
    return model, initial.remarks(start, start.config)


def _shortened(text: str) -> str:
    """Return the beginning of a text, in quotation marks."""
    words = " ".join(text.split())
    return f'"{words[:60]}..."' if len(words) > 60 else f'"{words}"'
