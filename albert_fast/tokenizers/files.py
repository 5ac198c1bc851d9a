"""Finds a tokenizer's file in a directory. Every command and `Tokenizer.from_file` use this search.

This module imports neither TensorFlow nor the command line.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from albert_fast.errors import AlbertFastError

if TYPE_CHECKING:
    from pathlib import Path

MODELS = ("spiece.model", "30k-clean.model")
"""Usual names of SentencePiece models: ours and Hugging Face's, and that of the published archives."""
VOCABULARY = "vocab.txt"
JSON = "tokenizer.json"
"""The only file that transformers 5 saves; see `trainer.exchange.tokenizer_model`."""


def is_store(path: Path) -> bool:
    """Returns whether a directory is a token store. One that a server refuses to show is none."""
    try:
        return (path / "meta.json").is_file()
    except AlbertFastError:
        return False


def refuse_unfinished(path: Path) -> None:
    """Refuses a token store that tokenize has begun and not completed. Everything else may pass.

    Raises:
        AlbertFastError: the store is not complete.
    """
    try:
        is_unfinished = not is_store(path) and (path / "tokenize.partial.json").is_file() and not is_store(path)
    except AlbertFastError:
        return
    if is_unfinished:
        message = (
            f"{path}: this token store is not complete; run the same tokenize command again, or its missing tasks, or "
            "finish if its tasks have ended"
        )
        raise AlbertFastError(message, kind="data", path=path)


def snapshot(path: Path) -> Path:
    """Returns the snapshot to read if `path` is a model's directory in Hugging Face's cache, otherwise `path`.

    It is the commit in refs/main, or the only snapshot if there is no refs/main.

        models--albert--albert-base-v2/
            refs/main           the commit that was fetched last, 40 digits
            snapshots/COMMIT/   the files, links into blobs/

    Raises:
        AlbertFastError: refs/main names a snapshot that does not exist, or there are several and no refs/main.
    """
    directory = path.parent if path.name == "snapshots" and (path.parent / "refs").is_dir() else path
    snapshots = directory / "snapshots"
    if not snapshots.is_dir() or not ((directory / "refs").is_dir() or directory.name.startswith("models--")):
        return path
    found = sorted(inner.name for inner in snapshots.iterdir() if inner.is_dir())
    try:
        commit = (directory / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        commit = ""
    if not commit and len(found) == 1:
        return snapshots / found[0]
    if commit in found:
        return snapshots / commit
    if not found:
        message = f"{snapshots} is empty: download the model again"
        raise AlbertFastError(message, kind="tokenizer", path=snapshots)
    what = f"names {commit}, which is not in {snapshots}" if commit else "does not exist"
    listed = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    chosen = directory / "refs" / "main"
    raise AlbertFastError(
        f"{chosen} {what}: pass one of the {len(found)} snapshots, such as {snapshots / found[0]}"
        + (f" ({listed})" if len(found) > 1 else ""),
        kind="tokenizer",
        path=chosen,
    )


def find(directory: Path) -> Path | None:
    """Returns the tokenizer's file in a directory, or None if there is none.

    It is one of `MODELS`, otherwise the only file with the suffix .model, or a vocab.txt. If there is neither, it is a
    tokenizer.json.

    Raises:
        AlbertFastError: the directory contains several tokenizers.
    """
    found = [*_models(directory), *(path for path in [directory / VOCABULARY] if path.is_file())]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        message = f"{directory} holds several tokenizers ({names}); pass the file of one of them"
        raise AlbertFastError(message, kind="tokenizer", path=directory)
    whole = directory / JSON
    return found[0] if found else whole if whole.is_file() else None


def _models(directory: Path) -> list[Path]:
    """Returns the SentencePiece models in a directory: the one with a usual name, otherwise all."""
    usual = [directory / name for name in MODELS if (directory / name).is_file()]
    return usual[:1] or sorted(directory.glob("*.model"))


def named(path: Path) -> Path:
    """Returns the tokenizer's file that the user names: the file itself, or the one in a directory.

    Raises:
        AlbertFastError: the directory contains no tokenizer, or several, or is a token store.
    """
    if not path.is_dir():
        return path
    if is_store(path):
        message = f"{path} is a token store; pass the file of the tokenizer that it was made with"
        raise AlbertFastError(message, kind="tokenizer", path=path)
    directory = snapshot(path)
    found = find(directory)
    if found is None:
        if any(directory.glob(".*.model.old")):
            raise AlbertFastError(
                f"{directory} holds no tokenizer: train-tokenizer was stopped while it replaced the old one; run it "
                "again, which first restores the old files",
                kind="tokenizer",
                path=directory,
            )
        below = sorted([*directory.glob("*/*.model"), *directory.glob(f"*/{VOCABULARY}")])
        such_as = f", such as {below[0]}" if below else ""
        raise AlbertFastError(
            f"{directory} holds no tokenizer (no .model file, no {VOCABULARY}); pass the tokenizer's file{such_as}",
            kind="tokenizer",
            path=directory,
        )
    return found


def refuse_json(path: Path, *, vocabulary: str = "pass {}") -> None:
    """Refuses a tokenizer.json, which only commands for whole models read, and every other JSON file.

    Args:
        path: the file that the user names.
        vocabulary: what to do with a WordPiece vocabulary next to the file. Braces stand for its path.

    Raises:
        AlbertFastError: `path` is JSON. The message says what to pass instead.
    """
    if path.suffix != ".json" or not path.is_file():
        return
    kind = _kind_of_json(path)
    what = f"a {JSON} cannot tokenize text here" if kind or path.name == JSON else "this is not a tokenizer"
    message = f"{path}: {what}; {_instead_of_json(path, kind, vocabulary)}"
    raise AlbertFastError(message, kind="tokenizer", path=path)


def _instead_of_json(path: Path, kind: str | None, vocabulary: str) -> str:
    directory = path.parent
    if is_store(directory):
        return "pass the file of the tokenizer that the token store was made with"
    own = directory / f"{path.name.removesuffix('.config.json')}.model"
    if beside := [own] if own.is_file() else _models(directory):
        return f"pass {beside[0]}"
    if (directory / VOCABULARY).is_file():
        return vocabulary.format(directory / VOCABULARY)
    if kind == "Unigram" and _holds_weights(directory):
        return (
            f"rebuild its SentencePiece model with `albert-fast import-checkpoint {directory} --output-dir start`, "
            f"and pass start/{MODELS[0]}"
        )
    wanted = {"Unigram": MODELS[0], "WordPiece": VOCABULARY}.get(kind or "")
    if wanted:
        return f"download {wanted} from the same place, and pass it"
    if kind:
        return f"{kind} tokenizers are not supported; pass a SentencePiece model or a WordPiece {VOCABULARY}"
    return f"download {MODELS[0]} (or {VOCABULARY}) from the same place, and pass it"


def _kind_of_json(path: Path) -> str | None:
    """Returns the kind of a tokenizer.json, such as "Unigram", or None for another file."""
    found = _json(path).get("model")
    kind = found.get("type") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) else None


def _holds_weights(directory: Path) -> bool:
    """Returns whether a directory contains the weights of an ALBERT in Hugging Face's format."""
    tensors = any((directory / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json"))
    return tensors and _json(directory / "config.json").get("model_type") == "albert"


def _json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file. It is empty if the file cannot be read, or contains something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def model(path: Path) -> Path:
    """Returns the SentencePiece model that the user names: the file itself, or the one in a directory.

    Raises:
        AlbertFastError: as in `named`, or the tokenizer there is not a SentencePiece model.
    """
    found = named(path)
    if path.is_dir() and found.name == VOCABULARY:
        message = f"{found.parent} holds a WordPiece vocabulary; pass a spiece.model"
        raise AlbertFastError(message, kind="tokenizer", path=found.parent)
    refuse_json(found, vocabulary="pass {} to Tokenizer.from_vocab_file")
    return found


def vocabulary(path: Path) -> Path:
    """Returns the WordPiece vocabulary that the user names: the file itself, or the vocab.txt in a directory.

    Raises:
        AlbertFastError: the directory contains no vocab.txt, or the file is a SentencePiece model.
    """
    if not path.is_dir():
        if _is_sentencepiece(path):
            message = f"{path} is a SentencePiece model; pass it as `tokenizer`"
            raise AlbertFastError(message, kind="tokenizer", path=path)
        return path
    found = snapshot(path) / VOCABULARY
    if not found.is_file():
        message = f"{path} holds no {VOCABULARY}; pass the vocabulary's file"
        raise AlbertFastError(message, kind="tokenizer", path=path)
    return found


def _is_sentencepiece(path: Path) -> bool:
    """Returns whether a file begins like a SentencePiece model: a protobuf message with its first piece."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:  # reported when it is opened
        return False
    return head[:1] == head[2:3] == b"\n" and b"\0" in head
