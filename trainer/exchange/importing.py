"""A model from elsewhere as a folder of ours: `albert-fast import-checkpoint`.

    albert_config.json                  the model's configuration
    checkpoints/step-00000000/          its variables, without an optimizer's: see `trainer.model.checkpoints`
    spiece.model, spiece.config.json    the tokenizer, where it is known

A folder like a run's, but without pretrain.config.json: whatever reads checkpoints takes it, and `pretrain` does not
take it for a run to go on with.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from trainer import folder as run_folder
from trainer.errors import TrainerError, reason, some
from trainer.exchange import initial
from trainer.exchange.output import check_replaceable, replacing
from trainer.model import checkpoints
from trainer.model.model import Albert

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trainer.model.config import ModelConfig

OWN = re.compile(
    r"checkpoints|albert_config\.json|spiece\.(model|config\.json)|vocab\.txt|tokenizer_config\.json|import-checkpoint\.config\.json"
)
"""What an import writes; a folder with anything else in it is never replaced."""
_MARK = re.compile(run_folder.CHECKPOINTS)


class Imported(NamedTuple):
    """What was written."""

    fresh: list[str]
    """Variables that the source lacked, which have random values now."""
    remarks: list[str]
    """Lines for the reader."""


def check_output(folder: Path, overwrite: bool) -> None:
    """Refuses, before any work, an output folder that would cost something. Changes nothing.

    Raises:
        TrainerError: as in `trainer.exchange.output.check_replaceable`; or the folder holds checkpoints of a training.
    """
    check_replaceable(folder, OWN, _MARK, overwrite)
    inner = folder / run_folder.CHECKPOINTS
    if inner.is_dir():
        foreign = sorted(path.name for path in inner.iterdir() if path not in checkpoints.listing(inner))
        if foreign:
            raise TrainerError(
                f"{inner} holds {some(foreign)}, which this command does not write: --overwrite would delete it; pass "
                "another --output-dir"
            )
    if any(checkpoints.step_of(path) for path in checkpoints.listing(inner)):
        raise TrainerError(f"{folder} holds checkpoints of a training, which --overwrite would delete")


def write(
    start: initial.Initial,
    config: ModelConfig,
    folder: Path,
    tokenizer: Mapping[str, bytes],
    description: Mapping[str, bytes],
    seed: int = 12345,
    described: Mapping[str, Any] | None = None,
) -> Imported:
    """Writes the weights as a checkpoint of step 0.

    Args:
        start: what `initial.initial` read.
        config: the model's.
        folder: where to, replaced where it is there: see `check_output`.
        tokenizer: its files, by name; kept beside the checkpoint and in it.
        description: further files, kept beside the checkpoint.
        seed: of the values of variables that the source lacks: heads and pooler.
        described: the tokenizer in words, as `albert_fast.tokenizers.match.described` has it.

    Raises:
        TrainerError: the weights do not fit the configuration, or the folder cannot be written.
    """
    initial.check_shapes(start, config)
    model = Albert(config, seed=seed)
    variables = model.named_variables
    fresh = initial.assign(start, variables, config)
    try:
        with replacing(folder) as temporary:
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
        raise TrainerError(f"cannot write {folder}: {reason(error)}") from error
    return Imported(fresh, initial.remarks(start, config))
