"""What the keys of a model's configuration mean: which are known, which change the model, which change nothing.

Configurations come from google-research/ALBERT, from albert_zh and other forks, and from transformers, whose users add
its keys to an albert_config.json. The reference passes every key over that it does not know (AlbertConfig.from_dict).
So does this, with a warning, unless the key asks for another model than the one that is built. Nothing here imports
TensorFlow.
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
"""Keys of published files that select variants which the reference never builds, each with the value it has there."""

FIXED: dict[str, Any] = {
    **PLAIN_ALBERT,
    # albert_zh and albert_pytorch; null is postln there too.
    "ln_type": "postln",
    "share_type": "all",
    "layers_to_keep": [],
    # transformers.
    "model_type": "albert",
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
    "tie_word_embeddings": True,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "cross_attention_hidden_size": None,
    "pruned_heads": {},
    # Other descendants of BERT.
    "use_relative_position": False,
    "pre_norm": False,
    "normalize_before": False,
}
"""Keys that change the model, each with the value that this model has."""

NULL_IS_PLAIN = frozenset({"ln_type", "layers_to_keep", "pruned_heads", "position_embedding_type"})
"""Those whose null means that nothing was chosen."""

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
        # transformers, of this model and of every model.
        "_attn_implementation",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "bos_token_id",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "classifier_dropout_prob",
        "cls_token_id",
        "decoder_start_token_id",
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
"""Keys of others that decide nothing about the pretraining model."""

SYNONYMS = {
    "hidden_dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "embedding_dim": "embedding_size",
    "emb_size": "embedding_size",
    "hidden_activation": "hidden_act",
    "activation": "hidden_act",
    "token_type_vocab_size": "type_vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
}
"""What other programs call known keys, but for the spelling."""

ACTIVATIONS = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu"}
"""Further names of the tanh approximation, which "gelu" is in the reference."""


def read(values: Mapping[str, Any], known: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The known keys of a configuration with their values, and the names of the keys that are passed over.

    Args:
        values: the configuration.
        known: names of the fields of `ModelConfig`.

    Raises:
        ValueError: a key asks for another model; or a key is unknown, and spelled much like a known one: the model
            would silently have the default, or another value, in its place.
    """
    kept, passed = {}, []
    for key, value in values.items():
        if key in known:
            kept[key] = ACTIVATIONS.get(value, value) if key == "hidden_act" and isinstance(value, str) else value
        elif key in FIXED:
            _check_fixed(key, value)
        elif key not in HARMLESS and (meant := _meant(key, values, [*known, *FIXED])):
            raise ValueError(f"unknown key {key!r} (value {_shown(value)}): write {meant!r}, or remove the key")
        else:
            passed.append(str(key))
    return kept, passed


def remark(passed: list[str], *, silent: Collection[str] = ()) -> list[str]:
    """The line that names the keys passed over, without those in `silent`; none where nothing is left."""
    named = sorted(set(passed) - set(silent))
    if not named:
        return []
    what = "key, which does" if len(named) == 1 else "keys, which do"
    return [f"ignoring {len(named)} {what} not change the model: {some(named, 12)}"]


def _check_fixed(key: str, value: Any) -> None:
    plain = FIXED[key]
    # In Python, True is 1 and False is 0.
    same = isinstance(value, bool) == isinstance(plain, bool) and value == plain
    if not same and not (value is None and key in NULL_IS_PLAIN):
        raise ValueError(f"{key} must be {json.dumps(plain)}, as in plain ALBERT, got {_shown(value)}")


def _shown(value: Any) -> str:
    return f"{json.dumps(value, default=str)}"[:80]


def _meant(key: Any, values: Mapping[str, Any], names: Collection[str]) -> str | None:
    """The key that `key` is another name or a misspelling of, such as `hiden_size` and `hiddenSize`.

    One that is missing is looked for more widely. Beside the right key, it is open which of the two values counts.
    """
    if key in SYNONYMS and SYNONYMS[key] not in values:
        return SYNONYMS[key]
    for among, cutoff in (([name for name in names if name not in values], 0.85), (names, 0.9)):
        plain = {_letters(name): name for name in among}
        if found := difflib.get_close_matches(_letters(str(key)), plain, n=1, cutoff=cutoff):
            return plain[found[0]]
    return None


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
