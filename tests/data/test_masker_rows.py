"""`Masker.mask_batch` of lists: what goes with a row is as long as the row, and what fills rows up is no text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from maskers import CLS, SEP, SIZE, STARTS, assert_equal, masker

from albert_fast import AlbertFastError, Masker

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LONG, SHORT = [CLS, *range(10, 50), SEP], [CLS, 7, 8, SEP]
ROWS = [LONG[:7], LONG[:6]]
made: Any = masker()


class Ragged:
    """A ragged tensor, as TensorFlow has it."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.rows = rows

    def to_list(self) -> list[list[int]]:
        return self.rows


class SymbolicTensor:
    """A tensor of a graph, which has no values yet. TensorFlow raises the same error for it."""

    ndim = 2

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        raise NotImplementedError("Cannot convert a symbolic tf.Tensor to a numpy array.")


REFUSED: list[tuple[Callable[[], object], str]] = [
    (
        lambda: made.mask_batch(ROWS, None, 1, attention_mask=[[1] * 7, [1] * 3]),
        "attention_mask must be as long as input_ids, which has 6 tokens in row 1, got 3",
    ),
    (
        lambda: made.mask_batch(ROWS, [[1] * 6, [1] * 6], 1),
        "attention_mask must be as long as input_ids, which has 7 tokens in row 0, got 6",
    ),
    (
        lambda: made.mask_batch(ROWS, None, 1, attention_mask=(np.ones(7, np.uint8), np.ones(7, np.uint8))),
        "attention_mask must be as long as input_ids, which has 6 tokens in row 1, got 7",
    ),
    (
        lambda: made.mask_batch(np.array([LONG, LONG]), None, 1, attention_mask=[[1] * 42, [1] * 4]),
        "attention_mask must be as long as input_ids, which has 42 tokens in row 1, got 4",
    ),
    (
        lambda: made.mask_batch([LONG, SHORT], None, 1, attention_mask=[[1] * 42, [1] * 42]),
        "attention_mask must be as long as input_ids, which has 4 tokens in row 1, got 42",
    ),
    (
        lambda: made.mask_batch([LONG, SHORT], None, 1, attention_mask=np.ones((2, 42), np.int64)),
        "attention_mask must be 0 after the 4 tokens of input_ids[1], got 1 at attention_mask[1, 4]",
    ),
    (
        lambda: made.mask_batch(ROWS, None, 1, word_starts=[[1] * 7, [1] * 2]),
        "word_starts must be as long as input_ids, which has 6 tokens in row 1, got 2",
    ),
    (
        lambda: made.mask_batch([LONG, SHORT], [42, 42], 1),
        "lengths must be at most 4, the tokens of input_ids[1], got 42 at lengths[1]",
    ),
    (
        lambda: made.mask_batch([[2, True, 3]], None, 1),
        "input_ids[0] must be integers of shape [tokens], got True at index 1; pass integers only",
    ),
    (
        lambda: made.mask_batch([SHORT, (7, 8, np.False_)], None, 1),
        "input_ids[1] must be integers of shape [tokens], got False at index 2; pass integers only",
    ),
    (lambda: made.mask([2, 3, True], 1), "input_ids must be integers of shape [tokens], got True at index 2"),
    (lambda: made.mask_batch([SHORT], [True], 1), "lengths must be integers of shape [rows], got True at index 0"),
    (lambda: masker(special_ids=[5, True]), "special_ids must be a sequence of ids, got True at index 1"),
    (lambda: made.mask_batch(Ragged(ROWS), None, 1), "got an object of type Ragged; pass input_ids.to_list()"),
    (lambda: made.mask(Ragged(ROWS), 1), "got an object of type Ragged; pass input_ids.to_list()"),
    (
        lambda: made.mask_batch(ROWS, None, 1, attention_mask=Ragged(ROWS)),
        "got an object of type Ragged; pass attention_mask.to_list()",
    ),
    (
        lambda: made.mask_batch(SymbolicTensor(), None, 1),
        "Cannot convert a symbolic tf.Tensor to a numpy array.; it has no values yet: mask outside of tf.function",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_rows_that_do_not_match_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(AlbertFastError, match=re.escape(message)) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_what_fills_rows_up_does_not_count() -> None:
    rows, filled = [LONG, SHORT], np.array([LONG, [*SHORT, *[0] * 38]])
    attended = [[1] * 42, [1] * 4]
    expected = made.mask_batch(filled, [42, 4], 1)
    assert expected["masked_lm_weights"].sum(axis=1).tolist() == [6, 1]
    for options in (
        {},
        {"lengths": [42, 4]},
        {"attention_mask": attended},
        {"attention_mask": np.arange(42) < np.array([[42], [4]])},
    ):
        assert_equal(made.mask_batch(rows, seed=1, **options), expected)
    starts = np.random.default_rng(3).random((2, 42)) < 0.5
    expected = made.mask_batch(filled, [42, 4], 1, word_starts=starts)
    listed = [starts[0].tolist(), starts[1, :4].tolist()]
    assert_equal(made.mask_batch(rows, None, 1, word_starts=listed), expected)
    assert_equal(made.mask_batch(rows, None, 1, word_starts=starts), expected)


@pytest.mark.parametrize("pad", [SEP, CLS])
def test_the_lengths_of_a_list_are_known(pad: int) -> None:
    """Also if the id of the padding does not tell what is filled up."""
    shared = Masker.from_vocab(SIZE, STARTS, pad_id=pad, cls_id=CLS, sep_id=SEP, mask_id=4)
    rows = [LONG, SHORT, LONG[:-1]]
    expected = shared.mask_batch(rows, [42, 4, 41], 1)
    assert_equal(shared.mask_batch(rows, None, 1), expected)
    assert expected["masked_lm_weights"].sum(axis=1).tolist() == [6, 1, 6]
    with pytest.raises(AlbertFastError, match=r"begin or end with several tokens of id .* row 1 does"):
        shared.mask_batch([LONG, [*SHORT, pad, pad]], None, 1)


@pytest.mark.parametrize("pad_id", [5, 0])
def test_rows_padded_as_batches_are(pad_id: int) -> None:
    other = Masker.from_vocab(100, [True] * 100, pad_id=pad_id, cls_id=2, sep_id=3, mask_id=4, masked_lm_prob=0.5)
    rows = np.zeros((2, 20), np.int32)
    rows[0] = [2, *range(10, 28), 3]
    rows[1, :8] = [2, *range(10, 16), 3]
    if pad_id:
        with pytest.raises(AlbertFastError, match=r"input_ids must not end with several tokens of id 0.*row 1 does"):
            other.mask_batch(rows, seed=1)
    masked = other.mask_batch(rows, seed=1, attention_mask=(rows > 0) if pad_id else None)
    assert (masked["input_ids"][1, 8:] == 0).all()
    assert masked["masked_lm_weights"].sum(axis=1).tolist() == [10, 4]


@pytest.mark.parametrize("pad_id", [5, 3])
@pytest.mark.parametrize("fill", [20, 2])
def test_zeros_at_the_end_of_any_row(pad_id: int, fill: int) -> None:
    """By itself, in a list, in an array; also if `<pad>` is another special token too."""
    other = Masker.from_vocab(100, [True] * 100, pad_id=pad_id, cls_id=2, sep_id=3, mask_id=4, masked_lm_prob=0.5)
    tokens = [2, *range(10, 20), 8]
    row = [*tokens, *[0] * fill]
    message = rf"input_ids must not end with several tokens of id 0.*\(pad_id is {pad_id}\): row {{}} does; pass "
    for given in (row, np.array(row), np.array(row, np.uint16)):
        with pytest.raises(AlbertFastError, match=message.format(0) + "the row without its padding"):
            other.mask(given, 1)
    batches: list[tuple[Any, int]] = [([row], 0), ([tokens, row], 1), ([np.array(row), tokens], 0)]
    for rows, number in [*batches, (np.array([row] * 3), 0)]:
        with pytest.raises(AlbertFastError, match=message.format(number) + r"attention_mask.*, or lengths$"):
            other.mask_batch(rows, seed=1)
    # The way that the message names.
    expected = other.mask(tokens, 1)
    for options in ({"lengths": [12]}, {"attention_mask": [[1] * 12 + [0] * fill]}):
        masked = other.mask_batch([row], seed=1, **options)
        assert masked["masked_lm_weights"].sum() == expected["masked_lm_weights"].sum() == 6
        assert (masked["input_ids"][0, 12:] == 0).all()
    # Zeros that are tokens.
    assert other.mask_batch([row], [len(row)], 1)["masked_lm_weights"].sum() == len(row) // 2
    for few in ([0], [*tokens, 0], [0, 0, *tokens], tokens):
        assert_equal({name: array[0] for name, array in other.mask_batch([few], None, 1).items()}, other.mask(few, 1))


@pytest.mark.parametrize(
    ("mask", "advice"),
    [
        ([[1.0] * 7, [1.0] * 6], "[np.asarray(row, np.bool_) for row in attention_mask]"),
        ([np.ones(7), np.ones(6)], "[np.asarray(row, np.bool_) for row in attention_mask]"),
        ([[1] * 7, [1.0] * 6], "[np.asarray(row, np.bool_) for row in attention_mask]"),
        (np.array([[1.0] * 7, [*[1.0] * 6, 0.0]]), "attention_mask.astype(np.bool_)"),
    ],
)
def test_what_to_pass_instead_of_floats(mask: Any, advice: str) -> None:
    with pytest.raises(AlbertFastError, match=rf"; pass {re.escape(advice)}$"):
        made.mask_batch(ROWS, seed=1, attention_mask=mask)
    passed = eval(advice, {"np": np, "attention_mask": mask})
    assert_equal(made.mask_batch(ROWS, seed=1, attention_mask=passed), made.mask_batch(ROWS, seed=1))
    starts = [1.0] * 7
    with pytest.raises(AlbertFastError, match=r"; pass np\.asarray\(word_starts, np\.bool_\)$"):
        made.mask(LONG[:7], 1, word_starts=starts)
    made.mask(LONG[:7], 1, word_starts=np.asarray(starts, np.bool_))
