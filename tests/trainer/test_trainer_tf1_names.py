"""Variable names of other ALBERT trainings, and what they stand for. Needs no TensorFlow."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from test_trainer_weights import SMALL, random_values, same

from trainer.model import tf1_names, weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Values = dict[str, NDArray[Any]]

GROUP = "bert/encoder/transformer/group_0/inner_group_0"
GROUPS = replace(SMALL, num_hidden_groups=2, inner_group_num=2)


def renamed(values: Values, *rules: tuple[str, str]) -> Values:
    """The values by the names that these regular expressions make of them; every rule must apply."""
    for pattern, new in rules:
        assert any(re.search(pattern, name) for name in values), pattern
        values = {re.sub(pattern, new, name): value for name, value in values.items()}
    return values


def keras_numbers(values: Values) -> Values:
    """Layer normalizations numbered over the whole model, as Keras does it."""
    scopes = sorted(
        {name.rpartition("/")[0] for name in values if "LayerNorm" in name}, key=lambda name: ("cls" in name, name)
    )
    new = {
        scope: f"layer_normalization_{number}" if number else "layer_normalization"
        for number, scope in enumerate(scopes)
    }
    found = {}
    for name, value in values.items():
        scope, _, leaf = name.rpartition("/")
        found[f"{scope.rpartition('/')[0]}/{new[scope]}/{leaf}" if scope in new else name] = value
    return found


def layered(values: Values, layers: int) -> Values:
    """Layer normalizations in the name scope of each layer, as Keras layers have them in a graph."""
    found = {}
    for name, value in values.items():
        match = re.fullmatch(rf"{GROUP}/LayerNorm(_1)?/(\w+)", name)
        if not match:
            found[name] = value
            continue
        for layer in range(layers):
            again = f"_{layer}" if layer else ""
            number = 2 * layer + (2 if match[1] else 1)
            scope = f"bert/encoder/transformer/group_0{again}/layer_{layer}/inner_group_0"
            found[f"{scope}/layer_normalization_{number}/{match[2]}"] = value
    return found


@pytest.mark.parametrize(
    "rename",
    [
        lambda values: renamed(values, ("LayerNorm", "layer_normalization")),
        lambda values: renamed(values, ("LayerNorm", "LayerNormalization")),
        lambda values: renamed(values, ("LayerNorm", "layer_norm")),
        keras_numbers,
        lambda values: renamed(values, ("^", "module/")),
        lambda values: renamed(values, ("^", "model/albert/"), ("LayerNorm", "layer_normalization")),
        lambda values: renamed(values, ("/attention_1/", "/attention/"), ("/ffn_1/", "/ffn/")),
        lambda values: renamed(values, ("/group_1/", "/group_1_2/layer_1/")),
        lambda values: renamed(keras_numbers(values), (r"(/group_\d)/", r"\1_9/layer_9/")),
    ],
)
def test_names_that_stand_for_one_of_the_reference(rename: Callable[[Values], Values]) -> None:
    values = random_values(GROUPS)
    found = weights.from_tf1(rename(values))
    assert same(found.values, values)


def test_a_note_says_that_names_were_translated() -> None:
    values = random_values(SMALL)
    assert weights.from_tf1(values).notes == ()
    (note,) = weights.from_tf1(renamed(values, ("LayerNorm", "layer_normalization"))).notes
    assert note == (
        "translated the names of 8 variables to those of google-research/ALBERT: "
        "bert/embeddings/layer_normalization/beta, bert/embeddings/layer_normalization/gamma, "
        f"{GROUP}/layer_normalization/beta and 5 more"
    )


def test_layers_of_their_own_are_one_if_they_are_equal() -> None:
    values = random_values(SMALL)
    theirs = layered(values, 4)
    assert f"{GROUP.replace('group_0/', 'group_0_3/layer_3/')}/layer_normalization_8/gamma" in theirs
    assert same(weights.from_tf1(theirs).values, values)
    changed = "bert/encoder/transformer/group_0_2/layer_2/inner_group_0/layer_normalization_5/beta"
    theirs[changed] = theirs[changed] + 1
    with pytest.raises(ValueError, match="in google-research/ALBERT, the layers share a variable, ") as caught:
        weights.from_tf1(theirs)
    assert changed in str(caught.value)
    assert str(caught.value).endswith(f"{GROUP}/LayerNorm/beta")


OF_BERT = (
    (rf"{GROUP}/attention_1/", "bert/encoder/layer_shared/attention/"),
    (rf"{GROUP}/ffn_1/intermediate/dense", "bert/encoder/layer_shared/intermediate/dense"),
    (rf"{GROUP}/ffn_1/intermediate/output", "bert/encoder/layer_shared/output"),
    (rf"{GROUP}/LayerNorm/", "bert/encoder/layer_shared/attention/output/LayerNorm/"),
    (rf"{GROUP}/LayerNorm_1/", "bert/encoder/layer_shared/output/LayerNorm/"),
)


def test_albert_zh_with_embeddings_as_wide_as_the_hidden_states() -> None:
    values = random_values(replace(SMALL, embedding_size=12))
    theirs = renamed(values, *OF_BERT)
    assert not any("group" in name for name in theirs)
    assert same(weights.from_tf1(theirs).values, values)


def test_albert_zh_with_its_own_factorization_is_named() -> None:
    """It maps words before it adds positions, so that no names make it the reference's model."""
    theirs = renamed(random_values(replace(SMALL, embedding_size=12)), *OF_BERT)
    theirs["bert/embeddings/word_embeddings_2"] = np.zeros((8, 12))
    with pytest.raises(ValueError, match=r"^bert/embeddings/word_embeddings_2 maps words .* albert_zh's modeling\.py"):
        weights.from_tf1(theirs)


@pytest.mark.parametrize(
    "odd",
    [
        f"{GROUP}/layer_normalization_7/gamma",  # a third one in a block
        f"{GROUP}/adapter/kernel",
        "bert/encoder/transformer/adapter/kernel",
        "bert/embeddings/extra_embeddings",
        "bert/encoder/layer_shared/adapter/kernel",
    ],
)
def test_what_stands_for_nothing_keeps_its_name(odd: str) -> None:
    """So that the error about it says what stands in the checkpoint."""
    found = weights.from_tf1(random_values(SMALL) | {odd: np.zeros(12)}).values
    assert odd in found


def test_two_variables_for_one() -> None:
    values = random_values(SMALL)
    name = f"{GROUP}/attention_1/self/key/bias"
    twin = name.replace("attention_1", "attention_2")
    assert same(weights.from_tf1(values | {twin: values[name]}).values, values)
    with pytest.raises(ValueError, match=f"^{twin} must equal {name}: "):
        weights.from_tf1(values | {twin: values[name] + 1})


def test_what_stands_below_a_variable_is_an_optimizers() -> None:
    values = random_values(SMALL)
    names = [
        *values,
        "global_step",
        "beta1_power",
        *(f"{name}/{slot}" for name in values for slot in ("adam_m", "lamb_v", "Momentum", "vr")),
        "bert/pooler/dense/kernel/ExponentialMovingAverage",
    ]
    assert set(names) - tf1_names.slots(names) == set(values)
    # By themselves too: those of a checkpoint with slots only.
    assert tf1_names.slots(["bert/x/adam_m", "bert/x/AdamWeightDecayOptimizer_1", "bert/x/kernel"]) == {
        "bert/x/adam_m",
        "bert/x/AdamWeightDecayOptimizer_1",
    }


def test_wrappers() -> None:
    words = "bert/embeddings/word_embeddings"
    assert tf1_names.wrapper([words]) == ""
    assert tf1_names.wrapper([f"module/{words}", "module/cls/x"]) == "module/"
    assert tf1_names.wrapper([f"a/b/{words}", f"a/b/{words}_2"]) == "a/b/"
    assert tf1_names.wrapper([f"my{words}"]) == ""
