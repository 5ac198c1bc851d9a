"""The directories that `export` and `import-checkpoint` write: complete or absent, and never replacing other data."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from albert_fast.files import locked, whole_directory
from trainer.errors import TrainerError, reason, some

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """Do as `albert_fast.files.whole_directory`. The caller has locked `final` as an output that is complete or absent.

    Raises:
        TrainerError: another program changed the content of `final` during the block. It is left unchanged.
        AlbertFastError: another program is writing there.
    """
    before = _names(final)
    with contextlib.ExitStack() as stack, whole_directory(final) as temporary:
        yield temporary
        if _names(final) != before:
            message = f"{final} changed while its new content was being written; pass another `output_dir`"
            raise TrainerError(message, kind="exists", path=final)
        if before:
            # A command that fills the directory in place holds this lock.
            stack.enter_context(locked(final))


def _names(directory: Path) -> list[str]:
    """Return the names in a directory, and those in its directories; none if it does not exist."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*")) if directory.is_dir() else []


def check_replaceable(final: Path, own: re.Pattern[str], mark: re.Pattern[str], overwrite: bool) -> None:
    """Refuse to write a directory if the existing one would be lost. Change nothing.

    Args:
        final: the directory to write.
        own: full names of what a command of the same kind writes, such as `config.json` and `onnx/model.onnx`. An empty
            directory, or one with only these, can be replaced.
        mark: full names, at least one of which is in every output of such a command. Without one of them, the other
            files have another origin, for example a single README.md.
        overwrite: whether the user agreed to replace it.

    Raises:
        TrainerError: `final` is a file, or a directory that is not empty and may not be replaced.
    """
    try:
        found = sorted(name for path in final.iterdir() for name in _shown(path, own))
    except FileNotFoundError:
        return
    except OSError as error:
        raise TrainerError(f"cannot write to {final}: {reason(error)}", kind="io", path=final) from error
    written = any(map(mark.fullmatch, found))
    foreign = [name for name in found if not (written and own.fullmatch(name))]
    if foreign and overwrite:
        raise would_delete(final, foreign)
    if found and not overwrite:
        advice = "another `output_dir`" if foreign else "overwrite=True to replace it, or another `output_dir`"
        raise TrainerError(f"{final} is not empty; pass {advice}", kind="exists", path=final)


def _shown(path: Path, own: re.Pattern[str]) -> list[str]:
    """Return the name of a path in an output. If it is a directory that is not in `own`, the names in it instead."""
    if own.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return [path.name]
    return [f"{path.name}/{inner.name}" for inner in path.iterdir()] or [path.name]


def would_delete(directory: Path, foreign: list[str]) -> TrainerError:
    """Return the error for a directory with files, `foreign`, that the command itself would not write."""
    message = f"{directory} holds {some(foreign)}, which this command does not write and overwrite=True would delete"
    return TrainerError(f"{message}; pass another `output_dir`", kind="exists", path=directory)
