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
    data: Any = SimpleNamespace(identity={"kind": "tokens", "digest": str(vocab_size)}, tokenizer=tokenizer)
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
    found: Any = SimpleNamespace(path=Path("run/checkpoints/step-00000002"), facts=facts(300, then))
    with pytest.raises(TrainerError, match=rf"^run: started with .*{re.escape(advice)}") as raised:
        resume.check(found, facts(200, now))
    assert (CONFIG in str(raised.value)) == (advice == CONFIG)
    assert (raised.value.kind, raised.value.path) == ("exists", Path("run"))
    assert "300" in str(raised.value)
    assert "200" in str(raised.value)


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
    found: Any = SimpleNamespace(path=Path("run/checkpoints/step-00000002"), facts=then)
    with pytest.raises(TrainerError, match=rf"^run: {re.escape(message)}") as raised:
        resume.check(found, now)
    assert raised.value.kind == "exists"
    assert raised.value.option == (None if name == "digest" else name)
