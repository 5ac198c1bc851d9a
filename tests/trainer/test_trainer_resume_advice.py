"""The advice if a run cannot resume. Needs no TensorFlow."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainer.errors import TrainerError
from trainer.model.config import PRESETS
from trainer.options import Options
from trainer.run import resume

Facts = dict[str, Any]
CONFIG = "pass model='run/albert_config.json' to resume"


def facts(vocab_size: int, tokenizer: Facts) -> Facts:
    data: Any = SimpleNamespace(identity={"kind": "tokens", "digest": str(vocab_size)}, tokenizer=tokenizer, phases=())
    return resume.facts(replace(PRESETS["tiny"], vocab_size=vocab_size), Options(), data, None)


def tokenizer(vocab_size: int) -> Facts:
    return {"file": f"{vocab_size}.model", "vocab_size": vocab_size, "digest": f"{vocab_size:064d}"}


@pytest.mark.parametrize(
    ("then", "now", "advice"),
    [
        (tokenizer(300), tokenizer(200), "pass data made with the first to resume"),
        ({}, tokenizer(200), "pass data made with the first to resume"),
        # Records of an unknown tokenizer: only the configuration says how many pieces it has.
        (tokenizer(300), {}, CONFIG),
        ({}, {}, CONFIG),
    ],
)
def test_a_vocabulary_of_another_size(then: Facts, now: Facts, advice: str) -> None:
    found: Any = SimpleNamespace(path=Path("run/checkpoints/step-00000002"), facts=facts(300, then), step=2)
    with pytest.raises(TrainerError, match=rf"^run: started with .*{re.escape(advice)}") as raised:
        resume.check(found, facts(200, now))
    assert (CONFIG in str(raised.value)) == (advice == CONFIG)
    assert (raised.value.kind, raised.value.path) == ("exists", Path("run"))
    assert "300" in str(raised.value)
    assert "200" in str(raised.value)


def resumed(then: Facts, now: Facts, step: int) -> str:
    """What a resumed run says about its end; the error if it is refused."""
    found: Any = SimpleNamespace(path=Path("run/checkpoints/step-00000002"), facts=then, step=step)
    try:
        resume.check(found, now)
    except TrainerError as error:
        return str(error)
    return resume.end(then, now)


def scheduled(total: int | None, masked: float | str = 0.15, **changes: Any) -> Facts:
    given = {"learning_rate_schedule": "wsd", "decay_fraction": 0.25, "num_warmup_steps": 10, **changes}
    options = Options(**given if total is None else {**given, "num_train_steps": total})
    data: Any = SimpleNamespace(identity={"kind": "tokens", "masked_lm_prob": masked}, tokenizer={}, phases=())
    return resume.facts(PRESETS["tiny"], options, data, None)


SAID = "the decay of the learning rate has not begun"


@pytest.mark.parametrize(
    ("then", "now", "step", "message"),
    [
        # 100 steps begin to fall after 75, 200 after 150, and 80 after 60.
        (scheduled(100), scheduled(200), 75, f"resuming with num_train_steps=200 instead of 100: {SAID}"),
        (
            scheduled(100),
            scheduled(200),
            76,
            "num_train_steps=100, not 200; pass 100 to resume. Another value is poss",
        ),
        (scheduled(100), scheduled(80), 60, f"resuming with num_train_steps=80 instead of 100: {SAID}"),
        (scheduled(100), scheduled(80), 61, "before the learning rate begins to fall, after step 60: in a copy of the"),
        (scheduled(100), scheduled(100, decay_fraction=0.5), 50, "decay_fraction=0.5 instead of 0.25"),
        (scheduled(100), scheduled(100, decay_fraction=0.5), 51, "decay_fraction=0.25, not 0.5; pass 0.25 to resume"),
        (
            scheduled(100),
            scheduled(200, final_learning_rate_fraction=0.1),
            75,
            "resuming with final_learning_rate_fraction=0.1 instead of 0.0 and num_train_steps=200 instead of 100",
        ),
        # The masks of all steps would be others.
        (
            scheduled(100, "0.3:0.15"),
            scheduled(200, "0.3:0.15"),
            20,
            "num_train_steps=100, not 200; pass 100 to resume",
        ),
        # What is not the end of a schedule.
        (scheduled(100), scheduled(200, num_warmup_steps=11), 20, "num_warmup_steps=10, not 11; pass 10 to resume"),
        (scheduled(100), scheduled(200, learning_rate_schedule="cosine", decay_fraction=0.1), 20, "wsd, not cosine"),
        (
            scheduled(100, learning_rate_schedule="polynomial", decay_fraction=0.1),
            scheduled(200, learning_rate_schedule="polynomial", decay_fraction=0.1),
            20,
            "num_train_steps=100, not 200; pass 100 to resume. For more steps, pass init_checkpoint='run'",
        ),
        (scheduled(None, budget_hours=2.0), scheduled(None, budget_hours=3.0), 5, "budget_hours=2, not 3; pass 2 to"),
        (scheduled(None, budget_hours=2.0), scheduled(100), 5, "budget_hours=2, not without it; pass it to resume"),
        (scheduled(100), scheduled(None, budget_hours=2.0), 5, "without `budget_hours`, not with 2; remove it to resu"),
    ],
)
def test_another_end(then: Facts, now: Facts, step: int, message: str) -> None:
    assert message in resumed(then, now, step)
    assert resumed(then, then, step) == ""


def test_a_run_from_before_there_were_schedules_resumes() -> None:
    now = facts(300, tokenizer(300))
    new = ("learning_rate_schedule", "budget_hours", "decay_fraction", "final_learning_rate_fraction")
    then = {**now, "options": {name: value for name, value in now["options"].items() if name not in new}}
    assert len(then["options"]) == len(now["options"]) - 4
    assert resumed(then, now, 2) == ""
    changed = {**now, "options": {**now["options"], "learning_rate_schedule": "cosine"}}
    assert "started with learning_rate_schedule=polynomial, not cosine" in resumed(then, changed, 2)


@pytest.mark.parametrize(
    ("part", "name", "was", "message"),
    [
        (
            "options",
            "optimizer",
            "adamw",
            "started with optimizer=adamw, not lamb; pass adamw to resume, overwrite=True",
        ),
        ("options", "batch_size", 8, "started with batch_size=8, not 4096; pass 8 to resume, overwrite=True to start"),
        ("data", "ngram", 2, "started with ngram=2, not without it; pass it to resume, overwrite=True to start over"),
        ("data", "digest", "other", "started with other data; pass the same `tokens` or `records` to resume, over"),
    ],
)
def test_another_option(part: str, name: str, was: object, message: str) -> None:
    now = facts(300, tokenizer(300))
    then = {**now, part: {**now[part], name: was}}
    found: Any = SimpleNamespace(path=Path("run/checkpoints/step-00000002"), facts=then, step=2)
    with pytest.raises(TrainerError, match=rf"^run: {re.escape(message)}") as raised:
        resume.check(found, now)
    assert raised.value.kind == "exists"
    assert raised.value.option == (None if name == "digest" else name)
