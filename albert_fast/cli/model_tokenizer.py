"""Finds and opens the tokenizer that belongs to a model: of a run, a checkpoint, a Hugging Face or a TF1 folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from albert_fast import AlbertFastError, Tokenizer
from albert_fast.cli.common import CommandError, warn
from albert_fast.cli.tokenizer_file import TextRules, open_tokenizer, trained_rules

MODELS = ("spiece.model", "30k-clean.model")
"""SentencePiece models by their usual names: ours and Hugging Face's, and that of the published archives."""
VOCABULARY = "vocab.txt"
SETTINGS = "tokenizer_config.json"


class Found(NamedTuple):
    """A tokenizer's file, not yet opened."""

    path: Path
    rules: TextRules
    """Where another file than the one beside it tells them: Hugging Face's."""


def folders(source: Path, checkpoint: Path | None = None) -> list[Path]:
    """Where a model's tokenizer may be, the likeliest first.

    Args:
        source: what the user named: a folder, a file in one, or the prefix of a TF1 checkpoint.
        checkpoint: the checkpoint of ours that was found there, if any.
    """
    base = source if source.is_dir() else source.parent
    places = [base, base / "assets"]
    if checkpoint is not None:
        places = [checkpoint, *([checkpoint.parent.parent] if checkpoint.parent.name == "checkpoints" else []), *places]
    elif base.name == "variables":  # of a module of TF Hub
        places.append(base.parent / "assets")
    return list(dict.fromkeys(places))


def find(places: Sequence[Path]) -> Found | None:
    """The tokenizer in the first of these folders that holds one.

    That is one of `MODELS`, else the only file with the suffix .model, else vocab.txt.

    Raises:
        CommandError: several .model files, none of them with a usual name.
    """
    for folder in places:
        names = [folder / name for name in MODELS if (folder / name).is_file()]
        others = sorted(folder.glob("*.model")) if not names else []
        if len(others) > 1:
            listed = ", ".join(path.name for path in others)
            raise CommandError(f"{folder} holds several tokenizers ({listed}): choose one with --tokenizer")
        for path in (*names, *others, folder / VOCABULARY):
            if path.is_file():
                return Found(path, settings(folder))
    return None


def settings(folder: Path) -> TextRules:
    """The text rules that Hugging Face's tokenizer_config.json tells."""
    try:
        content = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return TextRules()
    values = [content.get(key) if isinstance(content, dict) else None for key in ("do_lower_case", "keep_accents")]
    return TextRules(*(value if isinstance(value, bool) else None for value in values))


def rules_known(path: Path) -> bool:
    """Whether a file beside a tokenizer tells whether its text was lower-cased."""
    return settings(path.parent).lower_case is not None or trained_rules(path).lower_case is not None


def open_found(found: Found, do_lower_case: bool | None = None, keep_accents: bool | None = None) -> Tokenizer:
    """The tokenizer, with the rules of the flags, else of its training, else of tokenizer_config.json.

    Raises:
        UsageError, AlbertFastError: as `open_tokenizer`.
    """
    beside = trained_rules(found.path)
    lower = _first(do_lower_case, None if beside.lower_case is not None else found.rules.lower_case)
    accents = _first(keep_accents, None if beside.keep_accents is not None else found.rules.keep_accents)
    return open_file(found.path, lower, accents)


def open_file(path: Path, do_lower_case: bool | None = None, keep_accents: bool | None = None) -> Tokenizer:
    """A tokenizer by its file: WordPiece where it ends in .txt, else SentencePiece.

    Raises:
        UsageError, AlbertFastError: as `open_tokenizer`.
    """
    if path.suffix != ".txt":
        return open_tokenizer(path, do_lower_case=do_lower_case, keep_accents=keep_accents)
    # tokenizer_config.json's keep_accents says nothing about WordPiece.
    return open_tokenizer(None, path, do_lower_case=do_lower_case, keep_accents=None)


def _first(given: bool | None, other: bool | None) -> bool | None:
    return other if given is None else given


def of_model(
    given: Path | None,
    places: Sequence[Path],
    do_lower_case: bool | None = None,
    keep_accents: bool | None = None,
) -> Tokenizer | None:
    """The tokenizer of `choose`."""
    return choose(given, places, do_lower_case, keep_accents).tokenizer


class Chosen(NamedTuple):
    """A tokenizer for a model."""

    tokenizer: Tokenizer | None
    """None where none was given, and none is known."""
    rules_known: bool
    """Whether something tells whether its text was lower-cased: a flag, or a file beside it or the model's own."""


def choose(
    given: Path | None,
    places: Sequence[Path],
    do_lower_case: bool | None = None,
    keep_accents: bool | None = None,
    vocab_size: int | None = None,
) -> Chosen:
    """The tokenizer that the user names, which must be the model's own; else the model's own.

    Args:
        given: the file of `--tokenizer`, if it was passed.
        places: where the model's own may be.
        do_lower_case: as given; None where left open.
        keep_accents: as given; None where left open.
        vocab_size: the model's, where `places` may hold a tokenizer that is not its own: published folders. One that
            is damaged, of another size, or not the only one is passed over there for `given`.

    Raises:
        CommandError: it is not the one in the checkpoint: its pieces, or their order, differ, so that ids mean
            something else. Other bytes or text rules with the same pieces are a warning.
        UsageError, AlbertFastError: as `open_tokenizer`.
    """
    if given is None:
        found = find(places)
        if found is None:
            return Chosen(None, rules_known=False)
        return Chosen(
            open_found(found, do_lower_case, keep_accents), do_lower_case is not None or rules_known(found.path)
        )
    known = do_lower_case is not None or rules_known(given)
    try:
        found = find(places)
        own = None if found is None else open_found(found)
    except (CommandError, AlbertFastError):
        if vocab_size is None:
            raise
        own = None
    if own is None or found is None or (vocab_size is not None and own.vocab_size != vocab_size):
        return Chosen(open_found(Found(given, settings(given.parent)), do_lower_case, keep_accents), known)
    beside = TextRules(*map(_first, trained_rules(given), settings(given.parent)))
    if own.kind == "unigram":
        # The checkpoint knows what its text was like; a model file by itself does not.
        do_lower_case = _first(_first(do_lower_case, beside.lower_case), own.lower_case)
        keep_accents = _first(_first(keep_accents, beside.keep_accents), own.keep_accents)
    opened = open_file(given, do_lower_case, keep_accents)
    if opened.kind != own.kind or opened.pieces != own.pieces:
        raise CommandError(
            f"{given} is not the tokenizer that the model was trained with, {found.path}: it has other pieces, or in "
            "another order; leave --tokenizer out"
        )
    if (opened.lower_case, opened.keep_accents) != (own.lower_case, own.keep_accents):
        warn(f"{given} is used with other text rules than the model was trained with (see {found.path})")
    elif opened.digest != own.digest:
        warn(f"{given} has the pieces of {found.path}, but differs from it in other things")
    return Chosen(opened, known or rules_known(found.path))
