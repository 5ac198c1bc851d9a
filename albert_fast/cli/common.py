"""What every command shares: errors, messages, and the configuration next to an output."""

import contextlib
import enum
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from albert_fast import __version__
from albert_fast.cli.flags import in_flags
from albert_fast.errors import AlbertFastError
from albert_fast.files import write_atomic
from albert_fast.options import Stage
from albert_fast.paths import RemotePath, public
from albert_fast.text import number, one_line


class CommandError(Exception):
    """An error the user can fix. Printed as one line; exit code 1."""

    exit_code = 1


class UsageError(CommandError):
    """A command line or a configuration that breaks a rule, or contradicts itself. Exit code 2."""

    exit_code = 2


class Stopped(Exception):  # noqa: N818 - it is not an error
    """Ctrl-C. Exit code 130.

    Args:
        advice: how to resume, in one line.
        at_once: whether the process must end without waiting for its threads.
    """

    def __init__(self, advice: str, *, at_once: bool = False) -> None:
        super().__init__(f"stopped; {advice}")
        self.at_once = at_once

    @classmethod
    def by_core(cls, error: KeyboardInterrupt) -> "Stopped":
        """Returns it with the message of the compiled core, which says how to resume."""
        stopped = cls("")
        stopped.args = error.args
        return stopped


class OutputClosed(Exception):  # noqa: N818 - it is not an error
    """Whatever read standard output, such as `head`, closed the pipe. Exit code 141."""


_words: list[str] = []


def note_words(words: Sequence[str]) -> None:
    """Notes the words after `albert-fast`, for `command_line`."""
    _words[:] = words


def command_line() -> str:
    """Returns the command line of this process as a shell reads it, without passwords and signatures of addresses."""
    return shlex.join(["albert-fast", *map(_public, _words)])


def _public(word: str) -> str:
    name, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    with contextlib.suppress(AlbertFastError):
        return name + equals + public(value)
    return word


def info(message: str) -> None:
    """Prints a line for the reader to standard error, so that standard output only has results."""
    print(f"albert-fast: {in_flags(message)}", file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Prints a warning, which is one line."""
    info(f"warning: {one_line(message)}")


def warn_of_replaced(result: Mapping[str, Any]) -> None:
    """Prints the count that `--on-bad-utf8 replace` promises."""
    if result.get("replaced"):
        warn(f"{number(result['replaced'], 'invalid UTF-8 sequence')} became U+FFFD")


@contextlib.contextmanager
def interruptible(advice: str) -> Iterator[None]:
    """Turns Ctrl-C within the block into `Stopped` with the message of the compiled core, or with `advice`."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped.by_core(error) if error.args else Stopped(advice) from None


def check_output_dir(output_dir: Path) -> None:
    """Refuses an output directory that cannot be written, before any work. Changes nothing."""
    if isinstance(output_dir, RemotePath):
        return  # nothing is known before something is written
    existing = output_dir.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise CommandError(f"cannot write to {output_dir}: {existing} is not a directory; pass another path")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise CommandError(f"cannot write to {output_dir}: no permission to write in {existing}; pass another path")


def make_output_dir(output_dir: Path) -> None:
    """Creates `output_dir` and its parents if they do not exist."""
    if isinstance(output_dir, RemotePath):
        return
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot create {output_dir}: {error.strerror or error}") from error


def plain(value: Any) -> Any:
    """Returns `value` as JSON represents it: paths and choices as strings, tuples as lists."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value


def write_config(
    output_dir: Path,
    command: str,
    options: Stage,
    *,
    prefix: str = "",
    resolved: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """Writes the resolved options of `command` next to its output, see `config_file`. Returns the path of the file."""
    path, content = config_file(output_dir, command, options, prefix=prefix, resolved=resolved)
    write_atomic(path, content)
    return path


def config_file(
    output_dir: Path,
    command: str,
    options: Stage,
    *,
    prefix: str = "",
    resolved: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Path, bytes]:
    """Returns the resolved options of `command` as `output_dir`/COMMAND.config.json, which `--config` can read.

    Args:
        output_dir: the directory of the file.
        command: the name of the command.
        options: the options of the command.
        prefix: the beginning of the file name. If the output is a file, it is that file's name and a dot.
        resolved: values that were decided later, by option.
    """
    path = output_dir / f"{prefix}{command}.config.json"
    # `overwrite` is not kept: that one output was replaced does not mean that the next one should be. Which task wrote
    # what says nothing about the output.
    dropped = {"config", "overwrite", "num_tasks", "task_id"}
    kept = {name: value for name, value in options.as_dict().items() if name not in dropped}
    content = {"albert_fast_version": __version__, command: {**kept, **plain(resolved)}}
    # Python's strings represent a file name that is not UTF-8 with lone surrogates, and JSON with their escapes.
    return path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
