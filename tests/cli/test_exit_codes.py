"""One kind of mistake has one exit code in every command: 2 if options are wrong, otherwise 1."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from albert_fast.cli.common import CommandError, UsageError
from albert_fast.errors import AlbertFastError

if TYPE_CHECKING:
    from conftest import Command

WRONG_OPTIONS = {
    "an unknown command": "frobnicate",
    "an unknown flag": "tokenize text.txt --frobnicate",
    "a flag without its value": "tokenize text.txt --output-dir",
    "no input": "train-tokenizer --output-dir new",
    "no output": "prepare-text text.txt",
    "no tokenizer": "make-records text.txt --output-dir new",
    "two tokenizers": "tokenize text.txt --output-dir new --tokenizer spiece.model --vocab-file vocab.txt",
    "a number outside its range": "make-records text.txt --output-dir new --tokenizer spiece.model --ngram 0",
    "a number that is none": "prepare-text text.txt --output new --num-shards many",
    "a name that is no choice": "prepare-text text.txt --output new --format docx",
    "a rule of two options": (
        "make-records text.txt --output-dir new --tokenizer spiece.model --max-seq-length 16 "
        "--max-predictions-per-seq 17"
    ),
    "options that contradict each other": (
        "make-records text.txt --output-dir new --tokenizer spiece.model --rng reference --word-boundary unicode"
    ),
    "a contradiction that the core finds": "prepare-text text.txt --output new.txt --join-hyphens --paragraphs line",
    "a name that contradicts an option": "prepare-text text.txt --output new.txt.bz2",
    "an option without effect": "prepare-text text.txt --output new.txt --eval-output held-out.txt",
    "an output that is an input": "prepare-text text.txt --output text.txt --overwrite",
    "an output among the inputs": "train-tokenizer . --output-dir new",
    "a missing configuration": "tokenize text.txt --output-dir new --config none.yaml",
    "a configuration that is none": "tokenize text.txt --output-dir new --config damaged.yaml",
    "a misspelled key": "tokenize text.txt --output-dir new --config misspelled.yaml",
    "a pattern that is none": "prepare-text text.txt --output new.txt --boilerplate patterns.txt",
    "a symbol that is empty": "train-tokenizer text.txt --output-dir new --user-defined-symbols=",
    "no data to train on": "pretrain --output-dir new --model tiny",
    "two kinds of data to train on": "pretrain --tokens store --records files --output-dir new --model tiny",
    "a number outside its range, in training": "pretrain --tokens store --model tiny --output-dir new --batch-size 0",
    "no records to evaluate": "evaluate --checkpoint run",
    "a precision that is none": "evaluate --checkpoint run --records records --precision half",
    "a format that is none": "export --checkpoint run --output-dir new --format onnx",
    "no model": "fill-mask",
    "no checkpoint": "import-checkpoint --output-dir new",
    "too little text": "demo --output-dir new --megabytes 0",
}
"""What exits with 2."""

OTHER_ERRORS = {
    "a missing input": "tokenize none.txt --output-dir new --tokenizer spiece.model",
    "a missing raw text": "prepare-text none.txt --output new.txt",
    "a missing corpus": "train-tokenizer none.txt --output-dir new",
    "missing records": "inspect-records none.tfrecord",
    "a missing tokenizer": "tokenize text.txt --output-dir new --tokenizer none.model",
    "a missing file of patterns": "prepare-text text.txt --output new.txt --boilerplate none.txt",
    "a damaged tokenizer": "tokenize text.txt --output-dir new --tokenizer damaged.yaml",
    "a damaged input": "prepare-text damaged.jsonl --output new.txt",
    "an input that is not UTF-8": "tokenize latin1.txt --output-dir new --tokenizer spiece.model",
    "an input that is not a corpus": "make-records damaged.jsonl --output-dir new --tokenizer spiece.model",
    "an input without text": "train-tokenizer empty.txt --output-dir new",
    "a text that is too small": "train-tokenizer text.txt --output-dir new --vocab-size 30000",
    "damaged records": "inspect-records text.txt",
    "an existing output": "prepare-text text.txt --output existing.txt",
    "a directory that holds something else": "prepare-text text.txt --output other --num-shards 2",
    "an output that cannot be written": "prepare-text text.txt --output text.txt/new.txt",
}
"""What exits with 1."""

TRAINING_ERRORS = {
    "figures that exist": "evaluate --checkpoint run --records records --output existing.txt",
    "an export that cannot be written": "export --checkpoint run --output-dir text.txt/new",
    "a missing checkpoint": "export --checkpoint none --output-dir new",
    "a missing model": "fill-mask none text",
    "missing weights": "import-checkpoint none --output-dir new",
    "a missing store": "pretrain --tokens none --model tiny --output-dir new",
    "a demo among other files": "demo --output-dir other",
}
"""What exits with 1 in the commands that need TensorFlow."""


@pytest.fixture(autouse=True)
def _files(command: Command, model: Path) -> None:
    shutil.copy(model, "spiece.model")
    Path("text.txt").write_text("A line of text.\nAnother one.\n\nAnd more.\n")
    for name in ("existing.txt", "vocab.txt"):
        shutil.copy("text.txt", name)
    Path("damaged.yaml").write_text("{")
    Path("misspelled.yaml").write_text("num_thread: 2\n")
    Path("damaged.jsonl").write_text('{"text": "One."}\n{"text": \n')
    Path("patterns.txt").write_text("(\n")
    Path("latin1.txt").write_bytes("Ein schönes Haus.\n".encode("latin-1"))
    Path("empty.txt").write_text("\n\n")
    Path("other").mkdir()
    Path("other/precious.txt").write_text("precious")


@pytest.mark.parametrize("words", WRONG_OPTIONS.values(), ids=WRONG_OPTIONS.keys())
def test_what_was_typed_is_wrong(command: Command, words: str) -> None:
    before = sorted(Path().rglob("*"))
    result = command(*words.split())
    assert (result.code, result.out) == (2, ""), result.err
    assert result.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("words", OTHER_ERRORS.values(), ids=OTHER_ERRORS.keys())
def test_something_else_is_wrong(command: Command, words: str) -> None:
    result = command(*words.split())
    assert result.code == 1, result.err
    assert Path("other/precious.txt").read_text() == "precious"


@pytest.mark.tensorflow
@pytest.mark.parametrize("words", TRAINING_ERRORS.values(), ids=TRAINING_ERRORS.keys())
def test_something_else_is_wrong_in_training(command: Command, words: str) -> None:
    pytest.importorskip("tensorflow")
    test_something_else_is_wrong(command, words)


def test_the_kind_of_an_error_decides() -> None:
    kinds = ("exists", "input", "tokenizer", "data", "io", "training")
    assert {kind: AlbertFastError("x", kind=kind).exit_code for kind in kinds} == dict.fromkeys(kinds, 1)
    assert AlbertFastError("x", kind="option").exit_code == 2
    assert (CommandError("x").exit_code, UsageError("x").exit_code) == (1, 2)
