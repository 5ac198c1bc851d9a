"""A proxy on loopback in front of an object store, with faults in mid-read and mid-write.

Clients get its address as their endpoint. The signature of their requests covers the Host header, so that is passed on
as it came.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from loopback import PIECE, Body, CutError, Fault, Loopback, Reply, Request

if TYPE_CHECKING:
    from object_store import ObjectServer
    from sigv4 import Identity

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
"""Headers of an answer that this proxy writes itself."""


class FaultProxy(Loopback):
    """Passes requests on to `server`. While that is down or starts, a client finds its connection closed."""

    def __init__(self, server: ObjectServer) -> None:
        super().__init__()
        self.server = server

    def environment(self, who: Identity | None = None) -> dict[str, str]:
        """What a client finds the proxy and the server's keys by."""
        found = self.server.environment(who) if who else self.server.environment()
        return {**found, "AWS_ENDPOINT_URL": self.endpoint}

    def answer(self, request: Request, fault: Fault, body: Body) -> Reply:
        if not self.server.is_ready:
            raise CutError
        upstream = http.client.HTTPConnection(self.server.address, timeout=120)
        try:
            upstream.putrequest(request.method, body.target, skip_host=True, skip_accept_encoding=True)
            for name, value in body.headers:
                upstream.putheader(name, value)
            upstream.endheaders()
            for chunk in body.chunks(fault.cut_request):
                upstream.send(chunk)
            if fault.cut_request is not None:
                raise CutError
            answer = upstream.getresponse()
        except BaseException:
            upstream.close()
            raise
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
        length = answer.getheader("Content-Length")
        chunks = iter(lambda: answer.read(PIECE), b"")
        return Reply(answer.status, headers, chunks, None if length is None else int(length), upstream.close)
