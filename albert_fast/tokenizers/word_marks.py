"""Decides which pieces of any vocabulary begin a word, by the marks in their names."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

SPACELESS_SCRIPTS = (
    "BALINESE", "BOPOMOFO", "CJK", "HALFWIDTH KATAKANA LETTER", "HANGZHOU", "HENTAIGANA", "HIRAGANA",
    "IDEOGRAPHIC ITERATION", "IDEOGRAPHIC NUMBER", "JAVANESE", "KANGXI", "KATAKANA", "KHMER", "LAO", "MYANMAR",
    "NEW TAI LUE", "NUSHU", "TAI LE", "TAI THAM", "TAI VIET", "TANGUT", "THAI", "TIBETAN", "YI",
)  # fmt: skip
"""Beginnings of the Unicode names of characters that are written without spaces between words."""


def _is_mark(character: str) -> bool:
    """Returns whether this is punctuation or a symbol. Apostrophes are not, because they are inside words."""
    return character not in "'’" and unicodedata.category(character)[0] in "PS"


def word_starts(pieces: Sequence[str | None], special_ids: Collection[int] = ()) -> NDArray[np.bool_]:
    """Returns whether each piece of a vocabulary begins a word for whole-word masks: bool of shape [len(pieces)].

    The mark that most pieces have decides. `▁` (SentencePiece) and `Ġ` (byte-level BPE) are at the start of a word, and
    `##` (WordPiece) is on every piece that does not start one. See `word_ends` for marks at the end of words. Except
    with WordPiece, punctuation and symbols start words too. With `▁`, so do pieces that begin with a character of a
    script without spaces. Special tokens and gaps (None) count as starts.
    """
    mark, at_end = _word_mark(pieces)

    def begins(piece: str) -> bool:
        if mark == "##":
            return not piece.startswith(mark)
        text = piece.strip("▁") if at_end and mark == "▁" else piece.removesuffix(mark) if at_end else piece
        spaceless = mark == "▁" and unicodedata.name(text[:1] or "a", "").startswith(SPACELESS_SCRIPTS)
        return (not at_end and piece.startswith(mark)) or spaceless or (bool(text) and all(map(_is_mark, text)))

    return np.array([not piece or id_ in special_ids or begins(piece) for id_, piece in enumerate(pieces)])


def word_ends(pieces: Sequence[str | None], special_ids: Collection[int] = ()) -> NDArray[np.bool_] | None:
    """Returns whether a word begins after each piece of a vocabulary: bool of shape [len(pieces)].

    It returns None unless most pieces show that words are marked at their end: by `▁` (SentencePiece's
    `treat_whitespace_as_suffix`) or by `</w>` (BPE as in XLM).
    """
    mark, at_end = _word_mark(pieces)
    if not at_end:
        return None
    return np.array(
        [piece is not None and id_ not in special_ids and piece.endswith(mark) for id_, piece in enumerate(pieces)]
    )


def _word_mark(pieces: Sequence[str | None]) -> tuple[str, bool]:
    """Returns what marks words, and whether it is at their end."""
    marks = Counter(
        (mark, at_end)
        for piece in pieces
        for mark, at_end in (("▁", False), ("Ġ", False), ("##", False), ("▁", True), ("</w>", True))
        if piece and piece != mark and (piece.endswith(mark) if at_end else piece.startswith(mark))
    )
    (found, _), *_ = marks.most_common(1) or [(("##", False), 0)]
    return found
