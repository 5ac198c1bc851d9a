"""docs/errors.md: the words that it quotes are those that the commands print today."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import GOLDEN

if TYPE_CHECKING:
    from conftest import Command

MODEL = GOLDEN / "tokenizer" / "spiece.model"
PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
FILES = {
    "a.txt": b"One is here.\nTwo is there.\n",
    "latin.txt": "Schön ist es.\n".encode("latin-1"),
    "a.jsonl": json.dumps({"body": "Ein Text."}).encode() + b"\n",
    "broken.jsonl": b'{"text": "Ein Text."}\n{"text": "Noch einer."\n',
    "pointer.parquet": b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12345\n",
    "a.html": b"<html><body>Text</body></html>\n",
    "cut.gz": gzip.compress(b"One is here.\n" * 9)[:20],
    "empty.txt": b"",
    "patterns": b"(\n",
    "spiece.model": MODEL.read_bytes(),
}
PREPARE = ["prepare-text", "--output", "out.txt", "--language", "de"]
RECORDS = ["make-records", "a.txt", "--output-dir", "records"]
EXTEND = ["train-tokenizer", "a.txt", "--extend", "spiece.model", "--output-dir"]


@pytest.mark.parametrize(
    ("words", "quoted"),
    [
        ([*PREPARE, "nothing.txt"], "no such file"),
        ([*PREPARE, "a.txt,latin.txt"], "inputs are separated by spaces, not commas"),
        ([*RECORDS, "--max_seq_length", "64"], "unknown option --max_seq_length"),
        ([*RECORDS[:1], "--input_file", "a.txt"], "inputs have no flag here"),
        ([*RECORDS, "--masked-lm-prob", "1.5"], "must be a number from 0 to 1, got 1.5"),
        ([*PREPARE, "latin.txt"], "invalid UTF-8"),
        ([*PREPARE, "a.jsonl"], 'no field "text"'),
        ([*PREPARE, "broken.jsonl"], "not a JSON object"),
        ([*PREPARE, "pointer.parquet"], "this is a Git LFS pointer"),
        ([*PREPARE, "a.html"], "this is HTML"),
        ([*PREPARE, "cut.gz"], "data is truncated"),
        ([*PREPARE, "empty.txt"], "contains no document"),
        ([*PREPARE, "a.txt", "--eval-fraction", "0.001"], "holds out none of"),
        (["train-tokenizer", "a.jsonl", "--output-dir", "t"], "not text with one sentence per line"),
        (["train-tokenizer", "a.txt", "--output-dir", "t"], "is too large for this text, which gives at most"),
        (
            ["train-tokenizer", "a.txt", "--output-dir", "t", "--vocab-size", "16"],
            "is too small: the characters of this text",
        ),
        (["prepare-text", "--output", "out.bz2", "a.txt"], "cannot write .bz2"),
        ([*PREPARE, "a.txt", "--boilerplate", "patterns"], "patterns must be valid regular expressions"),
        (
            ["train-tokenizer", "a.txt", "--output-dir", "t", "--user-defined-symbols", "Foo"],
            "never matches: the text rules turn it into",
        ),
        (
            ["train-tokenizer", "a.txt", "--output-dir", "t", "--max-sentence-length", "10"],
            "no line is left to train on",
        ),
        ([*EXTEND, "t", "--split-digits"], "which was trained with"),
        ([*EXTEND, "."], "must be a model in another directory than"),
        (RECORDS, "pass --tokenizer spiece.model"),
        ([*RECORDS, "--tokenizer", "empty"], "holds no tokenizer"),
    ],
)
def test_the_words_are_those_of_the_command(words: list[str], quoted: str, command: Command) -> None:
    Path("empty").mkdir()
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    done = command(*words)
    assert done.code in {1, 2}
    assert quoted in done.error
    assert f"`{quoted}`" in PAGE


def test_words_about_outputs_that_exist(command: Command, model: Path) -> None:
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    assert command(*PREPARE, "a.txt").code == 0
    assert "exists; pass --overwrite to replace it" in command(*PREPARE, "a.txt").error
    assert "`exists; pass --overwrite to replace it`" in PAGE
    assert command(*RECORDS, "--tokenizer", model, "--dupe-factor", 1).code == 0
    refused = command(*RECORDS, "--tokenizer", model, "--dupe-factor", 2)
    assert refused.code == 1
    assert "of a full instance will be masked" in refused.err
    assert "`of a full instance will be masked` (warning)" in PAGE
