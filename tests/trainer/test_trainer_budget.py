"""How many steps fit a budget of hours. Needs no TensorFlow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from trainer.errors import TrainerError
from trainer.options import Options
from trainer.run import budget
from trainer.run.budget import MARGIN, Decision, Watch, decide, recorded, seconds_per_step

if TYPE_CHECKING:
    from pathlib import Path

Line = dict[str, Any]


def options(**changes: Any) -> Options:
    return Options(**{"budget_hours": 10.0, "num_warmup_steps": 100, "save_checkpoints_steps": 40, **changes})


def line(step: int, hours: float, seconds: float | None, steps: int = 10) -> Line:
    rate = None if seconds is None else 4096 / seconds
    return {"step": step, "steps": steps, "hours": hours, "sequences_per_second": rate, "loss": 1.0}


LINES = [line(10, 0.5, None), line(20, 0.6, 6.0), line(100, 1.0, 3.0, 30)]
"""A line of steps that only compiled, and two of steps that take 6 and 3 seconds; one hour in all."""


def test_the_speed_is_that_of_steps_that_compile_nothing() -> None:
    assert seconds_per_step(LINES, 4096) == pytest.approx((10 * 6 + 30 * 3) / 40)
    assert seconds_per_step(LINES[:1], 4096) is None
    assert seconds_per_step([], 4096) is None


@pytest.mark.parametrize("checkpoint", [0.0, 60.0])
def test_the_steps_fit_the_budget_and_one_more_does_not(checkpoint: float) -> None:
    found = decide(options(), LINES, checkpoint)
    # Checkpoints after 40, 80 and 100 steps.
    assert found.hours == pytest.approx(1 + 3 * checkpoint / 3600)
    assert (found.budget_hours, found.decided_at, found.checkpoint_seconds) == (10, 100, checkpoint)
    assert found.seconds_per_step == pytest.approx(3.75)

    def seconds(steps: int) -> float:
        return 3600 * found.hours + (steps - 100) * (3.75 + checkpoint / 40) + checkpoint

    room = 36_000 * (1 - MARGIN)
    assert seconds(found.steps) <= room < seconds(found.steps + 1)


def test_if_every_step_compiles_something_all_hours_count() -> None:
    assert decide(options(), [line(100, 1.0, None)], 0.0).seconds_per_step == 36.0


@pytest.mark.parametrize(
    "changes",
    [
        {"budget_hours": 1.0},
        {"budget_hours": 1.005},
        # A decay of 99% would have to begin long before the end of warmup.
        {"learning_rate_schedule": "wsd", "decay_fraction": 0.99},
    ],
)
def test_a_budget_without_time_after_warmup_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(
        TrainerError, match=r"^the 100 steps of warmup took 1h 00m, which leaves too little of budget_h"
    ) as found:
        decide(options(**changes), LINES, 0.0)
    assert (found.value.kind, found.value.option) == ("option", "budget_hours")


def test_no_lines_of_the_warmup_are_an_error() -> None:
    with pytest.raises(TrainerError, match=r"metrics\.jsonl"):
        decide(options(), [], 0.0)


def test_a_warmup_that_will_take_too_long_is_refused_at_once() -> None:
    watch = Watch(options(), [{"step": 0, "start": "new"}, *LINES[:1]])
    assert watch.lines == LINES[:1]
    watch.add(line(20, 0.6, 60.0))
    assert len(watch.lines) == 2
    watch = Watch(options(num_warmup_steps=10_000), [])
    watch.add(line(10, 0.5, None))
    with pytest.raises(TrainerError, match=r"^the 10,000 steps of warmup will take 6 days 22h, which leaves too"):
        watch.add(line(20, 0.6, 60.0))


def test_the_decision_is_found_again(tmp_path: Path) -> None:
    found = decide(options(), LINES, 60.0)
    assert recorded(tmp_path, options()) is None
    for content in ("{", "[]", "{}", '{"budget": null}', '{"budget": {"steps": 3}}'):
        (tmp_path / "run.json").write_text(content)
        assert recorded(tmp_path, options()) is None
    facts = json.loads(json.dumps({budget.FACT: found._asdict()}))
    (tmp_path / "run.json").write_text(json.dumps(facts))
    assert recorded(tmp_path, options()) == found == budget.of_facts(facts)
    assert recorded(tmp_path, options(budget_hours=11)) is None
    assert recorded(tmp_path, options(num_warmup_steps=99)) is None
    assert budget.of_facts({}) is None


def test_words() -> None:
    assert Decision(24, 1000, 100, 0.5, 3.14159, 60).words() == (
        "budget_hours=24 is enough for 1,000 steps: a step takes 3.14 s, a checkpoint with its evaluation 60 s, and "
        "30m 00s are spent"
    )
