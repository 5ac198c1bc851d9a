"""What the tests of `albert_fast.Masker` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from albert_fast import Masker

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]

SIZE = 60
PAD, UNK, CLS, SEP, MASK, EXTRA = range(6)
SPECIAL: dict[str, Any] = {"pad_id": PAD, "cls_id": CLS, "sep_id": SEP, "mask_id": MASK}
STARTS = [id_ % 3 != 0 for id_ in range(SIZE)]
FIELDS = (
    "max_predictions_per_seq",
    "masked_lm_prob",
    "ngram",
    "favor_shorter_ngram",
    "do_whole_word_mask",
    "do_permutation",
    "cross_segment_words",
    "replace_with_special",
)


def masker(**options: Any) -> Masker:
    """A masker of 60 pieces of which two in three begin a word; the first six but `UNK` are special."""
    return Masker.from_vocab(SIZE, STARTS, **{**SPECIAL, "special_ids": [EXTRA], **options})


def assert_equal(one: Arrays, other: Arrays) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        np.testing.assert_array_equal(array, other[name])


def restored(masked: Arrays) -> NDArray[np.int32]:
    """The rows before masking."""
    ids: NDArray[np.int32] = masked["input_ids"].copy()
    rows, slots = np.nonzero(masked["masked_lm_weights"])
    ids[rows, masked["masked_lm_positions"][rows, slots]] = masked["masked_lm_ids"][rows, slots]
    return ids
