"""What a run is expected to take, before its first step: work, padding and time. Nothing here imports TensorFlow."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from albert_fast.text import DAY, duration
from trainer.model import flops
from trainer.options import Options
from trainer.run import packing
from trainer.run.packing import Sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trainer.model.config import ModelConfig
    from trainer.run.packing import MicroBatch, Width

CPU_RATE = 40e9
"""Rough number of operations per second of a CPU core."""

PEAK_FRACTIONS = {r"\b(H200|GH200)\b": 0.30, r"\b(H100|H800)\b": 0.25, r"\b(A100|A800)\b": 0.38}
"""Fractions of the dense bfloat16 peak that a step reaches, by patterns of the device's name.

They come from a roofline of the compiled step. On an H100, base and large reached 22% to 30% with plain attention
(docs/figures.md, "A step on a GPU"). Nothing has been measured on the others yet.
"""
OTHER_FRACTION = 0.25
"""The same fraction for any other GPU."""

PEAK_RATE, PEAK_BATCH = Options.learning_rate, Options.batch_size
"""The published learning rate of LAMB, and the batch size that it is for: the defaults."""
DEVIATION = 1.25
"""Factor between the learning rate and that of the square-root rule from which they do not fit, if one of rate and
batch size is the default: the other was chosen alone. Batches that are 1.5 times as large are still within it."""
CHOSEN_DEVIATION = 2.0
"""The same factor if neither is the default. Half the rate is what docs/recipes.md advises for a loss that is not
finite, so it is a choice; more is probably a mistake."""

LONG = 30 * DAY
"""Seconds above which a run gets a warning."""

MOST_STEPS = 64
"""Maximum number of steps that a sample is divided into."""


class Expectation(NamedTuple):
    """What is expected of a run's steps, from a sample of its rows."""

    padding: float
    """Fraction of the computed tokens that is padding."""
    one_width: float
    """The same fraction with micro-batches of one width, that of the longest instance."""
    busiest: float
    """Work of the busiest device divided by the mean over all devices of a worker; 1 if they have equal work."""
    operations: float
    """Floating-point operations per instance, padding included."""


def expect(
    config: ModelConfig,
    found: Sizes,
    widths: Sequence[Width],
    rows: int,
    plan: Callable[[Sizes], list[list[MicroBatch]]],
) -> Expectation:
    """Estimate what the steps of a run are like.

    Args:
        config: the model.
        found: the sizes of a sample of its rows, in their order.
        widths: shapes of micro-batches, narrowest first.
        rows: this worker's rows per step.
        plan: distributes the rows of a step; see `trainer.run.packing.plan`.
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
    """Return the fraction of its peak that the GPU of that name is expected to reach."""
    return next((found for pattern, found in PEAK_FRACTIONS.items() if re.search(pattern, name)), OTHER_FRACTION)


def padding_line(found: Expectation, widths: Sequence[Width], devices: int) -> str:
    """Return a line that says how rows are packed, and what that saves."""
    shapes = [str(width) for width in widths]
    named = " and ".join([*([", ".join(shapes[:-1])] if len(shapes) > 1 else []), shapes[-1]])
    text = f"micro-batches of {named} tokens: about {100 * found.padding:.0f}% of the computed tokens are padding"
    if len(widths) > 1:
        text += f" ({100 * found.one_width:.0f}% with one width)"
    if devices > 1:
        text += f"; the busiest of {devices} devices has {found.busiest:.2f} times the mean work"
    return text


def advice(model: str, batch: int, steps: int, tokens: int, *, from_store: bool, gpu: bool) -> str:
    """Return advice on how to make a run shorter.

    Args:
        model: the preset, or the name of the configuration's file.
        batch: instances per step.
        steps: steps of the run.
        tokens: tokens per instance.
        from_store: whether the length of instances is an option.
        gpu: whether the run is on GPUs.
    """
    choices = []
    if model != "tiny":
        choices.append("model='base'" if gpu and model in {"large", "xlarge", "xxlarge"} else "model='tiny'")
    choices += [f"fewer `num_train_steps` than {steps:,}", f"a `batch_size` below {batch:,}"]
    if from_store:
        choices.append(f"a `max_seq_length` below {tokens}")
    choices.append("more GPUs" if gpu else "a GPU")
    return f"Try {', '.join(choices[:-1])} or {choices[-1]}"


def rate_line(optimizer: str, batch: int, rate: float) -> str:
    """Return a warning if the learning rate does not fit the batch size, with one that does. Otherwise "".

    The rule is that of LAMB: the rate grows with the square root of the batch size. There is none for AdamW.
    """
    fitting = PEAK_RATE * math.sqrt(batch / PEAK_BATCH)
    one_is_default = (batch == PEAK_BATCH) != (rate == PEAK_RATE)
    # The rate of a rule may be passed with the few digits in which this line shows it.
    most = 1.001 * (DEVIATION if one_is_default else CHOSEN_DEVIATION)
    if optimizer != "lamb" or 1 / most <= rate / fitting <= most:
        return ""
    return (
        f"learning_rate={rate:g} does not fit batch_size={batch}: by the square-root rule for LAMB, "
        f"learning_rate={fitting:.3g} does"
    )


def time_line(seconds: float, where: str, advised: str, *, gpu: bool) -> tuple[str, bool]:
    """Return the line about the time that a run takes, and whether it is a warning.

    Args:
        seconds: the time that it takes.
        where: the hardware; for GPUs, with the assumed fraction of the peak.
        advised: what `advice` returns.
        gpu: whether the run is on GPUs.
    """
    took = f"about {duration(seconds)}" if seconds >= 60 else "less than a minute"
    if seconds > LONG:
        return f"{'' if gpu else 'no GPU found; '}on {where} the run would take {took}. {advised}", True
    return f"{'' if gpu else 'no GPU found; '}on {where} the run takes {took}", False
