"""The command line: `albert-fast COMMAND`.

Each command has its own file. Only `main` prints errors. The exit codes are 0; 1 for an error; 2 for an error on the
command line or in a configuration; and 130 for Ctrl-C or another signal that asks to end.
"""

import contextlib
import difflib
import io
import os
import sys
import threading
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.core

from albert_fast import __version__
from albert_fast._signals import TRACKER, as_ctrl_c
from albert_fast.cli.build import typer_command
from albert_fast.cli.commands import COMMANDS, SUMMARIES
from albert_fast.cli.common import CommandError, OutputClosed, Stopped, UsageError, note_words
from albert_fast.cli.flags import in_flags
from albert_fast.cli.foreign import hint
from albert_fast.errors import AlbertFastError
from albert_fast.text import describe_os_error, one_line
from albert_fast.tokenizers.library import WORKER


class Commands(typer.core.TyperGroup):
    """All commands. Each is built when it is first used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """Returns their names, in the order of a project."""
        return [*COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """Returns a command, or None if there is none of that name."""
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            self.commands[cmd_name] = typer_command(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Returns the command that the first argument names, and the other arguments.

        Raises:
            UsageError: there is no such command.
        """
        if args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"unknown command {args[0]}{meant} (see `albert-fast --help`)")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        """Writes their names and summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([*SUMMARIES.items()])


app = typer.Typer(
    cls=Commands,
    help="Pretrain your own ALBERT: raw text in, a Hugging Face model out.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _version(value: bool) -> None:
    if value:
        print(f"albert-fast {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Pretrain your own ALBERT: raw text in, a Hugging Face model out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Args:
        arguments: the words after `albert-fast`. The default is `sys.argv[1:]`.
    """
    # A piece or a file name that the terminal's encoding lacks must not stop the command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with as_ctrl_c():
            code = _run(arguments)
        sys.stdout.flush()
    except (OutputClosed, BrokenPipeError):
        # The reader has what it wanted (`| head`). Python's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"albert-fast: error: cannot write to standard output: {error.strerror}", file=sys.stderr)
        return 1
    if any(thread.name == WORKER or thread.name.startswith(TRACKER) for thread in threading.enumerate()):
        # SentencePiece cannot be stopped, and aborts with noise if Python tears down its thread. A tracker that is
        # stuck would keep Python from ending.
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else [*arguments]
    note_words(words)
    try:
        result = app(words, prog_name="albert-fast", standalone_mode=False)
    except Stopped as error:
        code = _fail(str(error), 130, label="")
        if error.at_once:
            # Python would wait for TensorFlow's threads, which may be in the middle of a long computation.
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(code)
        return code
    except KeyboardInterrupt:
        return _fail("stopped", 130, label="")
    except (CommandError, AlbertFastError) as error:
        if _debug():
            raise
        return _fail(in_flags(str(error), getattr(error, "option", None)), error.exit_code)
    except (OutputClosed, BrokenPipeError):
        raise
    except OSError as error:
        if _debug():
            raise
        return _fail(describe_os_error(error), 1)
    except typer.Abort:
        return _fail("stopped", 130, label="")
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        # These are typer's own errors: click's classes in older versions, a copy of them in newer ones.
        if isinstance(error, Exception) and hasattr(error, "format_message"):
            if type(error).__name__ == "NoArgsIsHelpError":
                print(error.format_message(), file=sys.stderr)
                return 2
            return _fail(_described(error), getattr(error, "exit_code", 2))
        if _debug():
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; run with ALBERT_FAST_DEBUG=1 for the traceback", 1)
    # typer returns a value for Ctrl-C and typer.Exit.
    if result == 130:
        return _fail("stopped", 130, label="")
    return result if isinstance(result, int) else 0


def _described(error: Any) -> str:
    """Returns what is wrong with a command line, and where to read more."""
    context = getattr(error, "ctx", None)
    path = "albert-fast" if context is None else context.command_path
    # typer's own sentences differ from version to version, and from ours.
    kind = type(error).__name__
    if kind == "NoSuchOption":
        message = f"unknown option {error.option_name}{_hint(error)}"
    elif kind == "MissingParameter" and error.param is not None:
        message = f"{max(error.param.opts, key=len)} is required"
    elif kind == "BadOptionUsage":
        message = f"{error.option_name} {'does not take' if _is_switch(error) else 'requires'} a value"
    else:
        message = error.format_message().rstrip(".") or "give a command"
    return f"{message} (see `{path} --help`)"


def _is_switch(error: Any) -> bool:
    """Returns whether the option of an error is one without a value."""
    if error.ctx is None:
        # Commands name themselves in their errors, and without a command there are only switches.
        return True
    parameters = error.ctx.command.get_params(error.ctx)
    return any(error.option_name in {*it.opts, *it.secondary_opts} and it.is_flag for it in parameters)


def _hint(error: Any) -> str:
    """Returns what to type instead of a flag that does not exist, which may be another program's."""
    near = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
    if error.ctx is None:
        return near
    parameters = error.ctx.command.params
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    found = hint(error.option_name, known, any(parameter.param_type_name == "argument" for parameter in parameters))
    return f"; {found}" if found else near


def _debug() -> bool:
    return os.environ.get("ALBERT_FAST_DEBUG", "") not in {"", "0"}


def _fail(message: str, code: int, label: str = "error: ") -> int:
    print(f"albert-fast: {label}{one_line(message)}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
