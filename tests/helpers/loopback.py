"""A web server on loopback that fails as a test wants it to; what the other servers of the tests are built on."""

from __future__ import annotations

import abc
import contextlib
import http.client
import http.server
import socket
import socketserver
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from typing_extensions import Self

PIECE = 1 << 18
"""Bytes that are sent at a time, at most."""


class Request(NamedTuple):
    """What a client asked for."""

    method: str
    path: str
    """Without percent signs and query."""
    query: dict[str, str]
    headers: dict[str, str]
    """By lowercase names."""

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with an answer. Several of these may hold at once."""

    status: int | None = None
    """Answer with this status and `headers` and `body`, and do nothing else of what was asked."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0
    """Seconds until anything is done."""
    before: Callable[[], object] | None = None
    """Called then."""
    cut_request: int | None = None
    """Close the connection after this many bytes of the request's body; a proxy passes them on."""
    lose: bool = False
    """Do what was asked, and close the connection instead of answering."""
    cut: int | None = None
    """Close the connection after the headers and this many bytes of the body."""
    truncate: int | None = None
    """Send only this many bytes of the body, with the Content-Length that they have."""
    claim: int = 0
    """Bytes that Content-Length says are there beyond those that are; negative: that it keeps quiet about."""
    chunk: int = PIECE
    """Send this many bytes of the body at a time."""
    pause: float = 0
    """Seconds to wait after each such chunk."""
    at: int = 0
    """Bytes of the body after which `during` is called."""
    during: Callable[[], object] | None = None
    after: Callable[[], object] | None = None
    """Called when the answer has gone out."""
    ranges: bool = True
    """If false, a range is not heeded: the answer is 200 and everything."""


def s3_error(status: int, code: str, **headers: str) -> Fault:
    """The answer with which S3 refuses a request; headers as `Retry_After="1"`."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>'
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status, {"Content-Type": "application/xml", **names}, body.encode())


@dataclass
class _Rule:
    """When a fault happens."""

    fault: Fault
    method: str
    path: str
    query: str
    skip: int
    times: int | None

    def fits(self, request: Request, query: str) -> bool:
        return self.method in {"", request.method} and self.path in request.path and self.query in query


class Reply(NamedTuple):
    """What a server answers unless a fault changes it."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes | Iterable[bytes] = b""
    length: int | None = None
    """Of a body that is not bytes; None ends it with the connection."""
    close: Callable[[], object] | None = None
    """Called when the body has gone out, or will not."""


class Loopback(abc.ABC):
    """The server; a context manager that starts and stops it. Subclasses say what it answers."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        """What was asked, in order, answered or not."""
        self.errors: list[BaseException] = []
        """What went wrong in a server's own code; raised when it stops."""
        self._stopping = threading.Event()
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        # The interval is what stopping may take.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.close_connections()
        if self.errors:
            raise self.errors[0]

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    def fault(
        self,
        fault: Fault,
        *,
        method: str = "",
        path: str = "",
        query: str = "",
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """Lets the next `times` requests that fit fail, after `skip` that do not; None: all of them.

        `method` is all of the method, `path` and `query` are some text in them (the query as in the URL, with its
        percent signs). Of several faults that fit, the one added first comes first.
        """
        with self._lock:
            self._rules.append(_Rule(fault, method, path, query, skip, times))

    def heal(self) -> None:
        """Forgets all faults that have not happened."""
        with self._lock:
            self._rules.clear()

    def seen(self, method: str = "", path: str = "") -> list[Request]:
        """The requests with this method and this text in their path."""
        with self._lock:
            return [one for one in self.requests if method in {"", one.method} and path in one.path]

    def wait(self, seconds: float) -> None:
        """Waits, and cuts the connection when the server stops meanwhile."""
        if self._stopping.wait(seconds):
            raise CutError

    def _note(self, request: Request, query: str) -> Fault:
        with self._lock:
            self.requests.append(request)
            for rule in self._rules:
                if not rule.fits(request, query):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.times is not None:
                    rule.times -= 1
                    if not rule.times:
                        self._rules.remove(rule)
                return rule.fault
        return Fault()

    @abc.abstractmethod
    def answer(self, request: Request, fault: Fault, body: Body) -> Reply:
        """Returns the answer to a request."""


class Body:
    """A request as it comes from the connection: its body is read when it is asked for."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self.target = handler.path
        """Path and query as they came."""
        self.headers = handler.headers.items()
        self.length = int(handler.headers.get("Content-Length") or 0)
        self._left = self.length

    def read(self, count: int) -> bytes:
        """The next bytes, up to `count`; none at the end."""
        found = self._handler.rfile.read(min(count, self._left))
        if self._left and not found:
            # The client went away.
            raise CutError
        self._left -= len(found)
        return found

    def chunks(self, end: int | None = None) -> Iterator[bytes]:
        """The rest, or what is before the byte `end`."""
        left = self._left if end is None else min(end, self._left)
        while left > 0 and (found := self.read(min(PIECE, left))):
            left -= len(found)
            yield found


class CutError(Exception):
    """The connection ends here, without another byte."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A body must not wait until the client has acknowledged the headers.
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, unquote(parts.path), query, headers)
        owner = self.server.owner
        fault = owner._note(request, parts.query)
        reply = Reply(500)
        try:
            owner.wait(fault.delay)
            if fault.before:
                fault.before()
            body = Body(self)
            if fault.status is None:
                reply = owner.answer(request, fault, body)
            else:
                reply = Reply(fault.status, fault.headers, fault.body)
            for _ in body.chunks(fault.cut_request):
                pass
            if fault.lose or fault.cut_request is not None:
                raise CutError
            self._send(reply, fault)
        except (CutError, OSError, http.client.HTTPException):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        else:
            if fault.after:
                fault.after()
        finally:
            if reply.close:
                reply.close()

    def _send(self, reply: Reply, fault: Fault) -> None:
        length = len(reply.body) if isinstance(reply.body, bytes) else reply.length
        chunks: Iterable[bytes] = [reply.body] if isinstance(reply.body, bytes) else reply.body
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status in {204, 304}:
            length = None
        elif length is None:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            length = length if fault.truncate is None else min(length, fault.truncate)
            self.send_header("Content-Length", str(length + fault.claim))
        self.end_headers()
        if self.command != "HEAD" and reply.status not in {204, 304}:
            self._send_body(chunks, length, fault)
            if fault.claim:
                raise CutError

    def _send_body(self, chunks: Iterable[bytes], end: int | None, fault: Fault) -> None:
        marks = [mark for mark in (fault.at, fault.cut, end) if mark is not None]
        position = 0
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                self._reach(position, fault)
                if position == end:
                    return
                size = min(len(rest), fault.chunk, *(mark - position for mark in marks if mark > position))
                self.wfile.write(rest[:size])
                position += size
                rest = rest[size:]
                self.server.owner.wait(fault.pause)
        self._reach(position, fault)
        if end is not None and position < end:
            # What it comes from broke off.
            raise CutError

    def _reach(self, position: int, fault: Fault) -> None:
        if fault.during and position == fault.at:
            fault.during()
        if position == fault.cut:
            raise CutError


class _Server(http.server.ThreadingHTTPServer):
    # Many connections are opened at once.
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, owner: Loopback) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner
        self._open: set[socket.socket] = set()

    def server_bind(self) -> None:
        # That of the standard library looks up the name of the host, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, client = super().get_request()
        self._open.add(connection)
        return connection, client

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none; what else goes wrong shows in the answer that is missing."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.owner.errors.append(error)

    def close_connections(self) -> None:
        """Ends the threads that serve connections, as those of clients that keep them wait for a request."""
        deadline = time.monotonic() + 10
        while self._open and time.monotonic() < deadline:
            for connection in tuple(self._open):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            time.sleep(0.001)
