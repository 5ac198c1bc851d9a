"""Options of instances and masks, with the names in google-research/ALBERT's create_pretraining_data.py."""

from __future__ import annotations

import dataclasses
from typing import Literal

from albert_fast.errors import AlbertFastError, option_error
from albert_fast.options.base import Stage, is_fall, option, options_of

INSTANCES = "Instances"
MASKS = "Masks"

RngKind = Literal["fast", "reference"]
Shuffle = Literal["global", "blocks"]
WordBoundary = Literal["unicode", "albert"]
SingleSegment = Literal["split", "random", "drop"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceShape(Stage):
    """How documents become instances."""

    max_seq_length: int = option(
        512, "Length of each instance in tokens, including padding.", INSTANCES, low=8, high=65_536
    )
    short_seq_prob: float = option(
        0.2,
        "Fraction of the documents that are split into shorter chunks of random length, in each pass.",
        INSTANCES,
        metavar="FRACTION",
        low=0,
        high=1,
    )
    random_next_sentence: bool = option(
        False,
        "In half of the instances, those with label 1, take segment B from a random document instead of swapping A and "
        "B. This needs at least two documents.",
        INSTANCES,
    )
    single_segment: SingleSegment = option(
        "split",
        "What to do if a chunk, the text of one instance, is a single sentence: split it in two at a word start, "
        "take segment B from a random document, or drop it.",
        INSTANCES,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskRules(Stage):
    """Which tokens of an instance are masked."""

    masked_lm_prob: float = option(
        0.15, "Fraction of the tokens in an instance to mask.", MASKS, metavar="FRACTION", low=0, high=1
    )
    ngram: int = option(3, "Longest n-gram to mask as a unit, in words.", MASKS, low=1, high=64)
    favor_shorter_ngram: bool = option(
        True, "Mask short n-grams more often: n words have weight 1/n. Otherwise, the weights are reversed.", MASKS
    )
    do_whole_word_mask: bool = option(True, "Mask all tokens of a word together.", MASKS)
    do_permutation: bool = option(
        False,
        "Besides masking, shuffle an equal number of other tokens, and predict them too. This doubles the length "
        "of the masked_lm_* features.",
        MASKS,
    )
    word_boundary: WordBoundary = option(
        "unicode",
        "What starts a word. unicode: ▁, punctuation, and each character of a script without spaces. albert: the "
        "rule of google-research/ALBERT, which takes most pieces that are not English for whole words.",
        MASKS,
    )
    cross_segment_words: bool = option(False, "Let a word or n-gram continue across [SEP].", MASKS)
    replace_with_special: bool = option(
        False, "Let a random replacement be any piece, including [CLS] and <pad>.", MASKS
    )

    def __post_init__(self) -> None:
        if is_fall(self.masked_lm_prob) and not options_of(type(self))["masked_lm_prob"].falls:
            advice = "only pretrain with `tokens` and InstanceStream take FIRST:LAST"
            raise option_error("masked_lm_prob", "one number from 0 to 1", self.masked_lm_prob, advice)
        super().__post_init__()


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskOptions(MaskRules):
    """The mask options of `Masker`."""

    max_predictions_per_seq: int | None = option(
        None,
        "Maximum number of masked tokens in an instance.",
        MASKS,
        low=1,
        high=65_536,
        shown="--masked-lm-prob of --max-seq-length",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamOptions(MaskOptions, InstanceShape):
    """The instance options of `InstanceStream` and `pretrain --tokens`."""

    masked_lm_prob: float | str = option(  # type: ignore[assignment]
        0.15,
        "Fraction of the tokens in an instance to mask. FIRST:LAST, such as 0.3:0.15, makes it fall on a straight "
        "line from the first step to the last.",
        MASKS,
        metavar="FRACTION[:LAST]",
        low=0,
        high=1,
        falls=True,
    )

    def validate(self) -> None:
        most = self.max_predictions_per_seq
        if most is not None and most > self.max_seq_length:
            raise too_many_predictions(most, self.max_seq_length, self.fractions[0])

    @property
    def fractions(self) -> tuple[float, float]:
        """The fractions of the tokens to mask in the first step and in the last."""
        return fractions(self.masked_lm_prob)

    @property
    def predictions(self) -> int:
        """The maximum number of masked tokens in an instance, as set or as `masked_lm_prob` gives it at first."""
        most = self.max_predictions_per_seq
        return max(1, round(self.fractions[0] * self.max_seq_length)) if most is None else most


def fractions(masked_lm_prob: float | str) -> tuple[float, float]:
    """Returns the first and the last fraction of a checked `masked_lm_prob`."""
    first, _, last = str(masked_lm_prob).partition(":")
    return float(first), float(last or first)


def fraction_at(masked_lm_prob: float | str, step: int, num_steps: int) -> float:
    """Returns the fraction of the tokens to mask in `step`, from 0, out of `num_steps`. It does not fall after these.

    The core (`batches::stream::Fall`) computes the same value.
    """
    first, last = fractions(masked_lm_prob)
    if step < num_steps - 1:
        return first + (last - first) * (step / (num_steps - 1))
    return first if step == 0 else last


def too_many_predictions(most: int, length: int, fraction: float) -> AlbertFastError:
    """Returns the error for more predictions than an instance has tokens, with the number that masks `fraction`."""
    # `most` may be the default, while the user only passed a short length.
    advice = f"pass max_predictions_per_seq={max(1, round(fraction * length))}"
    return option_error("max_predictions_per_seq", f"at most max_seq_length ({length})", most, advice)
