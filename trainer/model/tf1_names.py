"""The names that other ALBERT implementations use for the variables of google-research/ALBERT.

Each of the following stands for one of the reference's names, which `trainer.model.weights.shapes` lists:

- a wrapper's scope before all names, such as "module/" (TF Hub) or "model/";
- `layer_normalization`, `layer_normalization_3`: Keras numbers its layers over the whole model, the reference
  (`LayerNorm`, `LayerNorm_1`) within a scope. The first of a block is `LayerNorm`, the second `LayerNorm_1`;
- `group_0_9/layer_9/inner_group_0`: the name scope of layer 9, which opens `group_0` for the tenth time, so TensorFlow
  numbers it. A Keras layer has its variables there, one per layer of the model, although the rest of the group is
  shared;
- `attention` and `ffn` with another number than 1;
- `layer_shared` of albert_zh, whose blocks have BERT's names: `attention/output/LayerNorm`, `output/dense`, ...

A variable below another one, such as NAME/adam_m, belongs to an optimizer. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from numpy.typing import NDArray

_SLOT = re.compile(
    r"(.*/)?(adam_[mv]|lamb_[mv]|(Adam|AdamWeightDecayOptimizer|LAMBOptimizer)(_1)?|ExponentialMovingAverage|"
    r"global_step|beta[12]_power)"
)
_WORDS = "bert/embeddings/word_embeddings"
_SCOPE = re.compile(r"(bert|cls)/")
_NORM = re.compile(r"(?:LayerNorm|LayerNormalization|layer_normalization|layer_norm)(?:_(\d+))?")
_BLOCK = re.compile(
    r"bert/encoder/transformer/group_(?P<group>\d+)(?:_\d+)?/(?:layer_(?P<layer>\d+)(?:_\d+)?/)?"
    r"inner_group_(?P<inner>\d+)(?:_\d+)?/(?P<rest>.+)"
)
_SHARED = "bert/encoder/layer_shared/"
_OF_BERT = {
    r"attention/output/(LayerNorm/\w+)": r"\1",
    r"attention/((self/(query|key|value)|output/dense)/\w+)": r"attention_1/\1",
    r"intermediate/(dense/\w+)": r"ffn_1/intermediate/\1",
    r"output/(dense/\w+)": r"ffn_1/intermediate/output/\1",
    r"output/LayerNorm/(\w+)": r"LayerNorm_1/\1",
}
_PROJECTION = "bert/embeddings/word_embeddings_2"


class Named(NamedTuple):
    """The variables of a checkpoint by the reference's names."""

    values: dict[str, NDArray[Any]]
    renamed: tuple[str, ...]
    """Translated names as they are in the checkpoint, without a wrapper's scope."""
    others: tuple[str, ...]
    """Names of variables that do not belong to an ALBERT: the heads of other tasks."""


class _Place(NamedTuple):
    """The place of a block's variable."""

    scope: str
    """The reference's scope of the block."""
    layer: int | None
    """The layer that the variable belongs to, or None if it belongs to the group."""
    rest: str
    """Its name within the block."""


def slots(names: Collection[str]) -> set[str]:
    """Return those variables of a checkpoint that belong to an optimizer or are a counter."""
    known = set(names)
    return {name for name in known if _SLOT.fullmatch(name) or _has_ancestor(name, known)}


def wrapper(names: Collection[str]) -> str:
    """Return the prefix of the reference's names that the whole checkpoint has, such as "module/"."""
    found = sorted((name.removesuffix(_WORDS) for name in names if f"/{name}".endswith(f"/{_WORDS}")), key=len)
    return found[0] if found else ""


def translate(arrays: Mapping[str, NDArray[Any]]) -> Named:
    """Return the variables of a checkpoint, without slots, by the reference's names.

    A name that no rule matches is kept.

    Raises:
        ValueError: two variables with different values are one in the reference. Also if word embeddings are mapped to
            the hidden size before positions and segments are added, as in albert_zh's own model.
    """
    front = wrapper(arrays)
    plain, others = {}, []
    for name in sorted(arrays):
        inner = name.removeprefix(front)
        if _SCOPE.match(inner):
            plain[inner] = name
        else:
            others.append(name)
    if _PROJECTION in plain:
        raise ValueError(
            f"{plain[_PROJECTION]} maps words to the hidden size before positions and segments are added: this is the "
            "model of albert_zh's modeling.py, which differs from google-research/ALBERT; use a model of albert_zh "
            'with "google" in its name'
        )
    targets = _targets(list(plain))
    values: dict[str, NDArray[Any]] = {}
    origin: dict[str, str] = {}
    for inner, ours in targets.items():
        name = plain[inner]
        if ours in values:
            if not _equal(values[ours], arrays[name]):
                raise ValueError(
                    f"{name} must equal {origin[ours]}: in google-research/ALBERT, the layers share a variable, {ours}"
                )
            continue
        values[ours], origin[ours] = arrays[name], name
    renamed = [inner for inner, ours in targets.items() if inner != ours]
    return Named(dict(sorted(values.items())), tuple(renamed), tuple(others))


def _targets(names: list[str]) -> dict[str, str]:
    """Return the reference's name for each name without a wrapper."""
    places = {name: _place(name) for name in names}
    norms: dict[tuple[str, int | None], set[tuple[int, str]]] = {}
    for place in places.values():
        head, _, leaf = place.rest.partition("/")
        if (match := _NORM.fullmatch(head)) and leaf in ("gamma", "beta"):
            norms.setdefault((place.scope, place.layer), set()).add((int(match[1] or 0), head))
    found = {}
    for name, place in places.items():
        head, _, leaf = place.rest.partition("/")
        among = [norm for _, norm in sorted(norms.get((place.scope, place.layer), ()))]
        # A block has two and other scopes have one. With more or fewer, it is unclear which is which.
        if head in among and leaf in ("gamma", "beta") and len(among) == (2 if "/group_" in place.scope else 1):
            head = "LayerNorm_1" if among.index(head) else "LayerNorm"
            found[name] = f"{place.scope}{head}/{leaf}"
        elif place.layer is not None or place.scope + place.rest != name:
            found[name] = place.scope + place.rest
        else:
            found[name] = name
    return found


def _place(name: str) -> _Place:
    if name.startswith(_SHARED):
        for pattern, ours in _OF_BERT.items():
            if match := re.fullmatch(pattern, name.removeprefix(_SHARED)):
                return _Place("bert/encoder/transformer/group_0/inner_group_0/", None, match.expand(ours))
    if match := _BLOCK.fullmatch(name):
        rest = re.sub(r"^(attention|ffn)(_\d+)?/", r"\1_1/", match["rest"])
        scope = f"bert/encoder/transformer/group_{match['group']}/inner_group_{match['inner']}/"
        return _Place(scope, None if match["layer"] is None else int(match["layer"]), rest)
    for scope in ("bert/embeddings/", "cls/predictions/transform/"):
        if name.startswith(scope):
            return _Place(scope, None, name.removeprefix(scope))
    return _Place("", None, name)


def _has_ancestor(name: str, known: set[str]) -> bool:
    while "/" in name:
        name = name.rpartition("/")[0]
        if name in known:
            return True
    return False


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.shape == other.shape and np.array_equal(one, other)
