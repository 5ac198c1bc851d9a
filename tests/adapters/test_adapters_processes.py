"""`albert_fast.torch.dataset` in two processes: accelerate, a Trainer or shards deal each instance out once."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hugging_face
import pytest
import torch_processes
from torch_processes import ROWS, TOKENS, Way

from albert_fast import Tokenizer, tokenize
from albert_fast.cli import main

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]
WORLD = 2
WAYS = {way.name: way for way in torch_processes.ways()}
REFUSED = [name for name, way in WAYS.items() if way.sharded and name != "shards"]


def has(python: str, module: str) -> bool:
    """Whether a Python has a module."""
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def data(model: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    tokenize([corpus], directory / "store", Tokenizer.from_file(model))
    options = {
        "--tokenizer": model,
        "--output-dir": directory / "records",
        "--max-seq-length": TOKENS,
        "--num-shards": 3,
    }
    words = [str(word) for option in options.items() for word in option]
    assert main(["make-records", str(corpus), *words, "--dupe-factor", "1", "--max-predictions-per-seq", "5"]) == 0
    return directory


@pytest.fixture(scope="module")
def processes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process tells."""
    python = hugging_face.python()
    if python is None or not has(python, "accelerate"):
        pytest.skip("torch, transformers or accelerate is not installed")
    out, data = tmp_path_factory.mktemp("out"), request.getfixturevalue("data")
    program = [str(ROOT / "tests" / "helpers" / "torch_processes.py"), str(data), str(out)]
    done = subprocess.run(
        [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(WORLD), *program],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(WORLD)]


def rows_of(processes: Sequence[dict[str, Any]], name: str) -> Counter[str]:
    """How often each row was had, in all processes together, which all took as many steps."""
    steps = [process[name]["steps"] for process in processes]
    assert all(isinstance(one, list) for one in steps), steps
    assert len({len(one) for one in steps}) == 1
    return Counter(row for one in steps for step in one for row in step)


BARE = "accelerate without a collator, not dispatched"
OTHERS = {"accelerate splits an odd batch", "accelerate drops items", "accelerate repeats", BARE}
ONCE = [name for name in WAYS if name not in {*REFUSED, *OTHERS}]


@pytest.mark.parametrize("name", ONCE)
def test_every_instance_once(name: str, processes: list[dict[str, Any]], data: Path) -> None:
    found = rows_of(processes, name)
    assert found == Counter(torch_processes.expected(data, WAYS[name], WORLD))
    # Rows that are different, so that one could not stand in for another.
    assert max(found.values()) == 1
    assert all(not process[name]["warnings"] for process in processes)


@pytest.mark.parametrize("name", REFUSED)
def test_a_shard_is_not_shared_out_again(name: str, processes: list[dict[str, Any]]) -> None:
    for rank, process in enumerate(processes):
        # A worker's error has the worker's traceback around it.
        assert (
            process[name]["steps"]
            .strip()
            .endswith(
                "source must be the whole stream if accelerate (or a Trainer) deals its batches out to 2 processes, "
                f"got .shard({rank}, 2), and the rest would not be read; pass the stream itself to "
                "albert_fast.torch.dataset, without .shard"
            )
        )


def test_rows_are_not_left_out_of_batches_that_are_split(processes: list[dict[str, Any]]) -> None:
    for process in processes:
        assert process["accelerate splits an odd batch"]["steps"] == (
            "batch_size of the source must be a multiple of 2, the number of processes that split_batches splits it "
            "for, got 5; pass another batch_size, or split_batches=False"
        )


def test_what_accelerate_cannot_deal_out(processes: list[dict[str, Any]]) -> None:
    for process in processes:
        assert process[BARE]["steps"] == (
            "batch_size of the DataLoader must be a number if dispatch_batches is False, got None; pass batch_size=1, "
            "collate_fn=albert_fast.torch.collate"
        )


def test_a_collator_drops_no_batch(processes: list[dict[str, Any]]) -> None:
    for process in processes:
        assert "must keep all 12 rows of 2 batches, got 6" in process["accelerate drops items"]["steps"]


def test_what_is_repeated_is_said(processes: list[dict[str, Any]], data: Path) -> None:
    way: Way = WAYS["accelerate repeats"]
    found = rows_of(processes, way.name)
    assert Counter(found.keys()) == Counter(torch_processes.expected(data, way, WORLD))
    assert found.total() == (way.stop or 0) * ROWS + ROWS
    (told,) = processes[0][way.name]["warnings"]
    assert (
        "accelerate will repeat 6 rows of the beginning, so that its 2 processes take the same number of steps" in told
    )
    assert "the number of batches, 7, a multiple of 2" in told
    assert processes[1][way.name]["warnings"] == []
