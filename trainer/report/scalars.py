"""The figures of the metrics log by the tags that TensorBoard and the trackers show.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_SCALARS = frozenset({"step", "steps", "time", "hours", "records", "compile_seconds", "tokens"})
"""Numbers of a line that are not curves."""


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a line by their tags, such as "train/loss" and "eval/masked_lm_accuracy", without nulls.

    The tags are made from the keys of the metrics log. The line of a start has none.
    """
    if "start" in line:
        return {}
    group, figures = ("eval", line["evaluation"]) if "evaluation" in line else ("train", line)
    ratios = figures.get("trust_ratios")
    if isinstance(ratios, dict):
        figures = {**figures, **{f"trust_ratio_{kind}": value for kind, value in ratios.items()}}
    return {
        f"{group}/{name}": float(value)
        for name, value in figures.items()
        if name not in NO_SCALARS
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
