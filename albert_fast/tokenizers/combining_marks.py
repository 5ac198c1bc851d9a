"""Pieces whose combining marks transformers puts in another order than SentencePiece leaves them in.

SentencePiece's character map composes what stands in the order of NFD, and leaves `ó` followed by U+0323 as it is.
The normalizer of tokenizer.json makes NFC of it, `ọ` followed by U+0301. So such a piece never matches in transformers.
"""

import unicodedata
from collections.abc import Sequence

REMEDY = "normalize the corpus to NFC (uconv -x any-nfc, or Python's unicodedata.normalize), and train the tokenizer"


def changes(text: str) -> bool:
    """Whether NFC is another text."""
    return not unicodedata.is_normalized("NFC", text)


def code_points(text: str) -> str:
    """Such as U+00F3 U+0323."""
    return " ".join(f"U+{ord(character):04X}" for character in text)


def warning(pieces: Sequence[str]) -> str:
    """What to tell of a vocabulary whose text keeps its accents; "" if nothing."""
    found = [piece for piece in pieces if changes(piece)]
    if not found:
        return ""
    example = min(found, key=len)
    return (
        f"combining marks are in another order than NFC in {len(found):,} of {len(pieces):,} pieces, such as "
        f"{example!r} ({code_points(example)}): transformers would give their text other ids, and `export` to Hugging "
        f"Face refuses a model with more than 1% of them; before pretraining, {REMEDY} again"
    )
