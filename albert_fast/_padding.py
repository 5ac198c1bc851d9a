"""Refuses padding that is not marked, which `Masker` and `albert_fast.torch.Collator` do not guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from albert_fast.errors import AlbertFastError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray


def check_ends(
    rows: Iterable[NDArray[np.int32]], pad_ids: Iterable[int], others: Mapping[int, str], advice: str
) -> None:
    """Refuses rows that begin or end with several of a padding id that is also the id of another special token.

    One of them is that token, and the others may or may not be padding.

    Args:
        rows: rows of ids without marked padding, each as long as it was passed.
        pad_ids: the ids that stand for padding.
        others: the ids of other special tokens, each with the name of its option, such as "cls_id".
        advice: what marks the padding.

    Raises:
        AlbertFastError: a row does so. The message names it.
    """
    shared = [id_ for id_ in pad_ids if id_ in others]
    for number, row in enumerate(rows if shared else ()):
        for id_ in shared:
            if len(row) > 1 and ((row[:2] == id_).all() or (row[-2:] == id_).all()):
                raise AlbertFastError(
                    f"input_ids must not begin or end with several tokens of id {id_}, which is both pad_id and "
                    f"{others[id_]}: row {number} does, and which of them are padding is unknown; {advice}",
                    kind="option",
                    option="input_ids",
                )


def check_zeros(rows: NDArray[np.int32], lengths: ArrayLike, pad_ids: Collection[int], advice: str) -> None:
    """Refuses rows that may come from a batch or a record, which are padded with 0, whatever the vocabulary's `<pad>`.

    Args:
        rows: of shape [B, S], rows of ids without marked padding.
        lengths: of shape [B] or (), the number of tokens that each row had when it was passed.
        pad_ids: the ids that stand for padding.
        advice: what marks the padding.

    Raises:
        AlbertFastError: a row ends with several zeros, and 0 is not a padding id. The message names it.
    """
    if 0 in pad_ids or rows.shape[1] < 2:
        return
    ends = np.broadcast_to(np.asarray(lengths), len(rows))
    numbers = np.flatnonzero(ends >= 2)
    zeros = (rows[numbers, ends[numbers] - 1] == 0) & (rows[numbers, ends[numbers] - 2] == 0)
    if zeros.any():
        raise AlbertFastError(
            "input_ids must not end with several tokens of id 0, which pads batches and records (pad_id is "
            f"{' or '.join(map(str, sorted(pad_ids)))}): row {int(numbers[zeros.argmax()])} does; {advice}",
            kind="option",
            option="input_ids",
        )
