"""Where the files of a test are: in a local directory, in a bucket, on a web server or on the Hub, all used alike."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from hub_server import HubServer
    from object_store import ObjectServer
    from web_server import WebServer

DATASET = "owner/corpus"
"""The dataset on the Hub."""
RECORDS = "--max-seq-length 64 --max-predictions-per-seq 10"
"""Options for records of a small text."""


class Site(ABC):
    """A place with files, which have names relative to it."""

    root = ""
    """What every path of the place begins with; ends in a slash."""
    is_writable = True
    lists = True
    """Whether a directory of it can be an input."""

    def path(self, name: str) -> str:
        """The path of a file or directory, as a command takes it."""
        return self.root + name

    @abstractmethod
    def put(self, files: Mapping[str, bytes]) -> None:
        """Writes files, given by their names."""

    @abstractmethod
    def files(self, directory: str = "") -> dict[str, bytes]:
        """The content of each file in a directory or below, hidden ones too, by its name relative to that."""


class LocalSite(Site):
    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.root = directory, f"{directory}/"

    def put(self, files: Mapping[str, bytes]) -> None:
        for name, body in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def files(self, directory: str = "") -> dict[str, bytes]:
        top = self.directory / directory
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


class BucketSite(Site):
    def __init__(self, store: ObjectServer, bucket: str) -> None:
        self.store, self.bucket, self.root = store, bucket, f"s3://{bucket}/"

    def put(self, files: Mapping[str, bytes]) -> None:
        for name, body in files.items():
            self.store.put(self.bucket, name, body)

    def files(self, directory: str = "") -> dict[str, bytes]:
        prefix = f"{directory}/" if directory else ""
        found = self.store.list(self.bucket, prefix)
        return {key.removeprefix(prefix): self.store.get(self.bucket, key) for key in found}


class WebSite(Site):
    is_writable = lists = False

    def __init__(self, server: WebServer) -> None:
        self.server, self.root = server, f"{server.endpoint}/"

    def path(self, name: str) -> str:
        return self.server.url(name)

    def put(self, files: Mapping[str, bytes]) -> None:
        self.server.files.update(files)

    def files(self, directory: str = "") -> dict[str, bytes]:
        return below(self.server.files, directory)


class HubSite(Site):
    is_writable = False

    def __init__(self, server: HubServer) -> None:
        self.server, self.root = server, f"hf://datasets/{DATASET}/"
        self._files: dict[str, bytes] = {}

    def put(self, files: Mapping[str, bytes]) -> None:
        self._files |= files
        self.server.commit(DATASET, self._files)

    def files(self, directory: str = "") -> dict[str, bytes]:
        return below(self._files, directory)


def below(files: Mapping[str, bytes], directory: str) -> dict[str, bytes]:
    """Those of `files` that are in a directory or below, by their names relative to it."""
    prefix = f"{directory}/" if directory else ""
    return {name.removeprefix(prefix): body for name, body in files.items() if name.startswith(prefix)}


def comparable(files: Mapping[str, bytes], sites: Iterable[Site]) -> dict[str, bytes]:
    """The files of an output, so that those of outputs at different sites are equal if the commands did the same.

    In JSON, paths of the sites begin with SITE/ instead, and the fingerprints of inputs are left out: that of an object
    is its ETag.
    """
    found = dict(files)
    roots = sorted((site.root.encode() for site in sites), key=len, reverse=True)
    for name, body in files.items():
        if name.endswith(".json"):
            text = re.sub(rb'("fingerprint": )"(?:[^"\\]|\\.)*"', rb"\1null", body)
            for root in roots:
                text = text.replace(root, b"SITE/")
            found[name] = text
    return found


def digest(body: bytes) -> str:
    """Stands for content that is too long to be shown where it is not as expected."""
    return f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()}"
