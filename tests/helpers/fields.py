"""Text of a field that no golden tokenizer knows."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SYLLABLES = ["ne", "phro", "glo", "me", "ru", "lo", "pa", "tho", "gy", "kre", "a", "ti", "nin", "di", "ly", "sis"]


def field_text(path: Path, lines: int = 400) -> Path:
    """Writes lines of made-up words, 150 in all, in documents of ten lines. The text depends on `lines` only."""
    chance = random.Random(5)
    words = ["".join(chance.choices(SYLLABLES, k=4)) for _ in range(150)]
    text = []
    for line in range(lines):
        if line % 10 == 0 and line:
            text.append("")
        text.append(" ".join(chance.choices(words, k=9)))
    path.write_text("\n".join(text) + "\n")
    return path
