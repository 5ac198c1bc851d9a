"""Export of a trained model: a Hugging Face directory, or a TF1 checkpoint with the reference's names.

`trainer.exchange.onnx_directory` exports to ONNX.

A Hugging Face directory holds

    model.safetensors                the tensors of AlbertForPreTraining, float32 or bfloat16
    config.json                      the model's shape, activation, dropouts, ids of special tokens
    README.md                        the model card, see `trainer.exchange.card`
    spiece.model                     the SentencePiece model
    spiece.config.json               its text rules, for albert-fast
    tokenizer.json, tokenizer_config.json, ...    the same for transformers, see `trainer.exchange.tokenizer_json`

With a WordPiece vocabulary, vocab.txt and tokenizer_config.json replace the last three.

A TF1 directory holds model.ckpt-STEP.index and .data-00000-of-00001 with the names of google-research/ALBERT, including
global_step; `checkpoint`, which names it; albert_config.json; and the tokenizer's files.

Either directory is complete or absent. TensorFlow is imported only for TF1 checkpoints.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from albert_fast.errors import option_error
from albert_fast.tokenizers.saving import sentencepiece_files, wordpiece_files
from trainer.errors import TrainerError, reason
from trainer.exchange import tokenizer_check, tokenizer_json
from trainer.exchange.output import check_replaceable, replacing
from trainer.model import weights
from trainer.model.checkpoints import CONFIG, SLOTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from albert_fast import Tokenizer
    from trainer.model.config import ModelConfig

DTYPES = ("float32", "bfloat16")
OWN = re.compile(
    r"model\.safetensors|config\.json|README\.md|spiece\.(model|config\.json)|tokenizer\.json|tokenizer_config\.json|"
    r"special_tokens_map\.json|added_tokens\.json|vocab\.txt|albert_config\.json|checkpoint|"
    r"model\.ckpt-\d+\.(index|data-\d{5}-of-\d{5})|onnx/(model|encoder)\.onnx(_data)?"
)
"""What an export writes. A directory that holds anything else is never replaced."""
_MARK = re.compile(r"model\.safetensors|model\.ckpt-\d+\.index|onnx/model\.onnx")


class Trained(NamedTuple):
    """A model to export."""

    values: Mapping[str, NDArray[np.float32]]
    """Every variable of the model by its TF1 name. For TF1, the optimizer's slots too if they are wanted."""
    config: ModelConfig
    step: int
    tokenizer: Tokenizer | None
    """The tokenizer; None if it is unknown, which only a TF1 export allows."""


def check_output(directory: Path, overwrite: bool) -> None:
    """Refuse, before any work, an output directory whose content would be lost. Change nothing.

    Raises:
        TrainerError: as in `trainer.exchange.output.check_replaceable`.
    """
    check_replaceable(directory, OWN, _MARK, overwrite)


def to_hugging_face(trained: Trained, directory: Path, card: str, dtype: str = "float32") -> None:
    """Write a directory for `transformers.AutoModel.from_pretrained`.

    Args:
        trained: what to write, with its tokenizer.
        directory: the directory, which is replaced if it exists: see `check_output`.
        card: the text of README.md.
        dtype: the dtype of the tensors, one of `DTYPES`. bfloat16 halves the size of the file and rounds the weights.

    Raises:
        TrainerError: the tokenizer has another size, its files would give other programs other ids, Hugging Face's
            ALBERT cannot express the model, or the directory cannot be written.
        AlbertFastError: `dtype` is unknown.
        ValueError: there is no tokenizer.
    """
    if dtype not in DTYPES:
        raise option_error("dtype", f"one of {', '.join(DTYPES)}", dtype)
    if trained.tokenizer is None:
        raise ValueError("a Hugging Face directory needs a tokenizer, got None")
    check_vocabulary(trained.tokenizer, trained.config)
    tokenizer = tokenizer_files(trained.tokenizer, trained.config.max_position_embeddings)
    tokenizer_check.check(trained.tokenizer, tokenizer)
    files = {
        "config.json": as_json(hugging_face_config(trained.config, trained.tokenizer, dtype)),
        "README.md": card.encode(),
        **tokenizer,
    }
    try:
        tensors: dict[str, NDArray[Any]] = dict(weights.to_hugging_face(trained.values, trained.config))
    except ValueError as error:
        raise _not_exported(str(error)) from error
    if dtype == "bfloat16":
        import ml_dtypes

        tensors = {name: value.astype(ml_dtypes.bfloat16) for name, value in tensors.items()}
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        with replacing(directory) as temporary:
            # Without this metadata, transformers refuses the file.
            save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
            for name, content in files.items():
                (temporary / name).write_bytes(content)
            # safetensors creates a file that only its owner can read.
            shutil.copymode(temporary / "config.json", temporary / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise unwritten(directory, error) from error


def to_tf1(trained: Trained, directory: Path) -> None:
    """Write a checkpoint that google-research/ALBERT and other TF1 programs can read.

    Args:
        trained: what to write; its tokenizer may be None.
        directory: the directory, which is replaced if it exists: see `check_output`.

    Raises:
        TrainerError: the tokenizer has another size, variables are missing or have other shapes, or the directory
            cannot be written.
    """
    import tensorflow as tf

    if trained.tokenizer is not None:
        check_vocabulary(trained.tokenizer, trained.config)
    check_variables(trained)
    name = f"model.ckpt-{trained.step}"
    files = {
        CONFIG: trained.config.to_json().encode(),
        "checkpoint": f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n'.encode(),
    }
    if trained.tokenizer is not None:
        kept = own_tokenizer_files(trained.tokenizer)
        tokenizer_check.check(trained.tokenizer, kept)
        files |= kept
    # As the reference's Estimator does.
    values = {**trained.values, "global_step": np.asarray(trained.step, np.int64)}
    names = sorted(values)
    try:
        with replacing(directory) as temporary:
            tf.raw_ops.SaveV2(
                prefix=str(temporary / name),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[tf.constant(values[key]) for key in names],
            )
            for file, content in files.items():
                (temporary / file).write_bytes(content)
    except (OSError, tf.errors.OpError) as error:
        raise unwritten(directory, error) from error


def check_vocabulary(tokenizer: Tokenizer, config: ModelConfig, path: Path | None = None) -> None:
    """Raise a TrainerError unless a tokenizer has as many pieces as the model has word embeddings.

    Args:
        tokenizer: the tokenizer.
        config: the model's configuration.
        path: what to call the tokenizer, if that is not its own path.
    """
    if tokenizer.vocab_size != config.vocab_size:
        file = path or Path(tokenizer.path)
        raise TrainerError(
            f"{file} must have {config.vocab_size:,} pieces, as the model has, got {tokenizer.vocab_size:,}; use the "
            "tokenizer that the model was trained with",
            kind="tokenizer",
            path=file,
        )


def hugging_face_config(config: ModelConfig, tokenizer: Tokenizer, dtype: str = "float32") -> dict[str, Any]:
    """Return the content of config.json, with this tokenizer's ids of the special tokens."""
    ids = {"pad_token_id": tokenizer.pad_id, "bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id}
    return weights.config_to_hugging_face(config) | ids | {"dtype": dtype}


def tokenizer_files(tokenizer: Tokenizer, max_length: int) -> dict[str, bytes]:
    """Return the tokenizer's files in a Hugging Face directory, by name."""
    if tokenizer.kind == "wordpiece":
        return wordpiece_files(tokenizer, max_length)
    files = own_tokenizer_files(tokenizer)
    made = tokenizer_json.files(
        files["spiece.model"],
        lower_case=tokenizer.lower_case,
        keep_accents=tokenizer.keep_accents,
        max_length=max_length,
    )
    return {**made, **files}


def own_tokenizer_files(tokenizer: Tokenizer, *, rebuilt: bool = False) -> dict[str, bytes]:
    """Return the files of the tokenizer with its text rules.

    They are those that `train-tokenizer` writes, or vocab.txt and tokenizer_config.json. `rebuilt` says whether the
    tokenizer was made from a tokenizer.json.
    """
    if tokenizer.kind == "wordpiece":
        return wordpiece_files(tokenizer)
    return sentencepiece_files(tokenizer.content, tokenizer, rebuilt=rebuilt)


def check_variables(trained: Trained) -> None:
    """Raise a TrainerError unless these are all variables of the model, in their shapes, and perhaps their slots."""
    expected = weights.shapes(trained.config)
    slots = {f"{name}{slot}": shape for name, shape in expected.items() for slot in SLOTS}
    for name, shape in expected.items():
        if name not in trained.values:
            raise _not_exported(f"it lacks {name}")
        if trained.values[name].shape != shape:
            raise _not_exported(f"{name} must have the shape {list(shape)}, got {list(trained.values[name].shape)}")
    for name in trained.values:
        if name not in expected and name not in slots:
            raise _not_exported(f"it has {name}, which an ALBERT does not have")


def _not_exported(why: str) -> TrainerError:
    return TrainerError(f"this model cannot be exported: {why}", kind="data")


def as_json(content: Mapping[str, Any]) -> bytes:
    """Return the content of a JSON file."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def unwritten(directory: Path, error: Exception) -> TrainerError:
    """Return the error for a directory that another library, or the operating system, could not write."""
    return TrainerError(f"cannot write {directory}: {reason(error)}", kind="io", path=directory)
