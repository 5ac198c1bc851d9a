"""Checkpoints: directories that are complete or absent, and that are verified when they are read.

`RUN/checkpoints/step-00000500/` holds

    variables.index, variables.data-00000-of-00001     tf.train.Checkpoint(step, seed, variables={name: variable})
    albert_config.json                                 the model's configuration
    checkpoint.json                                    the description, below
    any files of the caller                            for example, the tokenizer
    evaluation.json                                    written later: the figures of an evaluation

Variables are identified only by their names. The model's have the names of the TF1 checkpoints; the optimizer's slots
are NAME/adam_m and NAME/adam_v. The description is a JSON object of `format_version` (1), `step`, `seed`, `facts`
(whatever the caller wants to store), `files` (size in bytes and SHA-256 of every other file except the evaluation) and
`sha256`. The last is the digest of the description itself: the object without this key, with sorted keys and without
spaces or newlines.

A checkpoint is written as `.step-00000500.tmp`. It gets its final name when every file in it and the directory itself
are on disk. Before it is removed, it is renamed to `.step-00000500.old`. So every directory with a checkpoint's name
was once complete, even if the process was killed. The digests detect damage after that. Only one process at a time may
write to a directory.

TensorFlow is imported only when variables are written or read. Finding a checkpoint does not need it.
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
"""The metric of an evaluation that decides which checkpoint is best: the one with the largest value."""
PREFIX = "variables"
SLOTS = ("/adam_m", "/adam_v")
"""The suffixes of the optimizer's slots."""

_NAME = re.compile(r"step-([0-9]{8,})")
_LEFT_OVER = re.compile(rf"\.{_NAME.pattern}\.(tmp|old)")


class DamagedError(TrainerError):
    """A checkpoint differs from what was written. Another one may be intact."""


class Checkpoint(NamedTuple):
    """A checkpoint on disk."""

    path: Path
    """Its directory."""
    step: int
    """The number of steps done."""
    seed: int
    """The run's seed. Together with the step, it decides every later batch and dropout mask."""
    config: ModelConfig
    """The model's configuration."""
    facts: dict[str, Any]
    """What the writer passed as facts, as read back from JSON."""
    evaluation: dict[str, float] | None
    """The figures of an evaluation of these weights. None if there was no evaluation or its file is damaged."""
    sha256: str
    """The digest of its description, which contains the digests of all its files. Equal digests mean equal content."""


# --- writing ---------------------------------------------------------------------------------------------------------


def write(
    directory: Path,
    variables: Mapping[str, tf.Variable],
    *,
    step: int,
    seed: int,
    config: ModelConfig,
    facts: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Checkpoint:
    """Write the checkpoint of `step` completely or not at all.

    This process's first copy of a distributed variable is saved, so nothing waits for other processes. If the
    checkpoint of this step already exists with the same variables, seed, configuration and files, it is left unchanged,
    including its facts and its evaluation. A damaged or different one is replaced.

    Args:
        directory: RUN/checkpoints; created if it is missing.
        variables: those of the model and the optimizer, by name.
        step: number of steps done, not negative.
        seed: the run's seed.
        config: the model's configuration.
        facts: anything that JSON can hold.
        files: further files to store with the variables, by name.

    Raises:
        TrainerError: the disk is full, or the checkpoint cannot be written for another reason. The directory is left
            as it was.
        ValueError: an argument breaks its rule.
        RuntimeError: called within `strategy.scope()`, in which the step's number would become a distributed variable.
    """
    import tensorflow as tf

    if tf.distribute.has_strategy():
        raise RuntimeError("a checkpoint must be written outside of strategy.scope()")
    if step < 0:
        raise ValueError(f"step must be at least 0, got {step}")
    name = f"step-{step:08}"
    final = directory / name
    contents = {CONFIG: config.to_json().encode()}
    for file, data in (files or {}).items():
        if Path(file).name != file or file.startswith((".", f"{PREFIX}.")) or file in (CONFIG, DESCRIPTION, EVALUATION):
            raise ValueError(f"a checkpoint cannot hold a file named {file!r}")
        contents[file] = data
    # Convert the facts to what JSON returns, so that the digest is that of what will be read.
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
        sync(directory.parent)  # in case the directory is new in it
    except (OSError, tf.errors.OpError) as error:
        raise TrainerError(f"cannot write the checkpoint {final}: {reason(error)}", kind="io", path=final) from error
    return read(final, verify=False)


def set_evaluation(checkpoint: Checkpoint, metrics: Mapping[str, float]) -> Checkpoint:
    """Write the figures of an evaluation of `checkpoint` into its directory, replacing older ones.

    Returns:
        The checkpoint with its evaluation.

    Raises:
        TrainerError: the file cannot be written.
    """
    # The digest ties the evaluation to this checkpoint. If another one takes its place, the evaluation does not count
    # for it.
    evaluation = {name: float(value) for name, value in metrics.items()}
    content = {"checkpoint": checkpoint.sha256, "evaluation": evaluation}
    path = checkpoint.path / EVALUATION
    try:
        write_atomic(path, signed(content))
    except AlbertFastError as error:
        raise TrainerError(str(error), kind="io", path=path) from error
    return checkpoint._replace(evaluation=evaluation)


def prune(directory: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` checkpoints and the best one, and what killed processes left behind.

    The best has the largest `METRIC` in its evaluation; of equal ones, it is the newest. A checkpoint with missing
    files, or with files of another size than was written, does not count as kept. It is removed when a complete one is
    newer. Digests are not computed, because this function runs after every checkpoint.

    Returns:
        The removed paths, oldest first.

    Raises:
        TrainerError: something cannot be removed.
        ValueError: `keep` is below 1.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    whole: list[Checkpoint] = []
    damaged: list[Path] = []
    for path in listing(directory):
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
        if directory.is_dir():
            for path in [path for path in directory.iterdir() if _LEFT_OVER.fullmatch(path.name)]:
                remove_tree(path)
    except OSError as error:
        message = f"cannot remove an old checkpoint from {directory}: {reason(error)}"
        raise TrainerError(message, kind="io", path=directory) from error
    return sorted(gone, key=step_of)


# --- finding and reading ---------------------------------------------------------------------------------------------


def listing(directory: Path) -> list[Path]:
    """Return the directories in `directory` with a checkpoint's name, newest first; none if `directory` is missing."""
    if not directory.is_dir():
        return []
    found = (path for path in directory.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
    return sorted(found, key=step_of, reverse=True)


def is_name(name: str) -> bool:
    """Tell whether this is the name of a checkpoint's directory."""
    return _NAME.fullmatch(name) is not None


def step_of(path: Path) -> int:
    """Return the step in a checkpoint's name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is not a checkpoint's name")
    return int(match[1])


def best(checkpoints: list[Checkpoint]) -> Checkpoint | None:
    """Return the first checkpoint with the largest `METRIC` in its evaluation, or None if none was evaluated."""
    known = [c for c in checkpoints if c.evaluation and not math.isnan(c.evaluation.get(METRIC, math.nan))]
    return max(known, key=lambda c: (c.evaluation or {})[METRIC], default=None)


def newest(directory: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """Return the newest complete checkpoint in RUN/checkpoints, or None if there are no checkpoints.

    Args:
        directory: RUN/checkpoints; it need not exist.
        warn: called with a line for each newer checkpoint that is damaged.

    Raises:
        TrainerError: all are damaged, one has another format version, or one cannot be read for lack of permission.
            Starting over would discard the training that may still be in them.
    """
    damages: list[DamagedError] = []
    for path in listing(directory):
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
            f"every checkpoint in {directory} is damaged (the newest: {damages[0]}); restore one from a backup, or "
            "start over in another directory",
            kind="data",
            path=directory,
        )
    return None


def find(path: Path, warn: Callable[[str], None]) -> Checkpoint:
    """Return the checkpoint at `path`: its own directory, or RUN/checkpoints or RUN for the newest complete one.

    Raises:
        TrainerError: there is none, it is damaged, or as in `newest`.
    """
    if is_checkpoint(path):
        return read(path)
    for directory in (path / run_folder.CHECKPOINTS, path):
        found = newest(directory, warn)
        if found is not None:
            return found
    what = "holds no checkpoint" if path.is_dir() else "is not a directory" if path.exists() else "does not exist"
    message = f"{path} {what}; it must be the output directory of a run, or one of its checkpoints"
    raise TrainerError(message, kind="input", path=path)


def is_checkpoint(path: Path) -> bool:
    """Tell whether `path` is meant to be a checkpoint's own directory, complete or not."""
    return path.is_dir() and ((path / DESCRIPTION).exists() or _NAME.fullmatch(path.name) is not None)


def read(path: Path, verify: bool = True) -> Checkpoint:
    """Read the checkpoint in the directory `path`.

    Args:
        path: the directory.
        verify: whether to check the digests of the files, not only their sizes.

    Raises:
        DamagedError: a file is missing or differs from what was written.
        TrainerError: the checkpoint has another format version, or cannot be read for lack of permission.
    """
    try:
        return _read(path, verify)
    except PermissionError as error:
        raise TrainerError(f"cannot read the checkpoint {path}: {reason(error)}", kind="io", path=path) from error
    except OSError as error:
        raise _damaged(path, reason(error)) from error


def load(checkpoint: Checkpoint, variables: Mapping[str, tf.Variable], *, model_only: bool = False) -> None:
    """Assign to each of `variables`, in all of this process's copies, its value in `checkpoint`.

    Args:
        checkpoint: what `read`, `find` or `newest` returned.
        variables: by name. The checkpoint must hold the same names.
        model_only: whether to skip the optimizer's slots (`SLOTS`) in the checkpoint.

    Raises:
        TrainerError: names, shapes or dtypes differ (then nothing is assigned), or the file cannot be read.
    """
    reader = _reader(checkpoint)
    names = _names(reader, model_only)
    for wrong, which in (("lacks", variables.keys() - names), ("also holds", names - variables.keys())):
        if which:
            raise TrainerError(
                f"checkpoint {checkpoint.path} is of another model or optimizer: it {wrong} {some(sorted(which))}",
                kind="data",
                path=checkpoint.path,
            )
    for name, variable in variables.items():
        stored, wanted = (reader.dtypes[name], reader.shapes[name]), (variable.dtype, variable.shape.as_list())
        if stored != wanted:
            raise TrainerError(
                f"checkpoint {checkpoint.path} is of another model: {name} must be {wanted[0].name} {wanted[1]}, got "
                f"{stored[0].name} {stored[1]}",
                kind="data",
                path=checkpoint.path,
            )
    for name, variable in variables.items():
        value = reader.value(name)
        for copy in copies(variable):
            copy.assign(value)


def model_values(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """Return the model's variables of `checkpoint` by name, without the optimizer's.

    Raises:
        TrainerError: the file cannot be read.
    """
    return values(checkpoint, model_only=True)


def values(checkpoint: Checkpoint, *, model_only: bool) -> dict[str, NDArray[np.float32]]:
    """Return the variables of `checkpoint` by name, with or without the optimizer's.

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
            f"checkpoint {path} has format version {version}, and this version of albert-fast reads only "
            f"{FORMAT_VERSION}; use the version that wrote it",
            kind="data",
            path=path,
        )
    step = description["step"]
    if _NAME.fullmatch(path.name) and step_of(path) != step:
        raise _damaged(path, f"it holds step {step}")
    for name, expected in description["files"].items():
        file = path / name
        size = file.stat().st_size
        if size != expected["size"]:
            raise _damaged(path, f"{name} must have {expected['size']:,} bytes, got {size:,}")
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


def _same(checkpoint: Checkpoint, directory: Path) -> bool:
    """Tell whether `directory` holds the same as `checkpoint`, apart from the facts."""
    left, right = checked(checkpoint.path / DESCRIPTION), checked(directory / DESCRIPTION)
    return left is not None and right is not None and left | {"facts": None} == right | {"facts": None}


def _damaged(path: Path, what: str) -> DamagedError:
    return DamagedError(f"checkpoint {path} is damaged ({what})", kind="data", path=path)
