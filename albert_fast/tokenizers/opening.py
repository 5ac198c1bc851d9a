"""Opens a tokenizer's file. Unless other text rules are given, it has those of its training."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from albert_fast import _native
from albert_fast._native import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class TextRules(NamedTuple):
    """What a tokenizer's training, or a token store, says about its text rules. None if it says nothing."""

    lower_case: bool | None = None
    keep_accents: bool | None = None


NO_RULES = TextRules()


def trained_rules(tokenizer: Path, kind: str = "unigram", *, warn: Callable[[str], None]) -> TextRules:
    """Returns the text rules in the files next to a tokenizer, which `Tokenizer.from_file` follows too.

    Args:
        tokenizer: the SentencePiece model or, for kind "wordpiece", the vocabulary.
        kind: the kind of the tokenizer.
        warn: called with each warning, which is one line.

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
    """Returns the rules to use: those given, otherwise those stored, those of the training, or lowercase.

    The user does not choose the accents of WordPiece, so what is given for them is ignored.

    Args:
        path: the tokenizer's file.
        kind: the kind of the tokenizer, "unigram" or "wordpiece".
        given: the rules that the user gave.
        stored: the rules stored with tokens that the tokenizer made.
        warn: called with a warning, which is one line, if they contradict the training.

    Raises:
        AlbertFastError: a file with the rules of the training is damaged.
    """
    trained = trained_rules(path, kind, warn=warn)
    accents = given.keep_accents if kind == "unigram" else None
    return TextRules(
        _chosen("do_lower_case", given.lower_case, trained.lower_case, stored.lower_case, True, path, warn),
        _chosen("keep_accents", accents, trained.keep_accents, stored.keep_accents, False, path, warn),
    )


def _chosen(
    option: str,
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
        warn(
            f"{path} was trained with {option}={trained}, and is used with {option}={given}: its pieces do not fit "
            "such text well"
        )
    return given


def open_with(path: Path, kind: str, rules: TextRules) -> Tokenizer:
    """Opens the tokenizer with these rules, whatever its training says.

    Raises:
        AlbertFastError: the file is not a usable tokenizer.
    """
    open_file = Tokenizer.from_vocab_file if kind == "wordpiece" else Tokenizer.from_file
    return open_file(path, lower_case=rules.lower_case, keep_accents=rules.keep_accents, follow_config=False)
