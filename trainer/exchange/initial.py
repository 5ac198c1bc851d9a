"""Initial weights of a run: from a TF1 ALBERT, a checkpoint of this trainer, or a Hugging Face directory.

All are read into arrays by the names of the TF1 checkpoints. Nothing that is read is ever run: pickles, such as
pytorch_model.bin, are refused by name. TensorFlow is imported only for the first two.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast import json_text
from albert_fast.text import number
from trainer import folder as run_folder
from trainer.errors import TrainerError, some
from trainer.exchange import growing, hub
from trainer.model import checkpoints, tf1_names, weights
from trainer.model.bundle import bundle_errors, copies
from trainer.model.config import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Suffixes of files that are, or may be, pickles. Opening a pickle can run code in it."""
TENSORS = "model.safetensors"
INDEX = f"{TENSORS}.index.json"

_TF1, _HUGGING_FACE = "TF1 checkpoint", "Hugging Face directory"
_PARTS = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_BERT = re.compile(
    r"(^|[./])(layer_\d+/(attention|output|intermediate)/|layer\.\d+\.(attention|output|intermediate)\.)"
)
# A model whose sizes all differ, so that a dimension shows which key it comes from.
_SIZES: dict[str, Any] = {
    "vocab_size": 101,
    "hidden_size": 103,
    "intermediate_size": 107,
    "embedding_size": 109,
    "max_position_embeddings": 113,
    "type_vocab_size": 127,
}


class Initial(NamedTuple):
    """Weights to start from."""

    values: dict[str, NDArray[np.float32]]
    """Arrays by the names of the TF1 checkpoints. Heads may be missing."""
    config: ModelConfig | None
    """The model's configuration; None if a TF1 checkpoint has no albert_config.json next to it."""
    origin: str
    """What was read, in one line without a period."""
    notes: tuple[str, ...] = ()
    """Lines for the user: what was dropped, chosen, or skipped as damaged."""
    path: Path | None = None
    """The checkpoint of this trainer that was read, if it was one."""
    step: int | None = None
    """Number of steps done, if this is a checkpoint that albert-fast wrote."""
    facts: Mapping[str, Any] = MappingProxyType({})
    """What that checkpoint says about its run."""

    @property
    def kind(self) -> str:
        """Return what was read, without its path."""
        if self.path is not None:
            return "checkpoint of albert-fast"
        return next(kind for kind in (_TF1, _HUGGING_FACE) if self.origin.startswith(kind))


def initial(source: Path) -> Initial:
    """Read the weights at `source`.

    Args:
        source: a TF1 checkpoint (its prefix, such as `model.ckpt-0`, one of its files, or a directory with one,
            including modules of TF Hub); a checkpoint of this trainer or the output directory of a run (for its newest
            complete one); or a Hugging Face directory with config.json and model.safetensors, in one or more files, or
            one of its cache.

    Raises:
        TrainerError: there is none of these, it is damaged, or it is not a plain ALBERT.
    """
    if _prefix_of(source) is not None:
        return _tf1(source)
    source = hub.resolve(source)
    if not source.exists():
        message = f"{source} does not exist; it must be a directory or a TF1 checkpoint ({source.name}.index)"
        raise TrainerError(message, kind="input", path=source)
    if source.is_file():
        if source.name in (TENSORS, INDEX):
            return _hugging_face(source.parent)
        if source.suffix in PICKLES:
            raise _pickle(source)
        message = f"{source} must be a TF1 checkpoint or {TENSORS}, got another file"
        raise TrainerError(message, kind="input", path=source)
    if checkpoints.is_checkpoint(source) or (source / run_folder.CHECKPOINTS).is_dir() or checkpoints.listing(source):
        return _ours(source)
    if (source / TENSORS).exists() or (source / INDEX).exists():
        return _hugging_face(source)
    if (source / "checkpoint").exists() or any(source.glob("*.index")) or (source / "variables").is_dir():
        return _tf1(source)
    pickles = sorted(path for path in source.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise _pickle(pickles[0])
    raise TrainerError(
        f"{source} holds no model (no checkpoint of a run, no {TENSORS}, no TF1 checkpoint); pass a directory with one",
        kind="input",
        path=source,
    )


def assign(start: Initial, variables: Mapping[str, tf.Variable], config: ModelConfig) -> list[str]:
    """Assign the values of `start` to all of this process's copies of `variables`, or assign nothing on failure.

    Args:
        start: what `initial` read.
        variables: the model's variables, by name.
        config: the model's configuration.

    Returns:
        The names of the variables of heads and pooler that `start` lacks and that are left unchanged.

    Raises:
        TrainerError: shapes differ, a variable of the embeddings or the encoder is missing, `start` has one that this
            model lacks, or `start` was trained with another activation or number of heads.
    """
    check_shapes(start, config)
    unknown = sorted(start.values.keys() - variables.keys())
    if unknown:
        raise _unsuitable(f"{start.origin} has {some(unknown)}, which this model lacks; {_cause(unknown[0])}")
    missing = sorted(variables.keys() - start.values.keys())
    needed = [name for name in missing if not name.startswith(weights.HEADS)]
    if needed:
        raise _unsuitable(f"{start.origin} lacks {some(needed)}, which this model has; {_cause(needed[0])}")
    for key in ("num_attention_heads", "hidden_act"):  # shapes do not show these
        if start.config is not None and getattr(start.config, key) != getattr(config, key):
            raise _unsuitable(
                f"{start.origin} has {key} {getattr(start.config, key)}, which this model must have too, got "
                f"{getattr(config, key)}"
            )
    for name, value in start.values.items():
        for copy in copies(variables[name]):
            copy.assign(value)
    return missing


def remarks(start: Initial, config: ModelConfig) -> list[str]:
    """Return lines for a user who starts this model from `start`: the notes, and another number of layers."""
    lines = list(start.notes)
    if start.config is not None and start.config.num_hidden_layers != config.num_hidden_layers:
        theirs = number(start.config.num_hidden_layers, "layer")
        lines.append(
            f"{start.origin} has {theirs}, and this model has {config.num_hidden_layers}, which share the weights"
        )
    return lines


# --- a checkpoint of this trainer ------------------------------------------------------------------------------------


def _ours(source: Path) -> Initial:
    notes: list[str] = []
    found = checkpoints.find(source, notes.append)
    values = checkpoints.model_values(found)
    origin = f"checkpoint {found.path} (step {found.step:,})"
    return Initial(values, found.config, origin, tuple(notes), found.path, found.step, found.facts)


# --- TF1 -------------------------------------------------------------------------------------------------------------


def _tf1(source: Path) -> Initial:
    prefix = _prefix_of(source) or _prefix_in(source)
    origin = f"{_TF1} {prefix}"

    def unreadable(reason: str) -> TrainerError:
        return TrainerError(f"cannot read the {origin}: {reason}", kind="data", path=prefix)

    with bundle_errors(unreadable):
        import tensorflow as tf

        bundle = tf.train.load_checkpoint(str(prefix))
        names = sorted(bundle.get_variable_to_shape_map())
    if any(name.endswith("/.ATTRIBUTES/VARIABLE_VALUE") for name in names):
        raise TrainerError(
            f"{prefix} is a TensorFlow 2 checkpoint of another program, whose variables have unknown names; use a TF1 "
            "checkpoint",
            kind="data",
            path=prefix,
        )
    _check_kind(names, origin, prefix)
    with bundle_errors(unreadable):
        slots = tf1_names.slots(names)
        arrays = {name: bundle.get_tensor(name) for name in names if name not in slots}
    imported = _explained(lambda: weights.from_tf1(arrays), prefix, origin)
    beside = [
        path / checkpoints.CONFIG for path in (prefix.parent, source, source / "assets", prefix.parent / "assets")
    ]
    file = next((path for path in beside if path.is_file()), None)
    if file is None:
        return Initial(imported.values, None, origin, imported.notes)
    config, remarks = _explained(lambda: ModelConfig.load(file), file)
    return Initial(imported.values, weights.fitted(config, imported.values), origin, (*remarks, *imported.notes))


def _prefix_of(path: Path) -> Path | None:
    """Return the prefix of the TF1 checkpoint that `path` is the prefix or a file of."""
    prefix = path.with_name(_PARTS.sub("", path.name))
    return prefix if prefix.with_name(f"{prefix.name}.index").is_file() and prefix.name else None


def _prefix_in(directory: Path) -> Path:
    """Return the prefix of the TF1 checkpoint in `directory`: the one its `checkpoint` file names, or the only one."""
    state = directory / "checkpoint"
    text = state.read_text(errors="replace") if state.is_file() else ""
    named = re.search(r'^model_checkpoint_path: "(.*)"', text, re.MULTILINE)
    if named:
        # The path in it is often that of the machine that wrote it.
        prefix = _prefix_of(directory / Path(named[1]).name)
        if prefix is not None:
            return prefix
    found = sorted(directory.glob("*.index")) or sorted(directory.glob("variables/variables.index"))
    if len(found) != 1:
        what = f"has {len(found)} TF1 checkpoints ({some([p.stem for p in found])})" if found else "has no *.index file"
        raise TrainerError(
            f"{directory} {what}; name the one to use by its prefix, such as {directory / 'model.ckpt-0'}",
            kind="input",
            path=directory,
        )
    return found[0].with_suffix("")


# --- Hugging Face ----------------------------------------------------------------------------------------------------


def _hugging_face(directory: Path) -> Initial:
    origin = f"{_HUGGING_FACE} {directory}"
    path = directory / "config.json"
    try:
        stored, repeated = json_text.parse(path.read_bytes())
    except OSError as error:
        message = f"cannot read {path}, which must be next to {TENSORS}: {error.strerror}"
        raise TrainerError(message, kind="io", path=path) from error
    except ValueError as error:
        raise TrainerError(f"{path}: the file must be JSON ({error})", kind="data", path=path) from error
    if not isinstance(stored, dict):
        message = f"{path}: the file must hold a JSON object, got {str(stored)[:80]}"
        raise TrainerError(message, kind="data", path=path)
    config, remarks = _explained(lambda: weights.config_from_hugging_face(stored), path, str(path))
    notes = [f"{path}: {remark}" for remark in [*json_text.remark(repeated), *remarks]]
    if stored.get("hidden_act") == "gelu":
        notes.append('config.json has hidden_act "gelu", the exact function; using the tanh approximation instead')
    tensors: dict[str, NDArray[Any]] = {}
    for file in _files(directory):
        tensors |= _tensors(file)
    _check_kind(tensors, origin, directory)
    config = weights.fitted(config, tensors)
    if config.square_mapping:
        notes.append(
            "embedding_hidden_mapping_in is not the identity, although embedding_size equals hidden_size "
            f"({config.hidden_size}): keeping it, with square_mapping in the configuration"
        )
    imported = _explained(lambda: weights.from_hugging_face(tensors, config), directory, origin)
    return Initial(imported.values, config, origin, (*notes, *imported.notes))


def _files(directory: Path) -> list[Path]:
    """Return the files of the tensors in a directory."""
    if (directory / TENSORS).is_file():
        return [directory / TENSORS]
    try:
        names = set(json.loads((directory / INDEX).read_bytes())["weight_map"].values())
        return [directory / Path(name).name for name in sorted(names)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        message = f"cannot read {directory / INDEX}: {type(error).__name__}: {error}"
        raise TrainerError(message, kind="data", path=directory / INDEX) from error


def _tensors(file: Path) -> dict[str, NDArray[Any]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        message = f"reading {file} needs safetensors; install it with pip install '.[train]' in the clone"
        raise TrainerError(message, kind="io", path=file) from None
    try:
        with safe_open(file, "np") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - it is not a dict
    except OSError as error:
        raise TrainerError(f"cannot read {file}: {error.strerror or error}", kind="io", path=file) from error
    except (SafetensorError, TypeError, KeyError, AttributeError) as error:  # the last for float8
        message = f"{file} is damaged, or has a data type that NumPy lacks: {error}"
        raise TrainerError(message, kind="data", path=file) from error


# --- parts -----------------------------------------------------------------------------------------------------------


def _pickle(path: Path) -> TrainerError:
    return TrainerError(
        f"{path} may be a pickle, which can run code when opened, so it is not read; save the model again with "
        f"save_pretrained, which writes {TENSORS}",
        kind="data",
        path=path,
    )


def _unsuitable(message: str) -> TrainerError:
    return TrainerError(message, kind="data")


def _check_kind(names: Any, origin: str, path: Path) -> None:
    """Refuse what is not an ALBERT, judging by the names of its variables."""
    bert = next((name for name in sorted(names) if _BERT.search(name)), None)
    if bert is not None:
        message = f"{origin} is a BERT, not an ALBERT: every layer has its own weights ({bert})"
        raise TrainerError(message, kind="data", path=path)
    if not any(name.endswith(("embeddings/word_embeddings", "embeddings.word_embeddings.weight")) for name in names):
        message = f"{origin} is not an ALBERT: it has no word embeddings"
        raise TrainerError(message, kind="data", path=path)


def _explained(function: Callable[[], Any], path: Path, origin: str = "") -> Any:
    """Call `function` and return its result. If it raises, put `origin` before the message, and add the path."""
    try:
        return function()
    except (ValueError, OSError) as error:
        kind = "io" if isinstance(error, OSError) else "data"
        raise TrainerError(f"{origin}: {error}" if origin else str(error), kind=kind, path=path) from error


def check_shapes(start: Initial, config: ModelConfig) -> None:
    """Refuse weights whose shapes do not fit this configuration, before a model of it takes memory.

    Raises:
        TrainerError: a shape differs. The message names the key that it comes from.
    """
    keys = {size: key for key, size in _SIZES.items()}
    symbolic = weights.shapes(replace(config, **_SIZES, num_attention_heads=1, square_mapping=False))
    for name, shape in weights.shapes(config).items():
        here, there = list(shape), list(start.values[name].shape) if name in start.values else None
        if there is None or here == there:
            continue
        causes = [
            f"{keys[size]} must be {theirs}, got {ours}"
            for size, theirs, ours in zip(symbolic.get(name, ()), there, here, strict=False)
            if size in keys and theirs != ours
        ]
        why = f"{name} has the shape {there}, not {here}"
        if causes and len(here) == len(there):
            why = f"{', '.join(causes)} ({why})"
        if name == growing.EMBEDDING and here[0] > there[0] and here[1:] == there[1:]:
            why += (
                "; if the tokenizer extends that of these weights, put the spiece.model that they were trained with "
                "next to them"
            )
        raise _unsuitable(f"{start.origin} does not fit this model: {why}")


def _cause(name: str) -> str:
    """Return the likely reason why one of two models has the variable `name`."""
    if "embedding_hidden_mapping_in" in name:
        return (
            "embedding_size differs from hidden_size, or square_mapping is true, in only one of the two configurations"
        )
    match = re.search(r"/group_\d+/inner_group_(\d+)/", name)
    if match:
        return f"num_hidden_groups{' or inner_group_num' if match[1] != '0' else ''} differs"
    return "it is not an ALBERT as google-research/ALBERT names it"
