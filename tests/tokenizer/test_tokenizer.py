"""`Tokenizer`: golden lines, the reference's text rules against their readable form, batches, cache, decoding."""

from __future__ import annotations

import gc
import gzip
import itertools
import json
import random
import sys
import unicodedata
from pathlib import Path
from typing import Any

import models
import numpy as np
import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albert_fast import AlbertFastError, Tokenizer, preprocess, reference_text

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = GOLDEN / "tokenizer" / "spiece.model"
WORDPIECE = GOLDEN / "tokenizer" / "wordpiece.txt"
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck))


def golden_lines() -> list[dict[str, Any]]:
    with gzip.open(GOLDEN / "text.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


@pytest.mark.golden
def test_golden_text() -> None:
    """What the reference made of 408 lines."""
    lines = golden_lines()
    assert len(lines) == 408
    tokenizers = {lower: Tokenizer.from_file(MODEL, lower_case=lower) for lower in (False, True)}
    wordpiece = Tokenizer.from_vocab_file(WORDPIECE)
    for line in lines:
        tokenizer = tokenizers[line["lower"]]
        assert tokenizer.preprocess(line["text"]) == line["preprocessed"]
        assert preprocess(line["text"], lower_case=line["lower"]) == line["preprocessed"]
        assert tokenizer.encode_pieces(line["text"]) == line["pieces"]
        assert tokenizer.encode(line["text"]) == line["ids"]
        if line["lower"]:
            assert wordpiece.encode_pieces(line["text"]) == line["wordpieces"]
            assert [wordpiece.id_to_piece(i) for i in wordpiece.encode(line["text"])] == line["wordpieces"]


# --- text_rules="albert" against albert_fast.reference_text ----------------------------------------------------------

CHANGED = "\u0295\u02e4\U0001171e"
"""Characters that later Unicode versions call a letter, or a mark, of another kind: a sigma beside them sees it."""

ASSIGNED = st.characters(exclude_categories=["Cs", "Cn"], exclude_characters=CHANGED)
"""What Unicode had assigned when this Python was built: the tables of later versions differ in the rest alone."""

FRAGMENTS = [
    *["1,", "2,000", "12,345,678", "a1,", "²,", "①,", "٣,", "x,", ",", "3 ,", "1,,", "½,", "▁5,", "4,\u0301", "99,9"],
    *["Σ", "ΟΔΟΣ", "Σ.", "ΑΣ\u0301", "ΑΣ'Α", "Σ\u0345", "ΑΣ\u00adΑ", "ς", "İ", "ı", "ẞ", "ŉ", "DŽ", "K", "Å"],
    *["\u00b4", "\u00a8x", "\u2017", "\u203e", "\ufe49", "\ufdfa", "ﬁ", "①", "㎏", "½", "…", "\u1fbd"],
    *["\u0301", "\u0301\u0327", "\u0903", "\u20dd", "e\u0301", "\u0345", "\u3099", "が", "가", "\u0e33"],
    *["[MASK]", "[CLS]", "<pad>", "<unk>", "▁", "▁▁", "日本語", "漢字", "𓀀", "😀", "\0", "\ufffd", "\u200b", "\ufeff"],
    *["'", "don't", "(a)", "``", "--", "^^^^", "____", "ing", "The", "Über", "naïve"],
]
SPACES = [chr(c) for c in range(sys.maxunicode) if chr(c).isspace()]
WORDS = sorted({word for line in models.training_lines()[::11] for word in line.split()})
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.sampled_from(FRAGMENTS),
        st.sampled_from([" ", " ", *SPACES]),
        st.text(ASSIGNED, max_size=3),
        st.from_regex(r"[0-9]{1,4},[0-9]{0,3}", fullmatch=True),
    ),
    max_size=20,
).map("".join)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models whose pieces hold digits with commas, and every kind of unknown character."""
    directory = tmp_path_factory.mktemp("trained")
    digits = {"split_by_unicode_script": False, "split_by_number": False, "vocab_size": 900}
    options: dict[str, dict[str, Any]] = {
        "digits": {**digits, "user_defined_symbols": ["1,", "22,", "9,9,", "²,", "▁5,", "a,"]},
        "bytes": {**digits, "byte_fallback": True, "user_defined_symbols": ["1,", "22,"]},
        "identity": {**digits, "normalization_rule_name": "identity", "character_coverage": 0.98},
    }
    for name, option in options.items():
        (directory / name).write_bytes(models.train(**option))
    return {"golden": MODEL, **{name: directory / name for name in options}}


def oracle_ids(processor: sentencepiece.SentencePieceProcessor, text: str, lower: bool, keep: bool) -> list[int]:
    pieces = reference_text.encode_pieces(processor, reference_text.preprocess_text(text, lower, keep))
    return [processor.PieceToId(piece) for piece in pieces]


@pytest.mark.parametrize("name", ["golden", "digits", "bytes", "identity"])
@pytest.mark.parametrize(("lower", "keep"), [(True, False), (False, False), (True, True), (False, True)])
def test_albert_rules(name: str, lower: bool, keep: bool, trained: dict[str, Path]) -> None:
    tokenizer = Tokenizer.from_file(trained[name], lower_case=lower, keep_accents=keep)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(trained[name]))

    @settings(SETTINGS, max_examples=80)
    @given(TEXTS)
    def check(text: str) -> None:
        plain = reference_text.preprocess_text(text, lower, keep)
        assert tokenizer.preprocess(text) == plain
        assert tokenizer.encode_pieces(text) == reference_text.encode_pieces(processor, plain)
        assert tokenizer.encode(text) == oracle_ids(processor, text, lower, keep)

    check()


@pytest.mark.parametrize("lower", [True, False])
def test_preprocess_of_every_character(lower: bool) -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in ("Cs", "Cn") or character in CHANGED:
            continue
        for text in (f"a{character}b", f"Α{character}Σ"):
            for keep in (False, True):
                found = preprocess(text, lower_case=lower, keep_accents=keep)
                assert found == reference_text.preprocess_text(text, lower, keep), ascii(text)


def test_lines_without_text() -> None:
    tokenizer = Tokenizer.from_file(MODEL)
    for text in ["", " ", "\t\r\n", "".join(SPACES), "\u0301", " \u0301 \u0327"]:
        assert tokenizer.encode(text) == []
        assert tokenizer.encode_pieces(text) == []


# --- WordPiece --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def odd_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Entries with more fields, with nothing but a space, for characters of many scripts."""
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    entries = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "of 7",
        "the",
        "",
        "an\u00a0b",
        "##a",
        "ς",
        "σ",
        "##ς",
        "##σ",
    ]
    entries += sorted({c for fragment in FRAGMENTS for c in fragment if not c.isspace()} - {*entries})
    # Each once: an entry on two lines is refused.
    entries += [f"##{c}" for c in "bcdefghijklmnopqrstuvwxyz0123456789日本語\u0301"]
    path.write_text("\n".join(entries), encoding="utf-8", newline="\n")
    return path


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("odd", [True, False])
def test_wordpiece_rules(lower: bool, odd: bool, odd_vocabulary: Path) -> None:
    path = odd_vocabulary if odd else WORDPIECE
    tokenizer = Tokenizer.from_vocab_file(path, lower_case=lower)
    with path.open(encoding="utf-8", newline="\n") as file:
        vocab = reference_text.load_vocab(file)
    assert tokenizer.pieces == list(vocab)

    @settings(SETTINGS, max_examples=150)
    @given(TEXTS)
    def check(text: str) -> None:
        wanted = reference_text.wordpiece_tokenize(vocab, text.strip(), lower)
        assert tokenizer.encode_pieces(text) == wanted
        assert tokenizer.encode(text) == [vocab[piece] for piece in wanted]

    check()
    long = ["a" * 200, "a" * 201, "é" * 201, "e\u0301" * 101]
    assert [tokenizer.encode_pieces(text) for text in long] == [
        reference_text.wordpiece_tokenize(vocab, text, lower) for text in long
    ]


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_is_its_texts() -> None:
    lines = [line["text"] for line in golden_lines()]
    rng = random.Random(1)
    texts = [*rng.choices(lines, k=3000), "", " ", *rng.choices(lines, k=200), ""]
    for tokenizer in [
        Tokenizer.from_file(MODEL),
        Tokenizer.from_file(MODEL, text_rules="none"),
        Tokenizer.from_vocab_file(WORDPIECE),
    ]:
        wanted = [tokenizer.encode(text) for text in texts]
        for threads in (1, 2, 7, None):
            ids, offsets = tokenizer.encode_batch(texts, num_threads=threads)
            assert [ids.dtype.name, offsets.dtype.name] == ["uint32", "uint64"]
            assert (ids.shape, offsets.shape) == ((sum(map(len, wanted)),), (len(texts) + 1,))
            assert offsets[0] == 0
            assert [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)] == wanted
            assert tokenizer.encode_batch(tuple(texts), num_threads=threads)[0].tolist() == ids.tolist()


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_small_batches(threads: int) -> None:
    tokenizer = Tokenizer.from_file(MODEL)
    for texts in ([], [""], ["", ""], ["a"]):
        ids, offsets = tokenizer.encode_batch(texts, num_threads=threads)
        assert [ids.dtype.name, offsets.dtype.name] == ["uint32", "uint64"]
        assert offsets.tolist() == [0, *np.cumsum([len(tokenizer.encode(text)) for text in texts])]
        assert len(ids) == offsets[-1]


def test_what_is_no_text_is_refused() -> None:
    tokenizer = Tokenizer.from_file(MODEL)
    anything: Any = tokenizer
    no_text: list[Any] = [None, 5, b"bytes", ["list"]]
    for wrong in no_text:
        with pytest.raises(TypeError):
            anything.encode(wrong)
    no_texts: list[Any] = ["one string", [b"bytes"], ["a", None], [["a"]], 5, None]
    for wrong in no_texts:
        with pytest.raises(TypeError):
            anything.encode_batch(wrong)
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        tokenizer.encode("a \ud800 b")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        tokenizer.encode_batch(["fine", "a \udfff b"])
    with pytest.raises(AlbertFastError, match="num_threads must be an integer from 1 to 1024, got 0"):
        tokenizer.encode_batch(["a"], num_threads=0)
    assert tokenizer.encode("fine") == tokenizer.encode_batch(["fine"])[0].tolist()


# --- the cache --------------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of this process that lie in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_no_stream_of_words_makes_the_cache_grow() -> None:
    """Three million words, none of them twice but for a few that come again and again."""
    tokenizer = Tokenizer.from_file(MODEL, text_rules="none")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(MODEL))
    tokenizer.encode("the caches are there from the first text on")
    gc.collect()
    before = resident()
    number = 0
    for batch in range(150):
        texts = []
        for _ in range(1000):
            texts.append(
                " ".join(f"w{n * 7919:x} the" if n % 9 else f"é{n}{'x' * (n % 60)}" for n in range(number, number + 20))
            )
            number += 20
        ids, offsets = tokenizer.encode_batch(texts, num_threads=1)
        if batch % 50 == 49:
            wanted = processor.encode(texts, num_threads=1)
            assert [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)] == wanted
        del ids, offsets, texts
    gc.collect()
    assert number == 3_000_000
    assert resident() - before < 60 << 20


# --- decoding and names -----------------------------------------------------------------------------------------------


def test_decode_gives_the_text_back() -> None:
    tokenizer = Tokenizer.from_file(MODEL, text_rules="none")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(MODEL))
    unknown = tokenizer.unk_id
    for line in golden_lines():
        ids = tokenizer.encode(line["text"])
        text = tokenizer.decode(ids)
        if unknown not in ids:
            assert text == processor.decode(ids)
            assert tokenizer.encode(text) == ids or "  " in text
    assert tokenizer.decode([]) == ""
    special = [tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id, tokenizer.pad_id]
    assert tokenizer.decode([*special, *tokenizer.encode("a b"), *special]) == "a b"
    with pytest.raises(AlbertFastError, match=r"id must be an id of the vocabulary, from 0 to 1999, got 4294967295"):
        tokenizer.decode([2**32 - 1])


def test_bytes_decode_to_any_text(trained: dict[str, Path]) -> None:
    tokenizer = Tokenizer.from_file(trained["bytes"], text_rules="none")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(trained["bytes"]))

    @SETTINGS
    @given(st.text(ASSIGNED))
    def check(text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text)) == processor.decode(processor.encode(text))

    check()


def test_wordpiece_decode() -> None:
    tokenizer = Tokenizer.from_vocab_file(WORDPIECE)
    assert tokenizer.decode(tokenizer.encode("the men and the women .")) == "the men and the women ."


def test_names_and_ids() -> None:
    tokenizer = Tokenizer.from_file(MODEL)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(MODEL))
    assert tokenizer.vocab_size == processor.get_piece_size() == len(tokenizer.pieces)
    for id_, piece in enumerate(tokenizer.pieces):
        assert piece == tokenizer.id_to_piece(id_) == processor.id_to_piece(id_)
        assert tokenizer.piece_to_id(piece) == id_
    assert tokenizer.piece_to_id("no such piece") is None
    assert Path(tokenizer.path) == MODEL
    with pytest.raises(AlbertFastError, match="id must be an id of the vocabulary, from 0 to"):
        tokenizer.id_to_piece(tokenizer.vocab_size)
    albert = [reference_text.is_start_piece(piece) for piece in tokenizer.pieces]
    assert tokenizer.word_starts("albert").tolist() == albert
    digests = {
        Tokenizer.from_file(MODEL, lower_case=lower, keep_accents=keep, text_rules=rules).digest
        for lower in (False, True)
        for keep in (False, True)
        for rules in ("albert", "none")
    }
    assert len(digests) == 5
