"""Writes the reference page of every command, docs/reference/COMMAND.md, from the commands themselves.

Usage: python tools/reference.py. `make docs` runs it, and a test compares the pages with its output.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast.cli.build import stage_of
from albert_fast.cli.commands import COMMANDS
from albert_fast.cli.help import names, panels
from albert_fast.options import REQUIRED, Option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PAGES = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- tools/reference.py wrote this page from the command's options. Change them, then run `make docs`. -->"

LINKS = {
    "google-research/ALBERT": "https://github.com/google-research/albert",
    "public ALBERT guide": "configuration.md#the-file-of-the-public-guide",
}
"""What names in help texts link to."""


class Row(NamedTuple):
    """An option or argument, as a page shows it."""

    name: str
    """The option as it is typed, with its metavar."""
    text: str
    values: str
    """The values that it takes, in Markdown. Empty if the name says enough."""
    default: str
    """In Markdown. Empty if there is none."""
    required: bool


def pages() -> dict[str, str]:
    """Returns the generated pages of docs/reference: their text by file name."""
    found = {f"{name}.md": page(name, command) for name, command in COMMANDS.items()}
    return {"index.md": index(COMMANDS), **found}


def index(found: Mapping[str, Any]) -> str:
    """Returns the page that lists the commands."""
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
    """Returns the page of one command."""
    found = {panel: [_row(option) for option in options] for panel, options in panels(stage_of(command))}
    needed = [row.name for rows in found.values() for row in rows if row.required]
    needed.sort(key=lambda option: not option.startswith("-"))
    parts = [
        NOTE,
        f"# {name}",
        *_described(command),
        "## Usage",
        _block(" ".join(["albert-fast", name, "[OPTIONS]", *needed])),
    ]
    for panel, rows in found.items():
        parts += [f"## {panel}", *_table(rows)]
    return _linked("\n\n".join(parts) + "\n")


def _linked(text: str) -> str:
    """Returns a page with a link at the first mention of each name in `LINKS`."""
    for name, target in LINKS.items():
        text = text.replace(name, f"[{name}]({target})", 1)
    return text


def _summary(command: Any) -> str:
    """Returns the first paragraph of the help, without its period."""
    return " ".join(inspect.getdoc(command).split("\n\n")[0].split()).removesuffix(".")  # type: ignore[union-attr]


def _described(command: Any) -> Iterator[str]:
    """Yields the paragraphs of the help. Examples become code blocks."""
    for paragraph in inspect.getdoc(command).split("\n\n"):  # type: ignore[union-attr]
        text = textwrap.dedent(paragraph)
        if text.startswith("albert-fast "):
            yield _block(text)
        else:
            yield textwrap.fill(_prose(" ".join(text.split())), 100, break_on_hyphens=False)


def _block(code: str) -> str:
    return f"```\n{code}\n```"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    cells = [("option", "what it does", "values", "default"), ("---",) * 4]
    for row in rows:
        default = "*required*" if row.required else row.default
        cells.append((_code(row.name), _cell(row.text), row.values, default))
    # A column is dropped if none of these options uses it.
    kept = [column for column in range(4) if any(line[column] for line in cells[2:])]
    yield "\n".join(f"| {' | '.join(line[column] for column in kept)} |" for line in cells)


def _row(option: Option) -> Row:
    required = option.default is REQUIRED
    # The choices have their own column.
    name = names(option).removesuffix(f" {'|'.join(option.choices)}")
    return Row(name, option.help, _values(option), _default(option), required)


def _values(option: Option) -> str:
    if option.choices:
        return ", ".join(_code(choice) for choice in option.choices)
    if option.kind in {int, float}:
        return option.range.strip().removeprefix("of ").removeprefix("from ")
    return ""


def _default(option: Option) -> str:
    words = option.default_words
    if words is None or option.shown is not None or option.kind is bool:
        return _cell(words or "")
    return _code(words)


def _code(text: str) -> str:
    # In a table, a bar ends the cell, even in code.
    return "`" + text.replace("|", "\\|") + "`"


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).replace("|", "\\|")


def _prose(text: str) -> str:
    """Returns help text as Markdown, with options and special tokens as code."""
    text = text.replace("*", "\\*")
    text = re.sub(r"(?<![\w`-])(--?[a-z][a-z-]*(?![\w-]))", r"`\1`", text)
    text = re.sub(r"(\[[A-Z]+\])", r"`\1`", text)
    return re.sub(r"(?<!`)<(\w+)>(?!`)", r"`<\1>`", text)


def main() -> None:
    """Writes the pages, and removes the pages of commands that no longer exist."""
    PAGES.mkdir(exist_ok=True)
    written = pages()
    for path in PAGES.glob("*.md"):
        if path.name not in written and path.read_text(encoding="utf-8").startswith(NOTE):
            path.unlink()
    for name, text in written.items():
        (PAGES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
