"""`text_rules="none"` against `sentencepiece`, id by id, over models of every kind that its trainer makes."""

from __future__ import annotations

import functools
import random
import struct
import sys
from typing import TYPE_CHECKING, Any

import models
import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albert_fast import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SYMBOLS = [
    "New York",
    "▁in",
    "▁in the",
    "(",
    ")",
    "((",
    "()",
    "e",
    "eu",
    "é",
    "日",
    "日本",
    "[X]",
    "--",
    " ",
    ".",
    "^^",
]
RULES = "61 20 62\t63\n71\t2581 20 71\n7a\t20 7a 20\n79\t\n41 42\t41 42 43\n"
"""Normalization rules: `a b` to `c`, `q` to `▁ q`, `z` to ` z `, `y` to nothing, `AB` to `ABC`."""

MODELS: dict[str, dict[str, Any]] = {
    "default": {},
    "nfkc_cf": {"normalization_rule_name": "nmt_nfkc_cf"},
    "identity": {"normalization_rule_name": "identity"},
    "rules": {"normalization_rule_tsv": RULES},
    "byte_fallback": {"byte_fallback": True},
    "byte_fallback, few characters": {"byte_fallback": True, "character_coverage": 0.98},
    "few characters": {"character_coverage": 0.98},
    "no dummy prefix": {"add_dummy_prefix": False},
    "extra white space": {"remove_extra_whitespaces": False},
    "extra white space, no prefix": {"remove_extra_whitespaces": False, "add_dummy_prefix": False},
    "extra white space, white space pieces": {"remove_extra_whitespaces": False, "allow_whitespace_only_pieces": True},
    "suffix": {"treat_whitespace_as_suffix": True},
    "suffix, extra white space": {"treat_whitespace_as_suffix": True, "remove_extra_whitespaces": False},
    "suffix, no prefix": {"treat_whitespace_as_suffix": True, "add_dummy_prefix": False},
    "pieces across spaces": {"split_by_whitespace": False},
    "pieces across spaces, identity": {"split_by_whitespace": False, "normalization_rule_name": "identity"},
    "pieces across scripts": {"split_by_unicode_script": False, "split_by_number": False},
    "split digits": {"split_digits": True},
    "symbols": {"user_defined_symbols": SYMBOLS},
    "symbols of one word": {"user_defined_symbols": [symbol for symbol in SYMBOLS if " " not in symbol]},
    "symbols, extra white space": {"user_defined_symbols": SYMBOLS, "remove_extra_whitespaces": False},
    "symbols, byte_fallback, identity": {
        "user_defined_symbols": [symbol for symbol in SYMBOLS if "▁" not in symbol],
        "byte_fallback": True,
        "normalization_rule_name": "identity",
    },
    "long pieces": {"max_sentencepiece_length": 64, "split_by_unicode_script": False},
}


def scores(model: bytes, score: Any) -> bytes:
    """The model with the scores that a function gives its ordinary pieces."""

    def edit(pieces: list[models.Piece]) -> list[models.Piece]:
        rng = random.Random(7)
        for piece in pieces:
            if piece.get(models.TYPE, models.NORMAL) == models.NORMAL:
                old = struct.unpack("<f", piece[models.SCORE])[0]
                piece[models.SCORE] = struct.pack("<f", score(old, rng))
        return pieces

    return models.edit_pieces(model, edit)


def unused(model: bytes) -> bytes:
    """The model with every seventh of its ordinary pieces out of use."""

    def edit(pieces: list[models.Piece]) -> list[models.Piece]:
        for piece in pieces[5::7]:
            if piece.get(models.TYPE, models.NORMAL) == models.NORMAL:
                piece[models.TYPE] = models.UNUSED
        return pieces

    return models.edit_pieces(model, edit)


EDITS: dict[str, Callable[[bytes], bytes]] = {
    "equal scores": lambda model: scores(model, lambda old, rng: -3.3),
    "scores of two digits": lambda model: scores(model, lambda old, rng: round(old, 1)),
    "whole scores": lambda model: scores(model, lambda old, rng: round(old)),
    "scores of any sign": lambda model: scores(model, lambda old, rng: rng.uniform(-1, 1)),
    "huge scores": lambda model: scores(model, lambda old, rng: old * 3000),
    "unused pieces": unused,
    "spaces not escaped": lambda model: models.with_settings(model, models.NORMALIZER, (5, 0)),
}
ALL = [*MODELS, *EDITS]


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@functools.cache
def model_bytes(name: str, directory: Path) -> bytes:
    if name in EDITS:
        return EDITS[name](model_bytes("symbols of one word" if "scores" in name else "default", directory))
    options = dict(MODELS[name])
    if rules := options.pop("normalization_rule_tsv", None):
        (directory / "rules.tsv").write_text(rules)
        options["normalization_rule_tsv"] = str(directory / "rules.tsv")
    return models.train(**options)


Pair = tuple[Tokenizer, sentencepiece.SentencePieceProcessor]


@functools.cache
def load(name: str, directory: Path) -> Pair:
    path = directory / f"{ALL.index(name)}.model"
    path.write_bytes(model_bytes(name, directory))
    return Tokenizer.from_file(path, text_rules="none"), sentencepiece.SentencePieceProcessor(model_file=str(path))


def differing(pair: Pair, lines: list[str]) -> str:
    """The shortest line whose ids differ and what they are; empty where all are equal."""
    ours, theirs = pair
    wanted = theirs.encode(lines, num_threads=1)
    wrong = [line for line, ids in zip(lines, wanted, strict=True) if ours.encode(line) != ids]
    if not wrong:
        return ""
    line = min(wrong, key=len)
    return f"{line!a}: {theirs.encode(line, out_type=str)} not {ours.encode_pieces(line)}"


SPACES = [chr(c) for c in range(sys.maxunicode) if chr(c).isspace()]
ODD = [
    *"\0\u2581\u200b\ufeff\u180e\u2060\u00ad\ufffd\u0301\u0327\u0345\u20dd\u3099ΣςßŉİIıſK½²①ﬁ㎏",
    *[
        "[CLS]",
        "<unk>",
        "<0x41>",
        "<pad>",
        "\u0958",
        "e\u0301",
        "q\u0327\u0301",
        "가",
        "가",
        "𝔘𝔫",
        "😀👍🏽",
        "𓀀𓀁",
        "\U0010ffff",
        "\u0378",
    ],
]
WORDS = sorted({word for line in models.training_lines()[::9] for word in line.split()}, key=lambda w: (len(w), w))[
    :1500
]
TIES = st.builds(
    lambda c, n: c * n, st.sampled_from([*"^_=-~#*.09axEd'", "ab", "--=", "日", "()", "New York"]), st.integers(1, 40)
)
PARTS = st.one_of(
    st.sampled_from(WORDS),
    TIES,
    st.sampled_from([" ", " ", " ", *SPACES]),
    st.sampled_from(SYMBOLS),
    st.sampled_from(["a b", "q", "z", "y", "AB"]),
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
TEXTS = st.lists(PARTS, max_size=25).map("".join)


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(TEXTS, min_size=1, max_size=4))
def test_any_text(name: str, directory: Path, lines: list[str]) -> None:
    assert differing(load(name, directory), lines) == ""


@pytest.mark.parametrize("name", ALL)
def test_sums_that_start_anew_in_a_way_that_loses(name: str, directory: Path) -> None:
    # SentencePiece takes 100,000 off its sums wherever some way through the text has come so far.
    lines = [f"{quote * count} {tie}" for quote in '"^x' for count in range(1, 60) for tie in ("^^^", "xx ^^^ ----")]
    assert differing(load(name, directory), lines) == ""


@functools.cache
def real_lines() -> list[str]:
    """Prose and program text, as it stands and joined to lines of up to 2,000 words."""
    lines = models.training_lines()
    corpus = (models.GOLDEN / "corpus" / "part-a.txt").read_text(encoding="utf-8").split("\n")
    rng = random.Random(3)
    joined = [" ".join(rng.choices(lines, k=rng.choice([3, 30, 200]))) for _ in range(60)]
    shuffled = [" ".join(rng.choices(WORDS, k=40)) for _ in range(500)]
    return [*lines, *corpus, *joined, *shuffled]


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_real_text(name: str, directory: Path) -> None:
    assert differing(load(name, directory), real_lines()) == ""


@pytest.mark.parametrize("name", ["default", "symbols", "byte_fallback", "suffix"])
def test_very_long_lines(name: str, directory: Path) -> None:
    """Sums of scores far past 100,000, where SentencePiece takes them back to 0; words of 100,000 characters."""
    rng = random.Random(11)
    lines = [
        " ".join(rng.choices(WORDS, k=40_000)),
        "".join(rng.choices("abcdefgh^_=09é日", k=100_000)),
        "^" * 100_001,
        " ".join(["(ab)^^^^ ____", "  ", "日本 yyyyko MMMM"] * 4_000),
    ]
    assert differing(load(name, directory), lines) == ""


@pytest.mark.parametrize("name", ["default", "no dummy prefix", "extra white space", "suffix", "symbols of one word"])
def test_every_white_space_character(name: str, directory: Path) -> None:
    lines = [
        f"{before}{space}{after}"
        for space in [*SPACES, "\u200b", "\ufeff", "\u180e", "\u2581"]
        for before in ["", "a", " ", "(", "\u0301"]
        for after in ["", "b", " ", ")", "\u0301"]
    ]
    assert differing(load(name, directory), lines) == ""


def test_every_character(directory: Path) -> None:
    """Each between letters, alone, and before a combining mark."""
    lines = [f"a{chr(c)}b {chr(c)} {chr(c)}\u0301" for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    assert differing(load("default", directory), lines[:0x3400] + lines[0xA000:0xE000] + lines[0xF000:0x10000:7]) == ""
    assert differing(load("nfkc_cf", directory), lines[:0x2400] + lines[0xF000:0x10000:11]) == ""
