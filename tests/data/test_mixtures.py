"""`InstanceStream` from several token stores: which store has which row."""

from __future__ import annotations

import multiprocessing
import pickle
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from albert_fast import AlbertFastError, InstanceStream, Tokenizer, TokenStore, tokenize

if TYPE_CHECKING:
    from albert_fast import Batch

GOLDEN = Path(__file__).parents[1] / "golden"
WEIGHTS = {"a": 0.7, "b": 0.3}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenStore]:
    """Three stores of texts that share no document, and one with another tokenizer."""
    directory = tmp_path_factory.mktemp("mixtures")
    text = (GOLDEN / "corpus" / "part-b.txt").read_text()
    documents = text.split("\n\n")
    texts = {
        "a": (GOLDEN / "corpus" / "part-a.txt").read_text(),
        "b": "\n\n".join(documents[: len(documents) // 2]),
        "c": "\n\n".join(documents[len(documents) // 2 :]),
    }
    tokenizer = Tokenizer.from_file(GOLDEN / "tokenizer" / "spiece.model")
    for name, content in texts.items():
        (directory / f"{name}.txt").write_text(content)
        tokenize([directory / f"{name}.txt"], directory / name, tokenizer)
    other = Tokenizer.from_vocab_file(GOLDEN / "tokenizer" / "wordpiece.txt")
    tokenize([directory / "a.txt"], directory / "other", other)
    words = sorted({word for word in texts["a"].split() if word.isalpha() and 4 <= len(word) <= 6})[:50]
    pairs = [f"{one}\n{other}\n" for number, one in enumerate(words) for other in words[number + 1 :]]
    (directory / "pairs.txt").write_text("\n".join(pairs))
    tokenize([directory / "pairs.txt"], directory / "pairs", tokenizer)
    (directory / "short.txt").write_text("plo\n\nmea\n")
    tokenize([directory / "short.txt"], directory / "short", tokenizer)
    return {path.name: TokenStore(path) for path in directory.iterdir() if path.is_dir()}


def stream(stores: dict[str, TokenStore], weights: dict[str, float] = WEIGHTS, **options: Any) -> InstanceStream:
    return InstanceStream({stores[name]: weight for name, weight in weights.items()}, 10, 32, seed=5, **options)


def rows(batch: Batch) -> list[bytes]:
    arrays: list[np.ndarray[Any, Any]] = [*batch.values()]  # type: ignore[list-item]
    return [b"".join(array[row].tobytes() for array in arrays) for row in range(len(arrays[0]))]


def first_rows(source: InstanceStream, batches: int) -> list[bytes]:
    return [row for batch in source.batches(0, batches) for row in rows(batch)]


def owners(stores: dict[str, TokenStore], mixed: InstanceStream, batches: int) -> list[int]:
    """The store that each row is from: it is that store's next instance, as a stream from this store only has it."""
    alone = [first_rows(InstanceStream(store, 10, 32, seed=5), batches) for store in mixed.stores]
    next_row = [0] * len(alone)
    found = []
    for row in first_rows(mixed, batches):
        (owner,) = [number for number, own in enumerate(alone) if own[next_row[number]] == row]
        next_row[owner] += 1
        found.append(owner)
    return found


@pytest.mark.parametrize("weights", [{"a": 0.7, "b": 0.3}, {"b": 5, "a": 1, "c": 3}])
def test_every_beginning_has_the_fractions(stores: dict[str, TokenStore], weights: dict[str, float]) -> None:
    mixed = stream(stores, weights)
    found = owners(stores, mixed, 60)
    counts = Counter(dict.fromkeys(range(len(weights)), 0))
    for position, owner in enumerate(found, 1):
        counts[owner] += 1
        for number, weight in enumerate(weights.values()):
            assert abs(counts[number] - position * weight / sum(weights.values())) < 1
        if position % 10 == 0:
            assert mixed.drawn(position // 10) == [counts[number] for number in range(len(weights))]
    assert mixed.drawn(60, 20) == [all_ - before for all_, before in zip(mixed.drawn(60), mixed.drawn(20), strict=True)]
    # The order is drawn from the seed, and is no repetition of the first ten.
    assert found[:10] != found[10:20] or found[10:20] != found[20:30]


def test_a_batch_is_a_function_of_its_number(stores: dict[str, TokenStore]) -> None:
    mixed = stream(stores)
    far = [10**9, 3, 10**15, 0]
    wanted = [rows(mixed.batch(k)) for k in far]
    again = pickle.loads(pickle.dumps(stream(stores, num_threads=1)))
    assert [rows(again.batch(k)) for k in reversed(far)] == wanted[::-1]
    assert [rows(batch) for batch in mixed.batches(3, 5)] == [wanted[1], rows(mixed.batch(4))]


def rows_in_process(source: InstanceStream, k: int) -> list[bytes]:
    return rows(source.batch(k))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_make_the_same(method: str, stores: dict[str, TokenStore]) -> None:
    """As the workers of a DataLoader, which get a source by a fork or as a pickle."""
    mixed = stream(stores)
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap(rows_in_process, [(mixed, k) for k in range(6)])
    assert found == [rows(mixed.batch(k)) for k in range(6)]


def test_shards_together_are_the_whole(stores: dict[str, TokenStore]) -> None:
    mixed = stream(stores)
    whole = InstanceStream({stores["a"]: 0.7, stores["b"]: 0.3}, 30, 32, seed=5)
    shards = [mixed.shard(index, 3) for index in range(3)]
    for k in (0, 7, 10**6):
        found = [rows(shard.batch(k)) for shard in shards]
        assert [found[row % 3][row // 3] for row in range(30)] == rows(whole.batch(k))
    assert sum(len(shard) for shard in shards) == len(mixed) == len(whole)
    assert shards[1].drawn(4) == whole.drawn(4)


def test_epochs_have_every_instance_of_each_store_once(stores: dict[str, TokenStore]) -> None:
    """And where an instance is in an epoch says nothing about where it is in the next one."""
    from scipy import stats

    options: dict[str, Any] = {"masked_lm_prob": 0, "short_seq_prob": 0}
    mixed = stream(stores, {"pairs": 3, "b": 1}, **options)
    alone = InstanceStream(stores["pairs"], 10, 32, seed=5, **options)
    epoch = len(alone)
    assert epoch == len(stores["pairs"])

    def tokens(source: InstanceStream, stop: int) -> list[tuple[int, ...]]:
        # Each document of two words is an instance, with the same tokens in each epoch, and the words maybe swapped.
        return [tuple(sorted(row)) for batch in source.batches(0, stop) for row in batch["input_ids"].tolist()]

    known = set(tokens(alone, epoch // 10 + 1))
    found = [row for row in tokens(mixed, epoch * 3 // 10) if row in known][: 2 * epoch]
    assert len(found) == 2 * epoch > 2000
    first, second = found[:epoch], found[epoch:]
    assert Counter(first) == Counter(second)
    place = {row: number * 5 // epoch for number, row in enumerate(first)}
    table = np.zeros((5, 5))
    for number, row in enumerate(second):
        table[place[row], number * 5 // epoch] += 1
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_a_stream_continues_another(stores: dict[str, TokenStore]) -> None:
    first = stream(stores)
    drawn = first.drawn(12)
    second = InstanceStream({stores["b"]: 1, stores["a"]: 1}, 10, 32, seed=5, starts=drawn[::-1], masked_lm_prob=0.15)
    both = first_rows(first, 12) + first_rows(second, 12)
    for store in (stores["a"], stores["b"]):
        own = first_rows(InstanceStream(store, 10, 32, seed=5), 24)
        mine = [row for row in both if row in own]
        assert mine == own[: len(mine)]
        assert len(mine) > 60


def test_one_store_is_what_it_always_was(stores: dict[str, TokenStore]) -> None:
    path = stores["a"].path
    wanted = first_rows(InstanceStream(path, 10, 32, seed=5), 5)
    for given in (stores["a"], [path], {path: 3}, str(path)):
        assert first_rows(InstanceStream(given, 10, 32, seed=5), 5) == wanted
    assert InstanceStream(path, 10, 32).drawn(7) == [70]


@pytest.mark.parametrize("temperature", [None, 1.0, 1 / 0.3, 1e9])
def test_temperatures(stores: dict[str, TokenStore], temperature: float | None) -> None:
    names = ["a", "b", "c"]
    mixed = InstanceStream([stores[name] for name in names], 10, 32, mixture_temperature=temperature)
    sizes = np.array([stores[name].num_tokens for name in names], float)
    wanted = sizes ** (1 / (temperature or 1))
    assert np.array(mixed.shares) / sum(mixed.shares) == pytest.approx(wanted / wanted.sum(), abs=1 / 65536)
    assert mixed.drawn(10**6)[0] / 10**7 == pytest.approx(wanted[0] / wanted.sum(), abs=1 / 65536)


def test_what_does_not_fit_is_refused(stores: dict[str, TokenStore]) -> None:
    a, b, other, short = (stores[name] for name in ("a", "b", "other", "short"))
    twice = TokenStore(a.path)
    cases: tuple[tuple[Any, dict[str, Any], str], ...] = (
        ([], {}, "store must be at least one token store, got []"),
        (5, {}, "store must be a token store, its directory, or several of them, got 5"),
        ({"a"}, {}, "store must be a token store, its directory, or several of them, got {'a'}"),
        ([a, a], {}, f"{a.path} is given twice; remove one of them"),
        ([a, twice], {}, f"{a.path} is given twice; remove one of them"),
        (["a", 3], {}, "store must be token stores, or their directories, got 3"),
        ([(a, 0.7), (b, 0.3)], {}, "store must be token stores, or their directories, got (TokenStore("),
        ([("a", 0.7)], {}, "store must be token stores, or their directories, got ('a', 0.7); pass weights in a mapp"),
        ({a: 1, 3: 1}, {}, "store must be token stores, or their directories, got 3"),
        ({a: 1, b: 0}, {}, f"the weight of {b.path} must be a number above 0, got 0; to draw nothing from {b.path}, r"),
        ({a: 1, b: -2}, {}, f"the weight of {b.path} must be a number above 0, got -2; pass a number such as 0.3"),
        ({a: 1, b: "x"}, {}, f"the weight of {b.path} must be a number above 0, got 'x'; pass a number such as 0.3"),
        ({a: 1, b: 1e-9}, {}, f"the weight of {b.path} must be at least 1/65,536 of the sum of all weights, got 1e-09"),
        ([a, b], {"mixture_temperature": 1e-3}, f"mixture_temperature=0.001 gives {b.path} a weight that is too small"),
        ([a, other], {}, f"{other.path} and {a.path} were made with different tokenizers"),
        ([a, short], {}, f"{short.path}: no instances: each of the store's 2 documents has"),
        ([a], {"mixture_temperature": 2}, "`mixture_temperature` has no effect without several stores"),
        ({a: 1, b: 1}, {"mixture_temperature": 2}, "`mixture_temperature` has no effect without several stores"),
        ([a, b], {"mixture_temperature": 0}, "mixture_temperature must be a number above 0, got 0"),
        ([a, b], {"starts": [1]}, "starts must be a list of 2 numbers, one for each store, got [1]"),
        ([a, b], {"starts": 5}, "starts must be a list of 2 numbers, one for each store, got 5"),
        ([a, b], {"starts": "12"}, "starts must be a list of 2 numbers, one for each store, got '12'"),
        ([a, b], {"starts": [1, -1]}, "starts must be a whole number from 0 to 2**63 - 1, got -1"),
        ([a, b], {"starts": [1, 2**63]}, "starts must be a whole number from 0 to 2**63 - 1, got 9223372036854775808"),
    )
    for given, options, told in cases:
        with pytest.raises(AlbertFastError) as caught:
            InstanceStream(given, 10, 32, **options)
        assert str(caught.value).startswith(told)


def test_64_bits_count_what_was_drawn(stores: dict[str, TokenStore]) -> None:
    mixed = stream(stores)
    most = (2**64 - 1) // 10
    assert sum(mixed.drawn(most)) == 10 * most
    for given, told in (
        ([most + 1], f"stop must be at most {most:,}, because 64 bits count the instances, got {most + 1}"),
        ([3, most + 1], f"start must be at most {most:,}, because 64 bits count the instances, got {most + 1}"),
        ([2**63], "stop must be a whole number from 0 to 2**63 - 1, got 9223372036854775808"),
    ):
        with pytest.raises(AlbertFastError) as caught:
            mixed.drawn(*given)
        assert str(caught.value) == told
    with pytest.raises(AlbertFastError, match=r"^stop must be at most"):
        mixed.shard(0, 2).drawn(most // 2 + 1)
