"""The order of records and of streams that read a token store block by block."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albert_fast import AlbertFastError, InstanceStream, RecordReader, Tokenizer, TokenStore, make_records, tokenize

SHAPE: dict[str, Any] = {"max_seq_length": 64, "max_predictions_per_seq": 10, "dupe_factor": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, model: Path) -> TokenStore:
    directory = tmp_path_factory.mktemp("blocks")
    rng = np.random.default_rng(1)
    words = ["sea", "ship", "land", "king", "tree", "stone", "river", "night", "winter", "bread"]

    def sentence() -> str:
        return " ".join(rng.choice(words, size=9)).capitalize() + "."

    documents = ["\n".join(sentence() for _ in range(rng.integers(1, 9))) for _ in range(400)]
    (directory / "corpus.txt").write_text("\n\n".join(documents) + "\n")
    tokenize(directory / "corpus.txt", directory / "store", Tokenizer.from_file(model))
    return TokenStore(directory / "store")


def instances(directory: Path) -> Counter[bytes]:
    """Returns how often each instance is in the records."""
    reader = RecordReader(directory, 1, shuffle=False)
    rows = (reader.batch(number) for number in range(len(reader)))
    return Counter(b"".join(np.asarray(value).tobytes() for _, value in sorted(row.items())) for row in rows)


def test_the_records_are_the_same_in_another_order(store: TokenStore, tmp_path: Path) -> None:
    made = {
        shuffle: make_records(store.path, tmp_path / shuffle, store.tokenizer(), shuffle=shuffle, num_shards=2, **SHAPE)
        for shuffle in ("global", "blocks")
    }
    assert instances(tmp_path / "global") == instances(tmp_path / "blocks")
    totals = {shuffle: records.described["totals"] for shuffle, records in made.items()}
    assert totals["global"] == totals["blocks"]
    assert made["global"].described["shards"] != made["blocks"].described["shards"]
    assert "shuffle" not in made["global"].described["options"]
    assert made["blocks"].described["options"]["shuffle"] == "blocks"


def test_tasks_write_the_bytes_of_one_command(store: TokenStore, tmp_path: Path) -> None:
    options: dict[str, Any] = {**SHAPE, "shuffle": "blocks", "num_shards": 2}
    make_records(store.path, tmp_path / "one", store.tokenizer(), **options)
    for task in (2, 0, 1):
        made = make_records(store.path, tmp_path / "tasks", store.tokenizer(), num_tasks=3, task_id=task, **options)
    assert made.described["totals"]["instances"] == made.instances
    files = {name.name: name.read_bytes() for name in (tmp_path / "one").iterdir()}
    assert files == {name.name: name.read_bytes() for name in (tmp_path / "tasks").iterdir()}


def test_records_of_another_order_are_refused(store: TokenStore, tmp_path: Path) -> None:
    make_records(store.path, tmp_path / "out", store.tokenizer(), num_shards=2, **SHAPE)
    with pytest.raises(AlbertFastError, match="shuffle"):
        make_records(store.path, tmp_path / "out", store.tokenizer(), shuffle="blocks", num_shards=2, **SHAPE)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"shuffle": "sorted"}, "shuffle"),
        ({"shuffle": "blocks", "rng": "reference"}, "shuffle"),
        ({"shuffle": "blocks", "num_shards": 3}, "num_shards"),
    ],
)
def test_what_cannot_be_shuffled_is_refused(
    options: dict[str, Any], option: str, store: TokenStore, tmp_path: Path
) -> None:
    inputs = store.path if "rng" not in options else store.path.parent / "corpus.txt"
    with pytest.raises(AlbertFastError) as caught:
        make_records(inputs, tmp_path / "out", store.tokenizer(), **{**SHAPE, **options})
    assert caught.value.option == option


def test_a_damaged_block_is_an_error(store: TokenStore, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    copy.mkdir()
    for file in Path(store.path).iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    part = copy / json.loads((copy / "meta.json").read_text())["parts"][0]["file"]
    content = bytearray(part.read_bytes())
    content[-8:] = bytes(8)
    part.write_bytes(content)
    with pytest.raises(AlbertFastError, match=rf"{part.name}.*ends of its documents"):
        make_records(copy, tmp_path / "out", store.tokenizer(), shuffle="blocks", **SHAPE)
    assert not list((tmp_path / "out").glob("records-*"))


def test_a_stream_has_the_instances_of_the_global_order(store: TokenStore) -> None:
    streams = [InstanceStream(store, 1, 64, shuffle=shuffle) for shuffle in ("global", "blocks")]
    assert len(streams[0]) == len(streams[1])
    rows = [Counter(stream.batch(number)["input_ids"].tobytes() for number in range(len(stream))) for stream in streams]
    assert rows[0] == rows[1]
    with pytest.raises(AlbertFastError, match="shuffle"):
        InstanceStream(store, 1, 64, shuffle="windows")  # type: ignore[arg-type]
