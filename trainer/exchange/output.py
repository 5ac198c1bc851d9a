"""The directories that `export` and `import-checkpoint` write: whole, and never in place of somebody else's."""

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
    """As `albert_fast.files.whole_directory`; the caller has `final` locked as an output that appears whole.

    Raises:
        TrainerError: something else changed what is in `final` within the block; it stays as it is.
        AlbertFastError: something else is writing there.
    """
    before = _names(final)
    with contextlib.ExitStack() as stack, whole_directory(final) as temporary:
        yield temporary
        if _names(final) != before:
            raise TrainerError(f"{final} changed while its new content was made: pass another --output-dir")
        if before:
            # A command that fills the directory in place holds this lock.
            stack.enter_context(locked(final))


def _names(folder: Path) -> list[str]:
    """What is in a folder; nothing if it is not there."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def check_replaceable(final: Path, own: re.Pattern[str], mark: re.Pattern[str], overwrite: bool) -> None:
    """Refuses to write a folder where another would be lost. Changes nothing.

    Args:
        final: the folder to write.
        own: full names of what a command of the same kind writes; an empty folder, or one with these alone, can be
            replaced.
        mark: full names of which one at least is in all that such a command writes: without it, the others are
            somebody else's, such as a README.md alone.
        overwrite: whether the user agreed to that.

    Raises:
        TrainerError: `final` is a file, or a folder with something in it.
    """
    try:
        found = sorted(path.name for path in final.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise TrainerError(f"cannot write to {final}: {reason(error)}") from error
    written = any(map(mark.fullmatch, found))
    foreign = [name for name in found if not (written and own.fullmatch(name))]
    if foreign and overwrite:
        raise TrainerError(
            f"{final} holds {some(foreign)}, which this command does not write: --overwrite would delete it; pass "
            "another --output-dir"
        )
    if found and not overwrite:
        raise TrainerError(f"{final} is not empty: pass another --output-dir" + ("" if foreign else ", or --overwrite"))
