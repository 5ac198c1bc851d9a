"""English text that every Python installation has: the docstrings of the standard library and of packages.

Modules are parsed, never imported. A module is a document: one JSON object per line, with one paragraph per line of its
text. Doctests, code, tables and field lists are dropped. The same installation gives the same text.
"""

import ast
import json
import re
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

_CODE = re.compile(r"^\s*(>>>|\.\.\.|\$ |[-=~^*+|]{3,}|\.\. |:\w+|@\w+|[|+].*[|+]\s*$|#)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SKIPPED_DIRECTORIES = {
    "test",
    "tests",
    "testing",
    "__pycache__",
    "idle_test",
    "lib2to3",
    "site-packages",
    "dist-packages",
}


def source_directories() -> list[Path]:
    """Returns the directories of the standard library and of the installed packages, the library's first."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys(Path(paths[name]) for name in ("stdlib", "purelib", "platlib")))


def source_files(directory: Path) -> Iterator[Path]:
    """Yields the modules under `directory`, in sorted order, without tests."""
    for path in sorted(directory.iterdir(), key=lambda path: path.name):
        if path.is_dir():
            if path.name not in _SKIPPED_DIRECTORIES and not path.is_symlink():
                yield from source_files(path)
        elif path.suffix == ".py" and path.is_file():
            yield path


def docstrings(source: str) -> Iterator[str]:
    """Yields the docstrings of a module, its classes and functions, in order, or none if it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from _docstrings(tree)


def _docstrings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node, clean=True)
        if text:
            yield text
    # Definitions are statements. Walking every expression as well would take most of the time.
    for name in ("body", "handlers", "orelse", "finalbody"):
        for child in getattr(node, name, ()):
            if isinstance(child, ast.stmt | ast.ExceptHandler):
                yield from _docstrings(child)


def paragraphs(docstring: str) -> Iterator[str]:
    """Yields the paragraphs of a docstring's prose without line ends, except those that UTF-8 cannot represent."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        if not any(_CODE.match(line) for line in paragraph.splitlines()):
            text = " ".join(paragraph.split())
            if _is_prose(text):
                yield text


def _is_prose(text: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in text)
    return len(text) >= 20 and " " in text and letters >= 0.75 * len(text) and not _SURROGATE.search(text)


def document(source: str) -> list[str]:
    """Returns the paragraphs of a module's docstrings, each once."""
    return list(dict.fromkeys(paragraph for text in docstrings(source) for paragraph in paragraphs(text)))


def collect(max_bytes: int, report: Callable[[str, str, int, int], None] | None = None) -> tuple[str, int]:
    """Collects up to about `max_bytes` bytes of text from this Python's modules, as `prepare-text` reads it.

    Args:
        max_bytes: stop after the document that reaches this many bytes.
        report: called with the progress, in bytes.

    Returns:
        JSON Lines of `name`, the module's file within its directory of packages, and `text`, its paragraphs, one per
        line; and the number of documents.
    """
    parts: list[str] = []
    size = 0
    for directory in source_directories():
        for path in source_files(directory) if directory.is_dir() else ():
            try:
                source = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            found = document(source)
            if not found:
                continue
            name = path.relative_to(directory).as_posix().encode(errors="replace").decode()
            row = {"name": name, "text": "\n".join(found)}
            parts.append(json.dumps(row, ensure_ascii=False) + "\n")
            size += len(row["text"].encode())
            if report is not None:
                report("collecting docstrings", "bytes", min(size, max_bytes), max_bytes)
            if size >= max_bytes:
                return "".join(parts), len(parts)
    return "".join(parts), len(parts)
