"""The names of TF1 checkpoints and those of Hugging Face, against files of both. Most need no TensorFlow."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import GOLDEN

from trainer.model import weights
from trainer.model.config import PRESETS, ModelConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODELS = GOLDEN / "model"
SMALL = ModelConfig(50, 12, 4, 3, 20, embedding_size=8, max_position_embeddings=16)
MAPPING = "albert.encoder.embedding_hidden_mapping_in"
QUERY = "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.query.weight"


def stored(name: str) -> dict[str, NDArray[Any]]:
    """The tensors of a golden Hugging Face directory."""
    numpy = pytest.importorskip("safetensors.numpy")
    tensors: dict[str, NDArray[Any]] = numpy.load_file(MODELS / name / "hf" / "model.safetensors")
    return tensors


def config_of(name: str) -> ModelConfig:
    return ModelConfig.from_file(MODELS / name / "albert_config.json")


def random_values(config: ModelConfig) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(5)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in weights.shapes(config).items()}


def same(left: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> bool:
    """Whether two models are equal to the bit."""
    assert left.keys() == right.keys()
    return all(
        left[name].dtype == right[name].dtype == np.float32
        and left[name].shape == right[name].shape
        and left[name].tobytes() == right[name].tobytes()
        for name in left
    )


# --- against files ---------------------------------------------------------------------------------------------------


@pytest.mark.golden
@pytest.mark.parametrize("name", ["tiny", "groups", "square"])
def test_names_and_shapes_are_the_reference_ones(name: str) -> None:
    lines = [line.split(" ", 1) for line in (MODELS / name / "variables.txt").read_text().splitlines()]
    found = {key: str(list(shape)) for key, shape in weights.shapes(config_of(name)).items()}
    assert found == dict(lines)
    assert list(found) == sorted(found)


@pytest.mark.golden
@pytest.mark.parametrize("name", ["tiny", "groups"])
def test_hugging_face_tensors_both_ways(name: str) -> None:
    config, tensors = config_of(name), stored(name)
    imported = weights.from_hugging_face(tensors, config)
    assert imported.notes == ()
    assert {key: value.shape for key, value in imported.values.items()} == weights.shapes(config)
    exported = weights.to_hugging_face(imported.values, config)
    assert same(exported, tensors)
    assert all(value.flags.c_contiguous for value in (*exported.values(), *imported.values.values()))
    assert same(weights.from_hugging_face(exported, config).values, imported.values)


@pytest.mark.golden
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["tiny", "groups"])
def test_tf1_values_are_those_of_hugging_face(name: str) -> None:
    tf = pytest.importorskip("tensorflow")
    reader = tf.train.load_checkpoint(str(MODELS / name / "model.ckpt-0"))
    arrays = {key: np.asarray(reader.get_tensor(key)) for key in reader.get_variable_to_shape_map()}
    assert "global_step" in arrays
    imported = weights.from_tf1(arrays)
    assert imported.notes == ()
    assert same(weights.to_hugging_face(imported.values, config_of(name)), stored(name))


@pytest.mark.golden
@pytest.mark.parametrize("name", ["tiny", "groups"])
def test_configurations_both_ways(name: str) -> None:
    theirs = json.loads((MODELS / name / "hf" / "config.json").read_text())
    del theirs["transformers_version"]
    assert weights.config_to_hugging_face(config_of(name)) == theirs
    assert weights.config_from_hugging_face(theirs) == (config_of(name), [])


# --- Hugging Face's tensors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, num_hidden_groups=3, inner_group_num=2),
        replace(SMALL, embedding_size=12),
        replace(SMALL, embedding_size=12, square_mapping=True),
        replace(SMALL, num_hidden_layers=22, num_hidden_groups=22),
        replace(SMALL, num_hidden_layers=44, num_hidden_groups=44),
    ],
)
def test_round_trip(config: ModelConfig) -> None:
    values = random_values(config)
    tensors = weights.to_hugging_face(values, config)
    groups = {name.split(".")[3] for name in tensors if "layer_groups" in name}
    assert groups == {str(group) for group in range(config.num_hidden_groups)}
    imported = weights.from_hugging_face(tensors, config)
    assert same(imported.values, values)
    assert imported.notes == ()


def test_kernels_are_transposed_and_embeddings_are_not() -> None:
    values = random_values(SMALL)
    tensors = weights.to_hugging_face(values, SMALL)
    wide = "bert/encoder/transformer/group_0/inner_group_0/ffn_1/intermediate/dense/kernel"
    assert np.array_equal(tensors["albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"], values[wide].T)
    for theirs, ours in (
        ("albert.embeddings.word_embeddings.weight", "bert/embeddings/word_embeddings"),
        ("sop_classifier.classifier.weight", "cls/seq_relationship/output_weights"),
    ):
        assert np.array_equal(tensors[theirs], values[ours])


def test_mapping_of_equal_sizes_is_the_identity() -> None:
    config = replace(SMALL, embedding_size=12)
    tensors = weights.to_hugging_face(random_values(config), config)
    assert np.array_equal(tensors[f"{MAPPING}.weight"], np.eye(12))
    assert np.array_equal(tensors[f"{MAPPING}.bias"], np.zeros(12))
    assert weights.fitted(config, tensors) == config
    for part in ("weight", "bias"):
        changed = {key: value.copy() for key, value in tensors.items()}
        changed[f"{MAPPING}.{part}"].flat[3] += 1e-3
        with pytest.raises(ValueError, match=rf"mapping_in.{part} must be the identity if .*hidden_size \(12\)"):
            weights.from_hugging_face(changed, config)


@pytest.mark.parametrize("part", ["weight", "bias"])
@pytest.mark.parametrize("scope", ["albert.", ""])
def test_a_changed_mapping_of_equal_sizes_is_a_variable(part: str, scope: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    config = replace(SMALL, embedding_size=12)
    values = random_values(config)
    tensors = weights.to_hugging_face(values, config)
    tensors[f"{MAPPING}.{part}"].flat[3] += 0.5
    named = {name.removeprefix("albert.") if not scope else name: value for name, value in tensors.items()}
    if not scope:  # AlbertModel's names, which have no heads
        named = {name: value for name, value in named.items() if not name.startswith(("predictions", "sop"))}
    square = weights.fitted(config, named)
    assert square == replace(config, square_mapping=True)
    assert weights.fitted(square, named) == square
    imported = weights.from_hugging_face(named, square)
    assert imported.notes == ()
    kernel, bias = (imported.values[f"bert/encoder/embedding_hidden_mapping_in/{leaf}"] for leaf in ("kernel", "bias"))
    assert np.array_equal(kernel, tensors[f"{MAPPING}.weight"].T)
    assert np.array_equal(bias, tensors[f"{MAPPING}.bias"])
    # As TF1 has it, and back.
    assert weights.fitted(config, imported.values) == square
    if scope:
        assert same(weights.to_hugging_face(imported.values, square), tensors)
    halves = {name: value.astype(ml_dtypes.bfloat16) for name, value in named.items()}
    assert weights.fitted(config, halves) == square
    unchanged = {name: value for name, value in halves.items() if "mapping_in" not in name}
    assert weights.fitted(config, unchanged) == config
    assert weights.fitted(SMALL, named) == SMALL


def test_groups_that_the_reference_never_builds() -> None:
    config = replace(SMALL, num_hidden_layers=22, num_hidden_groups=22)
    tensors = weights.to_hugging_face(random_values(config), config)
    # Layer 15 has group 14 in the reference, and group 15 there.
    assert np.array_equal(tensors[QUERY.format(15)], tensors[QUERY.format(14)])
    assert not np.array_equal(tensors[QUERY.format(16)], tensors[QUERY.format(14)])
    tensors[QUERY.format(15)] = tensors[QUERY.format(16)]
    with pytest.raises(ValueError, match=r"groups\.15\..* must equal .*groups\.14\..*: they are one variable"):
        weights.from_hugging_face(tensors, config)

    other = replace(SMALL, num_hidden_layers=18, num_hidden_groups=14)
    assert (int(9 / (18 / 14)), int(9 / 18 * 14)) == (6, 7)
    with pytest.raises(ValueError, match="num_hidden_layers 18 and num_hidden_groups 14, Hugging Face's ALBERT shares"):
        weights.to_hugging_face(random_values(other), other)


def test_parts_of_a_model_and_other_heads() -> None:
    values = random_values(SMALL)
    tensors = weights.to_hugging_face(values, SMALL)
    # AlbertModel
    plain = {name.removeprefix("albert."): value for name, value in tensors.items() if name.startswith("albert.")}
    imported = weights.from_hugging_face(plain, SMALL)
    assert same(imported.values, {name: value for name, value in values.items() if name.startswith("bert/")})
    # An old AlbertForSequenceClassification
    body: dict[str, NDArray[Any]] = {name: value for name, value in tensors.items() if name.startswith("albert.")}
    body |= {"classifier.weight": np.zeros((3, 12)), "classifier.bias": np.zeros(3)}
    body["albert.embeddings.position_ids"] = np.arange(16)[np.newaxis]
    imported = weights.from_hugging_face(body, SMALL)
    assert set(imported.values) == {name for name in values if name.startswith("bert/")}
    (note,) = imported.notes
    assert note == "skipped variables that do not belong to the pretraining model: classifier.bias, classifier.weight"


def test_decoder_is_tied() -> None:
    values = random_values(SMALL)
    tensors = weights.to_hugging_face(values, SMALL)
    assert not any("decoder" in name for name in tensors)
    words = tensors["albert.embeddings.word_embeddings.weight"]
    tied = tensors | {"predictions.decoder.weight": words, "predictions.decoder.bias": tensors["predictions.bias"]}
    assert same(weights.from_hugging_face(tied, SMALL).values, values)
    assert weights.from_hugging_face(tied, SMALL).notes == ()

    alone = {name: value for name, value in tied.items() if name != "predictions.bias"}
    assert same(weights.from_hugging_face(alone, SMALL).values, values)

    other = weights.from_hugging_face(tied | {"predictions.decoder.bias": np.ones(50, np.float32)}, SMALL)
    assert same(other.values, values)
    assert other.notes == ("ignoring predictions.decoder.bias, which differs from predictions.bias",)
    with pytest.raises(ValueError, match=r"decoder.weight must equal .*word_embeddings.weight: .* tied"):
        weights.from_hugging_face(tied | {"predictions.decoder.weight": words + 1}, SMALL)


def test_other_types_become_float32() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = random_values(SMALL)
    tensors = weights.to_hugging_face(values, SMALL)
    for kind in (ml_dtypes.bfloat16, np.float16, np.float64):
        imported = weights.from_hugging_face({name: value.astype(kind) for name, value in tensors.items()}, SMALL)
        assert same(imported.values, {name: value.astype(kind).astype(np.float32) for name, value in values.items()})


def test_what_is_no_model_is_refused() -> None:
    values = random_values(SMALL)
    tensors = weights.to_hugging_face(values, SMALL)
    name = "albert.pooler.bias"
    for value, message in (
        (np.zeros(12, np.int8), f"{name} must hold floating-point numbers, got int8"),
        (np.full(12, np.nan), f"{name} must hold finite numbers, got NaN or an infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            weights.from_hugging_face(tensors | {name: value}, SMALL)
    with pytest.raises(ValueError, match=r"layer_groups.1\S* has no place in an ALBERT with num_hidden_groups 1"):
        weights.from_hugging_face(tensors | {QUERY.format(1): np.zeros((12, 12))}, SMALL)

    lacking = {name: value for name, value in values.items() if not name.startswith("cls/seq")}
    with pytest.raises(ValueError, match="lacks cls/seq_relationship/output_bias, cls/seq_relationship/output_w"):
        weights.to_hugging_face(lacking, SMALL)
    with pytest.raises(ValueError, match=r"has .*a/adam_m, which an ALBERT does not have"):
        weights.to_hugging_face(values | {"a/adam_m": np.zeros(1, np.float32)}, SMALL)
    with pytest.raises(ValueError, match=r"word_embeddings must have the shape \[51, 8\], got \[50, 8\]"):
        weights.to_hugging_face(values, replace(SMALL, vocab_size=51))


@pytest.mark.parametrize(("layers", "groups"), [(4, 12), (3, 5), (2, 3)])
def test_more_groups_than_layers(layers: int, groups: int) -> None:
    config = replace(SMALL, num_hidden_layers=layers, num_hidden_groups=groups)
    values = random_values(config)
    tensors = weights.to_hugging_face(values, config)
    # transformers makes every group, and warns of those without weights.
    assert all(QUERY.format(group) in tensors for group in range(groups))
    assert same(weights.from_hugging_face(tensors, config).values, values)
    # What a group holds that no layer uses, nobody minds.
    used = {int(layer / (layers / groups)) for layer in range(layers)}
    unused = QUERY.format(min(set(range(groups)) - used))
    assert same(weights.from_hugging_face(tensors | {unused: tensors[unused] + 1}, config).values, values)
    with pytest.raises(ValueError, match="has no place in an ALBERT with num_hidden_groups"):
        weights.from_hugging_face(tensors | {QUERY.format(groups): tensors[unused]}, config)


# --- TF1 -------------------------------------------------------------------------------------------------------------


def test_tf1_leaves_the_optimizer_out() -> None:
    values = random_values(SMALL)
    slots = {f"{name}/{slot}": value for name, value in values.items() for slot in ("adam_m", "adam_v", "lamb_m")}
    everything = values | slots | {"global_step": np.asarray(7)}
    assert same(weights.from_tf1(everything).values, values)
    hub = {f"module/{name}": value for name, value in values.items()}
    assert same(weights.from_tf1(hub).values, values)
    assert weights.from_tf1(everything).notes == ()
    (note,) = weights.from_tf1(values | {"output_weights": np.zeros((2, 3)), "output_bias": np.zeros(2)}).notes
    assert note.endswith(": output_bias, output_weights")


# --- configurations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [*PRESETS.values(), replace(SMALL, hidden_act="relu", hidden_dropout_prob=0.1)])
def test_config_round_trip(config: ModelConfig) -> None:
    theirs = weights.config_to_hugging_face(config)
    assert theirs["hidden_act"] == {"gelu": "gelu_new"}.get(config.hidden_act, config.hidden_act)
    assert weights.config_from_hugging_face(json.loads(json.dumps(theirs))) == (config, [])


def test_config_of_a_published_directory() -> None:
    published = {
        "architectures": ["AlbertForMaskedLM"],
        "attention_probs_dropout_prob": 0,
        "bos_token_id": 2,
        "classifier_dropout_prob": 0.1,
        "down_scale_factor": 1,
        "embedding_size": 128,
        "eos_token_id": 3,
        "gap_size": 0,
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0,
        "hidden_size": 768,
        "initializer_range": 0.02,
        "inner_group_num": 1,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "layers_to_keep": [],
        "max_position_embeddings": 512,
        "model_type": "albert",
        "net_structure_type": 0,
        "num_attention_heads": 12,
        "num_hidden_groups": 1,
        "num_hidden_layers": 12,
        "num_memory_blocks": 0,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": 30000,
    }
    assert weights.config_from_hugging_face(published) == (PRESETS["base"], [])
    for act in ("gelu", "gelu_pytorch_tanh"):
        assert weights.config_from_hugging_face(published | {"hidden_act": act}) == (PRESETS["base"], [])
    # What transformers itself writes is not worth a line.
    assert weights.config_from_hugging_face(published | {"my_note": 1, "transformers_version": "5.0.0"}) == (
        PRESETS["base"],
        ["ignoring unknown key: my_note (1)"],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "bert"}, "model_type must be 'albert', got 'bert'"),
        ({"model_type": None}, "model_type must be 'albert', got None"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps must be 1e-12, as in plain ALBERT, got 1e-05"),
        ({"position_embedding_type": "relative_key"}, 'position_embedding_type must be "absolute"'),
        ({"tie_word_embeddings": False}, "tie_word_embeddings must be true"),
        ({"net_structure_type": 1}, "net_structure_type must be 0"),
        ({"hidden_act": "silu"}, "hidden_act must be one of gelu, relu, tanh, got 'silu'"),
        ({"hidden_size": "768"}, "hidden_size must be a whole number"),
    ],
)
def test_configs_of_other_models_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weights.config_from_hugging_face(weights.config_to_hugging_face(SMALL) | change)
