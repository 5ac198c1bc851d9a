"""`TokenStore` and `InstanceStream`: batches without files."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tfrecords
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albert_fast import AlbertFastError, BatchSource, InstanceStream, Tokenizer, TokenStore, tokenize
from albert_fast.options import InstanceOptions, MaskOptions
from albert_fast.options.instances import fraction_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Command

    from albert_fast import Batch

SHAPES = {
    "input_ids": "S",
    "input_mask": "S",
    "segment_ids": "S",
    "token_boundary": "S",
    "masked_lm_positions": "P",
    "masked_lm_ids": "P",
    "masked_lm_weights": "P",
    "next_sentence_labels": "1",
}


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Tokenizer:
    return Tokenizer.from_file(model)


@pytest.fixture(scope="module")
def store(tokenizer: Tokenizer, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    directory = tmp_path_factory.mktemp("store")
    tokenize([corpus], directory / "tokens", tokenizer)
    return TokenStore(directory / "tokens")


@pytest.fixture(scope="module")
def stream(store: TokenStore) -> InstanceStream:
    return InstanceStream(store, 8, 64, seed=3)


def same(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)  # type: ignore[literal-required]


def rows(batch: Batch) -> list[bytes]:
    """Each row, all of its arrays, as bytes."""
    arrays: list[np.ndarray[Any, Any]] = [batch[name] for name in SHAPES]  # type: ignore[literal-required]
    return [b"".join(array[row].tobytes() for array in arrays) for row in range(len(arrays[0]))]


def first_rows(source: BatchSource, count: int) -> list[bytes]:
    batches = (rows(source.batch(k)) for k in itertools.count())
    return list(itertools.islice(itertools.chain.from_iterable(batches), count))


def test_shapes_and_types(stream: InstanceStream) -> None:
    batch = stream.batch(0)
    sizes = {"S": 64, "P": 10, "1": 1}
    assert stream.max_predictions == 10  # 15 % of 64, rounded
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {  # type: ignore[attr-defined]
        name: ((8, sizes[size]), "float32" if name == "masked_lm_weights" else "int32") for name, size in SHAPES.items()
    }
    assert all(array.flags.c_contiguous and array.flags.writeable for array in batch.values())  # type: ignore[attr-defined]


def test_rows_are_instances(stream: InstanceStream, tokenizer: Tokenizer) -> None:
    word_starts = tokenizer.word_starts()
    for k in range(stream.steps_per_epoch):
        batch = stream.batch(k)
        for row in range(8):
            ids, mask = batch["input_ids"][row], batch["input_mask"][row]
            length = int(mask.sum())
            assert mask.tolist() == [1] * length + [0] * (64 - length)
            assert not ids[length:].any()
            assert (ids[0], ids[length - 1]) == (tokenizer.cls_id, tokenizer.sep_id)
            first = int((batch["segment_ids"][row][:length] == 0).sum())
            assert batch["segment_ids"][row].tolist() == [0] * first + [1] * (length - first) + [0] * (64 - length)
            assert ids[first - 1] == tokenizer.sep_id
            masks = int(batch["masked_lm_weights"][row].sum())
            positions = batch["masked_lm_positions"][row]
            assert batch["masked_lm_weights"][row].tolist() == [1.0] * masks + [0.0] * (10 - masks)
            assert 0 < masks <= max(1, round(0.15 * length))
            assert (np.diff(positions[:masks]) > 0).all()
            assert not positions[masks:].any()
            original = ids.copy()
            original[positions[:masks]] = batch["masked_lm_ids"][row][:masks]
            assert not np.isin(batch["masked_lm_ids"][row][:masks], [tokenizer.cls_id, tokenizer.sep_id]).any()
            boundary = word_starts[original[:length]] | np.isin(original[:length], [tokenizer.cls_id, tokenizer.sep_id])
            assert batch["token_boundary"][row].tolist() == [*map(int, boundary), *[0] * (64 - length)]


def test_the_first_epochs_are_the_duplicates_of_make_records(
    store: TokenStore, command: Command, model: Path, tmp_path: Path
) -> None:
    options = ["--max-seq-length", 64, "--max-predictions-per-seq", 10, "--random-seed", 3, "--dupe-factor", 2]
    assert command("make-records", store.path, "--tokenizer", model, "--output-dir", "out", *options).code == 0
    (file,) = (tmp_path / "out").glob("*.tfrecord")
    records = [tfrecords.decode_example(record) for record in tfrecords.unframe(file.read_bytes())]
    in_files = sorted(
        b"".join(np.array(item[name], np.float32 if "weights" in name else np.int32).tobytes() for name in SHAPES)
        for item in records
    )
    # One row a batch, so that no row of the third epoch is among them.
    stream = InstanceStream(store, 1, 64, max_predictions_per_seq=10, seed=3)
    assert sorted(first_rows(stream, len(records))) == in_files


def test_batches_are_functions_of_their_numbers(stream: InstanceStream, store: TokenStore) -> None:
    numbers = [0, 7, 3, 10**6, 3, stream.steps_per_epoch]
    expected = {k: stream.batch(k) for k in numbers}
    for num_threads in (1, 2, 7):
        again = InstanceStream(TokenStore(store.path), 8, 64, seed=3, num_threads=num_threads)
        for k in reversed(numbers):
            assert same(again.batch(k), expected[k])
    assert not same(InstanceStream(store, 8, 64, seed=4).batch(0), expected[0])
    assert not same(expected[0], expected[3])


def test_iteration_is_batches_in_order_and_has_no_end(stream: InstanceStream) -> None:
    steps = 2 * stream.steps_per_epoch + 3
    for k, batch in zip(range(steps), stream, strict=False):
        assert same(batch, stream.batch(k))
    found = [*stream.batches(5, 12, 3, prefetch=1, num_threads=1)]
    assert len(found) == 3
    assert all(same(batch, stream.batch(k)) for k, batch in zip((5, 8, 11), found, strict=True))
    assert [*stream.batches(5, 5)] == []


def test_len_and_steps_per_epoch(store: TokenStore) -> None:
    stream = InstanceStream(store, 7, 64)
    assert (stream.steps_per_epoch - 1) * 7 < len(stream) <= stream.steps_per_epoch * 7
    # Which chunk an instance is of the rows do not tell, but no chunk gives the same row twice.
    epoch = first_rows(stream, len(stream))
    assert len(set(epoch)) == len(epoch)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shards_are_the_whole(stream: InstanceStream, store: TokenStore, count: int) -> None:
    shards = [stream.shard(index, count) for index in range(count)]
    assert sum(map(len, shards)) == len(stream)
    whole = InstanceStream(store, 8 * count, 64, seed=3)
    for k in (0, 1, whole.steps_per_epoch, 999):
        expected = rows(whole.batch(k))
        parts = [rows(shard.batch(k)) for shard in shards]
        assert [parts[row % count][row // count] for row in range(8 * count)] == expected
    epoch = [set(first_rows(shard, len(shard))) for shard in shards]
    assert set().union(*epoch) == set(first_rows(stream, len(stream)))
    assert sum(map(len, epoch)) == len(stream)


def test_shards_of_shards(stream: InstanceStream) -> None:
    for outer, inner in itertools.product(range(2), range(3)):
        assert same(stream.shard(outer, 2).shard(inner, 3).batch(4), stream.shard(outer + 2 * inner, 6).batch(4))


def test_pickling(stream: InstanceStream, store: TokenStore, tokenizer: Tokenizer) -> None:
    for source in (stream, stream.shard(1, 3), InstanceStream(store, 2, 32, tokenizer=tokenizer, num_threads=1)):
        again = pickle.loads(pickle.dumps(source))
        assert repr(again) == repr(source)
        assert again.num_threads == source.num_threads
        assert same(again.batch(11), source.batch(11))


def test_a_pickled_store_must_be_the_same(store: TokenStore, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(store.path, tmp_path / "store")
    pickled = pickle.dumps(InstanceStream(tmp_path / "store", 2, 64))
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(AlbertFastError, match=r"store: no such file or directory; make a token store"):
        pickle.loads(pickled)
    (tmp_path / "other.txt").write_text("Another text.\nOf two sentences.\n")
    tokenize([tmp_path / "other.txt"], tmp_path / "store", store.tokenizer())
    with pytest.raises(AlbertFastError, match="store: the store has changed since it was pickled"):
        pickle.loads(pickled)


inherited: tuple[InstanceStream, Iterator[Batch]] | None = None


def numbers(source: InstanceStream, iterator: Iterator[Batch] | None = None) -> list[int]:
    """A few values of the batches from 2 on, with threads."""
    iterator = iterator or source.batches(2, num_threads=2)
    return [int(next(iterator)["input_ids"].sum()) for _ in range(4)] + [int(source.batch(9)["input_ids"].sum())]


def with_inherited(_: int) -> list[int]:
    assert inherited is not None
    return numbers(*inherited)


def test_a_fork_goes_on_with_threads_of_its_own(stream: InstanceStream, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = numbers(stream)
    iterator = stream.batches(num_threads=2)
    next(iterator)
    next(iterator)
    monkeypatch.setitem(globals(), "inherited", (stream, iterator))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert all(pool.apply_async(with_inherited, (0,)).get(timeout=60)[-1] == expected[-1] for _ in range(2))
    # The first call in a child goes on where the parent was.
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(with_inherited, (0,)).get(timeout=60) == expected
    assert numbers(stream, iterator) == expected


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_an_iterator_that_a_thread_waits_for_is_not_waited_for_after_a_fork(store: TokenStore) -> None:
    # Batches so large that the other thread is inside `next` when the process forks.
    iterator = InstanceStream(store, 20_000, 64).batches(num_threads=1, prefetch=1)
    inside = threading.Event()

    def take() -> None:
        inside.set()
        for _ in range(3):
            next(iterator)

    thread = threading.Thread(target=take)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        # Either it could have the lock and goes on, or it is told that it cannot.
        signal.alarm(60)
        code = 1
        with contextlib.suppress(AlbertFastError):
            next(iterator)
        code = 0
        os._exit(code)
    _, status = os.waitpid(child, 0)
    thread.join()
    assert status == 0


def test_a_signal_handler_may_use_the_iterator(stream: InstanceStream, store: TokenStore) -> None:
    iterator = InstanceStream(store, 20_000, 64).batches(num_threads=1, prefetch=1)
    taken: list[Batch] = []
    before = signal.signal(signal.SIGALRM, lambda *_: taken.append(next(iterator)))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        taken.append(next(iterator))
        while len(taken) < 2:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(taken) == 2


def test_a_store_is_found_from_another_directory(
    store: TokenStore, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(store.path, tmp_path / "here" / "store")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    copy = TokenStore("store")
    stream = InstanceStream("store", 2, 64)
    monkeypatch.chdir(tmp_path / "there")
    assert copy.tokenizer().digest == tokenizer.digest
    assert same(pickle.loads(pickle.dumps(stream)).batch(0), stream.batch(0))


def test_spawned_children(stream: InstanceStream) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(numbers, (stream,)).get(timeout=60) == numbers(stream)


def test_threads_share_a_stream_and_an_iterator(stream: InstanceStream) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(stream.batch, range(40)))
    assert all(same(batch, stream.batch(k)) for k, batch in enumerate(found))
    iterator = stream.batches(0, 40)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: rows(next(iterator))[0], range(40)))
    assert sorted(taken) == sorted(rows(batch)[0] for batch in found)


def test_prefetching_ends_with_the_iterator(stream: InstanceStream) -> None:
    def threads() -> int:
        return len([*Path("/proc/self/task").iterdir()])

    before = threads()
    iterators = [stream.batches(num_threads=2) for _ in range(10)]
    for iterator in iterators:
        next(iterator)
    assert threads() >= before + 10
    del iterators, iterator
    patience = threading.Event()
    for _ in range(200):
        if threads() <= before:
            break
        patience.wait(0.05)
    assert threads() <= before


def test_new_masks_every_epoch(tmp_path: Path, tokenizer: Tokenizer) -> None:
    # Two documents of two sentences: one instance each, so that epochs can be told apart.
    text = tmp_path / "text.txt"
    text.write_text("The cat sat on the mat all day.\nThen it went out to play in the rain.\n\nA dog.\nTwo dogs ran.\n")
    tokenize([text], tmp_path / "store", tokenizer)
    stream = InstanceStream(tmp_path / "store", 2, 32, short_seq_prob=0.0)
    assert len(stream) == 2
    epochs = [sorted(rows(stream.batch(k))) for k in range(40)]
    assert len({tuple(epoch) for epoch in epochs}) > 30
    first_lengths = {int(stream.batch(k)["next_sentence_labels"].sum()) for k in range(40)}
    assert first_lengths == {0, 1, 2}


FALL: dict[str, Any] = {"masked_lm_prob": "0.30:0.15", "num_steps": 11}


def test_masks_fall_from_step_to_step(store: TokenStore) -> None:
    # Single tokens are masked, so their number is exactly the fraction.
    stream = InstanceStream(store, 32, 64, **FALL, do_whole_word_mask=False, ngram=1)
    assert stream.max_predictions == 19
    for k in (0, 1, 5, 9, 10, 11, 1000):
        fraction = fraction_at("0.3:0.15", k, 11)
        assert fraction == pytest.approx(0.3 - 0.15 * min(k, 10) / 10, rel=1e-12)
        batch = stream.batch(k)
        counts = batch["input_mask"].sum(axis=1)
        assert counts.max() > 40
        expected = np.maximum(1, np.round(counts * fraction))
        assert batch["masked_lm_weights"].sum(axis=1).tolist() == expected.tolist()
    # Only the masks fall: the instances are the same.
    constant = InstanceStream(store, 32, 64, masked_lm_prob=0.3, do_whole_word_mask=False, ngram=1)
    assert same(stream.batch(0), constant.batch(0))
    assert not same(stream.batch(1), constant.batch(1))
    assert np.array_equal(stream.batch(10)["input_mask"], constant.batch(10)["input_mask"])


def test_masks_that_fall_depend_on_the_step_only(store: TokenStore) -> None:
    stream = InstanceStream(store, 8, 64, **FALL, seed=3)
    again = pickle.loads(pickle.dumps(stream))
    for start, step in ((0, 1), (7, 1), (3, 2)):
        for k, batch in zip(range(start, 13, step), again.batches(start, 13, step, num_threads=3), strict=True):
            assert same(batch, stream.batch(k))
    for count in (2, 3):
        whole = InstanceStream(store, 8 * count, 64, **FALL, seed=3)
        for k in (0, 6, 10, 12):
            parts = [rows(stream.shard(index, count).batch(k)) for index in range(count)]
            expected = rows(whole.batch(k))
            assert [parts[row % count][row // count] for row in range(8 * count)] == expected
    for value in ((0.3, 0.15), [0.3, 0.15], "0.3:.15"):
        assert same(InstanceStream(store, 8, 64, **{**FALL, "masked_lm_prob": value}, seed=3).batch(5), stream.batch(5))
    equal = InstanceStream(store, 8, 64, masked_lm_prob=(0.15, 0.15))
    assert same(equal.batch(3), InstanceStream(store, 8, 64).batch(3))


@pytest.mark.parametrize(
    "value", ["0.3:0.15:0.1", "0:0.15", "0.15:0.3", "1.5:0.1", "0.3:0", "0.3:nan", "a:b", ":", (0.3,)]
)
def test_masks_that_cannot_fall(value: Any, store: TokenStore) -> None:
    rule = re.escape("masked_lm_prob must be two fractions FIRST:LAST with 1 >= FIRST >= LAST > 0, got ")
    with pytest.raises(AlbertFastError, match=f"^{rule}"):
        InstanceStream(store, 8, 64, masked_lm_prob=value, num_steps=10)


def test_masks_that_fall_need_the_number_of_steps(store: TokenStore) -> None:
    with pytest.raises(
        AlbertFastError, match=r"^masked_lm_prob='0\.3:0\.15' falls in `num_steps` batches; pass `num_s"
    ):
        InstanceStream(store, 8, 64, masked_lm_prob=(0.3, 0.15))
    with pytest.raises(AlbertFastError, match=r"^num_steps must be a whole number .*, got 0"):
        InstanceStream(store, 8, 64, masked_lm_prob=(0.3, 0.15), num_steps=0)
    advice = "only pretrain with `tokens` and InstanceStream take FIRST:LAST"
    for stage in (MaskOptions, InstanceOptions):
        with pytest.raises(AlbertFastError, match=f"^masked_lm_prob must be one number from 0 to 1, .*; {advice}$"):
            stage(masked_lm_prob="0.3:0.15")  # type: ignore[arg-type]


def test_options_act(store: TokenStore, tokenizer: Tokenizer) -> None:
    assert InstanceStream(store, 1, 64, do_permutation=True).max_predictions == 20
    assert InstanceStream(store, 1, 64, max_predictions_per_seq=3).max_predictions == 3
    assert InstanceStream(store, 1, 64, masked_lm_prob=0.0).batch(0)["masked_lm_weights"].sum() == 0.0
    plain = InstanceStream(store, 64, 64, do_whole_word_mask=False, ngram=1).batch(0)
    starts = tokenizer.word_starts()
    inner = ~starts[plain["masked_lm_ids"][plain["masked_lm_weights"] > 0]]
    assert inner.any()
    assert same(InstanceStream(store, 4, 64, tokenizer=tokenizer).batch(1), InstanceStream(store, 4, 64).batch(1))
    assert not same(InstanceStream(store, 4, 64).batch(1), InstanceStream(store, 4, 64, short_seq_prob=1.0).batch(1))


def test_a_store_says_what_it_is(store: TokenStore, tokenizer: Tokenizer, corpus: Path) -> None:
    documents = corpus.read_text(encoding="utf-8").strip().split("\n\n")
    first = [tokenizer.encode(line) for line in documents[0].split("\n")]
    assert [sentence.tolist() for sentence in store.document(0)] == [ids for ids in first if ids]
    assert store.document(0)[0].dtype == np.uint16
    assert len(store) == store.num_documents > 1
    assert store.num_sentences == sum(len(store.document(number)) for number in range(len(store)))
    assert store.num_tokens == sum(len(ids) for number in range(len(store)) for ids in store.document(number))
    assert store.vocab_size == tokenizer.vocab_size
    copy = store.tokenizer()
    assert (copy.digest, copy.pieces) == (store.tokenizer_digest, tokenizer.pieces)
    assert store.tokenizer_digest == tokenizer.digest
    assert repr(store).startswith("TokenStore(")


def test_a_wordpiece_store(tmp_path: Path, corpus: Path) -> None:
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "the",
        "of",
        "##ing",
        *"abcdefghijklmnopqrstuvwxyz",
    ]
    (tmp_path / "vocab.txt").write_text("\n".join([*words, *(f"##{letter}" for letter in words[8:])]) + "\n")
    tokenizer = Tokenizer.from_vocab_file(tmp_path / "vocab.txt", keep_accents=True)
    tokenize([corpus], tmp_path / "store", tokenizer)
    store = TokenStore(tmp_path / "store")
    assert (store.tokenizer().kind, store.tokenizer().digest) == ("wordpiece", tokenizer.digest)
    assert InstanceStream(store, 3, 64).batch(0)["input_ids"].max() < tokenizer.vocab_size


# --- what is refused --------------------------------------------------------------------------------------------------


def test_another_tokenizer(store: TokenStore, model: Path) -> None:
    other = Tokenizer.from_file(model, lower_case=False)
    with pytest.raises(AlbertFastError, match="tokens: made with other text rules"):
        InstanceStream(store, 1, tokenizer=other)


def test_a_store_without_its_tokenizer(store: TokenStore, tokenizer: Tokenizer, tmp_path: Path) -> None:
    directory = tmp_path / "store"
    shutil.copytree(store.path, directory)
    (directory / "tokenizer-copy.model").unlink()
    with pytest.raises(AlbertFastError, match=r"cannot read .*tokenizer-copy\.model"):
        InstanceStream(directory, 1)
    (directory / "tokenizer-copy.model").write_bytes((store.path / "tokenizer-copy.model").read_bytes()[:-20])
    with pytest.raises(AlbertFastError, match=r"tokenizer-copy\.model: "):
        InstanceStream(directory, 1)
    meta = json.loads((directory / "meta.json").read_text())
    del meta["tokenizer_file"]
    (directory / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(AlbertFastError, match=r"meta\.json: the store has no copy of its tokenizer; pass the one"):
        InstanceStream(directory, 1)
    assert same(InstanceStream(directory, 1, tokenizer=tokenizer).batch(0), InstanceStream(store, 1).batch(0))


def test_a_damaged_store(store: TokenStore, tmp_path: Path) -> None:
    directory = tmp_path / "store"
    shutil.copytree(store.path, directory)
    part = directory / "part-00000.tokens"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(AlbertFastError, match=r"part-00000\.tokens.*XXH3-128"):
        TokenStore(directory)
    with pytest.raises(AlbertFastError, match=r"part-00000\.tokens.*XXH3-128"):
        TokenStore(directory, verify=False).verify()
    # Ends that are no longer ends are found without reading the tokens too.
    header = np.frombuffer(bytes(content[24:48]), dtype="<u8")
    sentence_ends = (64 + 2 * int(header[0]) + 63) // 64 * 64
    for value in (1 << 40, 0):
        bad = bytearray((store.path / part.name).read_bytes())
        bad[sentence_ends + 80 : sentence_ends + 88] = value.to_bytes(8, "little")
        part.write_bytes(bad)
        opened = TokenStore(directory, verify=False)
        with pytest.raises(AlbertFastError, match=r"part-00000\.tokens: the ends of document \d+ do not ascend"):
            InstanceStream(opened, 2)
        with pytest.raises(AlbertFastError, match="do not ascend"):
            [opened.document(number) for number in range(len(opened))]
    part.write_bytes(content[:-9])
    with pytest.raises(AlbertFastError, match="truncated"):
        TokenStore(directory, verify=False)


def test_no_instances(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "text.txt").write_text("One sentence only.\n\nAnd another alone.\n")
    tokenize([tmp_path / "text.txt"], tmp_path / "store", tokenizer)
    with pytest.raises(AlbertFastError, match="no instances: each of the store's 2 documents"):
        InstanceStream(tmp_path / "store", 1, single_segment="drop")
    with pytest.raises(AlbertFastError, match=r"missing: no such file or directory; make a token store"):
        TokenStore(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AlbertFastError, match="empty"):
        InstanceStream(tmp_path / "empty", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1 to .*, got 0"),
        ({"batch_size": 1 << 40}, "batch_size must be from 1 to "),
        ({"batch_size": 2.0}, "batch_size must be a whole number"),
        ({"batch_size": "two"}, "batch_size must be a whole number"),
        ({"max_seq_length": 7}, "max_seq_length must be a whole number from 8 to 65536, got 7"),
        ({"max_predictions_per_seq": 0}, "max_predictions_per_seq must be a whole number from 1 to 65536, got 0"),
        (
            {"masked_lm_prob": 1.5, "max_predictions_per_seq": 1},
            "masked_lm_prob must be a number from 0 to 1, got 1.5",
        ),
        ({"masked_lm_prob": float("nan"), "max_predictions_per_seq": 1}, "masked_lm_prob"),
        ({"short_seq_prob": -0.1}, "short_seq_prob must be a number from 0 to 1, got -0.1"),
        ({"ngram": 0}, "ngram must be a whole number from 1 to 64, got 0"),
        ({"seed": -1}, r"seed must be a whole number from 0 to 2\*\*64 - 1, got -1"),
        ({"seed": 1 << 64}, "seed must be"),
        ({"seed": 0.5}, "seed must be"),
        ({"seed": True}, "seed must be"),
        ({"word_boundary": "bert"}, "bert"),
        ({"single_segment": "keep"}, "keep"),
        ({"num_threads": 0}, "num_threads must be a whole number from 1 to .*, got 0"),
        ({"max_seq_length": "many"}, "max_seq_length"),
        ({"do_permutation": 3}, "do_permutation"),
    ],
)
def test_options_out_of_range(store: TokenStore, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AlbertFastError, match=message):
        InstanceStream(store, **{"batch_size": 2, **arguments})


def test_numbers_out_of_range(stream: InstanceStream, store: TokenStore) -> None:
    for k in (-1, 1 << 64, 1.5, "1", True, None, (1 << 63) - 1):
        with pytest.raises(AlbertFastError, match=r"k must be a whole number|k must be below \d+, got \d+"):
            stream.batch(k)  # type: ignore[arg-type]
    for index, count in ((2, 2), (0, 0), (-1, 2), (0, 1 << 40)):
        with pytest.raises(AlbertFastError, match=r"(index|count) must be"):
            stream.shard(index, count)
    for arguments in ({"step": 0}, {"prefetch": 0}, {"num_threads": 0}, {"start": -1}, {"stop": -3}):
        with pytest.raises(AlbertFastError, match=f"{next(iter(arguments))} must be a whole number from"):
            stream.batches(**arguments)
    for index in (-1, len(store), 1 << 62):
        with pytest.raises(AlbertFastError, match=f"index must be from 0 to {len(store) - 1}, got {index}"):
            store.document(index)


numbers_of_any_kind = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none(), st.text(max_size=3), st.just(np.int64(3))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "batch_size",
                "max_seq_length",
                "max_predictions_per_seq",
                "masked_lm_prob",
                "short_seq_prob",
                "ngram",
                "do_permutation",
                "word_boundary",
                "single_segment",
                "seed",
                "num_threads",
                "tokenizer",
            ]
        ),
        st.one_of(numbers_of_any_kind, st.integers(0, 70)),
        min_size=1,
        max_size=3,
    ),
    numbers_of_any_kind,
)
def test_whatever_is_passed_is_an_error_or_works(store: TokenStore, arguments: dict[str, Any], k: Any) -> None:
    if isinstance(arguments.get("batch_size"), int) and arguments["batch_size"] > 1000:
        arguments["batch_size"] = 1 << 50
    if isinstance(arguments.get("num_threads"), int) and arguments["num_threads"] > 4:
        arguments["num_threads"] = 4
    try:
        stream = InstanceStream(store, **{"batch_size": 2, "max_seq_length": 32, **arguments})
        batch = stream.batch(k)
    except (ValueError, TypeError):
        return
    assert batch["input_ids"].shape == (stream.batch_size, stream.max_seq_length)


def test_steps_per_epoch_are_the_same_for_all_shards(store: TokenStore) -> None:
    stream = InstanceStream(store, 1, 64)
    for count in (2, 3, 7, 1000):
        shards = [stream.shard(index, count) for index in range(count)]
        assert len({shard.steps_per_epoch for shard in shards}) == 1
        assert shards[0].steps_per_epoch == max(len(shard) for shard in shards)


def test_one_path_or_several(tokenizer: Tokenizer, corpus: Path, tmp_path: Path) -> None:
    for name, inputs in (("one", corpus), ("str", str(corpus)), ("list", [corpus])):
        assert tokenize(inputs, tmp_path / name, tokenizer)["documents"] > 1


@pytest.mark.parametrize("number", [0, -1, 1025, 10**6])
def test_numbers_of_threads(number: int, tokenizer: Tokenizer, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(AlbertFastError, match=f"num_threads must be an integer from 1 to 1024, got {number}"):
        tokenizer.encode_batch(["a"], num_threads=number)
    with pytest.raises(AlbertFastError, match="num_threads must be an integer from 1 to 1024"):
        tokenize([corpus], tmp_path / "store", tokenizer, num_threads=number)


def test_few_threads_are_started_for_each_core(model: Path, corpus: Path, tmp_path: Path) -> None:
    """More would take longer to start than they save."""
    # In a process of its own, where no threads of other tests end meanwhile.
    script = f"""
import threading
from pathlib import Path
from albert_fast import Tokenizer, tokenize

tasks, running, ended = Path("/proc/self/task"), [], threading.Event()

def watch():
    while not ended.wait(0.002):
        running.append(len([*tasks.iterdir()]))

tokenizer = Tokenizer.from_file({str(model)!r})
Path("long.txt").write_text(Path({str(corpus)!r}).read_text() * 200)
watching = threading.Thread(target=watch)
watching.start()
before = len([*tasks.iterdir()])
tokenize(["long.txt"], "many", tokenizer, num_threads=1024)
ended.set()
watching.join()
tokenize(["long.txt"], "one", tokenizer, num_threads=1)
print(max(running) - before)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True)
    # Apart from the pool there are the threads of the work and of its reader.
    assert 0 < int(done.stdout) <= 4 * (os.cpu_count() or 1) + 4
    parts = [sorted((tmp_path / name).glob("*.tokens")) for name in ("many", "one")]
    assert parts[0]
    assert [path.read_bytes() for path in parts[0]] == [path.read_bytes() for path in parts[1]]


def test_ids_outside_the_vocabulary(tokenizer: Tokenizer) -> None:
    for id_ in (-1, 2000, 1 << 40):
        with pytest.raises(AlbertFastError, match=f"id must be an id of the vocabulary, from 0 to 1999, got {id_}"):
            tokenizer.id_to_piece(id_)
        with pytest.raises(AlbertFastError, match="id must be an id of the vocabulary, from 0 to 1999"):
            tokenizer.decode([5, id_])
