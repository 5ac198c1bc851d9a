"""The output directory of `pretrain`: it is made, and a refused run leaves none. Needs no TensorFlow."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from albert_fast import Tokenizer
from albert_fast.cli import run_folder
from albert_fast.cli.common import UsageError
from albert_fast.tokenizers import saving
from trainer.folder import COMPILED, MODEL, OPTIONS, empty, write_model

if TYPE_CHECKING:
    from pathlib import Path


def contents(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("there", [None, "above", "new/run"])
def test_a_refused_run_leaves_no_directory(there: str | None, cached: bool, tmp_path: Path) -> None:
    if there is not None:
        (tmp_path / there).mkdir(parents=True)
    before, directory = contents(tmp_path), tmp_path / "new" / "run"
    with contextlib.suppress(RuntimeError), run_folder.made(directory):
        assert directory.is_dir()
        if cached:
            (directory / COMPILED / "slot").mkdir(parents=True)
            (directory / COMPILED / "slot" / "lock").write_text("")
        raise RuntimeError
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kept", [OPTIONS, f"{COMPILED}/program", "letters.txt"])
def test_what_a_run_has_written_or_found_stays(kept: str, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    if kept != OPTIONS:
        (directory / kept).parent.mkdir(parents=True)
        (directory / kept).write_text("precious")
    with run_folder.made(directory):
        (directory / COMPILED).mkdir(exist_ok=True)
        (directory / kept).write_text("precious")
    assert (directory / kept).read_text() == "precious"
    assert (directory / COMPILED).exists() == (kept != "letters.txt")


@pytest.mark.parametrize("kind", ["sentencepiece", "wordpiece"])
def test_overwrite_removes_every_file_of_the_tokenizer(kind: str, model: Path, tmp_path: Path) -> None:
    if kind == "sentencepiece":
        files = saving.sentencepiece_files(model.read_bytes(), Tokenizer.from_file(model))
    else:
        (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
        files = saving.wordpiece_files(Tokenizer.from_vocab_file(tmp_path / "vocab.txt"))
    run = tmp_path / "run"
    run.mkdir()
    (run / OPTIONS).write_text("{}")
    write_model(run, "{}", files)
    assert contents(run) == {OPTIONS, MODEL, *files}
    empty(run)
    assert contents(run) == {OPTIONS}


def test_weights_that_overwrite_would_remove_are_refused(tmp_path: Path) -> None:
    run, loop, link = (tmp_path / name for name in ("run", "loop", "link"))
    (run / "checkpoints" / "step-2").mkdir(parents=True)
    loop.symlink_to("loop")
    link.symlink_to("run")
    for inside in (run, link, run / "checkpoints", link / "checkpoints" / "step-2"):
        with pytest.raises(UsageError, match="would remove --init-checkpoint"):
            run_folder.check_kept(run, inside)
    for elsewhere in (tmp_path, loop, loop / "checkpoints", run / "other"):
        run_folder.check_kept(run, elsewhere)
