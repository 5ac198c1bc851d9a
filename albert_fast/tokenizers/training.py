"""Trains a SentencePiece unigram model with the settings of the public ALBERT guide.

``<pad>`` is 0, ``<unk>`` 1, there is no bos or eos, ``[CLS]``, ``[SEP]`` and ``[MASK]`` are control symbols 2, 3 and 4,
and the user-defined symbols follow. The text rules are the same as in ``albert-fast make-records``, so that the
tokenizer never gets text unlike that of its training.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from albert_fast import _native
from albert_fast._native import Tokenizer
from albert_fast.errors import AlbertFastError
from albert_fast.options.tokenizers import SPECIAL_PIECES, TokenizerTrainingOptions
from albert_fast.tokenizers import library
from albert_fast.tokenizers import symbols as tokenizer_symbols
from albert_fast.tokenizers.dropped import Dropped, Report, nothing_left

ONLY_PYTHON = frozenset({"do_lower_case", "keep_accents", "engine", "extend", "normalization_rule_name"})
"""Options of training that the core takes in another form."""


@dataclasses.dataclass(frozen=True)
class TrainedTokenizer:
    """A trained model and what it was trained on."""

    model: bytes
    """The content of ``spiece.model``."""
    pieces: Sequence[tuple[str, float]]
    """Its pieces in id order, with their log probabilities."""
    lines: int
    """Lines read. Blank lines do not count."""
    dropped: Dropped
    """The lines among them that break a rule."""
    used: int
    """The lines that were trained on: the others, or a sample of them."""
    notes: Sequence[str] = ()
    """What the user should know about the inputs, such as skipped files of a directory."""


def check_symbols(options: TokenizerTrainingOptions) -> None:
    """Refuses user-defined symbols and required characters that would never be found.

    Raises:
        AlbertFastError: a symbol is a duplicate, or the text rules never leave it or a character in a text.
    """
    tokenizer_symbols.check(
        options.user_defined_symbols,
        SPECIAL_PIECES,
        lower_case=options.do_lower_case,
        keep_accents=options.keep_accents,
    )
    tokenizer_symbols.check_characters(
        options.required_chars, lower_case=options.do_lower_case, keep_accents=options.keep_accents
    )


def train(
    inputs: Sequence[str],
    options: TokenizerTrainingOptions,
    *,
    on_bad_utf8: str = "error",
    input_format: str = "auto",
    num_threads: int | None = None,
    verbose: bool = False,
    old: Tokenizer | None = None,
    report: Report | None = None,
) -> TrainedTokenizer:
    """Trains a tokenizer on text files.

    Args:
        inputs: files, globs, directories or ``-``, with one sentence per line.
        options: the settings.
        on_bad_utf8: ``error`` or ``replace`` (U+FFFD).
        input_format: ``auto``, or ``text`` for inputs that only look like other data.
        num_threads: number of threads, by default one per core. The model does not depend on it. The SentencePiece
            library runs ``options.partitions`` threads instead.
        verbose: whether SentencePiece's own log goes to standard error, if it is the engine.
        old: a tokenizer to extend; see `albert_fast.tokenizers.extending`.
        report: called a few times a second.

    Raises:
        AlbertFastError: an input cannot be read; there is no text; the vocabulary is too large or too small for the
            text (the message says which size fits).
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    if old is None:
        check_symbols(options)
    if options.engine == "sentencepiece":
        found = library.train(
            inputs, options, on_bad_utf8=on_bad_utf8, input_format=input_format, verbose=verbose, report=report
        )
        model, lines, dropped, notes = found
    else:
        native = _native.train_tokenizer(
            inputs,
            core_options(options),
            _normalizer(options, old),
            lower_case=options.do_lower_case,
            keep_accents=options.keep_accents,
            on_bad_utf8=on_bad_utf8,
            format=input_format,
            num_threads=num_threads,
            extend=old,
            progress=report,
        )
        model, lines, notes = native["model"], native["lines"], native["notes"]
        dropped = Dropped(**native["dropped"])
    trained = of_model(model, lines, dropped, options, notes)
    check(trained, options, old)
    return trained


def train_task(
    inputs: Sequence[str],
    output_dir: Path,
    options: TokenizerTrainingOptions,
    kept: str,
    *,
    num_tasks: int,
    task_id: int,
    on_bad_utf8: str = "error",
    input_format: str = "auto",
    num_threads: int | None = None,
    old: Tokenizer | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Does the share of one task in training a tokenizer.

    Args:
        inputs: files, globs and directories, with one sentence per line.
        output_dir: the directory in which tasks keep what they have done. The model will be there.
        options: the settings.
        kept: what the last task needs, besides the model.
        num_tasks: the number of tasks.
        task_id: the number of this task.
        on_bad_utf8: as in `train`.
        input_format: as in `train`.
        num_threads: as in `train`.
        old: as in `train`.
        report: called a few times a second.

    Returns:
        What `_native.train_tokenizer_task` returns.

    Raises:
        AlbertFastError: as in `train`; the directory holds something else.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    return _native.train_tokenizer_task(
        inputs,
        output_dir,
        core_options(options),
        _normalizer(options, old),
        kept,
        num_tasks,
        task_id,
        lower_case=options.do_lower_case,
        keep_accents=options.keep_accents,
        on_bad_utf8=on_bad_utf8,
        format=input_format,
        num_threads=num_threads,
        extend=old,
        progress=report,
    )


def of_model(
    model: bytes | None, lines: int, dropped: Dropped, options: TokenizerTrainingOptions, notes: Sequence[str] = ()
) -> TrainedTokenizer:
    """Describes a model that was trained on so many lines.

    Raises:
        AlbertFastError: there is none, because no line was left to train on.
    """
    if model is None:
        raise nothing_left(lines, dropped, options)
    # The sample is taken before lines are normalized, so some of its lines may turn out to be empty.
    fit = lines - dropped.too_long - dropped.reserved
    used = min(fit, options.input_sentence_size or fit) - dropped.empty
    return TrainedTokenizer(model, _native.read_pieces(model), lines, dropped, used, notes)


def check(trained: TrainedTokenizer, options: TokenizerTrainingOptions, old: Tokenizer | None) -> None:
    """Refuses a model that is not as these settings want it.

    Raises:
        AlbertFastError: the trainer has a bug.
    """
    pieces = trained.pieces
    fits = len(pieces) == options.vocab_size or (not options.hard_vocab_limit and len(pieces) < options.vocab_size)
    first = SPECIAL_PIECES if old is None else tuple(old.pieces)
    if not fits or tuple(piece for piece, _ in pieces[: len(first)]) != first:
        raise AlbertFastError(
            f"the trainer must make {options.vocab_size} pieces that begin with {list(first[:5])}, got {len(pieces)} "
            f"that begin with {[piece for piece, _ in pieces[:5]]}",
            kind="tokenizer",
        )


def _normalizer(options: TokenizerTrainingOptions, old: Tokenizer | None) -> bytes:
    """Returns a model with the normalization rules, or nothing for those of the old model."""
    name = options.normalization_rule_name
    keeps = old is not None and name == TokenizerTrainingOptions.normalization_rule_name
    return b"" if keeps else normalizer(name)


def core_options(options: TokenizerTrainingOptions) -> str:
    """Returns the options that the core has, as JSON."""
    return json.dumps({name: value for name, value in options.as_dict().items() if name not in ONLY_PYTHON})


def normalizer(rule_name: str) -> bytes:
    """Returns a serialized model with SentencePiece's normalization rules of this name. The library compiles them."""
    import sentencepiece

    found: bytes = sentencepiece.SentencePieceNormalizer(rule_name=rule_name).serialized_model_proto()
    return found


def format_vocab(pieces: Sequence[tuple[str, float]]) -> str:
    """Returns ``spiece.vocab`` as SentencePiece writes it: a piece, a tab and its score in six digits per line."""
    return "".join(f"{piece}\t{score:g}\n" for piece, score in pieces)
