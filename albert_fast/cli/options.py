"""The options that several commands share."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from albert_fast._checks import MAX_THREADS
from albert_fast.cli.config import callback


class OnBadUtf8(enum.Enum):
    """What becomes of bytes that are not UTF-8."""

    error = "error"
    replace = "replace"


class TextFormat(enum.Enum):
    """What inputs are taken for."""

    auto = "auto"
    text = "text"


class Compression(enum.Enum):
    """How shards are compressed."""

    none = "none"
    gzip = "gzip"


class RngKind(enum.Enum):
    """Which random numbers are drawn."""

    fast = "fast"
    reference = "reference"


class WordBoundary(enum.Enum):
    """Which pieces begin a word."""

    unicode = "unicode"
    albert = "albert"


class SingleSegment(enum.Enum):
    """What becomes of a chunk of one segment."""

    split = "split"
    random = "random"
    drop = "drop"


TEXT = "Text"
INSTANCES = "Instances"
MASKS = "Masks"
OUTPUT = "Output"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...",
        help="Text: files, globs, folders, or - for standard input; plain, gzip, bzip2, xz or zstd. One sentence a "
        "line, a blank line between documents.",
        show_default=False,
    ),
]
OutputDir = Annotated[Path, typer.Option(help="Folder to write to; created where missing.", show_default=False)]
Config = Annotated[
    Path | None,
    typer.Option(
        help="YAML or JSON file with any of these options (snake or kebab case); flags win. The public ALBERT guide's "
        "file, with its albert_config, is read as it stands.",
        metavar="FILE",
        callback=callback,
        is_eager=True,
        show_default=False,
    ),
]
DoLowerCase = Annotated[
    bool | None,
    typer.Option(
        "--do-lower-case/--no-do-lower-case",
        help="Lower-case the text.  [default: as the tokenizer was trained; else on]",
        show_default=False,
        rich_help_panel=TEXT,
    ),
]
KeepAccents = Annotated[
    bool | None,
    typer.Option(
        "--keep-accents/--no-keep-accents",
        help="Keep accents and umlauts, which the reference strips, cased or not.  [default: as the tokenizer was "
        "trained; else off]",
        show_default=False,
        rich_help_panel=TEXT,
    ),
]
Bad = Annotated[
    OnBadUtf8,
    typer.Option(
        help="Bytes that are not UTF-8: an error naming file, line and byte, or U+FFFD and a count at the end.",
        rich_help_panel=TEXT,
    ),
]
InputFormat = Annotated[
    TextFormat,
    typer.Option(
        "--input-format",
        help="With auto, refuse inputs that look like JSON Lines, a table or markup, which prepare-text reads. With "
        "text, read them as they are.",
        rich_help_panel=TEXT,
    ),
]
NumThreads = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MAX_THREADS,
        help="Threads; the output does not depend on it.  [default: one per processor]",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite/--no-overwrite", help="Replace an output that exists, and start afresh.", rich_help_panel=OUTPUT
    ),
]
TokenizerFile = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        metavar="FILE",
        help="SentencePiece unigram model (spiece.model), or a directory that holds one.",
        show_default=False,
    ),
]
VocabFile = Annotated[
    Path | None,
    typer.Option(
        "--vocab-file", metavar="FILE", help="BERT WordPiece vocabulary, instead of --tokenizer.", show_default=False
    ),
]
ALLOW_OTHER = "--allow-other-tokenizer"
AllowOtherTokenizer = Annotated[
    bool,
    typer.Option(
        f"{ALLOW_OTHER}/--no-allow-other-tokenizer",
        help="Accept data, weights or a tokenizer of another vocabulary, in which the same id is a different piece.",
    ),
]
