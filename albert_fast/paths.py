"""Paths that may be remote: `s3://bucket/file` as an object with the methods of a path.

`pathlib` makes one slash of two, so `Path("s3://bucket/file")` names something else than what the user wrote.
"""

from __future__ import annotations

import fnmatch
import io
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from albert_fast import _native

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self


class RemotePath(type(Path())):  # type: ignore[misc]
    """A file or directory in a bucket, on a web server or on the Hugging Face Hub.

    It does what this package does with local paths: names, joining, reading whole files, and looking for files. Methods
    that ask the server raise AlbertFastError if it refuses or does not answer.
    """

    def __str__(self) -> str:
        text = super().__str__()
        scheme, found, rest = text.partition(":/")
        return f"{scheme}://{rest.lstrip('/')}" if found else text  # above the bucket

    def __fspath__(self) -> str:
        return str(self)

    def absolute(self) -> Self:
        """Returns the path itself."""
        return self

    def resolve(self, strict: bool = False) -> Self:  # noqa: ARG002 - as in pathlib
        """Returns the path itself."""
        return self

    def exists(self, **_: Any) -> bool:
        """Returns whether there is a file, or a directory with files in it."""
        return self.is_file() or self.is_dir()

    def is_file(self, **_: Any) -> bool:
        """Returns whether there is a file."""
        return _native.remote_size(self) is not None

    def is_dir(self, **_: Any) -> bool:
        """Returns whether this is a directory: no file has this name, and the names of some begin with it."""
        return _can_list(self) and not self.is_file() and bool(_native.remote_list(self))

    def iterdir(self) -> Iterator[Self]:
        """Yields the files and directories in this directory."""
        for name in dict.fromkeys(name.split("/", 1)[0] for name, _, _ in _native.remote_list(self)):
            yield self / name

    def glob(self, pattern: str, **_: Any) -> Iterator[Self]:
        """Yields the files below this directory that a pattern matches, which has as many slashes as their names."""
        if not _can_list(self):
            return
        for name, *_rest in _native.remote_list(self):
            parts, patterns = name.split("/"), pattern.split("/")
            if len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns)):
                yield self / name

    def read_bytes(self) -> bytes:
        """Returns all bytes of the file.

        Raises:
            FileNotFoundError: there is no such file.
        """
        data = _native.remote_read(self)
        if data is None:
            raise FileNotFoundError(2, os.strerror(2), str(self))
        return data

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """Returns the text of the file, as `Path.read_text` does.

        Raises:
            FileNotFoundError: there is no such file.
        """
        with io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding or "utf-8", errors, newline) as file:
            return file.read()

    def open(self, mode: str = "r", *_: Any, **settings: Any) -> IO[Any]:
        """Opens the file for reading, with all of its bytes in memory.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: `mode` writes.
        """
        if not set(mode) <= set("rbt"):
            raise OSError(30, "remote files are written whole", str(self))
        file = io.BytesIO(self.read_bytes())
        return file if "b" in mode else io.TextIOWrapper(file, **settings)


def as_path(path: str | os.PathLike[str]) -> Path:
    """Returns the path as an object: a `RemotePath` for a remote one, otherwise a `Path`."""
    if isinstance(path, RemotePath):
        return path
    text = os.fspath(path)
    return RemotePath(_native.public_path(text)) if _native.is_remote(text) else Path(text)


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path is remote."""
    return isinstance(path, RemotePath) or _native.is_remote(os.fspath(path))


def public(path: str) -> str:
    """Returns a remote path without what must not be noted down. Otherwise, it stays as the user wrote it."""
    return os.fspath(_native.public_path(path))


def _can_list(path: Path) -> bool:
    return not str(path).startswith(("http:", "https:"))
