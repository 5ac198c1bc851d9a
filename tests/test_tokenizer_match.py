"""Tokenizers, stores and records that meet are compared: in Python's classes here, in the commands elsewhere."""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from albert_fast import AlbertFastError, InstanceStream, Masker, RecordReader, Tokenizer, TokenStore
from albert_fast.tokenizer_match import compare, compare_descriptions, described

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command

WORDS = [f"{first}{second}{third}" for first in "bdfgkl" for second in "aeiou" for third in "mnrst"]


def vocabulary(path: Path, order: int) -> Path:
    """A WordPiece vocabulary: always the same words, in an order of its own."""
    words = [*WORDS]
    random.Random(order).shuffle(words)
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    return path


@pytest.fixture
def made(command: Command, tmp_path: Path) -> Path:
    """Records and token stores of two vocabularies of the same size."""
    draw = random.Random(0)
    text = "\n".join(" ".join(draw.choices(WORDS, k=9)) + ("\n" if line % 8 == 7 else "") for line in range(160))
    (tmp_path / "corpus.txt").write_text(text)
    for order in (1, 2):
        vocab = vocabulary(tmp_path / f"{order}.txt", order)
        rules = ["--max-seq-length", "32", "--max-predictions-per-seq", "5", "--dupe-factor", "1", "--keep-store"]
        done = command("make-records", "corpus.txt", "--vocab-file", vocab, "--output-dir", f"records-{order}", *rules)
        assert done.code == 0, done.err
    return tmp_path


def test_files_and_rules_are_told_apart(model: Path, made: Path) -> None:
    plain = Tokenizer.from_file(model)
    cased = Tokenizer.from_file(model, lower_case=False, keep_accents=True)
    none = Tokenizer.from_file(model, text_rules="none")
    first, second = (Tokenizer.from_vocab_file(made / f"{order}.txt") for order in (1, 2))
    lower = Tokenizer.from_vocab_file(made / "1.txt", lower_case=False)
    for one, other, expected in (
        (plain, plain, "same"),
        (plain, cased, "rules"),
        (cased, plain, "rules"),
        (plain, none, "rules"),
        (none, cased, "rules"),
        (first, lower, "rules"),
        (lower, first, "rules"),
        (first, second, "other"),
        (first, plain, "other"),
    ):
        assert compare(one, other) == expected
        assert compare(one, described(other)) == expected
    assert compare_descriptions(described(plain), described(plain)) == "same"
    assert compare_descriptions(described(first), described(second)) == "other"
    # Of little knowledge comes no verdict, unless the little differs.
    assert compare(plain, {}) == compare(plain, {"vocab_size": 2000}) == "unknown"
    assert compare(plain, {"vocab_size": 2001}) == "other"
    assert compare_descriptions({}, described(plain)) == "unknown"
    assert compare_descriptions({"vocab_size": 5}, described(plain)) == "other"
    assert compare(plain, {"digest": "of the model itself"}, rebuilt=True) == "unknown"


def test_the_description_is_that_of_the_files(made: Path) -> None:
    """A digest with other rules is computed in Python too: it must be the core's."""
    tokenizer = Tokenizer.from_vocab_file(made / "1.txt")
    kept = json.loads((made / "records-1" / "dataset.json").read_text())["tokenizer"]
    assert {name: kept[name] for name in described(tokenizer)} == described(tokenizer)


def test_remasking_with_another_vocabulary(made: Path) -> None:
    first, second = (Tokenizer.from_vocab_file(made / f"{order}.txt") for order in (1, 2))
    records = made / "records-1"
    with pytest.raises(AlbertFastError, match=r"masker must be of the records' tokenizer: those of .*records-1 were"):
        RecordReader(records, 4, remask=True, masker=Masker(second))
    RecordReader(records, 4, remask=True, masker=Masker(second), allow_other_tokenizer=True).batch(0)
    RecordReader(records, 4, masker=Masker(second)).batch(0)
    right = RecordReader(records, 4, remask=True, masker=Masker(first)).batch(0)
    # Text rules do not matter to ids.
    lower = Masker(Tokenizer.from_vocab_file(made / "1.txt", lower_case=False))
    again = RecordReader(records, 4, remask=True, masker=lower).batch(0)
    assert all(np.array_equal(right[name], again[name]) for name in right)  # type: ignore[literal-required]
    for size, starts in ((155, np.ones(155, np.bool_)), (200, np.ones(200, np.bool_))):
        masker = Masker.from_vocab(size, starts, pad_id=0, cls_id=2, sep_id=3, mask_id=4)
        if size == first.vocab_size:
            RecordReader(records, 4, remask=True, masker=masker).batch(0)
        else:
            with pytest.raises(AlbertFastError, match="have 155 pieces, and the masker 200; pass allow_other"):
                RecordReader(records, 4, remask=True, masker=masker)


def test_records_of_two_tokenizers(made: Path) -> None:
    both = [made / "records-1", made / "records-2"]
    with pytest.raises(AlbertFastError, match=r"records-1 and those of .*records-2 were made with"):
        RecordReader(both, 4)
    assert len(RecordReader(both, 4, allow_other_tokenizer=True)) > len(RecordReader(both[0], 4))
    # Without what make-records wrote beside them nothing is known.
    shutil.copytree(both[1], made / "anyone's")
    (made / "anyone's" / "dataset.json").unlink()
    RecordReader([both[0], made / "anyone's"], 4).batch(0)


def test_a_stream_with_another_tokenizer(made: Path) -> None:
    store = TokenStore(made / "records-1" / "tokens")
    InstanceStream(store, 2, 32, tokenizer=Tokenizer.from_vocab_file(made / "1.txt"))
    with pytest.raises(AlbertFastError, match="made by another tokenizer"):
        InstanceStream(store, 2, 32, tokenizer=Tokenizer.from_vocab_file(made / "2.txt"))


def test_inspecting_with_another_tokenizer(made: Path, command: Command) -> None:
    words = ("inspect-records", "records-1", "--vocab-file")
    assert command(*words, "1.txt").code == 0
    done = command(*words, "2.txt")
    assert done.code == 1
    assert done.error.startswith("the records of records-1 were made with another tokenizer (1.txt (digest ")
    assert done.error.endswith("pass that one, or --allow-other-tokenizer")
    assert command(*words, "2.txt", "--allow-other-tokenizer").code == 0
    assert command("inspect-records", "records-1").code == 0
