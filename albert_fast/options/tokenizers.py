"""Options of `train-tokenizer` and `tokenize`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from albert_fast.errors import AlbertFastError, option_error
from albert_fast.options.base import Stage, option
from albert_fast.options.shared import (
    ACCENTS,
    OUTPUT,
    TEXT,
    TOKENIZER,
    ConfigFile,
    CorpusFormat,
    CorpusInputs,
    OutputDir,
    Overwrite,
    TaskOptions,
    TextRules,
    Threads,
    TokenizerChoice,
    TokenizerThreads,
)

SPECIAL_PIECES = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
"""The pieces 0 to 4 of every model that is trained here."""

NormalizationRule = Literal["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"]
Engine = Literal["albert-fast", "sentencepiece"]

PIECES = "Pieces"
ALGORITHM = "Algorithm"

USER_DEFINED_SYMBOLS = ("(", ")", "”", "-", ".", "–", "£", "€")
"""The symbols of the public ALBERT guide that are always pieces."""

EXTENDED_SYMBOLS = "the model keeps its own symbols"
"""Why a model that is extended cannot lose its symbols."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerTrainingOptions(Stage):
    """What determines a tokenizer, besides its text."""

    extend: Path | None = option(
        None,
        "SentencePiece model to add pieces to. Its pieces keep their ids, and its rules apply. The best new pieces of "
        "the corpus come after them, until there are --vocab-size pieces.",
        TOKENIZER,
        metavar="MODEL",
    )
    vocab_size: int = option(
        30_000,
        "Number of pieces in the vocabulary, including special tokens and user-defined symbols.",
        TOKENIZER,
        low=16,
        high=1_000_000,
    )
    character_coverage: float = option(
        0.99995,
        "Fraction of the characters in the corpus that the pieces cover. The rarest characters become <unk>.",
        TOKENIZER,
        metavar="FRACTION",
        low=0.98,
        high=1,
    )
    input_sentence_size: int = option(
        10_000_000,
        "If the corpus has more lines than this, train on a random sample of this many. 0 trains on all lines.",
        TOKENIZER,
        metavar="LINES",
        low=0,
    )
    max_sentence_length: int = option(
        4192,
        "Longest line to train on, in bytes. Longer lines are dropped.",
        TOKENIZER,
        metavar="BYTES",
        low=10,
        high=1 << 24,
    )
    user_defined_symbols: tuple[str, ...] = option(
        USER_DEFINED_SYMBOLS,
        "Text that is always one piece. Write it in the form that the text rules produce: by default, in lowercase "
        "and without accents. Give the option once per symbol.",
        TOKENIZER,
        metavar="SYMBOL",
    )
    normalization_rule_name: NormalizationRule = option(
        "nmt_nfkc",
        "SentencePiece's normalization rules, which the model applies after the text rules. nfkc is Unicode's NFKC, "
        "nmt_ also replaces some spaces and control characters, _cf folds case, and identity changes "
        "nothing.",
        TOKENIZER,
    )
    required_chars: str = option(
        "",
        "Make these characters pieces even if they are rare. Write them in the form that the text rules produce.",
        TOKENIZER,
    )
    byte_fallback: bool = option(
        False, "Write characters without a piece as one piece per byte of UTF-8, instead of <unk>.", TOKENIZER
    )
    hard_vocab_limit: bool = option(
        True,
        "Stop with an error if the corpus gives fewer pieces than --vocab-size. Otherwise, accept a smaller "
        "vocabulary.",
        TOKENIZER,
    )
    max_sentencepiece_length: int = option(
        16, "Longest piece, in characters.", PIECES, metavar="CHARACTERS", low=1, high=512
    )
    split_by_unicode_script: bool = option(True, "Do not mix scripts, such as Latin and Cyrillic, in a piece.", PIECES)
    split_by_number: bool = option(True, "Do not mix digits and letters in a piece.", PIECES)
    split_digits: bool = option(False, "Make each digit a piece.", PIECES)
    split_by_whitespace: bool = option(True, "Do not let a piece contain a space between words.", PIECES)
    treat_whitespace_as_suffix: bool = option(
        False, "Put the ▁ that stands for a space at the end of a word instead of its beginning.", PIECES
    )
    allow_whitespace_only_pieces: bool = option(False, "Allow pieces that consist of several ▁.", PIECES)
    engine: Engine = option(
        "albert-fast",
        "Trainer to use. Both make the same model, unless they train on a random sample. sentencepiece is the "
        "SentencePiece library, which takes several times as long and starts as many threads as --partitions.",
        ALGORITHM,
    )
    seed_sentencepiece_size: int = option(
        1_000_000,
        "Number of candidate pieces to start with, taken from the most frequent strings. 0 means eight times "
        "--vocab-size, and at least 100,000.",
        ALGORITHM,
        low=0,
        high=2**31 - 1,
    )
    shrinking_factor: float = option(
        0.75,
        "Fraction of the pieces that each pruning keeps.",
        ALGORITHM,
        metavar="FRACTION",
        low=0.5,
        high=0.95,
    )
    num_sub_iterations: int = option(2, "Number of EM iterations before each pruning.", ALGORITHM, low=1, high=10)
    partitions: int = option(
        16,
        "SentencePiece's num_threads: the number of partial sums in each EM iteration. The last digits of the "
        "scores depend on it.",
        ALGORITHM,
        low=1,
        high=1024,
    )
    do_lower_case: bool = option(True, "Lowercase the text before training.", TEXT)
    keep_accents: bool = option(False, ACCENTS, TEXT)

    def validate(self) -> None:
        if self.extend is not None and self.engine == "sentencepiece":
            message = "engine='sentencepiece' cannot extend a model; remove `engine`"
            raise AlbertFastError(message, kind="option", option="engine", value=self.engine)
        fixed = len(SPECIAL_PIECES) + len(self.user_defined_symbols)
        if self.vocab_size <= fixed:
            rule = f"larger than {fixed}, the number of special tokens and user-defined symbols"
            raise option_error("vocab_size", rule, self.vocab_size)
        if self.byte_fallback and self.vocab_size <= fixed + 256:
            rule = f"larger than {fixed + 256}, the number of special tokens, symbols and bytes, with `byte_fallback`"
            raise option_error("vocab_size", rule, self.vocab_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainTokenizer(
    ConfigFile,
    TaskOptions,
    Overwrite,
    TokenizerThreads,
    OutputDir,
    TokenizerTrainingOptions,
    CorpusFormat,
    CorpusInputs,
):
    """`train-tokenizer`."""

    no_user_defined_symbols: bool = option(False, "Do not define any symbols.", TOKENIZER, only=True)
    verbose: bool = option(False, "Show SentencePiece's log, with --engine sentencepiece.", OUTPUT)

    def validate(self) -> None:
        if self.no_user_defined_symbols and self.extend is not None:
            msg = f"no_user_defined_symbols contradicts `extend`: {EXTENDED_SYMBOLS}; remove it"
            raise AlbertFastError(msg, kind="option", option="no_user_defined_symbols", value=True)
        if self.no_user_defined_symbols and self.user_defined_symbols not in {(), USER_DEFINED_SYMBOLS}:
            msg = "no_user_defined_symbols contradicts user_defined_symbols: pass one of the two"
            raise AlbertFastError(msg, kind="option", option="no_user_defined_symbols", value=True)
        if self.no_user_defined_symbols or not self.user_defined_symbols:
            # Without the flag, an empty list means the default.
            symbols = () if self.no_user_defined_symbols else USER_DEFINED_SYMBOLS
            object.__setattr__(self, "user_defined_symbols", symbols)
        if self.engine == "sentencepiece" and self.num_threads not in {None, self.partitions}:
            msg = (
                f"num_threads={self.num_threads} contradicts engine='sentencepiece', which starts as many threads as "
                f"`partitions`, {self.partitions}: remove `num_threads`, or pass partitions={self.num_threads}, which "
                "changes the last digits of the scores"
            )
            raise AlbertFastError(msg, kind="option", option="num_threads", value=self.num_threads)
        if self.engine == "sentencepiece" and self.num_tasks is not None:
            msg = (
                "with `num_tasks`, engine='sentencepiece' is not possible, because the library cannot divide its work; "
                "remove `engine`, which makes the same model"
            )
            raise AlbertFastError(msg, kind="option", option="engine", value=self.engine)
        super().validate()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizeOptions(Overwrite, Threads, CorpusFormat):
    """How a corpus is tokenized, besides the tokenizer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenize(ConfigFile, TaskOptions, OutputDir, TokenizeOptions, TextRules, TokenizerChoice, CorpusInputs):
    """`tokenize`."""
