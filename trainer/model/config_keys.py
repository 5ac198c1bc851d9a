"""What the keys of a model's configuration mean: which are known, which change the model, which change nothing.

Configurations come from google-research/ALBERT, from albert_zh and other forks, and from transformers, whose users add
its keys to an albert_config.json. The reference ignores every key that it does not know (AlbertConfig.from_dict). This
module does so too, with a warning, unless the key asks for a different model than the one that is built. Keys that are
unknown everywhere are reported with their values. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from trainer.errors import some

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PLAIN_ALBERT: dict[str, int] = {
    "net_structure_type": 0,
    "gap_size": 0,
    "num_memory_blocks": 0,
    "down_scale_factor": 1,
}
"""Keys of published files that select variants which the reference never builds, each with its value in those files."""

FIXED: dict[str, Any] = {
    **PLAIN_ALBERT,
    # albert_zh and albert_pytorch; there, null means postln too.
    "ln_type": "postln",
    "share_type": "all",
    "layers_to_keep": [],
    # transformers.
    "model_type": "albert",
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
    "tie_word_embeddings": True,
    "is_decoder": False,
    "is_causal": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "cross_attention_hidden_size": None,
    "pruned_heads": {},
    # Other descendants of BERT.
    "use_relative_position": False,
    "pre_norm": False,
    "normalize_before": False,
}
"""Keys that change the model, each with the value that this model has. null means that nothing was chosen."""

FORKS: dict[str, tuple[Any, ...]] = {
    # Whether layers share their weights.
    **dict.fromkeys(
        (
            "share_parameters", "shared_parameters", "parameter_sharing", "share_weights", "weight_sharing",
            "share_layers", "shared_layers", "cross_layer_sharing", "cross_layer_parameter_sharing",
        ),
        (True, "all"),
    ),
    # Normalization: its kind, its place and its epsilon.
    **dict.fromkeys(
        ("norm_eps", "norm_epsilon", "layernorm_eps", "layernorm_epsilon", "layer_norm_epsilon", "ln_eps"), (1e-12,)
    ),
    **dict.fromkeys(("rms_norm_eps", "use_rms_norm", "rms_norm", "norm_first", "pre_ln", "prenorm"), (False,)),
    **dict.fromkeys(("layer_norm_type", "norm_position", "norm_placement"), ("post", "postln", "post_ln", "post-ln")),
    **dict.fromkeys(("norm_type", "normalization", "normalization_type"), ("layer_norm", "layernorm", "LayerNorm")),
    **dict.fromkeys(("embedding_norm", "embedding_layer_norm", "embedding_layernorm", "norm_embedding"), (True,)),
    # Positions.
    **dict.fromkeys(
        ("use_absolute_position_embeddings", "use_position_embeddings", "position_embeddings"), (True, "absolute")
    ),
    **dict.fromkeys(
        (
            "no_positional_embeddings", "no_position_embeddings", "relative_attention", "use_relative_positions",
            "use_rope", "use_rotary_embeddings", "rotary", "rope", "rope_theta", "rope_scaling", "rope_parameters",
            "rotary_base", "rotary_dim", "rotary_emb_base", "rotary_pct", "use_alibi", "alibi", "alibi_bias",
        ),
        (False,),
    ),
    **dict.fromkeys(("use_token_type_embeddings", "use_segment_embeddings", "token_type_embeddings"), (True,)),
    # Attention and feed-forward.
    **dict.fromkeys(
        ("causal", "causal_attention", "use_causal_mask", "use_causal_attention", "unidirectional"), (False,)
    ),
    **dict.fromkeys(("bidirectional", "use_bidirectional_attention"), (True,)),
    **dict.fromkeys(("use_bias", "bias", "attention_bias", "qkv_bias", "mlp_bias"), (True,)),
    **dict.fromkeys(("use_glu", "glu", "gated_mlp", "use_gated_mlp", "swiglu", "use_swiglu"), (False,)),
    **dict.fromkeys(("sliding_window", "attention_window", "local_attention", "attention_window_size"), (False,)),
    **dict.fromkeys(("num_experts", "num_local_experts"), (1, 0)),
    # Embeddings and what is added between layers.
    **dict.fromkeys(("tie_weights", "tie_embeddings", "tied_embeddings", "factorized_embeddings"), (True,)),
    **dict.fromkeys(("scale_embeddings", "scale_embedding", "use_adapters"), (False,)),
    **dict.fromkeys(
        ("layerdrop", "layer_drop", "layer_dropout", "drop_path", "drop_path_rate", "stochastic_depth"), (0,)
    ),
}  # fmt: skip
"""Keys of forks and other models that change the model, each with the values (null too) that mean this model."""

EQUAL: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("head_size", "head_dim", "attention_head_size", "size_per_head", "d_kv"),
        ("hidden_size", "num_attention_heads"),
    ),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "n_kv_heads"), ("num_attention_heads",)),
    **dict.fromkeys(("embedding_dropout", "embedding_dropout_prob", "embd_pdrop"), ("hidden_dropout_prob",)),
}
"""Keys of forks that must have a certain value here: that of the first key, divided by that of the second if given."""

HARMLESS = frozenset(
    {
        "albert_fast_version",
        # BERT and albert_zh.
        "directionality",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
        # transformers, for this model and for all models.
        "_attn_implementation",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "bos_token_id",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "classifier_dropout_prob",
        "cls_token_id",
        "bad_words_ids",
        "begin_suppress_tokens",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "length_penalty",
        "min_length",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "output_scores",
        "prefix",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict_in_generate",
        "suppress_tokens",
        "temperature",
        "tf_legacy_loss",
        "top_k",
        "top_p",
        "typical_p",
        "dtype",
        "eos_token_id",
        "finetuning_task",
        "gradient_checkpointing",
        "id2label",
        "label2id",
        "mask_token_id",
        "max_length",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "output_past",
        "pad_token_id",
        "problem_type",
        "return_dict",
        "sep_token_id",
        "task_specific_params",
        "tokenizer_class",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "unk_token_id",
        "use_bfloat16",
        "use_cache",
    }
)
"""Keys of other programs that do not affect the pretraining model."""

SYNONYMS = {
    "dropout": "hidden_dropout_prob",
    "dropout_prob": "hidden_dropout_prob",
    "hidden_dropout": "hidden_dropout_prob",
    "resid_pdrop": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "attn_dropout": "attention_probs_dropout_prob",
    "attn_pdrop": "attention_probs_dropout_prob",
    "embedding_dim": "embedding_size",
    "embed_dim": "embedding_size",
    "embed_size": "embedding_size",
    "emb_size": "embedding_size",
    "emb_dim": "embedding_size",
    "hidden_activation": "hidden_act",
    "activation": "hidden_act",
    "activation_function": "hidden_act",
    "activation_fn": "hidden_act",
    "intermediate_act": "hidden_act",
    "act": "hidden_act",
    "token_type_vocab_size": "type_vocab_size",
    "hidden_dim": "hidden_size",
    "hidden_units": "hidden_size",
    "d_model": "hidden_size",
    "n_embd": "hidden_size",
    "d_ff": "intermediate_size",
    "ffn_dim": "intermediate_size",
    "ffn_size": "intermediate_size",
    "intermediate_dim": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "n_layers": "num_hidden_layers",
    "n_layer": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "n_heads": "num_attention_heads",
    "n_head": "num_attention_heads",
    "num_groups": "num_hidden_groups",
    "inner_group_number": "inner_group_num",
    "n_positions": "max_position_embeddings",
    "max_positions": "max_position_embeddings",
    "vocabulary_size": "vocab_size",
    "n_vocab": "vocab_size",
    "init_std": "initializer_range",
}
"""Other programs' names of known keys, apart from differences in spelling."""

ACTIVATIONS = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu"}
"""Other names of the tanh approximation, which "gelu" is in the reference."""


NO_DROPOUT = frozenset({"hidden_dropout_prob", "attention_probs_dropout_prob"})
"""Keys for which null means 0 in the reference."""


def read(values: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the known keys of a configuration and the ignored ones, each with its value.

    Args:
        values: the configuration.
        known: the fields of `ModelConfig`, each with its default, or None if it has none.

    Raises:
        ValueError: a key asks for another model or contradicts another key. Also if an unknown key is spelled much like
            a known one: the model would silently use the default or another value instead.
    """
    kept, passed = {}, {}
    for key, value in values.items():
        if key in known:
            kept[key] = _activation(value) if key == "hidden_act" else value
            if value is None and key in NO_DROPOUT:
                kept[key] = 0.0
        elif key in FIXED:
            _check_fixed(key, value)
        elif key in FORKS:
            _check_plain(key, value, FORKS[key])
        elif key in EQUAL:
            _check_equal(key, value, values, known)
        elif key in HARMLESS:
            passed[key] = value
        elif SYNONYMS.get(key) in values:
            _check_synonym(key, value, values)
        elif found := meant(key, values, [*known, *FIXED]):
            raise ValueError(f"unknown key {key!r} (value {_shown(value)}); write {found!r}, or remove the key")
        else:
            passed[str(key)] = value
    return kept, passed


def remark(passed: Mapping[str, Any], *, silent: Collection[str] = ()) -> list[str]:
    """Return the lines that name the ignored keys, except those in `silent`: first the harmless, then the unknown."""
    harmless = sorted(passed.keys() & HARMLESS - set(silent))
    unknown = [f"{key} ({_shown(passed[key], 40)})" for key in sorted(passed.keys() - HARMLESS - set(silent))]
    lines = []
    if harmless:
        what = "key, which does" if len(harmless) == 1 else "keys, which do"
        lines.append(f"ignoring {len(harmless)} {what} not change the model: {some(harmless, 12)}")
    if unknown:
        lines.append(f"ignoring unknown key{'s' if len(unknown) > 1 else ''}: {some(unknown, 12)}")
    return lines


def _activation(value: Any) -> Any:
    """Return the name of an activation as in `ModelConfig`. The reference ignores its case."""
    return ACTIVATIONS.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values of a configuration are equal. In Python, True equals 1 and False equals 0."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _check_fixed(key: str, value: Any) -> None:
    _check_plain(key, value, (FIXED[key],))


def _check_plain(key: str, value: Any, plain: tuple[Any, ...]) -> None:
    if value is not None and not any(_same(value, one) for one in plain):
        raise ValueError(f"{key} must be {json.dumps(plain[0])}, as in plain ALBERT, got {_shown(value)}")


def _check_equal(key: str, value: Any, values: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise a ValueError unless a fork's key has the value that follows from other keys or from their defaults."""
    first, *over = (known[name] if values.get(name) is None else values[name] for name in EQUAL[key])
    if value is None or first is None:
        return
    wanted: Any = first
    if over:
        if type(first) is not int or type(over[0]) is not int or over[0] < 1:
            return  # the checks of these keys refuse it
        wanted = first / over[0]
    if not _same(value, wanted):
        rule = " / ".join(EQUAL[key])
        shown = f"{wanted:g}" if isinstance(wanted, float) else _shown(wanted)
        raise ValueError(f"{key} must be {rule} ({shown}), as in plain ALBERT, got {_shown(value)}")


def _check_synonym(key: str, value: Any, values: Mapping[str, Any]) -> None:
    """Raise a ValueError if a key and another program's name for it have different values."""
    name = SYNONYMS[key]
    if value is not None and not _same(_activation(value), _activation(values[name])):
        raise ValueError(
            f"{name} is given twice: {name} is {_shown(values[name])}, and {key} is {_shown(value)}; remove one of them"
        )


def _shown(value: Any, most: int = 80) -> str:
    try:
        text = json.dumps(value, default=str, skipkeys=True)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def meant(key: Any, values: Mapping[str, Any], names: Collection[str]) -> str | None:
    """Return the key that `key` is another name or a misspelling of, such as `hiden_size` and `hiddenSize`.

    For a key that is missing, more distant spellings count. If the right key is present as well, it is unclear which of
    the two values should count.
    """
    if key in SYNONYMS:
        return None if SYNONYMS[key] in values else SYNONYMS[key]
    for among, cutoff in (([name for name in names if name not in values], 0.85), (names, 0.9)):
        plain = {_letters(name): name for name in among}
        if found := difflib.get_close_matches(_letters(str(key)), plain, n=1, cutoff=cutoff):
            return plain[found[0]]
    return None


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
