"""Tasks of make-records: the bytes of one command, whatever happens to the tasks."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import albert_fast
from albert_fast import AlbertFastError, Tokenizer, _native, files
from albert_fast.cluster import commands
from albert_fast.options import MakeRecords
from albert_fast.records import Records

from .conftest import OPTIONS, Tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Command
    from remote_sites import LocalSite

LENGTHS: dict[str, Any] = {"max_seq_length": 64, "max_predictions_per_seq": 10, "dupe_factor": 3, "num_shards": 12}


def in_this_process(tasks: Tasks, number: int, count: int, out: str = "out") -> Records:
    tokenizer = _native.store_tokenizer(tasks.tokens)
    place = tasks.site.path(out)
    return albert_fast.make_records(tasks.tokens, place, tokenizer, num_tasks=count, task_id=number, **LENGTHS)


@pytest.mark.parametrize("count", [1, 3, 7, 50])
def test_the_bytes_are_those_of_one_command(
    tasks: Tasks, wanted: dict[str, bytes], count: int, command: Command
) -> None:
    order = random.Random(count).sample(range(count), count)
    shards = 0
    for number in order:
        done = command(*tasks.task(number, count))
        assert done.code == 0, done.err
        own = range(number * 12 // count, (number + 1) * 12 // count)
        shards += len(own)
        says = f"task {number} of {count}: "
        says += (
            f"shards {own[0]} to {own[-1]} of 12 are complete"
            if len(own) > 1
            else f"shard {own[0]} of 12 is complete"
            if own
            else "there is nothing to do, because there are more tasks than shards (12)"
        )
        lines = [line for line in done.err.splitlines() if ": task " in line]
        assert lines == [f"albert-fast: {says}; {shards} of 12 are there in all"]
        assert ("wrote" in done.err) == (shards == 12 and len(own) > 0)
    assert tasks.files() == wanted
    done = command("finish", tasks.site.path("out"))
    assert (done.code, "these records are already complete, with" in done.err) == (0, True)
    assert tasks.files() == wanted


def test_tasks_at_the_same_time(tasks: Tasks, wanted: dict[str, bytes]) -> None:
    """Each on a machine of its own, and two of them do the same task."""
    started = [tasks.start(tasks.task(number, 3), machine) for machine, number in enumerate([0, 1, 2, 1])]
    for process in started:
        code, said = tasks.end(process)
        assert code == 0, said
    assert tasks.files() == wanted


def test_another_number_of_tasks_half_way(tasks: Tasks, wanted: dict[str, bytes]) -> None:
    assert in_this_process(tasks, 1, 2).described == {}
    assert len([name for name in tasks.files() if name.endswith(".tfrecord")]) == 6
    made = [in_this_process(tasks, number, 5) for number in range(5)]
    # Tasks 2 to 4 of 5 have shards 4 to 11, of which 6 to 11 were there.
    assert [one.task.complete for one in made if one.task] == [8, 10, 12, 12, 12]
    assert [one.already_complete for one in made] == [False, False, False, True, True]
    assert made[0].task is not None
    assert (made[0].task.range, made[0].task.total) == (range(2), 12)
    assert len(made[0].shards) == 2
    assert made[2].described["totals"]["instances"] == made[2].instances > made[0].instances
    found = tasks.files()
    assert {name for name in wanted if name != "make-records.config.json" and found[name] != wanted[name]} == set()


@pytest.mark.parametrize("moment", ["the first shard is there", "a shard is half written"])
def test_a_killed_task_that_is_run_again(tasks: Tasks, wanted: dict[str, bytes], moment: str) -> None:
    long = OPTIONS.replace("--dupe-factor 3", "--dupe-factor 60")
    tasks.run(tasks.arguments(out="long", options=long))
    records = tasks.files("long")
    kills = 0
    for number in (0, 1):
        first = f"records-{number * 6:05}-of-00012.tfrecord"

        def is_time(first: str = first) -> bool:
            if moment == "a shard is half written" and (tasks.directory / "local" / "out").is_dir():
                halves = (tasks.directory / "local" / "out").glob(f".{first}.*.tmp")
                return any(half.exists() and half.stat().st_size > 0 for half in halves)
            return tasks.has(first)

        kills += tasks.kill_when(tasks.start(tasks.task(number, 2, options=long)), is_time)
        said = tasks.run(tasks.task(number, 2, options=long))
    assert kills > 0
    assert "12 of 12 are there in all" in said
    assert {name: len(body) for name, body in tasks.files().items()} == {
        name: len(body) for name, body in records.items()
    }
    assert tasks.files() == records
    assert tasks.uploads() == ()


def test_gzipped_shards(tasks: Tasks) -> None:
    tasks.run(tasks.arguments("--compression", "gzip", out="whole"))
    for number in (2, 0, 1):
        tasks.run(tasks.task(number, 3, "--compression", "gzip"))
    assert tasks.files() == tasks.files("whole")


def test_one_command_does_what_tasks_left(tasks: Tasks, wanted: dict[str, bytes], command: Command) -> None:
    assert command(*tasks.task(2, 3)).code == 0
    place = tasks.site.path("out")
    kept = {name for name in tasks.files() if name.endswith(".tfrecord")}
    done = command("finish", place, "--num-tasks", 3)
    assert done.code == 1
    assert done.error == f"{place}: shards 0-7 of 12 are missing; run tasks 0-1 of 3 again (Slurm: --array=0-1)"
    assert len(kept) == 4
    assert command(*tasks.arguments()).code == 0
    assert tasks.files() == wanted


def test_starting_over_without_tasks(tasks: Tasks, wanted: dict[str, bytes], command: Command) -> None:
    assert command(*tasks.task(2, 3, "--random-seed", 7)).code == 0
    done = command(*tasks.task(2, 3, "--overwrite"))
    assert (done.code, "with --num-tasks, --overwrite is not possible" in done.error) == (2, True)
    assert command(*tasks.arguments("--overwrite")).code == 0
    assert tasks.files() == wanted


def test_a_task_with_other_options_or_tokens_is_refused(
    tasks: Tasks, model: Path, text: bytes, command: Command
) -> None:
    assert command(*tasks.task(0, 3)).code == 0
    before = tasks.files()
    place = tasks.site.path("out")
    done = command(*tasks.task(1, 3, "--random-seed", 7))
    assert done.code == 1
    assert done.error.startswith(f"{place}: begun with --random-seed 12345, not 7; pass 12345 to resume, ")
    # A task cannot overwrite.
    assert done.error.endswith("or another --output-dir, or remove the output, and run all tasks again")
    done = command(*tasks.task(1, 3, "--num-shards", 11))
    assert "begun with --num-shards 12, not 11" in done.error

    other = Tokenizer.from_file(model, lower_case=False)
    (tasks.directory / "text.txt").write_bytes(text)
    albert_fast.tokenize(tasks.directory / "text.txt", tasks.directory / "other", other)
    done = command(*Tasks(tasks.site, tasks.directory / "other", tasks.directory).task(1, 3))
    assert done.code == 1
    assert "begun with another input, and with another tokenizer or other text rules" in done.error
    # The tokenizer that is passed must be the store's.
    with pytest.raises(AlbertFastError, match="made with other text rules"):
        albert_fast.make_records(tasks.tokens, place, other, num_tasks=3, task_id=1)
    assert tasks.files() == before
    assert command(*tasks.task(1, 3)).code == 0


def test_missing_shards(tasks: Tasks, command: Command) -> None:
    place = tasks.site.path("out")
    for number in (0, 3):
        in_this_process(tasks, number, 6)
    done = command("finish", place)
    assert done.code == 1
    listed = f"{place}: shards 2-5, 8-11 of 12 are missing; run the tasks that did not end well again"
    assert done.error == f"{listed} (--num-tasks N names them, where N is their number)"
    with pytest.raises(AlbertFastError, match=r"run tasks 1-2, 4-5 of 6 again \(Slurm: --array=1-2,4-5\)") as caught:
        albert_fast.finish(place, num_tasks=6)
    assert (caught.value.kind, str(caught.value.path)) == ("data", place)
    for number in (1, 2, 4, 5):
        made = in_this_process(tasks, number, 6)
    assert made.described["totals"]["instances"] == made.instances
    records = albert_fast.finish(place)
    assert isinstance(records, Records)
    assert records.already_complete
    assert (records.instances, len(records.shards), records.task) == (made.instances, 12, None)
    assert f"{place}: these records are already complete, with " in command("finish", place).err


def test_finishing_after_a_kill_at_the_end(local_tasks: Tasks) -> None:
    """All markers are there, but no task was left to write dataset.json."""
    for number in (0, 1):
        in_this_process(local_tasks, number, 2, out="whole")
    in_this_process(local_tasks, 0, 2)
    root = local_tasks.directory / "local"
    shutil.copytree(root / "out" / "make-records.partial", root / "kept")
    header = (root / "out" / "make-records.partial.jsonl").read_bytes()
    in_this_process(local_tasks, 1, 2)
    described = json.loads((root / "out" / "dataset.json").read_bytes())
    (root / "out" / "dataset.json").unlink()
    shutil.copytree(root / "kept", root / "out" / "make-records.partial")
    for shard in described["shards"][6:]:
        marker = root / "out" / "make-records.partial" / f"{shard['file']}.json"
        marker.write_text(json.dumps({"shard": shard, "version": None}))
    (root / "out" / "make-records.partial.jsonl").write_bytes(header)
    (root / "out" / ".records-00003-of-00012.tfrecord.aB3dE6.tmp").write_bytes(b"half")
    records = albert_fast.finish(root / "out")
    assert isinstance(records, Records)
    assert not records.already_complete
    assert local_tasks.site.files("out") == local_tasks.site.files("whole")


@pytest.fixture
def local_tasks(tokens: Path, tmp_path: Path, local: LocalSite) -> Tasks:
    return Tasks(local, tokens, tmp_path)


def test_a_configuration_is_written_again_if_others_remove_its_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, temporaries = files.whole_file, []

    @contextlib.contextmanager
    def removed_twice(path: Path, temporary: Path) -> Iterator[Path]:
        with real(path, temporary) as found:
            yield found
            temporaries.append(found)
            if len(temporaries) < 3:
                found.unlink()

    monkeypatch.setattr(files, "whole_file", removed_twice)
    files.write_apart(tmp_path / "a.json", b"one")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.json", b"one")]
    assert len(set(temporaries)) == 3
    with pytest.raises(AlbertFastError, match=r"cannot write .*no/a\.json: No such file"):
        files.write_apart(tmp_path / "no" / "a.json", b"one")


class TestRefusals:
    @pytest.mark.parametrize(
        ("flags", "error"),
        [
            ("--num-tasks 3", "--num-tasks 3 has no effect without --task-id; pass both, or neither"),
            ("--task-id 3", "--task-id 3 has no effect without --num-tasks; pass both, or neither"),
            (
                "--num-tasks 3 --task-id 3",
                "--task-id must be a whole number from 0 to 2, because --num-tasks is 3, got 3",
            ),
            ("--num-tasks 0 --task-id 0", "--num-tasks must be a whole number from 1 to 100000, got 0"),
            ("--num-tasks 3 --task-id 0 --keep-store", "with --num-tasks, --keep-store has no effect"),
            ("--num-tasks 3 --task-id 0 --rng reference", "--rng reference makes all records from one sequence"),
        ],
    )
    def test_options(self, local_tasks: Tasks, command: Command, flags: str, error: str) -> None:
        done = command(*local_tasks.arguments(*flags.split()))
        assert done.code == 2
        assert done.error.startswith(error)
        assert local_tasks.site.files() == {}

    def test_text(self, local_tasks: Tasks, corpus: Path, model: Path, command: Command) -> None:
        for inputs, told in (
            ([corpus], "the inputs must be token stores, so that"),
            ([local_tasks.tokens] * 2, "is given twice"),
        ):
            flags = ["--tokenizer", model, "--max-predictions-per-seq", 77, "--num-tasks", 3, "--task-id", 0]
            done = command("make-records", *inputs, "--output-dir", "out", *flags)
            assert done.code == 2
            assert told in done.error

    def test_a_store_that_is_not_complete(self, command: Command, model: Path) -> None:
        Path("store").mkdir()
        Path("store", "tokenize.partial.json").write_text("{}")
        usual = ["make-records", "store", "--output-dir", "out", "--max-predictions-per-seq", 77]
        tasks = ["--num-tasks", 3, "--task-id", 0]
        for words in (
            usual,
            [*usual, "--tokenizer", model],
            [*usual, *tasks],
            [*usual, *tasks, "--tokenizer", model],
            ["tokenize", "text.txt", "--output-dir", "out", "--tokenizer", "store"],
            ["slurm", *usual, "--num-tasks", 3],
        ):
            done = command(*words)
            assert done.code == 1, words
            assert done.error.startswith("store: this token store is not complete; run the same tokenize command again")
        with pytest.raises(AlbertFastError, match="store: this token store is not complete"):
            commands.num_tasks(MakeRecords(inputs=("store",), output_dir=Path("out")), 1)
        assert not Path("out").exists()

    def test_directories_of_something_else(self, command: Command, tmp_path: Path) -> None:
        nothing = f"{tmp_path / 'no'}: there are no records, no token store, no corpus of tasks"
        done = command("finish", tmp_path / "no")
        assert done.code == 1
        assert done.error.startswith(nothing)
        assert command("finish", ".", "--num-tasks", 0).error.startswith("--num-tasks must be a whole number from 1")
        assert command("finish").error.startswith("DIR is required")
