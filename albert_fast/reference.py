"""ALBERT's pretraining instances and masks in slow, readable Python. It explains the method and is the tests' oracle.

ALBERT (Lan et al., "ALBERT: A Lite BERT", arXiv 1909.11942) is trained on two tasks at once:

- *Masked language modeling* (section 4.1; BERT, arXiv 1810.04805, section 3.1): some words of an instance are hidden
  and predicted. ALBERT hides n-grams of whole words, after SpanBERT (arXiv 1907.10529), of length n with probability
  (1/n) / sum(1/k). Of the hidden tokens, 80% become `[MASK]`, 10% stay and 10% become a random piece.
- *Sentence-order prediction* (section 3.1, "Inter-sentence coherence loss"): two consecutive segments A and B of one
  document are in order (label 0) or swapped (label 1). BERT's next-sentence prediction, in which label 1 is a B from
  another document, is still available (`random_next_sentence`).

A text becomes records in three steps: `reference_text.read_documents`, `create_training_instances` and `features`.
Functions with a counterpart in google-research/ALBERT's create_pretraining_data.py have its name, or name it. With
`Options().reference()` every draw happens in that program's order, so the records are the same to the byte. The other
values of the last three options are this project's corrections. Each is explained at the place where it acts.

A token is a pair (id, whether it begins a word). The rules only need what `Vocabulary` holds of a vocabulary.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

Token: TypeAlias = tuple[int, bool]
"""The id of a piece, and whether the token begins a word."""
Segment: TypeAlias = list[Token]
"""A sentence: at least one token."""
Document: TypeAlias = list[Segment]
"""Consecutive sentences, at least one."""


# --- what goes in and what comes out ---------------------------------------------------------------------------------


class Generators(NamedTuple):
    """The two sources of random numbers. The reference never seeds the second, which is NumPy's global one."""

    python: random.Random
    """For everything except n-gram lengths."""
    numpy: np.random.RandomState
    """For n-gram lengths."""


@dataclass(frozen=True)
class Options:
    """The options that decide how instances are made. Names, meanings and defaults are those of the Rust core.

    `rng` and `word_boundary` are not among them: generators are passed in, and word starts come with the tokens.
    """

    max_seq_length: int = 512
    """Number of tokens in an instance, padding included; at least 8."""
    max_predictions_per_seq: int = 20
    """Maximum number of masked tokens in an instance."""
    masked_lm_prob: float = 0.15
    """Fraction of tokens to mask, in [0, 1]."""
    short_seq_prob: float = 0.2
    """Fraction of documents with a random shorter target length, in [0, 1]."""
    dupe_factor: int = 2
    """Number of passes over the documents, each with new chunk lengths and masks."""
    random_seed: int = 12345
    """Random seed of `generators()`, below 2**32."""
    ngram: int = 3
    """Length in words of the longest n-gram that is masked as one."""
    favor_shorter_ngram: bool = True
    """Whether n has weight 1/n. Otherwise, the weights are reversed."""
    do_whole_word_mask: bool = True
    """Whether the tokens of a word are masked together."""
    do_permutation: bool = False
    """Whether the same number of further tokens swap places and are predicted."""
    random_next_sentence: bool = False
    """Whether to use next-sentence prediction instead of sentence order."""
    single_segment: Literal["split", "random", "drop"] = "split"
    """What a chunk of only one sentence becomes. "random" is the reference's choice."""
    cross_segment_words: bool = False
    """Whether words and n-grams cross `[SEP]`, as in the reference."""
    replace_with_special: bool = False
    """Whether any piece, including `[CLS]` and `<pad>`, may be a random replacement, as in the reference."""

    def reference(self) -> Options:
        """Returns the options with the reference's choice where it has none."""
        return replace(self, single_segment="random", cross_segment_words=True, replace_with_special=True)

    def generators(self) -> Generators:
        """Returns new generators, both seeded with `random_seed`."""
        return Generators(random.Random(self.random_seed), np.random.RandomState(self.random_seed))


@dataclass(frozen=True)
class Vocabulary:
    """What instances and masks need of a vocabulary: its size, three ids, and the ids that may replace a token."""

    size: int
    cls: int
    sep: int
    mask: int
    ordinary: Sequence[int]
    """The ids of all pieces except control, unknown, byte and unused ones, in ascending order."""


@dataclass
class Instance:
    """`[CLS] A [SEP] B [SEP]` without padding (TrainingInstance of the reference)."""

    tokens: list[int]
    """Ids. After masking, they include the replacements."""
    word_starts: list[bool]
    """Whether the original of each token begins a word. True for `[CLS]` and `[SEP]`."""
    first_length: int
    """Length of `[CLS] A [SEP]`, the tokens with segment id 0."""
    is_random_next: bool
    """Whether A and B are swapped, or B is from another document."""
    masked_positions: list[int] = field(default_factory=list)
    """Positions of the predictions, in ascending order."""
    masked_labels: list[int] = field(default_factory=list)
    """The original id at each of these positions."""


def features(instance: Instance, options: Options) -> dict[str, list[int] | list[float]]:
    """Returns the eight features of an instance's tf.train.Example, zero-padded (write_instance_to_example_files).

    The `masked_lm_*` features have `max_predictions_per_seq` numbers, or twice that with `do_permutation`.
    `next_sentence_labels` has one number, and the others have `max_seq_length`. Only `masked_lm_weights` is float.
    """
    length = options.max_seq_length
    predictions = options.max_predictions_per_seq * (2 if options.do_permutation else 1)
    second_length = len(instance.tokens) - instance.first_length

    def padded(values: Iterable[int], to: int) -> list[int]:
        numbers = [int(value) for value in values]
        return numbers + [0] * (to - len(numbers))

    weights = padded([1] * len(instance.masked_positions), predictions)
    return {
        "input_ids": padded(instance.tokens, length),
        "input_mask": padded([1] * len(instance.tokens), length),
        "masked_lm_ids": padded(instance.masked_labels, predictions),
        "masked_lm_positions": padded(instance.masked_positions, predictions),
        "masked_lm_weights": [float(weight) for weight in weights],
        "next_sentence_labels": [int(instance.is_random_next)],
        "segment_ids": padded([0] * instance.first_length + [1] * second_length, length),
        "token_boundary": padded(instance.word_starts, length),
    }


def restore(tokens: Sequence[int], positions: Sequence[int], labels: Sequence[int]) -> list[int]:
    """Returns the tokens before masking: every label is put back at its position."""
    original = list(tokens)
    for position, label in zip(positions, labels, strict=True):
        original[position] = label
    return original


# --- instances -------------------------------------------------------------------------------------------------------


def create_training_instances(
    documents: Iterable[Document], vocabulary: Vocabulary, options: Options, generators: Generators
) -> list[Instance]:
    """Returns all instances of a corpus in the order in which they are written. Instance i goes to file i mod files."""
    shuffled = [document for document in documents if document]
    generators.python.shuffle(shuffled)
    instances: list[Instance] = []
    for _ in range(options.dupe_factor):
        for index in range(len(shuffled)):
            instances += create_instances_from_document(shuffled, index, vocabulary, options, generators)
    generators.python.shuffle(instances)
    return instances


def create_instances_from_document(
    documents: Sequence[Document], index: int, vocabulary: Vocabulary, options: Options, generators: Generators
) -> Iterator[Instance]:
    """Yields the instances of one pass over document `index`.

    The document is read sentence by sentence. A chunk is as many sentences as reach the target length, and each chunk
    makes one instance. Now and then a shorter target shows the model the short inputs that fine-tuning has.
    """
    rng = generators.python
    document = documents[index]
    max_tokens = options.max_seq_length - 3
    target = max_tokens
    if rng.random() < options.short_seq_prob:
        target = rng.randint(2, max_tokens)
    chunk: list[Segment] = []
    position = 0
    while position < len(document):
        chunk.append(document[position])
        position += 1
        if position < len(document) and sum(map(len, chunk)) < target:
            continue
        pair = choose_pair(chunk, target, options, rng, lambda length: random_tokens(documents, index, length, rng))
        chunk = []
        if pair is not None:
            position -= pair.unused_segments
            truncate_seq_pair(pair.first, pair.second, max_tokens, rng)
            yield create_masked_lm_predictions(assemble(pair, vocabulary), vocabulary, options, generators)


@dataclass
class Pair:
    """A and B of an instance, before truncation."""

    first: list[Token]
    second: list[Token]
    is_random_next: bool
    unused_segments: int = 0
    """Number of sentences at the chunk's end that are in neither and go back to the document."""


def choose_pair(
    chunk: Sequence[Segment],
    target: int,
    options: Options,
    rng: random.Random,
    from_elsewhere: Callable[[int], list[Token]],
) -> Pair | None:
    """Splits a chunk into A and B and draws the label (ALBERT section 3.1). Returns None if it makes no instance.

    `from_elsewhere` returns at least the given number of tokens of another document, if there are that many.

    A chunk of one sentence has nothing for B. The reference takes B from a random document with label 1, even for
    sentence order. The model then only needs to see whether the topics agree, and more than half of the labels can
    be 1. Instead, the sentence can be split in two parts, which are ordered like two sentences ("split"), or the chunk
    can be dropped ("drop").
    """
    a_end = 1
    if len(chunk) == 1 and options.single_segment != "random":
        if options.single_segment == "drop" or len(chunk[0]) < 2:
            return None
        parts = split_segment(chunk[0], rng)
    else:
        parts = list(chunk)
        if len(parts) >= 2:
            a_end = rng.randint(1, len(parts) - 1)
    first, second = join(parts[:a_end]), join(parts[a_end:])
    if not second or (options.random_next_sentence and rng.random() < 0.5):
        other = from_elsewhere(target - len(first))
        # The second part of a split sentence is not a sentence of the document, so it cannot go back.
        unused = len(chunk) - a_end
        return Pair(first, other, is_random_next=True, unused_segments=unused)
    if not options.random_next_sentence and rng.random() < 0.5:
        return Pair(second, first, is_random_next=True)
    return Pair(first, second, is_random_next=False)


def split_segment(segment: Segment, rng: random.Random) -> list[Segment]:
    """Splits a sentence of at least two tokens before a word chosen uniformly, or anywhere in a single long word."""
    starts = [i for i in range(1, len(segment)) if segment[i][1]]
    cut = starts[rng.randint(0, len(starts) - 1)] if starts else 1 + rng.randint(0, len(segment) - 2)
    return [segment[:cut], segment[cut:]]


def random_tokens(documents: Sequence[Document], index: int, length: int, rng: random.Random) -> list[Token]:
    """Returns sentences from a random place in a random document: at least one, until there are `length` tokens.

    Ten draws try to find another document than `index`. After that it may be the same one, as in the reference.
    """
    other = index
    for _ in range(10):
        other = rng.randint(0, len(documents) - 1)
        if other != index:
            break
    document = documents[other]
    tokens: list[Token] = []
    for segment in document[rng.randint(0, len(document) - 1) :]:
        tokens += segment
        if len(tokens) >= length:
            break
    return tokens


def truncate_seq_pair(first: list[Token], second: list[Token], max_tokens: int, rng: random.Random) -> None:
    """Truncates both lists to `max_tokens` together. Each token comes off the longer list, at a random end."""
    while len(first) + len(second) > max_tokens:
        longer = first if len(first) > len(second) else second
        if rng.random() < 0.5:
            del longer[0]
        else:
            longer.pop()


def assemble(pair: Pair, vocabulary: Vocabulary) -> Instance:
    """Returns `[CLS] A [SEP] B [SEP]`, not masked yet."""
    sep = (vocabulary.sep, True)
    tokens = [(vocabulary.cls, True), *pair.first, sep, *pair.second, sep]
    return Instance(
        tokens=[token for token, _ in tokens],
        word_starts=[start for _, start in tokens],
        first_length=len(pair.first) + 2,
        is_random_next=pair.is_random_next,
    )


def join(segments: Iterable[Segment]) -> list[Token]:
    """Returns the tokens of some sentences in one new list."""
    return [token for segment in segments for token in segment]


# --- masks -----------------------------------------------------------------------------------------------------------


def create_masked_lm_predictions(
    instance: Instance, vocabulary: Vocabulary, options: Options, generators: Generators
) -> Instance:
    """Returns the instance with n-grams masked (ALBERT section 4.1) and, with `do_permutation`, tokens swapped."""
    if options.masked_lm_prob == 0:
        return instance
    rng = generators.python
    # Python rounds half to even.
    wanted = round(len(instance.tokens) * options.masked_lm_prob)
    to_predict = min(options.max_predictions_per_seq, max(1, wanted))
    words = candidate_words(instance, options)
    entries = ngram_candidates(words, instance.first_length, options)
    tokens = list(instance.tokens)
    covered: set[int] = set()

    rng.shuffle(entries)
    masked = choose_positions(entries, to_predict, covered, options, generators.numpy)
    for position in masked:
        tokens[position] = replacement(tokens[position], vocabulary, options, rng)

    # The reference shuffles again, even if nothing uses the order.
    rng.shuffle(entries)
    exchanged: list[int] = []
    if options.do_permutation:
        exchanged = sorted(choose_positions(entries, to_predict, covered, options, generators.numpy))
        sources = list(exchanged)
        rng.shuffle(sources)
        for position, source in zip(exchanged, sources, strict=True):
            tokens[position] = instance.tokens[source]

    positions = sorted(masked + exchanged)
    labels = [instance.tokens[position] for position in positions]
    return replace(instance, tokens=tokens, masked_positions=positions, masked_labels=labels)


def candidate_words(instance: Instance, options: Options) -> list[list[int]]:
    """Returns the positions of each word in A and B, in order, without `[CLS]` and `[SEP]`.

    With whole-word masking, a token that does not begin a word belongs to the word before it. In the reference it does
    so even if `[SEP]` is between them, which happens if truncation cuts a word. Without `cross_segment_words`, such a
    token at the start of B begins a word. At the start of A it always does.
    """
    separator = instance.first_length - 1
    words: list[list[int]] = []
    for position in range(1, len(instance.tokens) - 1):
        if position == separator:
            continue
        begins = not words or instance.word_starts[position] or not options.do_whole_word_mask
        if position == separator + 1 and not options.cross_segment_words:
            begins = True
        if begins:
            words.append([position])
        else:
            words[-1].append(position)
    return words


def ngram_candidates(words: Sequence[list[int]], first_length: int, options: Options) -> list[list[list[int]]]:
    """Returns, for each word, the positions of the 1-gram, 2-gram ... `ngram`-gram that begin with it.

    At the end of the instance (without `cross_segment_words`, of A or B) n-grams are shorter than their name. The list
    keeps its length, so that a drawn n has the same meaning everywhere.
    """
    in_first = sum(word[0] < first_length for word in words)
    entries = []
    for index in range(len(words)):
        end = len(words) if options.cross_segment_words or index >= in_first else in_first
        ngrams = [words[index : min(index + n, end)] for n in range(1, options.ngram + 1)]
        entries.append([[position for word in ngram for position in word] for ngram in ngrams])
    return entries


def ngram_probabilities(options: Options) -> NDArray[np.float64]:
    """Returns p(n) for n = 1 to `ngram`, proportional to 1/n (ALBERT section 4.1), or these values reversed."""
    weights: NDArray[np.float64] = 1.0 / np.arange(1, options.ngram + 1)
    weights /= weights.sum()
    if not options.favor_shorter_ngram:
        weights = weights[::-1]
    # Dividing again changes the last bits, and with them the length that a draw near a boundary gives.
    weights /= weights.sum()
    return weights


def choose_positions(
    entries: Iterable[list[list[int]]],
    wanted: int,
    covered: set[int],
    options: Options,
    numpy_rng: np.random.RandomState,
) -> list[int]:
    """Chooses positions of up to `wanted` tokens, and returns them in the order chosen.

    None of them is in `covered`, to which they are added. For each entry, one n-gram is tried: its length is drawn, and
    reduced while it has more tokens than are still wanted. The length is drawn even for a word that is already covered,
    as in the reference. The reference draws the replacements in between. The generators are separate, so this makes no
    difference.
    """
    lengths = np.arange(1, options.ngram + 1)
    probabilities = ngram_probabilities(options)
    chosen: list[int] = []
    for entry in entries:
        if len(chosen) >= wanted:
            break
        n = int(numpy_rng.choice(lengths, p=probabilities))
        while n > 1 and len(chosen) + len(entry[n - 1]) > wanted:
            n -= 1
        positions = entry[n - 1]
        if len(chosen) + len(positions) > wanted or not covered.isdisjoint(positions):
            continue
        chosen += positions
        covered.update(positions)
    return chosen


def replacement(token: int, vocabulary: Vocabulary, options: Options, rng: random.Random) -> int:
    """Returns the replacement of a masked token (BERT section 3.1): 80% `[MASK]`, 10% itself, 10% a random piece.

    The reference draws from the whole vocabulary, including `[CLS]`, `<pad>` and `[MASK]`, which no real input
    contains.
    """
    if rng.random() < 0.8:
        return vocabulary.mask
    if rng.random() < 0.5:
        return token
    if options.replace_with_special:
        return rng.randint(0, vocabulary.size - 1)
    return vocabulary.ordinary[rng.randint(0, len(vocabulary.ordinary) - 1)]
