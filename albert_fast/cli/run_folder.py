"""The output directory of `pretrain`: what it may contain, how it is created, and what is replaced."""

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from albert_fast.cli.common import CommandError, UsageError, check_output_dir, make_output_dir, write_config
from albert_fast.files import inside, resolved
from albert_fast.options import Pretrain
from albert_fast.paths import RemotePath
from trainer.folder import CHECKPOINTS, COMPILED, FIRST, is_run, write_model

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig
    from trainer.run.data import Data


@contextlib.contextmanager
def made(directory: Path) -> Iterator[None]:
    """Creates the output directory, and removes it if the run is refused before it describes itself there."""
    created = list(
        itertools.takewhile(lambda path: not path.exists(), (directory / COMPILED, directory, *directory.parents))
    )
    make_output_dir(directory)
    try:
        yield
    finally:
        if created and not is_run(directory):
            shutil.rmtree(created[0], ignore_errors=True)  # without compiled programs: there are none yet
            for path in created[1:]:
                with contextlib.suppress(OSError):
                    path.rmdir()


def check(directory: Path) -> None:
    """Refuses a directory that contains something else, or is remote."""
    if isinstance(directory, RemotePath):
        raise UsageError(
            f"--output-dir must be a local directory, got {directory}; pass it as --mirror-dir to have a copy there"
        )
    if directory.is_dir() and not is_run(directory) and any(path.name not in FIRST for path in directory.iterdir()):
        raise CommandError(f"{directory} is not empty, and is not a run of pretrain; pass another --output-dir")


def check_mirror(directory: Path, mirror: Path) -> None:
    """Refuses a mirror that overlaps the run."""
    if isinstance(mirror, RemotePath):
        if str(mirror).startswith(("http:", "https:", "hf:")):
            raise UsageError(f"--mirror-dir must be a local directory or one in a bucket, got {mirror}")
        return
    if inside(mirror, directory) or inside(directory, mirror):
        raise UsageError(f"--mirror-dir and --output-dir must be separate directories, got {mirror} and {directory}")
    check_output_dir(mirror)


def check_kept(directory: Path, init_checkpoint: Path) -> None:
    """Refuses initial weights that --overwrite would remove."""
    if resolved(init_checkpoint) == resolved(directory) or inside(init_checkpoint, directory / CHECKPOINTS):
        raise UsageError(
            f"--overwrite would remove --init-checkpoint {init_checkpoint}, which is in {directory}; pass another "
            "--output-dir"
        )


def describe(directory: Path, options: Pretrain, model: "ModelConfig", training: "Data") -> None:
    """Writes what the run is, next to its outputs: options, model, tokenizer."""
    # With a budget, another start must not take the default for a number that the user gave.
    resolved = {} if options.budget_hours is None else {"num_train_steps": None}
    write_config(directory, "pretrain", options, resolved=resolved)
    write_model(directory, model.to_json(), training.tokenizer_files)
