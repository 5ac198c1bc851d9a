"""`albert_fast.Masker`: the rule kept, rows independent of everything around them, and no input that it trips over."""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from maskers import (
    CLS,
    EXTRA,
    FIELDS,
    MASK,
    PAD,
    SEP,
    SIZE,
    STARTS,
    UNK,
    Arrays,
    assert_equal,
    masker,
    restored,
)
from native import native_instances, random_corpus
from test_distributions import (
    P_VALUE,
    became,
    exchanged,
    masked_beside_sep,
    masked_pattern,
    masked_place,
    masked_run,
    masked_share,
    replaced_by,
    same_distribution,
)

from albert_fast import AlbertFastError, Masker, Tokenizer, reference
from albert_fast.reference import Instance, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ["input_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights"]
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@st.composite
def all_options(draw: st.DrawFn) -> dict[str, Any]:
    """Any options that are valid."""
    return {
        "max_predictions_per_seq": draw(st.one_of(st.none(), st.integers(1, 30))),
        "masked_lm_prob": draw(st.one_of(st.sampled_from([0.0, 0.15, 0.5, 1.0]), st.floats(0, 1))),
        "ngram": draw(st.integers(1, 6)),
        "favor_shorter_ngram": draw(st.booleans()),
        "do_whole_word_mask": draw(st.booleans()),
        "do_permutation": draw(st.booleans()),
        "cross_segment_words": draw(st.booleans()),
        "replace_with_special": draw(st.booleans()),
        "num_threads": draw(st.sampled_from([1, 2, 7])),
    }


@st.composite
def batches(draw: st.DrawFn) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Rows of any tokens, special ones anywhere, and what is no padding in them: at an end, or anywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.tuples(st.integers(0, 5), st.integers(1, 90)))
    ids = np.where(rng.random(shape) < 0.1, rng.integers(0, 6, shape), rng.integers(6, SIZE, shape)).astype(np.int32)
    columns = np.arange(shape[1])
    lengths = rng.integers(0, shape[1] + 1, (shape[0], 1))
    kind = draw(st.sampled_from(["none", "right", "left", "holes"]))
    attended = {
        "none": np.ones(shape, dtype=np.bool_),
        "right": columns < lengths,
        "left": columns >= lengths,
        "holes": rng.random(shape) < 0.8,
    }
    return ids, attended[kind]


def row_of(masked: Arrays, row: int) -> Arrays:
    return {name: array[row] for name, array in masked.items()}


def words_of(ids: NDArray[np.int32], attended: NDArray[np.bool_], options: dict[str, Any]) -> list[list[int]]:
    """The words of a row, by the text of the rule."""
    words: list[list[int]] = []
    joins = False
    for position, id_ in enumerate(ids.tolist()):
        if attended[position] and options["cross_segment_words"] and id_ in {CLS, SEP}:
            continue
        if not attended[position] or id_ in {PAD, CLS, SEP, MASK, EXTRA}:
            joins = False
        elif joins and options["do_whole_word_mask"] and not STARTS[id_]:
            words[-1].append(position)
        else:
            words.append([position])
            joins = True
    return words


# --- the rule ---------------------------------------------------------------------------------------------------------


@settings(SETTINGS, max_examples=200)
@given(batches(), all_options(), st.integers(0, 2**64 - 1))
def test_masks_keep_to_the_rule(
    batch: tuple[NDArray[np.int32], NDArray[np.bool_]], options: dict[str, Any], seed: int
) -> None:
    ids, attended = batch
    before = ids.copy(), attended.copy()
    made = masker(**options)
    masked = made.mask_batch(ids, attended, seed, labels=True)
    np.testing.assert_array_equal(before[0], ids)
    np.testing.assert_array_equal(before[1], attended)

    rows, width = ids.shape
    share, cap = options["masked_lm_prob"], options["max_predictions_per_seq"]
    slots = (max(1, round(share * width)) if cap is None else cap) * (1 + options["do_permutation"])
    assert made.predictions(width) == slots
    assert {name: array.shape for name, array in masked.items()} == {
        "input_ids": (rows, width),
        **dict.fromkeys(NAMES[1:], (rows, slots)),
        "labels": (rows, width),
    }
    assert [masked[name].dtype for name in [*NAMES, "labels"]] == [np.int32, np.int32, np.int32, np.float32, np.int64]
    np.testing.assert_array_equal(restored(masked), ids)

    for row in range(rows):
        count = int(masked["masked_lm_weights"][row].sum())
        budget = max(1, round(share * int(attended[row].sum()))) if share else 0
        budget = min(budget, cap or budget)
        assert count <= budget * (1 + options["do_permutation"])
        np.testing.assert_array_equal(masked["masked_lm_weights"][row], [1] * count + [0] * (slots - count))
        assert not masked["masked_lm_positions"][row, count:].any()
        assert not masked["masked_lm_ids"][row, count:].any()
        positions = masked["masked_lm_positions"][row, :count].tolist()
        assert positions == sorted(set(positions))
        expected = np.full(width, -100)
        expected[positions] = ids[row, positions]
        np.testing.assert_array_equal(masked["labels"][row], expected)
        words = words_of(ids[row], attended[row], options)
        assert sorted(position for word in words if word[0] in positions for position in word) == positions
        if options["ngram"] == 1 and not options["do_permutation"]:
            # Nothing untouched would fit into what is left.
            assert all(len(word) > budget - count for word in words if word[0] not in positions)
        if not options["replace_with_special"]:
            assert not np.isin(masked["input_ids"][row, positions], [PAD, CLS, SEP, EXTRA]).any()


def test_a_row_that_is_one_word_too_long_is_left_alone() -> None:
    masked = masker(masked_lm_prob=0.1).mask([7, *[9] * 30], 1)
    assert masked["masked_lm_weights"].tolist() == [0, 0, 0]


def test_nothing_is_masked_without_a_probability_or_without_tokens() -> None:
    ids = np.full((3, 20), 7, dtype=np.int32)
    assert not masker(masked_lm_prob=0).mask_batch(ids, None, 1)["masked_lm_weights"].any()
    masked = masker().mask_batch(ids, np.zeros(3, dtype=np.int64), 1, labels=True)
    assert not masked["masked_lm_weights"].any()
    assert (masked["labels"] == -100).all()
    special = np.resize(np.array([PAD, CLS, SEP, MASK, EXTRA], dtype=np.int32), (3, 20))
    assert not masker(cross_segment_words=True).mask_batch(special, None, 1)["masked_lm_weights"].any()


def test_unknown_pieces_are_masked_and_only_ordinary_ones_replace() -> None:
    ids = np.full((400, 50), UNK, dtype=np.int32)
    masked = masker(ordinary=[10, 11, EXTRA], masked_lm_prob=1, ngram=1).mask_batch(ids, None, 3)
    assert masked["masked_lm_weights"].all()
    assert set(masked["input_ids"].ravel().tolist()) == {UNK, MASK, 10, 11}
    everything = masker(replace_with_special=True, masked_lm_prob=1, ngram=1).mask_batch(ids, None, 3)
    assert set(everything["input_ids"].ravel().tolist()) == set(range(SIZE))


def test_own_word_starts_count_instead_of_the_vocabulary() -> None:
    ids = np.full((200, 30), 7, dtype=np.int32)
    starts = np.arange(30) % 3 == 0
    masked = masker(ngram=1, masked_lm_prob=0.2).mask_batch(ids, None, 1, word_starts=np.tile(starts, (200, 1)))
    positions = masked["masked_lm_positions"].reshape(200, 2, 3)
    assert (positions[:, :, 0] % 3 == 0).all()
    assert (np.diff(positions) == 1).all()
    assert_equal(masker(ngram=1, masked_lm_prob=0.2).mask(ids[5], 1, row=5, word_starts=starts), row_of(masked, 5))
    alone = masker(ngram=1, masked_lm_prob=0.2).mask(ids[5], 1, row=5)
    assert not np.array_equal(alone["masked_lm_positions"], masked["masked_lm_positions"][5])


def test_words_and_ngrams_cross_sep_only_where_they_are_let() -> None:
    ids = np.tile(np.array([CLS, 7, 7, SEP, 9, 9, SEP], dtype=np.int32), (2000, 1))
    # Three tokens are to be masked. Across [SEP] "9 9" belongs to the second 7, and they never fall without each other.
    for cross, patterns in [(False, {(1, 2), (1, 4, 5), (2, 4, 5)}), (True, {(1,), (2, 4, 5)})]:
        made = masker(cross_segment_words=cross, masked_lm_prob=3 / 7, ngram=2)
        masked = made.mask_batch(ids, None, 1)
        masked_together = {
            tuple(row[weights > 0].tolist())
            for row, weights in zip(masked["masked_lm_positions"], masked["masked_lm_weights"], strict=True)
        }
        assert masked_together == patterns
    gap = ids.copy()
    gap[:, 3] = EXTRA
    apart = masker(cross_segment_words=True, masked_lm_prob=2 / 7, ngram=1).mask_batch(gap, None, 1)
    assert any(row.tolist() == [4, 5] for row in apart["masked_lm_positions"])


# --- rows are masked alike wherever they are --------------------------------------------------------------------------


@settings(SETTINGS, max_examples=100)
@given(batches(), all_options(), st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1))
def test_rows_are_independent(
    batch: tuple[NDArray[np.int32], NDArray[np.bool_]], options: dict[str, Any], seed: int, first_row: int
) -> None:
    ids, attended = batch
    made = masker(**options)
    masked = made.mask_batch(ids, attended, seed, first_row=first_row)
    for row in range(len(ids)):
        part = slice(row, row + 1)
        alone = made.mask_batch(ids[part], attended[part], seed, first_row=min(first_row + row, 2**63 - 1))
        if first_row + row < 2**63:
            assert_equal(row_of(alone, 0), row_of(masked, row))
    whole = made.mask_batch(ids, None, seed, labels=True)
    for row in range(len(ids)):
        assert_equal(made.mask(ids[row], seed, row=row, labels=True), row_of(whole, row))
        assert_equal(made.mask(ids[row].tolist(), seed, row=row, labels=True), row_of(whole, row))


@settings(SETTINGS, max_examples=100)
@given(batches(), st.data())
def test_lengths_are_a_mask_of_any_type(
    batch: tuple[NDArray[np.int32], NDArray[np.bool_]], data: st.DataObject
) -> None:
    ids, _ = batch
    rows, width = ids.shape
    lengths = data.draw(hnp.arrays(np.int64, rows, elements=st.integers(0, width)))
    expected = masker().mask_batch(ids, lengths, 5)
    mask = np.arange(width) < lengths[:, None]
    for attended in (lengths.astype(np.int32), lengths.tolist(), mask, mask.astype(np.int32), mask.astype(np.int64)):
        assert_equal(masker().mask_batch(ids, attended, 5), expected)
    assert_equal(masker().mask_batch(ids, seed=5, attention_mask=mask), expected)
    assert_equal(masker().mask_batch(ids, seed=5, lengths=lengths), expected)


def test_padding_changes_nothing() -> None:
    """The draws depend on a row's tokens, so padding on the left moves the predictions and no more."""
    ids = np.random.default_rng(0).integers(6, SIZE, (50, 40)).astype(np.int32)
    made = masker(max_predictions_per_seq=8)
    plain = made.mask_batch(ids, None, 1)
    padded = np.pad(ids, ((0, 0), (11, 3)))
    left = made.mask_batch(padded, np.pad(np.ones_like(ids), ((0, 0), (11, 3))), 1)
    np.testing.assert_array_equal(left["input_ids"][:, 11:-3], plain["input_ids"])
    np.testing.assert_array_equal(left["masked_lm_ids"], plain["masked_lm_ids"])
    shift = (11 * left["masked_lm_weights"]).astype(np.int32)
    np.testing.assert_array_equal(left["masked_lm_positions"] - shift, plain["masked_lm_positions"])
    right = made.mask_batch(np.pad(ids, ((0, 0), (0, 9))), np.full(50, 40), 1)
    np.testing.assert_array_equal(right["masked_lm_positions"], plain["masked_lm_positions"])


@functools.cache
def large() -> NDArray[np.int32]:
    """Enough rows for several threads."""
    return np.random.default_rng(1).integers(1, SIZE, (700, 130)).astype(np.int32)


def test_threads_and_slices_make_no_difference() -> None:
    ids = large()
    lengths = np.random.default_rng(2).integers(0, 131, 700)
    expected = masker(num_threads=1).mask_batch(ids, lengths, 9, labels=True)
    for num_threads in (2, 7, 7, None, 2):
        assert_equal(masker(num_threads=num_threads).mask_batch(ids, lengths, 9, labels=True), expected)
    for begin, end in [(0, 1), (17, 400), (400, 700), (700, 700)]:
        part = masker().mask_batch(ids[begin:end], lengths[begin:end], 9, first_row=begin, labels=True)
        assert_equal(part, {name: array[begin:end] for name, array in expected.items()})
    other = masker().mask_batch(ids, lengths, 10)
    assert not np.array_equal(other["masked_lm_positions"], expected["masked_lm_positions"])


def test_arrays_lie_as_they_like() -> None:
    ids = large()[:40]
    mask = np.random.default_rng(3).random(ids.shape) < 0.9
    starts = np.random.default_rng(4).random(ids.shape) < 0.5
    expected = masker().mask_batch(ids, mask, 9, word_starts=starts)

    def packed(array: NDArray[Any]) -> NDArray[Any]:
        records = np.zeros(array.shape, dtype=[("odd", "i1"), ("value", array.dtype)])
        records["value"] = array
        value: NDArray[Any] = records["value"]
        return value

    def spread(array: NDArray[Any]) -> NDArray[Any]:
        wide = np.zeros((80, 390), dtype=array.dtype)
        wide[::2, ::3] = array
        part: NDArray[Any] = wide[::2, ::3]
        return part

    def turned(array: NDArray[Any]) -> NDArray[Any]:
        backwards: NDArray[Any] = array[::-1, ::-1].copy()
        return backwards[::-1, ::-1]

    def locked(array: NDArray[Any]) -> NDArray[Any]:
        array = array.copy()
        array.setflags(write=False)
        return array

    forms: list[Callable[[NDArray[Any]], NDArray[Any]]] = [np.asfortranarray, packed, spread, turned, locked]
    masks: list[NDArray[Any]] = [mask, mask.astype(np.int32), mask.astype(np.int64)]
    for form in forms:
        for attended in masks:
            found = masker().mask_batch(form(ids), form(attended), 9, word_starts=form(starts))
            assert_equal(found, expected)
            assert all(array.flags.c_contiguous and array.flags.writeable for array in found.values())
    row = masker().mask(ids[3], 9)
    assert_equal(masker().mask(np.repeat(ids[3], 2)[::2], 9), row)
    assert_equal(masker().mask(packed(ids[3]), 9), row)
    same = np.broadcast_to(np.int32(7), (30, 40))
    assert_equal(masker().mask_batch(same, None, 1), masker().mask_batch(same.copy(), None, 1))


def test_booleans_of_any_bytes() -> None:
    """Any byte but 0 is true, as in NumPy."""
    ids = large()[:40]
    mask = np.random.default_rng(3).integers(0, 2, ids.shape).astype(np.uint8)
    expected = masker().mask_batch(ids, mask.view(np.bool_), 9, word_starts=mask.view(np.bool_))
    odd = (mask * 0xF6).view(np.bool_)
    assert_equal(masker().mask_batch(ids, odd, 9, word_starts=odd), expected)


# --- the distribution is that of the records --------------------------------------------------------------------------

CORPUS = random_corpus(seed=11, documents=120, segments=(1, 12), tokens=(2, 30))
BASE = Options(max_seq_length=64, max_predictions_per_seq=10, short_seq_prob=0.1, dupe_factor=8, random_seed=7)
CASES = {
    "corrected": BASE,
    "reference": BASE.reference(),
    "longer n-grams": replace(BASE, ngram=5, favor_shorter_ngram=False),
    "single tokens": replace(BASE, ngram=1, do_whole_word_mask=False),
    "permutation": replace(BASE, do_permutation=True),
}


@functools.cache
def instances(case: str) -> tuple[list[Instance], list[Instance]]:
    """Instances in the reference's mode, and the same with masks of a `Masker`."""
    options = CASES[case]
    expected = native_instances(CORPUS, options, "reference")
    special = CORPUS.special
    made = Masker.from_vocab(
        len(CORPUS.word_start),
        CORPUS.word_start,
        ordinary=CORPUS.ordinary,
        pad_id=special["pad"],
        cls_id=special["cls"],
        sep_id=special["sep"],
        mask_id=special["mask"],
        **{name: getattr(options, name) for name in FIELDS},
    )
    ids = np.full((len(expected), options.max_seq_length), special["pad"], dtype=np.int32)
    for row, item in enumerate(expected):
        ids[row, : len(item.tokens)] = reference.restore(item.tokens, item.masked_positions, item.masked_labels)
    masked = made.mask_batch(ids, [len(item.tokens) for item in expected], 99)
    found = []
    for row, item in enumerate(expected):
        count = int(masked["masked_lm_weights"][row].sum())
        found.append(
            replace(
                item,
                tokens=masked["input_ids"][row, : len(item.tokens)].tolist(),
                masked_positions=masked["masked_lm_positions"][row, :count].tolist(),
                masked_labels=masked["masked_lm_ids"][row, :count].tolist(),
            )
        )
    return expected, found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "observe",
    [became, exchanged, masked_beside_sep, masked_pattern, masked_place, masked_run, masked_share, replaced_by],
    ids=lambda observe: observe.__name__,
)
def test_masks_are_distributed_as_the_references(observe: Callable[..., Hashable | None], case: str) -> None:
    counts: list[Counter[Hashable]] = []
    for items in instances(case):
        choice = random.Random(5)
        values = (observe(item, CASES[case], choice) for item in items)
        counts.append(Counter(value for value in values if value is not None))
    assert min(count.total() for count in counts) > 500
    assert same_distribution(*counts) > P_VALUE


def test_positions_are_uniform_over_rows_of_one_batch() -> None:
    """Rows differ by their number alone, and their generators have nothing in common."""
    masked = masker(max_predictions_per_seq=1, ngram=1).mask_batch(np.full((6400, 64), 7, dtype=np.int32), None, 1)
    counts = np.bincount(masked["masked_lm_positions"].ravel(), minlength=64)
    # 99.99 % of chi-square values of 63 degrees of freedom are below 112.
    assert ((counts - 100) ** 2 / 100).sum() < 112


# --- processes, threads, pickles --------------------------------------------------------------------------------------


def of_large(made: Masker) -> Arrays:
    return made.mask_batch(large(), None, 4, labels=True)


inherited: Masker | None = None


def with_inherited(_: int) -> Arrays:
    assert inherited is not None
    return of_large(inherited)


def test_a_masker_survives_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    made = masker(num_threads=2)
    monkeypatch.setitem(globals(), "inherited", made)
    expected = of_large(made)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(with_inherited, (number,)) for number in range(4)]
        for result in results:
            assert_equal(result.get(timeout=60), expected)
    assert_equal(of_large(made), expected)


def test_a_masker_is_sent_to_a_new_process(model: Path) -> None:
    made = Masker(Tokenizer.from_file(model), num_threads=2, special_ids=[9])
    expected = of_large(made)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert_equal(pool.apply_async(of_large, (made,)).get(timeout=60), expected)


def test_threads_share_a_masker() -> None:
    makers = [masker(num_threads=number) for number in (1, 2, 3)]
    expected = of_large(makers[0])
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(of_large, makers * 6):
            assert_equal(found, expected)


def test_a_masker_pickles_with_all_its_options(model: Path) -> None:
    options: dict[str, Any] = {
        "max_predictions_per_seq": 9,
        "masked_lm_prob": 0.3,
        "ngram": 4,
        "favor_shorter_ngram": False,
        "do_whole_word_mask": False,
        "do_permutation": True,
        "cross_segment_words": True,
        "replace_with_special": True,
        "num_threads": 3,
        "special_ids": (11, 12),
    }
    tokenizer = Tokenizer.from_file(model)
    for made in (Masker(tokenizer, word_boundary="albert", **options), masker(ordinary=[20, 30], **options)):
        again = pickle.loads(pickle.dumps(made))
        assert_equal(of_large(again), of_large(made))
        assert repr(again) == repr(made)
        for name, value in options.items():
            assert f"{name}={list(value) if isinstance(value, tuple) else value}" in repr(made)


def test_a_pickled_tokenizer_is_the_same_or_none(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spiece.model").write_bytes(model.read_bytes())
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nword\n##s\n", encoding="utf-8")
    tokenizers = [
        Tokenizer.from_file("spiece.model"),
        Tokenizer.from_file("spiece.model", lower_case=False, keep_accents=True),
        Tokenizer.from_file("spiece.model", text_rules="none"),
        Tokenizer.from_vocab_file("vocab.txt", lower_case=False),
    ]
    pickles = [pickle.dumps(tokenizer) for tokenizer in tokenizers]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for tokenizer, content in zip(tokenizers, pickles, strict=True):
        again = pickle.loads(content)
        for name in ("kind", "digest", "lower_case", "keep_accents", "text_rules", "vocab_size"):
            assert getattr(again, name) == getattr(tokenizer, name)
        assert again.encode("Wörds, words") == tokenizer.encode("Wörds, words")
    with (tmp_path / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("more\n")
    with pytest.raises(AlbertFastError, match=r"vocab\.txt: the file has changed since the tokenizer was pickled"):
        pickle.loads(pickles[-1])
    (tmp_path / "spiece.model").unlink()
    with pytest.raises(AlbertFastError, match=r"spiece\.model"):
        pickle.loads(pickles[0])


def test_a_tokenizers_masker_knows_its_pieces(model: Path) -> None:
    tokenizer = Tokenizer.from_file(model)
    special = {tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
    ids = np.array(
        [[*tokenizer.encode("The quick brown fox jumps over the lazy dogs."), *special]] * 300, dtype=np.int32
    )
    made = Masker(tokenizer, masked_lm_prob=0.5)
    assert made.vocab_size == tokenizer.vocab_size
    masked = made.mask_batch(ids, None, 1)
    np.testing.assert_array_equal(masked["input_ids"][:, -4:], ids[:, -4:])
    np.testing.assert_array_equal(restored(masked), ids)
    by_table = Masker.from_vocab(
        tokenizer.vocab_size,
        tokenizer.word_starts(),
        ordinary=[id_ for id_ in range(tokenizer.vocab_size) if id_ not in {*special, tokenizer.unk_id}],
        pad_id=tokenizer.pad_id,
        cls_id=tokenizer.cls_id,
        sep_id=tokenizer.sep_id,
        mask_id=tokenizer.mask_id,
        masked_lm_prob=0.5,
    )
    assert_equal(by_table.mask_batch(ids, None, 1), masked)


def test_the_id_of_padding_is_known() -> None:
    starts = np.ones(10, dtype=np.bool_)
    masker = Masker.from_vocab(10, starts, pad_id=7, cls_id=2, sep_id=3, mask_id=4)
    assert masker.pad_id == pickle.loads(pickle.dumps(masker)).pad_id == 7
