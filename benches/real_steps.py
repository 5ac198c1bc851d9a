"""Measures training steps on batches of real text, in a separate process. Answers are lines of JSON on standard output.

real_steps.py trainer CASE   Run steps of the trainer on PYTHONPATH. This needs TensorFlow.
real_steps.py torch CASE     Run steps of transformers' AlbertForPreTraining. This needs PyTorch and transformers.

CASE is a `Case` as JSON. The process first runs a step on batch 0, and on further batches until every shape is
compiled. Then it restores its initial model, and describes itself in a line. After that, each line on standard input is
the number of a batch. The process runs a step on that batch, and answers with the wall and CPU time in seconds, the
loss, and its peak memory in bytes. Several processes can therefore take turns on the same batches.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sides import Side


@dataclass(frozen=True)
class Case:
    """What a process measures."""

    batches: str
    """The file that `save` wrote."""
    micro_batch: int
    """Number of rows of a micro-batch of full width."""
    model: str = "base"
    layers: int | None = None
    """Number of layers; None for that of the model."""
    vocab_size: int | None = None
    """Vocabulary size; None for that of the model."""
    cut: bool = True
    """Whether micro-batches are cut to what their rows need, as far as the side supports it."""
    attention: str = "sdpa"
    """PyTorch's attention implementation."""
    rows: int | None = None
    """Number of first rows of a batch to use; None for all."""

    def text(self) -> str:
        """Return the case as an argument of this script."""
        return json.dumps(asdict(self))


def save(path: Path, batches: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    """Write batches of one shape: one array [batches, ...] per feature."""
    arrays: dict[str, Any] = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    np.savez(path, **arrays)


def load(path: str, rows: int | None = None) -> list[dict[str, NDArray[Any]]]:
    """Return the batches that `save` wrote, or the first `rows` rows of each."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    count = len(next(iter(arrays.values())))
    return [{name: array[index, :rows] for name, array in arrays.items()} for index in range(count)]


def make_side(kind: str, case: Case, batches: list[dict[str, NDArray[Any]]]) -> Side:
    """Return the side `kind`: "trainer" or "torch"."""
    import sides

    config = sides.model_config(case.model, case.layers, case.vocab_size)
    if kind == "torch":
        return sides.transformers(config, case.micro_batch, case.attention, cut=case.cut)
    return sides.trainer(config, case.micro_batch, batches, cut=case.cut)


def peak() -> int:
    """Return the peak memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def answer(kind: str, case: Case) -> None:
    """Warm up, then answer standard input."""
    batches = load(case.batches, case.rows)
    side = make_side(kind, case, batches)
    prepared = [side.prepare(batch) for batch in batches]
    missing: set[str] = set().union(*(side.shapes(one) for one in prepared))
    begin = time.perf_counter()
    # Always run the first batch: it also fills the caches of a side that compiles nothing.
    side.step(prepared[0])
    missing -= side.shapes(prepared[0])
    for one in prepared:
        if missing & side.shapes(one):
            side.step(one)
            missing -= side.shapes(one)
    side.reset()
    about = {
        "what": side.what,
        "first": time.perf_counter() - begin,
        "shapes": sorted(set().union(*map(side.shapes, prepared))),
    }
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        loss = side.step(prepared[int(line)])
        spent = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(spent | {"loss": loss, "peak": peak()}), flush=True)


def _main(arguments: list[str]) -> int:
    match arguments:
        case ["trainer" | "torch" as kind, text]:
            answer(kind, Case(**json.loads(text)))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
