"""What `ray` decides and refuses before anything runs on a cluster. It needs no Ray."""

from __future__ import annotations

import pickle
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from albert_fast import AlbertFastError, Tokenizer, __version__, _native
from albert_fast.cli import ray as command_line
from albert_fast.cluster import commands
from albert_fast.cluster import ray as cluster
from albert_fast.cluster.driver import Status
from albert_fast.options import Finish, MakeRecords

from .conftest import Tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import Command
    from remote_sites import LocalSite

GIB = 1 << 30
AGAIN = "all others are done: run the same command again to run only what is missing"


def options(tokens: Path, out: Path | str = "out", **more: Any) -> MakeRecords:
    return MakeRecords(inputs=(str(tokens),), output_dir=out, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "passes", "threads", "count"),
    [
        (1000, 10, 1, 1),
        (GIB, 10, 1, 5),
        (GIB, 10, 4, 2),
        (GIB, 1, 1, 1),
        (2 * GIB + 1, 1, 1, 2),
        (GIB, 99_999, 1, 50_000),
    ],
)
def test_the_number_of_tasks(
    tokens: Path, monkeypatch: pytest.MonkeyPatch, size: int, passes: int, threads: int, count: int
) -> None:
    monkeypatch.setattr(commands, "size", lambda directory: size)
    assert commands.num_tasks(options(tokens, dupe_factor=passes), threads) == count


def test_the_size_of_a_store(tokens: Path) -> None:
    size = commands.size(tokens)
    assert size == sum(len(path.read_bytes()) for path in tokens.rglob("*") if path.is_file())
    assert commands.divided(options(tokens, dupe_factor=3)).work(options(tokens, dupe_factor=3)) == 3 * size


def test_only_some_commands_can_be_divided(corpus: Path, tokens: Path) -> None:
    other = Finish(directory=Path("out"))
    with pytest.raises(AlbertFastError, match=r"Finish cannot be divided into tasks; .* are prepare-text, train-tok"):
        commands.divided(other)
    with pytest.raises(AlbertFastError, match=r"the inputs must be token stores, got .*part-a.txt; tokenize first"):
        commands.num_tasks(options(corpus), 1)
    assert commands.command_of(options(tokens)) == "make-records"


def test_which_tasks_are_missing(tokens: Path, tmp_path: Path, local: LocalSite) -> None:
    tasks = Tasks(local, tokens, tmp_path)
    chosen = options(tokens, tasks.site.path("out"))

    def missing(chosen: MakeRecords, count: int) -> list[int]:
        left = commands.left(chosen, count)
        assert left.round == 1
        return [*left.tasks]

    assert missing(chosen, 5) == [0, 1, 2, 3, 4]
    for number in (1, 4):
        tasks.run(tasks.task(number, 6))
    assert missing(chosen, 6) == [0, 2, 3, 5]
    # Shards 2 and 3, and 8 and 9, of 12 are there.
    assert missing(chosen, 12) == [0, 1, 4, 5, 6, 7, 10, 11]
    assert missing(chosen, 2) == [0, 1]
    for number in (0, 2, 3, 5):
        tasks.run(tasks.task(number, 6))
    # One is left, which compares the options.
    assert missing(chosen, 6) == [0]


def test_a_task_gets_plain_values(tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.chdir(tokens.parent)
    chosen = options(Path("tokens"), "out", cache_dir=Path("cache"), num_tasks=3, task_id=0, max_seq_length=64)
    values = commands.with_absolute_paths(chosen)
    assert (values["inputs"], values["output_dir"]) == ([str(tokens)], str(tokens.parent / "out"))
    assert (values["cache_dir"], values["tokenizer"], values["max_seq_length"]) == (
        str(tokens.parent / "cache"),
        None,
        64,
    )
    remote = commands.with_absolute_paths(options(Path("tokens"), "s3://bucket/out"))
    assert remote["output_dir"] == "s3://bucket/out"
    assert pickle.loads(pickle.dumps(values)) == values
    monkeypatch.chdir(tmp_path)
    values |= {"output_dir": str(tmp_path / "out"), "max_predictions_per_seq": 10, "num_shards": 12}
    store = _native.store_tokenizer(tokens)
    assert isinstance(store, Tokenizer)
    counts = [commands.run_task("make-records", values, None, 0)]
    counts += [commands.run_task("make-records", values, store.__reduce__()[1], number) for number in (1, 2)]
    records = sum(count["records"] for count in counts)
    assert records == _native.finish(tmp_path / "out")["totals"]["instances"]
    assert sum(count["bytes"] for count in counts) == sum(
        p.stat().st_size for p in (tmp_path / "out").glob("*.tfrecord")
    )
    assert commands.run_task("make-records", values, None, 0)["already_complete"] == 1


NODES = [cluster.Node(0, 9 * GIB), cluster.Node(4, 8 * GIB), cluster.Node(8, 2 * GIB)]


@pytest.mark.parametrize(
    ("cpus", "memory", "error"),
    [
        (
            9,
            GIB,
            "a task needs 9 CPUs (num_threads=9), and the largest node has 8; pass num_threads=8, or pass a",
        ),
        (
            8,
            3 * GIB,
            "a task needs 3.2 GB of memory, and the largest node with 8 CPUs has 2.1 GB; pass a lower `tas",
        ),
        (1, 9 * GIB, "a task needs 9.7 GB of memory, and the largest node with 1 CPU has 8.6 GB; pass a lower"),
    ],
)
def test_tasks_that_no_node_can_run(cpus: int, memory: int, error: str) -> None:
    with pytest.raises(AlbertFastError) as caught:
        cluster.check_nodes(NODES, cpus, memory)
    assert str(caught.value).startswith(error)
    cluster.check_nodes(NODES, cpus, memory, autoscaling=True)


def test_tasks_that_a_node_can_run() -> None:
    cluster.check_nodes(NODES, 8, 2 * GIB)
    cluster.check_nodes(NODES, 4, 8 * GIB)
    with pytest.raises(AlbertFastError, match=r"needs 1 CPU .*, and none of the 1 node has any; pass autoscaling=True"):
        cluster.check_nodes(NODES[:1], 1, GIB)
    assert [node.holds(2, GIB) for node in NODES] == [0, 2, 2]


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", "http://head:8265"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(AlbertFastError, match=r"^address must be auto, local, or the HOST:PORT of the cluster's head"):
        cluster.check_answers(address)


def test_addresses() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(AlbertFastError, match=f"^no Ray cluster answers at {address} .*refused"):
            cluster.check_answers(address)
        server.listen()
        cluster.check_answers(address)


def test_without_ray(tokens: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = command("ray", "make-records", tokens, "--output-dir", "out")
    assert done.code == 1
    assert done.error.startswith("Ray cannot be imported (")
    assert done.error.endswith("; install albert-fast[ray]")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "COMMAND is required"),
        (
            ["export", "a"],
            "export cannot run on a cluster; the commands that can are prepare-text, train-",
        ),
        (["--dupe-factor", "3", "make-records"], "--dupe-factor: the command must come before its options"),
        (["make-records", "TOKENS", "--output-dir", "o", "--task-id", "3"], "--task-id is different for each task"),
        (
            ["make-records", "TOKENS", "--output-dir", "o", "--task-mem", "3"],
            "unknown option --task-mem; did you mean",
        ),
        (
            ["make-records", "TOKENS", "--output-dir", "o", "--task-memory", "0"],
            "--task-memory must be a number above",
        ),
        (
            ["make-records", "TOKENS", "--output-dir", "o", "--overwrite"],
            "with --num-tasks, --overwrite is not",
        ),
    ],
)
def test_command_lines_that_are_refused(words: list[str], error: str, tokens: Path, command: Command) -> None:
    done = command("ray", *[word.replace("TOKENS", str(tokens)) for word in words])
    assert done.code == 2
    assert done.error.startswith(error)


class Fake:
    """`albert_fast.cluster.ray.run` without Ray."""

    def __init__(self, **done: Any) -> None:
        self.given: dict[str, Any] = {}
        self.done = {
            "num_tasks": 7,
            "tasks": 7,
            "again": 0,
            "counts": {},
            "failed": {},
            "not_tried": 0,
            "found": {},
            **done,
        }

    def __call__(self, options: MakeRecords, **given: Any) -> cluster.Done:
        self.given = {"options": options, **given}
        options.output_dir.mkdir(exist_ok=True)
        return cluster.Done(**self.done)


def ran(fake: Fake, command: Command, monkeypatch: pytest.MonkeyPatch, *words: object) -> Any:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    monkeypatch.setattr(cluster, "run", fake)
    return command("ray", "make-records", *words, "--output-dir", "out", "--max-predictions-per-seq", 77)


def test_options_of_ray_may_be_anywhere(
    tokens: Path, model: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake(failed={})
    words = [
        "--address",
        "head:6379",
        "--dupe-factor",
        3,
        tokens,
        "--autoscaling",
        "--num-tasks",
        7,
        "--task-memory=1.5",
    ]
    assert ran(fake, command, monkeypatch, *words, "--max-retries", 2).code == 0
    chosen = fake.given.pop("options")
    assert (chosen.inputs, chosen.dupe_factor) == ((str(tokens),), 3)
    del fake.given["report"]
    assert fake.given == {
        "tokenizer": None,
        "address": "head:6379",
        "num_tasks": 7,
        "task_memory": 1.5,
        "max_retries": 2,
        "autoscaling": True,
    }
    assert Path("out/make-records.config.json").exists()
    assert ran(fake, command, monkeypatch, tokens, "--tokenizer", model).code == 0
    assert fake.given["num_tasks"] is None
    assert fake.given["tokenizer"].digest == Tokenizer.from_file(model).digest


def test_tasks_that_failed_are_named(tokens: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(tasks=5, failed={5: "the disk is full", 2: "its worker was lost"})
    done = ran(fake, command, monkeypatch, tokens)
    assert done.code == 1
    assert done.err.splitlines() == [
        "albert-fast: task 2 of 7 failed: its worker was lost",
        "albert-fast: task 5 of 7 failed: the disk is full",
        f"albert-fast: error: tasks 2, 5 of 7 failed; {AGAIN}",
    ]
    fake = Fake(num_tasks=1000, tasks=0, failed=dict.fromkeys(range(30), "no"), not_tried=970)
    done = ran(fake, command, monkeypatch, tokens)
    assert len(done.err.splitlines()) == 21
    assert done.err.splitlines()[-1] == (
        "albert-fast: error: tasks 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 and 10 more of "
        "1000 failed, none has ended well, and the other 970 tasks were not run"
    )


def test_progress() -> None:
    said: list[tuple[object, ...]] = []
    status = Status(1, 1, 3, 12, {"bytes": 5_000_000}, 2, 1, 0, 4000)
    command_line.show(lambda *words: said.append(words), "make-records", status)  # type: ignore[arg-type]
    more = "3 of 12 tasks, 5.0 MB written, 2 run again, 1 failed, waiting for a node"
    assert said == [("make-records", "bytes", 1000, 4000, more)]
    command_line.show(lambda *words: said.append(words), "tokenize", Status(2, 3, 0, 1, {}, 0, 0, 4, 4))  # type: ignore[arg-type]
    assert said[1] == ("tokenize, round 2 of 3", "bytes", 0, 4, "0 of 1 task")


def entry(what: str, task: int) -> Mapping[str, int]:
    """What `a_task` runs."""
    if what == "full":
        raise MemoryError
    if what:
        raise AlbertFastError("a fault", kind=what, option="num_shards")
    return {"task": task}


class TestTheFunctionOfAWorker:
    def a_task(self, what: str = "", version: str = __version__, sign: str | None = None) -> dict[str, Any]:
        return cluster._function()(f"{__name__}:entry", version, sign, (what,), 3)

    def test_it_returns_what_became_of_the_task(self) -> None:
        assert self.a_task() == {"end": "done", "counts": {"task": 3}}
        assert self.a_task("full") == {"end": "memory"}
        for kind in ("io", "data", "internal"):
            assert self.a_task(kind)["end"] == "failed"
        known = {"kind": "option", "option": "num_shards", "rule": None}
        assert self.a_task("option") == {"end": "refused", "message": "a fault", "error": known}
        for kind in ("exists", "input", "tokenizer"):
            assert self.a_task(kind)["end"] == "refused"

    def test_another_version(self) -> None:
        done = self.a_task(version="0.0.1")
        error = f"has albert-fast {__version__}, and the driver has 0.0.1; install 0.0.1"
        assert (done["end"], done["message"].endswith(error)) == ("refused", True)

    def test_a_directory_that_is_not_shared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [0.0]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
        sign = tmp_path / "out" / cluster.SIGN
        done = self.a_task(sign=str(sign))
        assert done["end"] == "refused"
        assert f"does not see the driver's directory {tmp_path / 'out'}; the output must be" in done["message"]
        assert now[0] >= 10
        with cluster.signed(tmp_path / "out") as found:
            assert found == str(sign)
            assert self.a_task(sign=found)["end"] == "done"
        assert not (tmp_path / "out").exists()


def test_a_sign_with_a_name_of_its_own(tmp_path: Path) -> None:
    """Two drivers may write to two outputs in the same directory."""
    with cluster.signed(tmp_path, ".one") as one, cluster.signed(tmp_path, ".two") as two:
        assert [Path(str(sign)).name for sign in (one, two)] == [".one", ".two"]
        assert [path.name for path in sorted(tmp_path.iterdir())] == [".one", ".two"]
    assert [*tmp_path.iterdir()] == []


def test_the_sign_in_a_directory_that_exists(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with cluster.signed(tmp_path) as sign:
        assert [path.name for path in sorted(tmp_path.iterdir())] == [cluster.SIGN, "file"]
    assert sign == str(tmp_path / cluster.SIGN)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(AlbertFastError, match=r"cannot write to .*file"), cluster.signed(tmp_path / "file"):
        pass
