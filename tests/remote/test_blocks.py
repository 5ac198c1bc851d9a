"""Records that are made from blocks of a token store in a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from albert_fast import AlbertFastError, Tokenizer, make_records, tokenize

if TYPE_CHECKING:
    from pathlib import Path

    from remote_sites import BucketSite

OPTIONS: dict[str, Any] = {"shuffle": "blocks", "max_seq_length": 64, "max_predictions_per_seq": 10, "num_shards": 2}


@pytest.fixture
def local_store(text: bytes, model: Path, tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_bytes(text)
    tokenize(tmp_path / "corpus.txt", tmp_path / "store", Tokenizer.from_file(model))
    return tmp_path / "store"


def put(site: BucketSite, directory: Path) -> str:
    site.put({f"store/{file.name}": file.read_bytes() for file in directory.iterdir()})
    return site.path("store")


def test_a_store_in_a_bucket_is_read_block_by_block(
    remote: BucketSite, local_store: Path, model: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.from_file(model)
    make_records(local_store, tmp_path / "out", tokenizer, **OPTIONS)
    address = put(remote, local_store)
    for task in (1, 0):
        make_records(address, remote.path("out"), tokenizer, num_tasks=2, task_id=task, **OPTIONS)
    assert remote.files("out") == {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    # The store was not copied.
    assert not list((tmp_path / "cache").rglob("*.tokens"))


def test_a_part_that_is_missing_or_has_another_size_is_named(
    remote: BucketSite, local_store: Path, model: Path, tmp_path: Path
) -> None:
    address = put(remote, local_store)
    name = "store/part-00000.tokens"
    whole = remote.files("store")["part-00000.tokens"]
    remote.put({name: whole[:-8]})
    with pytest.raises(AlbertFastError, match=r"part-00000\.tokens.*bytes, but meta\.json says"):
        make_records(address, tmp_path / "out", Tokenizer.from_file(model), **OPTIONS)
    remote.store.delete(remote.bucket, name)
    with pytest.raises(AlbertFastError, match=r"part-00000\.tokens.*does not exist"):
        make_records(address, tmp_path / "out", Tokenizer.from_file(model), **OPTIONS)
