"""Weights for a tokenizer that was extended: new rows for its new pieces.

`albert_fast.train_tokenizer` with `extend` adds pieces to a tokenizer. Each new row of the embedding is the mean of the
rows of the pieces that the old tokenizer splits the new piece's text into, and so is each new entry of the bias of the
masked-LM head. So at first the model reads a new piece as the average of what it read in its place before.

Nothing else in an ALBERT depends on the size of the vocabulary: the head shares the embedding's weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from albert_fast.text import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from albert_fast import Tokenizer
    from trainer.exchange.initial import Initial

EMBEDDING = "bert/embeddings/word_embeddings"
"""The variable with a row for each piece."""
BIAS = "cls/predictions/output_bias"
"""The variable with a number for each piece. Weights without heads lack it."""


def rows(start: Initial) -> int:
    """Return the number of pieces that the weights have rows for; 0 if they have no embedding."""
    found = start.values.get(EMBEDDING)
    return 0 if found is None or found.ndim == 0 else len(found)


def grown(start: Initial, tokenizer: Tokenizer) -> Initial:
    """Return the weights with a row for each piece of a tokenizer that extends theirs.

    Args:
        start: what `trainer.exchange.initial.initial` read.
        tokenizer: a tokenizer whose first pieces are those that the weights have rows for.

    Raises:
        AlbertFastError: the tokenizer has fewer pieces, or is a WordPiece vocabulary.
    """
    split = tokenizer.split_of_added(rows(start))
    values = dict(start.values)
    for name in (EMBEDDING, BIAS):
        if name in values:
            values[name] = np.concatenate([values[name], _means(values[name], split)])
    config = None if start.config is None else replace(start.config, vocab_size=tokenizer.vocab_size)
    where = "the embedding and the output bias" if BIAS in values else "the embedding"
    mean = np.mean([len(ids) for ids in split])
    note = (
        f"added {number(len(split), 'row')} to {where}, each the mean of its old pieces' rows ({mean:.1f} on average)"
    )
    return start._replace(values=values, config=config, notes=(*start.notes, note))


def _means(old: NDArray[np.float32], split: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Return the mean of these rows of `old` for each entry of `split`, which is not empty."""
    lengths = np.array([len(ids) for ids in split])
    chosen = old[np.concatenate([np.asarray(ids) for ids in split])].astype(np.float64)
    sums = np.add.reduceat(chosen, np.cumsum(lengths) - lengths)
    means: NDArray[np.float32] = (sums / lengths.reshape(-1, *[1] * (old.ndim - 1))).astype(np.float32)
    return means
