"""What servers and networks do to a command: what passes does not show in its output, and what does not is one line.

After each error nothing half-written is under the output's name, and no unfinished upload is left.

ALBERT_FAST_FAULTS=all adds those in which a command waits for a minute or more before it gives up.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Fault, s3_error
from object_store import READER
from remote_sites import RECORDS, BucketSite, LocalSite, digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Command
    from fault_proxy import FaultProxy
    from web_server import WebServer

ALL = os.environ.get("ALBERT_FAST_FAULTS") == "all"
needs_time = pytest.mark.skipif(not ALL, reason="waits for minutes; ALBERT_FAST_FAULTS=all")
SECRETS = ("tests-admin-secret", "tests-reader-secret", "tests-admin", "tests-reader", "Signature", "AWS4-HMAC")

PASSING: dict[str, Fault] = {
    "503": s3_error(503, "SlowDown", Retry_After="1"),
    "500": s3_error(500, "InternalError"),
    "502 of a proxy": Fault(502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"),
    "429": s3_error(429, "TooManyRequests"),
    "no answer": Fault(lose=True),
    "cut": Fault(cut=1000),
    "cut before anything": Fault(cut=0),
    "truncated": Fault(truncate=1000),
    "too long a length": Fault(claim=1000),
    "too short a length": Fault(claim=-1000),
    "slow": Fault(chunk=30_000, pause=0.02),
    "late": Fault(delay=0.3),
}
"""Faults of an answer that a command does not show."""


@pytest.fixture
def behind(remote: BucketSite, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> FaultProxy:
    """The proxy, through which the commands of this process reach the bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    return proxy


@pytest.fixture(scope="session")
def lines() -> bytes:
    """Documents of 1.6 MB, which are three requests."""
    return "".join(f"This is sentence number {number} of a long text.\n\n" for number in range(35_000)).encode()


@pytest.fixture(scope="session")
def large() -> bytes:
    """9 MB, which are two parts."""
    return "".join(f"This is sentence number {number} of a very long text.\n\n" for number in range(170_000)).encode()


PREPARE = "--language en --documents blank-line --no-sentences"


class TestReading:
    @pytest.mark.parametrize(
        ("fault", "skip"), [*((fault, 1) for fault in PASSING), ("503", 0), ("cut", 0), ("cut", 2)]
    )
    def test_what_passes(
        self,
        behind: FaultProxy,
        remote: BucketSite,
        local: LocalSite,
        command: Command,
        lines: bytes,
        fault: str,
        skip: int,
    ) -> None:
        remote.put({"raw.txt": lines})
        behind.fault(PASSING[fault], method="GET", path="raw.txt", skip=skip)
        result = command("prepare-text", remote.path("raw.txt"), "--output", local.path("out.txt"), *PREPARE.split())
        assert result.code == 0, result.err
        assert digest(local.files()["out.txt"]) == digest(lines)

    @pytest.mark.parametrize(
        ("method", "fault"),
        [
            ("HEAD", "503"),
            ("HEAD", "no answer"),
            ("list", "500"),
            ("list", "no answer"),
            ("list", "cut before anything"),
            ("list", "too long a length"),
            ("small", "429"),
            ("small", "no answer"),
            ("small", "cut before anything"),
            ("small", "cut"),
        ],
    )
    def test_what_passes_in_small_requests(
        self,
        behind: FaultProxy,
        remote: BucketSite,
        local: LocalSite,
        command: Command,
        text: bytes,
        model: Path,
        method: str,
        fault: str,
    ) -> None:
        remote.put({"in/a.txt": text, "in/b.txt": text, "spiece.model": model.read_bytes()})
        where: dict[str, dict[str, Any]] = {
            "HEAD": {"method": "HEAD", "path": "in/a.txt"},
            "list": {"query": "list-type"},
            "small": {"method": "GET", "path": "spiece.model"},
        }
        behind.fault(PASSING[fault], **where[method])
        source = remote.path("in/a.txt" if method == "HEAD" else "in")
        result = command(
            "tokenize", source, "--tokenizer", remote.path("spiece.model"), "--output-dir", local.path("out")
        )
        assert result.code == 0, result.err
        behind.heal()
        local.put({"in/a.txt": text, "in/b.txt": text})
        source = local.path("in/a.txt" if method == "HEAD" else "in")
        assert command("tokenize", source, "--tokenizer", model, "--output-dir", local.path("wanted")).code == 0
        assert local.files("out")["part-00000.tokens"] == local.files("wanted")["part-00000.tokens"]

    def test_the_server_restarts(
        self, behind: FaultProxy, remote: BucketSite, local: LocalSite, command: Command, lines: bytes
    ) -> None:
        remote.put({"raw.txt": lines * 3})
        restarting = Restart(behind)
        behind.fault(Fault(at=100_000, during=restarting), method="GET", path="raw.txt", skip=2)
        result = command(
            "prepare-text",
            remote.path("raw.txt"),
            "--output",
            local.path("out.txt"),
            *PREPARE.split(),
            "--no-dedup-documents",
        )
        restarting.join()
        assert result.code == 0, result.err
        assert digest(local.files()["out.txt"]) == digest(lines * 3)

    @pytest.mark.parametrize("when", ["between requests", "before the first"])
    @pytest.mark.parametrize("length", ["same", "other"])
    def test_an_object_that_changes(
        self,
        behind: FaultProxy,
        remote: BucketSite,
        local: LocalSite,
        command: Command,
        lines: bytes,
        when: str,
        length: str,
    ) -> None:
        remote.put({"raw.txt": lines})
        new = lines.upper() if length == "same" else lines[: lines.index(b"\n\n", len(lines) // 2) + 2]
        behind.fault(
            Fault(before=lambda: remote.put({"raw.txt": new})),
            method="GET",
            path="raw.txt",
            skip=int(when == "between requests"),
        )
        for output in (local.path("out.txt"), remote.path("out/out.txt")):
            result = command("prepare-text", remote.path("raw.txt"), "--output", output, *PREPARE.split())
            if output == local.path("out.txt"):
                assert result.code == 1
                said = f"cannot read {remote.path('raw.txt')}: the object changed while it was read"
                assert result.error.startswith(said)
                assert local.files() == {}
            else:
                # Run again, the command reads the new one.
                assert result.code == 0, result.err
                assert remote.files("out")["out.txt"] == new

    def test_a_file_of_the_web_that_changes(
        self, web: WebServer, local: LocalSite, command: Command, lines: bytes
    ) -> None:
        web.files["raw.txt"] = lines
        web.change("raw.txt", lines.upper())
        result = command("prepare-text", web.url("raw.txt"), "--output", local.path("out.txt"), *PREPARE.split())
        assert result.code == 1
        assert "the object changed while it was read" in result.error
        assert local.files() == {}

    def test_a_server_without_ranges(self, web: WebServer, local: LocalSite, command: Command, lines: bytes) -> None:
        web.files["raw.txt"] = lines
        web.fault(Fault(ranges=False), method="GET", times=None)
        result = command("prepare-text", web.url("raw.txt"), "--output", local.path("out.txt"), *PREPARE.split())
        if result.code:
            assert web.url("raw.txt") in result.error
            assert local.files() == {}
        else:
            assert digest(local.files()["out.txt"]) == digest(lines)

    @needs_time
    def test_a_server_that_is_gone(
        self, behind: FaultProxy, remote: BucketSite, local: LocalSite, command: Command, lines: bytes
    ) -> None:
        remote.put({"raw.txt": lines})
        behind.fault(Fault(before=remote.store.kill), method="GET", path="raw.txt", skip=1)
        result = command("prepare-text", remote.path("raw.txt"), "--output", local.path("out.txt"), *PREPARE.split())
        assert result.code == 1
        assert result.error.startswith(f"cannot read {remote.path('raw.txt')}: ")
        assert local.files() == {}


class Restart:
    """Kills the server at once, and starts it again a moment later."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.thread: threading.Thread | None = None

    def __call__(self) -> None:
        self.proxy.server.kill()
        self.thread = threading.Thread(target=self.proxy.server.restart)
        self.thread.start()

    def join(self) -> None:
        assert self.thread is not None, "the fault did not happen"
        self.thread.join()


WRITING = ["503", "500", "502 of a proxy", "429", "no answer", "late", "cut request"]
"""Faults of a request that writes."""
REQUESTS: dict[str, dict[str, Any]] = {
    "whole": {"method": "PUT", "path": "out/small.txt"},
    "begin": {"method": "POST", "query": "uploads"},
    "part": {"method": "PUT", "query": "partNumber=1"},
    "last part": {"method": "PUT", "query": "partNumber=2"},
    "complete": {"method": "POST", "query": "uploadId"},
}


class TestWriting:
    @pytest.fixture
    def write(
        self, behind: FaultProxy, remote: BucketSite, local: LocalSite, command: Command, large: bytes, lines: bytes
    ) -> Callable[..., Any]:
        local.put({"large.txt": large, "small.txt": lines})

        def write(name: str, *more: str) -> Any:
            words = [
                "prepare-text",
                local.path(name),
                "--output",
                remote.path(f"out/{name}"),
                *PREPARE.split(),
                "--no-dedup-documents",
            ]
            return command(*words, *more)

        return write

    @pytest.mark.parametrize(
        ("request_", "fault"),
        [
            *(("part", fault) for fault in WRITING),
            *((request, fault) for request in sorted(set(REQUESTS) - {"part"}) for fault in ("503", "no answer")),
            ("whole", "cut request"),
            ("last part", "cut request"),
        ],
    )
    def test_what_passes(
        self,
        write: Callable[..., Any],
        behind: FaultProxy,
        remote: BucketSite,
        request_: str,
        fault: str,
        lines: bytes,
        large: bytes,
    ) -> None:
        behind.fault(Fault(cut_request=1000) if fault == "cut request" else PASSING[fault], **REQUESTS[request_])
        name = "small.txt" if request_ == "whole" else "large.txt"
        result = write(name)
        assert result.code == 0, result.err
        assert digest(remote.files("out")[name]) == digest(lines if name == "small.txt" else large)
        begun = remote.store.uploads(remote.bucket)
        if (request_, fault) == ("begin", "no answer"):
            # Nobody knows the first one, which the server began, until a command looks for what is left.
            assert len(begun) == 1
            assert write(name, "--overwrite").code == 0
            begun = remote.store.uploads(remote.bucket)
        assert begun == ()

    @pytest.mark.parametrize("request_", REQUESTS)
    def test_what_does_not_pass(
        self, write: Callable[..., Any], behind: FaultProxy, remote: BucketSite, request_: str
    ) -> None:
        behind.fault(s3_error(403, "AccessDenied"), **REQUESTS[request_], times=None)
        name = "small.txt" if request_ == "whole" else "large.txt"
        result = write(name)
        assert result.code == 1
        assert result.error.startswith(
            f"cannot write {remote.path('out/' + name)}: the server refuses access (AccessDenied)"
        )
        assert remote.files() == {}
        assert remote.store.uploads(remote.bucket) == ()

    def test_some_of_the_shards_are_none(
        self, behind: FaultProxy, remote: BucketSite, local: LocalSite, command: Command, lines: bytes
    ) -> None:
        local.put({"raw.txt": lines})
        behind.fault(s3_error(403, "AccessDenied"), method="PUT", path="corpus-00002", times=None)
        words = ["prepare-text", local.path("raw.txt"), "--output", remote.path("out"), "--num-shards", "4"]
        result = command(*words, *PREPARE.split())
        assert result.code == 1
        shard = remote.path("out/corpus-00002-of-00004.txt")
        assert result.error.startswith(f"cannot write {shard}: the server refuses access (AccessDenied)")
        assert remote.files() == {}
        behind.heal()
        assert command(*words, *PREPARE.split()).code == 0
        assert min(remote.files("out")) == "corpus-00000-of-00004.txt"

    @pytest.mark.parametrize("request_", ["part", "complete"])
    def test_the_server_restarts(
        self, write: Callable[..., Any], behind: FaultProxy, remote: BucketSite, request_: str, large: bytes
    ) -> None:
        restarting = Restart(behind)
        behind.fault(Fault(before=restarting), **REQUESTS[request_])
        result = write("large.txt")
        restarting.join()
        assert result.code == 0, result.err
        assert digest(remote.files("out")["large.txt"]) == digest(large)
        assert remote.store.uploads(remote.bucket) == ()

    @needs_time
    def test_a_server_that_is_gone(self, write: Callable[..., Any], behind: FaultProxy, remote: BucketSite) -> None:
        behind.fault(Fault(before=remote.store.kill), method="PUT", query="partNumber=2")
        result = write("large.txt")
        assert result.code == 1
        assert result.error.startswith(f"cannot write {remote.path('out/large.txt')}: ")
        remote.store.restart()
        assert remote.files() == {}
        # It could not be removed when the server was gone; the next run does so.
        assert write("large.txt").code == 0
        assert remote.store.uploads(remote.bucket) == ()

    @pytest.mark.parametrize("name", ["train-tokenizer", "tokenize", "make-records", "shards"])
    def test_every_command_outlives_a_server_that_stumbles(
        self,
        behind: FaultProxy,
        remote: BucketSite,
        local: LocalSite,
        command: Command,
        text: bytes,
        raw: bytes,
        model: Path,
        name: str,
    ) -> None:
        """Of every five requests one is refused or not answered."""
        remote.put({"text.txt": text, "raw.jsonl": raw})
        tokenizer = ["--tokenizer", str(model)]
        words = {
            "train-tokenizer": ["train-tokenizer", remote.path("text.txt"), "--vocab-size", "400"],
            "tokenize": ["tokenize", remote.path("text.txt"), *tokenizer],
            "make-records": [
                "make-records",
                remote.path("text.txt"),
                *tokenizer,
                *RECORDS.split(),
                "--num-shards",
                "3",
            ],
            "shards": ["prepare-text", remote.path("raw.jsonl"), "--language", "de", "--num-shards", "3"],
        }[name]
        flag = "--output" if name == "shards" else "--output-dir"
        assert command(*words, flag, remote.path("wanted")).code == 0
        for number in range(0, 200, 5):
            fault = Fault(lose=True) if number % 3 == 0 else s3_error(503, "SlowDown")
            # Each rule is reached only by what the earlier ones let pass.
            behind.fault(fault, skip=number, times=1)
        result = command(*words, flag, remote.path("out"))
        behind.heal()
        assert result.code == 0, result.err
        found, wanted = remote.files("out"), remote.files("wanted")
        for files in (found, wanted):
            for one in list(files):
                if one.endswith((".config.json", ".summary.json")):
                    del files[one]
        assert found == wanted
        assert remote.store.uploads(remote.bucket) == ()


class TestRefusals:
    """One line at once that names the object, without a secret; exit code 1."""

    @pytest.fixture
    def refused(
        self, remote: BucketSite, local: LocalSite, command: Command, text: bytes, model: Path
    ) -> Callable[..., str]:
        remote.put({"text.txt": text, "spiece.model": model.read_bytes()})
        local.put({"text.txt": text, "spiece.model": model.read_bytes()})

        def refused(*words: str) -> str:
            before = remote.files(), local.files()
            result = command(*words)
            assert result.code == 1
            assert (remote.files(), local.files()) == before
            assert remote.store.uploads(remote.bucket) == ()
            assert not any(secret in result.err for secret in SECRETS)
            return result.error

        return refused

    def commands(self, remote: BucketSite, local: LocalSite) -> dict[str, list[list[str]]]:
        """By the path that cannot be used: commands that read it, and commands that write below it."""
        tokenizer = ["--tokenizer", local.path("spiece.model")]
        records = [*tokenizer, *RECORDS.split(), "--output-dir"]
        return {
            "read": [
                ["prepare-text", remote.path("text.txt"), "--output", local.path("out.txt")],
                ["train-tokenizer", remote.path("text.txt"), "--vocab-size", "400", "--output-dir", local.path("out")],
                ["tokenize", remote.path("text.txt"), *tokenizer, "--output-dir", local.path("out")],
                ["make-records", remote.path("text.txt"), *records, local.path("out")],
            ],
            "write": [
                ["prepare-text", local.path("text.txt"), "--output", remote.path("out/out.txt")],
                ["prepare-text", local.path("text.txt"), "--output", remote.path("out"), "--num-shards", "2"],
                ["train-tokenizer", local.path("text.txt"), "--vocab-size", "400", "--output-dir", remote.path("out")],
                ["tokenize", local.path("text.txt"), *tokenizer, "--output-dir", remote.path("out")],
                ["make-records", local.path("text.txt"), *records, remote.path("out")],
            ],
        }

    @pytest.mark.parametrize(
        ("how", "why", "index"),
        [
            *(("read", "a wrong secret", index) for index in range(4)),
            *(("write", "no permission", index) for index in range(5)),
            ("read", "an unknown key", 0),
            ("write", "an unknown key", 1),
            ("read", "expired", 3),
            ("write", "expired", 2),
            ("write", "expired", 3),
            ("read", "anonymous", 1),
            ("write", "anonymous", 4),
        ],
    )
    def test_credentials(
        self,
        refused: Callable[..., str],
        remote: BucketSite,
        local: LocalSite,
        proxy: FaultProxy,
        monkeypatch: pytest.MonkeyPatch,
        how: str,
        why: str,
        index: int,
    ) -> None:
        commands = self.commands(remote, local)[how]
        if why == "a wrong secret":
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-tests-admin-secret"[::-1])
        elif why == "an unknown key":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        elif why == "no permission":
            for name, value in remote.store.environment(READER).items():
                monkeypatch.setenv(name, value)
        elif why == "anonymous":
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
            monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        else:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            proxy.fault(s3_error(400, "ExpiredToken"), times=None)
        message = refused(*commands[index])
        said = {
            "a wrong secret": "the secret key is wrong for this access key",
            "an unknown key": "the server does not know the access key",
            "no permission": "the server refuses access",
            "expired": "the credentials are no longer valid (ExpiredToken)",
            "anonymous": "the server refuses access",
        }[why]
        assert said in message
        assert remote.path("text.txt" if how == "read" else "out") in message

    def test_a_credential_that_expires_half_way(
        self, remote: BucketSite, local: LocalSite, behind: FaultProxy, command: Command, lines: bytes
    ) -> None:
        remote.put({"raw.txt": lines})
        behind.fault(s3_error(400, "ExpiredToken"), method="GET", path="raw.txt", skip=2, times=None)
        result = command("prepare-text", remote.path("raw.txt"), "--output", local.path("out.txt"), *PREPARE.split())
        assert result.code == 1
        assert result.error.startswith(f"cannot read {remote.path('raw.txt')}: the credentials are no longer valid")
        assert len(behind.seen("GET", "raw.txt")) < 12
        assert local.files() == {}

    @pytest.mark.parametrize("index", range(4))
    def test_no_such_key_and_no_such_bucket(
        self, refused: Callable[..., str], remote: BucketSite, local: LocalSite, index: int
    ) -> None:
        words = self.commands(remote, local)["read"][index]
        there = remote.path("text.txt")
        missing = [word.replace(there, remote.path("none.txt")) for word in words]
        assert remote.path("none.txt") in refused(*missing)
        elsewhere = [word.replace(there, "s3://no-such-bucket/text.txt") for word in words]
        assert "s3://no-such-bucket/text.txt: no such bucket" in refused(*elsewhere)

    @pytest.mark.parametrize("index", range(5))
    def test_no_such_bucket_for_the_output(
        self, refused: Callable[..., str], remote: BucketSite, local: LocalSite, index: int
    ) -> None:
        words = [
            word.replace(remote.root, "s3://no-such-bucket/") for word in self.commands(remote, local)["write"][index]
        ]
        message = refused(*words)
        assert "s3://no-such-bucket/out" in message
        assert "no such bucket" in message

    @pytest.mark.parametrize("path", ["none.model", "none"])
    def test_no_such_tokenizer(
        self, refused: Callable[..., str], remote: BucketSite, local: LocalSite, path: str
    ) -> None:
        message = refused(
            "tokenize", remote.path("text.txt"), "--tokenizer", remote.path(path), "--output-dir", local.path("out")
        )
        assert remote.path(path) in message

    def test_no_such_configuration(self, remote: BucketSite, local: LocalSite, command: Command) -> None:
        result = command(
            "tokenize", remote.path("text.txt"), "--config", remote.path("none.yaml"), "--output-dir", local.path("out")
        )
        assert result.code == 2
        assert result.error == f"cannot read the configuration {remote.path('none.yaml')}: No such file or directory"
