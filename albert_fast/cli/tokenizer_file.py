"""Opens the tokenizer that a command gets, with the text rules that it was trained with."""

import glob
import json
import os
from collections.abc import Sequence
from pathlib import Path

from albert_fast import Tokenizer
from albert_fast._native import store_tokenizer
from albert_fast.cli.common import CommandError, UsageError, warn
from albert_fast.paths import as_path, is_remote
from albert_fast.tokenizers import files as tokenizer_files
from albert_fast.tokenizers.files import is_store, refuse_unfinished
from albert_fast.tokenizers.opening import TextRules, open_with, text_rules


def store_rules(inputs: Sequence[str]) -> TextRules:
    """Returns the text rules of a token store, if the input is one."""
    if len(inputs) != 1:
        return TextRules()
    try:
        content = json.loads((as_path(inputs[0]) / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return TextRules()
    kept = content.get("tokenizer") if isinstance(content, dict) else None
    if not isinstance(kept, dict):
        return TextRules()
    rules = [kept.get(key) for key in ("lower_case", "keep_accents")]
    return TextRules(*(rule if isinstance(rule, bool) else None for rule in rules))


def in_directory(tokenizer: Path | None, vocab_file: Path | None) -> tuple[Path | None, Path | None]:
    """Returns the files that `--tokenizer` and `--vocab-file` name. Either may be a directory that contains one.

    Args:
        tokenizer: as given: a SentencePiece model, or a directory with one model or vocabulary.
        vocab_file: as given: a WordPiece vocabulary, or a directory with a vocab.txt.

    Raises:
        AlbertFastError: a directory contains no tokenizer, or several; a file is a tokenizer.json or not a tokenizer;
            `vocab_file` is a SentencePiece model.
    """
    if vocab_file is not None:
        vocab_file = tokenizer_files.vocabulary(vocab_file)
    if tokenizer is None or is_store(tokenizer):
        return tokenizer, vocab_file
    found = tokenizer_files.named(tokenizer)
    tokenizer_files.refuse_json(found, vocabulary="pass --vocab-file {}")
    is_vocabulary = tokenizer.is_dir() and found.name == tokenizer_files.VOCABULARY
    return (None, found) if is_vocabulary else (found, vocab_file)


def check_choice(tokenizer: Path | None, vocab_file: Path | None, *, required: bool = True) -> None:
    """Refuses two tokenizers, or none if one is needed."""
    if tokenizer is not None and vocab_file is not None:
        raise UsageError("--tokenizer and --vocab-file are two tokenizers: pass only one of them")
    if required and tokenizer is None and vocab_file is None:
        raise UsageError("pass --tokenizer spiece.model, or --vocab-file vocab.txt for WordPiece")


def check_inputs(inputs: Sequence[str]) -> None:
    """Refuses an input that does not exist.

    Raises:
        CommandError: no file has that name.
    """
    for given in inputs:
        # The core finds what glob characters match, and has advice about names with commas between them.
        is_name = given != "-" and "," not in given and not is_remote(given) and not glob.has_magic(given)
        if is_name and not os.path.lexists(given):
            raise CommandError(f"{given}: no such file or directory")


def warn_of_boundary(tokenizer: Tokenizer, word_boundary: str) -> None:
    """Warns if the reference's rule for word starts does not fit the tokenizer."""
    if word_boundary == "albert" and tokenizer.marks_word_ends:
        warn(
            f"masks will not be whole words: {tokenizer.path} marks words at their end (treat_whitespace_as_suffix), "
            "and the reference's rule expects marks at their beginning. Pass --word-boundary unicode (not with --rng "
            "reference)"
        )


def own_store(tokenizer: Path | None, vocab_file: Path | None, inputs: Sequence[str]) -> Path | None:
    """Returns the token store whose tokenizer is meant: that of `--tokenizer`, or the only input if none is given.

    Raises:
        AlbertFastError: this token store is not complete.
    """
    if vocab_file is None and (tokenizer is not None or len(inputs) == 1):
        refuse_unfinished(as_path(inputs[0]) if tokenizer is None else tokenizer)
    if tokenizer is None and vocab_file is None and len(inputs) == 1 and is_store(as_path(inputs[0])):
        return as_path(inputs[0])
    return tokenizer if tokenizer is not None and vocab_file is None and is_store(tokenizer) else None


def _of_store(store: Path, do_lower_case: bool | None, keep_accents: bool | None, *, reference: bool) -> Tokenizer:
    opened = store_tokenizer(store)
    for flag, given, own in (
        ("do-lower-case", do_lower_case, opened.lower_case),
        ("keep-accents", keep_accents, opened.keep_accents),
    ):
        if given not in {None, own}:
            no = "" if own else "no-"
            raise UsageError(
                f"{store} was made with --{no}{flag}: drop --{'no-' if own else ''}{flag}, or tokenize again"
            )
    if reference and opened.keep_accents and opened.kind != "wordpiece":
        raise UsageError(
            f"--rng reference strips accents, as the reference does, and {store} keeps them; pass the corpus instead, "
            "with --no-keep-accents"
        )
    return opened


def open_tokenizer(
    tokenizer: Path | None,
    vocab_file: Path | None = None,
    *,
    do_lower_case: bool | None = None,
    keep_accents: bool | None = None,
    inputs: Sequence[str] = (),
    reference: bool = False,
) -> Tokenizer:
    """Opens the tokenizer. Its rules are those of the flags, otherwise of the token store, otherwise of its training.

    Args:
        tokenizer: a SentencePiece model.
        vocab_file: a WordPiece vocabulary.
        do_lower_case: as given; None if not given.
        keep_accents: as given; None if not given.
        inputs: the inputs of the command, which may be a token store. Its own tokenizer is used if neither `tokenizer`
            nor `vocab_file` is given.
        reference: whether to use the reference's text rules, which strip accents.

    Raises:
        CommandError: no tokenizer is given, and an input does not exist.
        UsageError: both tokenizers are given, or neither, or rules that they do not have.
        AlbertFastError: a file is not a usable tokenizer.
    """
    own = own_store(tokenizer, vocab_file, inputs)
    if own is not None:
        return _of_store(own, do_lower_case, keep_accents, reference=reference)
    if tokenizer is None and vocab_file is None:
        # A token store would have had its own tokenizer, but its name may be misspelled.
        check_inputs(inputs)
    check_choice(tokenizer, vocab_file)
    tokenizer, vocab_file = in_directory(tokenizer, vocab_file)
    stored = store_rules(inputs)
    if vocab_file is not None and keep_accents:
        raise UsageError(
            "--keep-accents is for SentencePiece: a WordPiece tokenizer strips accents if and only if it lowercases; "
            "pass --no-do-lower-case instead"
        )
    path, kind = (vocab_file, "wordpiece") if vocab_file is not None else (tokenizer, "unigram")
    assert path is not None
    rules = text_rules(path, kind, TextRules(do_lower_case, keep_accents), stored, warn=warn)
    if reference and rules.keep_accents and kind == "unigram":
        raise UsageError(
            "--rng reference strips accents, as the reference does: pass --no-keep-accents"
            + (f" ({path} was trained with --keep-accents)" if keep_accents is None else "")
        )
    return open_with(path, kind, rules)
