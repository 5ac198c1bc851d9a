"""Recognizes token stores and records among the inputs of commands that take text."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from albert_fast import AlbertFastError

DATA = (
    (
        "meta.json",
        "albert-fast token store",
        re.compile(r"meta\.json|part-\d+\.tokens|tokenizer-copy\..*|tokenize\.config\.json"),
        "is a token store, not text; pass the corpus that it was made from (only make-records takes a store)",
    ),
    (
        "dataset.json",
        "albert-fast records",
        re.compile(r"dataset\.json|.*\.tfrecord.*|make-records\.config\.json"),
        "holds records, not text; pass the corpus that they were made from (only pretrain takes records)",
    ),
)
"""The file that shows what a directory contains, its format, names of the directory's files, and what to call it."""


@contextlib.contextmanager
def own_data_named() -> Iterator[None]:
    """Names the token store or records, if the core refuses a file within the block that is part of them.

    The core only sees a file of the directory, and would advise to convert it to text.
    """
    try:
        yield
    except AlbertFastError as error:
        if error.path is not None and (name := _name(Path(error.path))):
            raise AlbertFastError(name, kind="input", path=error.path.parent) from error
        raise


def _name(file: Path) -> str | None:
    """Returns what to say about a file that belongs to a token store or to records, or None for another file."""
    for name, kind, files, text in DATA:
        if not files.fullmatch(file.name):
            continue
        try:
            content = json.loads((file.parent / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(content, dict) and content.get("format") == kind:
            return f"{file.parent} {text}"
    return None
