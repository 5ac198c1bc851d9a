"""Checks that a tokenizer's files give other programs the ids that the model was trained with.

`export` runs these checks before it writes anything. The whole vocabulary is compared as each program reads it: a
SentencePiece model with the `sentencepiece` library, tokenizer.json by its own lists, and vocab.txt line by line, as
google-research, transformers and `tokenizers` number it. Then texts from a sample of the vocabulary are encoded with
`sentencepiece`, and with `tokenizers` if it is installed. No file is written, and nothing here needs TensorFlow or
transformers.
"""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

from albert_fast.reference_text import load_vocab
from albert_fast.tokenizers import combining_marks
from trainer.errors import TrainerError
from trainer.exchange.tokenizer_json import SPACE, is_digits_and_comma

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from albert_fast import Tokenizer

SAMPLE = 1000
"""Number of pieces whose text is encoded."""

MOST_DIFFERENT = 0.01
"""Fraction of texts that `tokenizers` may encode differently. docs/huggingface-tokenizer.md lists the known cases."""

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_MARKUP = re.compile(r"[\[<({].*\w.*[\])>}]", re.DOTALL)
"""A special token in brackets, such as [unused1] and <s>. Ordinary text does not contain it."""
_TIE = 1e-3
"""Largest difference between the scores of two segmentations at which rounding decides between them."""


def check(tokenizer: Tokenizer, files: Mapping[str, bytes]) -> None:
    """Compare the ids of the exported files with those of the tokenizer.

    Args:
        tokenizer: the tokenizer that the model was trained with.
        files: the tokenizer's files, by name: spiece.model and tokenizer.json, or vocab.txt and tokenizer_config.json.

    Raises:
        TrainerError: a file gives other ids. The message names the file, the piece and the two ids.
    """
    if "vocab.txt" in files:
        _check_vocabulary(tokenizer, files["vocab.txt"], json.loads(files["tokenizer_config.json"]))
    if "spiece.model" in files:
        _check_model(tokenizer, files["spiece.model"])
    if "tokenizer.json" in files:
        _check_json(tokenizer, json.loads(files["tokenizer.json"]))


# --- the whole vocabulary --------------------------------------------------------------------------------------------


def _compare(tokenizer: Tokenizer, found: Mapping[str, int], file: str, program: str) -> None:
    """Raise a TrainerError unless `found` has every piece with its id, and no other pieces."""
    for id_, piece in enumerate(tokenizer.pieces):
        other = found.get(piece.strip(" ") if tokenizer.kind == "wordpiece" else piece)
        if other != id_:
            got = "no id" if other is None else f"id {other}"
            raise _refusal(file, f"{piece!r} must have id {id_}, as in the model, got {got} from {program}")
    if len(found) != tokenizer.vocab_size:
        raise _refusal(file, f"it must have {tokenizer.vocab_size:,} pieces, got {len(found):,} from {program}")


_REPORT = "please report this with the tokenizer's file"
_TF1 = "or export this model with to='tf1', which writes spiece.model and no tokenizer.json"


def _refusal(file: str, what: str, remedy: str = _REPORT) -> TrainerError:
    return TrainerError(
        f"{file} would give other ids than the model was trained with, so nothing is exported: {what}; {remedy}",
        kind="tokenizer",
    )


def _check_vocabulary(tokenizer: Tokenizer, content: bytes, config: Mapping[str, Any]) -> None:
    text = content.decode()
    readers: dict[str, Iterable[str]] = {
        "transformers": (line.rstrip("\n") for line in io.StringIO(text, newline=None)),
        "tokenizers": (line.rstrip() for line in text.removesuffix("\n").split("\n")),
    }
    for program, entries in readers.items():
        _compare(tokenizer, {entry: id_ for id_, entry in enumerate(entries)}, "vocab.txt", program)
    lines = text.removesuffix("\n").split("\n")
    _compare(
        tokenizer, {entry.strip(" "): id_ for entry, id_ in load_vocab(lines).items()}, "vocab.txt", "google-research"
    )
    for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"):
        if config[name] not in tokenizer.pieces:
            raise _refusal("tokenizer_config.json", f"{name} must be a piece, got {config[name]!r}")
    library = _tokenizers()
    if library is None:
        return
    made = library.Tokenizer(
        library.models.WordPiece(
            vocab={entry: id_ for id_, entry in enumerate(lines)}, unk_token="[UNK]", max_input_chars_per_word=100
        )
    )
    made.normalizer = library.normalizers.BertNormalizer(
        lowercase=config["do_lower_case"], strip_accents=config["strip_accents"]
    )
    made.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    texts = [text for text in _sample(tokenizer) if len(text) <= 100]
    _compare_texts(tokenizer, texts, lambda text: _ids(made, text), "vocab.txt", MOST_DIFFERENT)


def _check_model(tokenizer: Tokenizer, content: bytes) -> None:
    from sentencepiece import SentencePieceProcessor

    try:
        processor: Any = SentencePieceProcessor(model_proto=content)
    except RuntimeError as error:
        raise _refusal("spiece.model", f"SentencePiece cannot load it ({str(error).rstrip('.')})") from error
    found = {processor.IdToPiece(id_): id_ for id_ in range(processor.GetPieceSize())}
    _compare(tokenizer, found, "spiece.model", "sentencepiece")

    def encoded(text: str) -> list[int]:
        ids: list[int] = processor.EncodeAsIds(tokenizer.preprocess(text))
        return ids

    # The rule for digits and a comma is part of the reference, not of SentencePiece.
    texts = [
        text
        for text in _sample(tokenizer)
        if not any(map(is_digits_and_comma, processor.EncodeAsPieces(tokenizer.preprocess(text))))
    ]
    _compare_texts(tokenizer, texts, encoded, "spiece.model", 0)


def _check_json(tokenizer: Tokenizer, stored: Mapping[str, Any]) -> None:
    vocab = stored["model"]["vocab"]
    _compare(tokenizer, {piece: id_ for id_, (piece, _) in enumerate(vocab)}, "tokenizer.json", "tokenizers")
    for token in stored["added_tokens"]:
        if tokenizer.piece_to_id(token["content"]) != token["id"]:
            wanted = tokenizer.piece_to_id(token["content"])
            raise _refusal(
                "tokenizer.json", f"the added token {token['content']!r} must have id {wanted}, got id {token['id']}"
            )
    special = [token["content"] for token in stored["added_tokens"] if token["special"]]
    _check_special(tokenizer, special)
    library = _tokenizers()
    if library is None:
        return
    made = library.Tokenizer.from_str(json.dumps(stored))
    scores = [score for _, score in vocab]

    def is_tie(one: Sequence[int], other: Sequence[int]) -> bool:
        return bool(abs(sum(scores[id_] for id_ in one) - sum(scores[id_] for id_ in other)) < _TIE)

    texts = _sample(tokenizer, special)
    _compare_texts(tokenizer, texts, lambda text: _ids(made, text), "tokenizer.json", MOST_DIFFERENT, is_tie)


def _check_special(tokenizer: Tokenizer, special: Sequence[str]) -> None:
    """Raise a TrainerError if a special token is an ordinary word, which transformers would find in any text."""
    names = set(special)
    for name in special:
        if SPACE in name or _MARKUP.fullmatch(name):
            continue
        holder = next((piece for piece in tokenizer.pieces if name in piece and piece not in names), None)
        if holder is not None:
            found = f"{name!r}, which is part of {holder!r}"
        elif name.isalpha() and name == name.lower() and tokenizer.unk_id not in tokenizer.encode(name):
            found = repr(name)
        else:
            continue
        raise _refusal(
            "tokenizer.json",
            f"a control symbol must not be an ordinary word, got {found}: transformers would read it as id "
            f"{tokenizer.piece_to_id(name)} wherever a text has it",
            f"train the tokenizer and the model again without it, {_TF1}",
        )


# --- a sample of texts -----------------------------------------------------------------------------------------------


def _sample(tokenizer: Tokenizer, others: Sequence[str] = ()) -> list[str]:
    """Return the texts of about `SAMPLE` pieces, spread evenly over the vocabulary, without special tokens.

    Args:
        tokenizer: the tokenizer.
        others: further special tokens, such as [unused1]: transformers finds them in a text, but SentencePiece does
            not.
    """
    special = [*others]
    special += [tokenizer.pieces[id_] for id_ in (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id)]
    special += [tokenizer.pieces[id_] for id_ in (tokenizer.sep_id, tokenizer.mask_id)]
    pieces = tokenizer.pieces
    wordpiece = tokenizer.kind == "wordpiece"
    texts = []
    for piece in pieces[:: max(1, len(pieces) // SAMPLE)]:
        if _BYTE.fullmatch(piece):
            continue
        text = piece.removeprefix("##") if wordpiece else piece.replace(SPACE, " ")
        if text.strip() and not any(name.lower() in text.lower() for name in special):
            texts.append(text.strip())
    return texts


def _compare_texts(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    encode: Callable[[str], list[int]],
    file: str,
    most: float,
    excused: Callable[[Sequence[int], Sequence[int]], bool] | None = None,
) -> None:
    """Raise a TrainerError if more than the fraction `most` of the texts get different ids."""
    wrong = []
    for text in texts:
        ours, theirs = tokenizer.encode(text), encode(text)
        if ours != theirs and not (excused and excused(ours, theirs)):
            wrong.append((text, ours, theirs))
    if len(wrong) > most * len(texts):
        by_marks = [it for it in wrong if file == "tokenizer.json" and combining_marks.changes(it[0])]
        if by_marks and len(wrong) - len(by_marks) <= most * len(texts):
            text, ours, theirs = min(by_marks, key=lambda it: len(it[0]))
            codes = combining_marks.code_points(text)
            raise _refusal(
                file,
                f"combining marks are in another order than NFC in {len(by_marks):,} of {len(texts):,} texts made of "
                f"pieces, and transformers reorders them; {text!r} ({codes}) must have the ids {ours}, got {theirs}",
                f"{combining_marks.REMEDY} and the model again, {_TF1}",
            )
        text, ours, theirs = wrong[0]
        raise _refusal(
            file,
            f"{len(wrong):,} of {len(texts):,} texts made of pieces have other ids; {text!r} must have the ids {ours}, "
            f"got {theirs}",
        )


def _ids(made: Any, text: str) -> list[int]:
    ids: list[int] = made.encode(text, add_special_tokens=False).ids
    return ids


def _tokenizers() -> Any:
    """Return the library `tokenizers`, or None if it is not installed."""
    try:
        import tokenizers
    except ImportError:
        return None
    return tokenizers
