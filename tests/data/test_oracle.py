"""Native instances and masks against the readable reference, and both generators against the rules, on random input."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from native import UNKNOWN_JOINS, Corpus, native_instances, oracle_instances

from albert_fast import AlbertFastError, reference
from albert_fast.reference import Options

if TYPE_CHECKING:
    from albert_fast.reference import Instance

SPECIAL = ("pad", "unk", "cls", "sep", "mask")
# Lengths of segments: sentences of a word or two, ordinary ones, and some that fill a sequence alone.
LENGTHS = st.one_of(st.integers(1, 4), st.integers(1, 30), st.integers(60, 200))
SHAPES = st.lists(st.lists(LENGTHS, min_size=1, max_size=10), min_size=1, max_size=6)
SHARES = st.one_of(st.sampled_from([0.0, 0.1, 0.15, 0.5, 1.0]), st.floats(0, 1))
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    """A small corpus over a vocabulary with its special pieces anywhere; some unknown tokens begin no word."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    size = draw(st.integers(6, 60))
    starts = draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    ids = rng.sample(range(size), size)
    special = dict(zip(SPECIAL, ids, strict=False))
    others = ids[5:]
    ordinary = sorted(rng.sample(others, rng.randint(1, len(others))))
    word_start = [id_ in ids[:5] or rng.random() < starts for id_ in range(size)]
    pieces = [*others, special["unk"], special["unk"] | UNKNOWN_JOINS]
    documents = [[rng.choices(pieces, k=length) for length in shape] for shape in draw(SHAPES)]
    return Corpus(documents, word_start, ordinary, special)


@st.composite
def all_options(draw: st.DrawFn) -> Options:
    """Any options that are valid."""
    max_seq_length = draw(st.one_of(st.integers(8, 24), st.integers(8, 160), st.just(512)))
    single_segment: Literal["split", "random", "drop"] = draw(st.sampled_from(["split", "random", "drop"]))
    return Options(
        max_seq_length=max_seq_length,
        max_predictions_per_seq=draw(
            st.one_of(st.integers(1, 20).filter(max_seq_length.__ge__), st.just(max_seq_length))
        ),
        masked_lm_prob=draw(SHARES),
        short_seq_prob=draw(SHARES),
        dupe_factor=draw(st.integers(1, 3)),
        random_seed=draw(st.one_of(st.integers(0, 100), st.integers(0, 2**32 - 1))),
        ngram=draw(st.integers(1, 10)),
        favor_shorter_ngram=draw(st.booleans()),
        do_whole_word_mask=draw(st.booleans()),
        do_permutation=draw(st.booleans()),
        random_next_sentence=draw(st.booleans()),
        single_segment=single_segment,
        cross_segment_words=draw(st.booleans()),
        replace_with_special=draw(st.booleans()),
    )


@settings(SETTINGS, max_examples=300)
@given(corpora(), all_options())
def test_native_equals_the_readable_reference(corpus: Corpus, options: Options) -> None:
    if len(corpus.documents) == 1 and options.random_next_sentence:
        with pytest.raises(AlbertFastError, match=r"random_next_sentence.*only 1 document"):
            native_instances(corpus, options, "reference")
        return
    assert native_instances(corpus, options, "reference") == oracle_instances(corpus, options)


@st.composite
def numbered_corpora(draw: st.DrawFn) -> Corpus:
    """A corpus in which no two tokens have the same id, so that an instance tells where it is from."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    ids = iter(range(5, 1 << 30))
    documents = [[[next(ids) for _ in range(length)] for length in shape] for shape in draw(SHAPES)]
    size = next(ids)
    word_start = [id_ < 5 or rng.random() < 0.6 for id_ in range(size)]
    return Corpus(documents, word_start, list(range(5, size)), dict(zip(SPECIAL, range(5), strict=True)))


def check_masks(item: Instance, original: list[int], corpus: Corpus, options: Options) -> None:
    """Masks lie where they may, no more than there may be, and hide what they say."""
    length = len(item.tokens)
    specials = {0, item.first_length - 1, length - 1}
    assert sorted(set(item.masked_positions)) == item.masked_positions
    assert specials.isdisjoint(item.masked_positions)
    wanted = min(options.max_predictions_per_seq, max(1, round(length * options.masked_lm_prob)))
    if options.masked_lm_prob == 0:
        wanted = 0
    assert len(item.masked_positions) <= wanted * (2 if options.do_permutation else 1)
    if not options.do_whole_word_mask:
        assert bool(item.masked_positions) == bool(wanted)
    changed = {i for i in range(length) if item.tokens[i] != original[i]}
    assert changed <= set(item.masked_positions)
    if not options.replace_with_special:
        assert {item.tokens[i] for i in changed} <= {corpus.special["mask"], *corpus.ordinary}
    for word in reference.candidate_words(item, options):
        assert len(set(word) & set(item.masked_positions)) in (0, len(word))


@pytest.mark.parametrize("rng", ["fast", "reference"])
@SETTINGS
@given(numbered_corpora(), all_options())
def test_instances_obey_the_rules(rng: str, corpus: Corpus, options: Options) -> None:
    place = {
        id_: (number, position)
        for number, document in enumerate(corpus.documents)
        for position, id_ in enumerate(chain.from_iterable(document))
    }
    cls, sep = corpus.special["cls"], corpus.special["sep"]
    uses: Counter[int] = Counter()
    if len(corpus.documents) == 1:
        assume(not options.random_next_sentence)
        assume(rng == "reference" or options.single_segment != "random")
    for item in native_instances(corpus, options, rng):
        original = reference.restore(item.tokens, item.masked_positions, item.masked_labels)
        check_masks(item, original, corpus, options)
        assert len(original) <= options.max_seq_length
        first, second = original[1 : item.first_length - 1], original[item.first_length : -1]
        assert first
        assert second
        assert original == [cls, *first, sep, *second, sep]
        assert item.word_starts == [corpus.word_start[id_] for id_ in original]
        # Ids ascend through the corpus: each side is one stretch of one document.
        for side in (first, second):
            assert side == list(range(side[0], side[0] + len(side)))
            assert place[side[0]][0] == place[side[-1]][0]
        uses.update(first)
        other = place[first[0]][0] != place[second[0]][0]
        if options.random_next_sentence and item.is_random_next:
            # The reference takes the same document if it has drawn it ten times.
            assert other or rng == "reference"
            continue
        if options.single_segment == "random" and item.is_random_next:
            continue
        uses.update(second)
        assert place[first[0]][0] == place[second[0]][0]
        assert (second[0] < first[0]) == item.is_random_next
    # A pass reads each token once at most; only what stands in for another document's text comes on top.
    assert all(count <= options.dupe_factor for count in uses.values())


@pytest.mark.parametrize("rng", ["fast", "reference"])
@SETTINGS
@given(numbered_corpora(), st.integers(0, 100), st.integers(1, 3))
def test_every_token_is_used_once_a_pass(rng: str, corpus: Corpus, seed: int, dupe_factor: int) -> None:
    """Where nothing is truncated, and but for documents of one token, of which no pair can be made."""
    options = Options(max_seq_length=4096, short_seq_prob=0, dupe_factor=dupe_factor, random_seed=seed)
    uses: Counter[int] = Counter()
    for item in native_instances(corpus, options, rng):
        uses.update(reference.restore(item.tokens, item.masked_positions, item.masked_labels))
    texts = [list(chain.from_iterable(document)) for document in corpus.documents]
    expected = {id_: dupe_factor for text in texts if len(text) > 1 for id_ in text}
    assert {id_: count for id_, count in uses.items() if id_ > corpus.special["mask"]} == expected
