"""Options that several commands have."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from albert_fast.options.base import MAX_THREADS, REQUIRED, Stage, option

INPUT = "Input"
TOKENIZER = "Tokenizer"
TEXT = "Text"
OUTPUT = "Output"

OnBadUtf8 = Literal["error", "replace"]
TextFormat = Literal["auto", "text"]

BAD_UTF8 = (
    "What to do with bytes that are not UTF-8: stop with the file, line and byte, or replace them with U+FFFD and "
    "count them."
)
ACCENTS = "Keep accents and umlauts. The reference always strips them, from cased text too."
INPUT_PATHS = "file, glob or directory, or - for standard input; plain, gzip, bzip2, xz or zstd"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigFile(Stage):
    """The file that any option can be read from."""

    config: Path | None = option(
        None,
        "Read options from a YAML or JSON file. Flags on the command line take precedence. The file of the public "
        "ALBERT guide, with its albert_config, is read as it is.",
        metavar="FILE",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusInputs(Stage):
    """The corpus that a command reads."""

    inputs: tuple[str, ...] = option(
        REQUIRED,
        f"The corpus: each a {INPUT_PATHS}. One sentence per line, a blank line after each document.",
        INPUT,
        metavar="INPUT",
        argument=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusFormat(Stage):
    """What to do with inputs that are not a corpus."""

    input_format: TextFormat = option(
        "auto",
        "auto refuses inputs that look like JSON Lines, a table or markup: convert these with prepare-text first. text "
        "reads every input as plain text.",
        INPUT,
    )
    on_bad_utf8: OnBadUtf8 = option(
        "error",
        BAD_UTF8,
        INPUT,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerChoice(Stage):
    """The tokenizer that a command uses."""

    tokenizer: Path | None = option(
        None,
        "SentencePiece unigram model (spiece.model), or a directory that holds one.",
        TOKENIZER,
        metavar="FILE",
    )
    vocab_file: Path | None = option(
        None, "BERT WordPiece vocabulary (vocab.txt), instead of --tokenizer.", TOKENIZER, metavar="FILE"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherTokenizer(Stage):
    """Whether a tokenizer that does not belong to the data is accepted."""

    allow_other_tokenizer: bool = option(
        False,
        "Accept data, weights or a tokenizer with another vocabulary, in which the same id is a different piece.",
        TOKENIZER,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextRules(Stage):
    """How text is normalized before it is tokenized."""

    do_lower_case: bool | None = option(
        None, "Lowercase the text.", TOKENIZER, shown="as the tokenizer was trained; on if unknown"
    )
    keep_accents: bool | None = option(
        None,
        ACCENTS,
        TOKENIZER,
        shown="as the tokenizer was trained; off if unknown",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputDir(Stage):
    """The directory that a command writes."""

    output_dir: Path = option(REQUIRED, "Directory to write to. It is created if needed.", OUTPUT, metavar="DIR")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threads(Stage):
    """How many threads work."""

    num_threads: int | None = option(
        None,
        "Number of threads. It does not change the output.",
        OUTPUT,
        low=1,
        high=MAX_THREADS,
        shown="one per core",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overwrite(Stage):
    """Whether an existing output is replaced."""

    overwrite: bool = option(False, "Replace existing output and start over.", OUTPUT)
