"""The number of steps of a run with `budget_hours`, which the run decides at the end of warmup.

Until then, no step depends on the number of steps: the learning rate rises in the same way for any of them. So the
decision changes no step that is done, and a run ends with the bits of one that was given the number from the start.
The decision is in run.json, and in the facts of every later checkpoint. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast.options.training import decay_steps
from albert_fast.text import duration, number
from trainer import folder
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trainer.options import Options

FACT = "budget"
"""The name of the decision in run.json and in the facts of a checkpoint."""

MARGIN = 0.01
"""Fraction of the budget that is left free, because later steps may be a little slower than those of the warmup."""


class Decision(NamedTuple):
    """How many steps a run has, and why."""

    budget_hours: float
    steps: int
    """Number of steps of the run."""
    decided_at: int
    """Number of steps after which this was decided."""
    hours: float
    """Hours spent until then, over all starts, checkpoints and evaluations included."""
    seconds_per_step: float
    """Measured seconds per step, without those of compilation."""
    checkpoint_seconds: float
    """Measured seconds of a checkpoint and its evaluation."""

    def words(self) -> str:
        """Return a line that says what was decided."""
        return (
            f"budget_hours={self.budget_hours:g} is enough for {number(self.steps, 'step')}: a step takes "
            f"{self.seconds_per_step:.3g} s, a checkpoint with its evaluation {self.checkpoint_seconds:.3g} s, and "
            f"{duration(3600 * self.hours)} are spent"
        )


def end_of_warmup(options: Options) -> int:
    """Return the number of steps after which the number of all steps is decided."""
    return options.start_warmup_step + options.num_warmup_steps


def of_facts(facts: Mapping[str, Any]) -> Decision | None:
    """Return the decision that the facts of a checkpoint contain, or None."""
    found = facts.get(FACT)
    return Decision(**found) if found else None


def recorded(directory: Path, options: Options) -> Decision | None:
    """Return the decision in RUN/run.json, or None if there is none of these options.

    It counts if the run was killed between the decision and the next checkpoint.
    """
    try:
        found = json.loads((directory / folder.FACTS).read_bytes())[FACT]
        decision = Decision(**found)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = (decision.budget_hours, decision.decided_at) == (options.budget_hours, end_of_warmup(options))
    return decision if same else None


def seconds_per_step(lines: Sequence[Mapping[str, Any]], batch_size: int) -> float | None:
    """Return the mean seconds of a step without compilation, from training lines of the metrics log.

    It is None if every step of every line compiled something.
    """
    known = [line for line in lines if line.get("sequences_per_second")]
    steps = sum(line["steps"] for line in known)
    return sum(line["steps"] * batch_size / line["sequences_per_second"] for line in known) / steps if known else None


def decide(options: Options, lines: Sequence[Mapping[str, Any]], checkpoint_seconds: float) -> Decision:
    """Decide how many steps fit the budget. There is room for the last checkpoint and its evaluation.

    Args:
        options: those of the run.
        lines: the training lines of all steps so far.
        checkpoint_seconds: seconds of a checkpoint and its evaluation.

    Raises:
        TrainerError: no time is left after warmup, or there are no lines.
    """
    assert options.budget_hours is not None
    if not lines:
        message = f"{folder.METRICS} has no lines of the warmup, which tell how many steps fit `budget_hours`"
        raise TrainerError(f"{message}; restore it, or pass overwrite=True to start over", kind="data")
    at, every = end_of_warmup(options), options.save_checkpoints_steps
    spent = 3600 * lines[-1]["hours"] + -(-at // every) * checkpoint_seconds
    step = seconds_per_step(lines, options.batch_size) or 3600 * lines[-1]["hours"] / at
    left = 3600 * options.budget_hours * (1 - MARGIN) - spent - checkpoint_seconds
    steps = at + int(left / (step + checkpoint_seconds / every))
    if steps <= at or (options.learning_rate_schedule == "wsd" and steps - decay_steps(options, steps) < at):
        raise _too_small(options, "took", spent)
    return Decision(options.budget_hours, steps, at, spent / 3600, step, checkpoint_seconds)


class Watch:
    """Collects the training lines of a run whose number of steps is open.

    Args:
        options: those of the run.
        lines: the lines of the metrics log before this start.
    """

    def __init__(self, options: Options, lines: Sequence[Mapping[str, Any]]) -> None:
        self.options = options
        self.lines = [line for line in lines if "loss" in line]

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a training line.

        Raises:
            TrainerError: the rest of the warmup will take longer than the budget.
        """
        self.lines.append(line)
        step = seconds_per_step(self.lines, self.options.batch_size)
        left = end_of_warmup(self.options) - line["step"]
        if step is not None and left > 0:
            warmup = 3600 * line["hours"] + left * step
            if warmup >= 3600 * (self.options.budget_hours or 0.0):
                raise _too_small(self.options, "will take", warmup)


def _too_small(options: Options, verb: str, seconds: float) -> TrainerError:
    return TrainerError(
        f"the {number(end_of_warmup(options), 'step')} of warmup {verb} {duration(seconds)}, which leaves too little "
        f"of budget_hours={options.budget_hours:g}; pass fewer `num_warmup_steps` or a larger budget, with "
        "overwrite=True",
        kind="option",
        option="budget_hours",
        value=options.budget_hours,
    )
