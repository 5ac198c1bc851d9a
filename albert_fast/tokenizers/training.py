"""Trains a SentencePiece unigram model with the settings of the public ALBERT guide.

``<pad>`` is 0, ``<unk>`` 1, there is no bos or eos, ``[CLS]``, ``[SEP]`` and ``[MASK]`` are control symbols 2, 3 and 4,
and the user-defined symbols follow. The text rules are the same as in ``albert-fast make-records``, so that the
tokenizer never gets text unlike that of its training.
"""

import dataclasses
import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence

from albert_fast._native import Lines
from albert_fast.errors import AlbertFastError
from albert_fast.options.tokenizers import SPECIAL_PIECES, TokenizerTrainingOptions
from albert_fast.text import number
from albert_fast.tokenizers import symbols as tokenizer_symbols

WORKER = "albert-fast-train-tokenizer"
"""The name of the thread that runs SentencePiece's training."""


@dataclasses.dataclass
class Dropped:
    """Lines that SentencePiece drops, by reason. It only says so in its own log."""

    too_long: int = 0
    """Lines of more than ``max_sentence_length`` bytes."""
    reserved: int = 0
    """Lines with U+2585, which SentencePiece reserves."""
    empty: int = 0
    """Lines that its normalization makes empty: they only have zero-width spaces and control characters."""

    @property
    def total(self) -> int:
        """The number of all of them."""
        return self.too_long + self.reserved + self.empty

    def reasons(self, max_sentence_length: int) -> list[tuple[int, str]]:
        """Returns numbers of lines, the largest first, each with the words that follow "N lines"."""
        reasons = [
            (self.too_long, f"longer than {max_sentence_length:,} bytes (`max_sentence_length`)"),
            (self.reserved, f"with U+2585 ({RESERVED}), which SentencePiece reserves"),
            (self.empty, "with only characters that SentencePiece removes, such as zero-width spaces"),
        ]
        return [(count, reason) for count, reason in sorted(reasons, key=lambda it: -it[0]) if count]


@dataclasses.dataclass(frozen=True)
class TrainedTokenizer:
    """A trained model and what it was trained on."""

    model: bytes
    """The content of ``spiece.model``."""
    vocab: str
    """The content of ``spiece.vocab``: a piece, a tab and its log probability per line."""
    lines: int
    """Lines read. Blank lines do not count."""
    dropped: "Dropped"
    """The lines among them that were not trained on."""
    notes: Sequence[str] = ()
    """What the user should know about the inputs, such as skipped files of a directory."""


RESERVED = "▅"
"""SentencePiece drops every line that contains this character, U+2585."""

_STAYS = re.compile(r"[!-~\w]")
"""A character that SentencePiece's normalization never removes."""

Report = Callable[[str, str, int, int], None]
"""Called with stage, unit, done, total (0 if unknown)."""


class _Feed(Iterator[str]):
    """Passes lines to SentencePiece, which asks for them from another thread, and counts them."""

    def __init__(self, lines: Lines, max_sentence_length: int) -> None:
        import sentencepiece

        self._lines = lines
        self._limit = max_sentence_length
        self.total_bytes = lines.total_bytes
        self.bytes_read = 0
        self.count = 0
        self.dropped = Dropped()
        self._normalizer = sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc")
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


def check_symbols(options: TokenizerTrainingOptions) -> None:
    """Refuses user-defined symbols that would never be found.

    Raises:
        AlbertFastError: a symbol is a duplicate, or the text rules never leave it in a text.
    """
    tokenizer_symbols.check(
        options.user_defined_symbols,
        SPECIAL_PIECES,
        lower_case=options.do_lower_case,
        keep_accents=options.keep_accents,
    )


def train(
    inputs: Sequence[str],
    options: TokenizerTrainingOptions,
    *,
    on_bad_utf8: str = "error",
    input_format: str = "auto",
    verbose: bool = False,
    report: Report | None = None,
) -> TrainedTokenizer:
    """Trains a tokenizer on text files.

    Args:
        inputs: files, globs, directories or ``-``, with one sentence per line.
        options: the settings.
        on_bad_utf8: ``error`` or ``replace`` (U+FFFD).
        input_format: ``auto``, or ``text`` for inputs that only look like other data.
        verbose: whether SentencePiece's own log goes to standard error.
        report: called a few times a second.

    Raises:
        AlbertFastError: an input cannot be read; there is no text; the vocabulary is too large or too small for the
            text (the message says which size fits).
        KeyboardInterrupt: Ctrl-C was pressed; it is raised at once. SentencePiece cannot be stopped, so the caller
            should end the process.
    """
    import sentencepiece

    check_symbols(options)
    lines = Lines(
        inputs,
        lower_case=options.do_lower_case,
        keep_accents=options.keep_accents,
        on_bad_utf8=on_bad_utf8,
        format=input_format,
    )
    feed = _Feed(lines, options.max_sentence_length)
    model = io.BytesIO()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            sentencepiece.SentencePieceTrainer.Train(
                sentence_iterator=feed,
                model_writer=model,
                model_type="unigram",
                vocab_size=options.vocab_size,
                character_coverage=options.character_coverage,
                input_sentence_size=options.input_sentence_size,
                shuffle_input_sentence=True,
                max_sentence_length=options.max_sentence_length,
                pad_id=0,
                unk_id=1,
                bos_id=-1,
                eos_id=-1,
                pad_piece="<pad>",
                unk_piece="<unk>",
                control_symbols=list(SPECIAL_PIECES[2:]),
                user_defined_symbols=list(options.user_defined_symbols),
                num_threads=options.num_threads,
                train_extremely_large_corpus=False,
                minloglevel=0 if verbose else 2,
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
    data = model.getvalue()
    pieces = read_pieces(data)
    if len(pieces) != options.vocab_size or tuple(piece for piece, _ in pieces[:5]) != SPECIAL_PIECES:
        raise AlbertFastError(
            f"sentencepiece {sentencepiece.__version__} must make {options.vocab_size} pieces that begin with "
            f"{list(SPECIAL_PIECES)}, got {len(pieces)} that begin with {[piece for piece, _ in pieces[:5]]}",
            kind="tokenizer",
        )
    return TrainedTokenizer(data, format_vocab(pieces), feed.count, feed.dropped, lines.notes)


def read_pieces(model: bytes) -> list[tuple[str, float]]:
    """Returns the pieces of a SentencePiece model, in id order, with their scores."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.vocab_size())]


def format_vocab(pieces: Sequence[tuple[str, float]]) -> str:
    """Returns ``spiece.vocab`` as SentencePiece writes it: a piece, a tab and its score in six digits per line."""
    return "".join(f"{piece}\t{score:g}\n" for piece, score in pieces)


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
        if not lines or dropped is None or not dropped.total:
            message = "the input has no text to train on; pass files with one sentence per line"
            return AlbertFastError(message, kind="input")
        reasons = ", and ".join(
            f"{number(count, 'line')} {reason}" for count, reason in dropped.reasons(options.max_sentence_length)
        )
        advice = [
            *(["pass a larger `max_sentence_length`"] if dropped.too_long else []),
            *([f"remove {RESERVED} from the text"] if dropped.reserved else []),
            *(["pass other text"] if dropped.empty else []),
        ]
        message = f"no line is left to train on: SentencePiece drops {reasons}; {' or '.join(advice)}"
        return AlbertFastError(message, kind="input")
    reason = re.sub(r"^[A-Z_]+: (?:\S+\.cc\(\d+\) )?", "", message).strip() or type(error).__name__
    return AlbertFastError(f"sentencepiece: {reason}", kind="tokenizer")
