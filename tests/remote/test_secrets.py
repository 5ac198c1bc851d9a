"""Signatures, passwords and keys are in no output, no message and no configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from loopback import Fault
from remote_sites import RECORDS, BucketSite, LocalSite

from albert_fast import AlbertFastError, prepare_text
from albert_fast.paths import as_path

if TYPE_CHECKING:
    from conftest import Command
    from web_server import WebServer

USER, PASSWORD, SIGNATURE, TOKEN = "mr-user", "pass-word", "sig-nature", "hf_tests"
SECRETS = (USER, PASSWORD, SIGNATURE, TOKEN, "X-Amz-", "bXItdXNlcj", "tests-admin")


def clean(*texts: str | bytes) -> None:
    for text in texts:
        body = text if isinstance(text, bytes) else text.encode()
        assert [secret for secret in SECRETS if secret.encode() in body] == [], body[:3000]


@pytest.fixture
def signed(web: WebServer, text: bytes, raw: bytes, model: Path) -> dict[str, str]:
    """Addresses with everything that is secret."""
    web.files |= {"text.txt": text, "raw.jsonl": raw, "spiece.model": model.read_bytes(), "patterns.txt": b"^Mea \n"}
    web.files |= {"options.yaml": b"max_seq_length: 64\n"}
    query = f"X-Amz-Credential={USER}&X-Amz-Signature={SIGNATURE}#end"
    host = web.address
    return {name: f"http://{USER}:{PASSWORD}@{host}/{name}?{query}" for name in web.files}


COMMANDS = {
    "prepare-text": "prepare-text {raw.jsonl} --boilerplate {patterns.txt} --language de --output {out}/corpus.txt",
    "train-tokenizer": "train-tokenizer {text.txt} --vocab-size 400 --output-dir {out}",
    "extend": "train-tokenizer {text.txt} --extend {spiece.model} --vocab-size 2040 --output-dir {out}",
    "tokenize": "tokenize {text.txt} --tokenizer {spiece.model} --output-dir {out}",
    "make-records": (
        f"make-records {{text.txt}} --tokenizer {{spiece.model}} --config {{options.yaml}} --output-dir {{out}} {RECORDS}"
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("place", ["local", "remote"])
def test_outputs_and_messages(
    name: str, place: str, signed: dict[str, str], web: WebServer, command: Command, request: pytest.FixtureRequest
) -> None:
    to = request.getfixturevalue(place)
    words = COMMANDS[name].replace(".txt}", "}").replace(".jsonl}", "}").replace(".model}", "}").replace(".yaml}", "}")
    paths = {key.partition(".")[0]: path for key, path in signed.items()}
    first = command(*words.format(out=to.path("out"), **paths).split())
    assert first.code == 0, first.err
    # The server got what the commands do not show.
    assert all(one.query["X-Amz-Signature"] == SIGNATURE for one in web.seen(path="text.txt") + web.seen(path="raw.jsonl"))
    assert all(one.headers["authorization"].startswith("Basic ") for one in web.requests)
    again = command(*words.format(out=to.path("out"), **paths).split())
    clean(first.out, first.err, again.out, again.err)
    files = to.files("out")
    assert any(name.endswith(".json") for name in files)
    shown = web.url("raw.jsonl" if name == "prepare-text" else "text.txt").encode()
    assert any(shown in body for body in files.values())
    clean(*files.values(), *files)


@pytest.mark.parametrize("name", ["prepare-text", "train-tokenizer", "tokenize", "make-records"])
@pytest.mark.parametrize("status", [401, 403, 404, 410, 200])
def test_refusals(name: str, status: int, signed: dict[str, str], web: WebServer, local: LocalSite, command: Command) -> None:
    words = COMMANDS[name].replace(".txt}", "}").replace(".jsonl}", "}").replace(".model}", "}").replace(".yaml}", "}")
    paths = {key.partition(".")[0]: path for key, path in signed.items()}
    file = "raw.jsonl" if name == "prepare-text" else "text.txt"
    fault = Fault(status, body=f"<Error>{SIGNATURE} {PASSWORD}</Error>".encode())
    if status == 200:
        # It changes while it is read.
        web.fault(Fault(before=lambda: web.files.update({file: web.files[file] + b"x"})), method="GET", path=file)
    else:
        web.fault(fault, path=file, times=None)
    result = command(*words.format(out=local.path("out"), **paths).split())
    clean(result.out, result.err, *local.files().values())
    if status != 200 or result.code:
        assert result.code == 1
        assert web.url(file) in result.error


def test_errors_in_python(signed: dict[str, str], web: WebServer, local: LocalSite) -> None:
    missing = signed["text.txt"].replace("text.txt", "none.txt")
    with pytest.raises(AlbertFastError) as caught:
        prepare_text(missing, local.path("out.txt"))
    clean(str(caught.value), repr(caught.value), str(caught.value.path))
    path = as_path(missing)
    clean(str(path), repr(path), os.fspath(path), str(path.parent), path.name)
    assert as_path(signed["text.txt"]).read_bytes() == web.files["text.txt"]
    with pytest.raises(FileNotFoundError) as gone:
        path.read_bytes()
    clean(str(gone.value), repr(gone.value))


def test_a_traceback_for_bug_reports(signed: dict[str, str], local: LocalSite) -> None:
    """ALBERT_FAST_DEBUG shows the traceback of an error. What is shown of each call has no values."""
    missing = signed["text.txt"].replace("text.txt", "none.txt")
    words = ["prepare-text", missing, "--output", local.path("out.txt")]
    environment = {**os.environ, "ALBERT_FAST_DEBUG": "1", "RUST_LOG": "trace", "RUST_BACKTRACE": "1"}
    done = subprocess.run([sys.executable, "-m", "albert_fast", *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    clean(done.stdout, done.stderr)


def test_logs_of_the_core(remote: BucketSite, local: LocalSite, text: bytes) -> None:
    """The libraries below log requests to whoever listens. Nobody does."""
    remote.put({"text.txt": text})
    environment = {**os.environ, "RUST_LOG": "trace"}
    words = ["prepare-text", remote.path("text.txt"), "--output", local.path("out.txt"), "--language", "de"]
    done = subprocess.run([sys.executable, "-m", "albert_fast", *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    clean(done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) < 10


def test_a_wrong_endpoint_with_a_password(remote: BucketSite, local: LocalSite, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    for endpoint in (f"{USER}:{PASSWORD}@127.0.0.1", f"ftp://{USER}:{PASSWORD}@127.0.0.1"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        result = command("prepare-text", remote.path("text.txt"), "--output", local.path("out.txt"))
        assert result.code == 1
        clean(result.err)
        assert result.error
