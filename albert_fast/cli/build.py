"""Makes commands from the dataclasses of `albert_fast.options`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import click

from albert_fast.cli import flags
from albert_fast.cli.common import OutputClosed, UsageError
from albert_fast.cli.config import callback
from albert_fast.cli.help import Command
from albert_fast.options.base import REQUIRED, Option, Stage, options_of

S = TypeVar("S", bound=Stage)

Body = Callable[[S, frozenset[str]], Any]
"""What a command does with its options. The names are those of the options that the user gave."""


def command(stage: type[S]) -> Callable[[Body[S]], Callable[..., Any]]:
    """Turns a function that takes a command's options into the function that click calls.

    Values come from the command line, then from `--config`, then from the defaults, and `stage` checks them.
    """

    def decorate(body: Body[S]) -> Callable[..., Any]:
        @functools.wraps(body)
        def run(context: click.Context, **values: Any) -> Any:
            flags.begin(stage)
            try:
                return body(_resolved(stage, context, values), given(context))
            except BrokenPipeError as error:
                raise OutputClosed from error

        run.stage = stage  # type: ignore[attr-defined]
        return run

    return decorate


def stage_of(function: Callable[..., Any]) -> type[Stage]:
    """Returns the dataclass of a command's options."""
    stage: type[Stage] = function.stage  # type: ignore[attr-defined]
    return stage


def build(name: str, function: Callable[..., Any]) -> Command:
    """Returns the command that calls a function of `command`, with its parameters and its help text."""
    stage = stage_of(function)
    return Command(
        name,
        stage,
        callback=click.pass_context(function),
        params=[_parameter(option) for option in options_of(stage).values()],
        help=inspect.getdoc(function),
    )


def given(context: click.Context, *sources: str) -> frozenset[str]:
    """Returns the names of the options that the user gave, on the command line or in `--config`.

    Args:
        context: the context of the command.
        sources: where to look, out of `COMMANDLINE` and `DEFAULT_MAP`. Without any, it looks in both.
    """
    wanted = sources or ("COMMANDLINE", "DEFAULT_MAP")
    found = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in found.items() if source is not None and source.name in wanted)


def _resolved(stage: type[S], context: click.Context, values: dict[str, Any]) -> S:
    """Returns the options of a command that runs.

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
                raise UsageError(f"missing argument {_metavar(option)} (see `{context.command_path} --help`)")
    for name in sorted(given(context, "COMMANDLINE") & stage.NEEDS.keys()):
        needed = stage.NEEDS[name]
        if not values.get(needed):
            raise UsageError(f"{options[name].flag} has no effect without {options[needed].flag}; remove it")
    chosen = dict(values)
    for name, option in options.items():
        # click represents a list that was not given as an empty one.
        if (chosen[name] is None and not option.optional) or (option.many and not chosen[name]):
            chosen[name] = option.default
    return stage(**chosen)


def _metavar(option: Option) -> str:
    return f"{option.metavar}..." if option.many else option.metavar


class _Number(click.ParamType):  # type: ignore[type-arg]  # it is not generic in older versions
    """A number. The dataclass checks its range, so that errors are alike everywhere."""

    def __init__(self, option: Option) -> None:
        self.name = option.kind.__name__
        self._option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the number.

        Raises:
            AlbertFastError: `value` is not a number.
        """
        try:
            return self._option.kind(value)
        except ValueError:
            raise self._option.error(value) from None


def _parameter(option: Option) -> click.Parameter:
    """Returns the option as click declares it."""
    kind: Any = _Number(option) if option.kind in {int, float} else str
    if option.argument:
        return click.Argument(
            [option.name], type=kind, metavar=_metavar(option), required=False, nargs=-1 if option.many else 1
        )
    if option.name == "config":
        return click.Option(["--config"], type=str, help=option.help, callback=callback, is_eager=True)
    names = [option.name, *option.flags, option.flag]
    if option.kind is bool:
        if not option.only:
            names[-1] += f"/--no-{option.flag.removeprefix('--')}"
        return click.Option(names, is_flag=True, default=option.default, help=option.help)
    if option.many or option.default is REQUIRED:
        required = option.default is REQUIRED
        return click.Option(names, type=kind, required=required, multiple=option.many, help=option.help)
    return click.Option(names, type=kind, default=option.default, help=option.help)
