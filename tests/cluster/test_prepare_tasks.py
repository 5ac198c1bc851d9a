"""Tasks of prepare-text: the bytes of one command, whatever happens to the tasks."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from remote_sites import BucketSite, LocalSite, Site

import albert_fast
from albert_fast import AlbertFastError, _native, prepare_text

from .conftest import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Command

ROWS = Path(__file__).parents[1] / "golden" / "raw" / "rows.parquet"
OPTIONS = "--shard-size 0.05 --eval-fraction 0.1 --language en"


def documents(seed: int, count: int) -> list[str]:
    """Documents of which many repeat others, also those of other seeds."""
    draw = random.Random(seed)
    numbers = [draw.randrange(400) for _ in range(count)]
    return [
        " ".join(f"Sentence {place} of document {number} follows." for place in range(1 + number % 17))
        for number in numbers
    ]


class Tasks:
    """Commands that prepare `inputs`, in processes of their own, as on several machines."""

    def __init__(self, site: Site, inputs: Path) -> None:
        self.site, self.inputs = site, inputs

    def arguments(self, *more: object, out: str = "out", options: str = OPTIONS) -> list[str]:
        given = ["prepare-text", self.inputs, "--output", self.site.path(out), *options.split(), *more]
        return [str(one) for one in given]

    def task(self, number: int, count: int, *more: object, **settings: str) -> list[str]:
        return self.arguments("--num-tasks", count, "--task-id", number, *more, **settings)

    def start(self, arguments: list[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "albert_fast", *arguments]
        return subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self, process: subprocess.Popen[str]) -> str:
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, said
        return said

    def names(self) -> set[str]:
        """The files of the output, hidden ones too."""
        if isinstance(self.site, BucketSite):
            return {name.removeprefix("out/") for name in self.site.store.list(self.site.bucket, "out/")}
        top = Path(self.site.path("out"))
        return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}

    def files(self, out: str = "out") -> dict[str, bytes]:
        """The files of the corpus and of its held-out set. Paths in them always have the same name."""
        found = self.site.files(out) | {f"eval/{name}": it for name, it in self.site.files(f"eval-{out}").items()}
        places = [self.site.path(f"eval-{out}"), self.site.path(out)]
        for place in places:
            found = {name: body.replace(place.encode(), b"OUT") for name, body in found.items()}
        return dict(found)

    def uploads(self) -> tuple[object, ...]:
        """What killed commands have left in a bucket."""
        return tuple(self.site.store.uploads(self.site.bucket)) if isinstance(self.site, BucketSite) else ()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON Lines and Parquet. The first file is divided."""
    directory = tmp_path_factory.mktemp("inputs")
    for number in range(8):
        lines = [json.dumps({"text": text}) + "\n" for text in documents(number, 150 if number else 600)]
        (directory / f"{number}.jsonl").write_text("".join(lines))
        if number % 3 == 2:
            shutil.copy(ROWS, directory / f"{number}.parquet")
    return directory


@pytest.fixture(params=["local", "s3"])
def tasks(request: pytest.FixtureRequest, inputs: Path) -> Tasks:
    site: LocalSite | BucketSite = request.getfixturevalue({"local": "local", "s3": "remote"}[request.param])
    return Tasks(site, inputs)


@pytest.fixture
def local_tasks(inputs: Path, local: LocalSite) -> Tasks:
    return Tasks(local, inputs)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_bytes_are_those_of_one_command(tasks: Tasks, count: int, command: Command) -> None:
    assert command(*tasks.arguments(out="whole")).code == 0
    wanted = tasks.files("whole")
    portions = len([name for name in wanted if name.startswith("corpus-")])
    assert portions > 4
    assert {name for name in wanted if "corpus-" not in name} == {
        "prepare-text.config.json",
        "prepare-text.manifest.json",
        "prepare-text.summary.json",
    }
    said: list[str] = []
    runs = 0
    while "prepare-text.manifest.json" not in tasks.names():
        for number in random.Random(runs).sample(range(count), count):
            done = command(*tasks.task(number, count))
            runs += 1
            assert done.code == 0, done.err
            said += [line for line in done.err.splitlines() if ": task " in line]
            if "prepare-text.manifest.json" in tasks.names():
                break
    assert runs <= 3 * count
    assert len(said) == runs
    assert re.search(r", round 3 of 3: portions? \d+ ", said[-1])
    assert said[-1].endswith(f"; {portions} of {portions} are there in all")
    hint = "; run all tasks again when every task has ended"
    assert all(line.endswith(hint) == ("round 3 of 3" not in line) for line in said)
    assert tasks.files() == wanted
    done = command("finish", tasks.site.path("out"))
    assert (done.code, "this corpus is already complete, with" in done.err) == (0, True)
    done = command(*tasks.arguments())
    assert (done.code, "this corpus is already complete (--overwrite starts over)" in done.err) == (0, True)
    assert tasks.files() == wanted


def test_the_documents_are_those_of_one_file(local_tasks: Tasks, tmp_path: Path) -> None:
    whole = tmp_path / "whole.txt"
    given: dict[str, Any] = {"language": "en", "eval_fraction": 0.1}
    wanted = prepare_text(local_tasks.inputs, whole, **given)
    assert wanted["formats"] == {"jsonl": 8, "parquet": 2}
    assert wanted["counts"]["duplicate_documents"] > 500
    result = prepare_text(local_tasks.inputs, local_tasks.site.path("out"), shard_size=0.05, **given)
    assert not result.pop("already_complete")
    for outputs, text in (("outputs", whole), ("eval_outputs", tmp_path / "eval-whole.txt")):
        paths = result.pop(outputs)
        assert len(paths) > 4
        assert b"".join(Path(path).read_bytes() for path in paths) == text.read_bytes()
        del wanted[outputs]
    # Parquet is not read as a whole, and what is read depends on what is read at a time.
    assert abs(result.pop("bytes_read") - wanted.pop("bytes_read")) < 1 << 20
    assert result == wanted


def test_near_duplicates_across_tasks(tasks: Tasks, tmp_path: Path, command: Command) -> None:
    flags = ["--dedup-near", "--dedup-near-keep", "longest", "--dedup-near-shingle", 2, "--dedup-near-rows", 20]
    options = "--eval-fraction 0.1 --language en"
    one = tmp_path / "one.txt"
    done = command("prepare-text", tasks.inputs, "--output", one, *options.split(), *flags)
    assert done.code == 0, done.err
    said: list[str] = []
    for number in [0, 1, 2] * 4:
        done = command(*tasks.task(number, 3, *flags))
        assert done.code == 0, done.err
        said += [line for line in done.err.splitlines() if ": task " in line]
    wanted = json.loads(Path(f"{one}.prepare-text.summary.json").read_text())
    files = tasks.files()
    found = json.loads(files["prepare-text.summary.json"])
    assert found["near_clusters"] == wanted["near_clusters"]
    assert found["near_clusters"]["clusters"] > 0
    assert found["counts"]["near_duplicate_documents"] > 20
    assert found["counts"] == wanted["counts"]
    text = b"".join(files[name] for name in sorted(files) if name.startswith("corpus-"))
    assert text == one.read_bytes()
    assert "round 2 of 4: hash partitions 0 to 84 of 256 are complete" in "\n".join(said)
    nothing = "there is nothing to do: another task makes the list of near-duplicates, which is not complete yet"
    assert f"task 1 of 3, round 3 of 4: {nothing}; run all tasks again when every task has ended" in "\n".join(said)
    assert ", round 4 of 4: portion" in said[-1]


def test_tasks_at_the_same_time(tasks: Tasks, command: Command) -> None:
    """Two of them do the same task."""
    assert command(*tasks.arguments(out="whole")).code == 0
    for _ in range(3):
        for process in [tasks.start(tasks.task(number, 3)) for number in (0, 1, 2, 1)]:
            tasks.end(process)
    assert tasks.files() == tasks.files("whole")


@pytest.mark.parametrize("round_", ["cleaned", "compared", "written"])
def test_a_killed_task_that_is_run_again(tasks: Tasks, round_: str, command: Command) -> None:
    assert command(*tasks.arguments(out="whole")).code == 0
    kills = 0

    def kill_when(process: subprocess.Popen[str], is_time: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + DEADLINE
        while process.poll() is None and not is_time():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return process.returncode == -signal.SIGKILL

    def is_time() -> bool:
        return any(name.startswith(f".prepare-text.partial/{round_}/") for name in tasks.names())

    kills += kill_when(tasks.start(tasks.task(0, 1)), is_time)
    if kills:
        assert "prepare-text.manifest.json" not in tasks.names()
    tasks.end(tasks.start(tasks.task(0, 1)))
    assert kills > 0
    assert tasks.files() == tasks.files("whole")
    assert tasks.uploads() == ()


def test_missing_portions(tasks: Tasks, command: Command) -> None:
    place = tasks.site.path("out")
    assert command(*tasks.task(1, 3)).code == 0
    done = command("finish", place, "--num-tasks", 3)
    assert done.code == 1
    assert done.error.startswith(f"{place}: round 1 of 3: portions 0-")
    assert "run tasks 0, 2 of 3 again (Slurm: --array=0,2), and then all tasks for each round" in done.error
    with pytest.raises(AlbertFastError, match=r"num_tasks=N names them") as caught:
        albert_fast.finish(place)
    assert (caught.value.kind, str(caught.value.path)) == ("data", place)
    # One command does what is left.
    assert command(*tasks.arguments()).code == 0
    assert command(*tasks.arguments(out="whole")).code == 0
    assert tasks.files() == tasks.files("whole")


def test_finishing_writes_the_summary_of_a_killed_task(tasks: Tasks, command: Command) -> None:
    assert command(*tasks.task(0, 1)).code == 0
    files = tasks.files()
    place = tasks.site.path("out")
    name = "prepare-text.summary.json"
    if isinstance(tasks.site, BucketSite):
        _native.remote_remove(f"{place}/{name}")
    else:
        Path(place, name).unlink()
    assert name not in tasks.files()
    assert command("finish", place).code == 0
    assert tasks.files() == files


def test_other_commands_read_the_corpus(local_tasks: Tasks, command: Command) -> None:
    """Neither the notes of tasks, nor the manifest, is text."""
    out = Path(local_tasks.site.path("out"))
    for number in (0, 1):
        assert command(*local_tasks.task(number, 2, options="--shard-size 0.05 --language en")).code == 0
    assert command(*local_tasks.task(0, 2, options="--shard-size 0.05 --language en")).code == 0
    assert (out / ".prepare-text.partial").is_dir()
    assert command(*local_tasks.arguments(options="--shard-size 0.05 --language en")).code == 0
    summary = json.loads((out / "prepare-text.summary.json").read_bytes())
    done = command("prepare-text", out, "--output", "again.txt", "--documents", "blank-line", "--no-sentences")
    assert done.code == 0, done.err
    again = json.loads(Path("again.txt.prepare-text.summary.json").read_bytes())
    assert (again["documents"], again["inputs"]) == (summary["documents"], len(summary["outputs"]))


def test_a_task_with_other_options_is_refused(tasks: Tasks, command: Command) -> None:
    assert command(*tasks.task(0, 3)).code == 0
    before = tasks.files()
    place = tasks.site.path("out")
    done = command(*tasks.task(1, 3, "--min-document-chars", 7))
    assert done.code == 1
    assert done.error.startswith(f"{place}: begun with --min-document-chars 0, not 7; pass 0 to resume, ")
    # A task cannot overwrite.
    assert done.error.endswith("or another --output, or remove the output, and run all tasks again")
    done = command(*tasks.task(1, 3, "--shard-size", 1))
    assert "begun with --shard-size 0.05, not 1" in done.error
    assert tasks.files() == before


def test_a_switch_that_an_error_asks_for(local_tasks: Tasks, command: Command, tmp_path: Path) -> None:
    """What is begun without --skip-bad says how to keep it, and how to start over."""
    lines = [json.dumps({"text": text}) for text in documents(1, 400)]
    local_tasks.inputs = tmp_path / "bad.jsonl"
    local_tasks.inputs.write_text("\n".join([*lines, '{"text": ']) + "\n")
    place = local_tasks.site.path("out")
    options = "--shard-size 0.05 --language en"
    flags = local_tasks.arguments(options=options)
    assert "or pass --skip-bad to skip" in command(*flags).error
    begun = f"{place}: begun with --no-skip-bad, not --skip-bad; pass --no-skip-bad to resume, "
    assert command(*flags, "--skip-bad").error == f"{begun}--overwrite to replace it, or another --output"
    of_task = command(*local_tasks.task(0, 2, "--skip-bad", options=options)).error
    assert of_task == f"{begun}or another --output, or remove the output, and run all tasks again"
    done = command(*flags, "--skip-bad", "--overwrite")
    assert (done.code, "skipped 1 entry that could not be read" in done.err) == (0, True)


def test_a_lost_file_of_a_round_is_made_again(local_tasks: Tasks, command: Command) -> None:
    flags = ["--dedup-near"]
    assert command(*local_tasks.arguments(*flags, out="whole")).code == 0
    for number in (0, 1, 0):
        assert command(*local_tasks.task(number, 2, *flags)).code == 0
    out = Path(local_tasks.site.path("out"))
    work = out / ".prepare-text.partial"
    (work / "compared/00007.pairs").unlink()
    (work / "cleaned/00001.keys").unlink()
    error = command("finish", out, "--num-tasks", 2).error
    assert ": round 1 of 4: portion 1 of " in error
    assert "is missing; run task 0 of 2 again" in error
    for number in [0, 1] * 3:
        assert command(*local_tasks.task(number, 2, *flags)).code == 0
    assert local_tasks.files() == local_tasks.files("whole")


def test_results_of_the_function(local_tasks: Tasks) -> None:
    given: dict[str, Any] = {"shard_size": 0.05, "language": "en", "dedup_documents": False}
    place = local_tasks.site.path("out")
    first = prepare_text(local_tasks.inputs, place, num_tasks=2, task_id=0, **given)
    assert set(first) == {"task", "already_complete"}
    task = first["task"]
    assert (task.range, task.complete, task.round, task.rounds) == (range(task.total // 2), task.total // 2, 1, 1)
    second = prepare_text(local_tasks.inputs, place, num_tasks=2, task_id=1, **given)
    assert (second["task"].complete, second["documents"]) == (task.total, second["documents_read"])
    finished = albert_fast.finish(place, num_tasks=2)
    assert isinstance(finished, dict)
    assert finished == {name: it for name, it in second.items() if name != "task"} | {"already_complete": True}


class TestRefusals:
    @pytest.mark.parametrize(
        ("flags", "error"),
        [
            ("--num-tasks 3", "--num-tasks 3 has no effect without --task-id; pass both, or neither"),
            ("--num-tasks 3 --task-id 3", "--task-id must be a whole number from 0 to 2"),
            ("--num-tasks 3 --task-id 0 --overwrite", "with --num-tasks, --overwrite is not possible"),
            ("--num-tasks 3 --task-id 0 --dry-run", "with --num-tasks, --dry-run is not possible"),
            ("--dedup-lines", "--dedup-lines compares each line with all lines before it"),
            ("--num-shards 3", "--shard-size and --num-shards contradict each other"),
            ("--shard-size 0", "--shard-size must be a number above 0, got 0"),
        ],
    )
    def test_options(self, local_tasks: Tasks, command: Command, flags: str, error: str) -> None:
        done = command(*local_tasks.arguments(*flags.split()))
        assert done.code == 2, done.err
        assert done.error.startswith(error)
        assert local_tasks.site.files() == {}

    def test_tasks_without_portions(self, local_tasks: Tasks, command: Command) -> None:
        done = command(*local_tasks.task(0, 2, options="--language en"))
        assert (done.code, done.error.startswith("--num-tasks needs --shard-size, which divides")) == (2, True)

    def test_standard_input(self, local_tasks: Tasks, command: Command) -> None:
        done = command("prepare-text", "-", "--output", local_tasks.site.path("out"), "--shard-size", 1)
        assert done.code == 2
        assert "with --shard-size, each input must be a file, because a stream has no size" in done.error

    def test_a_dry_run(self, local_tasks: Tasks, command: Command) -> None:
        done = command(*local_tasks.arguments("--dry-run"))
        assert (done.code, "nothing was written (--dry-run)" in done.err) == (0, True)
        assert local_tasks.site.files() == {}
