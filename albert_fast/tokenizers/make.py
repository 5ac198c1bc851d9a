"""`train_tokenizer`: the command of this name as a function."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from albert_fast._native import Tokenizer, __version__, refuse_output_in_input
from albert_fast.errors import AlbertFastError
from albert_fast.files import locked, repair, write_together
from albert_fast.options import CorpusFormat, TokenizerTrainingOptions, TrainTokenizer
from albert_fast.options.base import documented
from albert_fast.options.shared import TokenizerThreads
from albert_fast.options.tokenizers import EXTENDED_SYMBOLS
from albert_fast.tokenizers import extending
from albert_fast.tokenizers.training import TrainedTokenizer, check_symbols, format_vocab, train

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from albert_fast.options.shared import OnBadUtf8, TextFormat
    from albert_fast.options.tokenizers import Engine, NormalizationRule

MODEL = "spiece.model"
FILES = ("spiece.vocab", "spiece.config.json", "train-tokenizer.config.json", MODEL)
"""The files that are written together. The model is last: if it exists, so do the others, and they belong to it."""


class Made(NamedTuple):
    """A tokenizer whose files were written."""

    trained: TrainedTokenizer
    settings: TokenizerTrainingOptions
    """What it was trained with. The text rules and symbols are those of the tokenizer that it extends, if any."""
    extends: Tokenizer | None
    """The tokenizer that it extends, as it was before."""


@documented(TokenizerTrainingOptions, TokenizerThreads, CorpusFormat)
def train_tokenizer(  # noqa: D417 - the options describe themselves
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    *,
    extend: str | os.PathLike[str] | None = TokenizerTrainingOptions.extend,
    vocab_size: int = TokenizerTrainingOptions.vocab_size,
    character_coverage: float = TokenizerTrainingOptions.character_coverage,
    input_sentence_size: int = TokenizerTrainingOptions.input_sentence_size,
    max_sentence_length: int = TokenizerTrainingOptions.max_sentence_length,
    user_defined_symbols: Sequence[str] = TokenizerTrainingOptions.user_defined_symbols,
    normalization_rule_name: NormalizationRule = TokenizerTrainingOptions.normalization_rule_name,
    required_chars: str = TokenizerTrainingOptions.required_chars,
    byte_fallback: bool = TokenizerTrainingOptions.byte_fallback,
    hard_vocab_limit: bool = TokenizerTrainingOptions.hard_vocab_limit,
    max_sentencepiece_length: int = TokenizerTrainingOptions.max_sentencepiece_length,
    split_by_unicode_script: bool = TokenizerTrainingOptions.split_by_unicode_script,
    split_by_number: bool = TokenizerTrainingOptions.split_by_number,
    split_digits: bool = TokenizerTrainingOptions.split_digits,
    split_by_whitespace: bool = TokenizerTrainingOptions.split_by_whitespace,
    treat_whitespace_as_suffix: bool = TokenizerTrainingOptions.treat_whitespace_as_suffix,
    allow_whitespace_only_pieces: bool = TokenizerTrainingOptions.allow_whitespace_only_pieces,
    engine: Engine = TokenizerTrainingOptions.engine,
    seed_sentencepiece_size: int = TokenizerTrainingOptions.seed_sentencepiece_size,
    shrinking_factor: float = TokenizerTrainingOptions.shrinking_factor,
    num_sub_iterations: int = TokenizerTrainingOptions.num_sub_iterations,
    partitions: int = TokenizerTrainingOptions.partitions,
    do_lower_case: bool = TokenizerTrainingOptions.do_lower_case,
    keep_accents: bool = TokenizerTrainingOptions.keep_accents,
    num_threads: int | None = None,
    input_format: TextFormat = CorpusFormat.input_format,
    on_bad_utf8: OnBadUtf8 = CorpusFormat.on_bad_utf8,
    overwrite: bool = False,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> Tokenizer:
    """Trains a SentencePiece unigram tokenizer on a corpus, and writes spiece.model, spiece.vocab and their text rules.

    Args:
        inputs: a file, glob or directory of text, or several, with one sentence per line.
        output_dir: the directory to write to. It is created if needed.
        {options}
        overwrite: Replace existing output and start over.
        progress: called a few times a second with stage, unit, done and total (0 if unknown).

    Returns:
        The tokenizer, opened with the text rules that it was trained with.

    Raises:
        AlbertFastError: an option is invalid; an input cannot be read or is not a corpus; the vocabulary is too large
            or too small for the text; `output_dir` contains a tokenizer (unless `overwrite`); the disk is full.
        KeyboardInterrupt: Ctrl-C was pressed. With ``engine="sentencepiece"``, it is raised at once, but the library
            cannot be stopped, so the caller should end the process.
    """
    given = locals()
    many = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    symbols = TokenizerTrainingOptions.pick(given).user_defined_symbols
    if extend is not None and not symbols:
        message = f"user_defined_symbols=() contradicts `extend`: {EXTENDED_SYMBOLS}; remove it"
        raise AlbertFastError(message, kind="option", option="user_defined_symbols", value=())
    options = TrainTokenizer.pick({**given, "inputs": many, "no_user_defined_symbols": not symbols})
    make(options, report=progress)
    return Tokenizer.from_file(options.output_dir / MODEL)


def make(
    options: TrainTokenizer,
    others: Mapping[str, bytes] | None = None,
    report: Callable[[str, str, int, int], None] | None = None,
    given: frozenset[str] = frozenset(),
) -> Made:
    """Trains a tokenizer, and writes all of its files or none.

    Args:
        options: the options of the command.
        others: contents of further files in `FILES`, by name.
        report: called a few times a second with stage, unit, done and total (0 if unknown).
        given: names of options whose values count even if they are the defaults.
    """
    settings = options.part(TokenizerTrainingOptions)
    output_dir = options.output_dir
    extension = extending.prepare(settings, output_dir / MODEL, given)
    old = None if extension is None else extension.old
    if extension is None:
        check_symbols(settings)
    else:
        settings = extension.settings
    refuse_output_in_input([*options.inputs], output_dir)
    with locked(output_dir):
        repair([output_dir / name for name in FILES])
        _check(options)
        trained = train(
            [*options.inputs],
            settings,
            on_bad_utf8=options.on_bad_utf8,
            input_format=options.input_format,
            num_threads=options.num_threads,
            verbose=options.verbose,
            old=old,
            report=report,
        )
        # A program that does not take the lock may have written a tokenizer meanwhile.
        _check(options)
        described = _rules(settings, trained)
        if old is not None:
            described["extends"] = {
                "pieces": old.vocab_size,
                "model_sha256": hashlib.sha256(old.content).hexdigest(),
            }
        rules = (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode()
        contents = {
            "spiece.vocab": format_vocab(trained.pieces).encode(),
            "spiece.config.json": rules,
            **(others or {}),
            MODEL: trained.model,
        }
        write_together({output_dir / name: contents[name] for name in FILES if name in contents})
    return Made(trained, settings, old)


def _check(options: TrainTokenizer) -> None:
    """Refuses to replace a tokenizer, unless `overwrite` is set."""
    model = options.output_dir / MODEL
    # The model is written last. If only the other files exist, a command was killed before it.
    if not options.overwrite and model.exists():
        message = f"{model} exists: pass overwrite=True to replace it, or another `output_dir`"
        raise AlbertFastError(message, kind="exists", path=model, option="output_dir")


def _rules(settings: TokenizerTrainingOptions, trained: TrainedTokenizer) -> dict[str, object]:
    """Returns the content of spiece.config.json: the text rules, and the digest of the model that they belong to."""
    trained_with = settings.as_dict()
    # Files of earlier versions have this name.
    trained_with["lower_case"] = trained_with.pop("do_lower_case")
    return {
        "albert_fast_version": __version__,
        "model_sha256": hashlib.sha256(trained.model).hexdigest(),
        "lower_case": settings.do_lower_case,
        "keep_accents": settings.keep_accents,
        "settings": trained_with,
    }
