"""What a run writes for its report: ratios, tokens, samples, command line and versions, and reports on the way."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from trainer_runs import Material, arguments, lines

from albert_fast import Tokenizer, __version__
from trainer.model.optimizers import KINDS
from trainer.report import report

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tensorflow


def test_a_run_writes_what_its_report_shows(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from albert_fast.cli import main

    written: list[tuple[int, bool]] = []

    def write(run: Path) -> Path:
        last = lines(run)[-1]
        written.append((last["step"], "evaluation" in last))
        return report.write_report(run)

    monkeypatch.setattr("trainer.run.pretrain.write_report", write)
    monkeypatch.setattr("trainer.run.chief.REPORT_TIME", 1e9)
    run = tmp_path / "run"
    words = arguments(material, run, num_train_steps=6, save_checkpoints_steps=2, eval_records=material.held_out)
    assert main(words) == 0
    assert written == [(2, True), (4, True), (6, True)]
    assert main(words) == 0  # which resumes, and has nothing left to do

    found = lines(run)
    starts = [line for line in found if "start" in line]
    assert [line["start"] for line in starts] == ["new", "resumed"]
    for line in starts:
        assert line["command"].startswith("albert-fast pretrain --output-dir ")
        assert line["versions"] == {
            "albert_fast": __version__, "tensorflow": tf.__version__, "python": platform.python_version(),
        }  # fmt: skip
    training = [line for line in found if "loss" in line]
    assert [line["step"] for line in training] == [2, 4, 6]
    for line in training:
        assert list(line["trust_ratios"]) == list(KINDS)
        assert all(0 < ratio < 10 for ratio in line["trust_ratios"].values())
        assert not any(name.startswith("gpu") for name in line)
        # 16 instances of up to 64 tokens.
        assert 16 * 5 < line["tokens"] <= 16 * 64
    assert training[0]["trust_ratios"] != training[1]["trust_ratios"]

    evaluations = [line for line in found if "evaluation" in line]
    assert len(evaluations) == 3
    pieces = set(Tokenizer.from_file(run / "spiece.model").pieces)
    tokens = [[(one["before"], one["piece"], one["after"]) for one in line["samples"]] for line in evaluations]
    assert 3 <= len(tokens[0]) <= 6
    assert tokens[0] == tokens[1] == tokens[2]
    for line in evaluations:
        for sample in line["samples"]:
            assert sample["piece"] in pieces
            odds = [probability for piece, probability in sample["guesses"] if piece in pieces]
            assert len(odds) == 5
            assert odds == sorted(odds, reverse=True)
            assert 0 < sample["probability"] <= odds[0] < 1
    assert evaluations[0]["samples"] != evaluations[2]["samples"]
    assert (run / "report.html").read_text().count("albert-fast pretrain --output-dir") >= 1
    assert "Sample predictions" in (run / "report.html").read_text()
    environment: dict[str, Any] = json.loads((run / "run.json").read_text())["environment"]
    assert environment["tensorflow"] == tf.__version__
