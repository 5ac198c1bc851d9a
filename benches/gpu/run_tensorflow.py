"""Runner of the GPU kit's cases in TensorFlow: the trainer's compiled functions with the kit's inputs and bounds.

    python benches/gpu/run_tensorflow.py --kit build/gpu-kit --output-dir results-tensorflow

It needs the trainer, and a GPU that TensorFlow sees (pip install 'albert-fast[gpu]').
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import gpu_kit
import gpu_results
import numpy as np
import tensorflow as tf

from trainer.model import losses
from trainer.model.config import ModelConfig
from trainer.model.model import Albert
from trainer.model.optimizers import Lamb
from trainer.run import step
from trainer.run.hardware import one

if TYPE_CHECKING:
    from collections.abc import Callable

    Prepared = tuple[Callable[[], Any], dict[str, float]]


def wait(result: Any) -> None:
    """Return when the device has computed a result."""
    tensors = tf.nest.flatten(result)
    tensors[0].numpy()  # when one result of a compiled function is available, all are


def run_gradient(
    kit: gpu_kit.Kit, case: gpu_kit.Case, config: ModelConfig
) -> tuple[Callable[[], Any], dict[str, float]]:
    """Return a case's call, and how far its first result is from the expected one."""
    described = kit.models[case.model]
    model = Albert(config, tf.bfloat16, attention=case.attention, recompute=case.recompute)
    _assign(kit, model)
    features = gpu_kit.batch(kit.seed, described, case.width, case.predictions, case.rows)
    batch = {name: tf.constant(value) for name, value in features.items()}
    whole, key = losses.totals(batch), tf.zeros([2], tf.int32)
    share = step.make_gradient(model)
    sums, gradient = share(batch, whole, key)
    flat = gradient.numpy()
    differences = gpu_kit.compare(
        kit.expected[case.expected],
        {name: float(value) for name, value in sums._asdict().items()},
        float(np.linalg.norm(flat.astype(np.float64))),
        gpu_kit.entries(kit.seed, described, flat),
        case.rows / len(gpu_kit.FILLS),
    )
    return lambda: share(batch, whole, key), differences


def run_update(kit: gpu_kit.Kit, case: gpu_kit.Case, config: ModelConfig) -> Prepared:
    """Return the same for an update."""
    described = kit.models[case.model]
    model = Albert(config)
    _assign(kit, model)
    variables = model.named_variables
    optimizer = Lamb(variables)
    shapes = [shape for _, shape in described.variables]
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]

    def apply(gradient: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        pieces = (tf.reshape(piece, shape) for piece, shape in zip(tf.split(gradient, sizes), shapes, strict=True))
        return optimizer.apply(dict(zip(variables, pieces, strict=True)), rate)

    update = tf.function(apply, jit_compile=True)
    gradient = tf.constant(gpu_kit.uniform(kit.seed, "gradient", [sum(sizes)], gpu_kit.GRADIENT))
    rate = tf.constant(gpu_kit.RATE, tf.float32)
    norm = float(update(gradient, rate))
    updated = {name: variable.numpy() for name, variable in variables.items()}
    changes = gpu_kit.changes(kit.seed, described, updated)
    differences = gpu_kit.compare(kit.expected[case.expected], {}, norm, changes, 1)
    return lambda: update(gradient, rate), differences


def _assign(kit: gpu_kit.Kit, model: Albert) -> None:
    for name, variable in model.named_variables.items():
        variable.assign(gpu_kit.weight(kit.seed, name, variable.shape))


def run_case(
    kit: gpu_kit.Kit, case: gpu_kit.Case, config: ModelConfig, peak: float | None, gpu: bool
) -> dict[str, Any]:
    """Compile, check and time one case."""
    if gpu:
        tf.config.experimental.reset_memory_stats("GPU:0")
    start = time.monotonic()
    call, differences = (run_gradient if case.kind == "gradient" else run_update)(kit, case, config)
    first = time.monotonic() - start
    seconds, samples = gpu_results.measure(call, wait)
    wrong = gpu_kit.wrong(differences, kit.expected[case.expected].bounds)
    found: dict[str, Any] = {"seconds": seconds, "samples": samples, "differences": differences}
    found["compile_seconds"] = first - seconds
    found["status"] = f"wrong: {'; '.join(wrong)}" if wrong else "ok"
    if gpu:
        found["bytes"] = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return found | (asdict(gpu_results.rates(case, seconds, peak)) if case.kind == "gradient" else {})


def run(options: argparse.Namespace, configs: dict[str, ModelConfig]) -> dict[str, Any]:
    """Run the chosen cases while there is time, and return the content of results.json."""
    start = time.monotonic()
    kit = gpu_kit.Kit.read(options.kit / "manifest.json")
    hardware = one()
    gpu = hardware.kind == "GPU"
    peak = (hardware.peak_tflops or gpu_kit.DEFAULT_PEAK) if gpu else None
    about: dict[str, Any] = {"device": hardware.name, "peak_tflops": peak, "memory_bytes": hardware.memory_bytes}
    about["versions"] = {"tensorflow": tf.__version__}
    cases = [case for case in kit.cases if all(word in case.name for word in options.only)]
    found: dict[str, dict[str, Any]] = {}
    slowest = 0.0
    for case in cases:
        began = time.monotonic()
        if case.attention == "cudnn" and not gpu:
            values: dict[str, Any] = {"status": "skipped: it needs a GPU of NVIDIA's"}
        elif began - start + slowest > options.minutes * 60:
            values = {"status": "skipped: no time"}
        else:
            try:
                values = run_case(kit, case, configs[case.model], peak, gpu=gpu)
            except (tf.errors.OpError, ValueError) as error:
                values = {"status": f"does not run: {str(error).splitlines()[0][:300]}".replace("|", "/")}
            slowest = max(slowest, time.monotonic() - began)
        found[case.name] = values
        print(f"gpu-kit: {case.name}: {values['status']}", file=sys.stderr, flush=True)
    results = [gpu_results.described(case) | found[case.name] for case in gpu_results.ordered(cases)]
    return {"kit": kit.made_by, "about": about, "seconds": time.monotonic() - start, "results": results}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Run the GPU kit's cases through TensorFlow.")
    parser.add_argument("--kit", type=Path, required=True, help="the kit's directory")
    parser.add_argument("--output-dir", type=Path, required=True, help="directory for results.json and results.md")
    parser.add_argument("--minutes", type=float, default=8, help="time for everything")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="run cases with this in their name")
    options = parser.parse_args()
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if not tf.config.list_physical_devices("GPU"):
        print("gpu-kit: TensorFlow sees no GPU: these are the CPU's times", file=sys.stderr)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    configs = {name: ModelConfig.preset(name) for name in ("base", "large")}
    print(gpu_results.write(run(options, configs), options.output_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
