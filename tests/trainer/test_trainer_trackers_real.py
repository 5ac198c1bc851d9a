"""Trackers with their real packages, offline. Each test is skipped if its package is not installed.

Nothing here needs TensorFlow, so the packages may be in an environment of their own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VARIABLES = ("WANDB_", "MLFLOW_", "TRACKIO_", "HF_TOKEN")
DEADLINE = 300
"""Seconds after which a process counts as stuck, however busy the machine is."""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of the user, and an empty home."""
    for name in list(os.environ):
        if name.startswith(VARIABLES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a run, described."""
    made = tmp_path / "läuft"
    made.mkdir()
    (made / "pretrain.config.json").write_text(json.dumps({"pretrain": {"batch_size": 8, "tokens": "größe"}}))
    (made / "run.json").write_text(json.dumps({"data": {"instances": 809}, "steps": {"done": 0}}))
    return made


REAL = """
import json, os, signal, sys, threading, time
from pathlib import Path

from trainer.report.journal import Journal
from trainer.report.trackers.follow import Trackers
from trainer.run.stops import Stops

run, name, start, last, end = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
said = []
hooks = sys.exit, sys.excepthook, sys.stdout, sys.stderr
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
trackers = Trackers([name], run)
trackers.check(said.append, resumes=False)
with Journal(run, start) as journal, trackers:
    trackers.start(said.append)
    while not said:
        time.sleep(0.1)
    reason = None
    with Stops(None) as stops:
        for step in range(start + 2, last + 1, 2):
            journal.append({"step": step, "time": 1e9 + step, "loss": step / 8, "mfu": None})
            if step == 4:
                journal.append({"step": 4, "time": 1e9 + 4, "evaluation": {"masked_lm_loss": 2.5}})
        if end == "killed":
            state = run / "trackers.json"
            while f'"training": {last}' not in state.read_text():
                time.sleep(0.1)
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)
        if end == "stopped":
            os.kill(os.getpid(), signal.SIGTERM)
            while not stops():
                time.sleep(0.01)
            reason = stops()
    trackers.finish(end, reason, said.append)
assert before == {number: signal.getsignal(number) for number in signal.valid_signals()}
assert hooks == (sys.exit, sys.excepthook, sys.stdout, sys.stderr)
(run / "said.json").write_text(json.dumps(said))
"""


def real(run: Path, name: str, start: int, last: int, end: str) -> list[str]:
    """Follows a log in a process of its own, which must write nothing to the terminal; what was said."""
    words = [sys.executable, "-W", "ignore::ResourceWarning", "-c", REAL, str(run), name, str(start), str(last), end]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=run.parent, env=environment, timeout=DEADLINE
    )
    assert (done.stdout, done.stderr) == ("", ""), done
    assert done.returncode == (-signal.SIGKILL if end == "killed" else 0)
    return [] if end == "killed" else list(json.loads((run / "said.json").read_text()))


def wandb_file(path: Path) -> list[Any]:
    """The records of a .wandb file: seven bytes, then records in blocks of 32 KiB, as LevelDB's logs have them."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    found, parts, at = [], b"", 7
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in {1, 4}:
            found.append(Record.FromString(parts))
            parts = b""
    return found


def test_wandb_offline(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert real(run, "wandb", 0, 6, "killed") == []
    (said,) = real(run, "wandb", 4, 8, "stopped")
    assert said.startswith("wandb: continuing the run, offline; `wandb sync ")
    directories = sorted((run / "wandb").glob("offline-run-*"))
    assert str(directories[-1]) in said
    rows, runs, exits = [], [], []
    for directory in directories:
        (file,) = directory.glob("run-*.wandb")
        for record in wandb_file(file):
            if record.HasField("history"):
                items = {"/".join(one.nested_key) or one.key: json.loads(one.value_json) for one in record.history.item}
                rows.append(items)
            if record.HasField("run"):
                runs.append(record.run)
            if record.HasField("exit"):
                exits.append(record.exit.exit_code)
    assert [(row["step"], row["train/loss"]) for row in rows if "train/loss" in row] == [
        (2, 0.25),
        (4, 0.5),
        (6, 0.75),
        (8, 1.0),
    ]
    assert [(row["step"], row["eval/masked_lm_loss"]) for row in rows if "eval/masked_lm_loss" in row] == [(4, 2.5)]
    assert rows[0]["_timestamp"] == 1e9 + 2
    assert {one.run_id for one in runs} == {json.loads((run / "trackers.json").read_text())["wandb"]["run"]}
    assert (runs[0].display_name, runs[0].project) == ("läuft", "albert-fast")
    config = {one.key or "/".join(one.nested_key): one.value_json for one in runs[0].config.update}
    assert json.loads(config["tokens"]) == "größe"
    assert exits[-1] == 130


@pytest.mark.parametrize("store", ["sqlite", "file"])
def test_mlflow_in_a_local_store(store: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/store.db" if store == "sqlite" else f"file://{tmp_path}/store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    if store == "file":
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert real(run, "mlflow", 0, 6, "killed") == []
    (said,) = real(run, "mlflow", 4, 8, "stopped")
    assert said == f"mlflow: continuing the run, {uri}"
    read = """
import json
from mlflow import MlflowClient
client = MlflowClient()
experiment = client.get_experiment_by_name("albert-fast")
(found,) = client.search_runs([experiment.experiment_id])
def history(tag):
    return [(one.step, one.value, one.timestamp) for one in client.get_metric_history(found.info.run_id, tag)]

print("FOUND" + json.dumps([history("train/loss"), history("eval/masked_lm_loss"), found.data.params,
    found.info.run_name, found.info.status, found.data.tags["stopped"]]))
"""
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    losses, evaluations, params, *rest = json.loads(done.stdout.partition("FOUND")[2])
    expected = [[step, step / 8, 1000 * (10**9 + step)] for step in (2, 4, 6, 8)]
    assert losses == expected
    assert evaluations == [[4, 2.5, 1000 * (10**9 + 4)]]
    assert params["tokens"] == "größe"
    assert params["run.data.instances"] == "809"
    assert rest == ["läuft", "KILLED", "SIGTERM"]


@pytest.mark.filterwarnings("ignore")  # of MLflow, which the other tests only use in processes of their own
def test_mlflow_with_a_run_that_has_parameters(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow refuses to change one."""
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/store.db"
    client = mlflow.MlflowClient(uri)
    mine = client.create_run(client.create_experiment("mine")).info.run_id
    client.log_param(mine, "batch_size", "64")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_RUN_ID", mine)
    assert real(run, "mlflow", 0, 6, "finished") == [f"mlflow: a new run, {uri}"]
    found = client.get_run(mine)
    assert found.data.params == {"batch_size": "64", "tokens": "größe", "run.data.instances": "809"}
    assert found.data.metrics["train/loss"] == 0.75


def test_trackio_on_this_machine(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    assert real(run, "trackio", 0, 6, "killed") == []
    (said,) = real(run, "trackio", 4, 8, "stopped")
    assert said == "trackio: continuing the run, see it with `trackio show --project albert-fast`"
    read = """
import json, trackio
from trackio.sqlite_storage import SQLiteStorage
(found,) = trackio.Api().runs("albert-fast")
logs = SQLiteStorage.get_logs("albert-fast", found.name, run_id=found.id)
print("FOUND" + json.dumps([found.name, found.id, found.config, logs], default=str))
"""
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    name, identifier, config, history = json.loads(done.stdout.partition("FOUND")[2])
    assert name == "läuft"
    assert json.loads((run / "trackers.json").read_text())["trackio"]["run"] == f"{identifier}/läuft"
    assert config["tokens"] == "größe"
    losses = [(row["step"], row["train/loss"]) for row in history if row.get("train/loss") is not None]
    assert losses == [(2, 0.25), (4, 0.5), (6, 0.75), (8, 1.0)]
    evaluations = [(r["step"], r["eval/masked_lm_loss"]) for r in history if r.get("eval/masked_lm_loss") is not None]
    assert evaluations == [(4, 2.5)]
