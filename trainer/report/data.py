"""What the report says about a run, from the files in its directory. Any of them may be missing."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer import folder
from trainer.errors import TrainerError
from trainer.report import journal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trainer.report.figures import Floats

RECENT = 0.05
"""Fraction of the training lines that the last figures are averaged over, because those of a single line vary a lot."""


@dataclass
class Run:
    """The content of a run's files."""

    lines: list[dict[str, Any]]
    """The metrics log."""
    facts: dict[str, Any]
    """run.json."""
    options: dict[str, Any]
    """pretrain.config.json."""
    model: dict[str, Any]
    """albert_config.json."""

    place: Path | None = None
    """The directory."""

    @classmethod
    def read(cls, run: Path) -> Run:
        """Read the files in the directory `run`. Missing files count as empty.

        Raises:
            TrainerError: a file cannot be read, or has invalid content.
        """
        return cls(
            journal.read(run / folder.METRICS),
            _read_object(run / folder.FACTS),
            _read_object(run / folder.OPTIONS),
            _read_object(run / folder.MODEL),
            run,
        )

    @cached_property
    def training(self) -> list[dict[str, Any]]:
        """Return the training lines, by step."""
        found = [line for line in self.lines if "start" not in line and "evaluation" not in line]
        return sorted(found, key=lambda line: int(line["step"]))

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """Return the evaluation lines, by step."""
        found = [line for line in self.lines if isinstance(line.get("evaluation"), dict)]
        return sorted(found, key=lambda line: int(line["step"]))

    @cached_property
    def resumed(self) -> list[dict[str, Any]]:
        """Return the lines of the starts that resumed from a checkpoint and trained further.

        A finished run that is started again also writes such a line, but has nothing left to do.
        """
        return [
            line
            for line in self.lines
            if line.get("start") == "resumed" and (self.total is None or line["step"] < self.total)
        ]

    def part(self, name: str) -> dict[str, Any]:
        """Return a part of run.json."""
        found = self.facts.get(name)
        return found if isinstance(found, dict) else {}

    def fact(self, part: str, name: str) -> float | None:
        """Return a number from run.json."""
        return number(self.part(part).get(name))

    @property
    def done(self) -> int:
        """Return the number of steps done, from the file that says more: run.json may be from the start of the run."""
        last = self.training[-1]["step"] if self.training else 0
        return max(int(self.fact("steps", "done") or 0), int(last))

    @property
    def total(self) -> int | None:
        """Return the number of steps that the run was asked for."""
        options = self.options.get("pretrain")
        total = self.fact("steps", "total") or number((options or {}).get("num_train_steps"))
        return None if total is None else int(total)

    def series(self, name: str) -> tuple[Floats, Floats]:
        """Return steps and values of a training figure, NaN if there is none."""
        return _series(self.training, [line.get(name) for line in self.training])

    def evaluated(self, name: str) -> tuple[Floats, Floats]:
        """Return steps and values of an evaluation figure."""
        return _series(self.evaluations, [line["evaluation"].get(name) for line in self.evaluations])

    def recent(self, name: str) -> float | None:
        """Return the mean of a training figure over the newest lines."""
        _, values = self.series(name)
        known = values[np.isfinite(values)]
        return float(known[-max(1, round(RECENT * len(known))) :].mean()) if len(known) else None

    def last(self, name: str) -> float | None:
        """Return the newest known value of a training figure."""
        return next((value for line in reversed(self.training) if (value := number(line.get(name))) is not None), None)

    def most(self, name: str) -> float | None:
        """Return the largest known value of a training figure."""
        return max((value for line in self.training if (value := number(line.get(name))) is not None), default=None)

    def mean(self, name: str) -> float | None:
        """Return the mean over the training time of a figure that is a rate or a fraction of time."""
        _, values = self.series(name)
        _, steps = self.series("steps")
        # Lines differ in their steps and time: the last one before a checkpoint may have few. A line in which every
        # step compiled something has no rate.
        seconds = steps / self.series("sequences_per_second")[1]  # times the batch size, which is the same for all
        known = np.isfinite(values) & np.isfinite(seconds) & (seconds > 0)
        return float(np.average(values[known], weights=seconds[known])) if known.any() else None

    def nested(self, name: str) -> dict[str, tuple[Floats, Floats]]:
        """Return steps and values of each figure of an object in the training lines, such as "trust_ratios"."""
        found = [inner if isinstance(inner := line.get(name), dict) else {} for line in self.training]
        names = dict.fromkeys(key for inner in found for key in inner)
        return {key: _series(self.training, [inner.get(key) for inner in found]) for key in names}

    @cached_property
    def drawn(self) -> dict[str, tuple[Floats, Floats]]:
        """Return steps and fractions of the instances of a line that came from each source; none for one source."""
        counts = {name: (steps, np.nan_to_num(values)) for name, (steps, values) in self.nested("drawn").items()}
        if not counts:
            return {}
        total = np.sum([values for _, values in counts.values()], axis=0)
        total[total == 0] = math.nan
        return {name: (steps, values / total) for name, (steps, values) in counts.items()}

    @cached_property
    def tokens(self) -> tuple[Floats, bool]:
        """Return how many real tokens had been trained on at each training line, and whether that is an estimate.

        Lines of earlier versions do not say how many tokens they had; then the mean of the data counts. It is NaN if
        that is unknown too.
        """
        batch, mean = self.fact("training", "batch_size"), self.fact("data", "tokens_per_sequence")
        each = batch * mean if batch and mean else math.nan
        exact = self.series("tokens")[1]
        estimated = np.where(np.isfinite(exact), exact, self.series("steps")[1] * each)
        return np.cumsum(estimated), bool(np.isnan(exact).any())

    def along(self, axis: str, steps: Floats) -> Floats:
        """Return where `steps` are on an axis, NaN where that is unknown.

        Between two training lines, the place is in proportion to the steps.

        Args:
            axis: "step", "hours" or "minutes" of training, or "tokens" trained on.
            steps: numbers of steps.
        """
        if axis == "step":
            return steps
        known, values = self.series("hours")
        if axis == "minutes":
            values = 60 * values
        elif axis == "tokens":
            values = self.tokens[0]
        there = np.isfinite(values)
        if not there.any():
            return np.full(len(steps), math.nan)
        found: Floats = np.interp(steps, [0.0, *known[there]], [0.0, *values[there]], right=math.nan)
        return found

    def total_of(self, name: str) -> float | None:
        """Return the sum of a training figure over all lines."""
        _, values = self.series(name)
        return float(np.nansum(values)) if np.isfinite(values).any() else None

    def best_of(self, name: str) -> tuple[int, float] | None:
        """Return step and value of a figure's best evaluation: the lowest loss or the highest accuracy."""
        steps, values = self.evaluated(name)
        if not np.isfinite(values).any():
            return None
        index = int(np.nanargmin(values) if name.endswith("loss") else np.nanargmax(values))
        return int(steps[index]), float(values[index])

    @cached_property
    def best(self) -> int | None:
        """Return the index of the evaluation with the highest masked-LM accuracy, the first if several are equal."""
        _, values = self.evaluated("masked_lm_accuracy")
        return int(np.nanargmax(values)) if np.isfinite(values).any() else None


def number(value: Any) -> float | None:
    """Return `value` if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _series(lines: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> tuple[Floats, Floats]:
    known = [number(value) for value in values]
    return (
        np.array([line["step"] for line in lines], np.float64),
        np.array([math.nan if value is None else value for value in known], np.float64),
    )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TrainerError(f"cannot read {path}: {error.strerror or error}", kind="io", path=path) from None
    except (ValueError, RecursionError) as error:
        message = f"{path}: the file must be JSON ({error}); fix or remove it"
        raise TrainerError(message, kind="data", path=path) from None
    if not isinstance(found, dict):
        message = f"{path}: the file must hold a JSON object, got {str(found)[:80]}; fix or remove it"
        raise TrainerError(message, kind="data", path=path)
    return found
