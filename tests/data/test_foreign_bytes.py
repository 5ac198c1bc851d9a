"""Changed files of other programs: read, or refused with an error that names the file. Without TensorFlow."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import GOLDEN
from foreign_bytes import changed_bytes, changed_json, fuzzed, nested
from hypothesis import given
from hypothesis import strategies as st

from albert_fast import AlbertFastError
from albert_fast.cli.common import UsageError
from albert_fast.cli.training import model_config
from albert_fast.tokenizers import match as tokenizer_match
from trainer.errors import TrainerError
from trainer.exchange import tokenizer_json, tokenizer_model
from trainer.model.config import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.version_info < (3, 10), reason="match statements")

# A tokenizer of 90 pieces, so that many changes fit into little time.
MODEL = (Path(__file__).parents[2] / "rust/fuzz/seeds/small.model").read_bytes()
TOKENIZER = tokenizer_json.files(MODEL, lower_case=True, keep_accents=False)["tokenizer.json"]
DATASET = json.dumps(
    {
        "format": "albert-fast records",
        "tokenizer": {
            "digest": "ab",
            "kind": "unigram",
            "vocab_size": 90,
            "text_rules": "albert",
            "file": "spiece.model",
        },
    }
).encode()
CONFIG = (GOLDEN / "model" / "tiny" / "albert_config.json").read_bytes()


def read_tokenizer(content: bytes) -> None:
    try:
        rebuilt = tokenizer_model.rebuild(content, "a/tokenizer.json")
    except TrainerError as error:
        assert str(error).startswith("a/tokenizer.json: ")  # noqa: PT017 - there may be none
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert tokenizer_model.pieces_of(rebuilt.model)


def read_config(content: bytes) -> None:
    try:
        config = ModelConfig.from_json(content.decode(errors="replace"))
    except ValueError as error:
        assert str(error)  # noqa: PT017
        return
    assert ModelConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(("read", "good"), [(read_tokenizer, TOKENIZER), (read_config, CONFIG)])
def test_the_files_are_good(read: Callable[[bytes], None], good: bytes) -> None:
    read(good)
    assert json.loads(good)


@given(changed_bytes(TOKENIZER))
@fuzzed
def test_tokenizer_json_with_other_bytes(content: bytes) -> None:
    read_tokenizer(content)


@given(changed_json(TOKENIZER) | nested(TOKENIZER))
@fuzzed
def test_tokenizer_json_with_other_values(content: bytes) -> None:
    read_tokenizer(content)


@given(changed_bytes(CONFIG))
@fuzzed
def test_configuration_with_other_bytes(content: bytes) -> None:
    read_config(content)


@given(changed_json(CONFIG) | nested(CONFIG))
@fuzzed
def test_configuration_with_other_values(content: bytes) -> None:
    read_config(content)


@given(changed_json(CONFIG) | nested(CONFIG))
@fuzzed
def test_configuration_of_the_command_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "model.json"
    for name in ("model.json", "model.yaml"):
        path = path.with_name(name)
        # PyYAML takes a second for so many brackets.
        path.write_bytes(content if name == "model.json" else content[:20_000])
        try:
            model_config(str(path), None)
        except UsageError as error:
            assert str(error).startswith(f"{path}")  # noqa: PT017 - there may be none
            assert "\n" not in str(error)  # noqa: PT017


@given(changed_json(DATASET) | nested(DATASET))
@fuzzed
def test_what_lies_beside_records(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "dataset.json"
    path.write_bytes(content)
    try:
        found = tokenizer_match.tokenizer_of_records([path.with_name("a.tfrecord")])
    except AlbertFastError as error:
        assert str(error).startswith(f"{path}: tokenizer")  # noqa: PT017 - there may be none
        assert "\n" not in str(error)  # noqa: PT017
        return
    if found is not None:
        assert tokenizer_match.name(found[1])
        assert tokenizer_match.compare_descriptions(found[1], json.loads(DATASET)["tokenizer"])


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ({"vocab_size": "many"}, 'tokenizer.vocab_size must be a whole number of at least 1, got "many"'),
        ({"vocab_size": True}, "tokenizer.vocab_size must be a whole number of at least 1, got true"),
        ({"digest": ["x"]}, 'tokenizer.digest must be a string, got ["x"]'),
        (["x"], 'tokenizer must be an object, got ["x"]'),
    ],
)
def test_a_tokenizer_of_records_of_another_type(tokenizer: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"format": "albert-fast records", "tokenizer": tokenizer}))
    with pytest.raises(AlbertFastError, match=f"^{re.escape(f'{path}: {message}; make the records again')}$"):
        tokenizer_match.records_directories([tmp_path / "a.tfrecord"])


@given(st.binary(max_size=64))
@fuzzed
def test_any_bytes(content: bytes) -> None:
    read_tokenizer(content)
    read_config(content)
