"""Tasks of train-tokenizer: the tokenizer of one command, whatever happens to the tasks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import albert_fast
from albert_fast import AlbertFastError, Tokenizer, train_tokenizer

from .conftest import Tasks

if TYPE_CHECKING:
    from conftest import Command
    from remote_sites import LocalSite

SMALL = """
import functools, sys
from albert_fast import _native
_native.train_tokenizer_task = functools.partial(_native.train_tokenizer_task, portion_bytes=8_000)
from albert_fast.__main__ import main
sys.exit(main())
"""
"""Runs the command line with small portions, of which the corpus of the tests has several."""

OPTIONS = "--vocab-size 400 --input-sentence-size 300"
MANIFEST = "train-tokenizer.manifest.json"
"""What only tasks write."""


class TokenizerTasks(Tasks):
    """Commands that train a tokenizer on `tokens`, which is a corpus here."""

    program = ("-c", SMALL)

    def arguments(self, *more: object, out: str = "out", options: str = OPTIONS) -> list[str]:
        given = ["train-tokenizer", self.tokens, "--output-dir", self.site.path(out), *options.split(), *more]
        return [str(one) for one in given]

    def made(self) -> dict[str, bytes]:
        """The files of tasks, without the one that only they write. None may be left of the rest."""
        found = self.files()
        assert MANIFEST in found
        del found[MANIFEST]
        return found


@pytest.fixture(params=["local", "s3"])
def tasks(request: pytest.FixtureRequest, text: bytes, tmp_path: Path) -> TokenizerTasks:
    site = request.getfixturevalue({"local": "local", "s3": "remote"}[request.param])
    (tmp_path / "corpus").mkdir()
    # One large file that is divided, and small ones that are put together.
    (tmp_path / "corpus" / "0.txt").write_bytes(text)
    for number in range(1, 6):
        (tmp_path / "corpus" / f"{number}.txt").write_bytes(text[: 2000 * number].rpartition(b"\n")[0])
    return TokenizerTasks(site, tmp_path / "corpus", tmp_path)


@pytest.fixture
def local_tasks(text: bytes, tmp_path: Path, local: LocalSite) -> TokenizerTasks:
    (tmp_path / "corpus.txt").write_bytes(text)
    return TokenizerTasks(local, tmp_path / "corpus.txt", tmp_path)


@pytest.fixture
def wanted(tasks: TokenizerTasks) -> dict[str, bytes]:
    """The files of a single command."""
    said = tasks.run(tasks.arguments(out="whole"))
    assert "400 pieces, trained on 300 of " in said
    found = tasks.files("whole")
    names = ["spiece.config.json", "spiece.model", "spiece.vocab", "train-tokenizer.config.json"]
    assert sorted(found) == names
    return found


@pytest.mark.parametrize("count", [1, 3])
def test_the_files_are_those_of_one_command(tasks: TokenizerTasks, wanted: dict[str, bytes], count: int) -> None:
    order = [*reversed(range(count))]
    said = [tasks.run(tasks.task(number, count)) for number in order * 2]
    assert f"albert-fast: task {order[0]} of {count}, round " in said[0]
    # Task 0 is the last one of the first round, and begins the second one.
    ends = ["400 pieces, trained on 300 of " in one for one in said]
    assert ends == [True, False] if count == 1 else [False, False, False, False, True, False]
    assert "this tokenizer is already complete, with 400 pieces" in said[-1]
    assert tasks.made() == wanted
    again = [tasks.run(["finish", tasks.site.path("out")]), tasks.run(tasks.task(0, count))]
    assert all("this tokenizer is already complete, with 400 pieces" in said for said in again)
    assert tasks.made() == wanted
    assert tasks.uploads() == ()


def test_tasks_at_the_same_time(tasks: TokenizerTasks, wanted: dict[str, bytes]) -> None:
    """Each on a machine of its own, and two of them do the same task."""
    for _ in range(3):
        started = [tasks.start(tasks.task(number, 3), machine) for machine, number in enumerate([0, 1, 2, 1])]
        for process in started:
            code, said = tasks.end(process)
            assert code == 0, said
    assert tasks.made() == wanted


def test_killed_tasks_that_are_run_again(tasks: TokenizerTasks, wanted: dict[str, bytes]) -> None:
    kills = 0
    for number, name in (
        (0, "counted/00001.json"),
        (1, "counted/00005.json"),
        (0, "words/00000.words"),
        (1, "words/00005.json"),
        (0, None),
    ):

        def is_time(name: str | None = name) -> bool:
            return tasks.has("spiece.vocab" if name is None else f"train-tokenizer.partial/{name}")

        kills += tasks.kill_when(tasks.start(tasks.task(number, 2)), is_time)
    while not tasks.has("spiece.model"):
        for number in (0, 1):
            tasks.run(tasks.task(number, 2))
    tasks.run(tasks.task(0, 2))
    assert tasks.made() == wanted
    assert tasks.uploads() == ()
    # A fast machine may be too late to kill a task.
    assert kills <= 5


def test_missing_portions(tasks: TokenizerTasks, wanted: dict[str, bytes]) -> None:
    place = tasks.site.path("out")
    tasks.run(tasks.task(1, 3))
    code, said = tasks.end(tasks.start(["finish", place, "--num-tasks", "3"]))
    assert code == 1
    assert "round 1 of 2: portions 0-" in said
    assert "are missing; run tasks 0, 2 of 3 again (Slurm: --array=0,2), and then all tasks for each round" in said
    with pytest.raises(AlbertFastError, match=r"portions .* are missing; run the tasks that did not end well again"):
        albert_fast.finish(place)
    # One command does what the tasks left.
    assert "400 pieces, trained on 300 of " in tasks.run(tasks.arguments())
    assert tasks.made() == wanted
    found = albert_fast.finish(place)
    assert isinstance(found, Tokenizer)
    assert found.vocab_size == 400


@pytest.mark.parametrize("is_function", [False, True])
def test_a_last_task_that_was_killed(local_tasks: TokenizerTasks, is_function: bool) -> None:
    """All words are there. Finishing trains on them, and writes what the task would have written."""
    local_tasks.run(local_tasks.arguments(out="whole"))
    code = "sys.exit(main())"
    killed = SMALL.replace(code, f"_native.publish_tokenizer = lambda *_: os._exit(9)\n{code}").replace(
        "sys\n", "os, sys\n"
    )
    arguments = local_tasks.task(0, 1)
    done = subprocess.run([sys.executable, "-c", killed, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    assert not local_tasks.has("spiece.model")
    place = local_tasks.site.path("out")
    if is_function:
        found = albert_fast.finish(place, num_tasks=1)
        assert isinstance(found, Tokenizer)
        assert not found.keep_accents
    else:
        said = local_tasks.run(["finish", place])
        assert f"wrote {place}/spiece.model: 400 pieces, trained on 300 of " in said
    assert local_tasks.made() == local_tasks.files("whole")


def test_without_a_sample_there_is_one_round(local_tasks: TokenizerTasks) -> None:
    options = "--vocab-size 400 --input-sentence-size 0 --keep-accents"
    local_tasks.run(local_tasks.arguments(out="whole", options=options))
    assert "task 1 of 2: portions " in local_tasks.run(local_tasks.task(1, 2, options=options))
    assert "wrote " in local_tasks.run(local_tasks.task(0, 2, options=options))
    assert local_tasks.made() == local_tasks.files("whole")


def test_an_extension(local_tasks: TokenizerTasks, model: Path) -> None:
    options = f"--vocab-size 2050 --extend {model}"
    local_tasks.run(local_tasks.arguments(out="whole", options=options))
    said = [local_tasks.run(local_tasks.task(number, 2, options=options)) for number in (0, 1, 0, 1)]
    assert "2,050 pieces (50 of them new)" in said[2]
    assert local_tasks.made() == local_tasks.files("whole")


class TestRefusals:
    def test_other_options(self, local_tasks: TokenizerTasks) -> None:
        local_tasks.run(local_tasks.task(0, 3))
        before = local_tasks.files()
        for flags, error in (
            ("--on-bad-utf8 replace", "begun with --on-bad-utf8 error, not replace; pass error to resume"),
            ("--keep-accents", "begun with --no-keep-accents, not --keep-accents; pass --no-keep-accents to resume"),
            ("--vocab-size 401", "begun with --vocab-size 400, not 401; pass 400 to resume"),
            ("--normalization-rule-name nfkc", "begun with --normalization-rule-name nmt_nfkc, not nfkc"),
        ):
            arguments = [local_tasks.task(1, 3, *flags.split()), local_tasks.arguments(*flags.split())]
            for given in arguments:
                code, said = local_tasks.end(local_tasks.start(given))
                assert (code, error in said) == (1, True), said
                assert "another --output-dir, or remove the output, and run all tasks again" in said
        assert local_tasks.files() == before
        code, said = local_tasks.end(local_tasks.start(local_tasks.arguments("--engine", "sentencepiece")))
        assert (code, "tasks have begun a tokenizer here" in said) == (1, True), said
        # Without tasks, it can be replaced.
        local_tasks.run(local_tasks.arguments("--overwrite"))
        assert len(local_tasks.files()) == 4

    def test_another_tokenizer(self, local_tasks: TokenizerTasks) -> None:
        local_tasks.run(local_tasks.arguments())
        before = local_tasks.files()
        code, said = local_tasks.end(local_tasks.start(local_tasks.task(0, 3)))
        assert (code, "spiece.model: this file exists; pass --overwrite without --num-tasks" in said) == (1, True), said
        code, said = local_tasks.end(local_tasks.start(["finish", local_tasks.site.path("out")]))
        assert (code, "no tokenizer of tasks here" in said) == (1, True), said
        assert local_tasks.files() == before

    @pytest.mark.parametrize(
        ("flags", "error"),
        [
            ("--overwrite", "with --num-tasks, --overwrite is not possible, because each task would remove what"),
            ("--engine sentencepiece", "with --num-tasks, --engine sentencepiece is not possible, because the library"),
        ],
    )
    def test_options(self, local_tasks: TokenizerTasks, command: Command, flags: str, error: str) -> None:
        done = command(*local_tasks.task(0, 3, *flags.split()))
        assert (done.code, done.error[: len(error)]) == (2, error)
        assert local_tasks.site.files() == {}

    def test_standard_input(self, local_tasks: TokenizerTasks, command: Command) -> None:
        flags = ["--num-tasks", 3, "--task-id", 0]
        done = command("train-tokenizer", "-", "--output-dir", local_tasks.site.path("out"), *flags)
        assert done.code == 2
        assert "with --num-tasks, every input must be a file that all tasks can read" in done.error
        assert local_tasks.site.files() == {}

    def test_a_vocabulary_that_is_too_large(self, local_tasks: TokenizerTasks) -> None:
        """The task that trains says so."""
        options = "--vocab-size 200000 --input-sentence-size 0"
        code, said = local_tasks.end(local_tasks.start(local_tasks.task(0, 1, options=options)))
        assert (code, "--vocab-size 200000 is too large for this text" in said) == (1, True), said
        assert not local_tasks.has("spiece.model")


def test_python(local_tasks: TokenizerTasks) -> None:
    """The corpus is one portion, and the second task has nothing to do."""
    place = local_tasks.site.path("out")
    first = train_tokenizer(local_tasks.tokens, place, vocab_size=400, num_tasks=2, task_id=0)
    assert (first["task"].round, first["task"].rounds, len(first["task"].range)) == (1, 2, 0)
    assert first["tokenizer"] is None
    last = train_tokenizer(local_tasks.tokens, place, vocab_size=400, num_tasks=2, task_id=1)
    assert (last["task"].round, last["task"].range, last["task"].complete) == (2, range(1), 1)
    assert (last["tokenizer"].vocab_size, last["already_complete"]) == (400, False)
    again = train_tokenizer(local_tasks.tokens, place, vocab_size=400, num_tasks=2, task_id=0)
    assert again["already_complete"]
    whole = train_tokenizer(local_tasks.tokens, local_tasks.site.path("whole"), vocab_size=400)
    assert whole.content == last["tokenizer"].content
    # The configuration is that of the command line.
    assert not Path(place, "train-tokenizer.config.json").exists()
    assert local_tasks.made() == local_tasks.files("whole")
