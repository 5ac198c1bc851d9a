"""Does it pay? Trains small models with and without a feature, and compares their held-out losses.

    python benches/recipes.py CORPUS --directory DIR

CORPUS is a corpus of `prepare-text`. A fiftieth of its documents is held out. Every model has two layers of width 128
and instances of 128 tokens. Every variant is trained with the same seeds. Runs that are done are kept in DIR, so the
script can be interrupted. The held-out records have masks on 15% of the tokens, whatever the variant masks.

Every core trains one model at a time. If the steps of a variant take longer or shorter than those of the baseline, the
variant is trained again, with as many steps as fit in the baseline's time. Nothing else may run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import statistics
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

SEED = 20_261_127
LENGTH = 128
BATCH = 32
RATE = 0.0035
VOCABULARY = 8_000
COPIES = 0.3
"""The fraction of the documents that are copies, in the corpus with planted near-duplicates."""
EDITS = 0.02
"""The probability with which a word of a copy is another one."""
SAME_TIME = 0.03
"""Steps whose times differ by less than this fraction count as equally fast."""


class Variant(NamedTuple):
    """A way to train."""

    options: tuple[str, ...]
    store: str = "store"
    against: str = "baseline"
    """The variant to compare with."""
    phases: tuple[tuple[float, int], ...] = ()
    """Fractions of the steps, and the length of their instances."""


class Result(NamedTuple):
    """What a run reached."""

    loss: float
    """The held-out masked-LM loss."""
    seconds: float
    """The time of all steps, without compilation."""


VARIANTS = {
    "baseline": Variant(()),
    "masks 0.30:0.15": Variant(("--masked-lm-prob", "0.30:0.15")),
    "wsd": Variant(("--learning-rate-schedule", "wsd")),
    "cosine": Variant(("--learning-rate-schedule", "cosine")),
    "short first": Variant((), phases=((0.8, 64), (0.2, LENGTH))),
    "copies": Variant((), store="store-copies"),
    "copies removed": Variant((), store="store-removed", against="copies"),
}


CORES: queue.SimpleQueue[int] = queue.SimpleQueue()
"""The cores that train nothing now."""


def run(*words: object, core: int | None = None) -> None:
    """Run a command of albert-fast, on one core or on all."""
    pinned = () if core is None else ("taskset", "--cpu-list", str(core))
    command = [*pinned, sys.executable, "-m", "albert_fast", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"recipes: {' '.join(map(str, words))} failed:\n{done.stdout[-3000:]}")


def documents(path: Path) -> list[str]:
    """Return the documents of a corpus."""
    return [text for text in path.read_text(encoding="utf-8").split("\n\n") if text.strip()]


def with_copies(texts: list[str], draw: random.Random) -> list[str]:
    """Add edited copies of some documents, each at a random place."""
    words = [word for text in draw.sample(texts, min(200, len(texts))) for word in text.split()]
    copies = []
    for text in draw.choices(texts, k=round(len(texts) * COPIES / (1 - COPIES))):
        lines = [
            " ".join(draw.choice(words) if draw.random() < EDITS else word for word in line.split(" "))
            for line in text.split("\n")
        ]
        copies.append("\n".join(lines))
    every = texts + copies
    draw.shuffle(every)
    return every


def prepare(corpus: Path, directory: Path) -> None:
    """Make the tokenizer, the stores and the held-out records."""
    text, held_out = directory / "corpus.txt", directory / "held-out.txt"
    as_it_is = ("--documents", "blank-line", "--paragraphs", "line", "--language", "en")
    if not text.exists():
        run("prepare-text", corpus, "--output", text, "--eval-output", held_out, "--eval-fraction", 0.02, *as_it_is)
    copies = directory / "copies.txt"
    if not copies.exists():
        every = with_copies(documents(text), random.Random(SEED))
        copies.write_text("".join(f"{one.rstrip()}\n\n" for one in every), encoding="utf-8")
    removed = directory / "removed.txt"
    if not removed.exists():
        run("prepare-text", copies, "--output", removed, "--dedup-near", *as_it_is)
    tokenizer = directory / "tokenizer"
    if not (tokenizer / "spiece.model").exists():
        run("train-tokenizer", text, "--output-dir", tokenizer, "--vocab-size", VOCABULARY)
    for name, source in (("store", text), ("store-copies", copies), ("store-removed", removed)):
        # A store that is complete is kept.
        run("tokenize", source, "--output-dir", directory / name, "--tokenizer", tokenizer)
    records = (directory / "records", "--max-seq-length", LENGTH, "--dupe-factor", 1, "--num-shards", 1)
    run("make-records", held_out, "--output-dir", *records, "--tokenizer", tokenizer)


def model(directory: Path) -> None:
    """Write the shape of the model: tiny, with this vocabulary."""
    shape = {
        "vocab_size": VOCABULARY,
        "embedding_size": 128,
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 512,
        "initializer_range": 0.05,
        "hidden_act": "gelu_new",
        "max_position_embeddings": LENGTH,
        "type_vocab_size": 2,
        "hidden_dropout_prob": 0,
        "attention_probs_dropout_prob": 0,
    }
    (directory / "albert_config.json").write_text(json.dumps(shape), encoding="utf-8")


def lines_of(directory: Path) -> list[dict[str, Any]]:
    """Return the metrics of a run."""
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def train(directory: Path, name: str, seed: int, steps: int) -> Result:
    """Train a model on a core of its own, or find its result if it is there."""
    variant = VARIANTS[name]
    output = directory / "runs" / f"{name.replace(' ', '-').replace(':', '-')}-{seed}-{steps}"
    evaluation = output / "evaluation.json"
    if not evaluation.exists():
        options: list[object] = ["--num-warmup-steps", steps // 20, "--learning-rate", RATE, "--batch-size", BATCH]
        if variant.phases:
            counts = [round(fraction * steps) for fraction, _ in variant.phases]
            counts[-1] += steps - sum(counts)
            for count, (_, length) in zip(counts, variant.phases, strict=True):
                options += ["--phase", f"steps={count},max_seq_length={length}"]
        else:
            options += ["--num-train-steps", steps, "--max-seq-length", LENGTH]
        options += ["--random-seed", seed, "--save-checkpoints-steps", steps, "--log-steps", 50, *variant.options]
        core = CORES.get()
        try:
            data = ("--tokens", directory / variant.store, "--model", directory / "albert_config.json")
            run("pretrain", *data, "--output-dir", output, *options, "--num-threads", 1, core=core)
            held_out = ("--records", directory / "records", "--output", evaluation)
            run("evaluate", "--checkpoint", output, *held_out, core=core)
        finally:
            CORES.put(core)
    # The rate of a line does not count the time in which a step was compiled.
    lines = [line for line in lines_of(output) if "sequences_per_second" in line]
    seconds = sum(line["steps"] * BATCH / line["sequences_per_second"] for line in lines)
    loss = json.loads(evaluation.read_text(encoding="utf-8"))["evaluation"]["masked_lm_loss"]
    print(f"recipes: {name}, seed {seed}, {steps} steps: {loss:.4f} after {seconds:.0f} s", file=sys.stderr, flush=True)
    return Result(loss, seconds)


def summary(results: list[Result]) -> str:
    """Return the mean of the losses."""
    return f"{statistics.mean(one.loss for one in results):.3f}"


def differences(results: list[Result], others: list[Result]) -> str:
    """Return the difference of the losses for each seed."""
    return ", ".join(f"{one.loss - other.loss:+.3f}" for one, other in zip(results, others, strict=True))


def main() -> None:
    """Train all variants, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1_200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=[*VARIANTS])
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    prepare(given.corpus, given.directory)
    model(given.directory)
    for core in os.sched_getaffinity(0):
        CORES.put(core)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:

        def results(name: str, steps: int) -> list[Future[Result]]:
            return [pool.submit(train, given.directory, name, seed, steps) for seed in given.seeds]

        asked = {name: results(name, given.steps) for name in given.only}
        every = {name: [one.result() for one in futures] for name, futures in asked.items()}
        times = {
            name: statistics.median(
                one.seconds / other.seconds
                for one, other in zip(found, every.get(VARIANTS[name].against, found), strict=True)
            )
            for name, found in every.items()
        }
        again = {
            name: results(name, round(given.steps / time)) for name, time in times.items() if abs(time - 1) > SAME_TIME
        }
        equal = every | {name: [one.result() for one in futures] for name, futures in again.items()}
    print("| variant | loss at equal steps | difference, seed by seed | time | loss at equal time | difference |")
    print("|---|---|---|---|---|---|")
    for name, found in every.items():
        against = every.get(VARIANTS[name].against, found)
        columns = (summary(found), differences(found, against), f"{times[name]:.2f}")
        print("|", " | ".join((name, *columns, summary(equal[name]), differences(equal[name], against))), "|")


if __name__ == "__main__":
    main()
