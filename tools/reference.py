"""Writes the reference page of every command, docs/reference/COMMAND.md, from the commands themselves.

Usage: python tools/reference.py. `make docs` runs it, and a test compares the pages with what it would write.
"""

from __future__ import annotations

import enum
import re
import textwrap
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer.main
from typer.utils import get_params_from_function

from albert_fast.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PAGES = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- tools/reference.py wrote this page from the command's options. Change them, then run `make docs`. -->"
_DEFAULT = re.compile(r"\s*\[default: (.*)\]$", re.DOTALL)


class Row(NamedTuple):
    """An option or argument, as a page shows it."""

    name: str
    """As it is typed, with what stands for its value."""
    text: str
    values: str
    """The values that it takes, in Markdown; empty if the name says it all."""
    default: str
    """In Markdown; empty if there is none."""
    required: bool


def commands() -> Mapping[str, Any]:
    """The commands by name, in the order of the help."""
    root: Any = typer.main.get_command(app)
    found: Mapping[str, Any] = root.commands
    return found


def pages() -> dict[str, str]:
    """What docs/reference holds of generated pages: their text by file name."""
    found = {f"{name}.md": page(name, command) for name, command in commands().items()}
    return {"index.md": index(commands()), **found}


def index(found: Mapping[str, Any]) -> str:
    """The page that lists the commands."""
    rows = [f"| [`{name}`]({name}.md) | {_cell(_summary(command))} |" for name, command in found.items()]
    text = """
        # Commands

        Each command has a page with all its options. `albert-fast COMMAND --help` prints the same, and
        `albert-fast --version` the version. Any option can also be set in
        [a configuration file](configuration.md).

        | command | what it does |
        |---|---|
    """
    return f"{NOTE}\n{textwrap.dedent(text).rstrip()}\n" + "\n".join(rows) + "\n"


def page(name: str, command: Any) -> str:
    """The page of one command."""
    panels = _panels(command)
    needed = [row.name for rows in panels.values() for row in rows if row.required]
    needed.sort(key=lambda option: not option.startswith("-"))
    parts = [
        NOTE,
        f"# {name}",
        *_described(command),
        "## Usage",
        _block(" ".join(["albert-fast", name, "[OPTIONS]", *needed])),
    ]
    for panel, rows in panels.items():
        parts += [f"## {panel}", *_table(rows)]
    return "\n\n".join(parts) + "\n"


def _summary(command: Any) -> str:
    """The first paragraph of the help, without its full stop."""
    return " ".join(command.help.split("\n\n")[0].split()).removesuffix(".")


def _described(command: Any) -> Iterator[str]:
    """The help's paragraphs. Lines that are examples, or that are indented, become code blocks."""
    for paragraph in textwrap.dedent(command.help).strip().split("\n\n"):
        lines = paragraph.splitlines()
        if lines[0].startswith("Example: "):
            words = " ".join(paragraph.split()).removeprefix("Example: ")
            # Room for the backslash that continues a line.
            yield _block(" \\\n    ".join(textwrap.wrap(words, 94, break_on_hyphens=False)))
        elif all(line.startswith("    ") for line in lines):
            yield _block(textwrap.dedent(paragraph))
        else:
            yield textwrap.fill(_prose(" ".join(paragraph.split())), 100, break_on_hyphens=False)


def _block(code: str) -> str:
    return f"```\n{code}\n```"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    cells = [("option", "what it does", "values", "default"), ("---",) * 4]
    for row in rows:
        default = "*required*" if row.required else row.default
        cells.append((_code(row.name), _cell(row.text), row.values, default))
    # No column for what none of these options has.
    kept = [column for column in range(4) if any(line[column] for line in cells[2:])]
    yield "\n".join(f"| {' | '.join(line[column] for column in kept)} |" for line in cells)


def _panels(command: Any) -> dict[str, list[Row]]:
    """The options by the titles of their panels, in the order of the help; required ones first."""
    annotations = {name: it.annotation for name, it in get_params_from_function(command.callback).items()}
    found: dict[str, list[Row]] = {}
    for parameter in command.params:
        if parameter.name in annotations and not getattr(parameter, "hidden", False):
            row = _row(parameter, annotations[parameter.name])
            panel = "Input" if parameter.param_type_name == "argument" else parameter.rich_help_panel
            found.setdefault(panel or "Options", []).append(row)
    for rows in found.values():
        rows.sort(key=lambda row: not row.required)
    # What has no panel of its own comes first if the command needs it, otherwise last.
    return dict(sorted(found.items(), key=lambda item: not any(row.required for row in item[1])))


def _row(parameter: Any, annotation: Any) -> Row:
    kind = _kind(annotation)
    is_argument = parameter.param_type_name == "argument"
    metavar = parameter.metavar or _metavar(kind)
    text = " ".join((parameter.help or "").split())
    spoken = _DEFAULT.search(text)
    if spoken:
        text, default = text[: spoken.start()], _cell(spoken[1])
    else:
        default = _default(parameter)
    if is_argument:
        name = metavar
    elif kind is bool:
        name = _switch(parameter)
    else:
        name = " ".join([", ".join(sorted(parameter.opts, key=len)), metavar])
    # The command itself insists on its arguments, which may also come from a configuration file.
    return Row(name, text, _values(parameter, kind), default, parameter.required or is_argument)


def _kind(annotation: Any) -> Any:
    """The type of a value, without `None`, `Annotated` and `list`."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is list:
        annotation = typing.get_args(annotation)[0]
    return annotation


def _switch(parameter: Any) -> str:
    (name,) = parameter.opts
    return f"--[no-]{name.removeprefix('--')}" if parameter.secondary_opts else name


def _metavar(kind: Any) -> str:
    names = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH", bool: ""}
    return names.get(kind, "CHOICE")


def _values(parameter: Any, kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(_code(str(choice.value)) for choice in kind)
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(_code(choice) for choice in typing.get_args(kind))
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is not None and high is not None:
        return f"{_number(low)} to {_number(high)}"
    if low is not None:
        return f"{_number(low)} or more"
    return f"up to {_number(high)}" if high is not None else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or parameter.required or parameter.show_default is False:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, enum.Enum):
        value = value.value
    return _code(f"{value:g}" if isinstance(value, float) else str(value))


def _code(text: str) -> str:
    # Within a table a bar ends the cell, even in code.
    return "`" + text.replace("|", "\\|") + "`"


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).replace("|", "\\|")


def _prose(text: str) -> str:
    """Text of a help in Markdown: options and special tokens as code, angle brackets as they are."""
    text = text.replace("*", "\\*")
    text = re.sub(r"(?<![\w`-])(--?[a-z][a-z-]*(?![\w-]))", r"`\1`", text)
    text = re.sub(r"(\[[A-Z]+\])", r"`\1`", text)
    return re.sub(r"(?<!`)<(\w+)>(?!`)", r"`<\1>`", text)


def main() -> None:
    """Writes the pages, and removes those of commands that no longer exist."""
    PAGES.mkdir(exist_ok=True)
    written = pages()
    for path in PAGES.glob("*.md"):
        if path.name not in written and path.read_text(encoding="utf-8").startswith(NOTE):
            path.unlink()
    for name, text in written.items():
        (PAGES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
