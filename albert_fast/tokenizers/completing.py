"""The files of a trained tokenizer. If tasks have trained it, several of them may write the same files at once."""

from __future__ import annotations

import hashlib
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast import _native
from albert_fast.errors import AlbertFastError
from albert_fast.files import write_apart
from albert_fast.options.tokenizers import TokenizerTrainingOptions
from albert_fast.tokenizers.dropped import Dropped
from albert_fast.tokenizers.training import TrainedTokenizer, format_vocab, of_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from albert_fast._native import Tokenizer

MODEL = "spiece.model"
FILES = ("spiece.vocab", "spiece.config.json", "train-tokenizer.config.json", MODEL)
"""The files that are written together. The model is last: if it exists, so do the others, and they belong to it."""
PARTIAL = "train-tokenizer.partial.json"
"""The file that tasks write first, and remove last."""


class Extended(NamedTuple):
    """The model that a tokenizer extends, as it was before."""

    pieces: int
    model_sha256: str

    @classmethod
    def of(cls, old: Tokenizer) -> Extended:
        """Describes the model of a tokenizer."""
        return cls(old.vocab_size, hashlib.sha256(old.content).hexdigest())


class Made(NamedTuple):
    """A tokenizer whose files were written."""

    trained: TrainedTokenizer
    settings: TokenizerTrainingOptions
    """What it was trained with. The text rules and symbols are those of the tokenizer that it extends, if any."""
    extends: Extended | None
    """The tokenizer that it extends."""
    already_complete: bool = False
    """Whether tasks had written the files before."""


def contents(
    trained: TrainedTokenizer,
    settings: TokenizerTrainingOptions,
    extends: Extended | None,
    others: Mapping[str, bytes],
) -> dict[str, bytes]:
    """Returns the files of a tokenizer by name, in the order of `FILES`.

    Args:
        trained: the model and its pieces.
        settings: what it was trained with.
        extends: the model that it extends, if any.
        others: further files in `FILES`.
    """
    described = _rules(settings, trained)
    if extends is not None:
        described["extends"] = extends._asdict()
    found = {
        "spiece.vocab": format_vocab(trained.pieces).encode(),
        "spiece.config.json": (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode(),
        **others,
        MODEL: trained.model,
    }
    return {name: found[name] for name in FILES if name in found}


def _rules(settings: TokenizerTrainingOptions, trained: TrainedTokenizer) -> dict[str, object]:
    """Returns the content of spiece.config.json: the text rules, and the digest of the model that they belong to."""
    trained_with = settings.as_dict()
    # Files of earlier versions have this name.
    trained_with["lower_case"] = trained_with.pop("do_lower_case")
    return {
        "albert_fast_version": _native.__version__,
        "model_sha256": hashlib.sha256(trained.model).hexdigest(),
        "lower_case": settings.do_lower_case,
        "keep_accents": settings.keep_accents,
        "settings": trained_with,
    }


def kept(
    settings: TokenizerTrainingOptions, extends: Extended | None, others: Mapping[str, bytes] = MappingProxyType({})
) -> str:
    """Returns what tasks keep for `complete`, besides the model. The arguments are those of `contents`."""
    # A file name that is not UTF-8 is already escaped in these files.
    texts = {name: content.decode() for name, content in others.items()}
    described = None if extends is None else extends._asdict()
    return json.dumps({"settings": settings.as_dict(), "extends": described, "others": texts})


def complete(output_dir: Path, found: Mapping[str, Any], notes: Sequence[str] = ()) -> Made:
    """Writes the files of a tokenizer that tasks have trained, unless they are there. Several tasks may do so at once.

    Args:
        output_dir: the directory of the tasks.
        found: what `_native.finish` or `_native.train_tokenizer_task` returns if all tasks have ended.
        notes: what the user should know about the inputs.

    Raises:
        AlbertFastError: no line is left to train on; there is another model; a file cannot be written.
    """
    values = json.loads(found["kept"])
    settings = TokenizerTrainingOptions(**values["settings"])
    extends = None if values["extends"] is None else Extended(**values["extends"])
    trained = of_model(found["model"], found["lines"], Dropped(**found["dropped"]), settings, notes)
    if found["already_complete"]:
        return Made(trained, settings, extends, already_complete=True)
    model = output_dir / MODEL
    if model.is_file() and model.read_bytes() != trained.model:
        message = f"{model} exists, and is another model; pass another `output_dir`"
        raise AlbertFastError(message, kind="exists", path=model, option="output_dir")
    others = {name: text.encode() for name, text in values["others"].items()}
    for name, content in contents(trained, settings, extends, others).items():
        if name != MODEL:
            write_apart(output_dir / name, content)
    already_complete = _native.publish_tokenizer(output_dir, trained.model, kept(settings, extends))
    return Made(trained, settings, extends, already_complete)
