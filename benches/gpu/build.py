"""Builder of the GPU kit: a training step's modules as StableHLO, and the values that they must compute.

    python benches/gpu/build.py --output-dir build/gpu-kit

It needs TensorFlow and no GPU. The kit needs only JAX and NumPy: see README.md next to this file.
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import gpu_kit
import numpy as np
import tensorflow as tf

from trainer.model import flops, losses
from trainer.model.config import ModelConfig
from trainer.model.model import Albert
from trainer.model.optimizers import Lamb
from trainer.run import step
from trainer.run.hardware import PEAK_TFLOPS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STABLEHLO = "1.0.0"
"""The StableHLO version of the modules. This version and all later ones can read them."""
SEED = 20_260_101
FLOOR = 0.005
"""The smallest bound of a loss and a norm. bfloat16 has a precision of 0.004."""
FLOORS = {"entries": 0.02, "worst_variable": 0.03}
"""The smallest bound of a gradient's entries."""
UPDATE_BOUND = 1e-3
"""The bound for an update. It is in float32, but a variable near 1 keeps few digits of a change of 0.001."""


FILES = ("gpu_kit.py", "gpu_results.py", "run.py", "kernels.py", "run_torch.py", "memory.py", "README.md")
"""What a kit has besides its modules."""


class Shape(NamedTuple):
    """A micro-batch to export."""

    model: str
    width: int
    rows: int
    attention: str = "plain"
    recompute: bool = False


SHAPES = (
    Shape("base", 512, 32),
    Shape("base", 512, 64),
    Shape("large", 512, 32),
    Shape("base", 128, 256),
    Shape("base", 512, 128),
    Shape("large", 512, 64, recompute=True),
    Shape("base", 256, 128),
    Shape("large", 512, 16),
    Shape("base", 128, 512),
    Shape("base", 512, 16),
    Shape("large", 256, 64),
    Shape("base", 384, 80),
    Shape("base", 512, 64, "cudnn"),
    Shape("large", 512, 32, "cudnn"),
    Shape("base", 512, 128, "cudnn"),
    Shape("base", 128, 256, "cudnn"),
    Shape("large", 512, 64, "cudnn"),
    Shape("base", 512, 32, "cudnn"),
    Shape("base", 256, 128, "cudnn"),
    Shape("large", 256, 64, "cudnn"),
    Shape("large", 512, 64, "cudnn", recompute=True),
    Shape("base", 384, 80, "cudnn"),
    Shape("base", 512, 64, "autodiff"),
    Shape("large", 512, 32, "autodiff"),
    Shape("base", 128, 256, "autodiff"),
)
"""What `make gpu-kit` exports, by variant of attention, the most important shape first."""


def build(
    directory: Path, configs: dict[str, ModelConfig], shapes: Sequence[Shape], *, seed: int = SEED
) -> gpu_kit.Kit:
    """Write a kit to an empty directory.

    Args:
        directory: a directory that does not exist or is empty.
        configs: the models by name.
        shapes: the shapes to export.
        seed: random seed of inputs and weights.
    """
    (directory / "modules").mkdir(parents=True)
    for name in FILES:
        if (source := Path(__file__).with_name(name)).exists():
            shutil.copy(source, directory / name)
    models: dict[str, gpu_kit.Model] = {}
    expected: dict[str, gpu_kit.Expected] = {}
    cases = []
    for shape in shapes:
        if shape.model not in models:
            models[shape.model] = describe(configs[shape.model])
            case, values = _update(directory, seed, shape.model, configs[shape.model], models[shape.model])
            cases.append(case)
            expected[case.expected] = values
        cases.append(_gradient(directory, shape, configs[shape.model]))
    expected |= _expect(seed, shapes, configs, models)
    made_by = {"tensorflow": tf.__version__, "stablehlo": STABLEHLO, "numpy": np.__version__}
    kit = gpu_kit.Kit(seed, made_by, tuple(PEAK_TFLOPS.items()), models, expected, tuple(cases))
    kit.write(directory / "manifest.json")
    return kit


def describe(config: ModelConfig) -> gpu_kit.Model:
    """Return what the runners need to know about a model."""
    variables = Albert(config).named_variables.items()
    return gpu_kit.Model(
        config.vocab_size, config.type_vocab_size, tuple((name, tuple(variable.shape)) for name, variable in variables)
    )


def predictions(width: int) -> int:
    """Return the number of masked positions of a row cut to `width`: 15%."""
    return max(1, round(0.15 * width))


def make_model(shape: Shape, config: ModelConfig, dtype: tf.DType) -> Albert:
    """Return the trainer's model with the shape's variant of attention."""
    return Albert(config, dtype, attention=shape.attention, recompute=shape.recompute)


def specs(rows: int, width: int, predictions: int) -> dict[str, tf.TensorSpec]:
    """Return the arguments of a gradient before the variables, by name: batch, denominators and dropout key."""
    return {
        "input_ids": tf.TensorSpec([rows, width], tf.int32),
        "input_mask": tf.TensorSpec([rows, width], tf.int32),
        "segment_ids": tf.TensorSpec([rows, width], tf.int32),
        "masked_lm_positions": tf.TensorSpec([rows, predictions], tf.int32),
        "masked_lm_ids": tf.TensorSpec([rows, predictions], tf.int32),
        "masked_lm_weights": tf.TensorSpec([rows, predictions], tf.float32),
        "next_sentence_labels": tf.TensorSpec([rows, 1], tf.int32),
        "masked_lm_weight": tf.TensorSpec([], tf.float32),
        "sentences": tf.TensorSpec([], tf.float32),
        "dropout_key": tf.TensorSpec([2], tf.int32),
    }


def gradient_function(model: Albert, names: Sequence[str]) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Return the trainer's gradient with flat arguments named `names`. It returns the four sums and the gradient."""
    share = step.make_gradient(model)

    def flat(*values: tf.Tensor) -> tuple[tf.Tensor, ...]:
        named = dict(zip(names, values, strict=True))
        whole = losses.Totals(named.pop("masked_lm_weight"), named.pop("sentences"))
        key = named.pop("dropout_key")
        sums, gradient = share(named, whole, key)
        return (*sums, gradient)

    return flat


def name_of(shape: Shape) -> str:
    """Return the name of a shape's case."""
    return f"{shape.model}-{shape.width}-{shape.rows}-{shape.attention}" + ("-recompute" if shape.recompute else "")


def _gradient(directory: Path, shape: Shape, config: ModelConfig) -> gpu_kit.Case:
    model = make_model(shape, config, tf.bfloat16)
    count = predictions(shape.width)
    arguments = specs(shape.rows, shape.width, count)
    parameters = sum(variable.shape.num_elements() for variable in model.named_variables.values())
    results = [gpu_kit.Array(name, "float32", ()) for name in losses.Sums._fields]
    lengths = gpu_kit.lengths(shape.width)
    repeats = shape.rows // len(lengths)
    name = name_of(shape)
    case = gpu_kit.Case(
        name,
        f"modules/{name}.mlir.gz",
        "gradient",
        shape.model,
        shape.attention,
        shape.recompute,
        shape.width,
        shape.rows,
        count,
        (),
        (*results, gpu_kit.Array("gradient", "float32", (parameters,))),
        float(shape.rows * flops.training_flops(config, shape.width, count)),
        float(repeats * sum(flops.training_flops(config, length, gpu_kit.masked(length, count)) for length in lengths)),
        repeats * sum(lengths),
    )
    return _export(directory, case, gradient_function(model, list(arguments)), arguments, model.named_variables)


def _update(
    directory: Path, seed: int, name: str, config: ModelConfig, model: gpu_kit.Model
) -> tuple[gpu_kit.Case, gpu_kit.Expected]:
    """Return the update's case, and how it changes the variables here."""
    variables = Albert(config).named_variables
    optimizer = Lamb(variables)
    shapes = [shape for _, shape in model.variables]
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]

    def flat(gradient: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        pieces = (tf.reshape(piece, shape) for piece, shape in zip(tf.split(gradient, sizes), shapes, strict=True))
        return optimizer.apply(dict(zip(variables, pieces, strict=True)), rate)

    arguments = {"gradient": tf.TensorSpec([sum(sizes)]), "rate": tf.TensorSpec([])}
    case = gpu_kit.Case(
        f"{name}-update", f"modules/{name}-update.mlir.gz", "update", name, "", False, 0, 0, 0, (), (), 0.0, 0.0, 0
    )
    case = _export(directory, case, flat, arguments, variables | optimizer.slots)
    for variable_name, variable in variables.items():
        variable.assign(gpu_kit.weight(seed, variable_name, variable.shape))
    gradient = gpu_kit.uniform(seed, "gradient", [sum(sizes)], gpu_kit.GRADIENT)
    norm = float(flat(tf.constant(gradient), tf.constant(gpu_kit.RATE, tf.float32)))
    updated = {name: variable.numpy() for name, variable in variables.items()}
    bounds = dict.fromkeys(("norm", "entries", "worst_variable"), UPDATE_BOUND)
    return case, gpu_kit.Expected({}, norm, gpu_kit.changes(seed, model, updated), bounds)


def _export(
    directory: Path,
    case: gpu_kit.Case,
    function: Callable[..., Any],
    arguments: dict[str, tf.TensorSpec],
    variables: dict[str, tf.Variable],
) -> gpu_kit.Case:
    """Write a function's module. Return the case with its arguments, and with its results if it had none."""
    start = time.monotonic()
    compiled = tf.function(function, jit_compile=True, autograph=False)
    traced = compiled.get_concrete_function(*arguments.values())
    text = compiled.experimental_get_compiler_ir(*arguments.values())(stage="stablehlo")
    known = {id(variable.handle): name for name, variable in variables.items()}
    captured = [known[id(handle)] for handle in traced.captured_inputs]
    given = [gpu_kit.Array(name, spec.dtype.name, tuple(spec.shape)) for name, spec in arguments.items()]
    given += [gpu_kit.Array(name, "float32", tuple(variables[name].shape)) for name in captured]
    text = bare(text)
    inputs, outputs = signature(text)
    if [array.shape for array in given] != inputs:
        raise ValueError(f"{case.name}: the module's arguments are {inputs}, not {given}")
    # An update returns the norm and then the changed variables, in the order of the arguments.
    results = case.results or (gpu_kit.Array("norm", "float32", ()), *given[len(arguments) :])
    if [array.shape for array in results] != outputs:
        raise ValueError(f"{case.name}: the module's results are {outputs}, not {results}")
    data = serialize(text)
    (directory / case.file).write_bytes(gzip.compress(data, mtime=0))
    _say(f"{case.name}: {len(data):,} bytes, {time.monotonic() - start:.0f} s")
    return replace(case, arguments=tuple(given), results=results)


def signature(text: str) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the shapes of the arguments and of the results of a module's main function."""
    found = re.search(r"func\.func (?:public )?@main\((.*?)\) -> (\(.*?\)|tensor<\S*>) \{", text)
    if not found:
        raise ValueError("the module has no function main")

    def shapes(part: str) -> list[tuple[int, ...]]:
        types = re.findall(r"tensor<([^>]*)>", part)
        return [tuple(int(size) for size in kind.split("x")[:-1]) for kind in types]

    return shapes(found.group(1)), shapes(found.group(2))


def bare(text: str) -> str:
    """Return a module's text without locations in source files and without XLA's own attributes.

    Raises:
        ValueError: one of them is left.
    """
    text = re.sub(r"(?m)^#loc.*\n", "", text)
    text = re.sub(r" loc\((?:[^()\"]|\"[^\"]*\"|\([^()]*\))*\)", "", text)
    text = re.sub(r"(?m)^module @\S+ attributes \{.*\} \{$", "module @step {", text)
    text = re.sub(r" ?\{mhlo\.frontend_attributes = \{[^{}]*\}\}|mhlo\.frontend_attributes = \{[^{}]*\}, ", "", text)
    # An identity that has no equivalent operation in StableHLO.
    text = re.sub(r"mhlo\.copy (%\S+) : (tensor<\S+>)", r"stablehlo.reshape \1 : (\2) -> \2", text)
    if found := re.search(r".*(?:loc\(|mhlo\.).*", text):
        raise ValueError(f"the module holds a location or an attribute that is not understood: {found.group()}")
    return text


def serialize(text: str) -> bytes:
    """Return a module's portable artifact."""
    from tensorflow.compiler.mlir.stablehlo import stablehlo

    artifact: bytes = stablehlo.serialize_portable_artifact_str(text, STABLEHLO)
    return artifact


def _expect(
    seed: int, shapes: Sequence[Shape], configs: dict[str, ModelConfig], models: dict[str, gpu_kit.Model]
) -> dict[str, gpu_kit.Expected]:
    """Return, by model and width, the values of the period's rows in float32.

    Bounds are three times the difference of bfloat16 from these values, at the model's narrowest width, and at least
    `FLOORS`.
    """
    found: dict[str, gpu_kit.Expected] = {}
    for name, model in models.items():
        bounds: dict[str, float] = {}
        for width in sorted({shape.width for shape in shapes if shape.model == name}):
            start = time.monotonic()
            expected = gpu_kit.Expected(*_values(seed, width, configs[name], model, tf.float32), bounds)
            if not bounds:
                differences = gpu_kit.compare(expected, *_values(seed, width, configs[name], model, tf.bfloat16), 1)
                written = ", ".join(f"{key} {value:.1e}" for key, value in differences.items())
                _say(f"{name} at {width}: bfloat16 differs by {written}")
                bounds |= {key: max(3 * value, FLOORS.get(key, FLOOR)) for key, value in differences.items()}
            found[f"{name}-{width}"] = expected
            _say(f"{name} at {width}: expected values, {time.monotonic() - start:.0f} s")
    return found


def _values(
    seed: int, width: int, config: ModelConfig, described: gpu_kit.Model, dtype: tf.DType
) -> tuple[dict[str, float], float, dict[str, list[float]]]:
    """Return the sums, the norm of the gradient and some of its entries."""
    model = Albert(config, dtype)
    for name, variable in model.named_variables.items():
        variable.assign(gpu_kit.weight(seed, name, variable.shape))
    features = gpu_kit.batch(seed, described, width, predictions(width), len(gpu_kit.FILLS))
    batch = {name: tf.constant(value) for name, value in features.items()}
    # For a single call, compiling takes longer than it saves. But uncompiled code would sum bfloat16 in bfloat16.
    share = step.make_gradient(model, jit=dtype == tf.bfloat16)
    sums, gradient = share(batch, losses.totals(batch), tf.zeros([2], tf.int32))
    flat = gradient.numpy()
    norm = float(np.linalg.norm(flat.astype(np.float64)))
    return {name: float(value) for name, value in sums._asdict().items()}, norm, gpu_kit.entries(seed, described, flat)


def _say(message: str) -> None:
    print(f"gpu-kit: {message}", file=sys.stderr, flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Build the GPU kit: StableHLO modules, and the values they must compute."
    )
    parser.add_argument(
        "--output-dir", type=Path, required=True, help="directory to write; an existing kit is replaced"
    )
    parser.add_argument(
        "--only", default="", metavar="PATTERN", help="export the cases whose name matches this regular expression"
    )
    options = parser.parse_args()
    # Everything is computed and lowered on the CPU, even if there is a GPU.
    tf.config.set_visible_devices([], "GPU")
    directory: Path = options.output_dir
    if (directory / "manifest.json").exists():
        shutil.rmtree(directory)
    shapes = [shape for shape in SHAPES if re.search(options.only, name_of(shape))]
    kit = build(directory, {name: ModelConfig.preset(name) for name in ("base", "large")}, shapes)
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    print(f"gpu-kit: wrote {len(kit.cases)} modules to {directory}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
