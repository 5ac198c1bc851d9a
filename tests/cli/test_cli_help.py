"""The help texts, and that the flags are those that users of the reference know."""

import re
from typing import Any

import pytest
import typer.main
from conftest import Command

from albert_fast.cli import app
from albert_fast.cli.build import stage_of
from albert_fast.cli.commands import COMMANDS, STAGES, SUMMARIES
from albert_fast.cli.config import parameters
from albert_fast.options import options_of

MAKE_RECORDS = {
    "max-seq-length": "512",
    "max-predictions-per-seq": "20",
    "masked-lm-prob": "0.15",
    "short-seq-prob": "0.2",
    "dupe-factor": "2",
    "random-seed": "12345",
    "ngram": "3",
    "favor-shorter-ngram": "on",
    "do-lower-case": "as the tokenizer was trained; on if unknown",
    "do-whole-word-mask": "on",
    "do-permutation": "off",
    "random-next-sentence": "off",
    "num-shards": "one per 100,000 instances",
    "num-threads": "one per core",
    "compression": "none",
    "rng": "fast",
    "word-boundary": "unicode; with --rng reference, albert",
    "single-segment": "split; with --rng reference, random",
    "keep-accents": "as the tokenizer was trained; off if unknown",
    "on-bad-utf8": "error",
    "overwrite": "off",
}
PREPARE_TEXT = {
    "format": "auto",
    "text-field": "text",
    "documents": "file",
    "document-separator": "",
    "paragraphs": "auto",
    "on-bad-utf8": "error",
    "skip-bad": "off",
    "language": "auto",
    "sentences": "on",
    "max-sentence-bytes": "4096",
    "repair": "on",
    "drop-incomplete-sentences": "off",
    "min-document-chars": "0",
    "min-document-sentences": "1",
    "max-non-letters": "1",
    "dedup-documents": "on",
    "dedup-lines": "off",
    "dedup-memory": "512",
    "dedup-near": "off",
    "dedup-near-keep": "first",
    "dedup-near-shingle": "5",
    "dedup-near-bands": "14",
    "dedup-near-rows": "8",
    "eval-fraction": "0",
    "eval-output": "eval-NAME, next to the --output NAME",
    "compression": "auto",
    "num-threads": "one per core",
    "overwrite": "off",
}
TRAIN_TOKENIZER = {
    "vocab-size": "30000",
    "character-coverage": "0.99995",
    "input-sentence-size": "10000000",
    "user-defined-symbols": "( ) ” - . – £ €",
    "do-lower-case": "on",
    "keep-accents": "off",
}


def click_parameters(name: str) -> dict[str, Any]:
    root: Any = typer.main.get_command(app)
    return {parameter.name: parameter for parameter in root.get_command(None, name).params}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_and_every_option(command: Command, name: str) -> None:
    result = command(name, "--help")
    assert result.code == 0
    assert f"\n  albert-fast {name} " in result.out
    assert set(click_parameters(name)) - {"help"} == {*parameters(STAGES[name]), "config"}
    for parameter in click_parameters(name).values():
        if parameter.param_type_name == "option":
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_sentence_of_each(name: str) -> None:
    paragraph = " ".join((COMMANDS[name].__doc__ or "").strip().split("\n\n")[0].split())
    assert SUMMARIES[name] == re.split(r"[.:](?: |$)", paragraph)[0] + "."


def test_each_command_has_the_options_of_its_name() -> None:
    assert {name: stage_of(function) for name, function in COMMANDS.items()} == dict(STAGES)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_switch_has_its_no_form(name: str) -> None:
    for parameter in click_parameters(name).values():
        if getattr(parameter, "is_flag", False) and parameter.name not in {"help", "no_user_defined_symbols"}:
            option = parameter.opts[0].removeprefix("--")
            assert parameter.secondary_opts == [f"--no-{option}"]


@pytest.mark.parametrize(
    ("name", "flags"),
    [("prepare-text", PREPARE_TEXT), ("train-tokenizer", TRAIN_TOKENIZER), ("make-records", MAKE_RECORDS)],
)
def test_flags_and_defaults_are_those_that_users_know(command: Command, name: str, flags: dict[str, str]) -> None:
    stage = stage_of(COMMANDS[name])
    assert command(name, "--help").code == 0
    for flag, default in flags.items():
        option = options_of(stage)[flag.replace("-", "_")]
        assert option.flag == f"--{flag}"
        assert (option.default_words or "") == default
