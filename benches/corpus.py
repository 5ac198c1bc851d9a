"""The corpus for measurements: real prose, each line once, one sentence per line, a blank line between documents.

Files that the user passes are used unchanged. Without any, text is collected from the machine: the docstrings of the
installed packages, and the documentation of the system and of Rust.
"""

import gzip
import hashlib
import html.parser
import json
import random
import re
import shutil
import subprocess
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from albert_fast import demo_corpus, prepare_text

CHUNK = 4_000_000

_TEXT_SUFFIXES = {"", ".txt", ".md", ".rst"}
_HTML_SUFFIXES = {".html", ".htm", ".xhtml"}
_SKIPPED_ELEMENTS = {"head", "nav", "pre", "script", "style", "svg", "table"}
_INLINE_ELEMENTS = {
    "a",
    "abbr",
    "b",
    "cite",
    "code",
    "em",
    "i",
    "kbd",
    "q",
    "samp",
    "span",
    "strong",
    "sub",
    "sup",
    "tt",
}
_LARGEST_FILE = 2_000_000
_COLLECTING_SECONDS = 90.0
_GENERATED = {"alloc", "core", "src"}
"""Directories of Rust's documentation to skip: pages of source, and pages that repeat those of `std`."""
_ENGLISH = re.compile(r"\b(?:the|of|and|to|is|in|that|for|with|are|be|this|not|or|it)\b")


class Corpus(NamedTuple):
    """A corpus on disk."""

    path: Path
    key: str
    """A key that changes with the text."""
    size: int
    """Size in bytes."""
    origin: str
    """Where the text comes from, for the user."""


class _Prose(html.parser.HTMLParser):
    """Collects the text of a page, with a blank line at the boundaries of its blocks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._skipping: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _SKIPPED_ELEMENTS:
            self._skipping.append(tag)
        elif tag not in _INLINE_ELEMENTS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._skipping:
            while self._skipping.pop() != tag:
                pass
        if tag not in _INLINE_ELEMENTS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.parts.append(" ".join(data.split("\n")))


def prose(path: Path) -> list[str]:
    """Return the distinct English paragraphs of a Python module, an HTML page or a text; none if it cannot be read."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return []
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = data.decode()
    except (OSError, EOFError, ValueError, zlib.error):
        return []
    suffix = _suffix(path)
    if suffix == ".py":
        found: Iterable[str] = demo_corpus.document(text)
    elif suffix in _HTML_SUFFIXES:
        page = _Prose()
        page.feed(text)
        page.close()
        found = demo_corpus.paragraphs("".join(page.parts))
    else:
        found = demo_corpus.paragraphs(text)
    return [paragraph for paragraph in dict.fromkeys(found) if _ENGLISH.search(paragraph)]


def _suffix(path: Path) -> str:
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def _sources() -> list[Path]:
    files = [
        path
        for directory in demo_corpus.source_directories()
        if directory.is_dir()
        for path in demo_corpus.source_files(directory)
    ]
    directories = [Path("/usr/share/doc"), Path("/usr/local/share/doc")]
    if (rustc := shutil.which("rustc")) is not None:
        found = subprocess.run([rustc, "--print", "sysroot"], capture_output=True, text=True, check=False)
        directories.append(Path(found.stdout.strip()) / "share" / "doc")
    # API pages are mostly markup, so the books come first.
    suffixes = _TEXT_SUFFIXES | _HTML_SUFFIXES
    for directory in directories:
        found_there = sorted(directory.rglob("*")) if directory.is_dir() else []
        files += [
            path for path in found_there if _suffix(path) in suffixes and path.is_file() and not path.is_symlink()
        ]
    return files


def _distinct(documents: Iterable[list[str]], limit: int) -> Iterator[list[str]]:
    """Yield the documents without lines that occurred in an earlier one, up to `limit` bytes."""
    seen: set[int] = set()
    size = 0
    for document in documents:
        lines = []
        for line in document:
            if (mark := hash(line)) not in seen:
                seen.add(mark)
                lines.append(line)
        if lines:
            yield lines
            size += sum(len(line.encode()) + 1 for line in lines) + 1
            if size >= limit:
                return


def _collect(limit: int) -> list[list[str]]:
    """Return the machine's prose, shuffled: up to `limit` bytes, or what is found in a minute and a half."""
    deadline = time.monotonic() + _COLLECTING_SECONDS
    documents = []
    with ProcessPoolExecutor() as pool:
        for document in _distinct(pool.map(prose, _sources(), chunksize=16), limit):
            documents.append(document)
            if time.monotonic() > deadline:
                break
        pool.shutdown(wait=False, cancel_futures=True)
    random.Random(7).shuffle(documents)
    return documents


def _read(paths: list[Path]) -> Iterator[list[str]]:
    for path in paths:
        lines: list[str] = []
        # Only "\n" ends a line. splitlines() would recognize nine more line ends.
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                if stripped := line.strip():
                    lines.append(stripped)
                elif lines:
                    yield lines
                    lines = []
        if lines:
            yield lines


def _write(path: Path, documents: Iterable[list[str]]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        for document in documents:
            file.write("\n".join(document) + "\n\n")
    temporary.replace(path)


def _key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def build(directory: Path, texts: list[Path], limit: int) -> Corpus:
    """Return the corpus, from `directory` if it is already there.

    Args:
        directory: the directory in which it is kept for the next run.
        texts: the text to use; if empty, text is collected from the machine.
        limit: approximate size in bytes.
    """
    if texts:
        stats = [path.stat() for path in texts]
        key = _key(limit, [str(path.resolve()) for path in texts], [(stat.st_size, stat.st_mtime_ns) for stat in stats])
        origin = ", ".join(path.name for path in texts)
    else:
        key = _key(limit, "collected", 2)
        origin = "docstrings and documentation of this machine"
    path = directory / f"corpus-{key}.txt"
    if not path.exists():
        if texts:
            _write(path, _distinct(_read(texts), limit))
        else:
            raw = path.with_suffix(".jsonl")
            rows = ({"text": "\n".join(paragraphs)} for paragraphs in _collect(limit))
            raw.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            prepare_text(raw, path, language="en", dedup_lines=True)
            raw.unlink()
    return Corpus(path, key, path.stat().st_size, origin)


def part(corpus: Corpus, size: int, seed: int | None = None) -> Path:
    """Return about `size` bytes of whole documents, kept next to the corpus: the first, or random ones with a seed."""
    path = corpus.path.with_name(f"{corpus.path.stem}-{size}-{seed}.txt")
    if not path.exists():
        documents: Iterable[list[str]] = _read([corpus.path])
        if seed is not None:
            shuffled = list(documents)
            random.Random(seed).shuffle(shuffled)
            documents = shuffled
        _write(path, _distinct(documents, size))
    return path


def size_of(lines: Sequence[str]) -> int:
    """Return the bytes of `lines`, including their newlines."""
    return sum(len(line.encode()) for line in lines) + len(lines)


def chunks_of(path: Path) -> list[list[str]]:
    """Return the lines of a corpus in chunks of about 4 MB, without blank lines."""
    chunks: list[list[str]] = [[]]
    size = 0
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            if line == "\n":
                continue
            if size >= CHUNK:
                chunks.append([])
                size = 0
            size += len(line.encode())
            chunks[-1].append(line[:-1])
    return chunks
