"""The kind, path, line and option of the trainer's errors, for programs that handle them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from albert_fast import AlbertFastError
from trainer.errors import TrainerError
from trainer.exchange import initial, tokenizer_model
from trainer.exchange.output import check_replaceable
from trainer.model import checkpoints
from trainer.model.config import ModelConfig
from trainer.report import journal
from trainer.report.report import write_report

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/notes.txt").write_text("")
    Path("run").mkdir()
    Path("run/metrics.jsonl").write_text('{"step": 1}\n[]\n')
    Path("empty").mkdir()
    Path("weights.pt").write_bytes(b"")


@pytest.mark.parametrize(
    ("call", "kind", "path"),
    [
        (lambda: check_replaceable(Path("out"), re.compile("a"), re.compile("a"), overwrite=False), "exists", "out"),
        (lambda: check_replaceable(Path("out"), re.compile("a"), re.compile("a"), overwrite=True), "exists", "out"),
        (
            lambda: check_replaceable(Path("weights.pt"), re.compile("a"), re.compile("a"), overwrite=True),
            "io",
            "weights.pt",
        ),
        (lambda: initial.initial(Path("nowhere")), "input", "nowhere"),
        (lambda: initial.initial(Path("empty")), "input", "empty"),
        (lambda: initial.initial(Path("weights.pt")), "data", "weights.pt"),
        (lambda: checkpoints.find(Path("nowhere"), print), "input", "nowhere"),
        (lambda: checkpoints.read(Path("empty")), "data", "empty"),
        (lambda: tokenizer_model.rebuild(b"", "hf/tokenizer.json"), "tokenizer", "hf/tokenizer.json"),
        (lambda: tokenizer_model.read(Path("nowhere.json")), "io", "nowhere.json"),
        (lambda: write_report(Path("run")), "data", "run/metrics.jsonl"),
    ],
)
def test_errors_have_a_kind_and_a_path(call: Callable[[], object], kind: str, path: str) -> None:
    with pytest.raises(TrainerError) as caught:
        call()
    assert caught.value.kind == kind
    assert caught.value.path == Path(path)


def test_a_line_of_the_metrics_log_has_its_number() -> None:
    with pytest.raises(TrainerError) as caught:
        journal.read(Path("run/metrics.jsonl"))
    assert caught.value.line == 2


def test_an_option_has_its_name_rule_and_value() -> None:
    with pytest.raises(AlbertFastError) as caught:
        ModelConfig.preset("huge")
    error = caught.value
    assert (error.kind, error.option, error.value) == ("option", "model", "huge")
    assert str(error) == f"model must be {error.rule}, got 'huge'"
