"""An S3 server that does as little as a server can: it checks no signature and copies bytes between sockets and files.

Against it, the time that a command loses to remote storage is that of the command itself. A real server takes more.

plain_store.py DIRECTORY    Serve on loopback until standard input ends. The first line of output is the port.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

PIECE = 1 << 20
TIME = "%Y-%m-%dT%H:%M:%S.000Z"


class Handler(BaseHTTPRequestHandler):
    """Answers what albert-fast asks of S3. Objects are files; their names are their keys, quoted."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    root: Path

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _target(self) -> tuple[str, Path, dict[str, str]]:
        parts = urlsplit(self.path)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return key, self.root / "objects" / quote(key, safe=""), query

    def _answer(self, status: int, body: str = "", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def _missing(self) -> None:
        body = "" if self.command == "HEAD" else "<Error><Code>NoSuchKey</Code></Error>"
        self._answer(404, body)

    def _receive(self, file: IO[bytes]) -> None:
        left = int(self.headers["Content-Length"] or 0)
        buffer = memoryview(bytearray(min(left, PIECE)))
        while left:
            count = self.rfile.readinto(buffer[: min(left, PIECE)])
            if not count:
                raise ConnectionError
            file.write(buffer[:count])
            left -= count

    def _etag(self, path: Path) -> str:
        found = path.stat()
        return f'"{hashlib.md5(f"{found.st_ino} {found.st_mtime_ns} {found.st_size}".encode()).hexdigest()}"'

    def do_HEAD(self) -> None:
        """Describe an object."""
        self.do_GET()

    def do_GET(self) -> None:
        """Send an object, a range of it, or a list."""
        key, path, query = self._target()
        if "uploads" in query:
            self._answer(200, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")
        elif not key:
            self._list(query)
        elif not path.exists():
            self._missing()
        else:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                start, end, status = 0, size, 200
                headers = {"ETag": self._etag(path), "Last_Modified": formatdate(path.stat().st_mtime, usegmt=True)}
                if wanted := self.headers["Range"]:
                    first, _, last = wanted.removeprefix("bytes=").partition("-")
                    start, end, status = int(first), min(size, int(last or size) + 1), 206
                    headers["Content_Range"] = f"bytes {start}-{end - 1}/{size}"
                self._answer(status, Content_Length=str(end - start), Accept_Ranges="bytes", **headers)
                self.wfile.flush()
                if self.command == "GET" and end > start:
                    self.connection.sendfile(file, start, end - start)

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        contents, groups = [], set()
        for name in sorted(unquote(entry.name) for entry in (self.root / "objects").iterdir()):
            rest = name.removeprefix(prefix)
            if not name.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                groups.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            path = self.root / "objects" / quote(name, safe="")
            found = path.stat()
            when = time.strftime(TIME, time.gmtime(found.st_mtime))
            contents.append(
                f"<Contents><Key>{escape(name)}</Key><LastModified>{when}</LastModified>"
                f"<ETag>{escape(self._etag(path))}</ETag><Size>{found.st_size}</Size></Contents>"
            )
        found_groups = "".join(
            f"<CommonPrefixes><Prefix>{escape(group)}</Prefix></CommonPrefixes>" for group in sorted(groups)
        )
        body = "".join(contents) + found_groups
        self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{body}</ListBucketResult>")

    def do_PUT(self) -> None:
        """Keep an object or a part of one."""
        _, path, query = self._target()
        if "uploadId" in query:
            part = self.root / "uploads" / query["uploadId"] / f"{int(query['partNumber']):06}"
            with part.open("wb") as file:
                self._receive(file)
            self._answer(200, ETag=f'"{query["partNumber"]}"')
            return
        handle, name = tempfile.mkstemp(dir=self.root)
        whole = Path(name)
        with os.fdopen(handle, "wb") as file:
            self._receive(file)
        if self.headers["If-None-Match"] == "*":
            try:
                os.link(whole, path)
            except FileExistsError:
                self._answer(412, "<Error><Code>PreconditionFailed</Code></Error>")
                return
            finally:
                whole.unlink()
        else:
            whole.replace(path)
        self._answer(200, ETag=self._etag(path))

    def do_POST(self) -> None:
        """Begin or complete an upload, or delete several objects."""
        _, path, query = self._target()
        with tempfile.TemporaryFile() as body:
            self._receive(body)
            body.seek(0)
            text = body.read().decode()
        if "uploads" in query:
            upload = Path(tempfile.mkdtemp(dir=self.root / "uploads"))
            self._answer(200, f"<R><Bucket>b</Bucket><Key>k</Key><UploadId>{upload.name}</UploadId></R>")
        elif "delete" in query:
            keys = [piece.partition("</Key>")[0] for piece in text.split("<Key>")[1:]]
            for key in keys:
                (self.root / "objects" / quote(unescape(key), safe="")).unlink(missing_ok=True)
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>")
        else:
            parts = self.root / "uploads" / query["uploadId"]
            first, *rest = sorted(parts.iterdir())
            with first.open("r+b") as whole:
                whole.seek(0, os.SEEK_END)
                for part in rest:
                    with part.open("rb") as file:
                        while os.sendfile(whole.fileno(), file.fileno(), None, 1 << 30):
                            pass
            first.replace(path)
            shutil.rmtree(parts)
            self._answer(200, f"<R><ETag>{escape(self._etag(path))}</ETag></R>")

    def do_DELETE(self) -> None:
        """Delete an object or an upload."""
        _, path, query = self._target()
        if "uploadId" in query:
            shutil.rmtree(self.root / "uploads" / query["uploadId"], ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        self._answer(204)


class Server(ThreadingHTTPServer):
    """Serves each connection in a thread."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report nothing: clients may leave."""


def main() -> None:
    """Serve until standard input ends."""
    Handler.root = Path(sys.argv[1])
    for name in ("objects", "uploads"):
        (Handler.root / name).mkdir(parents=True, exist_ok=True)
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
