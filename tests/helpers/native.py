"""What the tests of instances and masks share: corpora of ids, and the native function behind typed wrappers."""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import dataclass

import numpy as np

from albert_fast import _native, reference
from albert_fast.reference import Document, Instance, Options, Vocabulary

UNKNOWN_JOINS = 1 << 31
"""On an unknown token of a document in memory: its surface does not begin a word."""


@dataclass(frozen=True)
class Corpus:
    """Documents of ids and the vocabulary that they are of."""

    documents: list[list[list[int]]]
    word_start: list[bool]
    ordinary: list[int]
    special: dict[str, int]

    def tokens(self) -> list[Document]:
        """The documents as `albert_fast.reference` takes them."""
        unknown = self.special["unk"]

        def token(id_: int) -> reference.Token:
            return (unknown, False) if id_ & UNKNOWN_JOINS else (id_, self.word_start[id_])

        return [[[token(id_) for id_ in segment] for segment in document] for document in self.documents]

    def vocabulary(self) -> Vocabulary:
        """The vocabulary as `albert_fast.reference` takes it."""
        special = self.special
        return Vocabulary(len(self.word_start), special["cls"], special["sep"], special["mask"], self.ordinary)


def native_instances(corpus: Corpus, options: Options, rng: str, word_end: list[bool] | None = None) -> list[Instance]:
    """The native instances, as the dataclass of the reference, in the order of the output.

    With `word_end`, a word also begins after these ids, and with each segment.
    """
    made = _native.instances(
        corpus.documents,
        np.array(corpus.word_start, dtype=np.bool_),
        corpus.ordinary,
        corpus.special,
        json.dumps({**dataclasses.asdict(options), "rng": rng}),
        None if word_end is None else np.array(word_end, dtype=np.bool_),
    )
    return [
        Instance(
            tokens=[int(token) for token in item["tokens"]],
            word_starts=[bool(start) for start in item["word_starts"]],
            first_length=int(item["first_length"]),
            is_random_next=bool(item["is_random_next"]),
            masked_positions=[int(position) for position in item["masked_positions"]],
            masked_labels=[int(label) for label in item["masked_labels"]],
        )
        for item in made
    ]


def oracle_instances(corpus: Corpus, options: Options) -> list[Instance]:
    """The same by `albert_fast.reference`."""
    return reference.create_training_instances(corpus.tokens(), corpus.vocabulary(), options, options.generators())


def random_corpus(seed: int, documents: int, segments: tuple[int, int], tokens: tuple[int, int]) -> Corpus:
    """Documents of so many segments of so many tokens, over 200 pieces of which two in three begin a word."""
    rng = random.Random(seed)
    size = 205
    word_start = [index < 5 or rng.random() < 2 / 3 for index in range(size)]
    ordinary = list(range(5, size))

    def segment() -> list[int]:
        return rng.choices(ordinary, k=rng.randint(*tokens))

    texts = [[segment() for _ in range(rng.randint(*segments))] for _ in range(documents)]
    return Corpus(texts, word_start, ordinary, {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4})
