"""Writes the help texts: options in titled panels and two columns, with no name broken at the end of a line."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import typer.core

from albert_fast.cli.common import UsageError
from albert_fast.options import REQUIRED, Option, Stage, options_of

PANELS = (
    "Input",
    "Data",
    "Tokenizer",
    "Text",
    "Pieces",
    "Algorithm",
    "Sentences",
    "Cleaning",
    "Filters",
    "Model",
    "Instances",
    "Masks",
    "Instances, with --tokens",
    "Masks, with --tokens",
    "Training",
    "Device",
    "Checkpoints and metrics",
    "Model card",
    "Output",
    "Tasks",
    "Workers",
    "Jobs",
    "Workers, with pretrain",
    "Cluster",
    "Options",
)
"""All panels, in the order in which they are shown."""

LAST = ("dry_run", "samples", "allow_other_tokenizer", "num_threads", "overwrite")
"""Options that come last in their panel, in this order."""

NAMES = 30
"""Width in columns of an option's name. A longer name has its own line."""

WIDEST = 110


class Command(typer.core.TyperCommand):
    """A command whose help has panels."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the command line. Every error then names the command.

        Raises:
            UsageError: there are more arguments than the command takes.
        """
        # typer's own sentence about them differs from version to version.
        ctx.allow_extra_args = True
        if getattr(getattr(self.callback, "stage", None), "WRAPS", False):
            args = own_first(self.get_params(ctx), args)
        try:
            left = super().parse_args(ctx, args)
        except Exception as error:
            if hasattr(error, "ctx"):
                error.ctx = error.ctx or ctx
            raise
        if left:
            arguments = f"unknown argument{'' if len(left) == 1 else 's'} {' '.join(left)}"
            raise UsageError(f"{arguments} (see `{ctx.command_path} --help`)")
        return left

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help text."""
        stage = getattr(self.callback, "stage", None)
        if stage is None:
            super().format_help(ctx, formatter)
            return
        formatter.write(text(ctx.command_path, stage, self.help or "") + "\n")


def own_first(parameters: Iterable[Any], args: Sequence[str]) -> list[str]:
    """Returns the words of a command that runs another one, its own options first, then `--` and those of the other.

    Both get --config. What follows a `--` belongs to the other command.
    """
    has_value = {
        name: not one.is_flag
        for one in parameters
        if one.param_type_name == "option"
        for name in (*one.opts, *one.secondary_opts)
    }
    own: list[str] = []
    others: list[str] = []
    todo = [*args]
    while todo and todo[0] != "--":
        word = todo.pop(0)
        name, has_own_value, _ = word.partition("=")
        if name not in has_value:
            others.append(word)
            continue
        words = [word, *todo[:1]] if has_value[name] and not has_own_value else [word]
        todo = todo[len(words) - 1 :]
        own += words
        if name == "--config":
            others += words
    return [*own, "--", *others, *todo]


def text(command: str, stage: type[Stage], description: str, width: int | None = None) -> str:
    """Returns the help text of a command.

    Args:
        command: the command as it is typed, such as `albert-fast tokenize`.
        stage: the options of the command.
        description: paragraphs. The lines of a paragraph that starts with four spaces stay as they are.
        width: width in columns. None: that of the terminal, at most `WIDEST`.
    """
    width = min(WIDEST, width or shutil.get_terminal_size().columns)
    arguments = [_usage(option) for option in options_of(stage).values() if option.argument]
    summary, *rest = _paragraphs(description, width)
    usage = " ".join(["Usage:", command, "[OPTIONS]", *_required(stage), *arguments])
    lines = [*summary, "", usage]
    for paragraph in rest:
        lines += ["", *paragraph]
    for panel, options in panels(stage):
        lines += ["", panel]
        for option in options:
            lines += entry(names(option), described(option), width)
        if panel == "Options":
            lines += entry("-h, --help", "Show this help.", width)
    return "\n".join(lines)


def panels(stage: type[Stage]) -> list[tuple[str, list[Option]]]:
    """Returns the options of a command by panel, in the order in which they are shown."""
    found: dict[str, list[Option]] = {}
    for option in options_of(stage).values():
        found.setdefault(stage.PANELS.get(option.panel, option.panel), []).append(option)
    for options in found.values():
        options.sort(key=_place)
    return sorted(found.items(), key=lambda item: PANELS.index(item[0]))


def _place(option: Option) -> tuple[bool, bool, int]:
    """Returns an option's place in its panel: arguments, required options, other options, `LAST`."""
    return not option.argument, option.default is not REQUIRED, LAST.index(option.name) if option.name in LAST else -1


def names(option: Option) -> str:
    """Returns an option as help texts name it: `--max-seq-length N`, `--[no-]overwrite`."""
    if option.argument:
        return _usage(option)
    if option.kind is bool:
        return option.flag if option.only else f"--[no-]{option.flag.removeprefix('--')}"
    return f"{', '.join([*option.flags, option.flag])} {option.metavar}"


def described(option: Option) -> str:
    """Returns what help texts say about an option, including its default."""
    default = "required" if option.default is REQUIRED else option.default_words
    choices = "" if not option.choices or "|" in option.metavar else f" One of {', '.join(option.choices)}."
    return f"{option.help}{choices}" + (f"  [{default}]" if default else "")


def entry(name: str, words: str, width: int) -> list[str]:
    """Returns the lines of an option: its name, and what it does next to it or below."""
    lines = textwrap.wrap(
        words, max(20, width - NAMES - 2), break_on_hyphens=False, break_long_words=False, fix_sentence_endings=False
    )
    indented = [f"{'':{NAMES + 2}}{line}" for line in lines]
    if len(name) > NAMES - 2:
        return [f"  {name}", *indented]
    return [f"  {name:<{NAMES}}{lines[0] if lines else ''}", *indented[1:]]


def _usage(option: Option) -> str:
    return f"{option.metavar}..." if option.many else option.metavar


def _required(stage: type[Stage]) -> Iterable[str]:
    for option in options_of(stage).values():
        if option.default is REQUIRED and not option.argument:
            yield f"{option.flag} {option.metavar}"


def _paragraphs(description: str, width: int) -> list[list[str]]:
    """Returns the lines of each paragraph. A command that readers copy keeps its lines."""
    found = []
    for paragraph in description.strip().split("\n\n"):
        lines = textwrap.dedent(paragraph).splitlines()
        if lines[0].startswith("albert-fast "):
            found.append([f"  {line}" for line in lines])
        else:
            found.append(textwrap.wrap(" ".join(lines), width, break_on_hyphens=False, break_long_words=False))
    return found
