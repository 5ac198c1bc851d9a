"""Directories of Hugging Face's cache. Needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from albert_fast import AlbertFastError
from albert_fast.cli import model_tokenizer
from albert_fast.cli.tokenizer_file import in_directory
from albert_fast.tokenizers import files as tokenizer_files
from trainer.errors import TrainerError
from trainer.exchange import hub

if TYPE_CHECKING:
    from pathlib import Path

COMMIT, OLDER = "b" * 40, "a" * 40


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A model in the cache, in two versions, as `huggingface_hub` leaves it."""
    directory = tmp_path / "models--albert--albert-base-v2"
    for name in ("blobs", "refs", f"snapshots/{OLDER}", f"snapshots/{COMMIT}"):
        (directory / name).mkdir(parents=True)
    (directory / "blobs" / "0123").write_bytes(b"a model")
    (directory / "snapshots" / COMMIT / "spiece.model").symlink_to("../../blobs/0123")
    (directory / "refs" / "main").write_text(COMMIT)
    return directory


def test_a_model_is_read_through_its_main_reference(cache: Path) -> None:
    snapshot = cache / "snapshots" / COMMIT
    assert hub.resolve(cache) == snapshot
    assert hub.resolve(cache / "snapshots") == snapshot
    (cache / "refs" / "main").write_text(f"{OLDER}\n")
    assert hub.resolve(cache) == cache / "snapshots" / OLDER


def test_other_directories_are_left_alone(cache: Path, tmp_path: Path) -> None:
    for path in (cache / "snapshots" / COMMIT, tmp_path / "none", tmp_path, cache / "refs" / "main"):
        assert hub.resolve(path) == path
    (tmp_path / "photos" / "snapshots" / "1").mkdir(parents=True)
    assert hub.resolve(tmp_path / "photos") == tmp_path / "photos"


def test_without_the_main_reference(cache: Path) -> None:
    (cache / "refs" / "main").unlink()
    with pytest.raises(TrainerError, match=f"main does not exist: pass one of the 2 snapshots, such as .*{OLDER}"):
        hub.resolve(cache)
    (cache / "snapshots" / OLDER).rmdir()
    assert hub.resolve(cache) == cache / "snapshots" / COMMIT
    (cache / "refs" / "main").write_text(OLDER)
    with pytest.raises(TrainerError, match=f"main names {OLDER}, which is not in .*snapshots: pass"):
        hub.resolve(cache)
    (cache / "snapshots" / COMMIT / "spiece.model").unlink()
    (cache / "snapshots" / COMMIT).rmdir()
    with pytest.raises(TrainerError, match="snapshots is empty: download the model again"):
        hub.resolve(cache)


def test_its_tokenizer_is_found(cache: Path) -> None:
    file = cache / "snapshots" / COMMIT / "spiece.model"
    assert model_tokenizer.find(model_tokenizer.directories(cache)) == file
    assert tokenizer_files.named(cache) == file
    assert tokenizer_files.named(file) == file
    assert in_directory(cache, None) == (file, None)
    file.unlink()
    with pytest.raises(AlbertFastError, match=r"holds no tokenizer \(no \.model file, no vocab\.txt\); pass the"):
        tokenizer_files.named(cache)
    (cache / "refs" / "main").unlink()
    with pytest.raises(AlbertFastError, match="pass one of the 2 snapshots"):
        tokenizer_files.named(cache)
