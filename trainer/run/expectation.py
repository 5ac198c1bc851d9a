"""What a run is expected to take before its first step: work, padding and time. Nothing here imports TensorFlow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from albert_fast.text import DAY, duration
from trainer.model import flops
from trainer.run import packing
from trainer.run.packing import Sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trainer.model.config import ModelConfig
    from trainer.run.packing import MicroBatch, Width

PROCESSOR_RATE = 40e9
"""Operations a second that a CPU's core manages, roughly."""

PEAK_FRACTIONS = {r"\b(H200|GH200)\b": 0.30, r"\b(H100|H800)\b": 0.25, r"\b(A100|A800)\b": 0.38}
"""Fractions of the dense bfloat16 peak that a step reaches by a roofline of the compiled step, by patterns of the
device's name. Nothing has been measured on a GPU yet."""
OTHER_FRACTION = 0.25
"""The same for any other GPU."""

LONG = 30 * DAY
"""Seconds beyond which a run is warned about."""

MOST_STEPS = 64
"""Steps that a sample is divided into at most."""


class Expectation(NamedTuple):
    """Of a run's steps, by a sample of its rows."""

    padding: float
    """Fraction of the computed tokens that is padding."""
    uncut: float
    """The same if all micro-batches had the full width."""
    busiest: float
    """Work of the device with the most by the mean of all devices of a worker; 1 if the shares are equal."""
    operations: float
    """Floating-point operations per instance, padding included."""


def expect(
    config: ModelConfig,
    found: Sizes,
    widths: Sequence[Width],
    rows: int,
    plan: Callable[[Sizes], list[list[MicroBatch]]],
) -> Expectation:
    """What the steps of a run are like.

    Args:
        config: the model.
        found: the sizes of a sample of its rows, in their order.
        widths: shapes of micro-batches, narrowest first.
        rows: of a step, this worker's.
        plan: deals the rows of a step; see `trainer.run.packing.plan`.
    """
    count = len(found.tokens)
    rows = min(rows, count)
    real = computed = operations = 0.0
    busiest = []
    for start in range(0, count - rows + 1, rows)[:MOST_STEPS]:
        step = Sizes(*(part[start : start + rows] for part in found))
        dealt = plan(step)
        balance = packing.balance(dealt, step)
        real += balance.real
        computed += balance.computed
        busiest.append(balance.busiest)
        for width in (micro_batch.width for part in dealt for micro_batch in part):
            operations += width.rows * flops.training_flops(config, width.tokens, width.predictions)
    steps = len(busiest)
    full = steps * rows * widths[-1].tokens
    return Expectation(1 - real / computed, 1 - real / full, float(np.mean(busiest)), operations / (steps * rows))


def peak_fraction(name: str) -> float:
    """The fraction of its peak that the GPU of that name is expected to reach."""
    return next((found for pattern, found in PEAK_FRACTIONS.items() if re.search(pattern, name)), OTHER_FRACTION)


def padding_line(found: Expectation, widths: Sequence[Width], devices: int) -> str:
    """How rows are packed, and what that saves."""
    shapes = [str(width) for width in widths]
    named = " and ".join([*([", ".join(shapes[:-1])] if len(shapes) > 1 else []), shapes[-1]])
    text = f"micro-batches of {named} tokens: about {100 * found.padding:.0f}% of the computed tokens are padding"
    if len(widths) > 1:
        text += f" ({100 * found.uncut:.0f}% with one width)"
    if devices > 1:
        text += f"; the busiest of {devices} devices has {found.busiest:.2f} times the mean work"
    return text


def advice(model: str, batch: int, steps: int, tokens: int, *, from_store: bool, gpu: bool) -> str:
    """What makes a run shorter.

    Args:
        model: what `--model` names.
        batch: instances per step.
        steps: of the run.
        tokens: of an instance.
        from_store: whether the length of instances is an option.
        gpu: whether it runs on GPUs.
    """
    choices = []
    if model != "tiny":
        choices.append("--model base" if gpu and model in {"large", "xlarge", "xxlarge"} else "--model tiny")
    choices += [f"fewer --num-train-steps than {steps:,}", f"a --batch-size below {batch:,}"]
    if from_store:
        choices.append(f"a --max-seq-length below {tokens}")
    choices.append("more GPUs" if gpu else "a GPU")
    return f"Try {', '.join(choices[:-1])} or {choices[-1]}"


def time_line(seconds: float, where: str, advised: str, *, gpu: bool) -> tuple[str, bool]:
    """What to say of the time that a run takes, and whether that is a warning.

    Args:
        seconds: that it takes.
        where: on what; for GPUs with the fraction of the peak that is assumed.
        advised: what `advice` returns.
        gpu: whether it runs on GPUs.
    """
    took = f"about {duration(seconds)}" if seconds >= 60 else "less than a minute"
    if seconds > LONG:
        return f"{'' if gpu else 'no GPU found; '}on {where} the run would take {took}. {advised}", True
    return f"{'' if gpu else 'no GPU found; '}on {where} the run takes {took}", False
