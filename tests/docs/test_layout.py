"""Which module imports which: one way, without circles, and the command line above everything else."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("albert_fast", "trainer")

GROUND = ("_native", "errors", "json_text", "text", "files", "paths", "tasks", "_signals")
"""Modules of albert_fast that know no stage."""
ARGUMENTS = ("_checks", "_arrays", "_padding")
"""Modules of albert_fast that check the arguments of Python functions."""
ALBERT_FAST = ("ground", "options", "arguments", "tokenizers", "library", "cluster", "cli", "__main__")
"""The rooms of albert_fast, each of which imports itself and those before it; `library` is every other module."""
TRAINER = ("ground", "model", "report", "exchange", "run", "__main__")
"""The rooms of trainer, likewise; `ground` is every module that is in no directory."""

LAZY = ("albert_fast", "albert_fast.options")
"""Packages that import the modules of their names when they are first used."""

LATE = {
    ("albert_fast.__main__", "albert_fast.cli"): "Ctrl-C is heard while the command line loads",
}
"""Imports within a function, apart from those of the trainer by the command line, which start TensorFlow; and why."""


class Import(NamedTuple):
    """That a module imports another."""

    source: str
    target: str
    line: int
    late: bool
    """Whether it is within a function."""
    typing: bool
    """Whether it is for type checkers only."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


@cache
def homes(package: str) -> dict[str, str]:
    """The modules of the names that a package of `LAZY` has: it imports them when they are first used."""
    tree = ast.parse(modules()[package].read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    return {alias.name: str(node.module) for node in found for alias in node.names} | {"_native": "albert_fast._native"}


def targets(node: ast.AST) -> list[str]:
    """The modules that a statement imports, those of other packages too."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, "imports are absolute"
    module = str(node.module)
    others = homes(module) if module in LAZY else {}
    return [
        full if (full := f"{module}.{alias.name}") in modules() else others.get(alias.name, module)
        for alias in node.names
    ]


def is_for_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports_of(source: str, tree: ast.AST) -> list[Import]:
    """What a module imports of the two packages."""
    found: list[Import] = []

    def walk(node: ast.AST, *, late: bool, typing: bool) -> None:
        for target in targets(node):
            if target.split(".")[0] in PACKAGES and target != source:
                assert isinstance(node, ast.Import | ast.ImportFrom)
                found.append(Import(source, target, node.lineno, late, typing))
        inner = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            walk(child, late=inner, typing=typing or is_for_typing(node))

    walk(tree, late=False, typing=False)
    return found


@cache
def imports() -> tuple[Import, ...]:
    """Every import of one of our modules by another, except what those of `LAZY` name for type checkers."""
    return tuple(
        found
        for name, path in modules().items()
        for found in imports_of(name, ast.parse(path.read_text(encoding="utf-8")))
        if not (name in LAZY and found.typing)
    )


def room(module: str) -> str:
    package, *rest = module.split(".")
    if package == "trainer":
        return rest[0] if rest and rest[0] in TRAINER else "ground"
    if not rest:
        return "library"
    if rest[0] in ARGUMENTS:
        return "arguments"
    return "ground" if rest[0] in GROUND else rest[0] if rest[0] in ALBERT_FAST else "library"


def shown(found: Import) -> str:
    return f"{modules()[found.source].relative_to(ROOT)}:{found.line} imports {found.target}"


def circles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """The sets of modules each of which imports, in some number of steps, all others of its set."""
    after: dict[str, set[str]] = {}
    for source, target in edges:
        after.setdefault(source, set()).add(target)

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        todo = [start]
        while todo:
            new = after.get(todo.pop(), set()) - found
            found |= new
            todo += new
        return found

    every = {name: reached(name) for name in after}
    found = {frozenset(other for other in every[name] if name in every.get(other, ())) for name in after}
    return sorted(sorted(one) for one in found if one)


def test_the_checks_see_what_they_should() -> None:
    """A circle, an import of a name of the package itself, and imports that come late or are for typing only."""
    assert circles({("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")}) == [["b", "c"]]
    tree = ast.parse(
        "from albert_fast import Tokenizer, files\nimport trainer.errors\n"
        "if TYPE_CHECKING:\n    from trainer.run.data import Data\n"
        "def f():\n    from albert_fast import cli\n"
    )
    assert imports_of("x", tree) == [
        Import("x", "albert_fast._native", 1, late=False, typing=False),
        Import("x", "albert_fast.files", 1, late=False, typing=False),
        Import("x", "trainer.errors", 2, late=False, typing=False),
        Import("x", "trainer.run.data", 4, late=False, typing=True),
        Import("x", "albert_fast.cli", 6, late=True, typing=False),
    ]
    names = ("albert_fast.masking", "albert_fast.cli.demo", "trainer.folder", "trainer.run.loop")
    assert [room(name) for name in names] == ["library", "cli", "ground", "run"]


def test_only_the_command_line_imports_the_command_line() -> None:
    wrong = [
        shown(found)
        for found in imports()
        if room(found.target) == "cli"
        and found.target.startswith("albert_fast.")
        and (found.source.startswith("trainer") or room(found.source) not in {"cli", "__main__"})
    ]
    assert not wrong


def test_the_library_does_without_the_trainer() -> None:
    wrong = [
        shown(found)
        for found in imports()
        if found.target.startswith("trainer")
        and found.source.startswith("albert_fast")
        and room(found.source) not in {"cluster", "cli"}
    ]
    assert not wrong


@pytest.mark.parametrize(("package", "order"), [("albert_fast", ALBERT_FAST), ("trainer", TRAINER)])
def test_rooms_import_one_way(package: str, order: tuple[str, ...]) -> None:
    inner = [one for one in imports() if {one.source.split(".")[0], one.target.split(".")[0]} == {package}]
    # For type checkers only, the tokenizers name the masker that they compare with.
    wrong = [
        shown(one)
        for one in inner
        if order.index(room(one.target)) > order.index(room(one.source))
        and not (one.typing and (one.source, one.target) == ("albert_fast.tokenizers.match", "albert_fast.masking"))
    ]
    assert not wrong


def test_no_module_is_in_a_circle() -> None:
    late = {(one.source, one.target) for one in imports() if one.late} & LATE.keys()
    edges = {(one.source, one.target) for one in imports() if not one.typing}
    assert circles(edges - late) == []


def test_imports_within_functions_have_a_reason() -> None:
    late = {
        (one.source, one.target): shown(one)
        for one in imports()
        if one.late and not (room(one.source) == "cli" and one.target.startswith("trainer"))
    }
    assert {place: text for place, text in late.items() if place not in LATE} == {}
    assert LATE.keys() == late.keys(), "a reason is left without its import"
