"""train-tokenizer: the bytes of our trainer are those of SentencePiece's, over random texts and options."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from albert_fast import AlbertFastError
from albert_fast.options import TokenizerTrainingOptions
from albert_fast.tokenizers.training import TrainedTokenizer, train

if TYPE_CHECKING:
    from pathlib import Path

    from albert_fast.options.tokenizers import Engine

ALPHABETS = {
    "ascii": "abcdefgh",
    "latin": "aebcdioéèüßñ",
    "capitals": "aAbBéÉ",
    "east asian": "天地玄黄宇宙洪荒日月盈昃、。あいうえおアイウエオー",
    "thai": "กขคงจฉชซญดตถทนบ",
    "arabic": "ابتثجحخدذرز\u064b\u064e",
    "hindi": "कखगघचछजझटठडढणत\u093e\u093f\u0953",
    "mixed": "abc12３(){}-.天あéя\u0301",
}
ODD = [
    "▁",
    "a▁",
    "▁▁b",
    "\u3000",
    "c\u00a0d",
    "\t",
    "e\u200bf",
    "…",
    "\ufb01",
    "<unk>",
    "[CLS]",
    "\x1f",
    "１２",
    "☃",
    "\u1c90",
]
SYMBOLS = ["(", ")", "-", ".", "ab", "天", "<x>"]


def a_text(draw: random.Random) -> str:
    alphabet = ALPHABETS[draw.choice(sorted(ALPHABETS))]

    def word() -> str:
        return "".join(draw.choice(alphabet) for _ in range(1 + min(int(draw.expovariate(0.25)), 20)))

    words = [word() for _ in range(draw.choice([5, 30, 200, 1000]))]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    lines = []
    for _ in range(draw.choice([5, 50, 300, 1500])):
        chosen = draw.choices(words, weights, k=draw.randint(1, 12))
        if draw.random() < 0.2:
            chosen.insert(draw.randrange(len(chosen) + 1), draw.choice(ODD))
        lines.append(draw.choice([" ", " ", "  "]).join(chosen))
    if draw.random() < 0.3:
        lines += ["\u200b", "", "▅ x", "x" * draw.choice([10, 5000])]
    draw.shuffle(lines)
    return "\n".join(lines) + "\n"


def an_option(draw: random.Random, part: float, *values: Any) -> Any | None:
    return draw.choice(values) if draw.random() < part else None


def the_options(draw: random.Random) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "vocab_size": draw.choice([30, 60, 100, 200, 400, 1000]),
        "character_coverage": draw.choice([0.98, 0.9995, 0.99995, 1.0]),
        "hard_vocab_limit": draw.random() < 0.3,
        "partitions": draw.choice([1, 2, 3, 16]),
        "do_lower_case": draw.random() < 0.5,
        "keep_accents": draw.random() < 0.5,
        "user_defined_symbols": draw.sample(SYMBOLS, draw.randint(0, 4)),
        "split_by_unicode_script": an_option(draw, 0.15, False),
        "split_by_number": an_option(draw, 0.15, False),
        "split_by_whitespace": an_option(draw, 0.15, False),
        "split_digits": an_option(draw, 0.15, True),
        "treat_whitespace_as_suffix": an_option(draw, 0.15, True),
        "allow_whitespace_only_pieces": an_option(draw, 0.15, True),
        "byte_fallback": an_option(draw, 0.15, True),
        "required_chars": an_option(draw, 0.1, "xyz天"),
        "max_sentencepiece_length": an_option(draw, 0.2, 1, 2, 4, 40),
        "seed_sentencepiece_size": an_option(draw, 0.2, 0, 50, 500),
        "shrinking_factor": an_option(draw, 0.2, 0.5, 0.9, 0.95),
        "num_sub_iterations": an_option(draw, 0.2, 1, 3, 10),
        "max_sentence_length": an_option(draw, 0.2, 20, 100),
        "normalization_rule_name": an_option(draw, 0.2, "identity", "nfkc", "nmt_nfkc_cf", "nfkc_cf"),
        "input_sentence_size": an_option(draw, 0.5, 0),
    }
    if chosen["byte_fallback"]:
        chosen["vocab_size"] += 256
    return {name: value for name, value in chosen.items() if value is not None}


def result(path: Path, options: dict[str, Any], engine: Engine, threads: int | None = None) -> TrainedTokenizer | str:
    """The trained model, or the error."""
    try:
        settings = TokenizerTrainingOptions(**options, engine=engine)
        return train([str(path)], settings, num_threads=threads)
    except AlbertFastError as error:
        return str(error)


@pytest.mark.parametrize("seed", range(240))
def test_models_are_the_same(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    path = tmp_path / "text.txt"
    path.write_text(a_text(draw), newline="")
    options = the_options(draw)
    ours = result(path, options, "albert-fast", draw.choice([1, 2, 5]))
    theirs = result(path, options, "sentencepiece")
    if isinstance(ours, str) or isinstance(theirs, str):
        # Both refuse. Sizes that would fit are the same too.
        assert isinstance(ours, str), theirs
        assert isinstance(theirs, str), ours
        assert ours == theirs or theirs.startswith("sentencepiece: "), (ours, theirs)
    else:
        assert ours == theirs, options
