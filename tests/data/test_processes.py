"""The compiled part under fork, spawn and threads."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from albert_fast import Tokenizer

TEXTS = [f"Sentence number {number} of a few hundred, said twice." for number in range(300)]


def encoded(tokenizer: Tokenizer, num_threads: int = 2) -> list[int]:
    ids, offsets = tokenizer.encode_batch(TEXTS, num_threads=num_threads)
    assert offsets.dtype == np.uint64
    assert int(offsets[-1]) == len(ids)
    return [int(number) for number in ids]


def in_child(model: str) -> list[int]:
    return encoded(Tokenizer.from_file(model))


inherited: Tokenizer | None = None


def with_inherited(_: int) -> list[int]:
    assert inherited is not None
    return encoded(inherited)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_encodes_as_its_parent(method: str, model: Path) -> None:
    # Threads of the parent's pools do not survive a fork.
    expected = in_child(str(model))
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = [pool.apply_async(in_child, (str(model),)) for _ in range(4)]
        assert all(result.get(timeout=60) == expected for result in results)
    assert in_child(str(model)) == expected


def test_a_tokenizer_survives_a_fork(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.from_file(model)
    monkeypatch.setitem(globals(), "inherited", tokenizer)
    expected = encoded(tokenizer)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(with_inherited, (number,)) for number in range(4)]
        assert all(result.get(timeout=60) == expected for result in results)
    assert encoded(tokenizer) == expected


def test_threads_share_a_tokenizer(model: Path) -> None:
    tokenizer = Tokenizer.from_file(model)
    expected = encoded(tokenizer)
    with ThreadPoolExecutor(8) as pool:
        assert all(found == expected for found in pool.map(lambda _: encoded(tokenizer), range(32)))
