"""A web server on loopback that serves files, by ranges too, and fails as a test wants it to."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from loopback import Body, Fault, Loopback, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

MODIFIED = "Wed, 01 Jan 2025 00:00:00 GMT"


def served(request: Request, body: bytes, etag: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Answers a request for `body`: all of it, a range, or that it has not changed."""
    every = {"ETag": etag, "Last-Modified": MODIFIED, "Accept-Ranges": "bytes", **(headers or {})}
    if request.headers.get("if-match", etag) not in {etag, "*"}:
        return Reply(412)
    if request.headers.get("if-none-match") in {etag, "*"}:
        return Reply(304, every)
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.range or "")
    if found is None or found[0] == "bytes=-":
        return Reply(200, every, body)
    size = len(body)
    start = int(found[1]) if found[1] else max(0, size - int(found[2]))
    end = min(size, int(found[2]) + 1) if found[1] and found[2] else size
    if start >= end:
        return Reply(416, {"Content-Range": f"bytes */{size}"})
    return Reply(206, every | {"Content-Range": f"bytes {start}-{end - 1}/{size}"}, body[start:end])


@dataclass
class _Change:
    """Other bytes for a file, once it was read so often."""

    path: str
    body: bytes
    reads: int


class WebServer(Loopback):
    """Serves `files`: bytes by path (`data/a.txt`), or a directory."""

    def __init__(self, files: Mapping[str, bytes] | Path | None = None) -> None:
        super().__init__()
        self.directory = files if isinstance(files, Path) else None
        self.files: dict[str, bytes] = {} if files is None or isinstance(files, Path) else dict(files)
        """May be changed at any time; an ETag is a digest of the bytes."""
        self._tokens: dict[str, str] = {}
        self._changes: list[_Change] = []

    def url(self, path: str) -> str:
        return f"{self.endpoint}/{quote(path)}"

    def change(self, path: str, body: bytes, after: int = 1) -> None:
        """Gives a file other bytes, and so another ETag, once it was read `after` times."""
        self._changes.append(_Change(path, body, after))

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        """Sends who asks for `path` to another path of this server, or to an address."""
        self.fault(Fault(status, {"Location": to}), path=f"/{path}", times=None)

    def protect(self, path: str, token: str) -> None:
        """Refuses paths that begin with `path` to those who do not send `token`."""
        self._tokens[path] = token

    def _read(self, path: str) -> bytes | None:
        if path in self.files:
            return self.files[path]
        if self.directory is not None:
            file = (self.directory / path).resolve()
            if file.is_relative_to(self.directory.resolve()) and file.is_file():
                return file.read_bytes()
        return None

    def _note_read(self, path: str) -> None:
        """Makes the changes that are due. This answer has its bytes, and the client does not have them yet."""
        with self._lock:
            for change in [each for each in self._changes if each.path == path]:
                change.reads -= 1
                if not change.reads:
                    self._changes.remove(change)
                    self.files[path] = change.body

    def answer(self, request: Request, fault: Fault, body: Body) -> Reply:
        if request.method not in {"GET", "HEAD"}:
            return Reply(405, {"Allow": "GET, HEAD"})
        path = request.path.removeprefix("/")
        for prefix, token in self._tokens.items():
            if path.startswith(prefix) and request.headers.get("authorization") != f"Bearer {token}":
                return Reply(401, {"WWW-Authenticate": 'Bearer realm="tests"'})
        found = self._read(path)
        if found is None:
            return Reply(404, {"Content-Type": "text/plain"}, b"not found\n")
        etag = f'"{hashlib.sha1(found).hexdigest()}"'
        if request.method == "GET":
            self._note_read(path)
        if not fault.ranges:
            return Reply(200, {"ETag": etag, "Last-Modified": MODIFIED}, found)
        return served(request, found, etag)
