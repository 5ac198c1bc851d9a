"""A token store, places for records that tasks write, and a Slurm that the first test that asks for it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import slurm as slurm_server
from remote_sites import BucketSite, LocalSite, Site

from albert_fast import Tokenizer, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slurm import Slurm

OPTIONS = "--max-seq-length 64 --max-predictions-per-seq 10 --dupe-factor 3 --num-shards 12"
DEADLINE = 300
"""Seconds after which a command counts as stuck, however busy the machine is."""


class Run(NamedTuple):
    """What a command in a process of its own said."""

    code: int
    said: str


class Tasks:
    """Commands that write the records of `tokens`, in processes of their own, as on several machines."""

    program: tuple[str, ...] = ("-m", "albert_fast")
    """What Python runs."""

    def __init__(self, site: Site, tokens: Path, directory: Path) -> None:
        self.site, self.tokens, self.directory = site, tokens, directory

    def arguments(self, *more: object, out: str = "out", options: str = OPTIONS) -> list[str]:
        given = ["make-records", self.tokens, "--output-dir", self.site.path(out), *options.split(), *more]
        return [str(one) for one in given]

    def task(self, number: int, count: int, *more: object, **settings: str) -> list[str]:
        return self.arguments("--num-tasks", count, "--task-id", number, *more, **settings)

    def start(self, arguments: list[str], machine: int = 0) -> subprocess.Popen[str]:
        environment = os.environ | {"ALBERT_FAST_CACHE": str(self.directory / f"cache-{machine}")}
        return subprocess.Popen(
            [sys.executable, *self.program, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> Run:
        said, _ = process.communicate(timeout=DEADLINE)
        assert "Traceback" not in said
        return Run(process.returncode, said)

    def run(self, arguments: list[str]) -> str:
        code, said = self.end(self.start(arguments))
        assert code == 0, said
        return said

    def kill_when(self, process: subprocess.Popen[str], is_time: Callable[[], bool]) -> bool:
        """Ends a process with SIGKILL at a certain time. Returns whether it was not too late."""
        deadline = time.monotonic() + DEADLINE
        while process.poll() is None and not is_time():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return process.returncode == -signal.SIGKILL

    def has(self, name: str) -> bool:
        """Whether a file of the records exists."""
        if isinstance(self.site, BucketSite):
            return f"out/{name}" in self.site.store.list(self.site.bucket, "out/")
        return Path(self.site.path("out"), name).exists()

    def uploads(self) -> tuple[object, ...]:
        """What killed commands have left in a bucket."""
        return self.site.store.uploads(self.site.bucket) if isinstance(self.site, BucketSite) else ()

    def files(self, out: str = "out") -> dict[str, bytes]:
        """The files of the records. In the options, the directory has always the same name."""
        return {name: body.replace(self.site.path(out).encode(), b"OUT") for name, body in self.site.files(out).items()}


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory, text: bytes, model: Path) -> Path:
    """A token store."""
    directory = tmp_path_factory.mktemp("tokens")
    (directory / "text.txt").write_bytes(text)
    tokenize(directory / "text.txt", directory / "tokens", Tokenizer.from_file(model))
    return directory / "tokens"


@pytest.fixture(params=["local", "s3"])
def tasks(request: pytest.FixtureRequest, tokens: Path, tmp_path: Path) -> Tasks:
    site: LocalSite | BucketSite = request.getfixturevalue({"local": "local", "s3": "remote"}[request.param])
    return Tasks(site, tokens, tmp_path)


@pytest.fixture
def wanted(tasks: Tasks) -> dict[str, bytes]:
    """The files of a single command."""
    tasks.run(tasks.arguments(out="whole"))
    return tasks.files("whole")


@pytest.fixture(scope="session")
def needs_slurm() -> None:
    """Skips where the programs of Slurm are not installed."""
    if names := slurm_server.missing():
        pytest.skip(f"needs slurm-wlm and munge: no {', '.join(names)}")


@pytest.fixture(scope="session")
def slurm(needs_slurm: None) -> Iterator[Slurm]:
    with slurm_server.Slurm() as server:
        yield server


@pytest.fixture
def clients(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """A Slurm that the clients of this process find."""
    # The tests may themselves run in a job of another cluster.
    for name in [name for name in os.environ if name.startswith(("SBATCH_", "SLURM_"))]:
        monkeypatch.delenv(name)
    for name, value in slurm.environment().items():
        monkeypatch.setenv(name, value)
    return slurm
