"""`albert_fast.Masker` refuses bad input with the rule and the value, and trips over none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from maskers import CLS, EXTRA, FIELDS, PAD, SIZE, SPECIAL, STARTS, Arrays, assert_equal, masker, restored

from albert_fast import AlbertFastError, Masker, Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# What is passed here has wrong types on purpose.
LooseMasker: Any = Masker


def loose(**options: Any) -> Any:
    return masker(**options)


IDS = np.full((3, 8), 7, dtype=np.int32)
BATCHES: list[tuple[Callable[[], object], str]] = [
    (lambda: loose().mask_batch(IDS.astype(np.float64), None, 1), r"got float64 of.*pass input_ids\.astype\(np\.int64"),
    (lambda: loose().mask_batch(IDS > 0, None, 1), "integers of shape.*got bool of.*list of integers"),
    (
        lambda: loose().mask_batch(IDS[0], None, 1),
        r"shape \[rows, tokens\], got int32 of shape \[8\]; pass \[input_ids\]",
    ),
    (lambda: loose().mask_batch([7, 8], None, 1), r"got a list of numbers; pass \[input_ids\]"),
    (lambda: loose().mask_batch([IDS], None, 1), r"input_ids\[0\] must be.*got int32 of shape \[3, 8\]"),
    (lambda: loose().mask_batch([[7], [7.5]], None, 1), r"input_ids\[1\] must be integers.*got float64"),
    (lambda: loose().mask_batch([["a"]], None, 1), "got <U1 of.*as Tokenizer.encode returns them"),
    (lambda: loose().mask_batch([[7], [7, 61]], None, 1), r"from 0 to 59, .*got 61 at input_ids\[1, 1\]"),
    (lambda: loose().mask_batch([[7, 2**70]], None, 1), rf"from 0 to 59, .*got {2**70} at input_ids\[0, 1\]"),
    (lambda: loose().mask_batch([], None, 1), "got no rows; pass np.empty"),
    (lambda: loose().mask_batch([[], []], None, 1), "rows of 1 to 16777216 tokens, got rows of 0"),
    (lambda: loose().mask_batch({"input_ids": IDS}, None, 1), 'got an object of type dict; pass its "input_ids"'),
    (lambda: loose().mask_batch("abc", None, 1), "got 'abc'"),
    (lambda: loose().mask_batch(None, None, 1), "got None"),
    (lambda: loose().mask(IDS, 1), r"shape \[tokens\], got int32 of shape \[3, 8\]; pass one row.*or use mask_batch"),
    (lambda: loose().mask(IDS.tolist(), 1), r"shape \[tokens\], got a list of rows; pass one of them"),
    (lambda: loose().mask_batch(IDS[:, :0], None, 1), "rows of 1 to 16777216 tokens, got rows of 0"),
    (lambda: loose().mask([], 1), "rows of 1 to 16777216 tokens, got rows of 0"),
    (lambda: loose().mask([1, 2.5], 1), "input_ids must be integers.*float64"),
    (lambda: loose().mask([1, 2**32], 1), r"from 0 to 59, .*got 4294967296 at input_ids\[1\]"),
    (lambda: loose().mask([1, 2**70], 1), rf"from 0 to 59, .*got {2**70} at input_ids\[1\]"),
    (lambda: loose().mask(IDS[0].astype(np.uint64) << np.uint64(60), 1), rf"got {7 << 60}"),
    (lambda: loose().mask([1, True, "x"], 1), "input_ids must be integers"),
    (lambda: loose().mask([7, 60], 1), r"from 0 to 59.*got 60 at input_ids\[1\]"),
    (lambda: loose().mask_batch(IDS * [[1], [1], [-1]], None, 1), r"from 0 to 59, .*got -7 at input_ids\[2, 0\]"),
    (lambda: loose().mask_batch(-IDS, None, 1), r"from 0 to 59.*got -7 at input_ids\[0, 0\]"),
    (lambda: loose().mask_batch(IDS, [8, 9, 10], 1), r"from 0 to 8, the length of the rows, got 9 at lengths\[1\]"),
    (lambda: loose().mask_batch(IDS, [8, 8, -1], 1), r"got -1 at lengths\[2\]"),
    (lambda: loose().mask_batch(IDS, [8, 8], 1), "one number for each of the 3 rows, got 2 numbers"),
    (lambda: loose().mask_batch(IDS, np.arange(4) * 8, 1), r"got 4 numbers; for the offsets.*pass np.diff\(offsets\)"),
    (lambda: loose().mask_batch(IDS, [8, 8, 7.5], 1), "lengths must be integers.*float64"),
    (
        lambda: loose().mask_batch(IDS, np.array([8.0, 8, 8]), 1),
        r"lengths must be integers of shape \[rows\], got float64",
    ),
    (lambda: loose().mask_batch(IDS, np.array([8, 8, 2**64 - 1], np.uint64), 1), rf"got {2**64 - 1}"),
    (lambda: loose().mask_batch(IDS, np.array(8), 1), r"shape \[rows\], got int64 of shape \[\]"),
    (lambda: loose().mask_batch(IDS, IDS, 1), r"must be 0 or 1, got 7 at attention_mask\[0, 0\]"),
    (
        lambda: loose().mask_batch(IDS, IDS.astype(np.uint8), 1),
        r"must be 0 or 1, got 7 at attention_mask\[0, 0\]",
    ),
    (lambda: loose().mask_batch(IDS, -(IDS > 0).astype(np.int64), 1), r"got -1 at attention_mask\[0, 0\]"),
    (lambda: loose().mask_batch(IDS, IDS[:, :7], 1), r"shape of input_ids, \[3, 8\], got shape \[3, 7\]"),
    (
        lambda: loose().mask_batch(IDS, (IDS > 0).astype(np.float32), 1),
        r"bools.*got float32 of.*attention_mask\.astype",
    ),
    (
        lambda: loose().mask_batch(IDS, seed=1, attention_mask=np.ones(8, dtype=np.bool_)),
        r"attention_mask must be.*got bool of shape \[8\]",
    ),
    (lambda: loose().mask_batch(IDS, [8, 8, 8], 1, attention_mask=IDS > 0), "only one of them"),
    (lambda: loose().mask_batch(IDS, None, 1, word_starts=IDS), r"must be 0 or 1, got 7 at word_starts\[0, 0\]"),
    (lambda: loose().mask_batch(IDS, None, 1, word_starts=IDS[0] > 0), r"of shape \[3, 8\], got bool of shape \[8\]"),
    (lambda: loose().mask_batch(IDS, None, 1, word_starts=IDS[:2] > 0), r"input_ids, \[3, 8\], got shape \[2, 8\]"),
    (lambda: loose().mask(IDS[0], 1, word_starts=IDS[0, :5] > 0), r"input_ids, \[8\], got shape \[5\]"),
    (lambda: loose().mask(IDS[0], 1, word_starts=np.array(True)), r"of shape \[8\], got bool of shape \[\]"),
    (lambda: loose().mask_batch(IDS), "seed is required"),
    (lambda: loose().mask_batch(IDS, None, -1), r"seed must be a whole number from 0 to 2\*\*64 - 1, got -1"),
    (lambda: loose().mask_batch(IDS, None, 2**64), "seed.*18446744073709551616"),
    (lambda: loose().mask_batch(IDS, None, True), "seed.*got True"),
    (lambda: loose().mask_batch(IDS, None, 1.0), "seed.*got 1"),
    (lambda: loose().mask(IDS[0], np.float64(1)), "seed must be"),
    (lambda: loose().mask_batch(IDS, None, 1, first_row=-1), r"first_row.*2\*\*63 - 1, got -1"),
    (lambda: loose().mask(IDS[0], 1, row=2**63), "row must be"),
    (lambda: loose().mask(IDS[0], 1, labels=1), "labels must be true or false, got 1"),
    (lambda: loose().predictions(0), "tokens must be a whole number from 1 to 16777216, got 0"),
]
MAKERS: list[tuple[Callable[[], object], str]] = [
    (lambda: loose(max_predictions_per_seq=0), "max_predictions_per_seq must be a whole number from 1 to 65536, got 0"),
    (lambda: loose(masked_lm_prob=1.1), r"masked_lm_prob must be a number from 0 to 1, got 1\.1"),
    (lambda: loose(masked_lm_prob=math.nan), "masked_lm_prob.*nan"),
    (lambda: loose(masked_lm_prob="0.5"), "masked_lm_prob.*'0.5'"),
    (lambda: loose(ngram=0), "ngram must be a whole number from 1 to 64, got 0"),
    (lambda: loose(do_permutation="no"), "do_permutation must be true or false, got 'no'"),
    (lambda: loose(num_threads=0), "num_threads must be a whole number from 1 to 1024, got 0"),
    (lambda: loose(special_ids=[3, 60]), "special_ids must be ids of the vocabulary, from 0 to 59, got 60"),
    (lambda: loose(special_ids=[-1]), "special_ids.*got -1"),
    (lambda: loose(special_ids=["a"]), "special_ids must be a sequence of ids"),
    (lambda: loose(special_ids=[[1], [2, 3]]), "special_ids must be a sequence of ids"),
    (lambda: loose(ordinary=[99]), "ordinary must be ids of the vocabulary, from 0 to 59, got 99"),
    (lambda: loose(ordinary=[]), "needs an ordinary piece.*none of the vocabulary's 60 pieces"),
    (lambda: loose(ordinary=[CLS, EXTRA]), "needs an ordinary piece.*none of the vocabulary's 60 pieces"),
    (lambda: loose(mask_id=60), "mask_id must be a whole number from 0 to 59, got 60"),
    (lambda: loose(mask_id=None), "mask_id must be a whole number.*None"),
    (lambda: LooseMasker.from_vocab(0, [], **SPECIAL), "vocab_size must be a whole number from 1 to 2147483647, got 0"),
    (lambda: LooseMasker.from_vocab(61, STARTS, **SPECIAL), r"word_starts must be bools.* of shape \[61\].*\[60\]"),
    (lambda: LooseMasker.from_vocab(5, range(5), **SPECIAL), "word_starts must be bools.*got int64"),
    (lambda: LooseMasker("spiece.model"), "tokenizer must be an albert_fast.Tokenizer.*'spiece.model'"),
]


@pytest.mark.parametrize(("call", "message"), BATCHES + MAKERS, ids=[message[:40] for _, message in BATCHES + MAKERS])
def test_bad_input_is_told(call: Callable[[], object], message: str) -> None:
    with pytest.raises(AlbertFastError, match=message) as raised:
        call()
    assert isinstance(raised.value, ValueError)
    assert "\n" not in str(raised.value)


def test_a_bad_word_boundary_is_told(model: Path) -> None:
    tokenizer = Tokenizer.from_file(model)
    for name in ("ascii", None):
        with pytest.raises(AlbertFastError, match=f"word_boundary must be one of unicode, albert, got .*{name}"):
            LooseMasker(tokenizer, word_boundary=name)
    with pytest.raises(
        AlbertFastError, match=f"special_ids must be ids of the vocabulary, from 0 to {tokenizer.vocab_size - 1}"
    ):
        Masker(tokenizer, special_ids=[tokenizer.vocab_size])


def test_numpys_integers_are_integers() -> None:
    made = loose(ngram=np.int8(2), max_predictions_per_seq=np.uint16(3), masked_lm_prob=np.float32(0.5))
    expected = loose(ngram=2, max_predictions_per_seq=3, masked_lm_prob=0.5).mask(IDS[0], 2**64 - 1, row=3)
    assert_equal(made.mask(IDS[0], np.uint64(2**64 - 1), row=np.int64(3)), expected)


def test_room_that_there_is_not_is_a_memory_error() -> None:
    endless = np.broadcast_to(np.int32(7), (2**37, 2**10))
    with pytest.raises(MemoryError, match="fewer rows"):
        masker().mask_batch(endless, None, 1)
    with pytest.raises(AlbertFastError, match="rows of 1 to 16777216 tokens, got rows of 16777217"):
        masker().mask(np.broadcast_to(np.int32(7), 2**24 + 1), 1)


ANY_ARRAY = hnp.arrays(
    st.one_of(
        hnp.integer_dtypes(endianness="?"),
        hnp.unsigned_integer_dtypes(endianness="?"),
        hnp.floating_dtypes(endianness="?"),
        hnp.boolean_dtypes(),
        hnp.unicode_string_dtypes(),
        hnp.datetime64_dtypes(),
        hnp.array_dtypes(),
        st.just(np.dtype(np.int32)),
    ),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6),
)
INT32 = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=20),
    elements=st.integers(0, SIZE - 1) | st.integers(-(2**31), 2**31 - 1),
    fill=st.integers(0, SIZE - 1),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.complex_numbers(),
)
LISTS = st.lists(st.one_of(st.integers(-1, 70), SCALARS), max_size=8)
ANYTHING = st.one_of(ANY_ARRAY, INT32, LISTS, SCALARS, st.lists(LISTS, max_size=3), st.dictionaries(st.text(), SCALARS))


def accepted(call: Callable[..., Arrays], *arguments: Any, **options: Any) -> Arrays | None:
    """What a call returns; None where it is refused. A panic would be neither."""
    try:
        return call(*arguments, **options)
    except (ValueError, TypeError):
        return None


@st.composite
def calls(draw: st.DrawFn) -> tuple[set[str], Any, dict[str, Any]]:
    """Names of up to two arguments that may be anything; ids and what may go with them, but for these right."""
    wrong = draw(
        st.sets(st.sampled_from(["ids", "seed", "lengths", "attention_mask", "word_starts", "labels"]), max_size=2)
    )
    rank = draw(st.sampled_from([1, 2]))
    shape = draw(hnp.array_shapes(min_dims=rank, max_dims=rank, min_side=1, max_side=20))
    right: dict[str, st.SearchStrategy[Any]] = {
        "ids": hnp.arrays(np.int32, shape, elements=st.integers(0, SIZE - 1)),
        "seed": st.integers(0, 2**64 - 1),
        "lengths": st.none() | hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[-1])),
        "attention_mask": st.none()
        | hnp.arrays(np.bool_, shape)
        | hnp.arrays(np.int32, shape, elements=st.integers(0, 1)),
        "word_starts": st.none() | hnp.arrays(np.bool_, shape),
        "labels": st.booleans(),
    }
    values = {name: draw((INT32 | ANYTHING) if name in wrong else value) for name, value in right.items()}
    return wrong, values.pop("ids"), values


@settings(SETTINGS, max_examples=200)
@given(calls())
def test_nothing_trips_a_call(call: tuple[set[str], Any, dict[str, Any]]) -> None:
    wrong, ids, options = call
    made = masker(num_threads=2)
    for left_out in ("lengths", "attention_mask"):
        masked = accepted(made.mask_batch, ids, **{**options, left_out: None})
        if masked is not None:
            for row, given in zip(restored(masked), ids, strict=True):
                np.testing.assert_array_equal(row[: len(given)], given)
                assert (row[len(given) :] == PAD).all()
        elif wrong <= {left_out}:
            assert ids.ndim == 1, "a call with nothing wrong is refused"
    masked = accepted(made.mask, ids, **{name: options[name] for name in ("seed", "word_starts", "labels")})
    if masked is not None:
        assert masked["input_ids"].shape == np.shape(ids)
    elif wrong <= {"lengths", "attention_mask"}:
        assert ids.ndim == 2, "a call with nothing wrong is refused"


OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.just(id_) for name, id_ in SPECIAL.items()},
    "ordinary": st.none() | st.lists(st.integers(0, SIZE - 1)).map(lambda ids: [*ids, SIZE - 1]),
    "special_ids": st.lists(st.integers(0, SIZE - 2)),
    "num_threads": st.none() | st.integers(1, 4),
    "max_predictions_per_seq": st.none() | st.integers(1, 65_536),
    "masked_lm_prob": st.floats(0, 1),
    "ngram": st.integers(1, 64),
    **dict.fromkeys(FIELDS[3:], st.booleans()),
}


@settings(SETTINGS, max_examples=200)
@given(st.data())
def test_nothing_trips_the_options(data: st.DataObject) -> None:
    wrong = data.draw(st.sets(st.sampled_from(["vocab_size", "word_starts", *OPTIONS]), max_size=3))
    given = {"vocab_size": st.just(SIZE), "word_starts": st.just(STARTS), **OPTIONS}
    options = {name: data.draw(ANYTHING if name in wrong else right) for name, right in given.items()}
    size, starts = options.pop("vocab_size"), options.pop("word_starts")
    try:
        made = LooseMasker.from_vocab(size, starts, **options)
    except (ValueError, TypeError):
        assert wrong, "options with nothing wrong are refused"
        return
    assert repr(made).startswith(f"Masker.from_vocab({size}, ")
    assert made.mask([0, made.vocab_size - 1] * 4 + [0], 1)["input_ids"].shape == (9,)
