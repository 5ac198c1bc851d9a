"""Options of instances and masks, with the names in google-research/ALBERT's create_pretraining_data.py."""

from __future__ import annotations

import dataclasses
from typing import Literal

from albert_fast.errors import AlbertFastError, option_error
from albert_fast.options.base import Stage, option

INSTANCES = "Instances"
MASKS = "Masks"

RngKind = Literal["fast", "reference"]
WordBoundary = Literal["unicode", "albert"]
SingleSegment = Literal["split", "random", "drop"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceShape(Stage):
    """How documents become instances."""

    max_seq_length: int = option(
        512, "Length of an instance in tokens, including padding.", INSTANCES, low=8, high=65_536
    )
    short_seq_prob: float = option(
        0.2,
        "Fraction of documents, in each pass, split into shorter chunks of a random length.",
        INSTANCES,
        metavar="FRACTION",
        low=0,
        high=1,
    )
    random_next_sentence: bool = option(
        False,
        "For label 1, take B from a random document instead of swapping A and B. Needs two documents.",
        INSTANCES,
    )
    single_segment: SingleSegment = option(
        "split",
        "What to do with a chunk of one sentence: split it at a word start, pair it with a random document, or drop "
        "it.",
        INSTANCES,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskRules(Stage):
    """Which tokens of an instance are masked."""

    masked_lm_prob: float = option(0.15, "Fraction of the tokens to mask.", MASKS, metavar="FRACTION", low=0, high=1)
    ngram: int = option(3, "Longest n-gram to mask at once, in words.", MASKS, low=1, high=64)
    favor_shorter_ngram: bool = option(
        True, "Favor short n-grams: n words have weight 1/n. Otherwise, reverse the weights.", MASKS
    )
    do_whole_word_mask: bool = option(True, "Mask all tokens of a word together.", MASKS)
    do_permutation: bool = option(
        False,
        "Swap as many other tokens, and predict them too. This doubles the length of the masked_lm_* features.",
        MASKS,
    )
    word_boundary: WordBoundary = option(
        "unicode",
        "What starts a word: ▁, punctuation and each character of scripts without spaces (unicode), or the rule of the "
        "reference (albert), which takes most non-English pieces for whole words.",
        MASKS,
    )
    cross_segment_words: bool = option(False, "Let words and n-grams extend across [SEP].", MASKS)
    replace_with_special: bool = option(
        False, "Let random replacements be any piece, including [CLS] and <pad>.", MASKS
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskOptions(MaskRules):
    """The mask options of `Masker`."""

    max_predictions_per_seq: int | None = option(
        None,
        "Most masked tokens in an instance.",
        MASKS,
        low=1,
        high=65_536,
        shown="what --masked-lm-prob gives",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamOptions(MaskOptions, InstanceShape):
    """The instance options of `InstanceStream` and `pretrain --tokens`."""

    def validate(self) -> None:
        most = self.max_predictions_per_seq
        if most is not None and most > self.max_seq_length:
            raise too_many_predictions(most, self.max_seq_length)

    @property
    def predictions(self) -> int:
        """The maximum number of masked tokens in an instance, as set or as `masked_lm_prob` gives it."""
        most = self.max_predictions_per_seq
        return max(1, round(self.masked_lm_prob * self.max_seq_length)) if most is None else most


def too_many_predictions(most: int, length: int) -> AlbertFastError:
    """Returns the error for more predictions than an instance has tokens."""
    return option_error("max_predictions_per_seq", f"at most max_seq_length ({length})", most)
