"""One model under two sets of names: the variables of TF1 checkpoints, and the tensors of Hugging Face's ALBERT.

Both hold the same values, except that Hugging Face (transformers, modeling_albert.py)

- stores the kernels of dense layers transposed, [outputs, inputs];
- always has the mapping from E to H, which the reference omits if E == H. In that case it is the identity until it is
  fine-tuned. From then on, it is a variable here too, and the configuration has `square_mapping`;
- finds a layer's group as int(layer / (layers / groups)), the reference as int(layer / layers * groups). For some
  numbers of groups, these differ in floating point, and the reference then never builds one of the groups (see
  `ModelConfig.group_of_layer`). A group in Hugging Face is therefore a copy of the group that its layers use here;
- ties predictions.decoder to the word embeddings and predictions.bias, and stores neither of the former today.

Everything here works on NumPy arrays and configurations. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from albert_fast.text import number
from trainer.errors import some
from trainer.model import config_keys, tf1_names
from trainer.model.config import DEFAULTS, ModelConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Values = dict[str, NDArray[np.float32]]

HEADS = ("cls/", "bert/pooler/")
"""Prefixes of the variables that a model without pretraining heads lacks."""

_BLOCK = {
    "attention_1/self/query": "attention.query",
    "attention_1/self/key": "attention.key",
    "attention_1/self/value": "attention.value",
    "attention_1/output/dense": "attention.dense",
    "LayerNorm": "attention.LayerNorm",
    "ffn_1/intermediate/dense": "ffn",
    "ffn_1/intermediate/output/dense": "ffn_output",
    "LayerNorm_1": "full_layer_layer_norm",
}
_GROUP = re.compile(r"albert\.encoder\.albert_layer_groups\.(\d+)\.")
_MAPPING = "albert.encoder.embedding_hidden_mapping_in"
_TF1_MAPPING = "bert/encoder/embedding_hidden_mapping_in"
_WORDS = "albert.embeddings.word_embeddings.weight"
_BIAS = "predictions.bias"
_LEAVES = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


class Imported(NamedTuple):
    """A model imported from another format."""

    values: Values
    """float32 arrays by their TF1 names."""
    notes: tuple[str, ...]
    """Lines for the user: what was dropped or chosen."""


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every variable of a model, heads included, by its TF1 name, sorted by name."""
    embedding, hidden, wide = config.embedding_size, config.hidden_size, config.intermediate_size
    found: dict[str, tuple[int, ...]] = {
        "bert/embeddings/word_embeddings": (config.vocab_size, embedding),
        "bert/embeddings/token_type_embeddings": (config.type_vocab_size, embedding),
        "bert/embeddings/position_embeddings": (config.max_position_embeddings, embedding),
        "cls/predictions/output_bias": (config.vocab_size,),
        "cls/seq_relationship/output_weights": (2, hidden),
        "cls/seq_relationship/output_bias": (2,),
    }

    def dense(scope: str, inputs: int, outputs: int) -> None:
        found[f"{scope}/kernel"], found[f"{scope}/bias"] = (inputs, outputs), (outputs,)

    def norm(scope: str, size: int) -> None:
        found[f"{scope}/gamma"] = found[f"{scope}/beta"] = (size,)

    norm("bert/embeddings/LayerNorm", embedding)
    if config.has_mapping:
        dense(_TF1_MAPPING, embedding, hidden)
    for group in sorted({config.group_of_layer(layer) for layer in range(config.num_hidden_layers)}):
        for inner in range(config.inner_group_num):
            scope = f"bert/encoder/transformer/group_{group}/inner_group_{inner}"
            for name in ("self/query", "self/key", "self/value", "output/dense"):
                dense(f"{scope}/attention_1/{name}", hidden, hidden)
            norm(f"{scope}/LayerNorm", hidden)
            dense(f"{scope}/ffn_1/intermediate/dense", hidden, wide)
            dense(f"{scope}/ffn_1/intermediate/output/dense", wide, hidden)
            norm(f"{scope}/LayerNorm_1", hidden)
    dense("bert/pooler/dense", hidden, hidden)
    dense("cls/predictions/transform/dense", hidden, embedding)
    norm("cls/predictions/transform/LayerNorm", embedding)
    return dict(sorted(found.items()))


def from_tf1(values: Mapping[str, NDArray[Any]]) -> Imported:
    """Return the model's variables in a TF1 checkpoint.

    The optimizer's slots and the global step are dropped, and, with a note, the variables of another task's head. Names
    of other implementations become those of the reference; see `trainer.model.tf1_names`.

    Raises:
        ValueError: a value is not a finite floating-point number; or as in `tf1_names.translate`.
    """
    slots = tf1_names.slots(values)
    named = tf1_names.translate({name: value for name, value in values.items() if name not in slots})
    notes = list(_skipped(list(named.others)))
    if named.renamed:
        count = number(len(named.renamed), "variable")
        names = some(list(named.renamed))
        notes.append(f"translated the names of {count} to those of google-research/ALBERT: {names}")
    return Imported({name: _float32(name, value) for name, value in named.values.items()}, tuple(notes))


def to_hugging_face(values: Mapping[str, NDArray[np.float32]], config: ModelConfig) -> Values:
    """Return the tensors that Hugging Face's AlbertForPreTraining stores, by their names there, as contiguous arrays.

    Args:
        values: every variable of the model, heads included, by its TF1 name, and no others.
        config: the model's configuration.

    Raises:
        ValueError: variables are missing, unknown or of another shape; or Hugging Face's rule for groups cannot express
            this model.
    """
    expected = shapes(config)
    if missing := expected.keys() - values.keys():
        raise ValueError(f"the model lacks {some(sorted(missing))}")
    if unknown := values.keys() - expected.keys():
        raise ValueError(f"the model has {some(sorted(unknown))}, which an ALBERT does not have")
    for name, shape in expected.items():
        if values[name].shape != shape:
            raise ValueError(f"{name} must have the shape {list(shape)}, got {list(values[name].shape)}")
    tensors: Values = {}
    for theirs, ours in _table(config).items():
        value = values[ours]
        tensors[theirs] = np.ascontiguousarray(value.T if ours.endswith("/kernel") else value)
    if not config.has_mapping:
        tensors[f"{_MAPPING}.weight"] = np.eye(config.hidden_size, dtype=np.float32)
        tensors[f"{_MAPPING}.bias"] = np.zeros(config.hidden_size, np.float32)
    return dict(sorted(tensors.items()))


def fitted(config: ModelConfig, arrays: Mapping[str, NDArray[Any]]) -> ModelConfig:
    """Return `config`, with `square_mapping` if the arrays have a mapping from E to H = E that is not the identity.

    Args:
        config: a configuration of the model, which may lack the mapping.
        arrays: variables by their TF1 names, or tensors by Hugging Face's names.
    """
    if config.has_mapping or not any(_is_mapping(name, array) for name, array in arrays.items()):
        return config
    return replace(config, square_mapping=True)


def _is_mapping(name: str, array: NDArray[Any]) -> bool:
    """Tell whether this is a part of a mapping from E to H that changes the embeddings, or that the reference has."""
    if name.startswith(f"{_TF1_MAPPING}/"):
        return True
    scope, _, leaf = name.rpartition(".")
    if scope not in (_MAPPING, _MAPPING.removeprefix("albert.")):
        return False
    size = array.shape[-1] if array.shape else 0
    return not np.array_equal(array, np.eye(size) if leaf == "weight" else np.zeros(size))


def from_hugging_face(tensors: Mapping[str, NDArray[Any]], config: ModelConfig) -> Imported:
    """Return the variables for the tensors of a Hugging Face AlbertForPreTraining, or of a part of it.

    The names of AlbertModel, which lack the prefix "albert.", are read too. The heads of other tasks are dropped with a
    note.

    Args:
        tensors: arrays of any floating-point type by name.
        config: the model's configuration, as `fitted` returns it. The number of groups is compared with it here; shapes
            are not.

    Raises:
        ValueError: this is not plain ALBERT (the decoder is untied, a tensor of the model has an unknown name, or
            groups that are one here differ); the mapping is not the identity, but `config` has no mapping; or as in
            `from_tf1`.
    """
    if not any(re.match(r"(albert|predictions|sop_classifier)\.", name) for name in tensors):
        tensors = {f"albert.{name}": value for name, value in tensors.items()}
    table = _table(config)
    used = _used_groups(config)
    values: Values = {}
    others, notes = [], []
    mapping: Values = {}
    for name, value in sorted(tensors.items()):
        group = _GROUP.match(name)
        if group and int(group[1]) not in used and int(group[1]) < config.num_hidden_groups:
            continue  # no layer uses it
        if name in table:
            ours, value32 = table[name], _float32(name, value)
            value32 = np.ascontiguousarray(value32.T) if ours.endswith("/kernel") else value32
            if ours in values and not np.array_equal(values[ours], value32):
                raise ValueError(
                    f"{name} must equal {_names_of(ours, table, name)}: they are one variable in google-research/ALBERT"
                )
            values[ours] = value32
        elif name.startswith(f"{_MAPPING}."):
            mapping[name] = _float32(name, value)
        elif name == "predictions.decoder.weight":
            if _WORDS in tensors and not np.array_equal(value, tensors[_WORDS]):
                raise ValueError(f"{name} must equal {_WORDS}: in an ALBERT, they are tied")
        elif name == "predictions.decoder.bias":
            if _BIAS not in tensors:
                values[table[_BIAS]] = _float32(name, value)
            elif not np.array_equal(value, tensors[_BIAS]):
                # Early versions of transformers stored both, and only the latter was ever trained.
                notes.append(f"ignoring {name}, which differs from {_BIAS}")
        elif name.endswith(".position_ids"):  # a constant that old versions stored
            pass
        elif name.startswith("albert."):
            raise ValueError(
                f"{name} has no place in an ALBERT with num_hidden_groups {config.num_hidden_groups} and "
                f"inner_group_num {config.inner_group_num}"
            )
        else:
            others.append(name)
    for name, value in mapping.items():
        identity = np.eye(config.hidden_size) if name.endswith(".weight") else np.zeros(config.hidden_size)
        if not np.array_equal(value, identity):
            raise ValueError(
                f"{name} must be the identity if embedding_size equals hidden_size ({config.hidden_size}) and "
                "square_mapping is false"
            )
    return Imported(values, (*notes, *_skipped(others)))


def config_to_hugging_face(config: ModelConfig) -> dict[str, Any]:
    """Return the config.json of Hugging Face's AlbertForPreTraining for this configuration, with sorted keys."""
    values = {key: getattr(config, key) for key in _SAME_KEYS}
    values |= {"hidden_act": {"gelu": "gelu_new"}.get(config.hidden_act, config.hidden_act)}
    return dict(sorted((values | _FIXED | _WRITTEN).items()))


def config_from_hugging_face(values: Mapping[str, Any]) -> tuple[ModelConfig, list[str]]:
    """Return the configuration that a Hugging Face config.json describes, and lines for the user.

    Keys that do not affect the pretraining model (dropout of a classifier, ids of special tokens, ...) are ignored,
    with a line if transformers does not define them. "gelu_new", "gelu_pytorch_tanh" and "gelu" all become "gelu", the
    tanh approximation. In transformers, "gelu" is the exact function, but directories made from the published models
    say "gelu" although those models used the approximation.

    Raises:
        ValueError: it does not describe an ALBERT, selects a variant, or breaks a rule of `ModelConfig`.
    """
    kind = values.get("model_type")
    if kind != "albert":
        raise ValueError(f"model_type must be 'albert', got {kind!r}")
    kept, passed = config_keys.read(values, {key: DEFAULTS[key] for key in (*_SAME_KEYS, "hidden_act")})
    return ModelConfig.from_mapping(kept), config_keys.remark(passed, silent=config_keys.HARMLESS)


# The tensors decide whether there is a mapping: see `fitted`.
_SAME_KEYS = tuple(sorted(set(ModelConfig.__dataclass_fields__) - {"hidden_act", "square_mapping"}))
_FIXED: dict[str, Any] = {"model_type": "albert", "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}
_WRITTEN: dict[str, Any] = {
    "architectures": ["AlbertForPreTraining"],
    "dtype": "float32",
    "classifier_dropout_prob": 0.1,
    # The special tokens of every tokenizer that train-tokenizer makes, and of the published ones.
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


def _table(config: ModelConfig) -> dict[str, str]:
    """Return, for every tensor of Hugging Face except a mapping that is absent here, the TF1 name of its variable."""
    table = {}
    groups = _groups(config)
    for ours in shapes(config):
        match = re.fullmatch(r"bert/encoder/transformer/group_(\d+)/inner_group_(\d+)/(.+)/(\w+)", ours)
        if match:
            for theirs, group in enumerate(groups):
                if group == int(match[1]):
                    block = f"albert.encoder.albert_layer_groups.{theirs}.albert_layers.{match[2]}"
                    table[f"{block}.{_BLOCK[match[3]]}.{_LEAVES[match[4]]}"] = ours
        elif ours.startswith("bert/"):
            scope, leaf = ours.rsplit("/", 1)
            scope = scope.replace("bert/", "albert/", 1).replace("pooler/dense", "pooler")
            name = f"{scope}/{_LEAVES[leaf]}" if leaf in _LEAVES else f"{scope}/{leaf}/weight"
            table[name.replace("/", ".")] = ours
        elif ours.startswith("cls/seq_relationship/output_"):
            table[f"sop_classifier.classifier.{'bias' if ours.endswith('bias') else 'weight'}"] = ours
        elif ours == "cls/predictions/output_bias":
            table[_BIAS] = ours
        else:
            scope, leaf = ours.removeprefix("cls/predictions/transform/").split("/")
            table[f"predictions.{scope}.{_LEAVES[leaf]}"] = ours
    return table


def _groups(config: ModelConfig) -> list[int]:
    """Return, for each group in Hugging Face, the group here that has its weights.

    A group that no layer there uses, for example because there are more groups than layers, copies the one before it.
    """
    used = _used_groups(config)
    found: list[int] = []
    for group in range(config.num_hidden_groups):
        found.append(used.get(group, found[-1] if found else 0))
    return found


def _used_groups(config: ModelConfig) -> dict[int, int]:
    """Return, for each group in Hugging Face that a layer uses, the group here that has its weights."""
    layers, count = config.num_hidden_layers, config.num_hidden_groups
    found: dict[int, int] = {}
    for layer in range(layers):
        theirs, ours = int(layer / (layers / count)), config.group_of_layer(layer)  # as in AlbertTransformer
        if found.setdefault(theirs, ours) != ours:
            raise ValueError(
                f"with num_hidden_layers {layers} and num_hidden_groups {count}, Hugging Face's ALBERT shares weights "
                "between layers that have different weights in google-research/ALBERT"
            )
    return found


def _names_of(ours: str, table: Mapping[str, str], but: str) -> str:
    return next(theirs for theirs, name in table.items() if name == ours and theirs != but)


def _float32(name: str, value: NDArray[Any]) -> NDArray[np.float32]:
    # bfloat16 is not one of NumPy's own types, and its kind is "V".
    if value.dtype.kind != "f" and value.dtype.name != "bfloat16":
        raise ValueError(f"{name} must hold floating-point numbers, got {value.dtype.name}")
    converted = value.astype(np.float32)
    if not np.isfinite(converted).all():
        raise ValueError(f"{name} must hold finite numbers, got NaN or an infinity")
    return converted


def _skipped(names: list[str]) -> tuple[str, ...]:
    return (f"skipped variables that do not belong to the pretraining model: {some(names)}",) if names else ()
