"""SIGKILL at random moments of a command that writes to a bucket, and two commands that write to one output.

The same command, given again, ends with the bytes of a run that was never killed. No upload is left, no journal, and
nothing on the local disk.

A few kills are part of the suite. ALBERT_FAST_KILLS sets how many there are of make-records, and half of that of the
others; ALBERT_FAST_KILL_SEED sets other moments.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Fault
from remote_sites import BucketSite

if TYPE_CHECKING:
    from pathlib import Path

    from fault_proxy import FaultProxy

KILLS = int(os.environ.get("ALBERT_FAST_KILLS", "4"))
SEED = os.environ.get("ALBERT_FAST_KILL_SEED", "1")
DEADLINE = 300
"""Seconds after which a command counts as stuck, however busy the machine is."""
TEXT = "{in}/text.txt --tokenizer {model} --output-dir {out}"
RECORDS = "--max-seq-length 64 --max-predictions-per-seq 10 --dupe-factor"
KINDS = {
    # Each shard has three parts.
    "make-records": f"make-records {TEXT} {RECORDS} 60 --num-shards 2",
    "many-shards": f"make-records {TEXT} {RECORDS} 2 --num-shards 9",
    "keep-store": f"make-records {TEXT} {RECORDS} 1 --keep-store",
    "tokenize": f"tokenize {TEXT}",
    "prepare-text": "prepare-text {in}/long.txt --language en --documents blank-line --output {out}/corpus.txt",
    "prepare-shards": "prepare-text {in}/long.txt --language en --documents blank-line --output {out} --num-shards 2",
}
TRIALS = {"make-records": KILLS, **dict.fromkeys(set(KINDS) - {"make-records"}, KILLS // 2)}


@pytest.fixture
def place(store: Any, bucket: str, text: bytes) -> BucketSite:
    long = "".join(f"This is sentence number {number} of a very long text.\n\n" for number in range(350_000))
    site = BucketSite(store, bucket)
    site.put({"in/text.txt": text, "in/long.txt": long.encode()})
    return site


class Runs:
    """Runs of a command in processes of their own."""

    def __init__(self, place: BucketSite, directory: Path, model: Path) -> None:
        self.place, self.directory, self.model = place, directory, model

    def start(self, kind: str, *more: str, out: str = "out", endpoint: str | None = None) -> subprocess.Popen[str]:
        paths = {"in": self.place.path("in"), "out": self.place.path(out), "model": self.model}
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ALBERT_FAST_"))
        }
        environment |= self.place.store.environment(endpoint=endpoint) | {"ALBERT_FAST_CACHE": str(self.directory)}
        return subprocess.Popen(
            [sys.executable, "-m", "albert_fast", *KINDS[kind].format(**paths).split(), *more],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str], code: int = 0) -> str:
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == code, said
        assert "Traceback" not in said
        return said

    def left(self) -> list[str]:
        """What is on the local disk."""
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file())


@pytest.fixture
def runs(place: BucketSite, tmp_path: Path, model: Path) -> Runs:
    return Runs(place, tmp_path / "cache", model)


def requests_of(runs: Runs, kind: str, proxy: FaultProxy) -> tuple[int, float]:
    """How many requests an unharmed run makes, and the seconds that it takes."""
    began = time.monotonic()
    runs.finish(runs.start(kind, out="whole", endpoint=proxy.endpoint))
    return len(proxy.requests), time.monotonic() - began


def kill_once(runs: Runs, kind: str, rng: random.Random, usual: tuple[int, float], proxy: FaultProxy) -> bool:
    """Kills a run at a random moment: at one of its requests, before or after the server answers, or at any time."""
    requests, seconds = usual
    process: list[subprocess.Popen[str]] = []
    started = threading.Event()

    def kill() -> None:
        started.wait(DEADLINE)
        process[0].send_signal(signal.SIGKILL)

    how = rng.choice(["before", "after", "while it is sent", "any time"])
    fault = {
        "before": Fault(before=kill),
        "after": Fault(after=kill),
        "while it is sent": Fault(cut_request=rng.choice([0, 1000, 3_000_000]), before=kill),
    }.get(how)
    if fault is not None:
        proxy.fault(fault, skip=rng.randrange(requests))
    process.append(runs.start(kind, endpoint=proxy.endpoint))
    started.set()
    if fault is None:
        time.sleep(rng.random() * seconds)
        process[0].send_signal(signal.SIGKILL)
    try:
        process[0].communicate(timeout=DEADLINE)
    finally:
        proxy.heal()
        process[0].kill()
    return process[0].returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_with_the_same_bytes(kind: str, runs: Runs, place: BucketSite, proxy: FaultProxy) -> None:
    rng = random.Random(f"{SEED} {kind}")
    usual = requests_of(runs, kind, proxy)
    wanted = place.files("whole")
    kills = 0
    while kills < TRIALS[kind]:
        killed = sum(kill_once(runs, kind, rng, usual, proxy) for _ in range(rng.choice([1, 1, 2])))
        kills += killed
        said = again(runs, kind)
        found = place.files("out")
        differ = {name for name in {*found, *wanted} if normal(found.get(name)) != normal(wanted.get(name))}
        assert differ == set(), (kills, said)
        assert place.store.uploads(place.bucket) == (), (kills, said)
        assert runs.left() == [], (kills, said)
        for name in found:
            place.store.delete(place.bucket, f"out/{name}")
    print(f"{kind}: {kills} kills")


def again(runs: Runs, kind: str) -> str:
    """Runs the command again after a kill."""
    process = runs.start(kind)
    said, _ = process.communicate(timeout=DEADLINE)
    if process.returncode and kind.startswith("prepare"):
        # prepare-text starts over, and asks before it replaces what is there.
        assert "--overwrite" in said, said
        said = runs.finish(runs.start(kind, "--overwrite"))
    else:
        assert process.returncode == 0, said
    return str(said)


def normal(body: bytes | None) -> bytes | None:
    """The content, without the name of the directory in it."""
    return (
        body if body is None else body.replace(b"/whole", b"/out").replace(b'"overwrite": true', b'"overwrite": false')
    )


class TestTwoAtOnce:
    """Two commands that write to one output. Those of one machine find each other on its disk, others in the bucket."""

    @pytest.fixture
    def elsewhere(self, place: BucketSite, tmp_path: Path, model: Path) -> Runs:
        """Runs on another machine."""
        return Runs(place, tmp_path / "other-cache", model)

    def both(self, one: subprocess.Popen[str], other: subprocess.Popen[str]) -> list[tuple[int, str]]:
        results = []
        for process in (one, other):
            said, _ = process.communicate(timeout=DEADLINE)
            assert "Traceback" not in said
            results.append((process.returncode, said))
        # One of them always comes to its end.
        assert 0 in [code for code, _ in results], results
        assert {code for code, _ in results} <= {0, 1}, results
        return results

    @pytest.mark.parametrize("kind", ["many-shards", "make-records", "tokenize"])
    @pytest.mark.parametrize("where", ["here", "elsewhere"])
    def test_the_same_command_twice(
        self, kind: str, where: str, runs: Runs, elsewhere: Runs, place: BucketSite
    ) -> None:
        runs.finish(runs.start(kind, out="whole"))
        other = runs if where == "here" else elsewhere
        for code, said in self.both(runs.start(kind), other.start(kind)):
            # One takes the uploads of the other for those of a killed run.
            assert code == 0 or "another command" in said, said
        runs.finish(runs.start(kind))
        found, wanted = place.files("out"), place.files("whole")
        assert sorted(found) == sorted(wanted)
        assert [name for name in found if normal(found[name]) != normal(wanted[name])] == []
        assert place.store.uploads(place.bucket) == ()

    @pytest.mark.parametrize("kind", ["many-shards", "make-records"])
    @pytest.mark.parametrize("where", ["here", "elsewhere"])
    def test_two_commands_with_other_options(
        self, kind: str, where: str, runs: Runs, elsewhere: Runs, place: BucketSite
    ) -> None:
        seven = ("--random-seed", "7")
        runs.finish(runs.start(kind, out="whole"))
        runs.finish(runs.start(kind, *seven, out="seven"))
        other = runs if where == "here" else elsewhere
        results = self.both(runs.start(kind), other.start(kind, *seven))
        codes = [code for code, _ in results]
        assert sorted(codes) == [0, 1], results
        refusal = results[codes.index(1)][1].splitlines()[-1]
        assert "random-seed" in refusal or "another command" in refusal, refusal

        def records(out: str) -> dict[str, bytes]:
            return {name: body for name, body in place.files(out).items() if not name.endswith(".config.json")}

        # Nothing of the one that was refused is there.
        assert records("out") == records("seven" if codes[0] else "whole"), results
        assert place.store.uploads(place.bucket) == ()
