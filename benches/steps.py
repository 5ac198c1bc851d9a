"""Measures a training step on the CPU, in a separate process. Answers are lines of JSON on standard output.

steps.py ours MODEL BATCH               Run steps of the trainer. This needs TensorFlow.
steps.py theirs MODEL BATCH ATTENTION   Run steps of transformers' AlbertForPreTraining. This needs PyTorch.
steps.py products MODEL BATCH           Count the matrix products of the compiled step. This needs TensorFlow.

The first two commands run two steps, and describe themselves and the time of these steps in a line. After that, each
line on standard input is a number of seconds. The process runs steps for that long, at least 3, and answers with the
seconds of each. Two processes can therefore take turns, and neither compiles twice.
"""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import sides

from trainer.model.flops import training_flops, training_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trainer.model.config import ModelConfig

LENGTH = 128
PREDICTIONS = 20
MASK = 4


def batch(config: ModelConfig, size: int) -> dict[str, NDArray[Any]]:
    """Return a batch of records full of random pieces, the same for both sides."""
    rng = np.random.default_rng(1)
    ids = rng.integers(5, config.vocab_size, (size, LENGTH), dtype=np.int32)
    positions = np.sort(np.stack([rng.permutation(LENGTH)[:PREDICTIONS] for _ in range(size)])).astype(np.int32)
    masked = np.take_along_axis(ids, positions, 1)
    np.put_along_axis(ids, positions, MASK, 1)
    return {
        "input_ids": ids,
        "input_mask": np.ones_like(ids),
        "segment_ids": np.tile(np.arange(LENGTH, dtype=np.int32) >= LENGTH // 2, (size, 1)).astype(np.int32),
        "masked_lm_positions": positions,
        "masked_lm_ids": masked,
        "masked_lm_weights": np.ones(masked.shape, np.float32),
        "next_sentence_labels": rng.integers(0, 2, (size, 1), dtype=np.int32),
    }


def answer(step: Callable[[], float], about: dict[str, Any]) -> None:
    """Report `about` after two steps, then answer standard input. `step` returns its loss, so it has ended."""
    begin = time.perf_counter()
    step()
    first = time.perf_counter() - begin
    step()
    print(json.dumps(about | {"first": first}), flush=True)
    for line in sys.stdin:
        spent: list[float] = []
        loss = 0.0
        while sum(spent) < float(line) or len(spent) < 3:
            begin = time.perf_counter()
            loss = step()
            spent.append(time.perf_counter() - begin)
        print(json.dumps({"steps": spent, "loss": loss}), flush=True)


def ours(name: str, size: int) -> None:
    """Run the trainer's step: gradients of one micro-batch, clipping, AdamW."""
    config = sides.model_config(name)
    _steps(sides.trainer(config, size, [batch(config, size)], cut=False), batch(config, size))


def theirs(name: str, size: int, attention: str) -> None:
    """Run a step in PyTorch: forward, backward, AdamW; eager mode, without clipping."""
    config = sides.model_config(name)
    _steps(sides.transformers(config, size, attention), batch(config, size))


def _steps(side: sides.Side, features: dict[str, NDArray[Any]]) -> None:
    prepared = side.prepare(features)
    answer(lambda: side.step(prepared), {"what": side.what})


DOT = re.compile(r"stablehlo\.dot(_general)?\b.*:\s*\((.*)\)\s*->\s*(.*?)\s*(?:loc\(.*)?$")
CONTRACTING = re.compile(r"contracting_dims = \[([\d, ]*)\]")
TENSOR = re.compile(r"tensor<([\dx]*?)x?(f32|bf16|f64|i32|i64|i1)>")


def _sizes(text: str) -> list[list[int]]:
    return [[int(size) for size in shape.split("x") if size] for shape, _ in TENSOR.findall(text)]


def count_products(text: str) -> dict[str, int]:
    """Count operations and bytes of the matrix products in a StableHLO program, each product once.

    A multiply-add is 2 operations. The bytes are those of both factors and of the result, each once, at 4 per value.

    Raises:
        ValueError: a product cannot be read.
    """
    operations = values = products = 0
    for line in text.splitlines():
        if "stablehlo.dot" not in line:
            continue
        found, contracted = DOT.search(line), CONTRACTING.search(line)
        if not found or (found[1] and not contracted):
            raise ValueError(f"cannot read this product: {line.strip()}")
        left, right, out = _sizes(found[2] + found[3])
        axes = [int(axis) for axis in contracted[1].split(",") if axis.strip()] if contracted else [len(left) - 1]
        depth = int(np.prod([left[axis] for axis in axes]))
        operations += 2 * int(np.prod(out)) * depth
        values += sum(int(np.prod(shape)) for shape in (left, right, out))
        products += 1
    return {"operations": operations, "bytes": 4 * values, "products": products}


def products(name: str, size: int) -> None:
    """Report the matrix products of a micro-batch's gradient, as XLA gets it, and the operations counted by hand."""
    tf = sides.cpu_tensorflow()
    from trainer.model import losses
    from trainer.model.model import Albert
    from trainer.run.step import make_gradient

    config = sides.model_config(name)
    model = Albert(config)
    features = {key: tf.constant(value) for key, value in batch(config, size).items()}

    compiled: Any = make_gradient(model)
    arguments = features, losses.totals(features), tf.constant([0, 0])
    text = compiled.experimental_get_compiler_ir(*arguments)(stage="stablehlo")
    by_hand = {
        "operations_by_hand": size * training_flops(config, LENGTH, PREDICTIONS),
        "bytes_by_hand": 4 * training_values(config, size, LENGTH, PREDICTIONS),
    }
    print(json.dumps(count_products(text) | by_hand))


def _main(arguments: list[str]) -> int:
    match arguments:
        case ["ours", model, size]:
            ours(model, int(size))
        case ["theirs", model, size, attention]:
            theirs(model, int(size), attention)
        case ["products", model, size]:
            products(model, int(size))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
