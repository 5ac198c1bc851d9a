"""Cases, inputs, weights and bounds, which the GPU kit's exporter and its runners share. It needs only NumPy.

This file is part of the kit. Inputs and weights are functions of a seed, through a hash of integers. So every version
of NumPy makes the same ones on every machine, and the kit does not contain them.

A micro-batch of B rows repeats a few distinct rows, the period. Its loss and gradient are then those of the period, and
its sums are B / period times those of the period. So one small computation on a CPU gives the values that every
micro-batch must have on the GPU.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 1
"""The format of manifest.json. A runner refuses any other format."""
FILLS = (1.0, 0.9)
"""Real tokens of the period's rows, as fractions of the width. The trainer's widths leave about as much padding."""
SAMPLES = 64
"""Most entries of each variable's gradient that are compared."""
GRADIENT = 1e-3
"""The largest entry of the gradient that is passed to an update."""
RATE = 1e-3
"""The learning rate that is passed to an update."""
DEFAULT_PEAK = 989.4
"""The dense bfloat16 rate of an H100 SXM, in TFLOP/s, for a GPU whose name is not in the table."""


@dataclass(frozen=True)
class Array:
    """An argument or result of a module."""

    name: str
    dtype: str
    """int32 or float32."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One module: a micro-batch's gradient, or the optimizer's update."""

    name: str
    file: str
    """The path within the kit of a StableHLO portable artifact, compressed with gzip."""
    kind: str
    """gradient or update."""
    model: str
    attention: str
    """The variant of attention; empty for the update."""
    recompute: bool
    """Whether the backward pass recomputes each layer's activations."""
    width: int
    """Tokens per row, padding included; 0 for the update."""
    rows: int
    """Number of rows of the micro-batch; 0 for the update."""
    predictions: int
    """Masked positions per row."""
    arguments: tuple[Array, ...]
    results: tuple[Array, ...]
    flops: float
    """Operations of a call, by trainer/model/flops.py. Padding counts like tokens."""
    real_flops: float
    """The same for rows cut to their real tokens."""
    real_tokens: int
    """Real tokens of the micro-batch."""

    @property
    def tokens(self) -> int:
        """Return the number of tokens of the micro-batch, padding included."""
        return self.rows * self.width

    @property
    def expected(self) -> str:
        """Return the key of the values that the case must have."""
        return f"{self.model}-{self.width}" if self.kind == "gradient" else f"{self.model}-update"

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Case:
        """Return the case that `asdict` wrote."""
        arrays = {
            key: tuple(Array(item["name"], item["dtype"], tuple(item["shape"])) for item in values[key])
            for key in ("arguments", "results")
        }
        return cls(**{field.name: arrays.get(field.name, values[field.name]) for field in fields(cls)})


@dataclass(frozen=True)
class Expected:
    """What a CPU computed in float32: a gradient for the period's rows, or an update for its arguments."""

    sums: dict[str, float]
    """The sums of the losses and of correct answers, by name; empty for an update."""
    norm: float
    """The norm of the whole gradient."""
    entries: dict[str, list[float]]
    """Entries of the gradient, or changes of the variable by the update, by variable, at `sample`'s positions."""
    bounds: dict[str, float]
    """The largest value that passes, by the names that `compare` returns."""


@dataclass(frozen=True)
class Model:
    """A model of the kit."""

    vocab_size: int
    type_vocab_size: int
    variables: tuple[tuple[str, tuple[int, ...]], ...]
    """Names and shapes of the variables, in the order of the flattened gradient."""

    @property
    def parameters(self) -> int:
        """Return the length of the gradient."""
        return sum(int(np.prod(shape, dtype=np.int64)) for _, shape in self.variables)


@dataclass(frozen=True)
class Kit:
    """A manifest."""

    seed: int
    made_by: dict[str, str]
    """Versions of the programs that wrote the modules."""
    peaks: tuple[tuple[str, float], ...]
    """Patterns of device names, each with its dense bfloat16 rate in TFLOP/s."""
    models: dict[str, Model]
    expected: dict[str, Expected]
    """The expected values, by `Case.expected`."""
    cases: tuple[Case, ...]
    """The cases, the most important first."""

    def write(self, path: Path) -> None:
        """Write the manifest."""
        path.write_text(json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Kit:
        """Read a manifest.

        Raises:
            ValueError: the manifest has another format.
        """
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format", None) != FORMAT:
            raise ValueError(f"{path}: the format must be {FORMAT}; build the kit again")
        models = {
            name: Model(
                item["vocab_size"],
                item["type_vocab_size"],
                tuple((variable, tuple(shape)) for variable, shape in item["variables"]),
            )
            for name, item in values["models"].items()
        }
        return cls(
            values["seed"],
            values["made_by"],
            tuple((pattern, rate) for pattern, rate in values["peaks"]),
            models,
            {key: Expected(**item) for key, item in values["expected"].items()},
            tuple(Case.from_json(item) for item in values["cases"]),
        )

    def peak(self, device: str) -> float:
        """Return the dense bfloat16 rate of a device, in TFLOP/s, or `DEFAULT_PEAK` if its name is unknown."""
        return next((rate for pattern, rate in self.peaks if re.search(pattern, device)), DEFAULT_PEAK)


def mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash integers with the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    mixed: NDArray[np.uint64]
    with np.errstate(over="ignore"):
        mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def hashes(seed: int, name: str, count: int) -> NDArray[np.uint64]:
    """Return `count` hashes that depend only on the seed, the name and the position."""
    key = mix(np.array([seed << 32 | zlib.crc32(name.encode())], np.uint64))
    with np.errstate(over="ignore"):
        return mix(key + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def uniform(seed: int, name: str, shape: Sequence[int], scale: float) -> NDArray[np.float32]:
    """Return float32 [shape], uniform in [-scale, scale)."""
    count = int(np.prod(shape, dtype=np.int64))
    whole = (hashes(seed, name, count) >> np.uint64(40)).astype(np.float32)  # 24 bits: exact
    values: NDArray[np.float32] = (whole * np.float32(2**-23) - np.float32(1)) * np.float32(scale)
    return values.reshape(shape)


def weight(seed: int, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """Return a variable's values: similar to ALBERT's initial ones, but no two variables are equal.

    Matrices have a standard deviation of 0.02. Biases and betas are around 0, gammas around 1.
    """
    if len(shape) > 1:
        return uniform(seed, name, shape, 0.02 * 3**0.5)
    values = uniform(seed, name, shape, 0.02)
    values += np.float32(1 if name.endswith("gamma") else 0)
    return values


def weights(seed: int, model: Model) -> list[NDArray[np.float32]]:
    """Return the values of every variable of a model."""
    return [weight(seed, name, shape) for name, shape in model.variables]


def lengths(width: int) -> list[int]:
    """Return the number of real tokens of the period's rows."""
    return [max(3, round(fill * width)) for fill in FILLS]


def masked(length: int, predictions: int) -> int:
    """Return the number of masked tokens of a row with `length` real tokens: 15%, and at most `predictions`."""
    return min(predictions, max(1, round(0.15 * length)))


def batch(seed: int, model: Model, width: int, predictions: int, rows: int) -> dict[str, NDArray[Any]]:
    """Return the features of a micro-batch: the period's rows, repeated.

    Raises:
        ValueError: `rows` is not a multiple of the period.
    """
    period = len(FILLS)
    if rows % period:
        raise ValueError(f"rows must be a multiple of {period}, got {rows}")
    ids = 5 + (hashes(seed, f"ids {width}", period * width) % np.uint64(model.vocab_size - 5)).astype(np.int32)
    answers = 5 + (hashes(seed, f"answers {width}", period * predictions) % np.uint64(model.vocab_size - 5)).astype(
        np.int32
    )
    real = np.array(lengths(width))[:, np.newaxis]
    places = np.arange(width)
    mask = (places < real).astype(np.int32)
    second = ((places >= real // 2) & (places < real)).astype(np.int32)
    counts = np.array([masked(int(length), predictions) for length in real[:, 0]])[:, np.newaxis]
    slots = np.arange(predictions)
    kept = (slots < counts).astype(np.int32)
    features: dict[str, NDArray[Any]] = {
        "input_ids": ids.reshape(period, width) * mask,
        "input_mask": mask,
        "segment_ids": second,
        # Spread evenly over the row, except for the first token.
        "masked_lm_positions": (1 + slots * (real - 1) // counts).astype(np.int32) * kept,
        "masked_lm_ids": answers.reshape(period, predictions) * kept,
        "masked_lm_weights": kept.astype(np.float32),
        "next_sentence_labels": (np.arange(period, dtype=np.int32) % 2)[:, np.newaxis],
    }
    return {name: np.tile(feature, (rows // period, 1)) for name, feature in features.items()}


def arguments(seed: int, kit: Kit, case: Case) -> list[NDArray[Any]]:
    """Return the arguments of a case's module, in its order."""
    model = kit.models[case.model]
    found: dict[str, NDArray[Any]] = {}
    if case.kind == "gradient":
        found |= batch(seed, model, case.width, case.predictions, case.rows)
        found["masked_lm_weight"] = found["masked_lm_weights"].sum(dtype=np.float32)
        found["sentences"] = np.float32(case.rows).reshape(())
    shapes = dict(model.variables)
    values = []
    for argument in case.arguments:
        name = argument.name
        if name in shapes:
            value: NDArray[Any] = weight(seed, name, shapes[name])
        elif name in found:
            value = np.asarray(found[name])
        elif name == "gradient":
            value = uniform(seed, name, argument.shape, GRADIENT)
        elif name == "rate":
            value = np.asarray(RATE, np.float32)
        else:  # the dropout key, and the optimizer's slots
            value = np.zeros(argument.shape, argument.dtype)
        if value.shape != argument.shape or value.dtype != np.dtype(argument.dtype):
            raise ValueError(f"{case.name}: {name} must be {argument.dtype} {argument.shape}, got {value.shape}")
        values.append(value)
    return values


def sample(seed: int, name: str, size: int) -> NDArray[np.int64]:
    """Return the positions in a variable of `size` entries whose gradient is compared."""
    if size <= SAMPLES:
        return np.arange(size)
    return np.sort((hashes(seed, f"sample {name}", SAMPLES) % np.uint64(size)).astype(np.int64))


def entries(seed: int, model: Model, gradient: NDArray[np.float32]) -> dict[str, list[float]]:
    """Return, by variable, the entries of a flattened gradient at `sample`'s positions."""
    found, start = {}, 0
    for name, shape in model.variables:
        size = int(np.prod(shape, dtype=np.int64))
        found[name] = [float(value) for value in gradient[start + sample(seed, name, size)]]
        start += size
    return found


def changes(seed: int, model: Model, updated: Mapping[str, NDArray[np.float32]]) -> dict[str, list[float]]:
    """Return, by variable, how much an update changed the entries at `sample`'s positions."""
    found = {}
    for name, shape in model.variables:
        places = sample(seed, name, int(np.prod(shape, dtype=np.int64)))
        change = updated[name].reshape(-1)[places] - weight(seed, name, shape).reshape(-1)[places]
        found[name] = [float(value) for value in change]
    return found


def compare(
    expected: Expected, sums: Mapping[str, float], norm: float, found: Mapping[str, Sequence[float]], repeats: float
) -> dict[str, float]:
    """Return how far a case's values are from the expected ones.

    Args:
        expected: the values of the period.
        sums: the sums of the micro-batch.
        norm: the norm of the gradient.
        found: the gradient's entries, by variable.
        repeats: how often the micro-batch repeats the period.

    Returns:
        Relative differences: of each loss, the norm, all entries together, and the worst variable's entries. The last
        ignores variables with almost no gradient (such as a key's bias).
    """
    differences = {
        name: abs(sums[name] / repeats - value) / abs(value)
        for name, value in expected.sums.items()
        if not name.endswith("correct")
    }
    differences["norm"] = abs(norm - expected.norm) / expected.norm
    wanted = {name: np.array(values) for name, values in expected.entries.items()}
    errors = {name: np.array(found[name]) - values for name, values in wanted.items()}
    whole = np.concatenate(list(wanted.values()))
    differences["entries"] = _size(np.concatenate(list(errors.values()))) / _size(whole)
    floor = 0.01 * _size(whole)
    differences["worst_variable"] = max(
        _size(errors[name]) / _size(values) for name, values in wanted.items() if _size(values) > floor
    )
    return differences


def _size(values: NDArray[np.float64]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def wrong(differences: Mapping[str, float], bounds: Mapping[str, float]) -> list[str]:
    """Return what is not within its bound. A number that is not finite never is."""
    return [
        f"{name} {differences[name]:.2g} > {bound:.2g}"
        for name, bound in bounds.items()
        if not differences[name] <= bound
    ]
