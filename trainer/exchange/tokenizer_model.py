"""Conversion of a tokenizer.json to a SentencePiece model: the inverse of `trainer.exchange.tokenizer_json`.

transformers 5 saves a tokenizer as tokenizer.json, without spiece.model. Two kinds of tokenizer.json hold everything
that a SentencePiece model needs:

- those of `trainer.exchange.tokenizer_json`, also after `save_pretrained`;
- those of transformers' AlbertTokenizer, versions 4 and 5, made from a spiece.model.

Pieces and their order, scores, and the character map are the same as in the spiece.model, and so are the ids of
`albert_fast.Tokenizer`. Settings that only training needs (the trainer's) are lost. The text rules are read from the
normalizer. Everything else is refused: see `rebuild`. Nothing here needs TensorFlow, `tokenizers` or transformers.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trainer.errors import TrainerError
from trainer.exchange import tokenizer_json, tokenizer_steps
from trainer.exchange.tokenizer_json import CLS, MASK, SEP, is_digits_and_comma
from trainer.exchange.tokenizer_steps import short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.exchange.tokenizer_steps import Rules

REMEDY = "use the spiece.model that the model was trained with"
"""The advice at the end of every message that refuses a tokenizer.json."""

_PADS = ("<pad>", "[PAD]")
_CONTROL = frozenset([CLS, SEP, MASK, *_PADS])
"""Pieces that text never yields, whether added_tokens says so or not."""
_BYTES = frozenset(f"<0x{value:02X}>" for value in range(256))
_MOST = 1_000_000
"""Largest absolute score. Scores are log-probabilities, and few vocabularies have one below -20, so this is ample."""
_SHIFT = 100.0
"""What transformers 4 subtracts from the scores of pieces of digits and a comma."""

# The types of SentencePiece's pieces, by their numbers in its files.
_NORMAL, _UNKNOWN, _CONTROL_TYPE, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6


class Rebuilt(NamedTuple):
    """The content of a tokenizer.json."""

    model: bytes
    """The SentencePiece model, as the content of a spiece.model."""
    lower_case: bool
    """Whether the normalizer lowercases text."""
    keep_accents: bool
    """Whether the normalizer keeps accents."""
    notes: tuple[str, ...]
    """Lines for the user: what the file does not say."""


class _Piece(NamedTuple):
    text: str
    score: float
    type: int


def read(path: Path, *, remedy: str = REMEDY) -> Rebuilt:
    """Return the SentencePiece model in a tokenizer.json file.

    Raises:
        TrainerError: the file cannot be read; or as in `rebuild`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainerError(f"cannot read {path}: {error.strerror or error}", kind="io", path=path) from error
    return rebuild(content, str(path), remedy=remedy)


def rebuild(content: bytes, name: str = "tokenizer.json", *, remedy: str = REMEDY) -> Rebuilt:
    """Return the SentencePiece model in the content of a tokenizer.json. Equal arguments give equal bytes.

    Args:
        content: the content of the file.
        name: the file's name in messages.
        remedy: the advice at the end of messages; none if empty.

    Raises:
        TrainerError: it is damaged or not JSON; it is not a Unigram model with ALBERT's special tokens; or its
            normalizer or pre-tokenizer is neither that of `export` nor that of transformers' AlbertTokenizer. The
            message is one line with the rule, the value and what to do.
    """
    try:
        stored = _parse(content)
        pieces, notes = _pieces(stored)
        rules = tokenizer_steps.rules(stored)
        model = _model(pieces, rules, byte_fallback=stored["model"].get("byte_fallback") is True)
    except ValueError as error:
        message = f"{name}: {error}" + (f"; {remedy}" if remedy else "")
        raise TrainerError(message, kind="tokenizer", path=Path(name)) from error
    return Rebuilt(model, rules.lower_case, rules.keep_accents, tuple(f"{name}: {note}" for note in notes))


def differences(one: bytes, other: bytes) -> list[str]:
    """Return how two SentencePiece models differ in what decides ids. The list is empty if they give the same ids."""
    left, right = (tokenizer_json.parse(model) for model in (one, other))
    found = []
    if [piece.piece for piece in left.pieces] != [piece.piece for piece in right.pieces]:
        found.append("pieces")
    else:
        pairs = list(zip(left.pieces, right.pieces, strict=True))
        if count := sum(a.type == b.type == _NORMAL and a.score != b.score for a, b in pairs):
            found.append(f"scores ({count:,} of {len(pairs):,})")
        if count := sum(a.type != b.type for a, b in pairs):
            found.append(f"kinds of pieces ({count:,} of {len(pairs):,})")
    for key, what in (
        ("precompiled_charsmap", "the character map"),
        ("add_dummy_prefix", "the space before the text"),
        ("remove_extra_whitespaces", "runs of spaces"),
    ):
        if getattr(left.normalizer_spec, key) != getattr(right.normalizer_spec, key):
            found.append(what)
    if left.trainer_spec.byte_fallback != right.trainer_spec.byte_fallback:
        found.append("byte_fallback")
    if left.trainer_spec.treat_whitespace_as_suffix != right.trainer_spec.treat_whitespace_as_suffix:
        found.append("whether ▁ begins words or ends them")
    return found


def pieces_of(model: bytes) -> list[str]:
    """Return the pieces of a SentencePiece model, in the order of their ids.

    Raises:
        TrainerError: it is not a SentencePiece unigram model.
    """
    return [piece.piece for piece in tokenizer_json.parse(model).pieces]


# --- the file --------------------------------------------------------------------------------------------------------


def _parse(content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise ValueError("the file must hold a tokenizer, but is empty")

    def constant(text: str) -> float:
        raise ValueError(f"numbers must be finite, got {text}")

    try:
        stored = json.loads(content.decode("utf-8-sig"), parse_constant=constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"the file must be UTF-8, but byte {error.start:,} is not") from error
    except json.JSONDecodeError as error:
        raise ValueError(
            f"the file must be JSON, but is not at line {error.lineno:,}, column {error.colno:,} ({error.msg})"
        ) from error
    except RecursionError as error:
        raise ValueError("the file must hold a tokenizer, but its JSON is nested too deeply") from error
    if not isinstance(stored, dict):
        raise ValueError(f"the file must hold a JSON object, got {short(stored)}")
    model = stored.get("model")
    if not isinstance(model, dict):
        raise ValueError(f"model must be an object with the pieces, got {short(model)}")
    # Early versions of `tokenizers` wrote no type for a Unigram model.
    kind = model.get("type", "Unigram" if isinstance(model.get("vocab"), list) else None)
    if kind != "Unigram":
        raise ValueError(f"model.type must be Unigram, the kind of ALBERT's tokenizers, got {short(kind)}")
    return stored


# --- pieces ----------------------------------------------------------------------------------------------------------


def _pieces(stored: Mapping[str, Any]) -> tuple[list[_Piece], list[str]]:
    """Return the pieces in the order of their ids, and lines for the user."""
    model = stored["model"]
    vocab = _vocab(model.get("vocab"))
    added = _added(stored.get("added_tokens"), vocab)
    names = [text for text, _ in vocab]
    unknown = model.get("unk_id")
    if type(unknown) is not int or not 0 <= unknown < len(vocab):
        raise ValueError(f"model.unk_id must be the id of one of the {len(vocab):,} pieces, got {short(unknown)}")
    if names[unknown] in _CONTROL:
        raise ValueError(f"model.unk_id must be the id of <unk>, got {unknown}, which is {names[unknown]}")
    names += [text for text, number in added.names.items() if number >= len(vocab)]
    lacking = [name for name in (CLS, SEP, MASK) if name not in names]
    if not any(name in names for name in _PADS):
        lacking.append(_PADS[0])
    if lacking:
        raise ValueError(
            f"the pieces must include [CLS], [SEP], [MASK] and <pad>, as ALBERT's do, but lack {', '.join(lacking)}"
        )
    fallback = model.get("byte_fallback") is True
    if fallback and (gone := sorted(_BYTES - set(names))):
        raise ValueError(f"with byte_fallback, there must be a piece for every byte, but {gone[0]} is missing")
    scores = [score for _, score in vocab]
    decide = _ours if scores[unknown] < 0 else _theirs
    kinds = _kinds(names, added, unknown, byte_fallback=fallback)
    pieces, notes = decide(names, [*scores, *[0.0] * (len(names) - len(vocab))], kinds, scores[unknown])
    if not fallback and set(names) >= _BYTES:
        notes.append(
            "it has a piece for every byte, but byte_fallback is false, as in ALBERT tokenizers that transformers "
            "saves: characters without a piece become <unk>, not their bytes as with the spiece.model"
        )
    return pieces, notes


def _vocab(vocab: Any) -> list[tuple[str, float]]:
    """Return pieces and scores."""
    if not isinstance(vocab, list) or not vocab:
        raise ValueError(f"model.vocab must be a list of pieces with their scores, got {short(vocab)}")
    found = []
    ids: dict[str, int] = {}
    for number, entry in enumerate(vocab):
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise ValueError(f"model.vocab must hold pairs of a piece and its score, got {short(entry)} as id {number}")
        text, score = entry
        _check_text(text, f"piece {number}")
        if ids.setdefault(text, number) != number:
            raise ValueError(f"a piece must have one id, but {short(text)} has {ids[text]} and {number}")
        if isinstance(score, bool) or not isinstance(score, int | float) or not abs(score) <= _MOST:
            raise ValueError(
                f"a score must be the logarithm of a probability, at least -{_MOST:,}, got {short(score)} for piece "
                f"{number}, {short(text)}"
            )
        found.append((text, float(score)))
    return found


class _Added(NamedTuple):
    """The added tokens."""

    names: dict[str, int]
    """Ids by the text of the token, in the order of the ids."""
    special: frozenset[str]


def _added(tokens: Any, vocab: Sequence[tuple[str, float]]) -> _Added:
    if tokens is None:
        tokens = []
    if not isinstance(tokens, list):
        raise ValueError(f"added_tokens must be a list, got {short(tokens)}")
    found: dict[int, str] = {}
    ids = {text: number for number, (text, _) in enumerate(vocab)}
    special = set()
    for token in tokens:
        number, text = (token.get("id"), token.get("content")) if isinstance(token, dict) else (None, None)
        if type(number) is not int or not 0 <= number < 1 << 31 or not isinstance(text, str):
            raise ValueError(f"an added token must have an id and a content, got {short(token)}")
        _check_text(text, f"added token {number}")
        piece = vocab[number][0] if number < len(vocab) else None
        if ids.get(text, number) != number or (piece is not None and piece != text):
            there = f"the id of {short(piece)}" if piece is not None else f"not {ids[text]}, its id in model.vocab"
            raise ValueError(f"an added token must have the id of its piece; {short(text)} has {number}, {there}")
        if number in found:
            raise ValueError(f"added tokens must have different ids, but two have {number}")
        ids[text] = number
        found[number] = text
        if token.get("special") is True:
            special.add(text)
        else:
            for key in ("single_word", "lstrip", "rstrip"):
                if token.get(key) is True:
                    raise ValueError(
                        f"{key} must be false for an added token that is not special, which SentencePiece cannot "
                        f"express otherwise, got true for {short(text)}"
                    )
    beyond = sorted(number for number in found if number >= len(vocab))
    for expected, number in enumerate(beyond, len(vocab)):
        if number != expected:
            raise ValueError(
                f"ids must have no gaps, but no piece has {expected}, and the added token {short(found[number])} has "
                f"{number}"
            )
    return _Added({found[number]: number for number in sorted(found)}, frozenset(special))


def _kinds(names: Sequence[str], added: _Added, unknown: int, *, byte_fallback: bool) -> list[int]:
    """Return the type of each piece; `_NORMAL` if only the score can tell."""

    def kind(number: int, name: str) -> int:
        if number == unknown:
            return _UNKNOWN
        if name in _CONTROL or name in added.special:
            return _CONTROL_TYPE
        if name in _BYTES:
            return _BYTE if byte_fallback else _UNUSED
        return _USER_DEFINED if name in added.names else _NORMAL

    return [kind(number, name) for number, name in enumerate(names)]


def _ours(
    names: Sequence[str], scores: Sequence[float], kinds: Sequence[int], never: float
) -> tuple[list[_Piece], list[str]]:
    """Return pieces with the scores of `tokenizer_json`: `never` or lower for those that text must not yield."""
    pieces, lost = [], []
    for number, (name, score, kind) in enumerate(zip(names, scores, kinds, strict=True)):
        found = _Piece(name, 0.0, kind)
        if kind == _NORMAL and score >= 0:
            if not math.isclose(score, tokenizer_json.user_defined_score(name), abs_tol=1e-6):
                raise _too_high(number, name, score)
            found = found._replace(type=_USER_DEFINED)
        elif kind == _NORMAL and score > never:
            found = found._replace(score=_float32(score))
        elif kind == _NORMAL and score < never and is_digits_and_comma(name):
            found = found._replace(score=_float32(score - never))
        elif kind == _NORMAL:
            found = found._replace(type=_UNUSED)
            if is_digits_and_comma(name):
                lost.append(name)
        pieces.append(found)
    if not lost:
        return pieces, []
    note = (
        f"an earlier version of albert-fast wrote it without the scores of {len(lost):,} of its pieces, such as "
        f"{lost[0]}: lines with a comma after a number may get other ids than with the spiece.model"
    )
    return pieces, [note]


def _theirs(
    names: Sequence[str], scores: Sequence[float], kinds: Sequence[int], _: float
) -> tuple[list[_Piece], list[str]]:
    """Return pieces with the scores of transformers.

    They are SentencePiece's scores, except for digits and a comma in version 4.
    """
    normal = [(name, score) for name, score, kind in zip(names, scores, kinds, strict=True) if kind == _NORMAL]
    digits = [score for name, score in normal if is_digits_and_comma(name)]
    others = [score for name, score in normal if not is_digits_and_comma(name)]
    shifted = max(digits, default=0.0) <= -_SHIFT < min(others, default=0.0)
    pieces = []
    for number, (name, score, kind) in enumerate(zip(names, scores, kinds, strict=True)):
        found = _Piece(name, 0.0, kind)
        if kind == _NORMAL and score > 0:
            raise _too_high(number, name, score)
        if kind == _NORMAL:
            raised = score + _SHIFT if shifted and is_digits_and_comma(name) else score
            # SentencePiece's trainer gives this score only to user-defined symbols.
            found = found._replace(type=_USER_DEFINED) if score == 0 else found._replace(score=_float32(raised))
        pieces.append(found)
    return pieces, []


def _too_high(number: int, name: str, score: float) -> ValueError:
    return ValueError(
        f"a score must be the logarithm of a probability, at most 0, got {short(score)} for piece {number}, "
        f"{short(name)}"
    )


def _check_text(text: str, what: str) -> None:
    if not text or "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{what} must be text without NUL or surrogates, got {short(text)}")


def _float32(score: float) -> float:
    rounded: float = struct.unpack("<f", struct.pack("<f", score))[0]
    return rounded


# --- the model -------------------------------------------------------------------------------------------------------


def _model(pieces: Sequence[_Piece], rules: Rules, *, byte_fallback: bool) -> bytes:
    """Return a SentencePiece model of these pieces."""
    from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

    schema: Any = sentencepiece_model_pb2  # its classes are created on import
    model = schema.ModelProto()
    for text, score, kind in pieces:
        model.pieces.add(piece=text, score=score, **({} if kind == _NORMAL else {"type": kind}))
    ids = {piece.text: number for number, piece in enumerate(pieces)}
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type = trainer.UNIGRAM
    trainer.vocab_size = len(pieces)
    trainer.byte_fallback = byte_fallback
    if rules.word_ends:
        trainer.treat_whitespace_as_suffix = True
    trainer.control_symbols.extend(name for name in (CLS, SEP, MASK) if name in ids)
    trainer.user_defined_symbols.extend(piece.text for piece in pieces if piece.type == _USER_DEFINED)
    trainer.unk_id = next(number for number, piece in enumerate(pieces) if piece.type == _UNKNOWN)
    trainer.unk_piece = pieces[trainer.unk_id].text
    trainer.pad_piece = next(name for name in _PADS if name in ids)
    trainer.pad_id = ids[trainer.pad_piece]
    trainer.bos_id = trainer.eos_id = -1
    normalizer.name = tokenizer_steps.map_name(rules)
    normalizer.precompiled_charsmap = rules.charsmap
    normalizer.add_dummy_prefix = rules.dummy_prefix
    normalizer.remove_extra_whitespaces = rules.single_spaces
    normalizer.escape_whitespaces = True
    written: bytes = model.SerializeToString(deterministic=True)
    try:
        SentencePieceProcessor(model_proto=written)
    except RuntimeError as error:
        raise ValueError(
            f"the tokenizer must be one that SentencePiece can load, got: {str(error).rstrip('.')}"
        ) from error
    return written
