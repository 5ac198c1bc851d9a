"""The arguments of a command that is divided into tasks are read as the command itself reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from albert_fast.cli import _described
from albert_fast.cli.commands import COMMANDS, STAGES
from albert_fast.cli.common import UsageError
from albert_fast.cli.flags import in_flags
from albert_fast.cli.tasked import TASKED, parse
from albert_fast.options import MakeRecords, TaskOptions, options_of

if TYPE_CHECKING:
    from conftest import Command


def said(words: str, *more: str) -> str:
    """What the command line says of arguments that are refused."""
    try:
        found = parse("make-records", words.split(), more)
    except Exception as error:  # noqa: BLE001 - some are of a private module of typer
        if hasattr(error, "format_message"):
            return _described(error)
        return in_flags(str(error), getattr(error, "option", None))
    raise AssertionError(found)


@pytest.mark.parametrize("name", TASKED)
def test_every_command_has_what_schedulers_use(name: str) -> None:
    assert name in COMMANDS
    command = TASKED[name]
    options = options_of(command.stage)
    assert {*options_of(TaskOptions), "inputs", "num_threads", "config"} <= options.keys()
    assert options.keys() & {"output", "output_dir"}
    assert command.stage is STAGES[name]


def test_options_and_the_names_of_those_that_were_given() -> None:
    options, given = parse("make-records", ["tokens", "--output-dir=records", "--dupe-factor", "3", "--num-tasks", "8"])
    assert options == MakeRecords(inputs=("tokens",), output_dir=Path("records"), dupe_factor=3, num_tasks=8, task_id=0)
    assert given == {"inputs", "output_dir", "dupe_factor", "num_tasks"}
    command = TASKED["make-records"]
    known = command.divided
    assert (known.rounds(options), known.output(options), command.stage) == (1, Path("records"), MakeRecords)
    remote, _ = parse("make-records", ["tokens", "--output-dir", "s3://bucket/records", "--num-tasks", "8"])
    assert str(known.output(remote)) == "s3://bucket/records"


def test_a_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"make-records": {"num-tasks": 5, "dupe_factor": 4}, "ngram": 2}))
    options, given = parse("make-records", ["tokens", "--output-dir", "out", "--config", str(config), "--ngram", "1"])
    assert isinstance(options, MakeRecords)
    assert (options.num_tasks, options.dupe_factor, options.ngram) == (5, 4, 1)
    assert {"num_tasks", "dupe_factor", "ngram", "config"} <= given
    config.write_text(json.dumps({"task_id": 1, "num_tasks": 2}))
    assert said(f"tokens --output-dir out --config {config}").startswith("--task-id is different for each task")


@pytest.mark.parametrize(
    "words",
    [
        "tokens --output-di records",
        "tokens",
        "--output-dir records",
        "tokens --output-dir records --dupe-factor 0",
        "tokens --output-dir records --dupe-factor",
        "tokens --output-dir records --rng dice",
        "tokens --output-dir records --config none.json",
        "tokens --output-dir records --max-seq-length 10",
    ],
)
def test_the_error_is_that_of_the_command(words: str, command: Command) -> None:
    done = command("make-records", "--num-tasks", 3, "--task-id", 0, *words.split())
    assert done.code == 2
    assert said(f"--num-tasks 3 {words}") == done.error


def test_a_misspelled_option_of_the_scheduler() -> None:
    words = "tokens --output-dir records --num-tasks 3"
    more = ("--cpus-per-task", "--mem")
    see = "(see `albert-fast make-records --help`)"
    assert (
        said(f"{words} --cpu-per-task 3", *more)
        == f"unknown option --cpu-per-task; did you mean --cpus-per-task? {see}"
    )
    assert said(f"{words} --dupe-facto 3", *more) == f"unknown option --dupe-facto; did you mean --dupe-factor? {see}"


def test_what_only_the_scheduler_decides() -> None:
    words = "tokens --output-dir records"
    assert said(words) == "--num-tasks is required: how many tasks make-records is divided into"
    text = "--task-id is different for each task, and must not be given here; remove it"
    assert said(f"{words} --num-tasks 3 --task-id 1") == text
    assert said(f"{words} --num-tasks 0") == "--num-tasks must be a whole number from 1 to 100000, got 0"
    with pytest.raises(
        UsageError,
        match=r"^export cannot run on a cluster; the commands that can are prepare-text, train-.*, pretrain$",
    ):
        parse("export", [])
