"""Whether the files of a tokenizer give other programs the ids that the model was trained with.

`export` asks before it writes anything. The whole vocabulary is compared as each program reads it: a SentencePiece
model by the `sentencepiece` library, tokenizer.json by its own lists, vocab.txt line by line as google-research,
transformers and `tokenizers` number it. Then texts made of a sample of the vocabulary are encoded: by `sentencepiece`,
and by `tokenizers` if it is installed. No file is written, and nothing here needs TensorFlow or transformers.
"""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

from trainer.errors import TrainerError
from trainer.tokenizer_json import SPACE, is_digits_and_comma

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from albert_fast import Tokenizer

SAMPLE = 1000
"""Pieces whose text is encoded."""

MOST_DIFFERENT = 0.01
"""The fraction of texts that `tokenizers` may encode otherwise: see docs/huggingface-tokenizer.md for what is known."""

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_TIE = 1e-3
"""By how much the scores of two segmentations may differ that rounding decides between."""


def check(tokenizer: Tokenizer, files: Mapping[str, bytes]) -> None:
    """Compares the ids of the exported files with those of the tokenizer.

    Args:
        tokenizer: what the model was trained with.
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
    """Raises a TrainerError unless every piece has its id in `found`, which has no other pieces."""
    for id_, piece in enumerate(tokenizer.pieces):
        other = found.get(piece.strip(" ") if tokenizer.kind == "wordpiece" else piece)
        if other != id_:
            got = "no id" if other is None else f"id {other}"
            raise _refusal(file, f"{piece!r} must have id {id_}, as in the model, got {got} from {program}")
    if len(found) != tokenizer.vocab_size:
        raise _refusal(file, f"it must have {tokenizer.vocab_size:,} pieces, got {len(found):,} from {program}")


def _refusal(file: str, what: str) -> TrainerError:
    return TrainerError(
        f"{file} would give other ids than the model was trained with, so nothing is exported: {what}; please report "
        "this with the tokenizer's file"
    )


def _check_vocabulary(tokenizer: Tokenizer, content: bytes, config: Mapping[str, Any]) -> None:
    from albert_fast.reference_text import load_vocab

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

    # The rule for digits and a comma is the reference's, not SentencePiece's.
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
            raise _refusal("tokenizer.json", f"the added token {token['content']!r} has the id of another piece")
    library = _tokenizers()
    if library is None:
        return
    made = library.Tokenizer.from_str(json.dumps(stored))
    scores = [score for _, score in vocab]

    def is_tie(one: Sequence[int], other: Sequence[int]) -> bool:
        return bool(abs(sum(scores[id_] for id_ in one) - sum(scores[id_] for id_ in other)) < _TIE)

    _compare_texts(
        tokenizer, _sample(tokenizer), lambda text: _ids(made, text), "tokenizer.json", MOST_DIFFERENT, is_tie
    )


# --- a sample of texts -----------------------------------------------------------------------------------------------


def _sample(tokenizer: Tokenizer) -> list[str]:
    """The texts of `SAMPLE` pieces or so, evenly over the vocabulary; none that spells a special token."""
    special = [tokenizer.pieces[id_] for id_ in (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id)]
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
    """Raises a TrainerError if more than the fraction `most` of the texts get other ids."""
    wrong = []
    for text in texts:
        ours, theirs = tokenizer.encode(text), encode(text)
        if ours != theirs and not (excused and excused(ours, theirs)):
            wrong.append((text, ours, theirs))
    if len(wrong) > most * len(texts):
        text, ours, theirs = wrong[0]
        raise _refusal(
            file,
            f"{len(wrong):,} of {len(texts):,} texts made of pieces have other ids; {text!r} must have {ours}, got "
            f"{theirs}",
        )


def _ids(made: Any, text: str) -> list[int]:
    ids: list[int] = made.encode(text, add_special_tokens=False).ids
    return ids


def _tokenizers() -> Any:
    """The library `tokenizers`; None if it is not installed."""
    try:
        import tokenizers
    except ImportError:
        return None
    return tokenizers
