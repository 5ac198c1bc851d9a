"""The servers that tests of remote storage run against, apart from that in bucket_fixtures.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fault_proxy import FaultProxy
from hub_server import HubServer
from remote_sites import HubSite, Site, WebSite
from web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from object_store import ObjectServer


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


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Site:
    """The place that the test's parameter names."""
    if request.param == "hf":
        hub = request.getfixturevalue("hub")
        request.getfixturevalue("client")
        request.getfixturevalue("monkeypatch").setenv("HF_ENDPOINT", hub.endpoint)
        return HubSite(hub)
    if request.param == "http":
        return WebSite(request.getfixturevalue("web"))
    found: Site = request.getfixturevalue({"local": "local", "s3": "remote"}[request.param])
    return found


@pytest.fixture(scope="session")
def raw(text: bytes) -> bytes:
    """Its documents as JSON Lines."""
    documents = text.decode().rstrip("\n").split("\n\n")
    return "".join(json.dumps({"text": one.replace("\n", " ")}) + "\n" for one in documents).encode()
