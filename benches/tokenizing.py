"""The rows of the benchmark on tokenizing."""

import gc
import random
import statistics
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sentencepiece
from common import MB, Row, Time, rate, ratio, say, timed
from corpus import Corpus, chunks_of, size_of

from albert_fast import Tokenizer
from albert_fast.tokenizers.opening import trained_rules

Ids = list[list[int]]


class Comparison(NamedTuple):
    """A comparison of albert-fast with sentencepiece, one value per round."""

    ours: list[float]
    """Bytes per second of wall-clock time."""
    theirs: list[float]
    wall: list[float]
    """Ratios of wall-clock times."""
    cpu: list[float]
    lines: int
    """Number of lines that both encoded in this comparison."""
    different: int
    """Number of lines whose ids differ."""


def differing(theirs: Ids, ids: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]) -> int:
    """Count the lines whose ids differ."""
    ends = np.cumsum([len(line) for line in theirs])
    flat = np.fromiter(chain.from_iterable(theirs), dtype=np.uint32, count=int(ends[-1]))
    if np.array_equal(ends, offsets[1:]) and np.array_equal(flat, ids):
        return 0
    return sum(
        line != ids[start:end].tolist() for line, start, end in zip(theirs, offsets[:-1], offsets[1:], strict=True)
    )


def compare(
    new: Callable[[], Tokenizer],
    ours: list[list[str]],
    processor: sentencepiece.SentencePieceProcessor,
    theirs: list[list[str]],
    *,
    threads: int,
    rounds: int,
    fraction: float = 1.0,
) -> Comparison:
    """Time encode_batch of albert-fast and encode of sentencepiece in turn.

    albert-fast encodes all chunks in every round, each time with a new tokenizer (a cold cache). sentencepiece encodes
    a different random part of them in every round.

    Args:
        new: makes a tokenizer of albert-fast.
        ours: chunks of lines.
        processor: the processor of sentencepiece.
        theirs: the same chunks, in the form that sentencepiece gets.
        threads: number of threads of both.
        rounds: number of rounds. With `fraction` 1, sentencepiece sees each chunk in one of them.
        fraction: fraction of the chunks that sentencepiece sees in all rounds together; at least one chunk per round.
    """
    order = random.Random(3).sample(range(len(theirs)), len(theirs))
    seen = max(rounds, round(fraction * len(order)))
    turns: list[set[int]] = [set() for _ in range(rounds)]
    for index in range(seen):
        turns[index % rounds].add(order[index % len(order)])
    our_sizes, their_sizes = ([size_of(chunk) for chunk in chunks] for chunks in (ours, theirs))
    found = Comparison([], [], [], [], 0, 0)
    lines = different = 0
    for turn in turns:
        tokenizer = new()
        our_time = their_time = Time(0, 0)
        their_bytes = 0
        for index, (our_lines, their_lines) in enumerate(zip(ours, theirs, strict=True)):

            def encode(our_lines: list[str] = our_lines, tokenizer: Tokenizer = tokenizer) -> Any:
                return tokenizer.encode_batch(our_lines, num_threads=threads)

            def encode_theirs(their_lines: list[str] = their_lines) -> Any:
                return processor.encode(their_lines, out_type=int, num_threads=threads)

            if index not in turn:
                our_time += timed(encode)[1]
                continue
            if index % 2:
                (ids, offsets), our_spent = timed(encode)
                their_ids, their_spent = timed(encode_theirs)
            else:
                their_ids, their_spent = timed(encode_theirs)
                (ids, offsets), our_spent = timed(encode)
            our_time += our_spent
            their_time += their_spent
            their_bytes += their_sizes[index]
            lines += len(their_ids)
            different += differing(their_ids, ids, offsets)
        our_bytes = sum(our_sizes)
        found.ours.append(our_bytes / our_time.wall)
        found.theirs.append(their_bytes / their_time.wall)
        found.wall.append(found.ours[-1] / found.theirs[-1])
        found.cpu.append(our_bytes / our_time.cpu / (their_bytes / their_time.cpu))
    return found._replace(lines=lines, different=different)


def tokenizing_rows(model: Path, corpus: Corpus, rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of tokenizing against sentencepiece."""
    rules = trained_rules(model, warn=print)
    lower_case = rules.lower_case is not False
    keep_accents = rules.keep_accents is True

    def plain() -> Tokenizer:
        return Tokenizer.from_file(model, text_rules="none")

    def albert() -> Tokenizer:
        return Tokenizer.from_file(model, lower_case=lower_case, keep_accents=keep_accents)

    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    raw = chunks_of(corpus.path)
    preprocess = albert().preprocess
    prepared = [[preprocess(line) for line in chunk] for chunk in raw]
    size = sum(map(size_of, prepared))
    distinct = len(set(chain.from_iterable(prepared)))
    count = f"{size / MB:.0f} MB, {sum(map(len, prepared)):,} lines, {distinct:,} of them distinct"
    # The collector would traverse sentencepiece's lists repeatedly, a cost that is not sentencepiece's.
    gc.collect()
    gc.disable()
    say(f"tokenizing, 1 thread: {count}, {rounds} rounds")
    one = compare(plain, prepared, processor, prepared, threads=1, rounds=rounds)
    say("tokenizing: ALBERT's text rules, raw text, 2 threads")
    with_rules = compare(albert, raw, processor, prepared, threads=1, rounds=rounds, fraction=0.2)
    as_is = compare(plain, raw, processor, raw, threads=1, rounds=rounds, fraction=0.2)
    two = compare(plain, prepared, processor, prepared, threads=2, rounds=rounds, fraction=0.2)
    gc.enable()

    value = min(statistics.median(one.cpu), statistics.median(one.wall))
    large_enough = size >= 50 * MB
    rows = [
        Row(
            f"tokenizing, 1 thread, {count}" + ("" if large_enough else " (less than 50 MB: all that was found)"),
            f"{ratio(one.cpu)} in CPU time, {ratio(one.wall)} in wall time; {rate(one.ours)}",
            "8x",
            "12x",
            value >= 8 and large_enough,
            value >= 12 and large_enough,
            f"sentencepiece's encode, 1 thread, {rate(one.theirs)}, each round on another {100 / rounds:.0f}% of the "
            "text, ours on all of it with a cold cache",
        ),
        Row(
            "the same ids on every line",
            f"{one.different:,} of {one.lines:,} lines differ",
            "0",
            "",
            one.different == 0,
            None,
            "sentencepiece's ids",
        ),
        Row(
            "with ALBERT's text rules on raw text, 1 thread",
            f"{ratio(with_rules.cpu)} in CPU time; {rate(with_rules.ours)}",
            "8x",
            "12x",
            statistics.median(with_rules.cpu) >= 8 and large_enough,
            statistics.median(with_rules.cpu) >= 12 and large_enough,
            f"sentencepiece on text prepared beforehand, {rate(with_rules.theirs)} ({with_rules.different:,} of "
            f"{with_rules.lines:,} lines differ: the rule for commas after digits)",
        ),
        Row(
            "raw text (capitals are not in a lower-casing tokenizer), 1 thread",
            f"{ratio(as_is.cpu)} in CPU time; {rate(as_is.ours)}; {as_is.different:,} of {as_is.lines:,} lines differ",
            "",
            "",
            None,
            None,
            f"sentencepiece, 1 thread, {rate(as_is.theirs)}",
        ),
        Row(
            "tokenizing, 2 threads",
            f"{ratio(two.wall)} in wall time; {rate(two.ours)}",
            "",
            "",
            None,
            None,
            f"sentencepiece, 2 threads, {rate(two.theirs)}",
        ),
    ]
    figures = {
        "tokenizing": one._asdict() | {"bytes": size},
        "tokenizing_albert_rules": with_rules._asdict(),
        "tokenizing_raw_text": as_is._asdict(),
        "tokenizing_two_threads": two._asdict(),
    }
    return rows, figures
