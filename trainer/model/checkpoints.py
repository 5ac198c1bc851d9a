"""Checkpoints: folders that are there whole or not at all, and that prove it when they are read.

`RUN/checkpoints/step-00000500/` holds

    variables.index, variables.data-00000-of-00001     tf.train.Checkpoint(step, seed, variables={name: variable})
    albert_config.json                                 the model's configuration
    checkpoint.json                                    the description, below
    any files of the caller's                          the tokenizer, say
    evaluation.json                                    written later: what an evaluation of these weights gave

Variables are found by their names alone: the model's have those of the TF1 checkpoints, the optimizer's slots are
NAME/adam_m and NAME/adam_v. The description is a JSON object of `format_version` (1), `step`, `seed`, `facts` (whatever
the caller wants to find again), `files` (of every other file but the evaluation: size in bytes and SHA-256) and
`sha256`, that of the description itself: the object without this key, keys sorted, with neither spaces nor line ends.

A checkpoint is written as `.step-00000500.tmp`; when every file in it and the folder itself are on the disk it gets its
name. It is removed by way of `.step-00000500.old`. So whatever has a checkpoint's name was once whole, whenever the
process is killed; what has since been damaged is told by the digests. One process at a time may write to a folder.

TensorFlow is imported where variables are written or read, and nowhere else: looking for a checkpoint needs none.
"""

from __future__ import annotations

import json
import math
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast import AlbertFastError
from albert_fast.files import measure, remove, remove_tree, sync, whole_directory, write_atomic
from trainer import folder as run_folder
from trainer.errors import TrainerError, reason, some
from trainer.model.bundle import Reader, copies
from trainer.model.config import ModelConfig
from trainer.model.signed import checked, digest, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

FORMAT_VERSION = 1
CONFIG = run_folder.MODEL
DESCRIPTION = "checkpoint.json"
EVALUATION = "evaluation.json"
METRIC = "masked_lm_accuracy"
"""The metric of an evaluation whose largest value is the best."""
PREFIX = "variables"
SLOTS = ("/adam_m", "/adam_v")
"""How the names of the optimizer's slots end."""

_NAME = re.compile(r"step-([0-9]{8,})")
_LEFT_OVER = re.compile(rf"\.{_NAME.pattern}\.(tmp|old)")


class DamagedError(TrainerError):
    """A checkpoint is not what was written; another one may be."""


class Checkpoint(NamedTuple):
    """A checkpoint on the disk."""

    path: Path
    """Its folder."""
    step: int
    """Steps done."""
    seed: int
    """The run's seed, which with the step decides every batch and dropout mask to come."""
    config: ModelConfig
    """The model's configuration."""
    facts: dict[str, Any]
    """What the writer passed, as JSON has it."""
    evaluation: dict[str, float] | None
    """What an evaluation of these weights gave; None where there was none, or where its file is damaged."""
    sha256: str
    """The digest of its description, in which those of all its files are: equal ones hold the same."""


# --- writing ---------------------------------------------------------------------------------------------------------


def write(
    folder: Path,
    variables: Mapping[str, tf.Variable],
    *,
    step: int,
    seed: int,
    config: ModelConfig,
    facts: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Checkpoint:
    """Writes the checkpoint of `step`, whole or not at all.

    Of a distributed variable this process's first copy is taken, so nothing waits for other processes. Where the
    checkpoint of this step is there already, with the same variables, seed, configuration and files, it stays as it is,
    its facts and its evaluation included; a damaged or another one is replaced.

    Args:
        folder: RUN/checkpoints; made where it is missing.
        variables: model's and optimizer's, by name.
        step: steps done, not negative.
        seed: the run's seed.
        config: the model's configuration.
        facts: anything that JSON can hold.
        files: further files to keep with the variables, by name.

    Raises:
        TrainerError: the disk is full, or something else kept the checkpoint from being written. The folder is as it
            was before.
        ValueError: an argument breaks its rule.
        RuntimeError: called within `strategy.scope()`, where the step's number would become a distributed variable.
    """
    import tensorflow as tf

    if tf.distribute.has_strategy():
        raise RuntimeError("a checkpoint must be written outside of strategy.scope()")
    if step < 0:
        raise ValueError(f"step must not be negative, not {step}")
    name = f"step-{step:08}"
    final = folder / name
    contents = {CONFIG: config.to_json().encode()}
    for file, data in (files or {}).items():
        if Path(file).name != file or file.startswith((".", f"{PREFIX}.")) or file in (CONFIG, DESCRIPTION, EVALUATION):
            raise ValueError(f"a checkpoint cannot hold a file named {file!r}")
        contents[file] = data
    # As JSON gives them back, so that the digest is that of what will be read.
    facts = json.loads(json.dumps(facts or {}))
    description: dict[str, Any] = {"format_version": FORMAT_VERSION, "step": step, "seed": seed, "facts": facts}
    try:
        with whole_directory(final) as temporary:
            saved = tf.train.Checkpoint(
                step=tf.Variable(step, dtype=tf.int64),
                seed=tf.Variable(seed, dtype=tf.int64),
                variables={key: copies(variable)[0] for key, variable in variables.items()},
            )
            saved.write(str(temporary / PREFIX))
            for file, data in contents.items():
                (temporary / file).write_bytes(data)
            listed = {}
            for path in sorted(temporary.iterdir()):
                size, sha256 = measure(path)
                listed[path.name] = {"size": size, "sha256": sha256}
            description["files"] = listed
            (temporary / DESCRIPTION).write_bytes(signed(description))
            before = _read_or_none(final)
            if before is not None and _same(before, temporary):
                remove_tree(temporary)
                return before
        sync(folder.parent)  # which the folder may be new in
    except (OSError, tf.errors.OpError) as error:
        raise TrainerError(f"cannot write the checkpoint {final}: {reason(error)}") from error
    return read(final, verify=False)


def set_evaluation(checkpoint: Checkpoint, metrics: Mapping[str, float]) -> Checkpoint:
    """Writes what an evaluation of `checkpoint` gave beside it, in place of an older one.

    Returns:
        The checkpoint with its evaluation.

    Raises:
        TrainerError: the file cannot be written.
    """
    # With the digest: where another checkpoint takes this one's place, this evaluation shall not count for it.
    evaluation = {name: float(value) for name, value in metrics.items()}
    content = {"checkpoint": checkpoint.sha256, "evaluation": evaluation}
    path = checkpoint.path / EVALUATION
    try:
        write_atomic(path, signed(content))
    except AlbertFastError as error:
        raise TrainerError(str(error)) from error
    return checkpoint._replace(evaluation=evaluation)


def prune(folder: Path, keep: int) -> list[Path]:
    """Removes all but the newest `keep` checkpoints and the best one, and whatever killed processes left.

    The best has the largest `METRIC` in its evaluation, of equal ones the newest. A checkpoint whose files lack, or
    have other sizes than were written, does not count among those kept; it goes when a whole one is newer. Digests are
    not computed: this is done after every checkpoint.

    Returns:
        What was removed, oldest first.

    Raises:
        TrainerError: something cannot be removed.
        ValueError: `keep` is below 1.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, not {keep}")
    whole: list[Checkpoint] = []
    damaged: list[Path] = []
    for path in listing(folder):
        try:
            whole.append(read(path, verify=False))
        except DamagedError:  # noqa: PERF203 - a few checkpoints at most
            damaged.append(path)
    top = best(whole)
    kept = {checkpoint.path for checkpoint in [*whole[:keep], *([top] if top else [])]}
    gone = [checkpoint.path for checkpoint in whole if checkpoint.path not in kept]
    gone += [path for path in damaged if whole and step_of(path) < whole[0].step]
    try:
        for path in sorted(gone, key=step_of):
            remove(path)
        if folder.is_dir():
            for path in [path for path in folder.iterdir() if _LEFT_OVER.fullmatch(path.name)]:
                remove_tree(path)
    except OSError as error:
        raise TrainerError(f"cannot remove an old checkpoint from {folder}: {reason(error)}") from error
    return sorted(gone, key=step_of)


# --- finding and reading ---------------------------------------------------------------------------------------------


def listing(folder: Path) -> list[Path]:
    """The folders in `folder` that have a checkpoint's name, newest first. None where there is no such folder."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """The step in a checkpoint's name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is not a checkpoint's name")
    return int(match[1])


def best(checkpoints: list[Checkpoint]) -> Checkpoint | None:
    """The one with the largest `METRIC` in its evaluation, of equal ones the first; None where none has any."""
    known = [c for c in checkpoints if c.evaluation and not math.isnan(c.evaluation.get(METRIC, math.nan))]
    return max(known, key=lambda c: (c.evaluation or {})[METRIC], default=None)


def newest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint in RUN/checkpoints; None where there is none at all.

    Args:
        folder: RUN/checkpoints; it need not be there.
        warn: gets a line for each newer one that is damaged.

    Raises:
        TrainerError: all are damaged, one is of another format version, or one cannot be read for want of permission.
            To start from nothing would cost the work that may still be in them.
    """
    damages: list[DamagedError] = []
    for path in listing(folder):
        try:
            found = read(path)
        except DamagedError as error:
            damages.append(error)
            continue
        for damage in damages:
            warn(f"{damage}: resuming from {path.name}")
        return found
    if damages:
        raise TrainerError(
            f"every checkpoint in {folder} is damaged (the newest: {damages[0]}); bring one back, or choose another "
            "output folder to start anew"
        )
    return None


def find(path: Path, warn: Callable[[str], None]) -> Checkpoint:
    """The checkpoint at `path`: a checkpoint's own folder, or the newest whole one of RUN/checkpoints or of RUN.

    Raises:
        TrainerError: there is none, it is damaged, or as in `newest`.
    """
    if is_checkpoint(path):
        return read(path)
    for folder in (path / run_folder.CHECKPOINTS, path):
        found = newest(folder, warn)
        if found is not None:
            return found
    what = "holds no checkpoint" if path.is_dir() else "is not a folder" if path.exists() else "does not exist"
    raise TrainerError(f"{path} {what}; it must be the output folder of a run, or one of its checkpoints")


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is meant to be a checkpoint's own folder, whole or not."""
    return path.is_dir() and ((path / DESCRIPTION).exists() or _NAME.fullmatch(path.name) is not None)


def read(path: Path, verify: bool = True) -> Checkpoint:
    """The checkpoint whose folder is `path`.

    Args:
        path: the folder.
        verify: whether the files' digests are computed, and not only their sizes compared.

    Raises:
        DamagedError: a file lacks, or differs from what was written.
        TrainerError: the checkpoint is of another format version, or cannot be read for want of permission.
    """
    try:
        return _read(path, verify)
    except PermissionError as error:
        raise TrainerError(f"cannot read the checkpoint {path}: {reason(error)}") from error
    except OSError as error:
        raise _damaged(path, reason(error)) from error


def load(checkpoint: Checkpoint, variables: Mapping[str, tf.Variable], *, model_only: bool = False) -> None:
    """Gives every one of `variables` its value in `checkpoint`, in all of this process's copies.

    Args:
        checkpoint: what `read`, `find` or `newest` found.
        variables: by name. Those of the checkpoint and these must be the same.
        model_only: the checkpoint's slots of the optimizer (`SLOTS`) are left out.

    Raises:
        TrainerError: names, shapes or dtypes differ (then nothing was assigned), or the file cannot be read.
    """
    reader = _reader(checkpoint)
    names = _names(reader, model_only)
    for wrong, which in (("lacks", variables.keys() - names), ("also holds", names - variables.keys())):
        if which:
            raise TrainerError(
                f"checkpoint {checkpoint.path} is of another model or optimizer: it {wrong} {some(sorted(which))}"
            )
    for name, variable in variables.items():
        stored, wanted = (reader.dtypes[name], reader.shapes[name]), (variable.dtype, variable.shape.as_list())
        if stored != wanted:
            raise TrainerError(
                f"checkpoint {checkpoint.path} is of another model: {name} is {stored[0].name} {stored[1]} there, "
                f"and {wanted[0].name} {wanted[1]} here"
            )
    for name, variable in variables.items():
        value = reader.value(name)
        for copy in copies(variable):
            copy.assign(value)


def model_values(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """The model's variables of `checkpoint` by name, the optimizer's left out.

    Raises:
        TrainerError: the file cannot be read.
    """
    return values(checkpoint, model_only=True)


def values(checkpoint: Checkpoint, *, model_only: bool) -> dict[str, NDArray[np.float32]]:
    """The variables of `checkpoint` by name, with or without the optimizer's.

    Raises:
        TrainerError: the file cannot be read.
    """
    reader = _reader(checkpoint)
    return {name: reader.value(name) for name in sorted(_names(reader, model_only=model_only))}


# --- parts -----------------------------------------------------------------------------------------------------------


def _read(path: Path, verify: bool) -> Checkpoint:
    description = checked(path / DESCRIPTION)
    if description is None:
        raise _damaged(path, f"{DESCRIPTION} is not what was written")
    version = description["format_version"]
    if version != FORMAT_VERSION:
        raise TrainerError(
            f"checkpoint {path} has format version {version}, and this version of albert-fast reads "
            f"{FORMAT_VERSION}: use the version that wrote it"
        )
    step = description["step"]
    if _NAME.fullmatch(path.name) and step_of(path) != step:
        raise _damaged(path, f"it holds step {step}")
    for name, expected in description["files"].items():
        file = path / name
        size = file.stat().st_size
        if size != expected["size"]:
            raise _damaged(path, f"{name} has {size:,} bytes instead of {expected['size']:,}")
        if verify and measure(file)[1] != expected["sha256"]:
            raise _damaged(path, f"{name} is not what was written: its SHA-256 differs")
    try:
        config = ModelConfig.from_file(path / CONFIG)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return Checkpoint(
        path,
        step,
        description["seed"],
        config,
        description["facts"],
        _evaluation(path, description),
        digest(description),
    )


def _reader(checkpoint: Checkpoint) -> Reader:
    return Reader(checkpoint.path / PREFIX, partial(_damaged, checkpoint.path))


def _names(reader: Reader, model_only: bool) -> set[str]:
    return {name for name in reader.shapes if not (model_only and name.endswith(SLOTS))}


def _evaluation(path: Path, description: dict[str, Any]) -> dict[str, float] | None:
    try:
        content = checked(path / EVALUATION)
    except FileNotFoundError:
        return None
    if content is None or content["checkpoint"] != digest(description):
        return None
    evaluation: dict[str, float] = content["evaluation"]
    return evaluation


def _read_or_none(path: Path) -> Checkpoint | None:
    try:
        return read(path)
    except TrainerError:
        return None


def _same(checkpoint: Checkpoint, folder: Path) -> bool:
    """Whether `folder` holds what `checkpoint` does, apart from the facts."""
    left, right = checked(checkpoint.path / DESCRIPTION), checked(folder / DESCRIPTION)
    return left is not None and right is not None and left | {"facts": None} == right | {"facts": None}


def _damaged(path: Path, what: str) -> DamagedError:
    return DamagedError(f"checkpoint {path} is damaged ({what})")
