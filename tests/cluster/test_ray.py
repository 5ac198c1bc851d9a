"""Tasks on a Ray cluster on this machine: a head without CPUs, and three nodes of one CPU.

ALBERT_FAST_FAULTS=all adds those that take long.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import object_store
import pytest
import ray_cluster
import trainer_runs
from ray_cluster import RayCluster
from remote_sites import BucketSite

from albert_fast import Tokenizer
from albert_fast import tokenize as tokenize_text

from .conftest import DEADLINE, OPTIONS, Tasks
from .text_tasks import prepare, tokenize, train, without_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from object_store import ObjectServer
    from remote_sites import LocalSite
    from trainer_runs import Material

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ray_cluster.is_installed(), reason="needs Ray: pip install albert-fast[ray]"),
]
ALL = os.environ.get("ALBERT_FAST_FAULTS") == "all"
needs_time = pytest.mark.skipif(not ALL, reason="takes long; ALBERT_FAST_FAULTS=all")
LONG = OPTIONS.replace("--dupe-factor 3", "--dupe-factor 60")
NODES = 3
on_both = pytest.mark.parametrize("tasks", ["local", pytest.param("s3", marks=needs_time)], indirect=True)
HELPERS = ray_cluster.ROOT / "tests" / "helpers"


@pytest.fixture(scope="session")
def ray_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A cluster whose workers may use the S3 server and have the helpers of tests."""
    environment = {
        "PYTHONPATH": f"{ray_cluster.ROOT}:{HELPERS}",
        "ALBERT_FAST_CACHE": str(tmp_path_factory.mktemp("cache")),
    }
    if object_store.program() is not None:
        environment |= request.getfixturevalue("object_server").environment()
    with RayCluster(environment) as server:
        yield server


class Nodes:
    """The nodes of the cluster, of which a test may remove some."""

    def __init__(self, server: RayCluster) -> None:
        self.server = server
        self.ids: list[str] = []

    def fill(self) -> None:
        while len(self.ids) < NODES:
            self.ids.append(self.server.add())

    def lose(self) -> None:
        self.server.remove(self.ids.pop(0))


@pytest.fixture(scope="session")
def all_nodes(ray_server: RayCluster) -> Nodes:
    return Nodes(ray_server)


@pytest.fixture
def cluster(all_nodes: Nodes) -> Nodes:
    all_nodes.fill()
    return all_nodes


class Driver:
    """Runs `albert-fast ray` in a process of its own."""

    def __init__(self, tasks: Tasks, cluster: Nodes) -> None:
        self.tasks, self.cluster = tasks, cluster

    def words(self, count: int | None, *more: object, options: str = OPTIONS) -> list[str]:
        number = () if count is None else ("--num-tasks", count)
        address = ("--address", self.cluster.server.address)
        return ["ray", *self.tasks.arguments(*number, *more, *address, options=options)]

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        return self.tasks.start(words)

    def run(self, *given: Any, **settings: Any) -> str:
        return self.tasks.run(self.words(*given, **settings))

    def shards(self) -> int:
        """The number of shards that exist."""
        site = self.tasks.site
        if isinstance(site, BucketSite):
            names = list(site.store.list(site.bucket, "out/"))
        else:
            names = [path.name for path in Path(site.path("out")).glob("*") if not path.name.startswith(".")]
        return sum(name.endswith(".tfrecord") for name in names)

    def wait_for(self, process: subprocess.Popen[str], is_time: Callable[[], bool]) -> None:
        """Waits until something happens while the driver runs."""
        deadline = time.monotonic() + DEADLINE
        while not is_time():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def driver(tasks: Tasks, cluster: Nodes) -> Driver:
    return Driver(tasks, cluster)


@pytest.fixture
def local_driver(tokens: Path, tmp_path: Path, local: LocalSite, cluster: Nodes) -> Driver:
    return Driver(Tasks(local, tokens, tmp_path), cluster)


def workers() -> list[int]:
    """The processes that run a task, whose title is its name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::make-records"):
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize(
    ("tasks", "count"),
    [
        pytest.param(site, count, marks=() if (site, count) in {("s3", 7), ("local", 50)} else needs_time)
        for site in ("local", "s3")
        for count in (1, 3, 7, 50)
    ],
    indirect=["tasks"],
)
def test_the_bytes_are_those_of_one_machine(driver: Driver, wanted: dict[str, bytes], count: int) -> None:
    said = driver.run(count)
    assert "12 shards" in said
    assert driver.tasks.files() == wanted
    assert "these records are already complete" in driver.run(count)
    assert driver.tasks.files() == wanted


def test_the_number_of_tasks_follows_from_the_size(local_driver: Driver) -> None:
    tasks = local_driver.tasks
    tasks.run(tasks.arguments(out="whole"))
    local_driver.run(None)
    assert tasks.files() == tasks.files("whole")


def test_a_mixture_of_stores(local_driver: Driver, text: bytes, model: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_bytes(text[: text.index(b"\n\n", len(text) // 2) + 2])
    tokenize_text(tmp_path / "other.txt", tmp_path / "other", Tokenizer.from_file(model))
    tasks = local_driver.tasks

    def mixed(words: list[str]) -> list[str]:
        at = words.index(str(tasks.tokens))
        return [*words[:at], f"{tasks.tokens}=3", f"{tmp_path / 'other'}=1", *words[at + 1 :]]

    tasks.run(mixed(tasks.arguments(out="whole")))
    tasks.run(mixed(local_driver.words(5)))
    assert tasks.files() == tasks.files("whole")
    assert len(json.loads(tasks.files()["dataset.json"])["drawn"]) == 2


@pytest.mark.parametrize("name", ["prepare-text", "train-tokenizer", "tokenize"])
def test_commands_that_read_text(
    name: str, cluster: Nodes, local: LocalSite, tmp_path: Path, text: bytes, model: Path
) -> None:
    if name == "train-tokenizer":
        tasks = train(local, tmp_path, text)
    else:
        tasks = prepare(local, tmp_path) if name == "prepare-text" else tokenize(local, tmp_path, text, model)
    tasks.run(tasks.arguments(out="whole"))
    driver = Driver(tasks, cluster)
    driver.run(3, options="")
    assert without_manifest(tasks.files()) == tasks.files("whole")
    assert "is already complete" in driver.run(2, options="")
    assert without_manifest(tasks.files()) == tasks.files("whole")
    assert not [*tmp_path.rglob(".albert-fast-ray*")]


@pytest.fixture
def long(driver: Driver) -> dict[str, bytes]:
    """The files of a single command that takes long enough for things to happen meanwhile."""
    driver.tasks.run(driver.tasks.arguments(out="long", options=LONG))
    return driver.tasks.files("long")


@on_both
def test_two_nodes_are_lost(driver: Driver, long: dict[str, bytes]) -> None:
    process = driver.start(driver.words(12, options=LONG))
    for count in (1, 3):
        driver.wait_for(process, lambda count=count: driver.shards() >= count)  # type: ignore[misc]
        driver.cluster.lose()
    code, said = driver.tasks.end(process)
    assert code == 0, said
    assert driver.tasks.files() == long


@on_both
def test_workers_are_killed(driver: Driver, long: dict[str, bytes]) -> None:
    process = driver.start(driver.words(12, options=LONG))
    for count in (1, 4):
        driver.wait_for(process, lambda count=count: driver.shards() >= count and bool(workers()))  # type: ignore[misc]
        for worker in workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    code, said = driver.tasks.end(process)
    assert code == 0, said
    assert driver.tasks.files() == long


@pytest.mark.parametrize("tasks", ["s3"], indirect=True)
def test_the_storage_restarts(driver: Driver, long: dict[str, bytes], store: ObjectServer) -> None:
    process = driver.start(driver.words(12, options=LONG))
    driver.wait_for(process, lambda: driver.shards() >= 2)
    store.restart()
    code, said = driver.tasks.end(process)
    assert code == 0, said
    assert driver.tasks.files() == long


@on_both
def test_the_driver_is_killed_and_started_again(driver: Driver, long: dict[str, bytes]) -> None:
    process = driver.start(driver.words(12, options=LONG))
    assert driver.tasks.kill_when(process, lambda: driver.shards() >= 3)
    # Ray ends the tasks of a driver that is gone.
    deadline = time.monotonic() + DEADLINE
    while workers():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = driver.shards()
    assert 3 <= before < 12
    said = driver.run(12, options=LONG)
    assert "12 shards" in said
    assert driver.tasks.files() == long


@on_both
def test_ctrl_c(driver: Driver, long: dict[str, bytes]) -> None:
    process = driver.start(driver.words(12, options=LONG))
    driver.wait_for(process, lambda: driver.shards() >= 2)
    process.send_signal(signal.SIGINT)
    code, said = driver.tasks.end(process)
    assert code == 130, said
    assert "stopped; what is finished is kept: run the same command again to resume" in said
    assert workers() == []
    assert 2 <= driver.shards() < 12
    assert not [name for name in driver.tasks.files() if name.startswith(".albert-fast-ray")]
    driver.run(12, options=LONG)
    assert driver.tasks.files() == long


def test_a_task_that_always_fails(local_driver: Driver) -> None:
    tasks = local_driver.tasks
    tasks.run(tasks.arguments(out="whole"))
    tasks.run(tasks.task(0, 6))
    in_the_way = Path(tasks.site.path("out"), "records-00005-of-00012.tfrecord")
    in_the_way.mkdir(parents=True)
    (in_the_way / "file").touch()
    code, said = tasks.end(local_driver.start(local_driver.words(6)))
    assert code == 1
    last = said.splitlines()[-1]
    assert last == (
        "albert-fast: error: task 2 of 6 failed; all others are done: run the same command again to run only what is "
        "missing"
    )
    assert "albert-fast: task 2 of 6 failed: " in said
    # Task 2 has made shard 4 before it failed.
    assert local_driver.shards() == 12
    (in_the_way / "file").unlink()
    in_the_way.rmdir()
    local_driver.run(6)
    assert tasks.files() == tasks.files("whole")


def test_refusals(local_driver: Driver) -> None:
    tasks = local_driver.tasks
    for words, error in [
        (
            ["--num-threads", 2],
            "a task needs 2 CPUs (--num-threads 2), and the largest node has 1; pass --num-threads 1",
        ),
        (
            ["--task-memory", 5],
            "a task needs 5.4 GB of memory, and the largest node with 1 CPU has 4.3 GB; pass a lower",
        ),
    ]:
        code, said = tasks.end(local_driver.start(local_driver.words(3, *words)))
        assert (code, said.splitlines()[-1].removeprefix("albert-fast: error: ")[: len(error)]) == (1, error)
        assert not Path(tasks.site.path("out")).exists()


@needs_time
def test_other_options_than_before(local_driver: Driver) -> None:
    local_driver.run(2)
    before = local_driver.tasks.files()
    code, said = local_driver.tasks.end(local_driver.start(local_driver.words(2, "--random-seed", 3)))
    assert code == 1
    assert "made with --random-seed 12345, not 3" in said.splitlines()[-1]
    assert local_driver.tasks.files() == before


def entries(cluster: Nodes, function: str, count: int, place: Path, memory: int = 100) -> dict[str, Any]:
    """What a driver of `ray_entries` says."""
    place.mkdir(exist_ok=True)
    words = [cluster.server.address, function, count, place, memory]
    done = subprocess.run(
        [sys.executable, HELPERS / "ray_entries.py", *map(str, words)],
        env={**os.environ, "PYTHONPATH": f"{ray_cluster.ROOT}:{HELPERS}"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def notes(place: Path, task: int) -> list[int]:
    """What the runs of a task have left."""
    return [int(path.read_text()) for path in sorted(place.glob(f"{task}-*"))]


def test_tasks_get_twice_the_memory_after_they_were_killed_for_it(cluster: Nodes, tmp_path: Path) -> None:
    found = entries(cluster, "fills_memory", 4, tmp_path / "notes")
    assert [memory >> 20 for memory in notes(tmp_path / "notes", 1)] == [100, 200]
    assert [memory >> 20 for memory in notes(tmp_path / "notes", 2)] == [100, 200, 400]
    assert (found["done"], found["again"]) == (3, 3)
    assert found["failed"] == {"2": "its worker was killed, because the memory of the node was full: it had 419.4 MB"}


@needs_time
def test_a_worker_that_dies_and_an_exception_that_is_not_ours(cluster: Nodes, tmp_path: Path) -> None:
    found = entries(cluster, "dies_once", 4, tmp_path / "notes")
    assert (found["done"], found["again"], found["failed"]) == (4, 2, {})
    assert len(set(notes(tmp_path / "notes", 1))) == 3
    found = entries(cluster, "fails", 4, tmp_path / "notes")
    assert (found["done"], found["again"], found["failed"]) == (3, 2, {"2": "ValueError: a fault of the test"})


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('__version__ = "0.0.1"', "has albert-fast 0.0.1, and the driver has "),
        pytest.param('raise ImportError("no")', "albert-fast cannot be imported on the node ", marks=needs_time),
    ],
)
def test_a_node_with_something_else(tokens: Path, tmp_path: Path, content: str, error: str) -> None:
    other = tmp_path / "other" / "albert_fast"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text(content + "\n")
    with RayCluster({"PYTHONPATH": str(other.parent)}) as server:
        server.add()
        words = ["ray", "make-records", tokens, "--output-dir", tmp_path / "out", "--address", server.address]
        # Ray gives the driver's working directory to its workers, as the first place for modules.
        done = subprocess.run(
            [sys.executable, "-m", "albert_fast", *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(ray_cluster.ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert done.returncode == 1
    assert error in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@needs_time
def test_ray_kills_a_task_for_its_memory(tmp_path: Path) -> None:
    """Ray's own monitor, which finds any memory too much here."""
    environment = {"PYTHONPATH": f"{ray_cluster.ROOT}:{HELPERS}", "RAY_memory_usage_threshold": "0.01"}
    with RayCluster(environment) as server:
        nodes = Nodes(server)
        nodes.fill()
        found = entries(nodes, "uses_memory", 1, tmp_path / "notes")
    assert (found["done"], found["again"]) == (0, 2)
    assert found["failed"] == {"0": "its worker was killed, because the memory of the node was full: it had 419.4 MB"}


@needs_time
def test_the_memory_of_the_driver(cluster: Nodes, tmp_path: Path) -> None:
    found = entries(cluster, "trivial", 10_000, tmp_path / "notes")
    assert found["done"] == 10_000
    assert found["mib"] < 500


@needs_time
@pytest.mark.tensorflow
class TestPretrain:
    """Two workers on the CPU, which train a tiny model."""

    def words(self, cluster: Nodes, material: Material, run: Path, **settings: object) -> list[str]:
        settings = {"num_train_steps": 40, "save_checkpoints_steps": 4, **settings}
        workers = ["--num-workers", "2", "--gpus-per-worker", "0", "--address", cluster.server.address]
        return ["ray", *trainer_runs.arguments(material, run, **settings), *workers]

    def start(self, words: list[str], directory: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "albert_fast", *words],
            env={**os.environ, "PYTHONPATH": str(ray_cluster.ROOT)},
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self, run: Path) -> list[int]:
        """The processes that train."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"pretrain" in words and str(run).encode() in words and b"ray" not in words:
                    found.append(int(path.parent.name))
        return sorted(found)

    def test_one_is_killed(self, cluster: Nodes, material: Material, tmp_path: Path) -> None:
        run = tmp_path / "run"
        process = self.start(self.words(cluster, material, run), tmp_path)
        deadline = time.monotonic() + DEADLINE
        while not list(run.glob("checkpoints/step-*")):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        first = self.processes(run)
        assert len(first) == 2
        os.kill(first[1], signal.SIGKILL)
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, said
        assert " was stopped (exit code -9); starting all workers again from the newest checkpoint (2 more" in said
        assert "trained for 40 steps" in said
        starts = [line["start"] for line in trainer_runs.lines(run) if "start" in line]
        assert len(starts) == 2
        assert starts[0] == "new" != starts[1]
        assert self.processes(run) == []

    def test_an_error_and_ctrl_c(self, cluster: Nodes, material: Material, tmp_path: Path) -> None:
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / "file").touch()
        process = self.start(self.words(cluster, material, tmp_path / "taken"), tmp_path)
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 1, said
        assert said.splitlines()[-1].startswith("albert-fast: error: worker ")
        assert "taken" in said.splitlines()[-1]
        run = tmp_path / "run"
        process = self.start(self.words(cluster, material, run, num_train_steps=100_000), tmp_path)
        deadline = time.monotonic() + DEADLINE
        while not list(run.glob("checkpoints/step-*")):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 130, said
        assert "albert-fast: stopped; saved after step" in said
        assert self.processes(run) == []
