"""The model's configuration. Needs no TensorFlow."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import GOLDEN
from hypothesis import given
from hypothesis import strategies as st

from trainer.model import weights
from trainer.model.config import ACTIVATIONS, PRESETS, ModelConfig
from trainer.model.config_keys import EQUAL, FIXED, FORKS, HARMLESS, PLAIN_ALBERT, SYNONYMS

if TYPE_CHECKING:
    from pathlib import Path

TINY = PRESETS["tiny"]
GUIDE: dict[str, Any] = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "embedding_size": 128,
    "hidden_size": 1024,
    "initializer_range": 0.02,
    "intermediate_size": 4096,
    "max_position_embeddings": 512,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "num_hidden_groups": 1,
    "net_structure_type": 0,
    "gap_size": 0,
    "num_memory_blocks": 0,
    "inner_group_num": 1,
    "down_scale_factor": 1,
    "type_vocab_size": 2,
    "vocab_size": 30000,
}


def test_presets_are_the_published_sizes() -> None:
    sizes = {
        name: (c.hidden_size, c.num_hidden_layers, c.num_attention_heads, c.intermediate_size)
        for name, c in PRESETS.items()
    }
    assert sizes == {
        "tiny": (128, 2, 4, 512),
        "base": (768, 12, 12, 3072),
        "large": (1024, 24, 16, 4096),
        "xlarge": (2048, 24, 16, 8192),
        "xxlarge": (4096, 12, 64, 16384),
    }
    for name, config in PRESETS.items():
        assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0
        assert config.embedding_size == 128
        assert ModelConfig.preset(name) == config
        assert ModelConfig.preset(name, 25_000) == replace(config, vocab_size=25_000)
    with pytest.raises(ValueError, match="one of tiny, base, large, xlarge, xxlarge, got 'huge'"):
        ModelConfig.preset("huge")


def test_guide_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "albert_config.json"
    path.write_text(json.dumps(GUIDE))
    config = ModelConfig.from_file(path)
    large = replace(PRESETS["large"], hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    assert config == large
    assert ModelConfig.from_mapping({"albert_config": GUIDE, "optimizer": "lamb", "learning_rate": 0.00176}) == large
    # The file that a Windows editor saved.
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GUIDE).encode())
    assert ModelConfig.from_file(path) == large


@pytest.mark.golden
@pytest.mark.parametrize("name", ["tiny", "groups", "square"])
def test_reference_files_are_read(name: str) -> None:
    path = GOLDEN / "model" / name / "albert_config.json"
    config = ModelConfig.from_file(path)
    stored = json.loads(path.read_text())
    assert stored | PLAIN_ALBERT == json.loads(config.to_json())


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    heads, layers = draw(st.integers(1, 16)), draw(st.integers(1, 30))
    return ModelConfig(
        vocab_size=draw(st.integers(1, 10**6)),
        hidden_size=heads * draw(st.integers(1, 64)),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=draw(st.integers(1, 10**4)),
        embedding_size=draw(st.integers(1, 500)),
        num_hidden_groups=draw(st.integers(1, 2 * layers)),
        inner_group_num=draw(st.integers(1, 4)),
        hidden_act=draw(st.sampled_from(ACTIVATIONS)),
        hidden_dropout_prob=draw(st.floats(0, 1, exclude_max=True)),
        attention_probs_dropout_prob=draw(st.floats(0, 1, exclude_max=True)),
        max_position_embeddings=draw(st.integers(1, 4096)),
        type_vocab_size=draw(st.integers(1, 4)),
        initializer_range=draw(st.floats(1e-4, 1)),
    )


@given(configs())
def test_json_round_trip(config: ModelConfig) -> None:
    assert ModelConfig.from_json(config.to_json()) == config
    assert ModelConfig.from_mapping(asdict(config)) == config
    assert set(PLAIN_ALBERT) < set(json.loads(config.to_json()))


def test_a_mapping_of_equal_sizes_is_written_only_if_there_is_one() -> None:
    square = replace(TINY, square_mapping=True)
    assert "square_mapping" not in TINY.to_json()
    assert '"square_mapping": true' in square.to_json()
    assert ModelConfig.from_json(square.to_json()) == square
    assert (TINY.has_mapping, square.has_mapping, replace(TINY, embedding_size=64).has_mapping) == (False, True, True)


@given(configs())
def test_groups_are_used_in_order(config: ModelConfig) -> None:
    groups = [config.group_of_layer(layer) for layer in range(config.num_hidden_layers)]
    assert groups[0] == 0
    assert groups == sorted(groups)
    assert groups[-1] < config.num_hidden_groups


def test_groups_follow_the_reference_in_floating_point() -> None:
    config = replace(TINY, num_hidden_layers=22, num_hidden_groups=22)
    assert config.group_of_layer(15) == 14
    assert config.group_of_layer(16) == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be a whole number of at least 1, got 0"),
        ({"vocab_size": None}, "vocab_size must be a whole number of at least 1, got null"),
        ({"num_hidden_layers": True}, "num_hidden_layers must be a whole number of at least 1, got true"),
        ({"hidden_size": 128.0}, "hidden_size must be a whole number of at least 1, got 128.0"),
        ({"hidden_size": 130}, "hidden_size must be a multiple of num_attention_heads (4), got 130"),
        ({"num_hidden_groups": 0}, "num_hidden_groups must be a whole number of at least 1, got 0"),
        ({"hidden_dropout_prob": 1}, "hidden_dropout_prob must be at least 0 and below 1, got 1.0"),
        (
            {"attention_probs_dropout_prob": -0.1},
            "attention_probs_dropout_prob must be at least 0 and below 1, got -0.1",
        ),
        ({"hidden_dropout_prob": "0.1"}, "hidden_dropout_prob must be a finite number, got '0.1'"),
        ({"initializer_range": float("nan")}, "initializer_range must be a finite number, got nan"),
        ({"initializer_range": 0}, "initializer_range must be above 0, got 0.0"),
        ({"hidden_act": "gelu_exact"}, "hidden_act must be one of gelu, relu, tanh, got 'gelu_exact'"),
        ({"hidden_act": ["gelu"]}, "hidden_act must be one of gelu, relu, tanh, got ['gelu']"),
        ({"net_structure_type": 1}, "net_structure_type must be 0, as in plain ALBERT, got 1"),
        ({"gap_size": 2}, "gap_size must be 0, as in plain ALBERT, got 2"),
        ({"num_memory_blocks": 3}, "num_memory_blocks must be 0, as in plain ALBERT, got 3"),
        ({"down_scale_factor": 2}, "down_scale_factor must be 1, as in plain ALBERT, got 2"),
        ({"down_scale_factor": True}, "down_scale_factor must be 1, as in plain ALBERT, got true"),
        ({"ln_type": "preln"}, 'ln_type must be "postln", as in plain ALBERT, got "preln"'),
        ({"share_type": "ffn"}, 'share_type must be "all", as in plain ALBERT, got "ffn"'),
        ({"model_type": "bert"}, 'model_type must be "albert", as in plain ALBERT, got "bert"'),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps must be 1e-12, as in plain ALBERT, got 1e-05"),
        (
            {"position_embedding_type": "relative_key"},
            'position_embedding_type must be "absolute", as in plain ALBERT, got "relative_key"',
        ),
        ({"tie_word_embeddings": False}, "tie_word_embeddings must be true, as in plain ALBERT, got false"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings must be true, as in plain ALBERT, got 1"),
        ({"is_decoder": True}, "is_decoder must be false, as in plain ALBERT, got true"),
        ({"is_causal": True}, "is_causal must be false, as in plain ALBERT, got true"),
        ({"add_cross_attention": True}, "add_cross_attention must be false, as in plain ALBERT, got true"),
        ({"pruned_heads": {"0": [1]}}, 'pruned_heads must be {}, as in plain ALBERT, got {"0": [1]}'),
        ({"use_relative_position": True}, "use_relative_position must be false, as in plain ALBERT, got true"),
        ({"square_mapping": 1}, "square_mapping must be true or false, got 1"),
        (
            {"square_mapping": True, "embedding_size": 64},
            "square_mapping must be false unless embedding_size (64) equals hidden_size (128)",
        ),
        ({"albert_config": 7}, "albert_config must hold the model's keys, got 7"),
    ],
)
def test_wrong_values_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ModelConfig.from_mapping(asdict(TINY) | change)


# --- keys of other programs ---------------------------------------------------------------------------------------

ALBERT_ZH: dict[str, Any] = {
    "directionality": "bidi",
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
    "ln_type": "postln",
}
TRANSFORMERS: dict[str, Any] = {
    "model_type": "albert",
    "bos_token_id": 2,
    "eos_token_id": 3,
    "pad_token_id": 0,
    "layer_norm_eps": 1e-12,
    "classifier_dropout_prob": 0.1,
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "tie_word_embeddings": True,
}


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (
            ALBERT_ZH,
            (
                "6 keys, which do not change the model: directionality, pooler_fc_size, pooler_num_attention_heads, "
                "pooler_num_fc_layers, pooler_size_per_head, pooler_type"
            ),
        ),
        (
            TRANSFORMERS,
            "4 keys, which do not change the model: bos_token_id, classifier_dropout_prob, eos_token_id, pad_token_id",
        ),
        ({"note": "of May"}, 'unknown key: note ("of May")'),
        (
            {"num_grids": 4, "frozen": True, "schedule": {"a": [1] * 40}},
            'unknown keys: frozen (true), num_grids (4), schedule ({"a": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...)',
        ),
        (dict.fromkeys(FIXED), None),
        ({"hidden_act": "GELU"}, None),
        ({"hidden_act": "Gelu_New"}, None),
        ({"hidden_act": "gelu_new"}, None),
    ],
)
def test_keys_that_change_nothing_are_named_and_passed_over(
    keys: dict[str, Any], named: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "albert_config.json"
    path.write_text(json.dumps(GUIDE | keys))
    assert ModelConfig.load(path) == (
        ModelConfig.from_mapping(GUIDE),
        [f"{path}: ignoring {named}"] if named else [],
    )


@pytest.mark.parametrize("value", [None, 3, "text", [1], {"0": "no"}])
def test_harmless_keys_never_change_the_model(value: object) -> None:
    config, (remark,) = ModelConfig.parse(GUIDE | dict.fromkeys(HARMLESS, value))
    assert config == ModelConfig.from_mapping(GUIDE)
    assert remark.startswith(f"ignoring {len(HARMLESS)} keys, which do not change the model: _attn_implementation, ")


def test_fixed_keys_are_taken_at_their_values() -> None:
    assert ModelConfig.parse(GUIDE | FIXED) == (ModelConfig.from_mapping(GUIDE), [])
    assert not HARMLESS & FIXED.keys()
    tables = (HARMLESS, FIXED.keys(), FORKS.keys(), EQUAL.keys(), SYNONYMS.keys(), asdict(TINY).keys())
    assert len(set().union(*tables)) == sum(map(len, tables))
    assert not (HARMLESS | FIXED.keys()) & asdict(TINY).keys()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("hiden_size", "hidden_size"),
        ("hiddenSize", "hidden_size"),
        ("num-hidden-groups", "num_hidden_groups"),
        ("num_hidden_group", "num_hidden_groups"),
        ("attention_prob_dropout_prob", "attention_probs_dropout_prob"),
        ("hidden_dropout", "hidden_dropout_prob"),
        ("attention_dropout", "attention_probs_dropout_prob"),
        ("max_position_embedding", "max_position_embeddings"),
    ],
)
def test_a_misspelled_key_is_refused_with_the_right_one(wrong: str, right: str) -> None:
    """Passed over, it would leave the default in its place."""
    values = {key: value for key, value in GUIDE.items() if key != right}
    message = f"unknown key {wrong!r} (value 7); write {right!r}, or remove the key"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ModelConfig.from_mapping(values | {wrong: 7})


@pytest.mark.parametrize("wrong", ["hidden_sise", "hiddenSize", "num_hidden_group"])
def test_a_misspelled_key_beside_the_right_one(wrong: str) -> None:
    """Nobody can tell which of the two values is meant."""
    with pytest.raises(ValueError, match=f"^unknown key '{wrong}' "):
        ModelConfig.from_mapping(GUIDE | {wrong: 7})


@pytest.mark.parametrize(
    ("key", "value", "beside"),
    [
        ("num_layers", 7, ("num_hidden_layers", 24)),
        ("hidden_dropout", 0.2, ("hidden_dropout_prob", 0.1)),
        ("emb_size", 32, ("embedding_size", 128)),
        ("num_groups", 4, ("num_hidden_groups", 1)),
        ("activation", "relu", ("hidden_act", "gelu")),
        ("dropout", 0.0, ("hidden_dropout_prob", 0.1)),
    ],
)
def test_another_programs_name_beside_the_right_one(key: str, value: Any, beside: tuple[str, Any]) -> None:
    name, ours = beside
    assert ModelConfig.parse(GUIDE | {key: ours}) == (ModelConfig.from_mapping(GUIDE), [])
    message = f"{name} is given twice: {name} is {json.dumps(ours)}, and {key} is {json.dumps(value)}; remove one"
    with pytest.raises(ValueError, match=f"^{re.escape(message)} of them$"):
        ModelConfig.from_mapping(GUIDE | {key: value})


@pytest.mark.parametrize(
    ("key", "value", "plain"),
    [
        ("share_parameters", False, True),
        ("cross_layer_sharing", False, "all"),
        ("embedding_norm", False, True),
        ("norm_eps", 1e-5, 1e-12),
        ("layer_norm_type", "pre", "post"),
        ("norm_first", True, False),
        ("parameter_sharing", "attention", "all"),
        ("num_experts", 8, 1),
        ("tie_weights", False, True),
        ("use_absolute_position_embeddings", False, True),
        ("no_positional_embeddings", True, False),
        ("use_causal_mask", True, False),
        ("bidirectional", False, True),
        ("rope_theta", 10000.0, None),
        ("head_size", 65, 64),
        ("num_key_value_heads", 4, 16),
        ("embedding_dropout", 0.0, 0.1),
    ],
)
def test_keys_of_forks_that_change_the_model(key: str, value: Any, plain: Any) -> None:
    assert ModelConfig.parse(GUIDE | {key: plain}) == (ModelConfig.from_mapping(GUIDE), [])
    message = rf"^{key} must be .*, as in plain ALBERT, got {re.escape(json.dumps(value))}$"
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_mapping(GUIDE | {key: value})


@pytest.mark.parametrize("key", [key for key, (first, *_) in EQUAL.items() if first == "hidden_dropout_prob"])
@pytest.mark.parametrize("beside", [{}, {"hidden_dropout_prob": None}, {"hidden_dropout_prob": 0}])
def test_a_key_that_must_equal_a_default(key: str, beside: dict[str, Any]) -> None:
    values = {name: value for name, value in GUIDE.items() if name != "hidden_dropout_prob"} | beside
    plain = ModelConfig.from_mapping(values)
    assert plain.hidden_dropout_prob == 0
    for value in (None, 0, 0.0):
        assert ModelConfig.parse(values | {key: value}) == (plain, [])
    for read in (ModelConfig.from_mapping, weights.config_from_hugging_face):
        with pytest.raises(ValueError, match=rf"^{key} must be hidden_dropout_prob \(0(\.0)?\), .*, got 0.1$"):
            read(values | {"model_type": "albert", key: 0.1})


def test_no_dropout_may_be_null() -> None:
    """As in the reference, whose dropout layer does nothing then."""
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    assert ModelConfig.from_mapping(GUIDE | dict.fromkeys(names)) == ModelConfig.from_mapping(
        GUIDE | dict.fromkeys(names, 0.0)
    )


def test_the_last_of_repeated_keys_counts(tmp_path: Path) -> None:
    """As in Python, wherever it stands; and it is told."""
    text = json.dumps(GUIDE | {"notes": {"a": 0}})
    text = text.replace('"hidden_act"', '"vocab_size": 7, "hidden_act"').replace('{"a": 0}', '{"a": 0, "b": 1, "a": 2}')
    path = tmp_path / "albert_config.json"
    path.write_text(text)
    config, remarks = ModelConfig.load(path)
    assert config.vocab_size == json.loads(text)["vocab_size"]
    assert remarks == [
        f"{path}: repeated keys 'a', 'vocab_size': their last value counts",
        f'{path}: ignoring unknown key: notes ({{"a": 2, "b": 1}})',
    ]


def test_more_groups_than_layers_as_in_the_reference() -> None:
    """albert_zh's albert_config_tiny_google_fast.json: some groups are never built."""
    config = ModelConfig.from_mapping(GUIDE | {"num_hidden_layers": 4, "num_hidden_groups": 12})
    assert [config.group_of_layer(layer) for layer in range(4)] == [0, 3, 6, 9]
    config = replace(config, num_hidden_layers=3, num_hidden_groups=4)
    assert [config.group_of_layer(layer) for layer in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "the model's configuration must be a JSON object, got [1]"),
        ("{", "the model's configuration must be JSON (Expecting property name"),
        ("[" * 100_000, "the model's configuration must be JSON (lists or objects are nested thousands of levels deep"),
        (
            '{"a":' * 100_000,
            "the model's configuration must be JSON (lists or objects are nested thousands of levels deep",
        ),
        ("9" * 5_000, "the model's configuration must be JSON (Exceeds the limit"),
        ('{"vocab_size": 100, "hidden_size": 8}', "the model's configuration lacks num_hidden_layers, num_attention"),
    ],
)
def test_wrong_files_are_refused_by_path(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}[^\\n]*$"):
        ModelConfig.from_file(path)
