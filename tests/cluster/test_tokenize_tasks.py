"""Tasks of tokenize: the token store of one command, whatever happens to the tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import albert_fast
from albert_fast import AlbertFastError, Tokenizer, TokenStore, _native, finishing

from .conftest import Tasks

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Command
    from remote_sites import LocalSite

SMALL = """
import functools, sys
from albert_fast import _native
_native.tokenize = functools.partial(_native.tokenize, portion_bytes=8_000)
from albert_fast.__main__ import main
sys.exit(main())
"""
"""Runs the command line with small portions, of which the corpus of the tests has several."""


class TokenizeTasks(Tasks):
    """Commands that tokenize `tokens`, which is a corpus here."""

    program = ("-c", SMALL)

    def arguments(self, *more: object, out: str = "out", options: str = "") -> list[str]:
        given = ["tokenize", self.tokens, "--output-dir", self.site.path(out), *options.split(), *more]
        return [str(one) for one in [*given, "--tokenizer", self.directory / "tokenizer.model"]]


@pytest.fixture(params=["local", "s3"])
def tasks(request: pytest.FixtureRequest, text: bytes, model: Path, tmp_path: Path) -> TokenizeTasks:
    site = request.getfixturevalue({"local": "local", "s3": "remote"}[request.param])
    (tmp_path / "corpus").mkdir()
    # One large file that is divided, and small ones that are put together.
    (tmp_path / "corpus" / "0.txt").write_bytes(text)
    for number in range(1, 6):
        (tmp_path / "corpus" / f"{number}.txt").write_bytes(text[: 2000 * number].rpartition(b"\n")[0])
    (tmp_path / "tokenizer.model").write_bytes(model.read_bytes())
    return TokenizeTasks(site, tmp_path / "corpus", tmp_path)


@pytest.fixture
def local_tasks(text: bytes, model: Path, tmp_path: Path, local: LocalSite) -> TokenizeTasks:
    (tmp_path / "corpus.txt").write_bytes(text)
    (tmp_path / "tokenizer.model").write_bytes(model.read_bytes())
    return TokenizeTasks(local, tmp_path / "corpus.txt", tmp_path)


@pytest.fixture
def wanted(tasks: TokenizeTasks) -> dict[str, bytes]:
    """The files of a single command."""
    tasks.run(tasks.arguments(out="whole"))
    found = tasks.files("whole")
    assert len([name for name in found if name.endswith(".tokens")]) > 3
    return found


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_bytes_are_those_of_one_command(tasks: TokenizeTasks, wanted: dict[str, bytes], count: int) -> None:
    for number in reversed(range(count)):
        said = tasks.run(tasks.task(number, count))
        assert f"albert-fast: task {number} of {count}: portion" in said or "there is nothing to do" in said
        assert ("wrote" in said) == (number == 0)
    assert tasks.files() == wanted
    said = tasks.run(["finish", tasks.site.path("out")])
    assert "this store is already complete, with" in said
    assert tasks.uploads() == ()


def test_tasks_at_the_same_time(tasks: TokenizeTasks, wanted: dict[str, bytes]) -> None:
    """Each on a machine of its own, and two of them do the same task."""
    started = [tasks.start(tasks.task(number, 3), machine) for machine, number in enumerate([0, 1, 2, 1])]
    for process in started:
        code, said = tasks.end(process)
        assert code == 0, said
    assert tasks.files() == wanted


def test_a_killed_task_that_is_run_again(tasks: TokenizeTasks, wanted: dict[str, bytes]) -> None:
    parts = sorted(name for name in wanted if name.endswith(".tokens"))
    kills = 0
    for number in (0, 1):

        def is_time(first: str = parts[number * len(parts) // 2 + 1]) -> bool:
            return tasks.has(first)

        kills += tasks.kill_when(tasks.start(tasks.task(number, 2)), is_time)
    for number in (0, 1):
        tasks.run(tasks.task(number, 2))
    assert tasks.files() == wanted
    assert tasks.uploads() == ()
    # A fast machine may be too late to kill a task.
    assert kills in {0, 1, 2}


def test_missing_portions(tasks: TokenizeTasks, wanted: dict[str, bytes]) -> None:
    place = tasks.site.path("out")
    tasks.run(tasks.task(1, 3))
    code, said = tasks.end(tasks.start(["finish", place, "--num-tasks", "3"]))
    assert code == 1
    assert "are missing; run tasks 0, 2 of 3 again (Slurm: --array=0,2)" in said
    with pytest.raises(AlbertFastError, match=r"portions .* are missing; run the tasks that did not end well again"):
        albert_fast.finish(place)
    # One command does what the tasks left.
    tasks.run(tasks.arguments())
    assert tasks.files() == wanted
    made = albert_fast.finish(place)
    assert isinstance(made, finishing.Tokens)
    assert made.already_complete
    assert made.tokens > 0


class TestRefusals:
    def test_other_options(self, local_tasks: TokenizeTasks) -> None:
        local_tasks.run(local_tasks.task(0, 3))
        before = local_tasks.files()
        for flags, error in (
            ("--on-bad-utf8 replace", "begun with --on-bad-utf8 error, not replace; pass error to resume"),
            ("--keep-accents", "begun with another tokenizer or other text rules"),
        ):
            code, said = local_tasks.end(local_tasks.start(local_tasks.task(1, 3, *flags.split())))
            assert code == 1
            assert error in said
            assert "another --output-dir, or remove the output, and run all tasks again" in said
        code, said = local_tasks.end(local_tasks.start(local_tasks.task(1, 3, "--overwrite")))
        assert (code, "with --num-tasks, --overwrite is not possible" in said) == (2, True)
        assert local_tasks.files() == before

    def test_standard_input(self, local_tasks: TokenizeTasks, command: Command) -> None:
        flags = ["--tokenizer", local_tasks.directory / "tokenizer.model", "--num-tasks", 3, "--task-id", 0]
        done = command("tokenize", "-", "--output-dir", local_tasks.site.path("out"), *flags)
        assert done.code == 2
        assert "with --num-tasks, every input must be a file that all tasks can read" in done.error
        assert local_tasks.site.files() == {}


def test_python(local_tasks: TokenizeTasks) -> None:
    tokenizer = Tokenizer.from_file(local_tasks.directory / "tokenizer.model")
    place = local_tasks.site.path("out")
    made = [
        _native.tokenize(local_tasks.tokens, place, tokenizer, num_tasks=3, task_id=number, portion_bytes=8_000)
        for number in range(3)
    ]
    assert [one["is_complete"] for one in made] == [False, False, True]
    tasks = [albert_fast.tasks.of_task(one["task"]) for one in made]
    assert tasks[0].range.start == 0
    assert tasks[2].range.stop == tasks[2].total == tasks[2].complete
    assert made[2]["documents"] > made[0]["documents"] > 0
    assert TokenStore(place).num_tokens == made[2]["tokens"]
