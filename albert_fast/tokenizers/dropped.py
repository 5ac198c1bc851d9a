"""Lines that the training of a tokenizer drops, and the error if none is left."""

import dataclasses
from collections.abc import Callable

from albert_fast.errors import AlbertFastError
from albert_fast.options.tokenizers import TokenizerTrainingOptions
from albert_fast.text import number

Report = Callable[[str, str, int, int], None]
"""Called with stage, unit, done, total (0 if unknown)."""

RESERVED = "▅"
"""SentencePiece drops every line that contains this character, U+2585."""


@dataclasses.dataclass
class Dropped:
    """Lines that are dropped, by reason. The rules are SentencePiece's."""

    too_long: int = 0
    """Lines of more than ``max_sentence_length`` bytes."""
    reserved: int = 0
    """Lines with U+2585, which SentencePiece reserves."""
    empty: int = 0
    """Lines that its normalization makes empty: they only have zero-width spaces and control characters."""

    @property
    def total(self) -> int:
        """The number of all of them."""
        return self.too_long + self.reserved + self.empty

    def reasons(self, max_sentence_length: int) -> list[tuple[int, str]]:
        """Returns numbers of lines, the largest first, each with the words that follow "N lines"."""
        reasons = [
            (self.too_long, f"longer than {max_sentence_length:,} bytes (`max_sentence_length`)"),
            (self.reserved, f"with U+2585 ({RESERVED}), which SentencePiece reserves"),
            (self.empty, "with only characters that SentencePiece removes, such as zero-width spaces"),
        ]
        return [(count, reason) for count, reason in sorted(reasons, key=lambda it: -it[0]) if count]


def nothing_left(lines: int, dropped: Dropped, options: TokenizerTrainingOptions) -> AlbertFastError:
    """Returns the error for a text without a line to train on.

    Args:
        lines: the number of lines that are not blank.
        dropped: the lines among them that are dropped: all.
        options: the settings.
    """
    if not lines or not dropped.total:
        return AlbertFastError("the input has no text to train on; pass files with one sentence per line", kind="input")
    reasons = ", and ".join(
        f"{number(count, 'line')} {reason}" for count, reason in dropped.reasons(options.max_sentence_length)
    )
    advice = [
        *(["pass a larger `max_sentence_length`"] if dropped.too_long else []),
        *([f"remove {RESERVED} from the text"] if dropped.reserved else []),
        *(["pass other text"] if dropped.empty else []),
    ]
    message = f"no line is left to train on: SentencePiece's rules drop {reasons}; {' or '.join(advice)}"
    return AlbertFastError(message, kind="input")
