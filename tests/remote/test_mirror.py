"""Runs of `pretrain` with a copy in another place: they end with the same bits on another machine."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

pytest.importorskip("tensorflow")

from loopback import Fault, s3_error
from ports import free_ports
from trainer_runs import (
    Material,
    arguments,
    assert_same,
    checkpoint,
    contents,
    evaluations,
    finish,
    lines,
    start,
    steps,
    training,
    wait_for,
    weights,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from conftest import Command
    from fault_proxy import FaultProxy
    from object_store import ObjectServer

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


class Place(NamedTuple):
    """Where a mirror is."""

    path: str
    names: Callable[[], set[str]]
    """The names of all files."""
    files: Callable[[], dict[str, bytes]]
    """All files by their names, while nothing changes them."""
    put: Callable[[str, bytes | None], object]
    """Writes a file, or removes it."""


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A directory for a mirror."""
    if request.param == "s3":
        return bucket_place(request, "mirrors/run")
    directory = tmp_path / "mirror"

    def put(name: str, data: bytes | None) -> None:
        if data is None:
            (directory / name).unlink()
        else:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(data)

    def names() -> set[str]:
        return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}

    return Place(str(directory), names, lambda: contents(directory), put)


@pytest.fixture
def remote(request: pytest.FixtureRequest) -> Place:
    return bucket_place(request, "run")


def bucket_place(request: pytest.FixtureRequest, prefix: str) -> Place:
    store: ObjectServer = request.getfixturevalue("store")
    bucket: str = request.getfixturevalue("bucket")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in store.environment().items():
        patch.setenv(name, value)

    def put(name: str, data: bytes | None) -> None:
        if data is None:
            store.delete(bucket, f"{prefix}/{name}")
        else:
            store.put(bucket, f"{prefix}/{name}", data)

    def files() -> dict[str, bytes]:
        return {key.removeprefix(f"{prefix}/"): store.get(bucket, key) for key in store.list(bucket, f"{prefix}/")}

    def names() -> set[str]:
        return {key.removeprefix(f"{prefix}/") for key in store.list(bucket, f"{prefix}/")}

    return Place(f"s3://{bucket}/{prefix}", names, files, put)


def mirrored(place: Place) -> list[int]:
    """The steps of the checkpoints that are whole in a mirror."""
    return sorted(int(name.split("/")[1][5:]) for name in place.names() if name.endswith("/checkpoint.json"))


def assert_equal(place: Place, run: Path) -> None:
    """The mirror has everything that counts of the run, and nothing else."""
    skipped = {"compiled", ".lock"}
    wanted = {name: data for name, data in contents(run).items() if name.split("/")[0] not in skipped}
    found = place.files()
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []


def options(material: Material) -> dict[str, Any]:
    """A run long enough to be killed in, which drops out and keeps few checkpoints."""
    return {
        "model": material.dropout,
        "num_train_steps": 40,
        "save_checkpoints_steps": 5,
        "keep_checkpoint_max": 2,
        "micro_batch_size": 4,
        "eval_records": material.held_out,
    }


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    assert wait_for(process, reached, 0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_killed_run_ends_with_the_same_bits_on_another_machine(
    material: Material, tmp_path: Path, place: Place
) -> None:
    whole = tmp_path / "whole"
    finish(start(arguments(material, whole, **options(material))))
    given = {**options(material), "mirror_dir": place.path}
    for machine, step in enumerate((10, 20)):
        run = tmp_path / f"machine-{machine}"
        process = start(arguments(material, run, **given))
        # Some of the copy may be half done then.
        kill_when(process, lambda step=step: max(mirrored(place), default=0) >= step)  # type: ignore[misc]
        if machine == 0:
            shutil.rmtree(run)
    run = tmp_path / "machine-2"
    said = finish(start(arguments(material, run, **given)))
    assert "albert-fast: fetching step-000000" in said
    assert "albert-fast: resuming from " in said
    assert steps(run) == steps(whole)
    assert_same(weights(run), weights(whole))
    assert training(run) == training(whole)
    assert evaluations(run) == evaluations(whole)
    assert mirrored(place) == steps(run)
    assert_equal(place, run)
    # Once more where the run is older than its mirror, and where it is as new.
    older = tmp_path / "machine-1"
    before = steps(older)
    said = finish(start(arguments(material, older, **given)))
    assert max(before) < 40
    assert "fetching step-00000040" in said
    assert_same(weights(older), weights(whole))
    assert "fetching" not in finish(start(arguments(material, older, **given)))


def test_half_a_checkpoint_and_a_damaged_one_do_not_count(
    material: Material, tmp_path: Path, place: Place, command: Command
) -> None:
    given = {"keep_checkpoint_max": 3, "mirror_dir": place.path}
    assert command(*arguments(material, tmp_path / "one", **given)).code == 0
    assert mirrored(place) == [4, 8, 12]
    good = place.files()
    place.put("checkpoints/step-00000012/checkpoint.json", None)
    variables = next(name for name in good if name.startswith("checkpoints/step-00000008/variables.data"))
    place.put(variables, good[variables][:-1] + b"?")
    told = command(*arguments(material, tmp_path / "two", **given))
    assert told.code == 0, told.err
    assert "step-00000008 is damaged" in told.err
    assert "using step-00000004" in told.err
    assert_same(weights(tmp_path / "two"), weights(tmp_path / "one"))
    assert_equal(place, tmp_path / "two")
    for name in place.files():
        if name.endswith("/checkpoint.json"):
            place.put(name, b"{}")
    told = command(*arguments(material, tmp_path / "three", **given))
    assert told.code == 1
    assert f"every checkpoint in {place.path} is damaged" in told.err
    assert "--mirror-dir" in told.err
    assert not (tmp_path / "three").exists()


def test_another_run_is_refused(material: Material, tmp_path: Path, place: Place, command: Command) -> None:
    run = tmp_path / "run"
    assert command(*arguments(material, run, mirror_dir=place.path)).code == 0
    before = place.files()
    for machine in ("run", "new"):
        told = command(*arguments(material, tmp_path / machine, mirror_dir=place.path, batch_size=16))
        assert told.code == 1
        assert "started with --batch-size 8, not 16" in told.err
    assert not (tmp_path / "new").exists()
    # The same options, and other data.
    told = command(*arguments(material, tmp_path / "new", mirror_dir=place.path, records=material.held_out))
    assert told.code == 1
    assert place.files() == before
    # --overwrite replaces the mirror as well.
    told = command(*arguments(material, tmp_path / "new", mirror_dir=place.path, batch_size=16, overwrite=True))
    assert told.code == 0, told.err
    assert_equal(place, tmp_path / "new")


def test_a_directory_of_something_else_is_refused(
    material: Material, tmp_path: Path, place: Place, command: Command
) -> None:
    place.put("notes/important.txt", b"keep")
    told = command(*arguments(material, tmp_path / "run", mirror_dir=place.path))
    assert told.code == 1
    assert told.err.splitlines()[-1].endswith(
        f"{place.path} is not empty, and is not the mirror of a run; pass another --mirror-dir"
    )
    assert place.files() == {"notes/important.txt": b"keep"}
    assert not (tmp_path / "run").exists()


def test_paths_that_cannot_be(material: Material, tmp_path: Path, command: Command) -> None:
    run = tmp_path / "run"
    for mirror in (run, run / "mirror", tmp_path):
        told = command(*arguments(material, run, mirror_dir=mirror))
        assert (told.code, told.error) == (
            2,
            f"--mirror-dir and --output-dir must be separate directories, got {mirror} and {run}",
        )
    told = command(*arguments(material, Path("run"), output_dir="s3://bucket/run"))
    assert told.code == 2
    assert told.error.startswith("--output-dir must be a local directory, got s3://bucket/run; ")
    for name in ("init-checkpoint", "index-dir", "compile-cache", "cache-dir"):
        told = command(*arguments(material, run, records=material.records), f"--{name}", "s3://bucket/a")
        assert (told.code, told.error) == (2, f"--{name} must be a local path, got s3://bucket/a")
    web = "https://127.0.0.1:1/run"
    told = command(*arguments(material, run, mirror_dir=web))
    assert (told.code, told.error) == (2, f"--mirror-dir must be a local directory or one in a bucket, got {web}")
    assert not run.exists()


def test_a_failing_mirror_does_not_stop_training(
    material: Material, tmp_path: Path, remote: Place, proxy: FaultProxy
) -> None:
    run = tmp_path / "run"
    words = arguments(material, run, mirror_dir=remote.path)
    proxy.fault(s3_error(403, "AccessDenied"), method="PUT", path="/checkpoints/", times=None)
    said = finish(start(words, **proxy.environment()), code=1)
    assert steps(run) == [4, 8, 12]
    assert mirrored(remote) == []
    warnings = [line for line in said.splitlines() if line.startswith("albert-fast: warning: cannot copy the run to ")]
    assert warnings
    assert all("the next checkpoint is another attempt" in line for line in warnings)
    last = said.splitlines()[-1]
    assert last.startswith(f"albert-fast: error: the run is saved in {run}, but its copy in {remote.path} is not")
    assert "(AccessDenied)" in last
    assert json.loads((run / "run.json").read_text())["steps"]["finished"]
    # The same command again copies the rest.
    finish(start(words))
    assert_equal(remote, run)
    # A mirror that cannot be written at all is refused at once.
    proxy.fault(s3_error(403, "AccessDenied"), method="PUT", times=None)
    other = f"{remote.path}-2"
    said = finish(start(arguments(material, tmp_path / "two", mirror_dir=other), **proxy.environment()), code=1)
    assert "albert-fast: error: cannot write " in said
    assert steps(tmp_path / "two") == []


def test_a_signal_waits_for_the_copy(material: Material, tmp_path: Path, remote: Place, proxy: FaultProxy) -> None:
    run = tmp_path / "run"
    words = arguments(material, run, mirror_dir=remote.path, num_train_steps=100_000, save_checkpoints_steps=100_000)
    proxy.fault(Fault(delay=1), method="PUT", path="/checkpoints/", times=None)
    process = start(words, **proxy.environment())
    assert wait_for(process, lambda: len(lines(run)) > 2, 0.02)
    process.send_signal(signal.SIGTERM)
    finish(process, code=130)
    (step,) = steps(run)
    assert mirrored(remote) == [step]
    assert checkpoint(run, step).exists()


def test_the_chief_of_several_workers_fetches_for_all(material: Material, tmp_path: Path, remote: Place) -> None:
    given = {"num_train_steps": 8, "keep_checkpoint_max": 1, "micro_batch_size": 2}

    def train(run: Path, **changes: Any) -> list[str]:
        return [finish(process) for process in start_workers(arguments(material, run, **given, **changes))]

    train(tmp_path / "whole")
    processes = start_workers(arguments(material, tmp_path / "one", **given, mirror_dir=remote.path))
    assert wait_for(processes[0], lambda: mirrored(remote) != [], 0.02)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    said = train(tmp_path / "two", mirror_dir=remote.path)
    assert "albert-fast: fetching step-0000000" in said[0]
    assert "fetching" not in said[1]
    assert_same(weights(tmp_path / "two"), weights(tmp_path / "whole"))
    assert_equal(remote, tmp_path / "two")


def start_workers(words: list[str]) -> list[subprocess.Popen[str]]:
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    tasks = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(2)]
    return [start(words, TF_CONFIG=json.dumps(task)) for task in tasks]
