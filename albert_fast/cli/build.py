"""Makes commands from the dataclasses of `albert_fast.options`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import typer.main

from albert_fast.cli import flags
from albert_fast.cli.commands import COMMANDS
from albert_fast.cli.common import OutputClosed, UsageError
from albert_fast.cli.config import callback
from albert_fast.cli.help import Command
from albert_fast.options import REQUIRED, Option, Stage, options_of

S = TypeVar("S", bound=Stage)

Body = Callable[[S, frozenset[str]], Any]
"""What a command does with its options. The names are those of the options that the user gave."""


def command(stage: type[S]) -> Callable[[Body[S]], Callable[..., Any]]:
    """Turns a function that takes a command's options into the function that typer calls.

    The signature that typer reads is made from the fields of `stage`. Values come from the command line, then from
    `--config`, then from the defaults, and `stage` checks them.
    """

    def decorate(body: Body[S]) -> Callable[..., Any]:
        @functools.wraps(body)
        def run(context: typer.Context, **values: Any) -> Any:
            flags.begin(stage)
            try:
                return body(resolved(stage, context, values), given(context))
            except BrokenPipeError as error:
                # typer would exit with 1.
                raise OutputClosed from error

        parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
        parameters += [_parameter(option) for option in options_of(stage).values()]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.stage = stage  # type: ignore[attr-defined]
        return run

    return decorate


def typer_command(name: str) -> Any:
    """Returns a command as typer runs it."""
    one = typer.Typer(add_completion=False, rich_markup_mode=None)
    one.command(name, cls=Command)(COMMANDS[name])
    return typer.main.get_command(one)


def stage_of(function: Callable[..., Any]) -> type[Stage]:
    """Returns the dataclass of a command's options."""
    stage: type[Stage] = function.stage  # type: ignore[attr-defined]
    return stage


def given(context: typer.Context, *sources: str) -> frozenset[str]:
    """Returns the names of the options that the user gave, on the command line or in `--config`.

    Args:
        context: the context of the command.
        sources: where to look, out of `COMMANDLINE` and `DEFAULT_MAP`. Without any, it looks in both.
    """
    wanted = sources or ("COMMANDLINE", "DEFAULT_MAP")
    found = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in found.items() if source is not None and source.name in wanted)


def resolved(stage: type[S], context: typer.Context, values: dict[str, Any]) -> S:
    """Returns the options of a command, from the values that typer has read.

    Raises:
        UsageError: an argument is missing, or an option has no effect.
        AlbertFastError: a value breaks its rule.
    """
    options = options_of(stage)
    for name, option in options.items():
        if option.argument and not values.get(name):
            # Older versions of click do not read arguments that take many values from the configuration.
            values[name] = (context.default_map or {}).get(name)
            if not values[name]:
                raise UsageError(f"{option.metavar} is required (see `{context.command_path} --help`)")
    for name in sorted(given(context, "COMMANDLINE") & stage.NEEDS.keys()):
        needed = stage.NEEDS[name]
        needed = (needed,) if isinstance(needed, str) else needed
        if not any(values.get(one) for one in needed):
            raise UsageError(f"{options[name].flag} has no effect without {options[needed[0]].flag}; remove it")
    chosen = dict(values)
    for name, option in options.items():
        if chosen[name] is None and not option.optional:
            chosen[name] = option.default
    return stage(**chosen)


def _metavar(option: Option) -> str:
    return f"{option.metavar}..." if option.many else option.metavar


def _number(option: Option) -> Callable[[Any], Any]:
    """Returns a function that reads a number, and leaves what is none to the check of the dataclass."""

    def read(value: Any) -> Any:
        try:
            return option.kind(value)
        except ValueError:
            return value

    return read


def _parameter(option: Option) -> inspect.Parameter:
    """Returns the option as typer declares it.

    The dataclass checks numbers and ranges, so that their errors are alike everywhere.
    """
    # The dataclass reads the text of a group of options.
    kind = str if option.is_group else option.kind
    annotation: Any = list[kind] if option.many else kind  # type: ignore[valid-type]
    default = option.default
    if option.argument:
        info: Any = typer.Argument(metavar=_metavar(option), help=option.help, show_default=False)
        annotation, default = annotation | None, None
    elif option.name == "config":
        info = typer.Option("--config", help=option.help, callback=callback, is_eager=True, metavar=option.metavar)
        annotation = Path | None
    else:
        names = [*option.flags, option.flag]
        if option.kind is bool and not option.only:
            names = [f"{option.flag}/--no-{option.flag.removeprefix('--')}"]
        metavar = None if option.kind is bool else option.metavar
        parser = _number(option) if option.kind in {int, float} else None
        info = typer.Option(*names, help=option.help, metavar=metavar, rich_help_panel=option.panel, parser=parser)
        if option.many:
            annotation, default = annotation | None, None if default is not REQUIRED else default
        elif option.optional:
            annotation = annotation | None
    empty = inspect.Parameter.empty if default is REQUIRED else default
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=empty, annotation=Annotated[annotation, info]
    )
