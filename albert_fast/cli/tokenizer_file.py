"""Opens the tokenizer that a command is given, with the text rules that it was trained with."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from albert_fast import Tokenizer, _native
from albert_fast.cli.common import UsageError, warn


class TextRules(NamedTuple):
    """What a tokenizer's training, or a token store, says of its text; None where it says nothing."""

    lower_case: bool | None = None
    keep_accents: bool | None = None


def sidecar_path(model: Path) -> Path:
    """The file beside a model that holds its text rules: ``spiece.config.json`` for ``spiece.model``."""
    return model.with_suffix(".config.json")


def _rules(content: Any) -> TextRules:
    if not isinstance(content, dict):
        return TextRules()
    lower_case, keep_accents = content.get("lower_case"), content.get("keep_accents")
    return TextRules(
        lower_case if isinstance(lower_case, bool) else None,
        keep_accents if isinstance(keep_accents, bool) else None,
    )


def trained_rules(model: Path) -> TextRules:
    """The text rules that `model` was trained with, where ``train-tokenizer`` left them beside it.

    Raises:
        AlbertFastError: the file with the rules is damaged.
    """
    path, lower_case, keep_accents, of_another = _native.text_rules_beside(model, "unigram")
    if of_another:
        warn(f"ignoring {path}: it describes another model than {model}")
    return TextRules(lower_case, keep_accents)


def store_rules(inputs: Sequence[str]) -> TextRules:
    """The text rules of a token store, where the input is one."""
    if len(inputs) != 1:
        return TextRules()
    try:
        content = json.loads((Path(inputs[0]) / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return TextRules()
    return _rules(content.get("tokenizer")) if isinstance(content, dict) else TextRules()


def _choose(
    flag: str, given: bool | None, trained: bool | None, stored: bool | None, default: bool, model: Path
) -> bool:
    if given is None:
        return next((rule for rule in (stored, trained) if rule is not None), default)
    if trained is not None and trained != given:
        no = {True: "", False: "no-"}
        warn(
            f"{model} was trained with --{no[trained]}{flag}, and is used with --{no[given]}{flag}: its "
            "pieces do not fit such text well"
        )
    return given


def check_choice(tokenizer: Path | None, vocab_file: Path | None, *, required: bool = True) -> None:
    """Refuses two tokenizers, or none where one is needed."""
    if tokenizer is not None and vocab_file is not None:
        raise UsageError("--tokenizer and --vocab-file are two tokenizers: pass one of them")
    if required and tokenizer is None and vocab_file is None:
        raise UsageError("pass --tokenizer spiece.model, or --vocab-file vocab.txt for WordPiece")


def warn_of_boundary(tokenizer: Tokenizer, word_boundary: str) -> None:
    """Warns if the reference's rule for word starts does not fit the tokenizer."""
    if word_boundary == "albert" and tokenizer.marks_word_ends:
        warn(
            f"{tokenizer.path} marks words at their end (treat_whitespace_as_suffix), which the reference's rule does "
            "not know: masks will not be whole words. Pass --word-boundary unicode (not with --rng reference)"
        )


def open_tokenizer(
    tokenizer: Path | None,
    vocab_file: Path | None = None,
    *,
    do_lower_case: bool | None = None,
    keep_accents: bool | None = None,
    inputs: Sequence[str] = (),
    reference: bool = False,
) -> Tokenizer:
    """The tokenizer, with the rules of the flags, else of the token store given as input, else of its training.

    Args:
        tokenizer: a SentencePiece model.
        vocab_file: a WordPiece vocabulary.
        do_lower_case: as given; None where left open.
        keep_accents: as given; None where left open.
        inputs: the command's inputs, one of which may be a token store.
        reference: whether the reference's text rules are wanted, which strip accents.

    Raises:
        UsageError: both tokenizers, neither of them, or rules that they do not know.
        AlbertFastError: a file that is no usable tokenizer.
    """
    check_choice(tokenizer, vocab_file)
    stored = store_rules(inputs)
    if vocab_file is not None:
        if keep_accents:
            raise UsageError(
                "--keep-accents is for SentencePiece: a WordPiece tokenizer strips accents where it lower-cases, and "
                "only there (--no-do-lower-case)"
            )
        _, cased, accents, _ = _native.text_rules_beside(vocab_file, "wordpiece")
        lower_case = _choose("do-lower-case", do_lower_case, cased, stored.lower_case, True, vocab_file)
        accents = next((rule for rule in (stored.keep_accents, accents) if rule is not None), False)
        return Tokenizer.from_vocab_file(vocab_file, lower_case=lower_case, keep_accents=accents, follow_config=False)
    assert tokenizer is not None
    trained = trained_rules(tokenizer)
    lower_case = _choose("do-lower-case", do_lower_case, trained.lower_case, stored.lower_case, True, tokenizer)
    accents = _choose("keep-accents", keep_accents, trained.keep_accents, stored.keep_accents, False, tokenizer)
    if reference and accents:
        raise UsageError(
            "--rng reference strips accents, as the reference does: pass --no-keep-accents"
            + (f" ({tokenizer} was trained with --keep-accents)" if keep_accents is None else "")
        )
    return Tokenizer.from_file(tokenizer, lower_case=lower_case, keep_accents=accents, follow_config=False)
