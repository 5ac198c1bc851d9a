"""The figures of the report of one run, over its steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trainer.report.figures import Curve, Level, Plot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trainer.report.data import Run
    from trainer.report.figures import Floats

TASKS = {"masked_lm": ("mlm", "Masked LM"), "sentence_order": ("sop", "Sentence order")}

FIGURES = (
    ("learning_rate", "Learning rate", False),
    ("masked_lm_prob", "Fraction of masked tokens", True),
    ("gradient_norm", "Gradient norm, before clipping", False),
    ("sequences_per_second", "Sequences/s", False),
    ("tokens_per_second", "Tokens/s, without padding", False),
    ("mfu", "MFU: fraction of the devices' peak, without padding", True),
    ("padding", "Padding: fraction of the computed tokens", True),
    ("input_wait", "Input wait: fraction of a step's time", True),
    ("gpu_utilization", "GPU utilization: fraction of the time", True),
    ("gpu_memory", "GPU memory in use: fraction of it", True),
)
"""Key in a training line, title, and whether it is a fraction."""

EXACT = frozenset({"learning_rate", "masked_lm_prob"})
"""Figures without noise."""

KINDS = {
    "embedding": "embeddings",
    "attention": "attention",
    "feed_forward": "feed-forward",
    "pooler": "pooler",
    "heads": "heads",
}
"""Displayed names of the kinds of weights."""

MOST_SOURCES = 8
"""Maximum number of sources that a figure shows. The table has all."""


def plots(run: Run) -> list[Plot]:
    """Return the figures that have anything to show."""
    starts = [line["step"] for line in run.resumed]
    entropy = run.fact("data", "unigram_entropy")
    levels = {
        "masked_lm_loss": [Level("guessing by frequency", entropy)] if entropy is not None else [],
        "sentence_order_loss": [Level("guessing", math.log(2))],
        "sentence_order_accuracy": [Level("guessing", 0.5)],
    }
    found = []
    for key, (short, task) in TASKS.items():
        for figure in ("loss", "accuracy"):
            name = f"{key}_{figure}"
            curves = [
                Curve("training", *run.series(name)),
                Curve("held out", *run.evaluated(name), color=1, points=True),
            ]
            fraction = figure == "accuracy"
            title = f"{task}: {figure}"
            found.append(Plot(f"{short}-{figure}", title, curves, levels.get(name, ()), starts, percent=fraction))
    for name, title, fraction in FIGURES:
        curve = Curve("", *run.series(name), exact=name in EXACT)
        found.append(Plot(_id(name), title, [curve], (), starts, percent=fraction, from_zero=True))
    ratios = _curves(KINDS, run.nested("trust_ratios"))
    found.append(Plot("trust-ratios", "LAMB: mean trust ratio of a kind of weight", ratios, (), starts, from_zero=True))
    shares = _curves({name: name for name in list(run.drawn)[:MOST_SOURCES]}, run.drawn)
    found.append(Plot("drawn", "Instances from each store", shares, (), starts, percent=True, from_zero=True))
    return [plot for plot in found if any(curve.known for curve in plot.curves)]


def _curves(names: Mapping[str, str], series: Mapping[str, tuple[Floats, Floats]]) -> list[Curve]:
    known: Iterable[tuple[str, str]] = ((key, name) for key, name in names.items() if key in series)
    return [Curve(name, *series[key], color=number, pale=False) for number, (key, name) in enumerate(known)]


def _id(name: str) -> str:
    return name.replace("_", "-")
