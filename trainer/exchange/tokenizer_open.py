"""Opening of a model's tokenizer by its file: SentencePiece, WordPiece, or a Hugging Face tokenizer.json."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from albert_fast import AlbertFastError, Tokenizer
from albert_fast.text import describe_os_error
from albert_fast.tokenizers.files import JSON, MODELS
from albert_fast.tokenizers.opening import TextRules, open_with, text_rules, trained_rules
from trainer.errors import TrainerError
from trainer.exchange import tokenizer_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.exchange.tokenizer_model import Rebuilt

SETTINGS = "tokenizer_config.json"
IF_WORDPIECE = (
    "(a WordPiece vocabulary goes with Tokenizer.from_vocab_file)",
    "(the name of a WordPiece vocabulary must end in .txt)",
)
IF_SENTENCEPIECE = (
    "(a SentencePiece model goes with Tokenizer.from_file)",
    "(the name of a SentencePiece model must end in .model)",
)
"""The core's advice, and the advice that replaces it if the suffix decides between the two kinds."""


def rules_of(path: Path, warn: Callable[[str], None]) -> TextRules:
    """Return what a tokenizer's file, and those next to it, say about the text it was trained on.

    A tokenizer.json contains this itself.

    Raises:
        TrainerError: `path` is a tokenizer.json that cannot be used.
        AlbertFastError: a file next to it is damaged.
    """
    if path.suffix == ".json":
        rebuilt = _rebuilt(path)
        return TextRules(rebuilt.lower_case, rebuilt.keep_accents)
    return trained_rules(path, "wordpiece" if path.suffix == ".txt" else "unigram", warn=warn)


def is_rebuilt(path: Path) -> bool:
    """Tell whether a tokenizer was rebuilt from a tokenizer.json: then its file is not the original."""
    if path.suffix == ".json":
        return True
    try:
        content = json.loads(path.with_suffix(".config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("rebuilt") is True


def open_file(
    path: Path, do_lower_case: bool | None = None, keep_accents: bool | None = None, *, warn: Callable[[str], None]
) -> Tokenizer:
    """Open a tokenizer by its file: WordPiece if it ends in .txt, tokenizer.json if in .json, otherwise SentencePiece.

    The text rules are those given, otherwise those of `rules_of`. `keep_accents` does not apply to WordPiece.

    Raises:
        TrainerError: a tokenizer.json cannot be used, or one next to a SentencePiece model has other pieces.
        AlbertFastError: the file is not a usable tokenizer, or a file next to it is damaged.
    """
    given = TextRules(do_lower_case, keep_accents)
    if path.suffix == ".json":
        return _open_json(path, given, warn)
    kind, advice = ("wordpiece", IF_SENTENCEPIECE) if path.suffix == ".txt" else ("unigram", IF_WORDPIECE)
    if kind == "unigram":
        _check_beside(path, warn)
    try:
        return open_with(path, kind, text_rules(path, kind, given, warn=warn))
    except AlbertFastError as error:
        # The suffix has already decided between the two kinds.
        message = str(error).replace(*advice)
        raise AlbertFastError(message, kind=error.kind, path=error.path, line=error.line, byte=error.byte) from error


def _rebuilt(path: Path) -> Rebuilt:
    """Return the content of a tokenizer.json.

    Raises:
        TrainerError: it cannot be used.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise TrainerError(f"cannot read {describe_os_error(error)}", kind="io", path=path) from error
    found = _read(path, (status.st_mtime_ns, status.st_size))
    if isinstance(found, str):
        message = f"{found}; pass the spiece.model that the model was trained with as `tokenizer`"
        raise TrainerError(message, kind="tokenizer", path=path)
    return found


@functools.lru_cache(maxsize=4)
def _read(path: Path, _stamp: tuple[int, int]) -> Rebuilt | str:
    """Return the content of a tokenizer.json, or why it cannot be used."""
    try:
        return tokenizer_model.read(path, remedy="")
    except TrainerError as error:
        return str(error)


def _open_json(path: Path, given: TextRules, warn: Callable[[str], None]) -> Tokenizer:
    """Open a tokenizer.json. Its SentencePiece model is stored in a place that lasts until the command ends."""
    rebuilt = _rebuilt(path)
    for note in rebuilt.notes:
        warn(note)
    try:
        beside = trained_rules(path, warn=warn)
    except AlbertFastError:  # the normalizer decides
        beside = TextRules()
    for key, chosen, declared, own in (
        ("do_lower_case", given.lower_case, beside.lower_case, rebuilt.lower_case),
        ("keep_accents", given.keep_accents, beside.keep_accents, rebuilt.keep_accents),
    ):
        does = f"the normalizer of {path} has {key} {_json(own)}"
        if chosen is not None and chosen != own:
            warn(f"{does}, but {_json(chosen)} was passed: the pieces do not fit such text well")
        elif chosen is None and declared is not None and declared != own:
            warn(f"{does}, which is used, although {path.parent / SETTINGS} has {_json(declared)}")
    directory = Path(tempfile.mkdtemp(prefix="albert-fast-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    model = directory / MODELS[0]
    try:
        model.write_bytes(rebuilt.model)
    except OSError as error:
        raise TrainerError(f"cannot write {describe_os_error(error)}", kind="io", path=model) from error
    try:
        return Tokenizer.from_file(
            model,
            lower_case=rebuilt.lower_case if given.lower_case is None else given.lower_case,
            keep_accents=rebuilt.keep_accents if given.keep_accents is None else given.keep_accents,
        )
    except AlbertFastError as error:
        raise TrainerError(str(error).replace(str(model), str(path)), kind="tokenizer", path=path) from error


def _check_beside(model: Path, warn: Callable[[str], None]) -> None:
    """Warn if a SentencePiece model and the tokenizer.json next to it differ.

    Raises:
        TrainerError: they have different pieces, so ids mean different things: one of the two does not belong to the
            model.
    """
    path = model.parent / JSON
    if not path.is_file():
        return
    status = path.stat()
    rebuilt = _read(path, (status.st_mtime_ns, status.st_size))
    if isinstance(rebuilt, str):
        warn(f"using {model}, and ignoring the tokenizer.json next to it: {rebuilt}")
        return
    try:
        content = model.read_bytes()
        one, other = tokenizer_model.pieces_of(content), tokenizer_model.pieces_of(rebuilt.model)
    except (OSError, TrainerError):  # reported when it is opened
        return
    if one != other:
        number = next(
            (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
        )
        here, there = (f"{pieces[number]!r}" if number < len(pieces) else "no piece" for pieces in (one, other))
        raise TrainerError(
            f"{model} and {path} are different tokenizers: id {number} is {here} in the first and {there} in the "
            "second; remove the one that the model was not trained with, or copy the right one to another directory "
            "and pass that as `tokenizer`",
            kind="tokenizer",
            path=model,
        )
    if found := tokenizer_model.differences(content, rebuilt.model):
        warn(f"using {model}; {path} has the same pieces, but differs in {', '.join(found)}")


def _json(value: bool) -> str:
    return str(value).lower()
