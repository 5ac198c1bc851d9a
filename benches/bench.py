"""Speed and memory as ratios, each measured side by side in this run: `make bench`.

A and B take turns. The table compares medians over the rounds, and shows the range over the rounds next to them.
Absolute rates change with the machine and its load. Ratios change less.
"""

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sentencepiece
from batches import batch_rows
from common import CHILD, MB, MIB, Row, launch_fresh, rate, ratio, run_child, say, timed
from corpus import CHUNK, Corpus, build, chunks_of, part, size_of
from padding import padding_rows
from remote_files import remote_rows
from rich.console import Console
from rich.table import Table
from sentences import sentence_rows
from tokenizer_training import tokenizer_rows
from tokenizing import tokenizing_rows
from training import training_rows

import albert_fast
from albert_fast import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

GROUPS = ("tokenizers", "tokenizing", "records", "batches", "sentences", "training", "padding", "cache", "remote")
"""Groups of rows, in the order in which they are measured."""
REFERENCE = 59
"""The reference script processes 1/59 as much text x dupe per second as sentencepiece encodes next to it.

sentencepiece encodes on one thread.
"""


def train(directory: Path, corpus: Corpus) -> Path:
    """Train a tokenizer of 30,000 pieces on a sample of the corpus with albert-fast, and keep it for the next run."""
    output = directory / f"tokenizer-{corpus.key}"
    if not (output / "spiece.model").exists():
        sample = part(corpus, 20 * MB, seed=5)
        say("training a tokenizer of 30,000 pieces on 20 MB of the text (kept for the next run)")
        command = ["train-tokenizer", str(sample), "--output-dir", str(output), "--vocab-size", "30000"]
        found = launch_fresh([sys.executable, "-m", "albert_fast", *command], directory / "train.log")
        say(f"trained in {found['wall']:.0f} s")
    return output / "spiece.model"


class Records(NamedTuple):
    """The result of one make-records command."""

    wall: float
    peak: float
    anonymous: float
    """The part of the peak that is not pages of mapped files, which the system can reclaim; sampled."""
    bytes: int
    """Bytes of all shards."""
    records_seconds: float
    """Seconds of the stage that writes the records."""


def make_records(text: Path, model: Path, directory: Path) -> Records:
    """Run the command on `text`, and remove what it wrote."""
    output, seconds = directory / "records", directory / "seconds.json"
    shutil.rmtree(output, ignore_errors=True)
    options = [
        "--dupe-factor",
        "10",
        "--max-seq-length",
        "512",
        "--max-predictions-per-seq",
        "77",
        "--num-threads",
        "2",
    ]
    arguments = [str(text), "--tokenizer", str(model), "--output-dir", str(output), *options]
    os.sync()
    found = launch_fresh(
        [sys.executable, CHILD, "make-records", str(seconds), *arguments], directory.parent / "make-records.log"
    )
    written = sum(shard["bytes"] for shard in json.loads((output / "dataset.json").read_text())["shards"])
    stages = json.loads(seconds.read_text())
    shutil.rmtree(output)
    return Records(found["wall"], found["peak"], found["anonymous"], written, stages["records"])


def dd_rate(size: int, directory: Path) -> float:
    """Return the bytes per second at which dd writes `size` bytes of zeros, including fsync. Remove them."""
    blocks = -(-size // MIB)
    target = directory / "zeros"
    target.unlink(missing_ok=True)
    os.sync()
    start = time.perf_counter()
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={target}", "bs=1M", f"count={blocks}", "conv=fsync"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - start
    target.unlink()
    return blocks * MIB / seconds


def records_rows(model: Path, corpus: Corpus, directory: Path, rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of make-records: its rate, the rate of writing, and its memory."""
    dupe = 10
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    preprocess = Tokenizer.from_file(model).preprocess
    chunks = random.Random(4).sample(chunks_of(corpus.path), 1 if corpus.size < 2 * CHUNK else 2)
    lines = [preprocess(line) for chunk in chunks for line in chunk]
    sample_size = size_of(lines)

    def encode() -> Any:
        return processor.encode(lines, out_type=int, num_threads=1)

    small_text = part(corpus, corpus.size // 5)
    small_size = small_text.stat().st_size
    say(f"make-records on {small_size / MB:.0f} MB, then on {corpus.size / MB:.0f} MB, {rounds} rounds with dd")
    small = make_records(small_text, model, directory)
    speeds, ours, writing, dd, fractions, standins = [], [], [], [], [], []
    peak = anonymous = 0.0
    for index in range(rounds):
        _, spent = timed(encode)
        made = make_records(corpus.path, model, directory)
        zeros = dd_rate(made.bytes, directory)
        ours.append(corpus.size * dupe / made.wall)
        standins.append(sample_size / spent.wall / REFERENCE)
        speeds.append(ours[-1] / standins[-1])
        writing.append(made.bytes / made.records_seconds)
        dd.append(zeros)
        fractions.append(writing[-1] / zeros)
        peak, anonymous = max(peak, made.peak), max(anonymous, made.anonymous)
        say(f"round {index + 1}: {made.wall:.1f} s, {made.bytes / MB:,.0f} MB of records")
    speed, fraction = statistics.median(speeds), statistics.median(fractions)
    large_enough = corpus.size >= 99 * MB
    growth = peak / small.peak
    rows = [
        Row(
            f"make-records, {corpus.size / MB:.0f} MB, dupe 10, seq 512, 2 threads, from start to exit"
            + ("" if large_enough else " (less than 100 MB: all that was found)"),
            f"{ratio(speeds)}; {rate(ours)} of text x dupe",
            "500x",
            "1,500x",
            speed >= 500,
            speed >= 1500,
            f"the reference script, for which 1/{REFERENCE} of sentencepiece's rate stands in: {rate(standins)}",
        ),
        Row(
            f"writing shards, {made.bytes / MB:,.0f} MB",
            f"{ratio(fractions)}; {rate(writing)}, masking included",
            "0.25x",
            "0.5x",
            fraction >= 0.25,
            fraction >= 0.5,
            f"dd of zeros to the same directory, conv=fsync, {rate(dd)}",
        ),
        Row(
            f"peak memory of make-records, {corpus.size / MB:.0f} MB",
            f"{peak / MIB:.0f} MiB ({anonymous / MIB:.0f} MiB of it not pages of mapped files)",
            "under 1,024 MiB",
            "500 MiB",
            peak < 1024 * MIB,
            peak <= 500 * MIB,
            "maximum resident set of the process",
        ),
        Row(
            f"the same, on a fifth of the text ({small_size / MB:.0f} MB)",
            f"{small.peak / MIB:.0f} MiB ({small.anonymous / MIB:.0f} MiB); {growth:.2f} times as much for 5 times "
            "the text",
            "not growing with the corpus (at most 1.25 times)",
            "",
            growth <= 1.25,
            None,
            "",
        ),
    ]
    figures = {
        "make_records": {"ratio": speeds, "ours": ours, "standin": standins, "bytes": corpus.size},
        "writing": {"ratio": fractions, "ours": writing, "dd": dd, "bytes": made.bytes},
        "peak_memory": {
            "text": [small_size, corpus.size],
            "peak": [small.peak, peak],
            "anonymous": [small.anonymous, anonymous],
        },
    }
    return rows, figures


def cache_rows(model: Path) -> tuple[list[Row], dict[str, Any]]:
    """Return the row of the word cache's memory."""
    words = 2_000_000
    say(f"word cache: {words:,} distinct words")
    found = run_child(CHILD, ["word-cache", str(model), str(words)])
    before, after = found["before"], found["after"]
    growth = max(after) - after[1]
    row = Row(
        f"the word cache, {words:,} distinct words",
        f"{(after[1] - before) / MIB:.0f} MiB after {words // 10:,} words, then {growth / MIB:+.1f} MiB",
        "bounded (at most 8 MiB more after the first tenth)",
        "",
        growth <= 8 * MIB,
        None,
        "resident memory of a process that tokenizes them on 1 thread",
    )
    return [row], {"word_cache": found}


def environment() -> dict[str, Any]:
    """Return the machine and the versions."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "sentencepiece": sentencepiece.__version__,
        "albert_fast": albert_fast.__version__,
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def verdict(row: Row) -> str:
    """Return whether a row reached its targets."""
    if row.reached is None:
        return "(for information)"
    must = "reached" if row.reached else "not reached"
    if row.aim_reached is None:
        return must
    return f"{must}; aim {'reached' if row.aim_reached else 'not reached'}"


def show(rows: list[Row], title: str, caption: str) -> None:
    """Print the table as wide as the terminal, or wide enough to be read in a file."""
    table = Table(
        title=title, caption=caption, show_lines=True, expand=True, title_justify="left", caption_justify="left"
    )
    for name, width in (("what", 3), ("measured", 3), ("must", 2), ("aim", 1), ("", 2), ("against", 3)):
        table.add_column(name, ratio=width)
    for row in rows:
        style = {True: "green", False: "red", None: "dim"}[row.reached]
        table.add_row(row.what, row.measured, row.must, row.aim, f"[{style}]{verdict(row)}[/]", row.against)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--text",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="your own text: one sentence "
        "a line, a blank line between documents (default: collected from this machine)",
    )
    parser.add_argument("--megabytes", type=int, default=100, metavar="MB", help="text to use (default: %(default)s)")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="spiece.model (default: trained on the text)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of tokenizing (default: %(default)s)")
    parser.add_argument("--record-rounds", type=int, default=3, help="rounds of make-records (default: %(default)s)")
    parser.add_argument(
        "--training-rounds", type=int, default=5, help="rounds of training steps (default: %(default)s)"
    )
    parser.add_argument(
        "--step-rounds", type=int, default=3, help="rounds of training steps on the text (default: %(default)s)"
    )
    parser.add_argument(
        "--layers",
        type=int,
        default=3,
        help="layers of the model that trains on the text, otherwise base, which has 12 (default: %(default)s)",
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="DIR",
        help="another checkout, whose trainer trains on the text too (default: this one's with micro-batches of full "
        "width)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=GROUPS,
        metavar="GROUP",
        help=f"of {', '.join(GROUPS)} (default: all)",
    )
    parser.add_argument(
        "--torch-python",
        default=sys.executable,
        metavar="FILE",
        help="a Python that has NumPy, PyTorch and transformers, to compare masks and training steps with "
        "(default: this one, if it has them)",
    )
    parser.add_argument(
        "--sentence-python",
        default=sys.executable,
        metavar="FILE",
        help="a Python that has nltk, pysbd and sentencex, to compare prepare-text with (default: this one, if it can)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("build/bench"),
        metavar="DIR",
        help="for corpus, tokenizer and records (default: %(default)s)",
    )
    found = parser.parse_args()
    counts = ("megabytes", "rounds", "record_rounds", "training_rounds", "step_rounds", "layers")
    for name in counts:
        if getattr(found, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(found, name)}")
    if "training" in found.only and "batches" not in found.only:
        parser.error("--only training needs the token store of batches: pass --only batches training")
    steps = [] if found.baseline is None else [found.baseline / "trainer" / name for name in ("run/step.py", "step.py")]
    if steps and not any(path.is_file() for path in steps):
        parser.error(f"--baseline must be a checkout with a trainer, got {found.baseline}")
    for path in [*found.text, *([found.tokenizer] if found.tokenizer else [])]:
        if not path.is_file():
            parser.error(f"{path} is not a file")
    return found


def main() -> int:
    """Measure, print the table, and remove temporary files."""
    given = options()
    started = time.perf_counter()
    before = environment()
    directory: Path = given.directory
    directory.mkdir(parents=True, exist_ok=True)
    say("reading the text")
    corpus = build(directory, given.text, given.megabytes * MB)
    # Records take about 25 bytes per byte of text at dupe 10. dd then writes as much again.
    if (free := shutil.disk_usage(directory).free) < 35 * corpus.size:
        sys.exit(f"bench: {35 * corpus.size / MB:,.0f} MB of disk are needed, {free / MB:,.0f} are free: --megabytes")
    model = given.tokenizer or train(directory, corpus)
    work = directory / "work"
    rows: list[Row] = []
    figures: dict[str, Any] = {}
    try:
        work.mkdir(exist_ok=True)
        groups: dict[str, Callable[[], tuple[list[Row], dict[str, Any]]]] = {
            "tokenizers": lambda: tokenizer_rows(corpus, work, given.record_rounds),
            "tokenizing": lambda: tokenizing_rows(model, corpus, given.rounds),
            "records": lambda: records_rows(model, corpus, work, given.record_rounds),
            "batches": lambda: batch_rows(model, corpus, work, given.torch_python),
            "sentences": lambda: sentence_rows(
                work / "raw", given.sentence_python, given.record_rounds, min(given.megabytes, 20)
            ),
            "training": lambda: training_rows(
                given.torch_python, given.training_rounds, work / "batches" / "tokens", work
            ),
            "padding": lambda: padding_rows(
                model, corpus, work, given.torch_python, given.baseline, given.layers, given.step_rounds
            ),
            "cache": lambda: cache_rows(model),
            "remote": lambda: remote_rows(model, corpus, work / "remote", given.record_rounds),
        }
        for name in GROUPS:
            if name in given.only:
                more_rows, more_figures = groups[name]()
                rows += more_rows
                figures |= more_figures
    finally:
        shutil.rmtree(work, ignore_errors=True)
    load = [round(value, 2) for value in os.getloadavg()]
    title = (
        f"{before['cpu']}, {before['cores']} cores; albert-fast {before['albert_fast']}, sentencepiece "
        f"{before['sentencepiece']}, Python {before['python']}; load average "
        f"{before['load'][0]} before, {load[0]} after"
    )
    seconds = time.perf_counter() - started
    caption = (
        f"Text: {corpus.origin}, {corpus.size / MB:.0f} MB, no line twice. Ratios are medians of {given.rounds} rounds "
        f"(records: {given.record_rounds}, training: {given.training_rounds}, on the text: {given.step_rounds}) in "
        f"turn, with their range. {seconds:.0f} s in all."
    )
    show(rows, title, caption)
    if given.json:
        content = {
            "environment": before | {"load_after": load},
            "corpus": {"origin": corpus.origin, "bytes": corpus.size},
            "rows": [row._asdict() for row in rows],
            "figures": figures,
        }
        given.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
