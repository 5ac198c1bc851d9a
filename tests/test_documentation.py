"""README and docstrings: what they tell the reader to type exists and runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import albert_fast
from albert_fast import _native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from conftest import Command

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = ["train-tokenizer", "tokenize", "make-records", "inspect-records", "demo"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def command_lines() -> Iterator[list[str]]:
    """Every line of a code block that runs `albert-fast`, and every `albert-fast ...` within the text."""
    for block in blocks(""):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0].endswith("albert-fast"):
                yield words[1:]
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(r"`albert-fast ([^`]*)`", prose):
        yield shlex.split(line)


def options_of(command: Command, name: str) -> set[str]:
    result = command(name, "--help")
    assert result.code == 0, result.err
    return set(re.findall(r"--[a-z][a-z0-9-]*", result.out))


def test_there_are_commands_to_check() -> None:
    assert len(list(command_lines())) >= 4


@pytest.mark.parametrize("words", list(command_lines()), ids=" ".join)
def test_command_lines_parse(words: list[str], command: Command) -> None:
    name = words[0]
    if name == "COMMAND":
        return
    assert name in COMMANDS
    options = options_of(command, name)
    for word in words[1:]:
        if word.startswith("--"):
            assert word.split("=")[0] in options, f"{name} has no {word}"
    # A word that is unknown, or lacks its value, is a usage error (2) even before --help is looked at.
    assert command(*(word.replace("DIR", "dir") for word in words), "--help").code == 0


def test_every_option_named_exists(command: Command) -> None:
    known = set().union(*(options_of(command, name) for name in COMMANDS))
    for option in re.findall(r"`(--[a-z][a-z0-9-]*)", README):
        assert option in known, option


def test_every_command_is_in_the_table(command: Command) -> None:
    table = README.split("| command | what it does |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `([a-z-]+)", table, re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)
    listed = command("--help").out
    assert all(name in listed for name in COMMANDS)


def test_every_make_target_exists() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    typed = "\n".join([*blocks(""), *re.findall(r"`(make [a-z]+)`", README)])
    named = set(re.findall(r"^make ([a-z-]+)$", typed, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_python_of_the_readme(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "spiece.model").write_bytes(model.read_bytes())
    examples = blocks("python")
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})


def modules() -> list[ModuleType]:
    names = [info.name for info in pkgutil.walk_packages(albert_fast.__path__, "albert_fast.")]
    return [albert_fast, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_examples_of_docstrings(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_there_is_an_example() -> None:
    assert doctest.testmod(albert_fast).attempted >= 2


def test_compiled_names_explain_themselves() -> None:
    for name in _native.__all__:
        value = getattr(_native, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(value), name
        if inspect.isclass(value) and value.__module__ == "albert_fast._native" and not issubclass(value, Exception):
            for member in vars(value):
                assert member.startswith("_") or getattr(value, member).__doc__, f"{name}.{member}"
