"""Changed checkpoints of other programs: read, or refused with an error that names them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

pytestmark = pytest.mark.tensorflow
pytest.importorskip("tensorflow")

from conftest import GOLDEN
from foreign_bytes import changed_bytes, changed_json, fuzzed, nested
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import TrainerError
from trainer.exchange import initial

if TYPE_CHECKING:
    from pathlib import Path

TINY = GOLDEN / "model" / "tiny"
INDEX = (TINY / "model.ckpt-0.index").read_bytes()


def read(directory: Path) -> None:
    try:
        found = initial.initial(directory)
        assert found.values
        if found.config is not None:
            initial.check_shapes(found, found.config)
    except TrainerError as error:
        assert str(directory) in str(error)  # noqa: PT017 - there may be none


@pytest.fixture(scope="module")
def tf1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TF1 checkpoint, to be changed and mended."""
    directory = tmp_path_factory.mktemp("tf1")
    for path in TINY.glob("model.ckpt-0.*"):
        shutil.copy(path, directory)
    read(directory)
    return directory


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of transformers, to be changed and mended."""
    directory = tmp_path_factory.mktemp("hugging_face")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(TINY / "hf" / name, directory)
    read(directory)
    return directory


@given(data=st.data())
@fuzzed
def test_index_of_a_tf1_checkpoint(tf1: Path, data: st.DataObject) -> None:
    (tf1 / "model.ckpt-0.index").write_bytes(data.draw(changed_bytes(INDEX)))
    read(tf1)


@given(data=st.data())
@fuzzed
def test_header_of_safetensors(hugging_face: Path, data: st.DataObject) -> None:
    good = (TINY / "hf" / "model.safetensors").read_bytes()
    size = int.from_bytes(good[:8], "little")
    header, tensors = good[8 : 8 + size], good[8 + size :]
    if data.draw(st.booleans()):
        changed = data.draw(changed_json(header))
        content = len(changed).to_bytes(8, "little") + changed + tensors
    else:
        content = data.draw(changed_bytes(good[: 8 + size])) + tensors
    (hugging_face / "model.safetensors").write_bytes(content)
    read(hugging_face)


@given(data=st.data())
@fuzzed
def test_config_json(hugging_face: Path, data: st.DataObject) -> None:
    shutil.copy(TINY / "hf" / "model.safetensors", hugging_face)
    good = (TINY / "hf" / "config.json").read_bytes()
    (hugging_face / "config.json").write_bytes(data.draw(changed_json(good) | changed_bytes(good) | nested(good)))
    read(hugging_face)
