"""Folders of Hugging Face's cache: `models--OWNER--NAME` with the files of a model under snapshots/COMMIT.

    models--albert--albert-base-v2/
        refs/main           the commit that was fetched last, 40 digits
        snapshots/COMMIT/   the files, links into blobs/

Nothing here imports TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.errors import TrainerError, some

if TYPE_CHECKING:
    from pathlib import Path


def resolve(path: Path) -> Path:
    """The snapshot to read if `path` is a model's folder in the cache, or its folder of snapshots; otherwise `path`.

    That is the commit of refs/main, or the only snapshot if there is no refs/main.

    Raises:
        TrainerError: refs/main names a snapshot that is not there, or there are several and no refs/main.
    """
    folder = path.parent if path.name == "snapshots" and (path.parent / "refs").is_dir() else path
    snapshots = folder / "snapshots"
    if not snapshots.is_dir() or not ((folder / "refs").is_dir() or folder.name.startswith("models--")):
        return path
    found = sorted(inner.name for inner in snapshots.iterdir() if inner.is_dir())
    try:
        commit = (folder / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        commit = ""
    if not commit and len(found) == 1:
        return snapshots / found[0]
    if commit in found:
        return snapshots / commit
    if not found:
        raise TrainerError(f"{snapshots} is empty: download the model again")
    what = f"names {commit}, which is not in {snapshots}" if commit else "is not there"
    raise TrainerError(
        f"{folder / 'refs' / 'main'} {what}: pass one of the {len(found)} snapshots, such as {snapshots / found[0]}"
        + (f" ({some(found)})" if len(found) > 1 else "")
    )
