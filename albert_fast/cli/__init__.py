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

import click

from albert_fast import __version__
from albert_fast._signals import as_ctrl_c
from albert_fast.cli.build import build
from albert_fast.cli.commands import COMMANDS, SUMMARIES
from albert_fast.cli.common import CommandError, OutputClosed, Stopped
from albert_fast.cli.flags import in_flags
from albert_fast.cli.foreign import hint
from albert_fast.errors import AlbertFastError
from albert_fast.text import describe_os_error, one_line
from albert_fast.tokenizers.library import WORKER


class Commands(click.Group):
    """All commands. Each is built when it is first used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns their names, in the order of a project."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:
        """Returns a command, or None if there is none of that name."""
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            self.commands[cmd_name] = build(cmd_name, COMMANDS[cmd_name])
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the command that the first argument names, and the other arguments."""
        if args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"no such command: {args[0]}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes their names and summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([*SUMMARIES.items()])


def _version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        print(f"albert-fast {__version__}")
        context.exit()


app = Commands(
    help="Pretrain your own ALBERT: raw text in, a Hugging Face model out.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Print the version and exit.",
        )
    ],
)


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
    if any(thread.name == WORKER for thread in threading.enumerate()):
        # SentencePiece cannot be stopped, and aborts with noise if Python tears down its thread.
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else [*arguments]
    try:
        # Not `app.main`, which writes an empty line to standard error at Ctrl-C.
        with app.make_context("albert-fast", words) as context:
            app.invoke(context)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
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
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.UsageError as error:
        return _fail(_described(error), error.exit_code)
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        if _debug():
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; run with ALBERT_FAST_DEBUG=1 for the traceback", 1)
    return 0


def _described(error: click.UsageError) -> str:
    """Returns what is wrong with a command line, and where to read more."""
    path = "albert-fast" if error.ctx is None else error.ctx.command_path
    if isinstance(error, click.NoSuchOption):
        # click's own sentence differs from version to version.
        message = f"No such option: {error.option_name}{_hint(error)}"
    else:
        message = error.format_message().rstrip(".") or "give a command"
    return f"{message} (see `{path} --help`)"


def _hint(error: click.NoSuchOption) -> str:
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
