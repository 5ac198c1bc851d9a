"""Finds pieces whose combining marks have another order in transformers than in SentencePiece.

SentencePiece's character map only composes marks that are in the order of NFD, and keeps `ó` followed by U+0323. The
normalizer of tokenizer.json turns it into NFC, `ọ` followed by U+0301. Such a piece therefore never matches in
transformers.
"""

import unicodedata
from collections.abc import Sequence

REMEDY = "normalize the corpus to NFC (uconv -x any-nfc, or Python's unicodedata.normalize), and train the tokenizer"


def changes(text: str) -> bool:
    """Returns whether NFC changes the text."""
    return not unicodedata.is_normalized("NFC", text)


def code_points(text: str) -> str:
    """Returns the code points of a text, such as U+00F3 U+0323."""
    return " ".join(f"U+{ord(character):04X}" for character in text)


def warning(pieces: Sequence[str]) -> str:
    """Returns the warning for a vocabulary whose text keeps its accents, or "" if there is none."""
    found = [piece for piece in pieces if changes(piece)]
    if not found:
        return ""
    example = min(found, key=len)
    return (
        f"combining marks are in another order than NFC in {len(found):,} of {len(pieces):,} pieces, such as "
        f"{example!r} ({code_points(example)}): transformers would give their text other ids, and `export` to Hugging "
        f"Face refuses a model with more than 1% of them; before pretraining, {REMEDY} again"
    )
