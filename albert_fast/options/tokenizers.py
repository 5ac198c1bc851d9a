"""Options of `train-tokenizer` and `tokenize`."""

from __future__ import annotations

import dataclasses

from albert_fast.errors import AlbertFastError, option_error
from albert_fast.options.base import MAX_THREADS, Stage, option
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
    TextRules,
    Threads,
    TokenizerChoice,
)

SPECIAL_PIECES = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
"""The pieces 0 to 4 of every model that is trained here."""

USER_DEFINED_SYMBOLS = ("(", ")", "”", "-", ".", "–", "£", "€")
"""The symbols of the public ALBERT guide that are always pieces."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerTrainingOptions(Stage):
    """What determines a tokenizer, besides its text."""

    vocab_size: int = option(
        30_000,
        "Number of pieces in the vocabulary, including special tokens and user-defined symbols.",
        TOKENIZER,
        low=16,
        high=1_000_000,
    )
    character_coverage: float = option(
        0.99995,
        "Fraction of the characters in the corpus that the pieces cover. The rarest others become <unk>.",
        TOKENIZER,
        metavar="FRACTION",
        low=0.98,
        high=1,
    )
    input_sentence_size: int = option(
        10_000_000,
        "If the corpus has more lines than this, train on a random sample of this many.",
        TOKENIZER,
        metavar="LINES",
        low=1,
    )
    max_sentence_length: int = option(
        4192, "Longest line to train on, in bytes. Longer lines are dropped.", TOKENIZER, metavar="BYTES", low=1
    )
    user_defined_symbols: tuple[str, ...] = option(
        USER_DEFINED_SYMBOLS,
        "Text that is always one piece. Write it in the form that the text rules produce: by default, in lowercase "
        "and without accents. Give the option once per symbol.",
        TOKENIZER,
        metavar="SYMBOL",
    )
    do_lower_case: bool = option(True, "Lowercase the text before training.", TEXT)
    keep_accents: bool = option(False, ACCENTS, TEXT)
    num_threads: int = option(
        16,
        "Number of threads. The last digits of the scores depend on it, so the default is the same on every machine.",
        OUTPUT,
        low=1,
        high=MAX_THREADS,
    )

    def validate(self) -> None:
        fixed = len(SPECIAL_PIECES) + len(self.user_defined_symbols)
        if self.vocab_size <= fixed:
            rule = f"larger than {fixed}, the number of special tokens and user-defined symbols"
            raise option_error("vocab_size", rule, self.vocab_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainTokenizer(ConfigFile, Overwrite, OutputDir, TokenizerTrainingOptions, CorpusFormat, CorpusInputs):
    """`train-tokenizer`."""

    no_user_defined_symbols: bool = option(False, "Do not define any symbols.", TOKENIZER, only=True)
    verbose: bool = option(False, "Show SentencePiece's own log.", OUTPUT)

    def validate(self) -> None:
        if self.no_user_defined_symbols and self.user_defined_symbols not in {(), USER_DEFINED_SYMBOLS}:
            msg = "no_user_defined_symbols contradicts user_defined_symbols: pass one of the two"
            raise AlbertFastError(msg, kind="option", option="no_user_defined_symbols", value=True)
        if self.no_user_defined_symbols or not self.user_defined_symbols:
            # Without the flag, an empty list means the default.
            symbols = () if self.no_user_defined_symbols else USER_DEFINED_SYMBOLS
            object.__setattr__(self, "user_defined_symbols", symbols)
        super().validate()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizeOptions(Overwrite, Threads, CorpusFormat):
    """How a corpus is tokenized, besides the tokenizer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenize(ConfigFile, OutputDir, TokenizeOptions, TextRules, TokenizerChoice, CorpusInputs):
    """`tokenize`."""
