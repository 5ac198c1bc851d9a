"""The output directory of `pretrain`: what may be there, how it comes to be, and what is replaced."""

import contextlib
import itertools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert_fast.cli.common import CommandError, UsageError, make_output_dir, write_atomic, write_config
from albert_fast.cli.compile_cache import NAME as CACHE

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig
    from trainer.run.data import Data

MARKER, LOCK = "pretrain.config.json", ".lock"


@contextlib.contextmanager
def made(folder: Path) -> Iterator[None]:
    """Creates the output directory, and removes it again if the run was refused before it described itself there."""
    made = list(itertools.takewhile(lambda path: not path.exists(), (folder / CACHE, folder, *folder.parents)))
    make_output_dir(folder)
    try:
        yield
    finally:
        if made and not (folder / MARKER).exists():
            shutil.rmtree(made[0], ignore_errors=True)  # without programs: none was compiled
            for path in made[1:]:
                with contextlib.suppress(OSError):
                    path.rmdir()


def check(folder: Path) -> None:
    """Refuses a folder of something else."""
    # What the first moments of a run may leave is no something else.
    own = {LOCK, f".{MARKER}.tmp", CACHE}
    if folder.is_dir() and not (folder / MARKER).exists() and any(path.name not in own for path in folder.iterdir()):
        raise CommandError(f"{folder} is not empty, and holds no run of pretrain: pass another --output-dir")


def check_kept(folder: Path, init_checkpoint: Path) -> None:
    """Refuses weights to start from that --overwrite would remove."""
    kept = init_checkpoint.resolve()
    if kept == folder.resolve() or kept.is_relative_to((folder / "checkpoints").resolve()):
        raise UsageError(
            f"--overwrite would remove --init-checkpoint {init_checkpoint}, which is in {folder}: pass another "
            "--output-dir"
        )


def empty(folder: Path) -> None:
    """Removes what a run leaves, but for its description: a half emptied folder must still be known for what it is."""
    for name in ("checkpoints", "tensorboard"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    tokenizer = ("spiece.model", "spiece.config.json", "vocab.txt")
    for name in ("metrics.jsonl", "run.json", "report.html", "albert_config.json", *tokenizer):
        (folder / name).unlink(missing_ok=True)


def describe(folder: Path, given: Mapping[str, Any], model: "ModelConfig", training: "Data") -> None:
    """What the run is, beside what it will leave: options, model, tokenizer."""
    write_config(folder, "pretrain", {name: value for name, value in given.items() if name != "overwrite"})
    write_atomic(folder / "albert_config.json", model.to_json().encode())
    for name, content in training.tokenizer_files.items():
        write_atomic(folder / name, content)
