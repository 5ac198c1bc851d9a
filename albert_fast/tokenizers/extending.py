"""The model that ``train-tokenizer`` extends, and the settings that its extension takes over."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast._native import Tokenizer, text_rules_beside
from albert_fast.errors import AlbertFastError
from albert_fast.options.tokenizers import USER_DEFINED_SYMBOLS, TokenizerTrainingOptions
from albert_fast.tokenizers import files

if TYPE_CHECKING:
    from pathlib import Path


class Extension(NamedTuple):
    """A model to extend, and how."""

    old: Tokenizer
    """The model."""
    settings: TokenizerTrainingOptions
    """The settings with the model's text rules and symbols."""


def prepare(settings: TokenizerTrainingOptions, output: Path, given: frozenset[str] = frozenset()) -> Extension | None:
    """Returns the model that ``settings.extend`` names, or None if it names none.

    The model's text rules and symbols replace the defaults. Other values contradict it, unless they are equal.

    Args:
        settings: the settings of the training.
        output: the model file to write.
        given: names of options that the user gave, whose values count even if they are the defaults.

    Raises:
        AlbertFastError: it is no unigram model; a setting contradicts it; `output` is the same file, or in the same
            directory.
    """
    if settings.extend is None:
        return None
    path = files.named(settings.extend)
    # A directory with two models would be ambiguous, and the new text rules would replace those of the old model.
    if _same(output.parent, path.parent) or _same(output, path):
        raise AlbertFastError(
            f"extend must be a model in another directory than output_dir, got {path}: weights that were trained with "
            "it still need it; pass another `output_dir`",
            kind="option",
            option="extend",
            value=str(path),
        )
    if path.suffix == ".txt":
        message = f"{path}: a WordPiece vocabulary cannot be extended; pass a SentencePiece model"
        raise AlbertFastError(message, kind="tokenizer", path=path, option="extend")
    old = Tokenizer.from_file(path)
    lower_case, keep_accents, _ = text_rules_beside(path, "unigram")
    own: dict[str, Any] = {"do_lower_case": lower_case, "keep_accents": keep_accents}
    for name, value in own.items():
        default = getattr(TokenizerTrainingOptions, name)
        chosen = getattr(settings, name)
        if value is not None and chosen != value and (name in given or chosen != default):
            raise AlbertFastError(
                f"{name}={chosen} contradicts {path}, which was trained with {name}={value}; remove it",
                kind="option",
                option=name,
                value=chosen,
            )
    taken = {name: value for name, value in own.items() if value is not None}
    if settings.user_defined_symbols in {(), USER_DEFINED_SYMBOLS}:
        taken["user_defined_symbols"] = ()
    return Extension(old, dataclasses.replace(settings, **taken))


def _same(one: Path, other: Path) -> bool:
    """Returns whether two paths exist and are the same file or directory."""
    return one.exists() and other.exists() and one.samefile(other)
