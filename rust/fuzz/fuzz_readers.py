"""Fuzzes the readers of foreign bytes, and says for how long, how often and what was covered.

`make fuzz` calls it. It needs a nightly Rust compiler and cargo-fuzz (`cargo install cargo-fuzz`). Inputs that reach
new code are kept in build/fuzz, so that each run starts with what earlier ones found. An input that breaks a property
is written beside them; once the cause is fixed, it belongs in rust/fuzz/found, where `make test` replays it.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

FUZZ = Path(__file__).parent
ROOT = FUZZ.parent.parent
WORK = ROOT / "build" / "fuzz"
READERS = ROOT / "rust" / "core" / "tests" / "readers" / "mod.rs"
# What is compressed or has large tables inside grows out of proportion; whole documents stay fast at this size.
MAX_BYTES = {"prepare_auto": 2048, "sentencepiece_model": 8192}
# An input that is eight times as long may take this many times as long; what takes less than the floor is not judged.
SIZES, GROWTH, FLOOR_MS = (64 << 10, 512 << 10), 24, 1000


def names() -> list[str]:
    """Returns the readers' names, as the Rust code lists them."""
    return re.findall(r'^    \("(\w+)", \w+::\w+\),$', READERS.read_text(), re.MULTILINE)


def build() -> Path:
    """Builds the fuzzer, and returns its path."""
    target = ROOT / "target" / "fuzz"
    where = ["--fuzz-dir", str(FUZZ), "--target-dir", str(target)]
    command = ["cargo", "+nightly", "fuzz", "build", "--sanitizer", "none", *where, "reader"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(
            "fuzz: the build failed; it needs a nightly compiler (rustup toolchain install nightly) and cargo-fuzz"
        )
    return next(target.glob("*/release/reader"))


def fuzz(binary: Path, reader: str, seconds: int) -> tuple[str, bool]:
    """Runs one reader, and returns a line of the table and whether every property held."""
    corpus, log = WORK / reader, WORK / f"{reader}.log"
    corpus.mkdir(parents=True, exist_ok=True)
    directories = [FUZZ / "seeds" / reader, FUZZ / "found" / reader]
    dictionary = FUZZ / "dictionaries" / reader
    command = [
        str(binary),
        str(corpus),
        *(str(directory) for directory in directories if directory.is_dir()),
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES.get(reader, 4096)}",
        "-timeout=20",
        "-rss_limit_mb=3072",
        "-print_final_stats=1",
        f"-artifact_prefix={corpus}-",
        *([f"-dict={dictionary}"] if dictionary.is_file() else []),
    ]
    with log.open("w") as out:
        done = subprocess.run(command, env={**os.environ, "READER": reader}, stderr=out, stdout=out, check=False)
    text = log.read_text(errors="replace")
    edges = re.findall(r"cov: (\d+)", text)
    all_edges = re.search(r"\((\d+) inline 8-bit counters\)", text)
    runs = re.search(r"number_of_executed_units: (\d+)", text)
    ran = re.search(r"Done \d+ runs in (\d+) second", text)
    good = done.returncode == 0
    cells = [
        f"{reader:<24}",
        f"{ran[1] if ran else '?':>7}",
        f"{int(runs[1]) if runs else 0:>12,}",
        f"{edges[-1] if edges else '?':>8}",
        f"{all_edges[1] if all_edges else '?':>8}",
        f"{sum(1 for _ in corpus.iterdir()):>7,}",
        "  good" if good else f"  FAILED: see {log.relative_to(ROOT)}",
    ]
    return " ".join(cells), good


def fragments(reader: str) -> dict[str, bytes]:
    """What is repeated to see how time grows: seeds, their longest lines, and the words of the dictionary."""
    found = {}
    for path in sorted((FUZZ / "seeds" / reader).iterdir()):
        data = path.read_bytes()
        found[path.name] = data
        found[f"{path.name}, a line"] = max(data.splitlines(), key=len, default=b"") + b" "
    dictionary = FUZZ / "dictionaries" / reader
    lines = dictionary.read_text().splitlines() if dictionary.is_file() else []
    words = [ast.literal_eval(f"b{line}") for line in lines if line.startswith('"')]
    found |= {repr(word): word for word in words}
    found |= {repr(one + other): one + other for one, other in itertools.pairwise(words)}
    return {name: data for name, data in found.items() if data.strip()}


def growth(binary: Path, reader: str) -> tuple[str, bool]:
    """Repeats fragments to two sizes; returns a line on the one whose time grows most, and whether all may grow so.

    The fuzzer's inputs are too short to show a reader whose time grows with the square of the input.
    """
    directory = WORK / f"{reader}-growth"
    directory.mkdir(parents=True, exist_ok=True)
    worst, worst_ms, worst_name = 0.0, 0, "none takes a second"
    for name, data in fragments(reader).items():
        took = []
        for size in SIZES:
            path = directory / str(size)
            path.write_bytes((data * (size // len(data) + 1))[:size])
            command = [str(binary), "-timeout=120", "-rss_limit_mb=8192", f"-artifact_prefix={directory}/", str(path)]
            done = subprocess.run(
                command,
                env={**os.environ, "READER": reader},
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            ms = re.search(r"Executed \S+ in (\d+) ms", done.stderr)
            if done.returncode or ms is None:
                (directory / "log").write_text(done.stderr)
                return f"growth: FAILED on {name} of {size} bytes: see {directory.relative_to(ROOT)}", False
            took.append(int(ms[1]))
        times = took[1] / max(took[0], 1)
        if took[1] >= FLOOR_MS and times > worst:
            worst, worst_ms, worst_name = times, took[1], name
    good = worst <= GROWTH
    cells = f"growth of {SIZES[1] // SIZES[0]}x the bytes: {worst:.1f}x the time, {worst_ms} ms ({worst_name})"
    return f"{'':<24} {cells}{'' if good else '  FAILED'}", good


def python_readers(examples: int) -> bool:
    """Runs the tests of the readers in Python on this many examples each, and says whether they pass."""
    tests = [str(path) for path in sorted((ROOT / "tests").glob("test_*foreign_bytes.py"))]
    start = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", *tests]
    environment = {**os.environ, "FUZZ_EXAMPLES": str(examples)}
    good = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
    took = time.monotonic() - start
    print(
        f"readers in Python: {examples:,} examples for each test, {took:.0f} s,",
        "good" if good else "FAILED",
        flush=True,
    )
    return good


def main() -> None:
    """Fuzzes the readers that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help="readers to fuzz; all of them by default")
    parser.add_argument("--seconds", type=int, default=60, help="seconds for each reader [60]")
    parser.add_argument("--examples", type=int, default=1000, help="examples for each test of readers in Python [1000]")
    args = parser.parse_args()
    readers = args.readers or names()
    unknown = sorted(set(readers) - set(names()))
    if unknown:
        sys.exit(f"fuzz: no reader is called {', '.join(unknown)}; there are: {', '.join(names())}")
    binary = build()
    header = f"{'reader':<24} {'seconds':>7} {'executions':>12} {'edges':>8} {'of':>8} {'corpus':>7}"
    print(header, flush=True)
    good = True
    for reader in readers:
        line, held = fuzz(binary, reader, args.seconds)
        print(line, flush=True)
        good &= held
        line, held = growth(binary, reader)
        print(line, flush=True)
        good &= held
    if not args.readers:
        good &= python_readers(args.examples)
    sys.exit(not good)


if __name__ == "__main__":
    main()
