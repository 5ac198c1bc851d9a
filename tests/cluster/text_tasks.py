"""`prepare-text`, `train-tokenizer` and `tokenize` as commands that schedulers divide into tasks."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from .conftest import Tasks

if TYPE_CHECKING:
    from pathlib import Path

    from remote_sites import Site

FILES = 6
PREPARE = "--shard-size 0.04 --language en"
"""Options with which each file is a portion."""


class TextTasks(Tasks):
    """Commands that read the files `inputs`, in processes of their own."""

    def __init__(self, name: str, site: Site, inputs: Path, directory: Path, options: str) -> None:
        super().__init__(site, inputs, directory)
        self.name, self.options = name, options

    def arguments(self, *more: object, out: str = "out", options: str = "") -> list[str]:
        flag = "--output" if self.name == "prepare-text" else "--output-dir"
        given = [self.name, self.tokens, flag, self.site.path(out), *self.options.split(), *options.split(), *more]
        return [str(one) for one in given]


def raw_text(directory: Path) -> Path:
    """Writes JSON Lines in which many documents repeat others, also those of other files."""
    directory.mkdir()
    for number in range(FILES):
        draw = random.Random(number)
        texts = [f"This is document {draw.randrange(200)}. " + "It has more to say. " * 12 for _ in range(120)]
        content = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (directory / f"{number}.jsonl").write_text(content, encoding="utf-8")
    return directory


def prepare(site: Site, directory: Path) -> TextTasks:
    return TextTasks("prepare-text", site, raw_text(directory / "raw"), directory, PREPARE)


def tokenize(site: Site, directory: Path, text: bytes, model: Path) -> TextTasks:
    (directory / "corpus.txt").write_bytes(text)
    return TextTasks("tokenize", site, directory / "corpus.txt", directory, f"--tokenizer {model}")


def train(site: Site, directory: Path, text: bytes) -> TextTasks:
    (directory / "corpus.txt").write_bytes(text)
    return TextTasks("train-tokenizer", site, directory / "corpus.txt", directory, "--vocab-size 400")


def without_manifest(files: dict[str, bytes]) -> dict[str, bytes]:
    """What a single command writes too."""
    return {name: body for name, body in files.items() if name != "train-tokenizer.manifest.json"}
