"""Options in messages of the library, as they are typed on the command line."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from albert_fast.cli.commands import STAGES
from albert_fast.cli.config import parameters
from albert_fast.cli.flags import begin, in_flags
from albert_fast.options import MakeRecords, PrepareText, Tokenize

if TYPE_CHECKING:
    from conftest import Command

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("library", "typed"),
    [
        ("pass a larger `num_shards`, or", "pass a larger --num-shards, or"),
        ("pass skip_bad=True to skip it", "pass --skip-bad to skip it"),
        ("join_hyphens=False does", "--no-join-hyphens does"),
        ("on_bad_utf8='replace'.", "--on-bad-utf8 replace."),
        ("pass text_field=NAME, or", "pass --text-field NAME, or"),
        ('pass text_field="Main text" if', 'pass --text-field "Main text" if'),
        ("shorter than min_document_chars=100.", "shorter than --min-document-chars 100."),
        ("eval_fraction=0.1 holds", "--eval-fraction 0.1 holds"),
        ("made with dupe_factor=2, not 3", "made with --dupe-factor 2, not 3"),
        ("a vocabulary goes with Tokenizer.from_vocab_file", "a vocabulary goes with --vocab-file"),
        ("started with optimizer=lamb, not adamw", "started with --optimizer lamb, not adamw"),
        ("with jit=True, not jit=False; pass jit=True", "with --jit, not --no-jit; pass --jit"),
        ("pass model='my run/albert_config.json' to", 'pass --model "my run/albert_config.json" to'),
        ("made with do_lower_case=True and", "made with --do-lower-case and"),
        ("overwrite=True to start over, or another `output_dir`", "--overwrite to start over, or another --output-dir"),
        # What is no option, and what stands in a path or in an address.
        ("`no_such_option` and x=1", "`no_such_option` and x=1"),
        ("https://example.org/?language=de", "https://example.org/?language=de"),
        ("texts/output_dir is not empty", "texts/output_dir is not empty"),
        ("output_dir: no such file", "output_dir: no such file"),
    ],
)
def test_options_are_shown_as_they_are_typed(library: str, typed: str) -> None:
    begin(PrepareText)
    assert in_flags(library) == typed


def test_an_option_outside_its_rule() -> None:
    message = "max_predictions_per_seq must be at most max_seq_length (512), got 600"
    typed = "--max-predictions-per-seq must be at most --max-seq-length (512), got 600"
    assert in_flags(message, "max_predictions_per_seq") == typed
    assert in_flags(message) == message


def test_the_format_has_another_name_in_commands_that_read_a_corpus() -> None:
    for stage, name in ((PrepareText, "--format"), (Tokenize, "--input-format"), (MakeRecords, "--input-format")):
        begin(stage)
        assert in_flags("pass format='text'") == f"pass {name} text"


def test_the_core_names_no_flags() -> None:
    ours = re.compile(r'"[^"]*--(?!\[?no-)([a-z][a-z-]+)[^"]*"')
    flags = {name.replace("_", "-") for stage in STAGES.values() for name in parameters(stage)}
    for path in [*ROOT.glob("rust/core/src/**/*.rs"), *ROOT.glob("rust/bindings/src/*.rs")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.strip().startswith("//") and '"aws", "configure"' not in line:  # Amazon's own program
                assert not {found[1] for found in ours.finditer(line)} & flags, f"{path}: {line.strip()}"


TRAINER = ("", "exchange", "model", "report", "run")
"""The directories of the trainer whose strings name options as Python does."""

FOREIGN = re.compile(r"--(query-gpu|format|id)=")
"""Flags of nvidia-smi."""


@pytest.mark.parametrize("directory", TRAINER)
def test_the_trainer_names_no_flags(directory: str) -> None:
    flags = {name.replace("_", "-") for stage in STAGES.values() for name in parameters(stage)}
    ours = re.compile(r"(?<![\w-])--(?:no-)?([a-z]+(?:-[a-z0-9]+)*)")
    paths = [*(ROOT / "trainer" / directory).glob("*.py")]
    assert paths
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and not FOREIGN.search(node.value):
                assert not {found[1] for found in ours.finditer(node.value)} & flags, f"{path}: {node.value}"


def test_a_message_of_the_core(command: Command) -> None:
    Path("raw.jsonl").write_text('{"body": "One."}\n')
    done = command("prepare-text", "raw.jsonl", "--output", "out.txt")
    assert done.error.endswith(
        'no field "text" (fields: "body"); pass --text-field NAME, or --skip-bad to skip such lines'
    )
