"""Changed files of other programs: read, or refused with an error that names the file. Without TensorFlow."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import GOLDEN
from foreign_bytes import changed_bytes, changed_json, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from trainer import tokenizer_json, tokenizer_model
from trainer.config import ModelConfig
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.version_info < (3, 10), reason="match statements")

# A tokenizer of 90 pieces, so that many changes fit into little time.
MODEL = (Path(__file__).parent.parent / "rust/fuzz/seeds/small.model").read_bytes()
TOKENIZER = tokenizer_json.files(MODEL, lower_case=True, keep_accents=False)["tokenizer.json"]
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


@given(changed_json(TOKENIZER))
@fuzzed
def test_tokenizer_json_with_other_values(content: bytes) -> None:
    read_tokenizer(content)


@given(changed_bytes(CONFIG))
@fuzzed
def test_configuration_with_other_bytes(content: bytes) -> None:
    read_config(content)


@given(changed_json(CONFIG))
@fuzzed
def test_configuration_with_other_values(content: bytes) -> None:
    read_config(content)


@given(st.binary(max_size=64))
@fuzzed
def test_any_bytes(content: bytes) -> None:
    read_tokenizer(content)
    read_config(content)
