"""Options that several commands have."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from albert_fast.errors import AlbertFastError, option_error
from albert_fast.options.base import MAX_THREADS, REQUIRED, Stage, option

INPUT = "Input"
TOKENIZER = "Tokenizer"
TEXT = "Text"
OUTPUT = "Output"
TASKS = "Tasks"

OnBadUtf8 = Literal["error", "replace"]
TextFormat = Literal["auto", "text"]

BAD_UTF8 = (
    "What to do with bytes that are not UTF-8: stop with an error that names the file, line and byte, or "
    "replace them with U+FFFD and count them."
)
ACCENTS = "Keep accents and umlauts. google-research/ALBERT always strips them, even if capitals are kept."
INPUT_PATHS = (
    "files, globs or directories, or - for standard input. Files can be plain or compressed with gzip, bzip2, xz or "
    "zstd"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigFile(Stage):
    """The file that any option can be read from."""

    config: Path | None = option(
        None,
        "Read options from a YAML or JSON file. Flags on the command line take precedence. The configuration file "
        "of the public ALBERT guide (github.com/arrrrrmin/albert-guide) works too.",
        metavar="FILE",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusInputs(Stage):
    """The corpus that a command reads."""

    inputs: tuple[str, ...] = option(
        REQUIRED,
        f"The corpus, with one sentence per line and a blank line after each document: {INPUT_PATHS}.",
        INPUT,
        metavar="INPUT",
        argument=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusFormat(Stage):
    """What to do with inputs that are not a corpus."""

    input_format: TextFormat = option(
        "auto",
        "auto refuses inputs that look like JSON Lines, a table or markup. Convert these with prepare-text first. "
        "text reads every input as a corpus, whatever it looks like.",
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
        "SentencePiece unigram model (spiece.model), or a directory with one. Give either this or --vocab-file.",
        TOKENIZER,
        metavar="FILE",
    )
    vocab_file: Path | None = option(None, "BERT WordPiece vocabulary (vocab.txt).", TOKENIZER, metavar="FILE")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherTokenizer(Stage):
    """Whether a tokenizer that does not belong to the data is accepted."""

    allow_other_tokenizer: bool = option(
        False,
        "Accept a tokenizer whose vocabulary differs from that of the data or the model. The same id can then be a "
        "different piece.",
        TOKENIZER,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextRules(Stage):
    """How text is normalized before it is tokenized."""

    do_lower_case: bool | None = option(
        None, "Lowercase the text before tokenizing it.", TOKENIZER, shown="as the tokenizer was trained; on if unknown"
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

    output_dir: Path = option(
        REQUIRED, "Directory to write to. It is created if it does not exist.", OUTPUT, metavar="DIR"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CacheOptions(Stage):
    """Where copies of remote data are kept that is read at random."""

    cache_dir: Path | None = option(
        None,
        "Directory for copies of remote token stores and records. Later commands use the same copies.",
        INPUT,
        metavar="DIR",
        shown="$ALBERT_FAST_CACHE if set, otherwise ~/.cache/albert-fast",
    )
    cache_size: float | None = option(
        None,
        "Maximum total size of the copies in --cache-dir, in GiB. To make room, the least recently used copies are "
        "removed, except those in use.",
        INPUT,
        metavar="GIB",
        low=0,
        above=True,
        shown="no limit",
    )


def _threads(description: str) -> Any:
    return option(None, description, OUTPUT, low=1, high=MAX_THREADS, shown="one per core")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threads(Stage):
    """How many threads work."""

    num_threads: int | None = _threads(
        "Number of threads. At most 4 per core are started. It does not change the output."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchThreads(Threads):
    """How many threads make batches for TensorFlow."""

    num_threads: int | None = _threads(
        "Number of threads that make or read batches, besides TensorFlow's own. At most 4 per core are started. "
        "It does not change the output."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerThreads(Threads):
    """How many threads train a tokenizer."""

    num_threads: int | None = _threads(
        "Number of threads. At most 4 per core are started. It does not change the output. With --engine "
        "sentencepiece, there are as many threads as --partitions."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskOptions(Stage):
    """Which part of the work a command does, if several share it. It does not change the output."""

    num_tasks: int | None = option(
        None,
        "Number of commands that share the work, on any number of machines. Each has the same options and another "
        "--task-id. It does not change the output, and may differ between runs.",
        TASKS,
        low=1,
        high=100_000,
    )
    task_id: int | None = option(
        None,
        "Number of this command among the --num-tasks, from 0. Running it twice is harmless.",
        TASKS,
        low=0,
        high=99_999,
    )

    def validate(self) -> None:
        super().validate()
        if self.num_tasks is not None and self.task_id is not None:
            if self.task_id >= self.num_tasks:
                rule = f"a whole number from 0 to {self.num_tasks - 1}, because num_tasks is {self.num_tasks}"
                raise option_error("task_id", rule, self.task_id)
        elif self.num_tasks is not None or self.task_id is not None:
            names = ["num_tasks", "task_id"]
            given, other = names if self.task_id is None else reversed(names)
            message = f"{given}={getattr(self, given)} has no effect without `{other}`; pass both, or neither"
            raise AlbertFastError(message, kind="option", option=given, value=getattr(self, given))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finish(ConfigFile):
    """`finish`."""

    directory: Path = option(
        REQUIRED,
        "The --output-dir of the tasks, or the --output of those of prepare-text.",
        INPUT,
        metavar="DIR",
        argument=True,
    )
    num_tasks: int | None = option(
        None,
        "Number of tasks. If something is missing, the error then names the tasks to run again.",
        TASKS,
        low=1,
        high=100_000,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overwrite(Stage):
    """Whether an existing output is replaced."""

    overwrite: bool = option(False, "Replace existing output and start over.", OUTPUT)
