"""`RecordReader`: batches from TFRecord files, as they are or masked anew."""

from __future__ import annotations

import gzip
import itertools
import multiprocessing
import os
import pickle
import random
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import tfrecords
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albert_fast import AlbertFastError, BatchSource, Masker, RecordReader, Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from albert_fast import Batch

S, P = 32, 5
FEATURES = ("input_ids", "input_mask", "segment_ids", "token_boundary", "masked_lm_positions", "masked_lm_ids")
Record = dict[str, list[int] | list[float]]


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Tokenizer:
    return Tokenizer.from_file(model)


def record(number: int, length: int = S, predictions: int = P) -> Record:
    """A good record, masks in place, made in Python alone: another one for each number."""
    rng = random.Random(number)
    tokens = rng.randint(8, length)
    first = rng.randint(3, tokens - 3)
    ids = [rng.randrange(5, 2000) for _ in range(tokens)]
    ids[0], ids[first - 1], ids[-1] = 2, 3, 3
    starts = [1 if id_ in (2, 3) else int(rng.random() < 0.7) for id_ in ids]
    inner = [at for at in range(tokens) if ids[at] > 3]
    places = sorted(rng.sample(inner, min(predictions, len(inner), 1 + number % predictions)))
    labels = [ids[at] for at in places]
    for at in places:
        ids[at] = rng.choice([4, 4, 4, ids[at], rng.randrange(5, 2000)])

    def padded(values: list[int], size: int) -> list[int]:
        return values + [0] * (size - len(values))

    return {
        "input_ids": padded(ids, length),
        "input_mask": padded([1] * tokens, length),
        "segment_ids": padded([0] * first + [1] * (tokens - first), length),
        "token_boundary": padded(starts, length),
        "masked_lm_positions": padded(places, predictions),
        "masked_lm_ids": padded(labels, predictions),
        "masked_lm_weights": [1.0] * len(places) + [0.0] * (predictions - len(places)),
        "next_sentence_labels": [number % 2],
    }


RECORDS = [record(number) for number in range(100)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files of 40, 1 and 59 records."""
    directory = tmp_path_factory.mktemp("records")
    paths = [directory / f"part-{number}.tfrecord" for number in range(3)]
    for path, (start, stop) in zip(paths, ((0, 40), (40, 41), (41, 100)), strict=True):
        path.write_bytes(tfrecords.encode_file(RECORDS[start:stop]))
    return paths


def arrays(batch: Batch) -> dict[str, NDArray[Any]]:
    return dict(cast("Any", batch))


def rows(batch: Batch) -> list[Record]:
    """Each row as the lists of a record."""
    named = arrays(batch)
    return [{name: array[row].tolist() for name, array in named.items()} for row in range(len(batch["input_ids"]))]


def first_rows(source: BatchSource, count: int) -> list[Record]:
    batches = (rows(source.batch(k)) for k in itertools.count())
    return list(itertools.islice(itertools.chain.from_iterable(batches), count))


def same(one: Batch, other: Batch) -> bool:
    return rows(one) == rows(other)


def numbers(found: Sequence[Record]) -> list[int]:
    """Which records these are."""
    return [RECORDS.index(row) for row in found]


def restored(row: Record) -> list[int]:
    """The ids before masking."""
    ids = [int(id_) for id_ in row["input_ids"]]
    for at, label, weight in zip(
        row["masked_lm_positions"], row["masked_lm_ids"], row["masked_lm_weights"], strict=True
    ):
        if weight:
            ids[int(at)] = int(label)
    return ids


def test_in_file_order_the_rows_are_the_records(files: list[Path]) -> None:
    reader = RecordReader(files, 7, shuffle=False)
    assert (len(reader), reader.steps_per_epoch) == (100, 15)
    assert (reader.batch_size, reader.max_seq_length, reader.max_predictions) == (7, S, P)
    assert reader.files == [str(path) for path in files]
    # Epochs flow into each other.
    assert first_rows(reader, 250) == (RECORDS * 3)[:250]
    batch = reader.batch(0)
    assert {name: (array.dtype.name, array.shape[1]) for name, array in arrays(batch).items()} == {
        **dict.fromkeys(FEATURES[:4], ("int32", S)),
        **dict.fromkeys(FEATURES[4:], ("int32", P)),
        "masked_lm_weights": ("float32", P),
        "next_sentence_labels": ("int32", 1),
    }


def test_shuffled_every_record_once_an_epoch_in_another_order(files: list[Path]) -> None:
    found = numbers(first_rows(RecordReader(files, 7, seed=5), 300))
    epochs = [found[:100], found[100:200], found[200:]]
    assert all(sorted(epoch) == list(range(100)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in [*epochs, [*range(100)]]}) == 4
    assert found == numbers(first_rows(RecordReader(files, 1, seed=5), 300))
    assert found != numbers(first_rows(RecordReader(files, 1, seed=6), 300))


def test_a_batch_is_a_function_of_files_seed_and_number(files: list[Path], tokenizer: Tokenizer) -> None:
    for remask in (False, True):
        readers = [
            RecordReader(files, 16, seed=8, remask=remask, masker=Masker(tokenizer), num_threads=threads)
            for threads in (1, 2, 7)
        ]
        readers.append(pickle.loads(pickle.dumps(readers[0])))
        for k in (3, 0, 10**9, 3):
            assert all(same(reader.batch(k), readers[0].batch(k)) for reader in readers)
        for k, batch in zip(range(12), readers[1], strict=False):
            assert same(batch, readers[0].batch(k))


@pytest.mark.parametrize("count", [2, 3])
def test_shards_are_the_whole(files: list[Path], count: int) -> None:
    reader = RecordReader(files, 4, seed=1)
    shards = [reader.shard(index, count) for index in range(count)]
    assert sum(map(len, shards)) == 100
    epoch = [numbers(first_rows(shard, len(shard))) for shard in shards]
    assert sorted(itertools.chain.from_iterable(epoch)) == list(range(100))


def test_files_are_found_from_another_directory(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(files[0].parent)
    reader = RecordReader([path.name for path in files], 7)
    monkeypatch.chdir(tmp_path)
    assert same(pickle.loads(pickle.dumps(reader)).batch(2), reader.batch(2))


@pytest.mark.parametrize("name", ["directory", "glob", "one", "several"])
def test_ways_to_name_files(files: list[Path], name: str) -> None:
    directory = files[0].parent
    given: dict[str, Any] = {
        "directory": directory,
        "glob": str(directory / "part-?.tfrecord"),
        "one": files[2],
        "several": [files[0], str(directory / "part-[12].tfrecord")],
    }
    expected = RECORDS[41:] if name == "one" else RECORDS
    assert first_rows(RecordReader(given[name], 3, shuffle=False), len(expected)) == expected


def test_gzip_and_indexes(files: list[Path], tmp_path: Path) -> None:
    zipped = tmp_path / "records.gz"
    # Two members, as some writers make them; the content tells, not the name.
    zipped.write_bytes(
        gzip.compress(files[0].read_bytes()) + gzip.compress(files[1].read_bytes() + files[2].read_bytes())
    )
    assert first_rows(RecordReader(zipped, 9, shuffle=False), 100) == RECORDS
    for _ in range(2):
        for paths in (files, [zipped]):
            reader = RecordReader(paths, 9, shuffle=False, index_dir=tmp_path / "index")
            assert first_rows(reader, 100) == RECORDS
    kept = sorted(path.name.rsplit(".", 1)[1] for path in (tmp_path / "index").iterdir())
    assert [name for name in kept if name in ("index", "records")] == ["index"] * 4 + ["records"]
    # An index of what the file was before is made anew.
    zipped.write_bytes(files[2].read_bytes())
    assert first_rows(RecordReader(zipped, 9, shuffle=False, index_dir=tmp_path / "index"), 59) == RECORDS[41:]
    for path in (tmp_path / "index").glob(".*.index"):
        path.write_bytes(path.read_bytes()[:-3])
    assert first_rows(RecordReader(files, 9, shuffle=False, index_dir=tmp_path / "index"), 100) == RECORDS


def test_remasking_restores_and_masks_anew(files: list[Path], tokenizer: Tokenizer) -> None:
    masker = Masker(tokenizer, max_predictions_per_seq=9, masked_lm_prob=0.3)
    reader = RecordReader(files, 10, shuffle=False, remask=True, masker=masker)
    assert reader.max_predictions == 9
    places = set()
    for index, row in enumerate(first_rows(reader, 300)):
        before = RECORDS[index % 100]
        assert restored(row) == restored(before)
        for name in ("input_mask", "segment_ids", "token_boundary", "next_sentence_labels"):
            assert row[name] == before[name]
        tokens = sum(int(one) for one in row["input_mask"])
        masks = int(sum(row["masked_lm_weights"]))
        assert masks <= max(1, round(0.3 * tokens))
        chosen = [int(at) for at in row["masked_lm_positions"][:masks]]
        assert not {restored(row)[at] for at in chosen} & {2, 3}
        # Whole words, which token_boundary tells: none begins before a mask and goes on after it.
        starts, ids = row["token_boundary"], restored(row)
        for at in range(1, tokens):
            if not starts[at] and ids[at - 1] not in (2, 3) and ids[at] not in (2, 3):
                assert (at in chosen) == (at - 1 in chosen)
        places.add((index % 100, tuple(chosen)))
    assert len(places) > 250


def test_remasking_masks_as_many_as_it_should(files: list[Path], tokenizer: Tokenizer) -> None:
    reader = RecordReader(files, 100, remask=True, masker=Masker(tokenizer, ngram=1, do_whole_word_mask=False))
    batches = [reader.batch(k) for k in range(30)]
    kinds = np.zeros(3)
    for batch in batches:
        budget = np.maximum(1, np.round(0.15 * batch["input_mask"].sum(axis=1)))
        assert (batch["masked_lm_weights"].sum(axis=1) == budget).all()
        now = np.take_along_axis(batch["input_ids"], batch["masked_lm_positions"], axis=1)
        predicted = batch["masked_lm_weights"] > 0
        masked, kept = now == 4, now == batch["masked_lm_ids"]
        kinds += [(predicted & masked).sum(), (predicted & kept).sum(), (predicted & ~masked & ~kept).sum()]
    shares = kinds / kinds.sum()
    # Some 8,000 predictions: four standard deviations are below 0.02.
    assert np.abs(shares - [0.8, 0.1, 0.1]).max() < 0.02


inherited: RecordReader | None = None


def in_child(reader: RecordReader | None) -> list[int]:
    reader = reader or inherited
    assert reader is not None
    return numbers([rows(batch)[0] for batch in itertools.islice(reader.batches(3, num_threads=2), 5)])


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("zipped", [False, True])
def test_children(
    files: list[Path], tmp_path: Path, method: str, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if zipped:
        (tmp_path / "a.gz").write_bytes(gzip.compress(b"".join(path.read_bytes() for path in files)))
    reader = RecordReader(tmp_path / "a.gz" if zipped else files, 4, num_threads=2)
    expected = in_child(reader)
    monkeypatch.setitem(globals(), "inherited", reader)
    with multiprocessing.get_context(method).Pool(2) as pool:
        argument = None if method == "fork" else reader
        assert all(pool.apply_async(in_child, (argument,)).get(timeout=60) == expected for _ in range(3))
    assert in_child(reader) == expected


# --- files in any order -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_order_in_which_files_are_listed_does_not_show(
    files: list[Path], shuffle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines whose file systems list files in other orders read disjoint shards."""
    whole = RecordReader(files, 4, shuffle=shuffle)
    directory = files[0].parent
    monkeypatch.chdir(directory)
    orders: list[Sequence[Any]] = [
        *itertools.permutations(files),
        [*files, files[1], *files],
        [str(directory / "*.tfrecord"), files[2]],
        [files[2], directory],
        [files[2].name, files[1], f"./{files[0].name}", files[2]],
    ]
    for order in orders:
        reader = RecordReader(order, 4, shuffle=shuffle)
        assert reader.files == whole.files == [str(path) for path in files]
        assert len(reader) == 100
        assert same(reader.batch(6), whole.batch(6))
    for order in ([files[2], files[0], files[1]], files[::-1]):
        seen: list[int] = []
        for rank, listed in enumerate((files, order)):
            shard = RecordReader(listed, 4, shuffle=shuffle).shard(rank, 2)
            seen += numbers(first_rows(shard, len(shard)))
        assert sorted(seen) == list(range(100))


def test_files_of_several_directories_are_sorted_by_their_paths(tmp_path: Path) -> None:
    paths = [tmp_path / directory / f"{name}.tfrecord" for directory in ("a", "a-b", "b") for name in ("1", "2")]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tfrecords.encode_file([record(number)]))
    for order in (paths[::-1], [tmp_path / "b", paths[1], tmp_path / "a-b", tmp_path / "a"], [tmp_path / "*" / "*"]):
        reader = RecordReader([str(path) for path in order], 6, shuffle=False)
        assert reader.files == [str(path) for path in paths]
        assert numbers(rows(reader.batch(0))) == list(range(6))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_file_counts_once_whatever_leads_to_it(reverse: bool, files: list[Path], tmp_path: Path) -> None:
    directory = files[0].parent
    link = tmp_path / "link"
    link.symlink_to(directory)
    (tmp_path / "hidden").symlink_to(files[0])
    alone = RecordReader(directory, 4, shuffle=False)
    for more in (directory / ".." / directory.name, link, tmp_path / "hidden", link / "*"):
        given = [directory, more]
        reader = RecordReader([str(path) for path in (given[::-1] if reverse else given)], 4, shuffle=False)
        assert len(reader) == len(alone)
        assert len(reader.files) == len(alone.files)
        expected = RecordReader([str(path) for path in given], 4, shuffle=False)
        assert reader.files == expected.files


def test_paths_may_be_bytes(files: list[Path]) -> None:
    assert RecordReader(os.fsencode(files[0].parent), 4).files == RecordReader(files[0].parent, 4).files
    assert RecordReader([os.fsencode(file) for file in files], 4).files == RecordReader(files[0].parent, 4).files
    loose: Any = RecordReader
    for wrong, shown in ((5, "a path or a list of paths, got 5"), ([files[0], None], "got None")):
        with pytest.raises(AlbertFastError, match=f"files must be .*{shown}"):
            loose(wrong, 4)


# --- records of others ------------------------------------------------------------------------------------------------


def without(name: str, records: Sequence[Record]) -> list[Record]:
    return [{key: values for key, values in row.items() if key != name} for row in records]


def test_records_without_boundaries_are_read(files: list[Path], tmp_path: Path) -> None:
    """BERT's have none; the batches have what there is."""
    path = tmp_path / "bert.tfrecord"
    bare = without("token_boundary", RECORDS)
    path.write_bytes(tfrecords.encode_file(bare))
    reader = RecordReader(path, 7, shuffle=False)
    assert not reader.has_token_boundary
    assert first_rows(reader, 120) == (bare * 2)[:120]
    assert "token_boundary" not in next(reader.batches())
    assert "token_boundary" not in pickle.loads(pickle.dumps(reader)).shard(1, 2).batch(0)
    assert RecordReader(files, 7).has_token_boundary
    # Beside records that have it, no batch has it.
    both = RecordReader([*files, path], 50, shuffle=False)
    assert not both.has_token_boundary
    assert all("token_boundary" not in both.batch(k) for k in range(4))


def test_records_without_boundaries_are_not_masked_anew(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "bert.tfrecord"
    path.write_bytes(tfrecords.encode_file(without("token_boundary", RECORDS)))
    with pytest.raises(
        AlbertFastError, match=r"bert\.tfrecord, record 0 .*token_boundary is missing.*remask.*do_whole_word_mask"
    ):
        RecordReader(path, 7, remask=True, masker=Masker(tokenizer))
    # Tokens one by one need no words.
    reader = RecordReader(path, 10, remask=True, masker=Masker(tokenizer, do_whole_word_mask=False), shuffle=False)
    first, second = (first_rows(reader, 200)[start : start + 100] for start in (0, 100))
    assert [restored(row) for row in first] == [restored(row) for row in RECORDS] == [restored(row) for row in second]
    assert first != second


@pytest.mark.parametrize("boundaries", [True, False])
def test_other_features_are_passed_over(boundaries: bool, tmp_path: Path) -> None:
    records = [{**row, "guid": [number], "score": [0.5, 0.25]} for number, row in enumerate(RECORDS)]
    records = records if boundaries else without("token_boundary", records)
    path = tmp_path / "more.tfrecord"
    path.write_bytes(tfrecords.encode_file(records))
    reader = RecordReader(path, 10, shuffle=False)
    assert reader.has_token_boundary == boundaries
    assert first_rows(reader, 100) == (RECORDS if boundaries else without("token_boundary", RECORDS))


# --- what is refused --------------------------------------------------------------------------------------------------


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(AlbertFastError, match=r"missing\.tfrecord.*no such file"):
        RecordReader(tmp_path / "missing.tfrecord", 1)
    with pytest.raises(AlbertFastError, match="no file matches"):
        RecordReader(str(tmp_path / "*.tfrecord"), 1)
    with pytest.raises(AlbertFastError, match=r"has no \*\.tfrecord\* file"):
        RecordReader(tmp_path, 1)
    with pytest.raises(AlbertFastError, match="files"):
        RecordReader([], 1)
    (tmp_path / "empty.tfrecord").touch()
    with pytest.raises(AlbertFastError, match="record"):
        RecordReader(tmp_path, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": None}, "input_ids is missing"),
        ({"token_boundary": None}, "token_boundary is missing, but the first record of each file has it"),
        ({"input_mask": [1] * 31}, "input_mask must have 32 values, got 31"),
        ({"masked_lm_weights": [1, 0, 0, 0, 0]}, "masked_lm_weights must be of type FloatList, got Int64List"),
        ({"next_sentence_labels": [2]}, "next_sentence_labels must be 0 or 1, got 2 at position 0"),
        ({"masked_lm_positions": [31, 30, 0, 0, 0]}, "masked_lm_positions"),
        ({"input_ids": [-1] + [0] * 31}, "input_ids must be from 0 to .*, got -1 at position 0"),
        ({"input_ids": [1 << 31] + [0] * 31}, "input_ids must be from 0 to .*, got 2147483648 at position 0"),
    ],
)
def test_bad_records(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    bad = {name: values for name, values in {**record(7), **change}.items() if values is not None}
    path = tmp_path / "bad.tfrecord"
    path.write_bytes(tfrecords.encode_file([record(1), record(2), bad, record(3)]))
    reader = RecordReader(path, 2, shuffle=False)
    reader.batch(0)
    for _ in range(2):
        with pytest.raises(AlbertFastError, match=rf"bad\.tfrecord, record 2 at byte \d+: .*{message}"):
            reader.batch(1)
    iterator = reader.batches()
    next(iterator)
    with pytest.raises(AlbertFastError, match=message):
        next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)


def test_records_of_other_lengths(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "longer.tfrecord"
    path.write_bytes(tfrecords.encode_file([record(1, length=64)]))
    with pytest.raises(AlbertFastError, match=r"longer\.tfrecord, record 0 at byte 0: input_ids has 64 values.*32"):
        RecordReader([*files, path], 1)
    with pytest.raises(AlbertFastError, match="the sequence length must be 128, got 32"):
        RecordReader(files, 1, max_seq_length=128)


def test_damage(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "damaged.tfrecord"
    content = bytearray(files[0].read_bytes())
    path.write_bytes(content[:-5])
    with pytest.raises(AlbertFastError, match=r"damaged\.tfrecord, record 39 at byte \d+"):
        RecordReader(path, 1)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(AlbertFastError, match=r"damaged\.tfrecord, record \d+ at byte \d+: the data .* fails its CRC"):
        RecordReader(path, 40).batch(0)
    path.write_bytes(files[0].read_bytes())
    reader = RecordReader(path, 40)
    path.write_bytes(files[0].read_bytes()[:-100])
    with pytest.raises(AlbertFastError, match=r"damaged\.tfrecord"):
        reader.batch(0)
    (tmp_path / "text.tfrecord").write_text("This is no record file. " * 20)
    with pytest.raises(AlbertFastError, match="not a TFRecord file"):
        RecordReader(tmp_path / "text.tfrecord", 1)


def test_another_vocabulary(files: list[Path], tokenizer: Tokenizer) -> None:
    with pytest.raises(AlbertFastError, match="ids must be from 0 to 49"):
        RecordReader(files, 100, vocab_size=50).batch(0)
    starts = np.ones(50, dtype=np.bool_)
    # Whose special pieces are others.
    other = Masker.from_vocab(2000, np.ones(2000, dtype=np.bool_), pad_id=0, cls_id=900, sep_id=901, mask_id=902)
    with pytest.raises(AlbertFastError, match=r"begin with id 2 and end with id 3, .*masker's .* are 900 and 901"):
        RecordReader(files, 100, remask=True, masker=other).batch(0)
    small = Masker.from_vocab(50, starts, pad_id=0, cls_id=2, sep_id=3, mask_id=4)
    with pytest.raises(AlbertFastError, match="ids must be from 0 to 49"):
        RecordReader(files, 100, remask=True, masker=small).batch(0)


def test_a_pickled_reader_must_find_the_same_files(files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "some.tfrecord"
    path.write_bytes(files[0].read_bytes())
    pickled = pickle.dumps(RecordReader(path, 4))
    path.write_bytes(files[2].read_bytes())
    with pytest.raises(AlbertFastError, match="59 instances per epoch, and had 40 when it was pickled"):
        pickle.loads(pickled)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
        ({"batch_size": 1 << 50}, "batch_size must be from 1 to"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"shuffle": 1}, "shuffle must be true or false, got 1"),
        ({"remask": True}, "remask=True needs a masker: pass masker="),
        ({"remask": "yes"}, "remask must be true or false"),
        ({"num_threads": 0}, "num_threads must be"),
        ({"vocab_size": 0}, "vocab_size must be"),
        ({"max_seq_length": 0}, "max_seq_length must be"),
        ({"remask": True, "masker": 3}, "masker must be"),
    ],
)
def test_arguments(files: list[Path], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AlbertFastError, match=message):
        RecordReader(files, **{"batch_size": 1, **arguments})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(1, 40), st.booleans())
def test_mutated_files_give_records_or_errors(
    files: list[Path], tmp_path: Path, seed: int, flips: int, fix: bool
) -> None:
    """Bytes of the data are changed, the checksums made to fit: what is read is checked, or refused."""
    rng = random.Random(seed)
    datas = [bytearray(data) for data in tfrecords.unframe(files[0].read_bytes())]
    for _ in range(flips):
        data = rng.choice(datas)
        data[rng.randrange(len(data))] = rng.randrange(256)
    path = tmp_path / "mutated.tfrecord"
    path.write_bytes(b"".join(tfrecords.frame(bytes(data)) for data in datas))
    try:
        batch = RecordReader(path, 40, shuffle=fix, vocab_size=2000).batch(0)
    except AlbertFastError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert "mutated.tfrecord, record " in refused
        return
    assert batch["input_ids"].min() >= 0
    assert batch["input_ids"].max() < 2000
    assert batch["masked_lm_positions"].max() < S
