"""Trains a tokenizer with the SentencePiece library, for ``engine="sentencepiece"``."""

import io
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from albert_fast._native import Lines
from albert_fast.errors import AlbertFastError
from albert_fast.options.base import options_of
from albert_fast.options.tokenizers import SPECIAL_PIECES, TokenizerTrainingOptions
from albert_fast.tokenizers.dropped import RESERVED, Dropped, Report, nothing_left

WORKER = "albert-fast-train-tokenizer"
"""The name of the thread that runs SentencePiece's training."""

ALWAYS = (
    "vocab_size",
    "character_coverage",
    "input_sentence_size",
    "max_sentence_length",
    "user_defined_symbols",
)
"""Options that the library gets even if they have its own defaults, because the model stores those that were passed."""

OTHERS = frozenset({"do_lower_case", "keep_accents", "engine", "extend", "partitions"})
"""Options that it does not have, or not under this name."""

_STAYS = re.compile(r"[!-~\w]")
"""A character that SentencePiece's normalization never removes."""


class _Feed(Iterator[str]):
    """Passes lines to SentencePiece, which asks for them from another thread, and counts them."""

    def __init__(self, lines: Lines, options: TokenizerTrainingOptions) -> None:
        import sentencepiece

        self._lines = lines
        self._limit = options.max_sentence_length
        self.total_bytes = lines.total_bytes
        self.bytes_read = 0
        self.count = 0
        self.dropped = Dropped()
        self._normalizer = sentencepiece.SentencePieceNormalizer(rule_name=options.normalization_rule_name)
        self.finished = False
        self.error: Exception | None = None
        self.cancelled = False

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        try:
            line = next(self._lines)
        except StopIteration:
            self.bytes_read, self.finished = self._lines.bytes_read, True
            raise
        except Exception as error:
            self.error = error
            raise
        self.count += 1
        # A character has at most 4 bytes, so most lines are known to fit without encoding them.
        if 4 * len(line) > self._limit and len(line.encode()) > self._limit:
            self.dropped.too_long += 1
        elif RESERVED in line:
            self.dropped.reserved += 1
        elif _STAYS.search(line) is None and not self._normalizer.normalize(line):
            self.dropped.empty += 1
        if self.count % 1024 == 0:
            self.bytes_read = self._lines.bytes_read
            if self.cancelled:
                self.error = AlbertFastError("stopped", kind="input")
                raise self.error
        return line


def train(
    inputs: Sequence[str],
    options: TokenizerTrainingOptions,
    *,
    on_bad_utf8: str,
    input_format: str,
    verbose: bool,
    report: Report | None,
) -> tuple[bytes, int, Dropped, Sequence[str]]:
    """Trains a tokenizer on text files.

    The arguments are those of `albert_fast.tokenizers.training.train`. The library runs ``options.partitions`` threads.

    Returns:
        The content of the model, the number of lines, those among them that the library drops, and notes.

    Raises:
        AlbertFastError: as `albert_fast.tokenizers.training.train`.
        KeyboardInterrupt: Ctrl-C was pressed; it is raised at once. SentencePiece cannot be stopped, so the caller
            should end the process.
    """
    import sentencepiece

    lines = Lines(
        inputs,
        lower_case=options.do_lower_case,
        keep_accents=options.keep_accents,
        on_bad_utf8=on_bad_utf8,
        format=input_format,
    )
    feed = _Feed(lines, options)
    model = io.BytesIO()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            sentencepiece.SentencePieceTrainer.Train(
                sentence_iterator=feed,
                model_writer=model,
                model_type="unigram",
                shuffle_input_sentence=True,
                pad_id=0,
                unk_id=1,
                bos_id=-1,
                eos_id=-1,
                pad_piece="<pad>",
                unk_piece="<unk>",
                control_symbols=list(SPECIAL_PIECES[2:]),
                num_threads=options.partitions,
                train_extremely_large_corpus=False,
                minloglevel=0 if verbose else 2,
                **_passed(options),
            )
        except BaseException as error:  # noqa: BLE001 - it is handed to the thread that waits
            failure.append(error)

    # SentencePiece lets other threads run but does not check for signals: Ctrl-C needs a main thread that waits.
    worker = threading.Thread(target=work, name=WORKER, daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.2)
            if report is not None and not feed.finished:
                report("reading text", "bytes", feed.bytes_read, feed.total_bytes)
            elif report is not None:
                report("training the tokenizer", "lines", 0, 0)
    except BaseException:
        feed.cancelled = True
        raise
    if feed.error is not None:
        raise feed.error
    if failure:
        raise explain(failure[0], options, feed.count, feed.dropped) from None
    return model.getvalue(), feed.count, feed.dropped, lines.notes


def _passed(options: TokenizerTrainingOptions) -> dict[str, Any]:
    """Returns the library's arguments that come from options: those that differ from its defaults, and some others."""
    found = {}
    for name, option in options_of(TokenizerTrainingOptions).items():
        value = getattr(options, name)
        if name in ALWAYS or (name not in OTHERS and value != option.default):
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def explain(
    error: BaseException, options: TokenizerTrainingOptions, lines: int = 0, dropped: Dropped | None = None
) -> AlbertFastError:
    """Rewords SentencePiece's error for our options, and says what would fit.

    Args:
        error: the error that it raised.
        options: the settings.
        lines: the number of lines that it got.
        dropped: the lines among them that it dropped.
    """
    message = str(error)
    found = re.search(r"Vocabulary size too high \((\d+)\)\. Please set it to a value <= (\d+)", message)
    if found:
        return AlbertFastError(
            f"vocab_size={options.vocab_size} is too large for this text, which gives at most {found[2]} pieces; "
            f"pass vocab_size={found[2]} or less, or more text",
            kind="input",
            option="vocab_size",
            value=options.vocab_size,
        )
    found = re.search(r"Vocabulary size is smaller than required_chars\. (\d+) vs (\d+)", message)
    if found:
        return AlbertFastError(
            f"vocab_size={options.vocab_size} is too small: the characters of this text and the special tokens need "
            f"{found[2]} pieces; pass a larger `vocab_size`, or a `character_coverage` below "
            f"{options.character_coverage}",
            kind="input",
            option="vocab_size",
            value=options.vocab_size,
        )
    if "!sentences_.empty()" in message or "(all_chars_count) > (0)" in message:
        return nothing_left(lines, dropped or Dropped(), options)
    reason = re.sub(r"^[A-Z_]+: (?:\S+\.cc\(\d+\) )?", "", message).strip() or type(error).__name__
    return AlbertFastError(f"sentencepiece: {reason}", kind="tokenizer")
