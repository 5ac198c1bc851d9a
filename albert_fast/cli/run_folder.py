"""The output directory of `pretrain`: what it may contain, how it is created, and what is replaced."""

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from albert_fast.cli.common import CommandError, UsageError, make_output_dir, write_config
from albert_fast.files import inside, resolved
from albert_fast.options import Pretrain
from trainer.folder import CHECKPOINTS, COMPILED, FIRST, is_run, write_model

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig
    from trainer.run.data import Data


@contextlib.contextmanager
def made(folder: Path) -> Iterator[None]:
    """Creates the output directory, and removes it if the run is refused before it describes itself there."""
    created = list(itertools.takewhile(lambda path: not path.exists(), (folder / COMPILED, folder, *folder.parents)))
    make_output_dir(folder)
    try:
        yield
    finally:
        if created and not is_run(folder):
            shutil.rmtree(created[0], ignore_errors=True)  # without compiled programs: there are none yet
            for path in created[1:]:
                with contextlib.suppress(OSError):
                    path.rmdir()


def check(folder: Path) -> None:
    """Refuses a directory that contains something else."""
    if folder.is_dir() and not is_run(folder) and any(path.name not in FIRST for path in folder.iterdir()):
        raise CommandError(f"{folder} is not empty, and is not a run of pretrain; pass another --output-dir")


def check_kept(folder: Path, init_checkpoint: Path) -> None:
    """Refuses initial weights that --overwrite would remove."""
    if resolved(init_checkpoint) == resolved(folder) or inside(init_checkpoint, folder / CHECKPOINTS):
        raise UsageError(
            f"--overwrite would remove --init-checkpoint {init_checkpoint}, which is in {folder}; pass another "
            "--output-dir"
        )


def describe(folder: Path, options: Pretrain, model: "ModelConfig", training: "Data") -> None:
    """Writes what the run is, next to its outputs: options, model, tokenizer."""
    write_config(folder, "pretrain", options)
    write_model(folder, model.to_json(), training.tokenizer_files)
