"""Weights, data and tokenizers that meet are compared before anything is trained or evaluated. Needs no TensorFlow."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from conftest import GOLDEN
from test_tokenizer_match import vocabulary
from trainer_runs import TOKENIZER, swapped_tokenizer

from albert_fast import Tokenizer
from albert_fast.cli import model_tokenizer
from albert_fast.cli.common import CommandError
from albert_fast.tokenizers.match import described
from trainer.exchange.initial import Initial
from trainer.model.config import PRESETS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def weights(vocab_size: int, facts: Mapping[str, Any] | None = None) -> Initial:
    """What was read of a model of that size; only its configuration counts here."""
    config = None if vocab_size == 0 else PRESETS["tiny"].preset("tiny", vocab_size)
    return Initial({}, config, "TF1 checkpoint", facts=facts or {})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model's directory with its tokenizer."""
    found = tmp_path / "albert"
    found.mkdir()
    shutil.copy(TOKENIZER, found / "30k-clean.model")
    return found


def test_data_of_the_models_tokenizer(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, swapped = Tokenizer.from_file(TOKENIZER), Tokenizer.from_file(swapped_tokenizer(tmp_path / "other.model"))
    assert own.vocab_size == swapped.vocab_size
    start = weights(2000)
    for data in (own, described(own)):
        model_tokenizer.check_data(directory, start, data, "store")
    assert capsys.readouterr().err == ""
    for data in (swapped, described(swapped)):
        with pytest.raises(CommandError, match=r"albert was trained with another tokenizer \(.*30k-clean"):
            model_tokenizer.check_data(directory, start, data, "store")
    cased = Tokenizer.from_file(TOKENIZER, lower_case=False)
    for data in (cased, described(cased)):
        model_tokenizer.check_data(directory, start, data, "store")
        assert "warning: store was made with other text rules than" in capsys.readouterr().err


def test_where_one_side_does_not_say(directory: Path, tmp_path: Path) -> None:
    swapped = Tokenizer.from_file(swapped_tokenizer(tmp_path / "other.model"))
    # Anyone's records; a tokenizer beside the weights that is not the model's; none at all.
    model_tokenizer.check_data(directory, weights(2000), {}, "records")
    model_tokenizer.check_data(directory, weights(900), described(swapped), "records")
    model_tokenizer.check_data(tmp_path, weights(2000), described(swapped), "records")
    (directory / "30k-clean.model").write_bytes(b"no model")
    model_tokenizer.check_data(directory, weights(2000), described(swapped), "records")


def test_what_a_checkpoint_says_of_its_run(tmp_path: Path) -> None:
    """A run on records without --tokenizer holds no tokenizer, and knows whose its ids are."""
    first, second = (Tokenizer.from_vocab_file(vocabulary(tmp_path / f"{order}.txt", order)) for order in (1, 2))
    start = weights(first.vocab_size, {"tokenizer": {**described(first), "file": "1.txt"}})
    empty = tmp_path / "run"
    empty.mkdir()
    for data in (first, described(first)):
        model_tokenizer.check_data(empty, start, data, "store")
    for data in (second, described(second)):
        with pytest.raises(CommandError, match=r"run was trained with another tokenizer \(1\.txt \(dig"):
            model_tokenizer.check_data(empty, start, data, "store")
    chosen = model_tokenizer.choose(tmp_path / "1.txt", [empty], facts=start.facts)
    assert chosen.tokenizer is not None
    assert chosen.tokenizer.digest == first.digest
    with pytest.raises(
        CommandError, match=r"2\.txt is not the tokenizer that the model was trained with, 1\.txt \(dig"
    ):
        model_tokenizer.choose(tmp_path / "2.txt", [empty], facts=start.facts)
    model_tokenizer.choose(tmp_path / "2.txt", [empty], facts=start.facts, allow_other=True)


def test_a_tokenizer_that_is_named(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swapped = swapped_tokenizer(tmp_path / "other" / "spiece.model")
    with pytest.raises(CommandError, match="in another order; remove --tokenizer, or pass --allow-other"):
        model_tokenizer.choose(swapped, [directory])
    chosen = model_tokenizer.choose(swapped, [directory], allow_other=True)
    assert chosen.path == swapped
    assert "whose pieces differ from those of" in capsys.readouterr().err
    # A directory stands for the tokenizer in it.
    assert model_tokenizer.choose(directory, [directory]).path == directory / "30k-clean.model"
    assert model_tokenizer.choose(GOLDEN / "tokenizer", []).path == TOKENIZER
