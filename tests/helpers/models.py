"""What the tests of the tokenizer share: small SentencePiece models, trained in the session, and edits of models."""

from __future__ import annotations

import argparse
import inspect
import io
import textwrap
import typing
from pathlib import Path
from typing import Any

import sentencepiece
import tfrecords

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GOLDEN = Path(__file__).parents[1] / "golden"
PIECES, TRAINER, NORMALIZER = 1, 2, 3
TEXT, SCORE, TYPE = 1, 2, 3
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def training_lines() -> list[str]:
    """Some 200 kB of prose and program text: what small models are trained on."""
    prose = (GOLDEN / "corpus" / "part-b.txt").read_text(encoding="utf-8")
    programs = "".join(inspect.getsource(module) for module in (argparse, textwrap, typing))
    odd = "日本語のテキスト。 Ελληνικά ΟΔΟΣ русский язык ﬁn ½ ² № Å é naïve New York (in) ^^^^ ____ ==== 1, 22, 333,"
    return [line for line in f"{prose}\n{programs}\n{odd}".split("\n") if line.strip()]


def train(**options: Any) -> bytes:
    """A unigram model of at most 700 pieces, but for what `options` say otherwise."""
    out = io.BytesIO()
    defaults = {
        "vocab_size": 700,
        "hard_vocab_limit": False,
        "pad_id": 0,
        "unk_id": 1,
        "bos_id": -1,
        "eos_id": -1,
        "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
        "num_threads": 1,
        "minloglevel": 3,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(training_lines()), model_writer=out, **{**defaults, **options}
    )
    return out.getvalue()


Fields = list[tuple[int, bytes | bytearray | int]]


def fields(content: bytes) -> Fields:
    """The fields of a protocol buffer, in order; a float is its four bytes."""
    return [*tfrecords._fields(content)]


def message(content: Fields) -> bytes:
    """The protocol buffer of these fields; a `bytearray` is a float's four bytes."""
    out = b""
    for number, value in content:
        if isinstance(value, int):
            out += tfrecords._varint(number << 3 | tfrecords.VARINT) + tfrecords._varint(value)
        elif isinstance(value, bytearray):
            out += tfrecords._varint(number << 3 | tfrecords.FIXED32) + value
        else:
            out += tfrecords._message(number, bytes(value))
    return out


Piece = dict[int, Any]
"""Text (bytes), score (four bytes) and type (int), by their numbers."""


def edit_pieces(model: bytes, edit: Callable[[list[Piece]], Sequence[Piece]]) -> bytes:
    """The model with the pieces that `edit` makes of its own."""
    parts = fields(model)
    pieces = [dict(fields(value)) for number, value in parts if number == PIECES and isinstance(value, bytes)]
    rest = [(number, value) for number, value in parts if number != PIECES]

    def written(piece: Piece) -> bytes:
        # The score is the one field of fixed width.
        return message([(number, bytearray(value) if number == SCORE else value) for number, value in piece.items()])

    return message([*((PIECES, written(piece)) for piece in edit(pieces)), *rest])


def with_settings(model: bytes, part: int, *settings: tuple[int, bytes | bytearray | int]) -> bytes:
    """The model with these fields of its trainer or normalizer settings: what comes later in a message wins."""
    return model + message([(part, message(list(settings)))])
