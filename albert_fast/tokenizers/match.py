"""Compares tokenizers, because ids of one vocabulary mean other words in another.

Token stores and records know their tokenizer by what is written next to them: digests, size, kind and text rules. One
digest covers the tokenizer's file and its text rules. The other only covers its pieces, which define what an id means.
Stores and records of older versions only have the first. So if the tokenizer itself is available, its digest is
computed again with the other's rules.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Literal

from albert_fast._native import Tokenizer
from albert_fast.errors import AlbertFastError
from albert_fast.paths import as_path, is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from albert_fast.masking import Masker

Match = Literal["same", "pieces", "rules", "other", "unknown"]
"""The same tokenizer; the same pieces and text rules in another file; the same pieces with other text rules; other
pieces; or unknown."""

OPTION = "allow_other_tokenizer"
WHY = "the same id is a different piece in each"
RULES = ("text_rules", "lower_case", "keep_accents")


def described(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns what a store or a set of records keeps about its tokenizer, under the same names."""
    return {
        "kind": tokenizer.kind,
        "file": tokenizer.file_name,
        "vocab_size": tokenizer.vocab_size,
        "text_rules": tokenizer.text_rules,
        "lower_case": tokenizer.lower_case,
        "keep_accents": tokenizer.keep_accents,
        "digest": tokenizer.digest,
        "vocab_digest": tokenizer.vocab_digest,
    }


def compare(tokenizer: Tokenizer, other: Tokenizer | Mapping[str, Any], *, rebuilt: bool = False) -> Match:
    """Compares a tokenizer with another one, or with what is kept about it.

    Args:
        tokenizer: the first tokenizer.
        other: the other tokenizer, or what `described` returns for it.
        rebuilt: whether the first was made from a tokenizer.json, so that its file differs from the model's.
    """
    kept = described(other) if isinstance(other, Tokenizer) else other
    one = {**described(tokenizer), "rebuilt": rebuilt}
    match = compare_descriptions(one, kept)
    if match == "other" and _only_digests_differ(one, kept) and _with_rules_of(tokenizer, kept) == kept["digest"]:
        return "rules"
    return match


def compare_descriptions(one: Mapping[str, Any], other: Mapping[str, Any]) -> Match:
    """Compares two tokenizers that are only described, as `compare` does.

    Unless both have a `vocab_digest`, the same file with other rules looks like another file: see `reason`.
    """
    for key in ("vocab_size", "kind"):
        if None not in (one.get(key), other.get(key)) and one[key] != other[key]:
            return "other"
    if one.get("digest") and one["digest"] == other.get("digest"):
        return "same"
    if one.get("vocab_digest") and other.get("vocab_digest"):
        if one["vocab_digest"] != other["vocab_digest"]:
            return "other"
        return "rules" if _other_rules(one, other) else "pieces"
    if one.get("rebuilt") or other.get("rebuilt") or not (one.get("digest") and other.get("digest")):
        return "unknown"
    return "other"


def extends(tokenizer: Tokenizer, other: Tokenizer | Mapping[str, Any]) -> bool:
    """Returns whether a tokenizer is known to have all pieces of another one under the same ids, and more after them.

    Args:
        tokenizer: the larger tokenizer.
        other: the smaller one, or what `described` returns for it.
    """
    kept = described(other) if isinstance(other, Tokenizer) else other
    size = kept.get("vocab_size")
    if not (tokenizer.kind == kept.get("kind") == "unigram") or not size or size >= tokenizer.vocab_size:
        return False
    first = "".join(f"{piece}\n" for piece in tokenizer.pieces[:size])
    return hashlib.sha256(first.encode()).hexdigest() == kept.get("vocab_digest")


def reason(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Returns why two tokenizers do not match, if `compare_descriptions` returns "other"."""
    if _only_digests_differ(one, other) and _other_rules(one, other):
        return "the tokenizers or only their text rules differ, and their digests do not show which"
    return WHY


def _only_digests_differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether only the digests of file and rules tell two tokenizers apart."""
    sizes = all(one.get(key) == other.get(key) for key in ("vocab_size", "kind") if one.get(key) and other.get(key))
    digests = one.get("digest") and other.get("digest") and not (one.get("vocab_digest") and other.get("vocab_digest"))
    return bool(sizes and digests)


def _other_rules(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return any(key in one and key in other and one[key] != other[key] for key in RULES)


def _with_rules_of(tokenizer: Tokenizer, other: Mapping[str, Any]) -> str:
    """Returns the digest that the tokenizer has with the other's text rules."""
    # As in the core, the digest covers the content of the file, a zero byte, kind and rules.
    kind = "wordpiece" if tokenizer.kind == "wordpiece" else "sentencepiece"
    lower, accents = (str(other.get(key) is True).lower() for key in ("lower_case", "keep_accents"))
    rules = "none" if other.get("text_rules") == "none" else f"lower={lower} keep_accents={accents}"
    return hashlib.sha256(tokenizer.content + f"\0{kind} {rules}".encode()).hexdigest()


def refusal(directory: str | Path, kept: Mapping[str, Any], tokenizer: Tokenizer) -> str | None:
    """Returns why a tokenizer is not that of records, in a sentence without advice, or None if it may be.

    Args:
        directory: what to call the records.
        kept: what they say about their tokenizer.
        tokenizer: the tokenizer to use with them.
    """
    if compare(tokenizer, kept) != "other":
        return None
    sizes = (kept.get("vocab_size", tokenizer.vocab_size), tokenizer.vocab_size)
    why = WHY if sizes[0] == sizes[1] else f"the first has {sizes[0]:,} pieces, the other {sizes[1]:,}"
    return (
        f"the records of {directory} were made with another tokenizer ({name(kept)}) than {tokenizer.path} (digest "
        f"{tokenizer.digest[:8]}): {why}"
    )


def records_directories(files: Iterable[str | Path]) -> dict[Path, dict[str, Any]]:
    """Returns what `make-records` wrote next to these record files, by directory, without other tools' directories.

    If a file is a link, the directory of the file that it leads to counts too.

    Raises:
        AlbertFastError: what it says about the tokenizer has the wrong type. The message names the file and the value.
    """
    # Each description counts once, by the directory named first, because directories and descriptions may be links too.
    directories: dict[str, Path] = {}
    for directory in dict.fromkeys(as_path(each).parent for file in files for each in (file, _real(file))):
        directories.setdefault(_real(directory / "dataset.json"), directory)
    found = {}
    for directory in directories.values():
        file = directory / "dataset.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(content, dict) and content.get("format") == "albert-fast records":
            _check_description(file, content.get("tokenizer"))
            found[directory] = content
    return found


def _real(path: str | Path) -> str:
    """Returns the path without links. Remote paths have none."""
    return str(as_path(path)) if is_remote(path) else os.path.realpath(path)


def _check_description(file: Path, kept: object) -> None:
    """Raises an AlbertFastError unless this is what `described` returns, or a part of it."""
    if kept is None:
        return
    if not isinstance(kept, dict):
        message = f"{file}: tokenizer must be an object, got {_shown(kept)}; make the records again"
        raise AlbertFastError(message, path=file)
    rules: tuple[tuple[str, type, str], ...] = (
        ("vocab_size", int, "a whole number of at least 1"),
        ("digest", str, "a string"),
        ("kind", str, "a string"),
        ("text_rules", str, "a string"),
        ("file", str, "a string"),
    )
    for key, kind, rule in rules:
        value = kept.get(key)
        if key in kept and (type(value) is not kind or (isinstance(value, int) and value < 1)):
            message = f"{file}: tokenizer.{key} must be {rule}, got {_shown(value)}; make the records again"
            raise AlbertFastError(message, path=file)


def _shown(value: object) -> str:
    return json.dumps(value)[:80]


def tokenizer_of_records(files: Iterable[str | Path]) -> tuple[str, dict[str, Any]] | None:
    """Returns the first records' directory that states its tokenizer, and what it states, or None if none does.

    Raises:
        AlbertFastError: two directories were made with different tokenizers.
    """
    first: tuple[str, dict[str, Any]] | None = None
    for directory, content in records_directories(files).items():
        kept = content.get("tokenizer")
        if not isinstance(kept, dict):
            continue
        if first is None:
            first = str(directory), kept
        elif compare_descriptions(first[1], kept) == "other":
            raise AlbertFastError(
                f"the records of {first[0]} and those of {directory} were made with different tokenizers "
                f"({name(first[1])} and {name(kept)}): {reason(first[1], kept)}; pass records of one tokenizer, or "
                f"{OPTION}=True to use them anyway",
                kind="tokenizer",
                path=directory,
            )
    return first


def check_masker(files: Iterable[str | Path], masker: Masker | None) -> None:
    """Refuses records of several tokenizers, and a masker of another tokenizer than the records'.

    Raises:
        AlbertFastError: the tokenizers differ. Other text rules do not matter.
    """
    found = tokenizer_of_records(files)
    if found is None or masker is None:
        return
    directory, kept = found
    tokenizer = masker.tokenizer
    if tokenizer is None:
        size = kept.get("vocab_size", masker.vocab_size)
        if size != masker.vocab_size:
            raise AlbertFastError(
                f"masker must have the vocabulary of the records in {directory}, {size:,} pieces, got "
                f"{masker.vocab_size:,} pieces; pass another masker, or {OPTION}=True to use it anyway",
                kind="tokenizer",
                option="masker",
            )
    elif why := refusal(directory, kept, tokenizer):
        raise AlbertFastError(
            f"masker must have the tokenizer of the records: {why}; pass a Masker of the records' tokenizer, or "
            f"{OPTION}=True to use it anyway",
            kind="tokenizer",
            option="masker",
        )


def name(kept: Mapping[str, Any]) -> str:
    """Returns what to call a tokenizer that is only described."""
    digest = str(kept.get("digest") or "")[:8]
    return f"{kept.get('file') or 'a tokenizer'}{f' (digest {digest})' if digest else ''}"
