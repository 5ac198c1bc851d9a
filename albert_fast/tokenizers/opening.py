"""Opens a tokenizer by its file, with the text rules of its training unless others are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from albert_fast import _native
from albert_fast._native import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class TextRules(NamedTuple):
    """What a tokenizer's training, or a token store, says of its text; None where it says nothing."""

    lower_case: bool | None = None
    keep_accents: bool | None = None


NO_RULES = TextRules()


def trained_rules(tokenizer: Path, kind: str = "unigram", *, warn: Callable[[str], None]) -> TextRules:
    """The text rules that the files beside a tokenizer tell: those that `Tokenizer.from_file` follows.

    Args:
        tokenizer: the SentencePiece model or, of kind "wordpiece", the vocabulary.
        kind: of the tokenizer.
        warn: takes a line of warning.

    Raises:
        AlbertFastError: a file with the rules is damaged.
    """
    lower_case, keep_accents, of_another = _native.text_rules_beside(tokenizer, kind)
    if of_another is not None:
        warn(f"ignoring {of_another}: it describes another model than {tokenizer}")
    return TextRules(lower_case, keep_accents)


def text_rules(
    path: Path,
    kind: str = "unigram",
    given: TextRules = NO_RULES,
    stored: TextRules = NO_RULES,
    *,
    warn: Callable[[str], None],
) -> TextRules:
    """The rules to use: those given, otherwise those stored, otherwise those of the training, otherwise lowercase.

    Accents of WordPiece are not chosen: what is given of them does not count.

    Args:
        path: the tokenizer's file.
        kind: of the tokenizer, "unigram" or "wordpiece".
        given: by the user.
        stored: with tokens that it made.
        warn: takes a line of warning if they contradict the training.

    Raises:
        AlbertFastError: a file with the rules of the training is damaged.
    """
    trained = trained_rules(path, kind, warn=warn)
    accents = given.keep_accents if kind == "unigram" else None
    return TextRules(
        _chosen("do-lower-case", given.lower_case, trained.lower_case, stored.lower_case, True, path, warn),
        _chosen("keep-accents", accents, trained.keep_accents, stored.keep_accents, False, path, warn),
    )


def _chosen(
    flag: str,
    given: bool | None,
    trained: bool | None,
    stored: bool | None,
    default: bool,
    path: Path,
    warn: Callable[[str], None],
) -> bool:
    if given is None:
        return next((rule for rule in (stored, trained) if rule is not None), default)
    if trained is not None and trained != given:
        no = {True: "", False: "no-"}
        warn(
            f"{path} was trained with --{no[trained]}{flag}, and is used with --{no[given]}{flag}: its pieces do not "
            "fit such text well"
        )
    return given


def open_with(path: Path, kind: str, rules: TextRules) -> Tokenizer:
    """The tokenizer with these rules, whatever its training says.

    Raises:
        AlbertFastError: the file is no usable tokenizer.
    """
    open_file = Tokenizer.from_vocab_file if kind == "wordpiece" else Tokenizer.from_file
    return open_file(path, lower_case=rules.lower_case, keep_accents=rules.keep_accents, follow_config=False)
