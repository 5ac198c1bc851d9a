"""AWS' Signature Version 4 for requests to an S3 server, and the requests themselves: one connection each."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping


class Identity(NamedTuple):
    """A pair of keys."""

    key: str
    secret: str


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: dict[str, str]
    """By lowercase names."""
    body: bytes


def encoded(query: Mapping[str, str]) -> str:
    """The query as it is signed: names in order, everything but letters, digits and `-_.~` in percent form."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))


def signed(
    method: str, host: str, path: str, query: str, headers: Mapping[str, str], body: bytes, who: Identity, region: str
) -> dict[str, str]:
    """The headers with those of the signature. `path` and `query` are already in percent form."""
    time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    every = {name.lower(): value.strip() for name, value in headers.items()}
    every |= {"host": host, "x-amz-date": time, "x-amz-content-sha256": digest}
    names = ";".join(sorted(every))
    lines = "".join(f"{name}:{every[name]}\n" for name in sorted(every))
    request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = b"AWS4" + who.secret.encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    credential = f"Credential={who.key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    return every | {"authorization": f"AWS4-HMAC-SHA256 {credential}"}


def send(
    address: str,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    who: Identity | None = None,
    region: str = "us-east-1",
    timeout: float = 60,
) -> Answer:
    """Sends one request to `address` (host:port), signed for `who`, or anonymous."""
    path, text, every = quote(path, safe="/-_.~"), encoded(query or {}), dict(headers or {})
    if who:
        every = signed(method, address, path, text, every, body, who, region)
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, f"{path}?{text}" if text else path, body or None, every)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()
