"""Runs whose learning rate, masks or number of steps follow a schedule: stopped, resumed, extended and shortened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("tensorflow")

from trainer_runs import GOLDEN, Material, arguments, assert_same, checkpoint, lines, steps, stop_at, training, weights

from albert_fast import TokenStore, tokenize
from trainer.run import budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Command

    from trainer.options import Options

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


def rates(run: Path) -> dict[int, float]:
    """The learning rate of the step before each line."""
    return {line["step"]: line["learning_rate"] for line in lines(run) if "loss" in line}


# --- warmup-stable-decay ---------------------------------------------------------------------------------------------


WSD = {"learning_rate_schedule": "wsd", "decay_fraction": 0.25}


@pytest.fixture(scope="module")
def ends(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Runs of 12 and 16 steps that nothing happened to. Their rates fall after 9 and 12 steps."""
    from albert_fast.cli import main

    directory = tmp_path_factory.mktemp("ends")
    for total in (12, 16):
        words = arguments(material, directory / str(total), num_train_steps=total, **WSD, keep_checkpoint_max=9)
        assert main(words) == 0
    return lambda total: directory / str(total)


def branch(run: Path, step: int) -> Path:
    """A copy of the run as it was after `step`, in the current directory."""
    shutil.copytree(run, "branch")
    for later in steps(run):
        if later > step:
            shutil.rmtree(checkpoint(Path("branch"), later))
    return Path("branch")


@pytest.mark.parametrize(("total", "other"), [(12, 16), (16, 12)])
def test_before_the_decay_a_run_can_get_another_end(
    total: int, other: int, command: Command, material: Material, ends: Callable[[int], Path]
) -> None:
    run = branch(ends(total), 8)
    found = command(*arguments(material, run, num_train_steps=other, **WSD, keep_checkpoint_max=9))
    assert found.code == 0, found.err
    told = f"resuming with --num-train-steps {other} instead of {total}: the decay of the learning rate has not begun"
    assert f"albert-fast: {told}" in found.err
    assert steps(run) == steps(ends(other))
    assert_same(weights(run), weights(ends(other)))
    assert training(run) == training(ends(other))
    # It is now the other run, whose rate has fallen.
    refused = command(*arguments(material, run, num_train_steps=total, **WSD))
    assert f"--num-train-steps {other}, not {total}; pass {other} to resume" in refused.error


def test_the_rate_is_the_peak_until_the_decay(ends: Callable[[int], Path]) -> None:
    found = rates(ends(16))
    assert [found[step] for step in (4, 6, 8, 10, 12)] == pytest.approx([0.00176] * 5)
    assert [found[step] / 0.00176 for step in (14, 16)] == pytest.approx([1 - (1 / 4) ** 0.5, 1 - (3 / 4) ** 0.5])


# --- masks and cosine ------------------------------------------------------------------------------------------------


def test_masks_that_fall_resume_with_the_same_bits(
    command: Command, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        "masked_lm_prob": "0.30:0.15",
        "learning_rate_schedule": "cosine",
        "final_learning_rate_fraction": 0.1,
        "log_steps": 1,
    }
    assert command(*arguments(material, Path("whole"), **changes)).code == 0
    words = arguments(material, Path("run"), **changes)
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        assert command(*words).code == 130
    again = command(*words)
    assert again.code == 0, again.err
    assert steps(Path("run"))[-1] == 12
    assert_same(weights(Path("run")), weights(Path("whole")))
    found = [line["masked_lm_prob"] for line in lines(Path("run")) if "loss" in line]
    assert found == [line["masked_lm_prob"] for line in lines(Path("whole")) if "loss" in line]
    assert found == pytest.approx([0.3 - 0.15 * step / 11 for step in range(12)])
    # The last step is one of ten before the end of the wave.
    assert rates(Path("run"))[12] == pytest.approx(0.00176 * (0.1 + 0.9 * 0.024472), rel=1e-4)
    for changed, named in (
        ({"masked_lm_prob": 0.3}, "--masked-lm-prob 0.3:0.15, not 0.3; pass 0.3:0.15 to resume"),
        ({"learning_rate_schedule": "polynomial"}, "--learning-rate-schedule cosine, not polynomial; pass cosine"),
    ):
        refused = command(*arguments(material, Path("run"), **{**changes, **changed}))
        assert refused.code == 1
        assert named in refused.error


# --- a budget --------------------------------------------------------------------------------------------------------


def test_a_budget_ends_as_a_run_of_that_many_steps(
    command: Command, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"num_warmup_steps": 10, "log_steps": 1, "keep_checkpoint_max": 9}
    words = arguments(material, Path("run"), **changes, num_train_steps=None, budget_hours=2)
    asked: list[int] = []
    measured = budget.decide

    def decide(options: Options, found: list[dict[str, Any]], seconds: float) -> budget.Decision:
        asked.append(len(found))
        decision = measured(options, found, seconds)
        assert decision.decided_at == 10 < decision.steps
        assert decision.hours > 0
        assert decision.checkpoint_seconds == seconds > 0
        # How many steps two hours have room for depends on the machine.
        return decision._replace(steps=16, seconds_per_step=0.25)

    monkeypatch.setattr(budget, "decide", decide)
    for step in (6, 13):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            stopped = command(*words)
            assert stopped.code == 130, stopped.err
        assert steps(Path("run"))[-1] == step
        assert json.loads(Path("run/run.json").read_text())["steps"]["total"] == (None if step == 6 else 16)
    # All ten steps of warmup, those before the first stop too.
    assert asked == [10]
    assert "as many as fit --budget-hours 2; their number is decided at the end of warmup, after step 10" in stopped.err
    assert "--budget-hours 2 is enough for 16 steps: a step takes 0.25 s, a checkpoint with its eva" in stopped.err
    assert steps(Path("run")) == [4, 6, 8, 10, 12, 13]
    # It was killed after the decision, and before it had another checkpoint.
    shutil.copytree("run", "killed")
    for step in (12, 13):
        shutil.rmtree(checkpoint(Path("killed"), step))
    whole = arguments(material, Path("whole"), **changes, num_train_steps=16)
    assert command(*whole).code == 0
    for run in ("run", "killed"):
        again = command(*[run if word == "run" else word for word in words])
        assert again.code == 0, again.err
        assert steps(Path(run))[-1] == 16
        assert_same(weights(Path(run)), weights(Path("whole")))
        assert rates(Path(run)) == rates(Path("whole"))
        known = json.loads(Path(run, "run.json").read_text())
        assert (known["steps"]["total"], known["steps"]["finished"]) == (16, True)
        assert (known["budget"]["steps"], known["budget"]["decided_at"]) == (16, 10)
    assert asked == [10]
    assert json.loads(Path("run/pretrain.config.json").read_text())["pretrain"]["num_train_steps"] is None
    for changed, named in (
        ({"budget_hours": 3}, "--budget-hours 2, not 3; pass 2 to resume"),
        ({"budget_hours": None}, "--budget-hours 2, not without it; pass it to resume"),
    ):
        refused = command(
            *arguments(material, Path("run"), **{**changes, "num_train_steps": None, "budget_hours": 2, **changed})
        )
        assert refused.code == 1
        assert named in refused.error


def test_a_budget_shows_what_all_steps_draw(
    command: Command, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only those of the warmup, after which their number is decided."""
    tokenize([GOLDEN / "corpus" / "part-b.txt"], "other", TokenStore(material.store).tokenizer())
    measured = budget.decide
    monkeypatch.setattr(budget, "decide", lambda *given: measured(*given)._replace(steps=13))
    changes = {"tokens": f"{material.store}=0.75", "num_train_steps": None, "budget_hours": 2, "num_warmup_steps": 10}
    found = command(*arguments(material, Path("run"), **changes), "--tokens", "other=0.25")
    assert found.code == 0, found.err
    assert f"albert-fast: mixture: 75% from {material.store}, 25% from other\n" in found.err
    told = found.err.index("--budget-hours 2 is enough for 13 steps")
    mixture = f"albert-fast: mixture: 75% from {material.store} (78 instances), 25% from other (26 instances)\n"
    assert found.err.index(mixture) > told
    described = json.loads(Path("run/run.json").read_text())["data"]["mixture"]
    assert (described["steps"], described["stores"]["other"]) == (13, "25%, 26 instances")
    drawn = [line["drawn"]["other"] for line in lines(Path("run")) if "loss" in line]
    assert sum(drawn) == 26


def test_a_budget_below_the_warmup(command: Command, material: Material) -> None:
    words = arguments(material, Path("run"), num_train_steps=None, num_warmup_steps=10**6, budget_hours=1e-3)
    refused = command(*words)
    assert refused.code == 2
    told = refused.err.splitlines()[-1]
    assert told.startswith("albert-fast: error: the 1,000,000 steps of warmup will take ")
    assert "which leaves too little of --budget-hours 0.001; pass fewer --num-warmup-steps or a larger" in told
    assert steps(Path("run")) == []
