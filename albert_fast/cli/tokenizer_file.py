"""Opens the tokenizer that a command is given, with the text rules that it was trained with."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from albert_fast import Tokenizer, TokenStore, _native
from albert_fast.cli.common import CommandError, UsageError, warn


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
    except (OSError, ValueError, RecursionError):
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


MODELS = ("spiece.model", "30k-clean.model")
"""SentencePiece models by their usual names: ours and Hugging Face's, and that of the published archives."""


def _snapshot(directory: Path) -> Path:
    """The directory with the files, if this is a model's folder in Hugging Face's cache."""
    from trainer import hub
    from trainer.errors import TrainerError

    try:
        return hub.resolve(directory)
    except TrainerError as error:
        raise CommandError(str(error)) from None


def in_directory(tokenizer: Path | None, vocab_file: Path | None) -> tuple[Path | None, Path | None]:
    """The files that `--tokenizer` and `--vocab-file` name, either of which may be a directory that holds one.

    Args:
        tokenizer: as given: a SentencePiece model, or a directory with one model or vocabulary.
        vocab_file: as given: a WordPiece vocabulary, or a directory with a vocab.txt.

    Raises:
        CommandError: a directory without a tokenizer, or with several.
    """
    if vocab_file is not None and vocab_file.is_dir():
        if not (vocab_file / "vocab.txt").is_file():
            raise CommandError(f"{vocab_file} is a directory without a vocab.txt: pass the vocabulary's file")
        vocab_file = vocab_file / "vocab.txt"
    if tokenizer is None or not tokenizer.is_dir() or is_store(tokenizer):
        return tokenizer, vocab_file
    tokenizer = _snapshot(tokenizer)
    models = [tokenizer / name for name in MODELS if (tokenizer / name).is_file()][:1] or sorted(
        tokenizer.glob("*.model")
    )
    found = [*models, *(path for path in [tokenizer / "vocab.txt"] if path.is_file())]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CommandError(f"{tokenizer} holds several tokenizers ({names}): pass the file of one of them")
    if not found:
        json_only = (tokenizer / "tokenizer.json").is_file()
        why = "a tokenizer.json, which this command does not read, but" if json_only else "neither"
        raise CommandError(
            f"{tokenizer} is a directory with {why} no spiece.model or other .model file"
            f"{' and' if json_only else ', nor'} vocab.txt: pass the tokenizer's file"
        )
    return (None, found[0]) if found[0].suffix == ".txt" else (found[0], vocab_file)


def model_in(tokenizer: Path | None) -> Path | None:
    """The SentencePiece model that `--tokenizer` names, which may be a directory that holds one.

    Raises:
        CommandError: a directory without a model.
    """
    found, vocabulary = in_directory(tokenizer, None)
    if vocabulary is not None:
        raise CommandError(f"{tokenizer} holds a WordPiece vocabulary, and this takes SentencePiece models only")
    if found is not None and is_store(found):
        raise CommandError(f"{found} is a token store: pass the file of the tokenizer that it was made with")
    return found


def is_store(path: Path) -> bool:
    """Whether a directory is a token store."""
    return (path / "meta.json").is_file()


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


def own_store(tokenizer: Path | None, vocab_file: Path | None, inputs: Sequence[str]) -> Path | None:
    """The token store whose tokenizer is meant: the only input, if no tokenizer is given, or that of `--tokenizer`."""
    if tokenizer is None and vocab_file is None and len(inputs) == 1 and is_store(Path(inputs[0])):
        return Path(inputs[0])
    return tokenizer if tokenizer is not None and vocab_file is None and is_store(tokenizer) else None


def _of_store(store: Path, do_lower_case: bool | None, keep_accents: bool | None, *, reference: bool) -> Tokenizer:
    opened = TokenStore(store, verify=False).tokenizer()
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
        raise UsageError(f"--rng reference strips accents, as the reference does, and {store} keeps them")
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
    """The tokenizer, with the rules of the flags, else of the token store given as input, else of its training.

    Args:
        tokenizer: a SentencePiece model.
        vocab_file: a WordPiece vocabulary.
        do_lower_case: as given; None where left open.
        keep_accents: as given; None where left open.
        inputs: the command's inputs, which may be a token store: without `tokenizer` and `vocab_file`, its own
            tokenizer is taken.
        reference: whether the reference's text rules are wanted, which strip accents.

    Raises:
        UsageError: both tokenizers, neither of them, or rules that they do not know.
        AlbertFastError: a file that is no usable tokenizer.
    """
    own = own_store(tokenizer, vocab_file, inputs)
    if own is not None:
        return _of_store(own, do_lower_case, keep_accents, reference=reference)
    check_choice(tokenizer, vocab_file)
    tokenizer, vocab_file = in_directory(tokenizer, vocab_file)
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
