"""The rows of the benchmark on the training step."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import Row, say
from stepper import Stepper

STEPS = str(Path(__file__).with_name("steps.py"))
SECONDS = 4.0
"""Seconds of every turn."""
CASES = (("tiny", 8), ("tiny", 32), ("base", 8))
"""Models, and instances per batch."""
ATTENTION = ("sdpa", "eager")
"""PyTorch's attention implementations. Which one is faster depends on the machine."""


def _range(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f}x ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _step_row(name: str, size: int, torch_python: str, rounds: int) -> tuple[Row, dict[str, Any]]:
    what = f"a training step of {name}, float32, {size} x 128 tokens, 20 predictions each, 2 threads"
    say(f"training: {name}, {size} sequences, {rounds} rounds")
    opened: list[Stepper] = []
    try:
        for python, arguments in (
            (sys.executable, ["ours"]),
            *((torch_python, ["theirs", attention]) for attention in ATTENTION),
        ):
            opened.append(Stepper(python, [STEPS, arguments[0], name, str(size), *arguments[1:]]))
            if opened[-1].missing:
                reason = f"not measured: {opened[-1].missing}"
                hint = "pip install tensorflow" if arguments == ["ours"] else "--torch-python"
                return Row(what, reason, "1.0x", "1.15x", None, None, hint), {}
        times: list[list[float]] = [[] for _ in opened]
        for _ in range(rounds):
            for index, stepper in enumerate(opened):
                # Take the fastest step: two threads that wait for each other suffer most from other programs.
                times[index].append(min(stepper.ask(SECONDS)["steps"]))
    finally:
        for stepper in opened:
            stepper.close()
    mine, others = times[0], times[1:]
    # Take transformers at its best: with the attention implementation that is faster here.
    best = min(range(len(others)), key=lambda index: statistics.median(others[index]))
    ratios = [theirs / ours for ours, theirs in zip(mine, others[best], strict=True)]
    ratio, own = statistics.median(ratios), statistics.median(mine)
    about, their_about = opened[0].about, opened[1 + best].about
    row = Row(
        what,
        f"{_range(ratios)}; {1000 * own:,.0f} ms, {size / own:,.1f} sequences/s; the first step {about['first']:.0f} s",
        "1.0x",
        "1.15x",
        ratio >= 1,
        ratio >= 1.15,
        f"AlbertForPreTraining, {their_about['what']}, eager mode, masked LM at all positions, fused AdamW: "
        f"{1000 * statistics.median(others[best]):,.0f} ms",
    )
    figures = {
        "ours": {"seconds": mine} | about,
        "theirs": [{"seconds": seconds} | one.about for one, seconds in zip(opened[1:], others, strict=True)],
        "ratios": ratios,
    }
    return row, figures


def _products_row(name: str, size: int) -> tuple[Row, dict[str, Any]]:
    what = f"the compiled gradient's matrix products by the count by hand ({name}, {size} x 128 tokens): FLOPs, bytes"
    say("training: the compiled step's products")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, STEPS, "products", name, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Row(what, f"not measured: {reason}", "0.9 to 1.1", "", None, None, "pip install tensorflow"), {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    fractions = [found[name] / found[f"{name}_by_hand"] for name in ("operations", "bytes")]
    row = Row(
        what,
        f"{fractions[0]:.3f}, {fractions[1]:.3f}; {found['operations'] / 1e9:,.1f} GFLOP in {found['products']} "
        f"products, their factors and results {found['bytes'] / 1e9:.2f} GB: "
        f"{found['operations'] / found['bytes']:.0f} FLOP "
        "per byte",
        "0.9 to 1.1",
        "",
        all(0.9 <= fraction <= 1.1 for fraction in fractions),
        None,
        "trainer/model/flops.py, which gives the trainer its fraction of the peak; counted in StableHLO, as XLA has it",
    )
    return row, found


def _input_row(store: Path, directory: Path) -> tuple[Row, dict[str, Any]]:
    """Return the row of a complete pretraining run of the smallest model, whose steps wait for input soonest."""
    what = "fraction of the time that steps of tiny, with 32 x 128 tokens and new masks, wait for input"
    say("training: a run from a token store")
    run = directory / "run"
    shutil.rmtree(run, ignore_errors=True)
    options = {
        "--tokens": store,
        "--model": "tiny",
        "--output-dir": run,
        "--max-seq-length": 128,
        "--batch-size": 32,
        "--num-train-steps": 120,
        "--num-warmup-steps": 10,
        "--log-steps": 20,
    }
    command = [
        sys.executable,
        "-m",
        "albert_fast",
        "pretrain",
        *(str(word) for pair in options.items() for word in pair),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Row(what, f"not measured: {reason}", "2%", "", None, None, "pip install tensorflow"), {}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    # The first line is for the steps in which XLA compiles.
    fractions = [line["input_wait"] for line in lines if "input_wait" in line][1:]
    fraction = statistics.median(fractions)
    row = Row(
        what,
        f"{100 * fraction:.2f}% ({100 * min(fractions):.2f} to {100 * max(fractions):.2f})",
        "2%",
        "",
        fraction < 0.02,
        None,
        "albert-fast pretrain from start to end; as metrics.jsonl has it",
    )
    return row, {"input_wait": fractions}


def training_rows(torch_python: str, rounds: int, store: Path, directory: Path) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of a step: in turns with transformers' if `torch_python` has it, its products, and its input."""
    rows: list[Row] = []
    figures: dict[str, Any] = {}
    for name, size in CASES:
        row, figures[f"step_{name}_{size}"] = _step_row(name, size, torch_python, rounds)
        rows.append(row)
    for name in ("tiny", "base"):
        row, figures[f"products_{name}"] = _products_row(name, 8)
        rows.append(row)
    row, figures["input"] = _input_row(store, directory)
    return [*rows, row], {"training": figures}
