"""Runs of `pretrain` with trackers that are broken, stuck or missing."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tensorflow")

from trainer_runs import ROOT, arguments, finish, losses, start, steps

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command
    from trainer_runs import Material

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

BROKEN = """
print("a package that talks")
def get_tracking_uri():
    return "sqlite:///mlflow.db"
class MlflowClient:
    def search_experiments(self, max_results):
        pass
    def __getattr__(self, name):
        raise RuntimeError("out of order")
"""
STUCK = """
import atexit, time
def init(**_):
    print("a package that talks")
    atexit.register(time.sleep, 1000)
    time.sleep(1000)
"""


def test_trackers_that_are_broken_or_stuck_stop_nothing(material: Material, tmp_path: Path) -> None:
    packages, run = tmp_path / "packages", tmp_path / "run"
    packages.mkdir()
    (packages / "mlflow.py").write_text(BROKEN)
    (packages / "trackio.py").write_text(STUCK)
    words = [*arguments(material, run, eval_records=material.held_out), "--tracker", "mlflow", "--tracker", "trackio"]
    # A server of the user would change what is checked.
    none = {"TRACKIO_SPACE_ID": "", "TRACKIO_SERVER_URL": ""}
    began = time.monotonic()
    said = finish(start([*words, "--tracker", "tensorboard"], PYTHONPATH=f"{ROOT}:{packages}", **none))
    assert time.monotonic() - began < 600, "it waited for a tracker that is stuck"
    assert steps(run) == [4, 8, 12]
    assert len(losses(run)) == 6
    assert json.loads((run / "run.json").read_text())["steps"]["finished"]
    assert said.count("warning: mlflow failed, and will be tried again: out of order") == 1
    assert "mlflow and trackio" not in said
    assert "trackio did not take all metrics within 30 seconds; run the same command again" in " ".join(said.split())
    assert "a package that talks" not in said
    options = json.loads((run / "pretrain.config.json").read_text())["pretrain"]
    assert options["tracker"] == ["mlflow", "trackio", "tensorboard"]


def test_a_missing_tracker_is_one_line_before_anything_else(
    material: Material, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name))
    run = tmp_path / "run"
    told = command(*arguments(material, run, tracker="wandb"))
    assert told.code == 1
    assert told.error == "--tracker wandb needs the Python package wandb, which is not installed: pip install wandb"
    assert not run.exists()


def test_options_of_trackers_need_one(material: Material, tmp_path: Path, command: Command) -> None:
    told = command(*arguments(material, tmp_path / "run", tracker_project="mine"))
    assert told.code == 2
    assert told.error == "--tracker-project has no effect without --tracker; remove it"
