"""Small runs of `albert-fast pretrain`, for its tests: what they train on, how they start, what they leave.

TensorFlow is imported where arrays are read, and nowhere else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trainer.report.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parents[1] / "golden"
TOKENIZER = GOLDEN / "tokenizer" / "spiece.model"
MODEL: dict[str, Any] = {
    "vocab_size": 2000,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "embedding_size": 16,
    "max_position_embeddings": 64,
}
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
KEY_BIAS = "self/key/bias"
"""Its gradient is nothing but rounding: softmax does not see a shift of all scores."""
ADVICE = "run the same command again to resume"
DEADLINE = 900
"""Seconds after which a process counts as stuck, however busy the machine is."""

Weights = dict[str, "NDArray[np.float32]"]


class Material(NamedTuple):
    """What the runs train on and with."""

    store: Path
    records: Path
    """809 records in two files, of the store's text."""
    held_out: Path
    """436 records of other text."""
    small: Path
    """A model's configuration."""
    dropout: Path
    """The same with dropout."""


def make(directory: Path) -> Material:
    """Makes it all in `directory`."""
    from albert_fast.cli import main

    made = Material(*(directory / name for name in ("store", "records", "held-out", "small.json", "dropout.json")))
    made.small.write_text(json.dumps(MODEL))
    made.dropout.write_text(json.dumps(MODEL | DROPOUT))
    tokenizer = ["--tokenizer", str(TOKENIZER)]
    rules = ["--max-seq-length", "64", "--max-predictions-per-seq", "10", "--dupe-factor", "1"]
    corpus = [str(GOLDEN / "corpus" / f"part-{part}.txt") for part in "ab"]
    for command in (
        ["tokenize", corpus[0], *tokenizer, "--output-dir", str(made.store)],
        ["make-records", corpus[0], *tokenizer, "--output-dir", str(made.records), *rules, "--num-shards", "2"],
        ["make-records", corpus[1], *tokenizer, "--output-dir", str(made.held_out), *rules],
    ):
        assert main(command) == 0
    return made


def swapped_tokenizer(path: Path) -> Path:
    """The tokenizer with two of its pieces in each other's place: as many, and other ids."""
    data = TOKENIZER.read_bytes()
    # A piece's text is behind a tag and its length.
    one, other = (b"\n\x05" + piece.encode() for piece in ("▁se", "▁tr"))
    assert data.count(one) == data.count(other) == 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.replace(one, b"\0" * 7).replace(other, one).replace(b"\0" * 7, other))
    return path


def arguments(material: Material, run: Path, **changes: Any) -> list[str]:
    """A command line of `pretrain`: 12 steps of 8, checkpoints at 4 and 8 and at the end, without XLA.

    Args:
        material: what to train on: `tokens` unless `records` are given.
        run: the output directory.
        changes: options by their names; None leaves one out, True and False are switches.
    """
    options: dict[str, Any] = {
        "tokens": None if "records" in changes else material.store,
        "model": material.small,
        "max_seq_length": None if "records" in changes else 64,
        "batch_size": 8,
        "num_train_steps": 12,
        "num_warmup_steps": 2,
        "save_checkpoints_steps": 4,
        "log_steps": 2,
        "jit": False,
    }
    words = ["pretrain", "--output-dir", str(run)]
    for name, value in {**options, **changes}.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            words += [f"--{flag}", str(value)]
    return words


def start(words: list[str], **environment: str) -> subprocess.Popen[str]:
    """Runs `albert-fast` with `words` in a process of its own; standard error and output in one."""
    found = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        [sys.executable, "-m", "albert_fast", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=found,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    """Waits for the end, which must be with `code`; what was said."""
    try:
        said, _ = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(process.communicate()[0]) from None
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Sends a signal when the journal gets the training line of `step`."""
    append = Journal.append

    def watched(self: Journal, line: Mapping[str, Any]) -> None:
        append(self, line)
        if line["step"] == step and "loss" in line:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Journal, "append", watched)


def wait_for(process: subprocess.Popen[str], reached: Callable[[], bool], pause: float = 0.0) -> bool:
    """Waits until `reached`, asked again and again; false where the process ended before."""
    until = time.monotonic() + DEADLINE
    while process.poll() is None:
        assert time.monotonic() < until, "stuck"
        try:
            if reached():
                return True
        except (FileNotFoundError, NotADirectoryError):
            pass  # it went while it was looked at
        time.sleep(pause)
    return False


def lines(run: Path) -> list[dict[str, Any]]:
    """All lines of metrics.jsonl."""
    try:
        text = (run / "metrics.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


COMPUTED = ("loss", "masked_lm_accuracy", "sentence_order_accuracy", "gradient_norm", "learning_rate", "steps")


def training(run: Path) -> list[tuple[float, ...]]:
    """Of each training line its step and what does not depend on the clock."""
    return [(line["step"], *(line[name] for name in COMPUTED)) for line in lines(run) if "loss" in line]


def losses(run: Path) -> NDArray[np.float64]:
    """The loss of each training line."""
    return np.array([line["loss"] for line in lines(run) if "loss" in line])


def evaluations(run: Path) -> dict[int, dict[str, float]]:
    """The figures of each evaluation line by its step; fails where a step has two."""
    found: dict[int, dict[str, float]] = {}
    for line in lines(run):
        if "evaluation" in line:
            assert line["step"] not in found
            found[line["step"]] = {name: value for name, value in line["evaluation"].items() if name != "seconds"}
    return found


def checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08}"


def steps(run: Path) -> list[int]:
    """Steps of the checkpoints there, and nothing else may be there."""
    directory = run / "checkpoints"
    if not directory.exists():
        return []
    names = sorted(path.name for path in directory.iterdir())
    assert all(name.startswith("step-") for name in names), names
    return [int(name.removeprefix("step-")) for name in names]


def weights(run: Path, step: int | None = None) -> Weights:
    """All variables, slots included, of a checkpoint, the last by default: read by TensorFlow alone."""
    import tensorflow as tf

    prefix = checkpoint(run, steps(run)[-1] if step is None else step) / "variables"
    reader = tf.train.load_checkpoint(str(prefix))
    names = [name for name in reader.get_variable_to_dtype_map() if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    return {name: reader.get_tensor(name) for name in names}


def assert_same(left: Weights, right: Weights) -> None:
    """Every bit of every variable."""
    assert left.keys() == right.keys()
    assert len(left) > 60
    assert [name for name in left if left[name].tobytes() != right[name].tobytes()] == []


def worst(left: Weights, right: Weights) -> tuple[float, str]:
    """The largest relative difference of the model's variables, key biases left out, and whose it is."""
    assert left.keys() == right.keys()
    names = [name for name in left if name.startswith("variables/") and "adam_" not in name and "key.Sbias" not in name]
    assert len(names) > 20
    return max((float(np.linalg.norm(left[n] - right[n]) / max(np.linalg.norm(left[n]), 1e-6)), n) for n in names)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def damage(path: Path) -> None:
    """Changes one byte in the middle of a file; its size stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
