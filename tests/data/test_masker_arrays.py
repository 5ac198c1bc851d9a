"""`albert_fast.Masker` takes ids, lengths and masks of any origin, and knows `<pad>` without being told."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from adapters import framework
from maskers import CLS, MASK, PAD, SEP, SIZE, STARTS, Arrays, assert_equal, masker, restored

from albert_fast import AlbertFastError, InstanceStream, Masker, Tokenizer, TokenStore, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

IDS = np.random.default_rng(0).integers(6, SIZE, (4, 30)).astype(np.int32)
LENGTHS = np.array([30, 0, 17, 5])
ATTENDED = np.arange(30) < LENGTHS[:, None]
INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">u2", ">i4", ">i8", ">u8"]


class FromDLPack:
    """A tensor of a library that NumPy knows through DLPack only."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


class Elsewhere:
    """A tensor that is not in the memory of the CPU."""

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        raise TypeError("can't convert a tensor of cuda:0.\nUse Tensor.cpu() first.")


def cast(kind: str, array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(kind)


def strided(array: NDArray[Any]) -> NDArray[Any]:
    """The same values, every third of a larger array, backwards."""
    wide = np.zeros((*array.shape[:-1], 3 * array.shape[-1]), array.dtype)
    wide[..., ::-3] = array
    return wide[..., ::-3]


def unaligned(array: NDArray[Any]) -> NDArray[Any]:
    """The same values, a field of packed records."""
    records = np.zeros(array.shape, np.dtype([("before", "u1"), ("value", array.dtype)]))
    records["value"] = array
    field: NDArray[Any] = records["value"]
    return field


KINDS: dict[str, Callable[[NDArray[Any]], Any]] = {
    **{kind: partial(cast, kind) for kind in INTEGERS},
    "strided": lambda array: strided(array.astype(np.uint16)),
    "strided int32": lambda array: strided(array.astype(np.int32)),
    "unaligned": lambda array: unaligned(array.astype(np.int32)),
    "unaligned uint64": lambda array: unaligned(array.astype(np.uint64)),
    "Fortran": lambda array: np.asfortranarray(array.astype(np.int64)),
    "lists": lambda array: array.tolist(),
    "lists of NumPy's integers": lambda array: list(array.astype(np.uint32)),
    "a tuple": lambda array: tuple(array.tolist()),
    "objects": lambda array: array.astype(object) if array.ndim == 1 else list(array.astype(object)),
    "DLPack": lambda array: FromDLPack(array.astype(np.int64)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_integers_is_taken(kind: str) -> None:
    of = KINDS[kind]
    made = masker()
    expected = made.mask_batch(IDS, LENGTHS, 5, labels=True)
    assert_equal(made.mask_batch(of(IDS), of(LENGTHS), 5, labels=True), expected)
    # Objects are ids only; what else they may be in a mask is not known.
    if kind != "objects":
        assert_equal(made.mask_batch(of(IDS), of(ATTENDED), 5, labels=True), expected)
        assert_equal(made.mask_batch(of(IDS), seed=5, attention_mask=of(ATTENDED), labels=True), expected)
    row = made.mask(of(IDS[0]), 5, row=7)
    assert_equal(row, made.mask(IDS[0], 5, row=7))
    first = made.mask_batch(of(IDS[:1]), None, 5, first_row=7)
    assert_equal(row, {name: array[0] for name, array in first.items()})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "objects"])
def test_word_starts_may_be_zeros_and_ones(kind: str) -> None:
    """Of any integer type, as in the batches of an `InstanceStream`."""
    starts = np.random.default_rng(1).random(IDS.shape) < 0.5
    made = masker()
    expected = made.mask_batch(IDS, None, 5, word_starts=starts)
    assert_equal(made.mask_batch(IDS, None, 5, word_starts=KINDS[kind](starts)), expected)
    row = made.mask(IDS[2], 5, row=2, word_starts=KINDS[kind](starts[2]))
    assert_equal(row, {name: array[2] for name, array in expected.items()})
    other = Masker.from_vocab(
        SIZE, KINDS[kind](np.array(STARTS)), pad_id=PAD, cls_id=CLS, sep_id=SEP, mask_id=MASK, special_ids=[5]
    )
    assert_equal(other.mask(IDS[0], 5), masker().mask(IDS[0], 5))


def test_rows_of_several_lengths_are_filled_up_with_padding() -> None:
    rows = [row[:length].tolist() for row, length in zip(IDS, LENGTHS, strict=True)]
    expected = masker().mask_batch(np.where(ATTENDED, IDS, PAD).astype(np.int32), LENGTHS, 5, labels=True)
    assert_equal(masker().mask_batch(rows, None, 5, labels=True), expected)
    assert_equal(masker().mask_batch(rows, LENGTHS, 5, labels=True), expected)
    ones = [[1] * len(row) for row in rows]
    assert_equal(masker().mask_batch(rows, ones, 5, labels=True), expected)
    assert_equal(masker().mask_batch([np.array(row, np.uint16) for row in rows], None, 5, labels=True), expected)
    with pytest.raises(AlbertFastError, match=r"got 31 at lengths\[0\]"):
        masker().mask_batch(rows, LENGTHS + 1, 5)


def test_what_the_package_returns_is_taken(model: Path, corpus: Path, tmp_path: Path) -> None:
    """Ids of `encode`, `encode_batch` and `TokenStore.document`, and the arrays of a batch."""
    tokenizer = Tokenizer.from_file(model)
    made = Masker(tokenizer)
    tokenize([corpus], tmp_path / "store", tokenizer)
    store = TokenStore(tmp_path / "store")
    document = store.document(0)
    assert document[0].dtype == np.uint16
    assert_equal(made.mask(document[0], 1), made.mask(document[0].tolist(), 1))
    assert_equal(made.mask_batch(document, seed=1), made.mask_batch([part.tolist() for part in document], seed=1))
    assert_equal(made.mask(tokenizer.encode("a few words"), 1), made.mask(list(tokenizer.encode("a few words")), 1))
    many, offsets = tokenizer.encode_batch(["a few words", "and several more of them"])
    rows = np.split(many, offsets[1:-1])
    by_list = made.mask_batch(rows, seed=1)
    width = by_list["input_ids"].shape[1]
    padded = np.stack(
        [np.pad(row.astype(np.int32), (0, width - len(row)), constant_values=made.pad_id) for row in rows]
    )
    assert_equal(made.mask_batch(padded, np.diff(offsets), 1), by_list)
    with pytest.raises(AlbertFastError, match=r"got ids and the offsets of their rows; pass np\.split\(ids, offsets"):
        made.mask_batch((many, offsets), seed=1)
    with pytest.raises(AlbertFastError, match="got a list of rows; pass one of them"):
        made.mask(document, 1)
    batch = InstanceStream(store, 8, 64, masked_lm_prob=0.0).batch(0)
    masked = made.mask_batch(
        batch["input_ids"], seed=1, attention_mask=batch["input_mask"], word_starts=batch["token_boundary"], labels=True
    )
    np.testing.assert_array_equal(restored(masked), batch["input_ids"])
    budgets = np.maximum(1, np.rint(0.15 * batch["input_mask"].sum(1)))
    assert (masked["masked_lm_weights"].sum(1) <= budgets).all()


def test_a_tensor_that_numpy_cannot_read_is_told() -> None:
    loose: Any = Elsewhere()
    for ids, lengths in ((loose, None), (IDS, loose)):
        with pytest.raises(
            AlbertFastError, match=r"cannot be read as an array: Elsewhere: .*Tensor\.cpu.*CPU's"
        ) as raised:
            masker().mask_batch(ids, lengths, 1)
        assert "\n" not in str(raised.value)


def assert_tensors(tensor: Callable[[Any, str], Any]) -> None:
    """`tensor(values, dtype)` makes what is passed."""
    made = masker()
    expected = made.mask_batch(IDS, LENGTHS, 5)
    for ids_type in ("int32", "int64", "uint8"):
        ids = tensor(IDS.tolist(), ids_type)
        for mask_type in ("bool", "int32", "int64", "uint8"):
            assert_equal(made.mask_batch(ids, tensor(ATTENDED.astype(mask_type).tolist(), mask_type), 5), expected)
        assert_equal(made.mask_batch(ids, tensor(LENGTHS.tolist(), ids_type), 5), expected)
        assert_equal(made.mask(tensor(IDS[0].tolist(), ids_type), 5), made.mask(IDS[0], 5))
        assert_equal(
            made.mask_batch([tensor(row.tolist(), ids_type) for row in IDS], None, 5), made.mask_batch(IDS, None, 5)
        )
    starts = tensor(ATTENDED.tolist(), "bool")
    assert_equal(made.mask_batch(IDS, None, 5, word_starts=starts), made.mask_batch(IDS, None, 5, word_starts=ATTENDED))
    with pytest.raises(AlbertFastError, match=r"input_ids must be integers .*got float32 of shape"):
        made.mask_batch(tensor(IDS.tolist(), "float32"), None, 5)


@pytest.mark.torch
def test_tensors_of_pytorch_are_taken() -> None:
    torch = framework("torch", "torch")
    assert_tensors(lambda values, kind: torch.tensor(values, dtype=getattr(torch, kind)))
    ids = torch.tensor(IDS.tolist())
    assert_equal(masker().mask_batch(ids.T.contiguous().T, None, 5), masker().mask_batch(IDS, None, 5))
    with pytest.raises(AlbertFastError, match=r"cannot be read as an array: Tensor: .*CPU's memory"):
        masker().mask_batch(ids.to("meta"), None, 5)


@pytest.mark.tensorflow
def test_tensors_of_tensorflow_are_taken() -> None:
    tf = framework("tensorflow", "tensorflow")
    assert_tensors(lambda values, kind: tf.constant(values, getattr(tf, kind)))

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def traced(ids: Any) -> Any:
        return masker().mask_batch(ids, None, 5)["input_ids"]

    with pytest.raises(AlbertFastError, match="input_ids cannot be read as an array"):
        traced(tf.constant(IDS))


# --- padding ----------------------------------------------------------------------------------------------------------


def predictions(masked: Arrays) -> int:
    return int(masked["masked_lm_weights"].sum())


@pytest.mark.parametrize(("front", "back"), [(0, 108), (108, 0), (40, 68), (1, 1)])
def test_pads_are_no_tokens(front: int, back: int) -> None:
    """A row that was padded beforehand is masked as it is without padding."""
    made = Masker.from_vocab(100, [True] * 100, pad_id=0, cls_id=2, sep_id=3, mask_id=4, ngram=1)
    row = np.array([2, *range(20, 38), 3], np.int32)
    padded = np.pad(row, (front, back))
    for seed in range(20):
        alone = made.mask(row, seed)
        one, many = made.mask(padded, seed), made.mask_batch(padded[None], None, seed, labels=True)
        assert predictions(one) == predictions(many) == predictions(alone) == 3
        assert_equal(one, {name: array[0] for name, array in many.items() if name != "labels"})
        np.testing.assert_array_equal(one["masked_lm_positions"][:3] - front, alone["masked_lm_positions"])
        np.testing.assert_array_equal(one["input_ids"][front : front + 20], alone["input_ids"])
        assert (many["labels"][0][padded == 0] == -100).all()


def test_pads_anywhere_are_as_an_attention_mask_says(model: Path) -> None:
    """Of a tokenizer, whose `<pad>` is at 0, and of vocabularies with it elsewhere; inside a row too."""
    rng = np.random.default_rng(2)
    tokenizer = Tokenizer.from_file(model)
    others = [
        Masker.from_vocab(SIZE, STARTS, pad_id=pad, cls_id=2, sep_id=3, mask_id=4, masked_lm_prob=0.4)
        for pad in (1, 59)
    ]
    for made in (Masker(tokenizer), *others):
        ids = rng.integers(5, 58, (50, 40))
        ids[rng.random(ids.shape) < 0.4] = made.pad_id
        ids[0] = made.pad_id
        assert_equal(made.mask_batch(ids, seed=3), made.mask_batch(ids, seed=3, attention_mask=ids != made.pad_id))
        # Whoever says what padding is knows better.
        as_tokens = made.mask_batch(ids, np.full(50, 40), 3)
        assert predictions(as_tokens) > predictions(made.mask_batch(ids, seed=3))


def test_a_pad_that_is_also_another_token_is_not_guessed() -> None:
    options: dict[str, Any] = {"cls_id": 2, "sep_id": 3, "mask_id": 4, "masked_lm_prob": 0.3}
    shared = Masker.from_vocab(SIZE, STARTS, pad_id=SEP, **options)
    usual = Masker.from_vocab(SIZE, STARTS, pad_id=0, **options)
    frame = np.array([[CLS, *range(10, 20), SEP, *range(30, 40), SEP]])
    assert_equal(shared.mask_batch(frame, None, 1), usual.mask_batch(frame, None, 1))
    for padded in ([*frame[0], SEP, SEP], [SEP, SEP, *frame[0]]):
        with pytest.raises(
            AlbertFastError, match=r"several tokens of id 3, which is both pad_id and sep_id: row \d does.*pass lengths"
        ):
            shared.mask_batch([frame[0], padded], None, 1)
        with pytest.raises(AlbertFastError, match=r"row 0 does.*pass the row without padding"):
            shared.mask(padded, 1)
    shared.mask_batch([frame[0], [*frame[0], SEP, SEP]], [23, 23], 1)
