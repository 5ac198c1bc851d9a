"""`albert-fast slurm pretrain`: a run of several workers, which resumes when Slurm starts it again."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from slurm import DEADLINE, Slurm
from slurm_scripts import STOPS, Script
from trainer_runs import arguments, lines

from albert_fast.cluster.slurm_training import Training
from albert_fast.cluster.slurm_worker import expanded, tf_config
from albert_fast.options import Pretrain, options_of
from albert_fast.options.cluster import Slurm as SlurmOptions

if TYPE_CHECKING:
    from conftest import Command, Result
    from trainer_runs import Material


def test_dry_run(command: Command) -> None:
    words = ["--tokens", "my tokens", "--output-dir", "run", "--num-workers", 2, "--gpus-per-worker", 8]
    done = command("slurm", "pretrain", *words, "--dry-run", "--sbatch-option", "partition=gpu")
    assert (done.code, done.err) == (0, "")
    assert not Path("run").exists()
    (script,) = re.findall(r"<<'END'\n(.*?)\nEND\n", done.out, re.DOTALL)
    found = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    assert sorted(found) == sorted(
        [
            "job-name=albert-fast-pretrain",
            f"chdir={Path.cwd()}",
            f"output={Path.cwd()}/slurm-logs/pretrain-%j.log",
            "cpus-per-task=64",
            "mem=136G",
            "requeue",
            "open-mode=append",
            "nodes=2",
            "ntasks-per-node=1",
            "signal=USR1@300",
            "gres=gpu:8",
            "partition=gpu",
        ]
    )
    (line,) = [line for line in script.splitlines() if line.startswith("srun ")]
    program = [sys.executable, "-m", "albert_fast.cluster.slurm_worker", "pretrain"]
    assert shlex.split(line)[-8:] == [*program, "--tokens", "my tokens", "--output-dir", "run"]
    assert done.out.splitlines()[-1] == f"sbatch --parsable {Path.cwd()}/slurm-logs/pretrain.sh"


def test_one_worker_without_gpus(command: Command) -> None:
    done = command("slurm", "pretrain", "--tokens", "t", "--output-dir", "run", "--gpus-per-worker", 0, "--dry-run")
    assert "#SBATCH --nodes=1\n" in done.out
    assert "#SBATCH --cpus-per-task=4\n" in done.out
    assert "gpu:" not in done.out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("pretrain --num-train-stes 3", "unknown option --num-train-stes; did you mean --num-train-steps?"),
        ("pretrain --num-worker 3", "unknown option --num-worker; did you mean --num-workers?"),
        ("pretrain --batch-size 0", "--batch-size must be a whole number"),
        ("pretrain --overwrite", "with slurm, --overwrite is not possible, because a run that starts again"),
        ("pretrain --tasks 3", "--tasks has no effect with pretrain; remove it"),
        ("pretrain --max-running 3", "--max-running has no effect with pretrain; remove it"),
        ("pretrain --num-workers 0", "--num-workers must be a whole number from 1 to 10000, got 0"),
        ("make-records t --num-tasks 3 --num-workers 2", "--num-workers has no effect with make-records; remove it"),
    ],
)
def test_refusals(command: Command, words: str, error: str) -> None:
    done = command("slurm", *words.split(), "--output-dir", "run")
    assert done.code == 2
    assert done.error.startswith(error)
    assert not list(Path().iterdir())


def test_options_of_slurm_are_none_of_pretrains() -> None:
    assert options_of(SlurmOptions).keys() & options_of(Pretrain).keys() == {"config"}


def test_counts_of_tasks() -> None:
    assert expanded("2,1(x3),4") == [2, 1, 1, 1, 4]


def test_workers_find_each_other() -> None:
    said = {
        ("show", "hostnames", "gpu[1-2],b"): "gpu1\ngpu2\nb\n",
        ("--oneliner", "show", "node", "gpu[1-2],b"): (
            "NodeName=b Arch=x86_64 NodeAddr=10.0.0.9 NodeHostName=b\n"
            "NodeName=gpu1 Arch=x86_64 NodeAddr=10.0.0.1 NodeHostName=gpu1\n"
        ),
    }
    job = {
        "SLURM_JOB_ID": "123456",
        "SLURM_STEP_NODELIST": "gpu[1-2],b",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2),2",
        "SLURM_PROCID": "3",
    }
    config = tf_config(job, lambda *words: said[words])
    assert json.loads(str(config)) == {
        "cluster": {"worker": ["10.0.0.1:23456", "gpu2:23456", "10.0.0.9:23456", "10.0.0.9:23457"]},
        "task": {"type": "worker", "index": 3},
    }
    alone = job | {"SLURM_STEP_NODELIST": "b", "SLURM_STEP_TASKS_PER_NODE": "1", "SLURM_PROCID": "0"}
    assert tf_config(alone, lambda *_: "b\n") is None


@pytest.fixture
def training(tmp_path: Path) -> str:
    """The script of a run."""
    return (
        Training(
            name="pretrain",
            worker=("python", "-m", "some words"),
            num_workers=2,
            gpus=0,
            cpus=1,
            memory="1G",
            options=(),
            max_requeues=3,
            logs=tmp_path / "logs",
            directory=tmp_path,
        )
        .jobs()[0]
        .text
    )


@pytest.mark.parametrize(("code", "again"), [(0, False), (1, False), (130, True), (137, True), (75, True)])
def test_the_end_of_a_run(tmp_path: Path, training: str, code: int, again: bool) -> None:
    script = Script(tmp_path, training, "srun", f'printf "%s\\n" "$@" > words; exit {code}', restarts=2)
    assert script.end() == (code, ["requeue 9"] if again else [])
    words = (tmp_path / "words").read_text(encoding="utf-8").splitlines()
    assert words[2:] == ["--cpus-per-task=1", "python", "-m", "some words"]


def test_a_run_that_is_cancelled(tmp_path: Path, training: str) -> None:
    """Slurm sends TERM to the script and to srun."""
    script = Script(tmp_path, training, "srun", STOPS.replace("touch", "echo $$ > pid; touch"))
    script.signal(signal.SIGTERM)
    os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), signal.SIGTERM)
    assert script.end() == (130, [])


@pytest.mark.slow
@pytest.mark.tensorflow
def test_two_workers_that_are_warned_of_the_time_limit(
    clients: Slurm, material: Material, command: Command, tmp_path: Path
) -> None:
    """They end with a checkpoint, start again and resume. Here, both are on one machine."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    run = tmp_path / "run"
    words = arguments(material, run, num_train_steps=400, save_checkpoints_steps=50)
    where = ["--sbatch-option=nodes=1", "--sbatch-option=ntasks-per-node=2", "--gpus-per-worker=0", "--mem=3G"]
    done: Result = command("slurm", *words, "--num-workers", 2, *where, "--cpus-per-task", 1)
    assert done.code == 0, done.err
    job = done.out.strip()
    assert f"submitted job {job} (pretrain with 2 workers)" in done.err

    def log() -> str:
        return (tmp_path / "slurm-logs" / f"pretrain-{job}.log").read_text(encoding="utf-8")

    deadline = time.monotonic() + 10 * DEADLINE
    while not list((run / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline, log()
        assert clients.states(job)[job] in {"PENDING", "CONFIGURING", "RUNNING"}, log()
        time.sleep(0.1)
    clients.run("scancel", "--signal=USR1", job)
    assert clients.wait(job, seconds=10 * DEADLINE) == {job: "COMPLETED"}, log()
    assert clients.show(job)[job]["Restarts"] == "1"
    assert "albert-fast: the run was stopped (exit code 130), and will run again\n" in log()
    assert log().count("trained for 400 steps") == 2, log()
    assert [line["start"] for line in lines(run) if "start" in line] == ["new", "resumed"]
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["training"]["workers"] == 2
