"""Models with treat_whitespace_as_suffix, whose pieces mark words at their end: word starts, masks and splits."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import models
import numpy as np
import pytest
import sentencepiece
import tfrecords
from native import Corpus, native_instances, random_corpus

from albert_fast import Masker, Tokenizer, reference, reference_text
from albert_fast.reference import Options

if TYPE_CHECKING:
    from conftest import Command

OPTIONS: dict[str, dict[str, Any]] = {
    "suffix": {},
    "bytes": {"byte_fallback": True, "character_coverage": 0.98},
    "no space after": {"add_dummy_prefix": False},
    "across spaces": {"split_by_whitespace": False},
}


@pytest.fixture(scope="session")
def suffix(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small models of the kind."""
    directory = tmp_path_factory.mktemp("suffix")
    for name, options in OPTIONS.items():
        (directory / name).write_bytes(models.train(treat_whitespace_as_suffix=True, **options))
    return {name: directory / name for name in OPTIONS}


def marked(tokenizer: Tokenizer, text: str) -> list[str]:
    """The words of a text, each its pieces."""
    ids = tokenizer.encode(text)
    words: list[str] = []
    for id_, starts in zip(ids, tokenizer.word_starts_in(ids), strict=True):
        if starts:
            words.append("")
        words[-1] += tokenizer.id_to_piece(id_)
    return words


@pytest.mark.slow
@pytest.mark.parametrize("name", ["suffix", "bytes"])
def test_a_word_begins_after_a_piece_that_ends_one(name: str, suffix: dict[str, Path]) -> None:
    tokenizer = Tokenizer.from_file(suffix[name])
    assert tokenizer.marks_word_ends
    assert marked(tokenizer, "the first argument of the parser") == [
        "the▁",
        "first▁",
        "argument▁",
        "of▁",
        "the▁",
        "parser▁",
    ]
    # Punctuation is a word, and what follows it without a space goes on with it, as in other models.
    assert marked(tokenizer, "don't stop, (in) it.") == ["don't▁", "stop", ",▁", "(in", ")▁", "it", ".▁"]
    assert marked(tokenizer, "") == []


@pytest.mark.parametrize("name", OPTIONS)
def test_word_starts_are_the_oracles(name: str, suffix: dict[str, Path]) -> None:
    tokenizer = Tokenizer.from_file(suffix[name])
    oracle = reference_text.PieceTokenizer(
        sentencepiece.SentencePieceProcessor(model_file=str(suffix[name])),
        starts_word=reference_text.is_suffix_word_start,
        ends_word=reference_text.ends_word,
    )
    for line in models.training_lines()[::7]:
        ids = tokenizer.encode(line)
        if tokenizer.unk_id in ids:
            continue
        assert oracle.tokens(oracle.clean(line)) == [*zip(ids, tokenizer.word_starts_in(ids).tolist(), strict=True)]


def test_tables(suffix: dict[str, Path], model: Path) -> None:
    tokenizer = Tokenizer.from_file(suffix["suffix"])
    ends = tokenizer.word_ends()
    assert [piece.endswith("▁") for piece in tokenizer.pieces] == ends.tolist()
    starts = tokenizer.word_starts()
    assert not starts[tokenizer.piece_to_id("▁")]
    assert starts[tokenizer.piece_to_id(",▁")]
    assert not starts[tokenizer.piece_to_id("the▁")]
    # The reference knows nothing of it.
    albert = [reference_text.is_start_piece(piece) for piece in tokenizer.pieces]
    assert tokenizer.word_starts("albert").tolist() == albert
    assert not tokenizer.word_ends("albert").any()
    other = Tokenizer.from_file(model)
    assert not other.marks_word_ends
    assert not other.word_ends().any()
    ids = other.encode("a word, another")
    assert other.word_starts_in(ids).tolist() == other.word_starts()[ids].tolist()


def test_decoding(suffix: dict[str, Path]) -> None:
    tokenizer = Tokenizer.from_file(suffix["suffix"])
    for text in ("the first argument.", "a", "(in) it"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


# --- instances and masks ---------------------------------------------------------------------------------------------


def ends_of(corpus: Corpus, seed: int, share: float) -> list[bool]:
    rng = random.Random(seed)
    return [id_ >= 5 and rng.random() < share for id_ in range(len(corpus.word_start))]


@pytest.mark.parametrize("rng", ["fast", "reference"])
@pytest.mark.parametrize("seed", range(4))
def test_instances_by_ends(rng: str, seed: int) -> None:
    """The oracle gets each token's word start; the native part finds it by the token before, and by the sentence."""
    corpus = random_corpus(seed, 12, (1, 9), (1, 40))
    corpus = dataclasses.replace(
        corpus, word_start=[start and id_ % 5 == 0 for id_, start in enumerate(corpus.word_start)]
    )
    ends = ends_of(corpus, seed, 0.4)
    options = Options(max_seq_length=40, random_seed=seed, cross_segment_words=seed % 2 == 0)

    def tokens(segment: list[int], before: bool = True) -> list[reference.Token]:
        follows = [before, *(ends[id_] for id_ in segment)]
        return [(id_, corpus.word_start[id_] or after) for id_, after in zip(segment, follows, strict=False)]

    documents = [[tokens(segment) for segment in document] for document in corpus.documents]
    made = native_instances(corpus, options, rng, word_end=ends)
    assert made
    if rng == "reference":
        wanted = reference.create_training_instances(documents, corpus.vocabulary(), options, options.generators())
        assert made == wanted
        return
    # The same starts as the oracle's, wherever the instance took its tokens from.
    flat = [list(itertools.chain.from_iterable(document)) for document in documents]
    for item in made:
        original = reference.restore(item.tokens, item.masked_positions, item.masked_labels)
        pairs = [*zip(original, item.word_starts, strict=True)]
        first = pairs[1 : item.first_length - 1]
        assert any(first == document[at : at + len(first)] for document in flat for at in range(len(document)))
        for word in reference.candidate_words(item, options):
            assert len(set(word) & set(item.masked_positions)) in (0, len(word))


def whole_words(starts: Any, masked: set[int], cls_sep: set[int]) -> bool:
    """Whether each word is masked whole or not at all."""
    words: list[list[int]] = []
    for position, begins in enumerate(starts):
        if position in cls_sep:
            words.append([])
        elif begins or not words or not words[-1]:
            words.append([position])
        else:
            words[-1].append(position)
    return all(len(masked & set(word)) in (0, len(word)) for word in words)


TEXT = "\n".join(models.training_lines()[:60]) + "\n\n" + " ".join(models.training_lines()[60:100]) + "\n"


def test_records(suffix: dict[str, Path], command: Command) -> None:
    Path("corpus.txt").write_text(TEXT)
    arguments = ["--tokenizer", suffix["suffix"], "--output-dir", "out", "--max-seq-length", 48, "--dupe-factor", 3]
    done = command("make-records", "corpus.txt", *arguments)
    assert done.code == 0, done.err
    tokenizer = Tokenizer.from_file(suffix["suffix"])
    ends, starts = tokenizer.word_ends(), tokenizer.word_starts()
    (file,) = Path("out").glob("*.tfrecord")
    longest = 0
    for record in tfrecords.unframe(file.read_bytes()):
        features = tfrecords.decode_example(record)
        ids = np.array(features["input_ids"])
        count = sum(weight == 1 for weight in features["masked_lm_weights"])
        positions = [int(at) for at in features["masked_lm_positions"]][:count]
        ids[positions] = list(features["masked_lm_ids"])[:count]
        length = int(sum(features["input_mask"]))
        boundary = [int(one) for one in features["token_boundary"]][:length]
        frame = {at for at in range(length) if ids[at] in (tokenizer.cls_id, tokenizer.sep_id)}
        for at in range(1, length):
            if at not in frame and at - 1 not in frame:
                assert boundary[at] == (starts[ids[at]] or ends[ids[at - 1]])
        assert whole_words(boundary, set(positions), frame)
        longest = max(longest, len(set(positions)))
    assert longest > 1


def test_a_sentence_is_split_at_a_word(suffix: dict[str, Path], command: Command) -> None:
    """Documents of one sentence, which fits: A and B are whole words."""
    lines = [" ".join(line.split()[:6]) for line in models.training_lines()[:80] if len(line.split()) > 3]
    Path("corpus.txt").write_text("\n\n".join(lines) + "\n")
    arguments = ["--tokenizer", suffix["suffix"], "--output-dir", "out", "--max-seq-length", 128, "--dupe-factor", 1]
    assert command("make-records", "corpus.txt", *arguments, "--masked-lm-prob", 0).code == 0
    tokenizer = Tokenizer.from_file(suffix["suffix"])
    ends, starts = tokenizer.word_ends(), tokenizer.word_starts()
    (file,) = Path("out").glob("*.tfrecord")
    seen = 0
    for record in tfrecords.unframe(file.read_bytes()):
        features = tfrecords.decode_example(record)
        ids = np.array(features["input_ids"])[: sum(features["input_mask"])]
        middle = int(np.flatnonzero(ids == tokenizer.sep_id)[0])
        one, other = ids[1:middle], ids[middle + 1 : -1]
        if features["next_sentence_labels"][0]:
            one, other = other, one
        assert ends[one[-1]] or starts[other[0]]
        seen += 1
    assert seen > 20


@pytest.mark.parametrize("cross", [False, True])
def test_masker(cross: bool, suffix: dict[str, Path]) -> None:
    tokenizer = Tokenizer.from_file(suffix["suffix"])
    masker = Masker(tokenizer, masked_lm_prob=0.3, ngram=1, cross_segment_words=cross)
    table = Masker.from_vocab(
        tokenizer.vocab_size,
        tokenizer.word_starts(),
        word_ends=tokenizer.word_ends(),
        pad_id=tokenizer.pad_id,
        cls_id=tokenizer.cls_id,
        sep_id=tokenizer.sep_id,
        mask_id=tokenizer.mask_id,
        masked_lm_prob=0.3,
        ngram=1,
        cross_segment_words=cross,
    )
    several = 0
    for number, line in enumerate(models.training_lines()[:200]):
        ids = [tokenizer.cls_id, *tokenizer.encode(line), tokenizer.sep_id]
        masked = masker.mask(ids, seed=5, row=number)
        positions = {int(at) for at in masked["masked_lm_positions"][masked["masked_lm_weights"] > 0]}
        assert whole_words(tokenizer.word_starts_in(ids), positions, {0, len(ids) - 1})
        several += any(at + 1 in positions and not tokenizer.word_starts_in(ids)[at + 1] for at in positions)
        # Where a word begins may be said by tables too, or of each token.
        assert (table.mask(ids, seed=5, row=number)["masked_lm_positions"] == masked["masked_lm_positions"]).all()
        starts = tokenizer.word_starts_in(ids)
        by_token = masker.mask(ids, seed=5, row=number, word_starts=starts)
        assert (by_token["masked_lm_positions"] == masked["masked_lm_positions"]).all()
    assert several > 10


def test_a_store_and_an_older_rule_are_named(suffix: dict[str, Path], command: Command) -> None:
    Path("corpus.txt").write_text(TEXT)
    options = ["--tokenizer", suffix["suffix"], "--max-seq-length", 48, "--dupe-factor", 1]
    done = command("make-records", "corpus.txt", *options, "--output-dir", "out", "--word-boundary", "albert")
    assert done.code == 0, done.err
    assert "will not be whole words" in done.err
    assert "--word-boundary unicode" in done.err
    plain = command("make-records", "corpus.txt", *options, "--output-dir", "new")
    assert "will not be whole words" not in plain.err
    assert json.loads(Path("new/dataset.json").read_text())["tokenizer"]["digest"]
