"""SIGKILL at random moments: the same command, given again, ends with the bytes of a run that was never killed.

A few trials are part of the suite; ALBERT_FAST_KILL_TRIALS sets how many each kind of run gets, ALBERT_FAST_KILL_TEXT
another text to run on, ALBERT_FAST_KILL_SEED other moments.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from albert_fast import prepare_text
from albert_fast.demo_corpus import collect

TRIALS = int(os.environ.get("ALBERT_FAST_KILL_TRIALS", "3"))
SEED = int(os.environ.get("ALBERT_FAST_KILL_SEED", "1"))
TEXT = os.environ.get("ALBERT_FAST_KILL_TEXT")
MODEL = Path(__file__).parents[1] / "golden" / "tokenizer" / "spiece.model"

RECORDS = ["--max-seq-length", "128", "--max-predictions-per-seq", "19", "--dupe-factor", "3"]
KINDS: dict[str, list[str]] = {
    "plain": ["make-records", *RECORDS, "--num-shards", "4"],
    "gzip": ["make-records", *RECORDS, "--compression", "gzip"],
    "seven-shards": ["make-records", *RECORDS, "--num-shards", "7"],
    "keep-store": ["make-records", *RECORDS, "--num-shards", "3", "--keep-store"],
    "reference": ["make-records", *RECORDS, "--num-shards", "2", "--rng", "reference"],
    "tokenize": ["tokenize"],
}

MOMENTS: list[tuple[str, Callable[[Path], bool]]] = [
    ("the output directory is there", Path.exists),
    ("the tokenizing journal is there", lambda out: any(out.rglob("tokenize.partial.json"))),
    ("the store is finished", lambda out: any(out.rglob("meta.json"))),
    ("the records' journal is there", lambda out: (out / "make-records.partial.jsonl").exists()),
    ("the first shard is there", lambda out: any(out.glob("records-00000-*"))),
    ("a temporary is there", lambda out: any(out.rglob(".*.tmp"))),
    ("dataset.json is there", lambda out: (out / "dataset.json").exists()),
    ("the configuration is there", lambda out: any(out.glob("*.config.json"))),
]
"""Moments that a random delay would seldom meet."""


def start(kind: str, text: Path, out: Path, threads: int) -> "subprocess.Popen[str]":
    name, *options = KINDS[kind]
    command = [sys.executable, "-m", "albert_fast", name, str(text), "--tokenizer", str(MODEL), "--output-dir"]
    return subprocess.Popen(
        [*command, str(out), *options, "--num-threads", str(threads)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> None:
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "Traceback" not in output


def contents(out: Path) -> dict[str, Any]:
    """Every file by its name; the configurations without the number of threads and the directory, which do differ."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(out))
            found[name] = path.read_bytes()
            if name.endswith(".config.json"):
                config = json.loads(found[name])
                for options in config.values():
                    if isinstance(options, dict):
                        options["num_threads"] = options["output_dir"] = None
                found[name] = config
        elif path.is_dir():
            found[str(path.relative_to(out)) + "/"] = None
    return found


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if TEXT:
        return Path(TEXT)
    directory = tmp_path_factory.mktemp("kill")
    (directory / "raw.jsonl").write_text(collect(1_000_000)[0], encoding="utf-8")
    prepare_text(directory / "raw.jsonl", directory / "text.txt", language="en")
    return directory / "text.txt"


def kill_once(process: "subprocess.Popen[str]", rng: random.Random, usual: float, out: Path) -> bool:
    """Kills the run at a random moment; false where it was quicker."""
    until = time.monotonic() + 20 * usual
    if rng.random() < 0.5:
        time.sleep(rng.random() * usual)
    else:
        _, reached = rng.choice(MOMENTS)
        while process.poll() is None and not reached(out) and time.monotonic() < until:
            time.sleep(0.0005)  # else the waiting itself would take a core from what is waited for
        time.sleep(rng.choice([0.0, rng.random() * 0.02]))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_with_the_same_bytes(kind: str, text: Path, tmp_path: Path) -> None:
    rng = random.Random(f"{SEED} {kind}")
    began = time.monotonic()
    finish(start(kind, text, tmp_path / "whole", 2))
    usual = time.monotonic() - began
    expected = contents(tmp_path / "whole")
    kills = 0
    for trial in range(TRIALS):
        out = tmp_path / f"trial-{trial}"
        for _ in range(rng.choice([1, 1, 2, 4])):
            kills += kill_once(start(kind, text, out, rng.choice([1, 2, 3])), rng, usual, out)
        finish(start(kind, text, out, rng.choice([1, 2, 5])))
        found = contents(out)
        assert sorted(found) == sorted(expected), f"trial {trial}"
        assert [name for name in found if found[name] != expected[name]] == [], f"trial {trial}"
        for path in sorted(out.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    print(f"{kind}: {TRIALS} trials, {kills} kills")
    assert kills > 0 or TRIALS == 0
