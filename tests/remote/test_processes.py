"""Remote files under fork, spawn and threads, and Ctrl-C while a server does not answer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Fault
from remote_sites import RECORDS, BucketSite, LocalSite

from albert_fast import Tokenizer, prepare_text, tokenize
from albert_fast.paths import as_path

if TYPE_CHECKING:
    from pathlib import Path

    from fault_proxy import FaultProxy

DEADLINE = 300
"""Seconds after which something counts as stuck, however busy the machine is."""
TEXT = "".join(f"This is sentence number {number} of a text.\n\n" for number in range(30_000)).encode()


def read(path: str) -> bytes:
    return as_path(path).read_bytes()


def prepare(path: str, output: str) -> int:
    settings: dict[str, Any] = {"language": "en", "documents": "blank-line", "dedup_documents": False}
    made = prepare_text(path, output, overwrite=True, **settings)
    return int(made["documents"])


def stored(path: str, model: str, output: str) -> int:
    return int(tokenize(path, output, Tokenizer.from_file(model))["documents"])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_reads_as_its_parent(method: str, remote: BucketSite, local: LocalSite, model: Path) -> None:
    remote.put({"text.txt": TEXT, "spiece.model": model.read_bytes()})
    path, small = remote.path("text.txt"), remote.path("spiece.model")
    # The parent has connections and threads, which a fork does not.
    assert prepare(path, local.path("parent.txt")) == 30_000
    assert read(small) == model.read_bytes()
    with multiprocessing.get_context(method).Pool(2) as pool:
        bodies = [pool.apply_async(read, (small,)) for _ in range(3)]
        counts = [pool.apply_async(prepare, (path, local.path(f"{number}.txt"))) for number in range(2)]
        written = [pool.apply_async(prepare, (path, remote.path(f"{number}.txt"))) for number in range(2)]
        assert all(result.get(timeout=DEADLINE) == model.read_bytes() for result in bodies)
        assert all(result.get(timeout=DEADLINE) == 30_000 for result in [*counts, *written])
    # The parent's connections still work.
    assert stored(path, small, remote.path("store")) == 30_000
    assert all(remote.store.get(remote.bucket, f"{number}.txt") == TEXT for number in range(2))


def test_a_child_forked_while_the_parent_reads(
    remote: BucketSite, local: LocalSite, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.put({"text.txt": TEXT})
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    reached, go = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        go.wait(DEADLINE)

    proxy.fault(Fault(before=wait), method="GET", path="text.txt")
    with ThreadPoolExecutor(1) as threads:
        parent = threads.submit(prepare, remote.path("text.txt"), local.path("parent.txt"))
        assert reached.wait(DEADLINE)
        context = multiprocessing.get_context("fork")
        child = context.Process(target=prepare, args=(remote.path("text.txt"), local.path("child.txt")))
        child.start()
        child.join(DEADLINE)
        assert child.exitcode == 0
        go.set()
        assert parent.result(DEADLINE) == 30_000
    assert local.files() == {"parent.txt": TEXT, "child.txt": TEXT}


def test_threads_share_connections(remote: BucketSite, local: LocalSite) -> None:
    remote.put({"text.txt": TEXT})
    with ThreadPoolExecutor(8) as pool:
        outputs = [site.path(f"out/{number}.txt") for number in range(4) for site in (remote, local)]
        assert list(pool.map(lambda output: prepare(remote.path("text.txt"), output), outputs)) == [30_000] * 8
    for site in (remote, local):
        found = {name: body for name, body in site.files("out").items() if "prepare-text" not in name}
        assert found == {f"{number}.txt": TEXT for number in range(4)}


def test_other_threads_run_while_one_waits(
    remote: BucketSite, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    """The proxy is a thread of this process, so a request that kept the interpreter would wait for itself."""
    remote.put({"tok/vocab.txt": (model.parent / "wordpiece.txt").read_bytes(), "tok/spiece.model": model.read_bytes()})
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    with ThreadPoolExecutor(1) as pool:
        for make in (
            lambda: Tokenizer.from_file(remote.path("tok/spiece.model")),
            lambda: Tokenizer.from_vocab_file(remote.path("tok/vocab.txt")),
        ):
            assert pool.submit(make).result(DEADLINE).vocab_size > 0


HANGS: dict[str, dict[str, Any]] = {
    "the size": {"method": "HEAD"},
    "the list": {"method": "GET", "query": "list-type"},
    "the text": {"method": "GET", "path": "text.txt"},
    "the tokenizer": {"method": "GET", "path": "spiece.model"},
    "a part": {"method": "PUT", "query": "partNumber"},
    "a whole object": {"method": "PUT", "path": "out/"},
    "the last answer": {"method": "POST", "query": "uploadId"},
}


@pytest.mark.parametrize(
    ("hang", "name"),
    [
        ("the size", "prepare-text"),
        ("the list", "prepare-text"),
        ("the text", "prepare-text"),
        ("a whole object", "prepare-text"),
        ("the text", "train-tokenizer"),
        ("a whole object", "train-tokenizer"),
        ("the tokenizer", "tokenize"),
        ("the text", "tokenize"),
        ("a whole object", "tokenize"),
        ("the text", "make-records"),
        ("a part", "make-records"),
        ("the last answer", "make-records"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT])
def test_ctrl_c_while_a_server_does_not_answer(
    hang: str, name: str, number: signal.Signals, remote: BucketSite, proxy: FaultProxy, tmp_path: Path, model: Path
) -> None:
    """The server stays silent for as long as the test may take, so only the signal can end the command in time."""
    remote.put({"in/text.txt": TEXT[:100_000] if hang != "a part" else TEXT, "spiece.model": model.read_bytes()})
    tokenizer = ["--tokenizer", remote.path("spiece.model")]
    out, text = remote.path("out"), remote.path("in" if hang == "the list" else "in/text.txt")
    words = {
        "prepare-text": ["prepare-text", text, "--output", f"{out}/out.txt", "--documents", "blank-line"],
        "train-tokenizer": ["train-tokenizer", text, "--output-dir", out, "--vocab-size", "100"],
        "tokenize": ["tokenize", text, *tokenizer, "--output-dir", out],
        # 12 MB, which are two parts.
        "make-records": [
            "make-records",
            text,
            *tokenizer,
            "--output-dir",
            out,
            *RECORDS.split(),
            "--dupe-factor",
            "60",
        ],
    }[name]
    reached = threading.Event()

    def silence() -> None:
        reached.set()
        proxy.wait(10 * DEADLINE)

    proxy.fault(Fault(before=silence), **HANGS[hang], times=None)
    environment = {**os.environ, "AWS_ENDPOINT_URL": proxy.endpoint}
    process = subprocess.Popen(
        [sys.executable, "-m", "albert_fast", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    try:
        deadline = time.monotonic() + DEADLINE
        while not reached.wait(0.1):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
        process.send_signal(number)
        _, said = process.communicate(timeout=15)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("albert-fast: stopped"), said
    assert "Traceback" not in said
    found = remote.files("out")
    assert set(found) <= {"make-records.partial.jsonl", "tokenize.partial.json"}
