"""The readable reference (albert_fast.reference) against what google-research/ALBERT itself wrote."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tfrecords
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_fast import reference, reference_text
from albert_fast.reference import Generators, Instance, Options, Vocabulary

GOLDEN = Path(__file__).parents[1] / "golden"
MANIFEST: dict[str, Any] = json.loads((GOLDEN / "records" / "manifest.json").read_text())
OPTIONS = Options.__dataclass_fields__


@pytest.fixture(scope="session")
def processor() -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(GOLDEN / "tokenizer" / "spiece.model"))


@pytest.fixture(scope="session")
def wordpieces() -> dict[str, int]:
    with (GOLDEN / "tokenizer" / "wordpiece.txt").open(encoding="utf-8", newline="\n") as file:
        return reference_text.load_vocab(file)


def run_instances(
    run: dict[str, Any], processor: sentencepiece.SentencePieceProcessor, wordpieces: dict[str, int]
) -> tuple[Options, list[Instance]]:
    """The instances of a golden run, from its text on."""
    flags = run["flags"]
    options = Options(**{name: value for name, value in flags.items() if name in OPTIONS}).reference()
    tokenizer: reference_text.PieceTokenizer | reference_text.WordPieceTokenizer
    if flags.get("spm_model_file"):
        vocabulary = reference_text.piece_vocabulary(processor)
        tokenizer = reference_text.PieceTokenizer(processor, lower=flags["do_lower_case"])
    else:
        vocabulary = reference_text.wordpiece_vocabulary(wordpieces)
        tokenizer = reference_text.WordPieceTokenizer(wordpieces, lower=flags["do_lower_case"])
    paths = [GOLDEN / name for name in flags["input_file"].split(",")]
    documents = reference_text.read_documents(paths, tokenizer)
    generators = Generators(options.generators().python, np.random.RandomState(run["numpy_seed"]))
    return options, reference.create_training_instances(documents, vocabulary, options, generators)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_golden_run(name: str, processor: sentencepiece.SentencePieceProcessor, wordpieces: dict[str, int]) -> None:
    run = MANIFEST[name]
    options, instances = run_instances(run, processor, wordpieces)
    features = [reference.features(instance, options) for instance in instances]
    files = run["files"]
    for number, expected in enumerate(files):
        dealt = features[number :: len(files)]
        stored = GOLDEN / "records" / f"{expected['file']}.gz"
        if stored.exists():
            records = map(tfrecords.decode_example, tfrecords.unframe(gzip.decompress(stored.read_bytes())))
            for index, (wanted, record) in enumerate(zip(records, dealt, strict=True)):
                assert record == wanted, f"record {index} of {expected['file']}"
        written = tfrecords.encode_file(dealt)
        assert len(dealt) == expected["records"]
        assert len(written) == expected["bytes"]
        assert hashlib.sha256(written).hexdigest() == expected["sha256"]


def golden_lines() -> list[dict[str, Any]]:
    with gzip.open(GOLDEN / "text.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def test_golden_text(processor: sentencepiece.SentencePieceProcessor, wordpieces: dict[str, int]) -> None:
    lines = golden_lines()
    assert len(lines) == 408
    for line in lines:
        text = reference_text.preprocess_text(line["text"], line["lower"])
        assert text == line["preprocessed"]
        pieces = reference_text.encode_pieces(processor, text)
        assert pieces == line["pieces"]
        assert [processor.PieceToId(piece) for piece in pieces] == line["ids"]
        if line["lower"]:
            found = reference_text.wordpiece_tokenize(wordpieces, line["text"].strip(), lower=True)
            assert found == line["wordpieces"]


def test_keep_accents_changes_white_space_and_case_only() -> None:
    text = " \u00c9t\u00e9\u2003 \ufb01n\u00a0"
    assert reference_text.preprocess_text(text, lower=False) == "Ete fin"
    assert reference_text.preprocess_text(text, lower=False, keep_accents=True) == "\u00c9t\u00e9 \ufb01n"
    assert reference_text.preprocess_text(text, lower=True, keep_accents=True) == "\u00e9t\u00e9 \ufb01n"


@settings(deadline=None)
@given(st.text())
def test_preprocessed_text_has_neither_accents_nor_other_spaces(text: str) -> None:
    out = reference_text.preprocess_text(text, lower=True)
    assert not any(unicodedata.combining(c) for c in reference_text.preprocess_text(text, lower=False))
    assert not set(out) & set("\t\n\r\u00a0\u2028\u3000")


def test_start_pieces() -> None:
    for piece in ["▁the", ".", ",", "1", "'", "a'", "<unk>", "ü", "=", "a=b"]:
        assert reference_text.is_start_piece(piece), piece
    # The Kelvin sign's lower case is an ASCII k.
    for piece in ["ing", "Ing", "..", "(a", "\u212a"]:
        assert not reference_text.is_start_piece(piece), piece


VOCABULARY = Vocabulary(size=30, cls=2, sep=3, mask=4, ordinary=range(5, 30))


def words(*lengths: int) -> list[tuple[int, bool]]:
    """A segment of words of these lengths; a negative one is the rest of a word."""
    return [(5 + i % 20, i == 0 and n > 0) for n in lengths for i in range(abs(n))]


def instance(first: list[tuple[int, bool]], second: list[tuple[int, bool]]) -> Instance:
    return reference.assemble(reference.Pair(first, second, is_random_next=False), VOCABULARY)


def test_words_and_ngrams_cross_sep_only_where_asked() -> None:
    item = instance(words(2, 1), words(-2, 1))
    assert item.first_length == 5
    crossing = Options(ngram=2, cross_segment_words=True)
    assert reference.candidate_words(item, crossing) == [[1, 2], [3, 5, 6], [7]]
    entries = reference.ngram_candidates([[1, 2], [3, 5, 6], [7]], 5, crossing)
    assert entries == [[[1, 2], [1, 2, 3, 5, 6]], [[3, 5, 6], [3, 5, 6, 7]], [[7], [7]]]
    apart = Options(ngram=2, cross_segment_words=False)
    # Only the first token after [SEP] begins a word for it; what follows joins that.
    assert reference.candidate_words(item, apart) == [[1, 2], [3], [5, 6], [7]]
    entries = reference.ngram_candidates([[1, 2], [3], [5, 6], [7]], 5, apart)
    assert entries == [[[1, 2], [1, 2, 3]], [[3], [3]], [[5, 6], [5, 6, 7]], [[7], [7]]]


def test_a_single_segment_is_cut_before_a_word() -> None:
    segment = words(2, 3, 1)
    cuts = {len(reference.split_segment(segment, random.Random(seed))[0]) for seed in range(50)}
    assert cuts == {2, 5}
    cuts = {len(reference.split_segment(words(4), random.Random(seed))[0]) for seed in range(50)}
    assert cuts == {1, 2, 3}


@pytest.mark.parametrize(("choice", "instances"), [("split", 1), ("random", 2), ("drop", 0)])
def test_single_segment_documents(choice: Any, instances: int) -> None:
    """Two documents of one segment, of one token and of four: only the reference makes an instance of both."""
    options = Options(max_seq_length=16, dupe_factor=1, single_segment=choice)
    made = reference.create_training_instances([[words(1)], [words(1, 3)]], VOCABULARY, options, options.generators())
    assert len(made) == instances
    if choice == "split":
        whole = reference.restore(made[0].tokens, made[0].masked_positions, made[0].masked_labels)
        assert sorted(whole[1:-1]) == sorted([3, *(token for token, _ in words(1, 3))])
    elif choice == "random":
        assert all(item.is_random_next for item in made)


def test_a_cut_segment_does_not_come_back() -> None:
    """With random next sentences the second half of a cut segment is dropped, not read again."""
    options = Options(max_seq_length=16, dupe_factor=50, random_next_sentence=True)
    documents = [[words(2, 2)], [words(3, 1)]]
    made = reference.create_training_instances(documents, VOCABULARY, options, options.generators())
    assert len(made) == 100
    assert {item.is_random_next for item in made} == {False, True}


@pytest.mark.parametrize("with_special", [False, True])
def test_replacements(with_special: bool) -> None:
    options = Options(replace_with_special=with_special)
    rng = random.Random(0)
    seen = {reference.replacement(7, VOCABULARY, options, rng) for _ in range(10_000)}
    assert seen == (set(range(30)) if with_special else {4, *range(5, 30)})


def test_ngram_probabilities() -> None:
    assert reference.ngram_probabilities(Options(ngram=3)) == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    reversed_ = reference.ngram_probabilities(Options(ngram=3, favor_shorter_ngram=False))
    assert reversed_ == pytest.approx([2 / 11, 3 / 11, 6 / 11])


def test_documents_run_on_from_file_to_file(tmp_path: Path, wordpieces: dict[str, int]) -> None:
    """Only an empty line ends a document, not a file; only a newline ends a line; empty documents are none."""
    (tmp_path / "a").write_bytes("one\r\n\n\n \ntwo\u2028three\rfour\x0bfive".encode())
    (tmp_path / "b").write_bytes(b"six\n\n\x00\nseven\n")
    tokenizer = reference_text.WordPieceTokenizer(wordpieces)
    documents = reference_text.read_documents([tmp_path / "a", tmp_path / "b"], tokenizer)
    # The NUL is no white space, so its line ends nothing, and has no tokens, so it is no segment.
    assert [len(document) for document in documents] == [1, 2, 1]


def test_features_are_padded() -> None:
    options = Options(max_seq_length=9, max_predictions_per_seq=2, do_permutation=True)
    item = Instance([2, 4, 3, 9, 8, 3], [True, True, True, False, True, True], 3, True, [1], [7])
    assert reference.features(item, options) == {
        "input_ids": [2, 4, 3, 9, 8, 3, 0, 0, 0],
        "input_mask": [1, 1, 1, 1, 1, 1, 0, 0, 0],
        "segment_ids": [0, 0, 0, 1, 1, 1, 0, 0, 0],
        "token_boundary": [1, 1, 1, 0, 1, 1, 0, 0, 0],
        "masked_lm_positions": [1, 0, 0, 0],
        "masked_lm_ids": [7, 0, 0, 0],
        "masked_lm_weights": [1.0, 0.0, 0.0, 0.0],
        "next_sentence_labels": [1],
    }
    assert reference.restore(item.tokens, item.masked_positions, item.masked_labels) == [2, 7, 3, 9, 8, 3]
