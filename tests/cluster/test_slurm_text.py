"""`albert-fast slurm` with prepare-text and train-tokenizer, whose tasks run in rounds, and with tokenize.

What runs jobs needs Slurm.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from slurm_scripts import executable

from .test_slurm_command import Jobs
from .test_tokenize_tasks import SMALL
from .test_tokenizer_tasks import SMALL as SMALL_FOR_TRAINING
from .text_tasks import FILES, prepare, tokenize, train, without_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command
    from remote_sites import LocalSite
    from slurm import Slurm

COMPLETED = {"0": "COMPLETED", "1": "COMPLETED", "finish": "COMPLETED"}


def test_prepare_text_in_three_rounds(clients: Slurm, local: LocalSite, tmp_path: Path, command: Command) -> None:
    """The logs are not in the corpus, which would be refused."""
    jobs = Jobs(clients, prepare(local, tmp_path), command)
    jobs.tasks.run(jobs.tasks.arguments("--num-threads", 1, out="whole"))
    jobs.submit(2, "--num-threads", 1)
    assert len(jobs.arrays) == 3
    assert jobs.states() == COMPLETED
    for number, array in enumerate(jobs.arrays, 1):
        assert {*clients.states(array).values()} == {"COMPLETED"}
        # A task starts the next round if all others have done theirs.
        found = re.search(r"task 0 of 2, round (\d) of 3: ", jobs.log(f"{array}_0"))
        assert found
        assert int(found[1]) >= number
    assert jobs.tasks.files() == jobs.tasks.files("whole")
    assert len([name for name in jobs.tasks.files() if name.startswith("corpus-")]) == FILES
    assert "this corpus is already complete" in jobs.log(f"finish-{jobs.finish}")


def test_tokenize(
    clients: Slurm,
    local: LocalSite,
    tmp_path: Path,
    text: bytes,
    model: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tasks have small portions, of which the text has several. The logs are beside the store."""
    jobs = Jobs(clients, tokenize(local, tmp_path, text, model), command)
    (tmp_path / "small.py").write_text(SMALL)
    executable(tmp_path / "bin" / "python", f'shift 2\nexec {sys.executable} {tmp_path}/small.py "$@"')
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    jobs.tasks.run(jobs.tasks.arguments("--num-threads", 1, out="whole"))
    jobs.submit(2, "--num-threads", 1)
    assert jobs.states() == COMPLETED
    assert jobs.files() == jobs.tasks.files("whole")
    assert len([name for name in jobs.files() if name.endswith(".tokens")]) > 3
    assert "task 1 of 2: portion" in jobs.log(f"{jobs.array}_1")
    assert "this store is already complete" in jobs.log(f"finish-{jobs.finish}")


@pytest.mark.parametrize(
    ("more", "cpus", "memory"),
    [((), 4, "3072M"), (("--num-threads", 8), 8, "4096M"), (("--cpus-per-task", 2, "--mem", "9G"), 2, "9G")],
)
def test_what_completes_a_tokenizer_may_train_it(
    more: tuple[object, ...], cpus: int, memory: str, local: LocalSite, tmp_path: Path, text: bytes, command: Command
) -> None:
    """So it has the cores and the memory of a task."""
    words = train(local, tmp_path, text).arguments("--num-tasks", 2, *more, "--dry-run")
    done = command("slurm", *words)
    assert done.code == 0, done.err
    scripts = re.findall(r"<<'END'\n(.*?)\nEND\n", done.out, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        assert f"#SBATCH --cpus-per-task={cpus}\n" in script
        assert f"#SBATCH --mem={memory}\n" in script


def test_what_completes_a_store_has_one_core(
    local: LocalSite, tmp_path: Path, text: bytes, model: Path, command: Command
) -> None:
    done = command("slurm", *tokenize(local, tmp_path, text, model).arguments("--num-tasks", 2, "--dry-run"))
    assert done.code == 0, done.err
    assert re.findall("--cpus-per-task=(.*)", done.out) == ["4", "1"]


def test_train_tokenizer_in_two_rounds(
    clients: Slurm, local: LocalSite, tmp_path: Path, text: bytes, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(clients, train(local, tmp_path, text), command)
    (tmp_path / "small.py").write_text(SMALL_FOR_TRAINING)
    executable(tmp_path / "bin" / "python", f'shift 2\nexec {sys.executable} {tmp_path}/small.py "$@"')
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    jobs.tasks.run(jobs.tasks.arguments("--num-threads", 1, out="whole"))
    jobs.submit(2, "--num-threads", 1, "--mem", "1G")
    assert len(jobs.arrays) == 2
    assert jobs.states() == COMPLETED
    assert without_manifest(jobs.files()) == jobs.tasks.files("whole")
    assert re.search(r"task 0 of 2, round \d of 2: portions ", jobs.log(f"{jobs.arrays[0]}_0"))
    assert "this tokenizer is already complete, with 400 pieces" in jobs.log(f"finish-{jobs.finish}")
