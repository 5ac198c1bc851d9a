"""Token stores and records in buckets and on web servers, which are read from copies in a cache."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import trainer_runs
from loopback import Fault

from albert_fast import (
    AlbertFastError,
    InstanceStream,
    RecordReader,
    TokenStore,
    inspect_records,
    make_records,
    tokenize,
)
from albert_fast.inspection import find_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from conftest import Command
    from fault_proxy import FaultProxy
    from object_store import ObjectServer
    from trainer_runs import Material
    from web_server import WebServer

    from albert_fast import Batch, BatchSource

DEADLINE = 300
"""Seconds after which something counts as stuck, however busy the machine is."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the cache, where nothing else says so."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("ALBERT_FAST_CACHE", str(directory))
    return directory


@pytest.fixture
def put(store: ObjectServer, bucket: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], str]:
    """Copies a directory to the bucket, and returns its address."""
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)

    def copy(directory: Path, name: str) -> str:
        for file in directory.rglob("*"):
            if file.is_file():
                store.put(bucket, f"{name}/{file.relative_to(directory).as_posix()}", file.read_bytes())
        return f"s3://{bucket}/{name}"

    return copy


def contents(cache: Path) -> list[str]:
    """The names of the files in the cache, without locks and notes."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and not path.name.startswith("."))


def equal(one: Batch, other: Batch) -> bool:
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)  # type: ignore[literal-required]


def assert_same(one: BatchSource, other: BatchSource, batches: Iterable[int] = range(3)) -> None:
    assert len(one) == len(other)
    assert all(equal(one.batch(k), other.batch(k)) for k in batches)


class TestStores:
    def test_a_store_is_fetched_once(
        self, put: Callable[[Path, str], str], store: ObjectServer, bucket: str, cache: Path, material: Material
    ) -> None:
        address = put(material.store, "a/store")
        seen: list[tuple[str, str, int, int]] = []
        opened = TokenStore(address, progress=lambda *report: seen.append(report))
        assert (opened.address, opened.path.parent) == (address, cache)
        assert address in repr(opened)
        local = TokenStore(material.store)
        assert local.address is None
        assert opened.digest == local.digest
        assert opened.tokenizer().digest == local.tokenizer().digest
        names = {path.name for path in material.store.iterdir()} - {"tokenize.config.json"}
        assert contents(cache) == sorted(names)
        assert {report[:2] for report in seen} == {("fetching", "bytes")}
        assert seen[-1][2] == seen[-1][3] > 0
        assert_same(InstanceStream(address, 4, 64), InstanceStream(local, 4, 64))

        # From now on, only the description is read.
        for key in store.list(bucket, "a/store/part-"):
            store.delete(bucket, key)
        again = pickle.loads(pickle.dumps(opened))
        assert (again.path, again.address) == (opened.path, address)
        source = pickle.loads(pickle.dumps(InstanceStream(opened, 4, 64)))
        assert_same(source, InstanceStream(local, 4, 64))

    def test_a_store_without_a_part_names_the_part(
        self, put: Callable[[Path, str], str], store: ObjectServer, bucket: str, cache: Path, material: Material
    ) -> None:
        address = put(material.store, "store")
        part = next(iter(store.list(bucket, "store/part-")))
        good = store.get(bucket, part)
        store.put(bucket, part, good[:-8] + b"damaged!")
        with pytest.raises(AlbertFastError, match="its checksum") as caught:
            TokenStore(address)
        assert str(caught.value).startswith(f"s3://{bucket}/{part}: ")
        assert contents(cache) == ["tokenizer-copy.model"]
        store.delete(bucket, part)
        with pytest.raises(AlbertFastError, match="no such object"):
            TokenStore(address)
        store.put(bucket, part, good)
        assert TokenStore(address).num_documents > 0
        with pytest.raises(AlbertFastError, match="no-store") as caught:
            TokenStore(f"s3://{bucket}/no-store")
        assert caught.value.kind == "data"

    def test_the_cache_is_bounded(self, put: Callable[[Path, str], str], material: Material, tmp_path: Path) -> None:
        address, own = put(material.store, "store"), tmp_path / "own"
        for size in (0, -1, float("nan")):
            with pytest.raises(AlbertFastError, match="cache_size must be a number above 0"):
                TokenStore(address, cache_size=size)
        with pytest.raises(AlbertFastError, match="the size of s3://") as caught:
            TokenStore(address, cache_dir=own, cache_size=1e-6)
        assert (caught.value.option, caught.value.kind) == ("cache_size", "option")
        assert TokenStore(address, cache_dir=own, cache_size=1).path.parent == own

    def test_ctrl_c_ends_it_while_the_server_does_not_answer(
        self, put: Callable[[Path, str], str], proxy: FaultProxy, cache: Path, material: Material
    ) -> None:
        address = put(material.store, "store")
        proxy.fault(Fault(delay=DEADLINE), path="part-", times=None)
        program = (
            "import sys; from albert_fast import TokenStore\n"
            "try: TokenStore(sys.argv[1])\n"
            "except KeyboardInterrupt as error: print(error)\n"
        )
        environment = {**os.environ, **proxy.environment(), "PYTHONPATH": str(trainer_runs.ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-c", program, address], env=environment, stdout=subprocess.PIPE, text=True
        )
        until = time.monotonic() + DEADLINE
        while not any("part-" in request.path for request in proxy.requests):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=DEADLINE / 2)
        assert said == "stopped; fetched files are kept: run the same command again to resume\n"
        assert "part-00000.tokens" not in contents(cache)


class TestRecords:
    def test_records_are_those_of_a_local_directory(
        self, put: Callable[[Path, str], str], store: ObjectServer, bucket: str, cache: Path, material: Material
    ) -> None:
        address = put(material.records, "records")
        names = sorted(path.name for path in material.records.glob("*.tfrecord"))
        local = RecordReader(material.records, 8)
        for given in (address, f"{address}/", f"{address}/*.tfrecord", f"s3://{bucket}/rec*", f"{address}/[!d]*-of-*"):
            reader = RecordReader(given, 8)
            assert reader.files == [f"{address}/{name}" for name in names]
            assert_same(reader, local)
        assert contents(cache) == ["dataset.json", *names]
        one = RecordReader(f"{address}/{names[1]}", 8)
        assert_same(one, RecordReader(material.records / names[1], 8))
        for name in names:
            store.delete(bucket, f"records/{name}")
        # They are still in the cache, but no longer found.
        assert_same(pickle.loads(pickle.dumps(reader)), local)
        with pytest.raises(AlbertFastError, match="no such object") as caught:
            RecordReader(address, 8)
        assert caught.value.kind == "input"

    def test_records_without_a_description_are_known_by_their_version(
        self, put: Callable[[Path, str], str], store: ObjectServer, bucket: str, material: Material
    ) -> None:
        address = put(material.records, "records")
        store.delete(bucket, "records/dataset.json")
        first, second = sorted(material.records.glob("*.tfrecord"))
        assert_same(RecordReader(address, 8), RecordReader(material.records, 8))
        store.put(bucket, f"records/{first.name}", second.read_bytes())
        assert_same(RecordReader(f"{address}/{first.name}", 8), RecordReader(second, 8))

    def test_a_damaged_file_is_refused(
        self, put: Callable[[Path, str], str], store: ObjectServer, bucket: str, cache: Path, material: Material
    ) -> None:
        address = put(material.records, "records")
        name = min(path.name for path in material.records.glob("*.tfrecord"))
        data = store.get(bucket, f"records/{name}")
        store.put(bucket, f"records/{name}", data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(AlbertFastError, match="its checksum") as caught:
            RecordReader(address, 8)
        assert str(caught.value).startswith(f"{address}/{name}: ")
        assert name not in contents(cache)

    def test_the_tokenizer_is_compared_before_anything_is_fetched(
        self, put: Callable[[Path, str], str], cache: Path, material: Material, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        other.mkdir()
        for file in material.held_out.iterdir():
            (other / file.name).write_bytes(file.read_bytes())
        described = json.loads((other / "dataset.json").read_text())
        described["tokenizer"] |= {"vocab_size": 7, "vocab_digest": "0", "digest": "1"}
        (other / "dataset.json").write_text(json.dumps(described))
        with pytest.raises(AlbertFastError, match="different tokenizers"):
            RecordReader([put(material.records, "records"), put(other, "other")], 8)
        assert not cache.exists()

    def test_records_on_the_web(self, web: WebServer, cache: Path, material: Material) -> None:
        web.files = {f"data/{path.name}": path.read_bytes() for path in material.records.iterdir() if path.is_file()}
        assert_same(RecordReader(web.url("data"), 8), RecordReader(material.records, 8))
        file = min(material.records.glob("*.tfrecord"))
        address = web.url(f"data/{file.name}")
        assert_same(RecordReader(f"{address}?signature=secret", 8), RecordReader(file, 8))
        assert all("secret" not in str(path) for path in cache.rglob("*"))


class TestCommands:
    def test_inspect_records_makes_no_copy(
        self, put: Callable[[Path, str], str], command: Command, cache: Path, material: Material
    ) -> None:
        address = put(material.records, "records")
        local = command("inspect-records", material.records, "--tokenizer", trainer_runs.TOKENIZER)
        for given in (address, f"{address}/*.tfrecord"):
            remote = command("inspect-records", given, "--tokenizer", trainer_runs.TOKENIZER)
            assert remote.code == local.code == 0
            assert remote.out.replace(address, str(material.records)) == local.out
        assert not cache.exists()
        assert inspect_records(address).records == inspect_records(material.records).records
        assert find_files([f"{address}/dataset.json"])[0].name == "dataset.json"
        refused = command("inspect-records", f"{address}/none-*")
        assert refused.code == 1
        assert refused.error.startswith(f"{address}/none-*: no such object")

    def test_make_records_reads_a_remote_store(
        self, put: Callable[[Path, str], str], command: Command, cache: Path, material: Material, tmp_path: Path
    ) -> None:
        address = put(material.store, "store")
        rules = ["--max-seq-length", 64, "--max-predictions-per-seq", 10, "--num-shards", 2]
        assert command("make-records", material.store, "--output-dir", tmp_path / "local", *rules).code == 0
        own = ["--cache-dir", tmp_path / "own", "--cache-size", 1]
        assert command("make-records", address, "--output-dir", tmp_path / "remote", *rules, *own).code == 0
        for file in (tmp_path / "local").glob("*.tfrecord"):
            assert (tmp_path / "remote" / file.name).read_bytes() == file.read_bytes()
        described = [json.loads((tmp_path / name / "dataset.json").read_text()) for name in ("local", "remote")]
        assert described[0] == described[1]
        assert "part-00000.tokens" in contents(tmp_path / "own")
        assert not cache.exists()
        # The same command again finds everything there.
        again = command("make-records", address, "--output-dir", tmp_path / "remote", *rules, *own)
        assert (again.code, "already complete" in again.err) == (0, True)
        refused = command("make-records", address, "--output-dir", tmp_path / "none", *rules, "--cache-size", "1e-6")
        assert refused.code == 2
        assert refused.error.startswith("--cache-size must be at least 0.01 GiB, the size of s3://")

    def test_pretrain_and_evaluate_read_remote_data(
        self, put: Callable[[Path, str], str], cache: Path, material: Material, tmp_path: Path
    ) -> None:
        def train(run: Path, steps: int = 4, **changes: object) -> str:
            steps_of = {"num_train_steps": steps, "num_warmup_steps": 1, "save_checkpoints_steps": 2}
            return trainer_runs.finish(trainer_runs.start(trainer_runs.arguments(material, run, **steps_of, **changes)))

        tokens, held_out = put(material.store, "store"), put(material.held_out, "held-out")
        train(tmp_path / "local", eval_records=material.held_out)
        said = train(tmp_path / "remote", tokens=tokens, eval_records=f"{held_out}/*.tfrecord")
        assert f"from {tokens}" in said
        found = [trainer_runs.weights(tmp_path / name) for name in ("local", "remote")]
        assert found[0].keys() == found[1].keys()
        assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
        described = json.loads((tmp_path / "remote" / "run.json").read_text())
        assert (described["data"]["path"], described["data"]["eval_records"]) == (tokens, f"{held_out}/*.tfrecord")
        options = (tmp_path / "remote" / "pretrain.config.json").read_text()
        assert json.loads(options)["pretrain"]["tokens"] == [tokens]
        figures = []
        for records in (material.held_out, held_out):
            words = ["evaluate", "--checkpoint", str(tmp_path / "local"), "--records", str(records), "--no-jit"]
            lines = trainer_runs.finish(trainer_runs.start(words)).splitlines()
            figures.append([line for line in lines if line.startswith(("masked_lm", "sentence_order"))])
        assert figures[0] == figures[1]
        assert len(figures[0]) == 4
        # A run may go on with the same data elsewhere.
        train(tmp_path / "remote", tokens=material.store, eval_records=material.held_out)


def test_records_of_a_mixture(
    material: Material, corpus: Path, put: Callable[[Path, str], str], cache: Path, tmp_path: Path
) -> None:
    tokenizer = TokenStore(material.store).tokenizer()
    tokenize(corpus.parent / "part-b.txt", tmp_path / "other", tokenizer)
    for output, stores in (
        ("local", [material.store, tmp_path / "other"]),
        ("remote", [put(material.store, "store"), put(tmp_path / "other", "other")]),
    ):
        make_records(dict(zip(stores, (3, 1), strict=True)), tmp_path / output, tokenizer, max_predictions_per_seq=77)
    for file in (tmp_path / "local").iterdir():
        assert (tmp_path / "remote" / file.name).read_bytes() == file.read_bytes()
    assert "meta.json" in contents(cache)
