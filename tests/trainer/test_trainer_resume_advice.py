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
