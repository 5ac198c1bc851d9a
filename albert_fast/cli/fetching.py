"""Shows that remote data is fetched, in the commands that read it from a copy."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from albert_fast.cli.common import UsageError, interruptible
from albert_fast.cli.progress import Progress
from albert_fast.options import CacheOptions, flag
from albert_fast.paths import is_remote


def refuse_remote(**paths: Path | str | None) -> None:
    """Refuses remote paths for what needs local ones, by the names of the options, or of arguments (in capitals)."""
    for name, path in paths.items():
        if path is not None and is_remote(path):
            named = name if name.isupper() else flag(name)
            raise UsageError(f"{named} must be a local path, got {path}")


@contextlib.contextmanager
def fetching(paths: Iterable[str | Path], options: CacheOptions) -> Iterator[dict[str, Any]]:
    """Yields the arguments with which a store or records at `paths` are opened.

    If one of them is remote, the block shows the progress, and Ctrl-C within it says how to resume.
    """
    arguments: dict[str, Any] = {"cache_dir": options.cache_dir, "cache_size": options.cache_size}
    if not any(map(is_remote, paths)):
        yield arguments
        return
    with interruptible("run the same command again"), Progress() as progress:
        yield {**arguments, "progress": progress}
