"""The directory in which a mirror of a run is kept: a local one, or one in a bucket.

Files are named from the directory on, with slashes. A file appears whole or not at all. Nothing here imports
TensorFlow.
"""

from __future__ import annotations

import contextlib
import shutil
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from albert_fast import _native
from albert_fast.files import inside, whole_file, write_atomic
from albert_fast.paths import RemotePath
from trainer.errors import TrainerError, reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Place(ABC):
    """A directory of files. Every method raises an AlbertFastError if the disk or the server refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> set[str]:
        """Return the names of all files."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """Return the content of a small file, or None if it does not exist."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a small file."""

    @abstractmethod
    def put(self, file: Path, name: str) -> None:
        """Copy a file of the run.

        Raises:
            FileNotFoundError: it does not exist, or no longer.
        """

    @abstractmethod
    def fetch(self, name: str, file: Path) -> None:
        """Copy a file to the run."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file. It need not exist."""


def place(path: Path) -> Place:
    """Return the place at `path`."""
    return _Remote(path) if isinstance(path, RemotePath) else _Local(path)


class _Remote(Place):
    def names(self) -> set[str]:
        return {name for name, _, _ in _native.remote_list(self.path)}

    def read(self, name: str) -> bytes | None:
        return _native.remote_read(self.path / name)

    def write(self, name: str, data: bytes) -> None:
        _native.remote_write(self.path / name, data)

    def put(self, file: Path, name: str) -> None:
        file.stat()
        _native.remote_upload(file, self.path / name)

    def fetch(self, name: str, file: Path) -> None:
        _native.remote_download(self.path / name, file)

    def remove(self, name: str) -> None:
        _native.remote_remove(self.path / name)


class _Local(Place):
    def names(self) -> set[str]:
        with self._errors("read", self.path):
            files = [path for path in self.path.rglob("*") if path.is_file()] if self.path.exists() else []
        return {path.relative_to(self.path).as_posix() for path in files if not path.name.startswith(".")}

    def read(self, name: str) -> bytes | None:
        with self._errors("read", self.path / name):
            try:
                return (self.path / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, name: str, data: bytes) -> None:
        with self._errors("write", self.path / name):
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path / name, data)

    def put(self, file: Path, name: str) -> None:
        file.stat()
        self._copy(file, self.path / name)

    def fetch(self, name: str, file: Path) -> None:
        self._copy(self.path / name, file)

    def _copy(self, source: Path, target: Path) -> None:
        with self._errors("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(target) as temporary:
                shutil.copyfile(source, temporary)

    def remove(self, name: str) -> None:
        path = self.path / name
        with self._errors("remove", path):
            path.unlink(missing_ok=True)
            # The directory of a checkpoint goes with its last file.
            if path.parent != self.path and inside(path, self.path) and not any(path.parent.iterdir()):
                path.parent.rmdir()

    @contextlib.contextmanager
    def _errors(self, action: str, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainerError(f"cannot {action} {path}: {reason(error)}", kind="io", path=path) from error
