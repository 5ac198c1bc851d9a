"""The rows of the benchmark on training tokenizers."""

from pathlib import Path
from typing import Any

from common import CHILD, MB, Row, ratio, run_child, say
from corpus import Corpus

PIECES = 30_000
MUST, AIM = 8, 15
MOST_MEMORY = 0.5


def tokenizer_rows(corpus: Corpus, directory: Path, rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """Compare `train-tokenizer` with the SentencePiece library: whole commands with 2 threads each, in turn."""
    found: dict[str, list[dict[str, Any]]] = {"albert-fast": [], "sentencepiece": []}
    same = True
    for number in range(rounds):
        models = []
        for engine, results in found.items():
            say(f"train-tokenizer --engine {engine} on {corpus.size / MB:.0f} MB, round {number + 1} of {rounds}")
            output = directory / f"tokenizer-{engine}"
            command = ["albert-fast", "train-tokenizer", str(corpus.path), "--output-dir", str(output), "--overwrite"]
            # The library starts as many threads as there are partial sums.
            options = ["--vocab-size", str(PIECES), "--engine", engine, "--partitions", "2", "--num-threads", "2"]
            results.append(run_child(CHILD, ["launch", *command, *options, "--input-sentence-size", "0"]))
            if results[-1]["code"]:
                raise SystemExit(f"bench: train-tokenizer ended with exit code {results[-1]['code']}")
            models.append((output / "spiece.model").read_bytes())
        same = same and models[0] == models[1]
    ours, theirs = found.values()
    wall = [b["wall"] / a["wall"] for a, b in zip(ours, theirs, strict=True)]
    cpu = [b["cpu"] / a["cpu"] for a, b in zip(ours, theirs, strict=True)]
    memory = max(one["peak"] for one in ours), max(one["peak"] for one in theirs)
    median = sorted(wall)[len(wall) // 2]
    rows = [
        Row(
            f"train-tokenizer, {PIECES:,} pieces, {corpus.size / MB:.0f} MB, 2 threads, from start to exit",
            f"{ratio(wall)}, {'same bytes' if same else 'OTHER BYTES'}; CPU time {ratio(cpu)}",
            f"{MUST}x, same bytes",
            f"{AIM}x",
            same and median >= MUST,
            same and median >= AIM,
            "sentencepiece 0.2.3 in the same command",
        ),
        Row(
            "its peak memory",
            f"{memory[0] / MB:,.0f} MB of {memory[1] / MB:,.0f} MB",
            f"{MOST_MEMORY:.0%} of it",
            "",
            memory[0] <= MOST_MEMORY * memory[1],
            None,
            "the same",
        ),
    ]
    return rows, {"train_tokenizer": {"ours": ours, "theirs": theirs, "same": same}}
