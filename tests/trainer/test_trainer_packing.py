"""Rows into micro-batches: every row once, whole, within its width, and little else computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainer.model.config import ModelConfig
from trainer.model.features import FEATURES, ROW_NUMBERS, ROW_WEIGHTS
from trainer.model.flops import training_flops
from trainer.run import packing
from trainer.run.packing import MicroBatch, Sizes, Width

BASE = ModelConfig.preset("base")


def work(tokens: int, predictions: int) -> float:
    return training_flops(BASE, tokens, predictions)


def made_up(lengths: Any, longest: int = 64, predictions: int = 10, seed: int = 0) -> dict[str, Any]:
    """A batch with rows of these lengths, 15 % of the tokens masked."""
    rng = np.random.default_rng(seed)
    lengths = np.asarray(lengths)
    rows = len(lengths)
    mask = np.arange(longest) < lengths[:, np.newaxis]
    counts = np.minimum(predictions, np.maximum(1, np.round(0.15 * lengths))).astype(int)
    places = np.zeros((rows, predictions), np.int32)
    for row, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        places[row, :count] = np.sort(rng.permutation(length)[:count])
    asked = np.arange(predictions) < counts[:, np.newaxis]
    return {
        "input_ids": (rng.integers(5, 100, (rows, longest)) * mask).astype(np.int32),
        "input_mask": mask.astype(np.int32),
        "segment_ids": ((np.arange(longest) > lengths[:, np.newaxis] // 2) & mask).astype(np.int32),
        "masked_lm_positions": places,
        "masked_lm_ids": (rng.integers(5, 100, (rows, predictions)) * asked).astype(np.int32),
        "masked_lm_weights": asked.astype(np.float32),
        "next_sentence_labels": rng.integers(0, 2, (rows, 1)).astype(np.int32),
    }


def realistic(rows: int, seed: int = 0) -> Sizes:
    """Row sizes of Debian's English documentation at 512 tokens, by its deciles: 39 % of the places are padding."""
    chances = np.random.default_rng(seed).random(rows)
    tokens = np.interp(chances, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.57], [5, 29, 52, 115, 221, 370, 512]).astype(np.int64)
    return Sizes(tokens, np.maximum(1, np.round(0.15 * tokens)).astype(np.int64), tokens)


def test_sizes_reach_to_the_last_place_that_counts() -> None:
    batch = made_up([64, 10, 1, 30])
    batch["input_mask"][3] = 0
    batch["input_mask"][3, [2, 20]] = 1
    batch["masked_lm_positions"][3] = 0
    batch["masked_lm_weights"][3] = 0
    batch["masked_lm_positions"][3, 4], batch["masked_lm_weights"][3, 4] = 40, 1.0
    batch["masked_lm_positions"][3, 5] = 63  # counts nothing
    found = packing.sizes(batch)
    assert found.tokens.tolist() == [64, 10, 1, 41]
    assert found.predictions.tolist() == [10, 2, 1, 5]
    assert found.real.tolist() == [64, 10, 1, 2]


def test_a_row_without_tokens_keeps_its_places() -> None:
    """Its softmax spreads over all of them, so that a narrower one would be another."""
    batch = made_up([10, 10])
    batch["input_mask"][1] = 0
    assert packing.sizes(batch).tokens.tolist() == [10, 64]


def test_a_weight_that_is_no_number_counts() -> None:
    batch = made_up([10])
    batch["masked_lm_weights"][0, 7] = float("nan")
    assert packing.sizes(batch).predictions.tolist() == [8]


@settings(deadline=None)
@given(
    lengths=hnp.arrays(np.int64, st.integers(1, 200), elements=st.integers(1, 64)),
    micro=st.integers(1, 16),
    devices=st.integers(1, 5),
    widths=st.one_of(st.none(), st.lists(st.integers(8, 64), max_size=4)),
    data=st.data(),
)
def test_every_row_is_in_one_micro_batch_that_holds_it(
    lengths: Any, micro: int, devices: int, widths: list[int] | None, data: st.DataObject
) -> None:
    predictions = data.draw(hnp.arrays(np.int64, len(lengths), elements=st.integers(1, 10)))
    found = Sizes(lengths, predictions, lengths)
    # A sample that need not be like the batch.
    count = data.draw(st.integers(0, len(lengths)))
    sample = Sizes(*(part[:count] for part in found))
    if widths is None:
        chosen = packing.choose(sample, 64, 10, micro, len(lengths), work)
    else:
        chosen = packing.explicit(widths, 64, 10, micro, sample, len(lengths))
    assert chosen[-1] == Width(64, 10, micro)
    assert list(chosen) == sorted(chosen)
    assert all(width.rows * width.tokens <= micro * 64 for width in chosen)
    dealt = packing.plan(found, chosen, devices, work)
    assert len(dealt) == devices
    ones = [one for part in dealt for one in part]
    assert sorted(np.concatenate([one.rows for one in ones]).tolist()) == list(range(len(lengths)))
    for width, rows in ones:
        assert width in chosen
        assert len(rows) <= width.rows
        assert lengths[rows].max() <= width.tokens
        assert predictions[rows].max() <= width.predictions
    again = packing.plan(found, chosen, devices, work)
    assert [one.rows.tolist() for part in again for one in part] == [one.rows.tolist() for one in ones]


@settings(deadline=None)
@given(lengths=hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(1, 64)), micro=st.integers(1, 8))
def test_a_cut_keeps_all_that_counts(lengths: Any, micro: int) -> None:
    batch = made_up(lengths)
    numbers = np.arange(7, 7 + len(lengths), dtype=np.int32)
    found = packing.sizes(batch)
    for one in packing.plan(found, packing.explicit([16, 32], 64, 10, micro, found, len(lengths)))[0]:
        part = packing.cut(batch, one, numbers)
        count = len(one.rows)
        assert set(part) == {*FEATURES, ROW_NUMBERS, ROW_WEIGHTS}
        assert part[ROW_NUMBERS][:count].tolist() == (one.rows + 7).tolist()
        assert part[ROW_WEIGHTS].tolist() == [1.0] * count + [0.0] * (one.width.rows - count)
        for name in FEATURES:
            array, whole = part[name], batch[name][one.rows]
            assert array.dtype == whole.dtype
            assert not array[count:].any()
            size = array.shape[1]
            np.testing.assert_array_equal(array[:count], whole[:, :size])
            if name != "masked_lm_positions":
                assert not whole[:, size:].any()
        assert part["masked_lm_positions"].max(initial=0) < one.width.tokens


def test_positions_that_do_not_count_stay_within_the_row() -> None:
    batch = made_up([10, 12])
    batch["masked_lm_positions"][0, 5:] = 63
    part = packing.cut(batch, MicroBatch(Width(16, 8, 2), np.array([0, 1])), np.arange(2, dtype=np.int32))
    assert part["masked_lm_positions"].max() == 15


def test_auto_widths_leave_little_padding() -> None:
    found = realistic(4096)
    assert 0.35 < 1 - found.real.sum() / (4096 * 512) < 0.45
    for micro in (1, 8, 32):
        widths = packing.choose(found, 512, 77, micro, 4096, work)
        assert len(widths) <= packing.MOST_WIDTHS
        for devices in (1, 2, 4):
            dealt = packing.plan(found, widths, devices, work)
            balance = packing.balance(dealt, found)
            assert balance.computed <= 1.10 * balance.real, (micro, devices)
            assert balance.busiest < 1.05


def test_no_width_is_chosen_that_saves_nothing() -> None:
    tokens = np.full(100, 512)
    assert len(packing.choose(Sizes(tokens, tokens // 7, tokens), 512, 77, 4, 4096, work)) == 1
    two = np.where(np.arange(100) < 50, 512, 100)
    widths = packing.choose(Sizes(two, two // 7, two), 512, 77, 4, 4096, work)
    assert [width.tokens for width in widths] == [104, 512]


def test_choice_is_the_best_of_all() -> None:
    """Against every pair of the candidates."""
    found = realistic(300, seed=4)
    step = 512 // packing.CANDIDATES
    best = min(
        (sum(work(one if size <= one else 512, 1) for size in found.tokens), one) for one in range(step, 512, step)
    )
    # With one masked position each, so that only tokens decide.
    plain = Sizes(found.tokens, np.ones_like(found.tokens), found.real)
    widths = packing.choose(plain, 512, 1, 1, 4096, work, most=2)
    assert [width.tokens for width in widths] == [best[1], 512]


def test_explicit_widths() -> None:
    found = realistic(1000)
    widths = packing.explicit([128, 256, 4096, 128], 512, 77, 8, found, 4096)
    assert widths == (Width(128, 19, 32), Width(256, 38, 16), Width(512, 77, 8))
    # Where no row of the sample is that short, the fraction of the masked positions that its tokens are.
    whole = Sizes(*(part[found.tokens > 128] for part in found))
    assert packing.explicit([128], 512, 77, 8, whole, 64)[0] == Width(128, 20, 8)


def test_a_small_batch_fills_its_micro_batches() -> None:
    """Of 64 rows few are short: micro-batches of many short rows would be empty for the most part."""
    found = realistic(4096)
    widths = packing.choose(found, 512, 77, 1, 64, work)
    computed = real = 0
    for start in range(0, 4096, 64):
        part = Sizes(*(values[start : start + 64] for values in found))
        balance = packing.balance(packing.plan(part, widths, 1, work), part)
        computed, real = computed + balance.computed, real + balance.real
    assert computed < 1.10 * real
    large = packing.choose(found, 512, 77, 1, 4096, work)
    assert [width.tokens for width in widths] == [width.tokens for width in large]
    assert sum(width.rows for width in widths) < sum(width.rows for width in large)


@pytest.mark.parametrize(("overhead", "tokens"), [(0.0, [16, 16]), (63.0, [16, 16]), (65.0, [32])])
def test_overhead_makes_for_fewer_micro_batches(overhead: float, tokens: list[int]) -> None:
    four = np.full(4, 10)
    widths = (Width(16, 2, 2), Width(32, 4, 4))
    [dealt] = packing.plan(Sizes(four, np.ones_like(four), four), widths, overhead=overhead)
    assert [one.width.tokens for one in dealt] == tokens


def test_a_row_that_fits_nowhere_is_refused() -> None:
    tokens = np.array([65])
    with pytest.raises(
        ValueError, match=r"every row must fit the widest micro-batch \(64 tokens, 10 masked positions\)"
    ):
        packing.plan(Sizes(tokens, np.array([1]), tokens), packing.full(64, 10, 2))


def test_one_width_is_the_batch_in_equal_parts() -> None:
    found = realistic(64)
    dealt = packing.plan(found, packing.full(512, 77, 8), 2)
    assert [[len(one.rows) for one in part] for part in dealt] == [[8] * 4] * 2
