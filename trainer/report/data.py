"""What the report says of a run, from the files in its folder; any of them may be missing."""

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
"""The last figures of training are means over this share of its lines: those of one line alone jump about."""


@dataclass
class Run:
    """What the files of a run say."""

    lines: list[dict[str, Any]]
    """The journal."""
    facts: dict[str, Any]
    """run.json."""
    options: dict[str, Any]
    """pretrain.config.json."""
    model: dict[str, Any]
    """albert_config.json."""

    @classmethod
    def read(cls, run: Path) -> Run:
        """The files of the folder `run`, those missing as empty.

        Raises:
            TrainerError: a file cannot be read, or is not what it should be.
        """
        return cls(
            journal.read(run / folder.METRICS),
            _read_object(run / folder.FACTS),
            _read_object(run / folder.OPTIONS),
            _read_object(run / folder.MODEL),
        )

    @cached_property
    def training(self) -> list[dict[str, Any]]:
        """The training lines by step."""
        found = [line for line in self.lines if "start" not in line and "evaluation" not in line]
        return sorted(found, key=lambda line: int(line["step"]))

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """The evaluation lines by step."""
        found = [line for line in self.lines if isinstance(line.get("evaluation"), dict)]
        return sorted(found, key=lambda line: int(line["step"]))

    @cached_property
    def resumed(self) -> list[dict[str, Any]]:
        """The lines of starts that resumed from a checkpoint and trained on.

        A finished run that is started again has a line too, with nothing left to do.
        """
        return [
            line
            for line in self.lines
            if line.get("start") == "resumed" and (self.total is None or line["step"] < self.total)
        ]

    def part(self, name: str) -> dict[str, Any]:
        """A part of run.json."""
        found = self.facts.get(name)
        return found if isinstance(found, dict) else {}

    def fact(self, part: str, name: str) -> float | None:
        """A number of run.json."""
        return number(self.part(part).get(name))

    @property
    def done(self) -> int:
        """Steps done, from whichever file says more: run.json may be that of the start."""
        last = self.training[-1]["step"] if self.training else 0
        return max(int(self.fact("steps", "done") or 0), int(last))

    @property
    def total(self) -> int | None:
        """Steps of the run in all."""
        options = self.options.get("pretrain")
        total = self.fact("steps", "total") or number((options or {}).get("num_train_steps"))
        return None if total is None else int(total)

    def series(self, name: str) -> tuple[Floats, Floats]:
        """Steps and values of a figure of training, NaN where there is none."""
        return _series(self.training, [line.get(name) for line in self.training])

    def evaluated(self, name: str) -> tuple[Floats, Floats]:
        """Steps and values of a figure of evaluation."""
        return _series(self.evaluations, [line["evaluation"].get(name) for line in self.evaluations])

    def recent(self, name: str) -> float | None:
        """The mean of a training figure over the newest lines."""
        _, values = self.series(name)
        known = values[np.isfinite(values)]
        return float(known[-max(1, round(RECENT * len(known))) :].mean()) if len(known) else None

    def mean(self, name: str) -> float | None:
        """The mean over the time of training of a figure that is a rate or a share of time."""
        _, values = self.series(name)
        _, steps = self.series("steps")
        # Lines have steps and time of their own: the last before a checkpoint may have few. A line without a step that
        # compiled nothing has no rate.
        seconds = steps / self.series("sequences_per_second")[1]  # times the batch size, which all share
        known = np.isfinite(values) & np.isfinite(seconds) & (seconds > 0)
        return float(np.average(values[known], weights=seconds[known])) if known.any() else None

    def total_of(self, name: str) -> float | None:
        """The sum of a training figure over all lines."""
        _, values = self.series(name)
        return float(np.nansum(values)) if np.isfinite(values).any() else None

    def best_of(self, name: str) -> tuple[int, float] | None:
        """Step and value of a figure's best evaluation: of a loss the lowest, of an accuracy the highest."""
        steps, values = self.evaluated(name)
        if not np.isfinite(values).any():
            return None
        index = int(np.nanargmin(values) if name.endswith("loss") else np.nanargmax(values))
        return int(steps[index]), float(values[index])

    @cached_property
    def best(self) -> int | None:
        """The number of the evaluation with the highest masked-LM accuracy, the first of equals."""
        _, values = self.evaluated("masked_lm_accuracy")
        return int(np.nanargmax(values)) if np.isfinite(values).any() else None


def number(value: Any) -> float | None:
    """`value` where it is a finite number."""
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
        raise TrainerError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise TrainerError(f"{path}: not JSON ({error}); mend or remove the file") from None
    if not isinstance(found, dict):
        raise TrainerError(f"{path}: must hold a JSON object, not {str(found)[:80]}; mend or remove the file")
    return found
