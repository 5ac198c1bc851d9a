"""`albert_fast.torch.Collator`: rows padded and masked, in a DataLoader and in a transformers Trainer."""

from __future__ import annotations

import pickle
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from adapters import framework
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_fast import AlbertFastError, Masker, Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.torch

PAD, CLS, SEP, MASK, VOCAB = 0, 2, 3, 4, 100
SPECIAL = [PAD, CLS, SEP, MASK]


@pytest.fixture(scope="module")
def adapter() -> Any:
    return framework("albert_fast.torch", "torch")


@pytest.fixture(scope="module")
def torch(adapter: Any) -> Any:
    return adapter.torch


@pytest.fixture(scope="module")
def transformers(adapter: Any) -> Any:
    return framework("transformers", "transformers", "accelerate")


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Tokenizer:
    return Tokenizer.from_file(model)


def masker_of(adapter: Any, **options: Any) -> Any:
    return Masker.from_vocab(
        VOCAB, [id_ % 3 != 1 for id_ in range(VOCAB)], pad_id=PAD, cls_id=CLS, sep_id=SEP, mask_id=MASK, **options
    )


def row_of(length: int, seed: int = 0) -> list[int]:
    draw = random.Random(seed)
    return [CLS, *(draw.randrange(5, VOCAB) for _ in range(length - 2)), SEP]


def restored(batch: Any) -> Any:
    """The ids before they were masked."""
    return batch["labels"].where(batch["labels"] != -100, batch["input_ids"])


ROWS = st.lists(
    st.lists(st.integers(5, VOCAB - 1), max_size=40).map(lambda ids: [CLS, *ids, SEP]), min_size=1, max_size=6
)


@settings(deadline=None)
@given(rows=ROWS, multiple=st.sampled_from([None, 1, 8, 64]), seed=st.integers(0, 2**64 - 1))
def test_rows_are_padded_and_masked(rows: list[list[int]], multiple: int | None, seed: int, adapter: Any) -> None:
    batch = adapter.Collator(masker_of(adapter), pad_to_multiple_of=multiple, seed=seed)(
        [{"input_ids": r} for r in rows]
    )
    assert list(batch) == ["input_ids", "attention_mask", "token_type_ids", "labels"]
    longest = max(map(len, rows))
    width = batch["input_ids"].shape[1]
    assert width % (multiple or 1) == 0
    assert longest <= width < longest + (multiple or 1)
    assert all(
        tensor.dtype == adapter.torch.int64 and list(tensor.shape) == [len(rows), width] for tensor in batch.values()
    )
    assert not batch["token_type_ids"].any()
    before = restored(batch).tolist()
    for number, row in enumerate(rows):
        padding = width - len(row)
        assert before[number] == [*row, *[PAD] * padding]
        assert batch["attention_mask"][number].tolist() == [1] * len(row) + [0] * padding
        labels = batch["labels"][number].tolist()
        assert all(labels[place] == -100 for place, id_ in enumerate(before[number]) if id_ in SPECIAL)
        budget = max(1, round(0.15 * len(row)))
        assert sum(label != -100 for label in labels) <= budget


def test_the_share_of_masks(adapter: Any) -> None:
    rows = [{"input_ids": row_of(200, seed)} for seed in range(200)]
    batch = adapter.Collator(masker_of(adapter), seed=3)(rows)
    hidden = batch["labels"] != -100
    # 15 % of 200 is 30 of every row; only n-grams that no longer fit keep a row below.
    assert 29 * 200 <= int(hidden.sum()) <= 30 * 200
    assert 0.77 <= (batch["input_ids"][hidden] == MASK).float().mean().item() <= 0.83


def test_kinds_of_rows_are_the_same(adapter: Any, torch: Any) -> None:
    ids = row_of(30)
    kinds = [ids, tuple(ids), np.array(ids), np.array(ids, dtype=np.int16), torch.tensor(ids), torch.tensor(ids).int()]
    batches = [adapter.Collator(masker_of(adapter), seed=1)([{"input_ids": kind}]) for kind in kinds]
    for batch in batches:
        assert all(torch.equal(batch[name], batches[0][name]) for name in batch)


def test_what_rows_may_hold_besides(adapter: Any, torch: Any) -> None:
    rows = [
        {
            "input_ids": row_of(length),
            "attention_mask": [1] * (length - 1) + [0],
            "token_type_ids": [0] * 3 + [1] * (length - 3),
            "sentence_order_label": length % 2,
            "weight": 0.5 * length,
            "kept": torch.tensor(length > 8),
            "labels": [7] * length,
        }
        for length in (9, 6)
    ]
    batch = adapter.Collator(masker_of(adapter), max_length=12, seed=2)(rows)
    assert batch["input_ids"].shape == (2, 12)
    assert batch["attention_mask"].sum(1).tolist() == [8, 5]
    assert batch["token_type_ids"].sum(1).tolist() == [6, 3]
    assert batch["sentence_order_label"].tolist() == [1, 0]
    assert batch["weight"].tolist() == [4.5, 3.0]
    assert batch["kept"].tolist() == [True, False]
    types = [batch[name].dtype for name in ("sentence_order_label", "weight", "kept")]
    assert types == [torch.int64, torch.float32, torch.bool]
    assert (batch["labels"] == 7).sum() < 9


@pytest.mark.parametrize("kind", ["list", "array", "tensor"])
@pytest.mark.parametrize(("before", "after"), [(0, 108), (108, 0), (40, 7), (0, 1)])
def test_padding_that_is_not_named_is_no_text(before: int, after: int, kind: str, adapter: Any, torch: Any) -> None:
    made = {"list": list, "array": np.array, "tensor": torch.tensor}[kind]
    rows = [{"input_ids": made([PAD] * before + row_of(20, seed) + [PAD] * after)} for seed in range(50)]
    attention = [0] * before + [1] * 20 + [0] * after
    batch = adapter.Collator(masker_of(adapter), seed=1)(rows)
    assert batch["attention_mask"].tolist() == [attention] * 50
    # 15 % of 20 tokens.
    hidden = batch["labels"] != -100
    assert 2.5 * 50 < int(hidden.sum()) <= 3 * 50
    assert not (hidden & (batch["attention_mask"] == 0)).any()
    named = adapter.Collator(masker_of(adapter), seed=1)([{**row, "attention_mask": attention} for row in rows])
    assert all(torch.equal(batch[name], named[name]) for name in named)


def test_rows_padded_to_several_widths(adapter: Any) -> None:
    rows = [row_of(20, 1) + [PAD] * 4, row_of(8, 2), [PAD] * 6, [PAD] * 3 + row_of(30, 3)]
    batch = adapter.Collator(masker_of(adapter), pad_to_multiple_of=8, seed=1)([{"input_ids": row} for row in rows])
    assert batch["attention_mask"].sum(1).tolist() == [20, 8, 0, 30]
    assert batch["input_ids"].shape == (4, 40)
    assert restored(batch)[2].tolist() == [PAD] * 40
    # The padding of a collator with an id of its own, and the masker's.
    other = adapter.Collator(masker_of(adapter), pad_id=9, seed=1)
    batch = other([{"input_ids": [*row_of(20, 1), 9, 9]}, {"input_ids": [*row_of(9, 4), PAD, PAD]}])
    assert batch["attention_mask"].sum(1).tolist() == [20, 9]


def test_padding_between_tokens(adapter: Any) -> None:
    row = [*row_of(5), PAD, *row_of(5)]
    collator = adapter.Collator(masker_of(adapter), seed=1)
    message = "in row 1, id 0 at position 5 is padding, and tokens follow it; pass attention_mask"
    with pytest.raises(AlbertFastError, match=message):
        collator([{"input_ids": row_of(4)}, {"input_ids": row}])
    batch = collator([{"input_ids": row, "attention_mask": [1] * 5 + [0] + [1] * 5}])
    assert batch["attention_mask"].sum() == 10
    assert batch["labels"][0, 5] == -100


def test_padding_that_is_another_special_token(adapter: Any) -> None:
    masker = Masker.from_vocab(VOCAB, [True] * VOCAB, pad_id=SEP, cls_id=CLS, sep_id=SEP, mask_id=MASK)
    collator = adapter.Collator(masker, seed=1)
    pair = [*row_of(9), *row_of(8)[1:]]
    assert collator([{"input_ids": pair}])["attention_mask"].sum() == 16
    with pytest.raises(AlbertFastError, match=r"which is both pad_id and sep_id: row 1 does.*pass attention_mask"):
        collator([{"input_ids": pair}, {"input_ids": [*pair, SEP, SEP]}])
    batch = collator([{"input_ids": [*pair, SEP, SEP], "attention_mask": [1] * 16 + [0] * 2}])
    assert batch["attention_mask"].sum() == 16


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64, np.int64])
def test_ids_of_the_packages_own_types(dtype: Any, adapter: Any, torch: Any) -> None:
    ids = np.array(row_of(30), dtype=dtype)
    expected = adapter.Collator(masker_of(adapter), seed=1)([{"input_ids": row_of(30)}])
    for row in (ids, torch.from_numpy(ids)):
        batch = adapter.Collator(masker_of(adapter), seed=1)([{"input_ids": row}])
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_a_masker_takes_tensors(adapter: Any, torch: Any) -> None:
    masker = masker_of(adapter)
    rows = torch.tensor([row_of(30, 1), row_of(30, 2)])
    attention = torch.ones(2, 30, dtype=torch.bool)
    attention[1, 20:] = False
    expected = masker.mask_batch(rows.numpy(), attention_mask=attention.numpy(), seed=1, labels=True)
    for kind in (torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16):
        found = masker.mask_batch(rows.to(kind), attention_mask=attention, seed=1, labels=True)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    lengths = torch.tensor([30, 20])
    found = masker.mask_batch(list(rows), lengths, 1, labels=True)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    alone = masker.mask(rows[0], seed=1)
    assert np.array_equal(alone["input_ids"], expected["input_ids"][0])
    with pytest.raises(AlbertFastError, match=r"input_ids.*pass"):
        masker.mask(rows[0].to("meta"), seed=1)


def test_special_tokens_mask_protects(adapter: Any) -> None:
    masker = masker_of(adapter, masked_lm_prob=1.0)
    row = row_of(40)
    protected = [place in (0, 5, 6, 20, 39) for place in range(40)]
    batch = adapter.Collator(masker, seed=4)([{"input_ids": row, "special_tokens_mask": [*map(int, protected)]}])
    hidden = (batch["labels"][0] != -100).tolist()
    assert hidden == [not one for one in protected]
    assert batch["attention_mask"].all()
    assert "special_tokens_mask" not in batch


def test_pad_ids(adapter: Any, tokenizer: Tokenizer) -> None:
    rows = [{"input_ids": [tokenizer.cls_id, *tokenizer.encode(text), tokenizer.sep_id]} for text in ("one two", "one")]
    of_tokenizer, of_masker, given_one = (
        adapter.Collator(tokenizer),
        adapter.Collator(Masker(tokenizer)),
        adapter.Collator(Masker(tokenizer), pad_id=9),
    )
    assert (of_tokenizer.pad_id, of_masker.pad_id, given_one.pad_id) == (tokenizer.pad_id, 0, 9)
    assert given_one(rows)["input_ids"][1, -1] == 9
    assert given_one(rows)["labels"][1, -1] == -100


def test_seeds(adapter: Any, torch: Any) -> None:
    rows = [{"input_ids": row_of(60, seed)} for seed in range(4)]

    def drawn(collator: Any, times: int = 3) -> list[list[list[int]]]:
        return [collator(rows)["labels"].tolist() for _ in range(times)]

    # PyTorch's generator decides, and nothing else.
    torch.manual_seed(1)
    first = drawn(adapter.Collator(masker_of(adapter)))
    torch.manual_seed(1)
    assert drawn(adapter.Collator(masker_of(adapter))) == first
    torch.manual_seed(2)
    assert drawn(adapter.Collator(masker_of(adapter))) != first
    assert len({str(labels) for labels in first}) == 3
    # With a seed of its own, PyTorch's generator is left alone.
    state = torch.get_rng_state()
    own = drawn(adapter.Collator(masker_of(adapter), seed=5))
    assert torch.equal(torch.get_rng_state(), state)
    assert drawn(adapter.Collator(masker_of(adapter), seed=5)) == own
    assert drawn(adapter.Collator(masker_of(adapter), seed=6)) != own
    assert len({str(labels) for labels in own}) == 3


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("seed", [None, 7])
def test_workers(method: str, seed: int | None, adapter: Any, torch: Any) -> None:
    from torch.utils.data import DataLoader

    # All batches hold the same row, so that the same masks mean the same seed.
    rows = [{"input_ids": row_of(60)}] * 8
    collator = adapter.Collator(masker_of(adapter), seed=seed)

    def epoch() -> list[list[int]]:
        torch.manual_seed(3)
        loader = DataLoader(rows, 2, collate_fn=collator, num_workers=2, multiprocessing_context=method, timeout=60)
        return [row for batch in loader for row in batch["labels"].tolist()]

    labels = epoch()
    assert len({str(row) for row in labels}) == 8
    assert epoch() == labels


@pytest.mark.parametrize("persistent", [False, True])
def test_epochs_of_workers_differ(persistent: bool, adapter: Any, torch: Any) -> None:
    from torch.utils.data import DataLoader

    rows = [{"input_ids": row_of(60)}] * 8
    collator = adapter.Collator(masker_of(adapter), seed=7)

    def two_epochs(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        loader = DataLoader(rows, 2, collate_fn=collator, num_workers=2, persistent_workers=persistent, timeout=60)
        return [row for _ in range(2) for batch in loader for row in batch["labels"].tolist()]

    labels = two_epochs(3)
    assert len({str(row) for row in labels}) == 16
    assert two_epochs(3) == labels
    assert two_epochs(4) != labels


def test_collators_pickle(adapter: Any, torch: Any) -> None:
    collator = adapter.Collator(masker_of(adapter, masked_lm_prob=0.3), pad_to_multiple_of=8, seed=1)
    rows = [{"input_ids": row_of(30)}]
    again = pickle.loads(pickle.dumps(collator))
    assert torch.equal(again(rows)["labels"], collator(rows)["labels"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masker": 5}, "masker must be an albert_fast.Masker or Tokenizer, got 5"),
        ({"pad_id": VOCAB}, "pad_id must be a whole number from 0 to 99"),
        ({"max_length": 0}, "max_length must be a whole number from 1"),
        ({"max_length": 10**12}, "max_length must be a whole number from 1 to 16777216, got 1000000000000"),
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of must be a whole number from 1"),
        ({"max_length": 8, "pad_to_multiple_of": 8}, "pass only one of them"),
        ({"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str, adapter: Any) -> None:
    with pytest.raises(AlbertFastError, match=message):
        adapter.Collator(**{"masker": masker_of(adapter), **options})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "rows must be one or more mappings"),
        (5, r"rows must be one or more mappings with input_ids, got \[5\]"),
        ([[2, 3]], "rows must be one or more mappings with input_ids"),
        ([{"ids": [2, 3]}], "rows must be one or more mappings with input_ids"),
        ([{"input_ids": [2, 3]}, {"input_ids": [2, 3], "id": 1}], "all rows must have the same keys"),
        ([{"input_ids": [2, 3.5]}], "input_ids must be a list of 32-bit integers for each row, got .* in row 0"),
        ([{"input_ids": [[2, 3]]}], "input_ids must be a list of 32-bit integers for each row, got .* in row 0"),
        ([{"input_ids": [2, 3] * 9}], "rows must be of at most max_length=16 tokens, got 18 tokens"),
        (
            [{"input_ids": [2, 3], "token_type_ids": [0]}],
            "token_type_ids must be as long as input_ids, which has 2 tokens in row 0, got 1",
        ),
        ([{"input_ids": [2, VOCAB]}], "100"),
        ([{"input_ids": [2, 2**40]}], "input_ids must be a list of 32-bit integers"),
        ([{"input_ids": [True, False]}], r"input_ids must be a list of 32-bit integers.*got \[True, False\] in row 0"),
        ([{"input_ids": [2, True]}], r"input_ids must be a list of 32-bit integers.*got \[2, True\] in row 0"),
        ([{"input_ids": np.array([True])}], "input_ids must be a list of 32-bit integers"),
        ([{"input_ids": [2, 3], "token_type_ids": [-1, 7]}], r"token_type_ids must be a list of 0 and 1.*\[-1, 7\]"),
        ([{"input_ids": [2, 3], "attention_mask": [1, 2]}], "attention_mask must be a list of 0 and 1"),
        ([{"input_ids": [2, 3], "special_tokens_mask": [1, 2]}], "special_tokens_mask must be a list of 0 and 1"),
        ([{"input_ids": [2, 3], "text": "Ein Haus"}], "text must be a number .*, got 'Ein Haus' in row 0; remove it"),
        ([{"input_ids": [2, 3], "words": [0, 1]}], r"words must be a number .*, got \[0, 1\] in row 0; remove it"),
        (
            [{"input_ids": [2, 3], "n": 1}, {"input_ids": [2], "n": 2**64 - 1}],
            "n must .*, got 18446744073709551615 in row 1",
        ),
        ([{"input_ids": [2, 3], "n": 2**64}], "n must .*, got 18446744073709551616 in row 0; remove it"),
    ],
)
def test_rows_are_checked(rows: list[Any], message: str, adapter: Any) -> None:
    with pytest.raises(AlbertFastError, match=message):
        adapter.Collator(masker_of(adapter), max_length=16)(rows)


def test_rows_of_a_generator(adapter: Any, torch: Any) -> None:
    rows: list[dict[str, Any]] = [{"input_ids": row_of(20), "attention_mask": [True] * 20, "n": np.uint64(7)}] * 2
    made, same = (adapter.Collator(masker_of(adapter), seed=1)(given) for given in (rows, (row for row in rows)))
    assert all(torch.equal(made[name], same[name]) for name in made)
    assert made["attention_mask"].all()
    assert made["n"].tolist() == [7, 7]


def test_empty_rows(adapter: Any) -> None:
    batch = adapter.Collator(masker_of(adapter))([{"input_ids": []}, {"input_ids": [CLS, SEP]}])
    assert batch["attention_mask"].tolist() == [[0, 0], [1, 1]]
    assert (batch["labels"] == -100).all()


# --- of transformers' tokenizers -------------------------------------------------------------------------------------


def wordpiece(transformers: Any, directory: Path) -> Any:
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "[unused1]",
        "haus",
        "##boot",
        "##e",
        "ein",
        "schön",
        ",",
        ".",
    ]
    (directory / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    # What version 5 calls by its own name, version 4 calls fast.
    return getattr(transformers, "BertTokenizerFast", transformers.BertTokenizer)(str(directory / "vocab.txt"))


def sentencepiece(transformers: Any, tokenizer: Tokenizer) -> Any:
    """The pieces of `tokenizer` as a transformers tokenizer of ids; what it makes of text does not matter here."""
    import tokenizers

    unigram = tokenizers.models.Unigram([(piece, -float(id_)) for id_, piece in enumerate(tokenizer.pieces)], unk_id=1)
    names = {"pad": "<pad>", "unk": "<unk>", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(unigram), **{f"{name}_token": token for name, token in names.items()}
    )


def test_of_a_wordpiece_tokenizer(adapter: Any, transformers: Any, tmp_path: Path) -> None:
    hf = wordpiece(transformers, tmp_path)
    rows = [dict(hf(text)) for text in ("Ein schönes Hausboot, ein Haus.", "Hause")] * 50
    collator = adapter.Collator.from_hf(hf, masked_lm_prob=0.4, pad_to_multiple_of=8, seed=1)
    batch = collator(rows)
    assert batch["input_ids"].shape[1] % 8 == 0
    special = {hf.cls_token_id, hf.sep_token_id, hf.pad_token_id, hf.mask_token_id}
    hidden = batch["labels"][batch["labels"] != -100].tolist()
    assert len(set(hidden)) > 4
    assert not special & set(hidden)
    # The parts of a word are hidden together, [unused1] and the like never put in.
    haus = restored(batch) == hf.convert_tokens_to_ids("haus")
    after = (restored(batch) == hf.convert_tokens_to_ids("##boot")) | (
        restored(batch) == hf.convert_tokens_to_ids("##e")
    )
    both = haus[:, :-1] & after[:, 1:]
    assert both.any()
    shown = batch["labels"] == -100
    assert (shown[:, :-1][both] == shown[:, 1:][both]).all()
    replaced = batch["input_ids"][batch["input_ids"] != restored(batch)].tolist()
    assert len(set(replaced)) > 4
    assert set(replaced) <= {MASK, *range(6, len(hf))}


def test_padding_of_a_transformers_tokenizer(adapter: Any, transformers: Any, tmp_path: Path) -> None:
    hf = wordpiece(transformers, tmp_path)
    text = "Ein schönes Hausboot, ein Haus. " * 4
    for side in ("right", "left"):
        hf.padding_side = side
        row = hf(text, padding="max_length", max_length=96)
        expected = row.pop("attention_mask")
        batch = adapter.Collator.from_hf(hf, seed=1)([{"input_ids": row["input_ids"]}] * 30)
        assert batch["attention_mask"].tolist() == [expected] * 30
        budget = round(0.15 * sum(expected))
        assert 0 < int((batch["labels"] != -100).sum()) <= budget * 30


def test_of_a_sentencepiece_tokenizer(adapter: Any, transformers: Any, tokenizer: Tokenizer) -> None:
    hf = sentencepiece(transformers, tokenizer)
    collator = adapter.Collator.from_hf(hf, seed=1)
    assert collator.pad_id == tokenizer.pad_id
    assert collator.masker.vocab_size == tokenizer.vocab_size
    text = "Die Vögel, die im Winter nach Süden ziehen, kommen im Frühling zurück."
    rows = [{"input_ids": [tokenizer.cls_id, *tokenizer.encode(text), tokenizer.sep_id]}] * 20
    mine = adapter.Collator(tokenizer, seed=1)(rows)
    theirs = collator(rows)
    assert all(adapter.torch.equal(mine[name], theirs[name]) for name in mine)


def test_further_special_ids(adapter: Any, transformers: Any, tmp_path: Path) -> None:
    hf = wordpiece(transformers, tmp_path)
    comma = hf.convert_tokens_to_ids(",")
    rows = [dict(hf("ein, ein, ein"))]
    for special, found in (((), True), ((comma,), False)):
        batch = adapter.Collator.from_hf(hf, masked_lm_prob=1.0, special_ids=special, seed=1)(rows)
        assert (comma in batch["labels"]) is found
        assert hf.convert_tokens_to_ids("ein") in batch["labels"]


@pytest.mark.parametrize("special", ["ab", 5, [10**6]])
def test_special_ids_are_checked(special: Any, adapter: Any, transformers: Any, tmp_path: Path) -> None:
    with pytest.raises(AlbertFastError, match="special_ids must be"):
        adapter.Collator.from_hf(wordpiece(transformers, tmp_path), special_ids=special)


def test_word_starts_are_the_tokenizers(adapter: Any, tokenizer: Tokenizer) -> None:
    special = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
    assert np.array_equal(adapter.word_starts(tokenizer.pieces, special), tokenizer.word_starts())


@pytest.mark.parametrize(
    ("pieces", "starts"),
    [
        (
            ["▁a", "a", "é", ",", "...", "'", "-a", "漢字", "の", "ー", "々", "ﾊ", "ไ", "한", "12", ""],
            "1001100111111001",
        ),
        (["Ġthe", "Ġa", "the", ",", "'s", None], "110101"),
        (["the", "##s", "##e", ",", "▁"], "10011"),
        (["a", "b"], "11"),
        (["the▁", "a▁", "ca", ",▁", "漢▁", "▁", "...", None], "00011011"),
        (["the</w>", "ca", "t</w>", ",</w>"], "0001"),
    ],
)
def test_word_starts_by_marks(pieces: list[str | None], starts: str, adapter: Any) -> None:
    found = adapter.word_starts(pieces)
    assert found.dtype == np.bool_
    assert "".join(str(int(start)) for start in found) == starts


@pytest.mark.parametrize(
    ("pieces", "ends"),
    [
        (["the▁", "a▁", "ca", ",▁", "▁", "[X]▁", None], "1101100"),
        (["the</w>", "ca", "t</w>"], "101"),
        (["▁the", "a▁", "▁b"], None),
        (["the", "##s"], None),
    ],
)
def test_word_ends_by_marks(pieces: list[str | None], ends: str | None, adapter: Any) -> None:
    found = adapter.word_ends(pieces, {5})
    assert (None if found is None else "".join(str(int(end)) for end in found)) == ends


def test_a_tokenizer_without_a_mask(adapter: Any, transformers: Any, tmp_path: Path) -> None:
    hf = wordpiece(transformers, tmp_path)
    hf.mask_token = None
    with pytest.raises(AlbertFastError, match="tokenizer must have a mask token"):
        adapter.Collator.from_hf(hf)


# --- in a Trainer ----------------------------------------------------------------------------------------------------


def small(transformers: Any, name: str, vocab_size: int) -> Any:
    config = transformers.AlbertConfig(
        vocab_size=vocab_size,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    return getattr(transformers, name)(config)


def losses(adapter: Any, transformers: Any, directory: Path, name: str, workers: int) -> list[float]:
    rows: list[dict[str, Any]] = [
        {"input_ids": row_of(10 + number % 20, number), "special_tokens_mask": [0] * (10 + number % 20)}
        for number in range(32)
    ]
    if name == "AlbertForPreTraining":
        for number, row in enumerate(rows):
            row["sentence_order_label"] = number % 2
    arguments = transformers.TrainingArguments(
        output_dir=str(directory),
        max_steps=3,
        per_device_train_batch_size=8,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_num_workers=workers,
        seed=11,
    )
    transformers.set_seed(11)
    collator = adapter.Collator(masker_of(adapter))
    trainer = transformers.Trainer(small(transformers, name, VOCAB), arguments, collator, rows)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("name", "workers"), [("AlbertForMaskedLM", 0), ("AlbertForPreTraining", 2)])
def test_a_trainer_trains(name: str, workers: int, adapter: Any, transformers: Any, tmp_path: Path) -> None:
    found = losses(adapter, transformers, tmp_path, name, workers)
    assert len(found) == 3
    assert all(np.isfinite(found))
    assert losses(adapter, transformers, tmp_path, name, workers) == found


@pytest.mark.parametrize("pad_id", [5, 3])
def test_zeros_that_are_not_the_padding(pad_id: int, adapter: Any, torch: Any) -> None:
    """As batches and records are padded, whatever the vocabulary's `<pad>`."""
    masker = Masker.from_vocab(VOCAB, [True] * VOCAB, pad_id=pad_id, cls_id=2, sep_id=3, mask_id=4)
    tokens = [2, *range(10, 20), 8]
    row = [*tokens, *[0] * 20]
    for form in (row, np.array(row), torch.tensor(row)):
        for rows, number in (([form], 0), ([tokens, form], 1)):
            with pytest.raises(AlbertFastError, match=rf"tokens of id 0.*: row {number} does; pass attention_mask"):
                adapter.Collator(masker)([{"input_ids": each} for each in rows])
    named = {"input_ids": row, "attention_mask": [1] * 12 + [0] * 20}
    batch = adapter.Collator(masker, seed=1)([named])
    assert (batch["labels"][0, 12:] == -100).all()
    assert (batch["labels"] != -100).sum() == 2
    # Unless it is padded with them.
    batch = adapter.Collator(masker, pad_id=0, seed=1)([{"input_ids": row}])
    assert batch["attention_mask"][0].tolist() == named["attention_mask"]


def test_tensors_without_values(adapter: Any, torch: Any) -> None:
    ids, number = torch.empty(5, dtype=torch.int64, device="meta"), torch.empty((), device="meta")
    with pytest.raises(AlbertFastError, match=r"input_ids must be a list of 32-bit integers .*, got tensor\(.*row 0"):
        adapter.Collator(masker_of(adapter))([{"input_ids": ids}])
    with pytest.raises(AlbertFastError, match=r"score must be a number .*, got tensor\(.* in row 0"):
        adapter.Collator(masker_of(adapter))([{"input_ids": [2, 8, 3], "score": number}])
