"""Import of a model into a directory for this trainer: `albert-fast import-checkpoint`.

    albert_config.json                  the model's configuration
    checkpoints/step-00000000/          its variables, without an optimizer's: see `trainer.model.checkpoints`
    spiece.model, spiece.config.json    the tokenizer, if it is known

The directory is like that of a run but without pretrain.config.json. Commands that read checkpoints accept it, and
`pretrain` does not mistake it for a run to resume.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from trainer import folder as run_folder
from trainer.errors import TrainerError, reason
from trainer.exchange import initial
from trainer.exchange.output import check_replaceable, replacing, would_delete
from trainer.model import checkpoints
from trainer.model.model import Albert

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trainer.model.config import ModelConfig

OWN = re.compile(
    r"checkpoints|albert_config\.json|spiece\.(model|config\.json)|vocab\.txt|tokenizer_config\.json|import-checkpoint\.config\.json"
)
"""What an import writes. A directory that holds anything else is never replaced."""
_MARK = re.compile(run_folder.CHECKPOINTS)


class Imported(NamedTuple):
    """What was written."""

    fresh: list[str]
    """Variables that the source lacked and that now have random values."""
    remarks: list[str]
    """Lines for the user."""


def check_output(directory: Path, overwrite: bool) -> None:
    """Refuse, before any work, an output directory whose content would be lost. Change nothing.

    Raises:
        TrainerError: as in `trainer.exchange.output.check_replaceable`; or the directory holds checkpoints of a run.
    """
    check_replaceable(directory, OWN, _MARK, overwrite)
    inner = directory / run_folder.CHECKPOINTS
    if inner.is_dir():
        foreign = sorted(path.name for path in inner.iterdir() if path not in checkpoints.listing(inner))
        if foreign:
            raise would_delete(inner, foreign)
    if any(checkpoints.step_of(path) for path in checkpoints.listing(inner)):
        message = (
            f"{directory} holds checkpoints of a run, which overwrite=True would delete; pass another `output_dir`"
        )
        raise TrainerError(message, kind="exists", path=directory)


def write(
    start: initial.Initial,
    config: ModelConfig,
    directory: Path,
    tokenizer: Mapping[str, bytes],
    description: Mapping[str, bytes],
    seed: int = 12345,
    described: Mapping[str, Any] | None = None,
) -> Imported:
    """Write the weights as a checkpoint of step 0.

    Args:
        start: what `initial.initial` read.
        config: the model's configuration.
        directory: the output directory, which is replaced if it exists: see `check_output`.
        tokenizer: its files by name, which are stored next to the checkpoint and in it.
        description: further files, which are stored next to the checkpoint.
        seed: random seed of the variables that the source lacks: heads and pooler.
        described: a description of the tokenizer, from `albert_fast.tokenizers.match.described`.

    Raises:
        TrainerError: the weights do not fit the configuration, or the directory cannot be written.
    """
    initial.check_shapes(start, config)
    model = Albert(config, seed=seed)
    variables = model.named_variables
    fresh = initial.assign(start, variables, config)
    try:
        with replacing(directory) as temporary:
            (temporary / checkpoints.CONFIG).write_text(config.to_json(), encoding="utf-8")
            for name, content in {**tokenizer, **description}.items():
                (temporary / name).write_bytes(content)
            facts = {
                "imported": start.kind,
                "initialised": fresh,
                "tokenizer": dict(described or start.facts.get("tokenizer") or {}),
            }
            inner = temporary / run_folder.CHECKPOINTS
            checkpoints.write(inner, variables, step=0, seed=seed, config=config, facts=facts, files=tokenizer)
    except (OSError, tf.errors.OpError) as error:
        raise TrainerError(f"cannot write {directory}: {reason(error)}", kind="io", path=directory) from error
    return Imported(fresh, initial.remarks(start, config))
