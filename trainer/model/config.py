"""The shape of an ALBERT: `ModelConfig`, its presets, and the albert_config.json that it reads and writes.

Names and meanings are those of AlbertConfig in google-research/ALBERT's modeling.py, so its users' files can be read
unchanged. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from albert_fast import json_text
from albert_fast.errors import option_error
from trainer.model import config_keys
from trainer.model.config_keys import PLAIN_ALBERT

ACTIVATIONS = ("gelu", "relu", "tanh")
"""Allowed values of `hidden_act`. "gelu" is the tanh approximation, as in the reference."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides a model's variables and arithmetic.

    Fields without a default must be in every file. In the reference they default to the values of xxlarge, which nobody
    expects.

    Raises:
        ValueError: a field breaks its rule; the message is one line with the rule and the value.
    """

    vocab_size: int
    """Number of pieces of the tokenizer, special tokens included."""
    hidden_size: int
    """Width H of the hidden states; a multiple of `num_attention_heads`."""
    num_hidden_layers: int
    """Number of layers of the unrolled encoder."""
    num_attention_heads: int
    """Number of attention heads. Each is hidden_size / num_attention_heads wide."""
    intermediate_size: int
    """Width of the feed-forward layer, between its two products."""
    embedding_size: int = 128
    """Width E of the embeddings. If it equals `hidden_size`, only `square_mapping` gives a mapping from E to H."""
    num_hidden_groups: int = 1
    """Number of groups of layers. The layers of a group share their weights. Groups without layers are never built."""
    inner_group_num: int = 1
    """Number of blocks (attention and feed-forward) in a layer, run one after another, each with its own weights."""
    hidden_act: str = "gelu"
    """Activation of the feed-forward layer and the masked-LM head: one of `ACTIVATIONS`."""
    hidden_dropout_prob: float = 0.0
    """Dropout of the embeddings and of each block's two outputs, in [0, 1)."""
    attention_probs_dropout_prob: float = 0.0
    """Dropout of the attention probabilities, in [0, 1)."""
    max_position_embeddings: int = 512
    """Length of the longest instance that the model accepts, in tokens."""
    type_vocab_size: int = 2
    """Number of segment ids. Records have two."""
    initializer_range: float = 0.02
    """Standard deviation of the truncated normal distribution that matrices are initialized from."""
    square_mapping: bool = False
    """Whether a dense layer maps the embeddings to H even if E == H.

    The reference has no such layer; transformers always has one, and fine-tuning changes it. An albert_config.json
    holds this key only if it is true.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                if type(value) is not int or value < 1:
                    raise ValueError(f"{field.name} must be a whole number of at least 1, got {_shown(value)}")
            elif field.type == "float":
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    raise ValueError(f"{field.name} must be a finite number, got {_shown(value)}")
                object.__setattr__(self, field.name, float(value))
            elif field.type == "bool" and type(value) is not bool:
                raise ValueError(f"{field.name} must be true or false, got {_shown(value)}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)!r}")
        if self.initializer_range <= 0:
            raise ValueError(f"initializer_range must be above 0, got {self.initializer_range!r}")
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"hidden_act must be one of {', '.join(ACTIVATIONS)}, got {_shown(self.hidden_act)}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads ({self.num_attention_heads}), got "
                f"{self.hidden_size}"
            )
        if self.square_mapping and self.embedding_size != self.hidden_size:
            raise ValueError(
                f"square_mapping must be false unless embedding_size ({self.embedding_size}) equals hidden_size "
                f"({self.hidden_size})"
            )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def has_mapping(self) -> bool:
        """Whether a dense layer maps the embeddings from E to H."""
        return self.square_mapping or self.embedding_size != self.hidden_size

    def group_of_layer(self, layer: int) -> int:
        """Return the group whose weights `layer`, counted from 0, uses.

        Computed in floating point, as in transformer_model of the reference. With 22 layers in 22 groups, layer 15
        therefore uses group 14, and group 15 is never built.
        """
        return int(layer / self.num_hidden_layers * self.num_hidden_groups)

    @classmethod
    def preset(cls, name: str, vocab_size: int = 30_000) -> ModelConfig:
        """Return one of `PRESETS` for a vocabulary of `vocab_size`.

        Raises:
            AlbertFastError: there is no preset of that name.
        """
        if name not in PRESETS:
            raise option_error("model", f"one of {', '.join(PRESETS)}", name)
        return replace(PRESETS[name], vocab_size=vocab_size)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> tuple[ModelConfig, list[str]]:
        """Return the model that the keys of an albert_config.json describe, and lines for the user.

        A mapping with a key "albert_config" describes both a model and a run; the model is the value of that key.
        `trainer.model.config_keys` says what happens to keys that are not names of fields.

        Raises:
            ValueError: a key is missing, selects a variant or is misspelled, or a value breaks its rule.
        """
        if "albert_config" in values:
            values = values["albert_config"]
            if not isinstance(values, Mapping):
                raise ValueError(f"albert_config must hold the model's keys, got {_shown(values)}")
        kept, passed = config_keys.read(values, DEFAULTS)
        missing = [field.name for field in fields(cls) if field.default is MISSING and field.name not in kept]
        if missing:
            raise ValueError(f"the model's configuration lacks {', '.join(missing)}")
        return cls(**kept), config_keys.remark(passed)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Return the model of `parse`, without the lines."""
        return cls.parse(values)[0]

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Return the model that the text of an albert_config.json describes; see `parse`.

        Raises:
            ValueError: the text is not a JSON object, or as in `parse`.
        """
        return cls.parse(_object(text)[0])[0]

    @classmethod
    def load(cls, path: str | Path) -> tuple[ModelConfig, list[str]]:
        """Return the model that an albert_config.json in UTF-8 describes, and lines for the user; see `parse`.

        Raises:
            OSError: the file cannot be read.
            ValueError: as in `from_json`, with the file's path before the message.
        """
        data = Path(path).read_bytes()
        try:
            values, repeated = _object(data.decode("utf-8-sig"))
            config, remarks = cls.parse(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return config, [f"{path}: {remark}" for remark in [*json_text.remark(repeated), *remarks]]

    @classmethod
    def from_file(cls, path: str | Path) -> ModelConfig:
        """Return the model of `load`, without the lines."""
        return cls.load(path)[0]

    def to_json(self) -> str:
        """Return an albert_config.json that the reference and `from_json` read: sorted keys and a final newline."""
        values = asdict(self) | PLAIN_ALBERT
        if not self.square_mapping:
            # The reference does not know this key. Without it, a file is the same as one that the reference writes.
            del values["square_mapping"]
        return json.dumps(values, indent=2, sort_keys=True) + "\n"


def _shown(value: Any) -> str:
    """Format a value for an error, in JSON's notation."""
    return json.dumps(value) if value is None or isinstance(value, bool) else f"{value!r:.80}"


def _object(text: str) -> tuple[dict[str, Any], list[str]]:
    """Return the JSON object in `text`, and its repeated keys."""
    try:
        values, repeated = json_text.parse(text)
    except ValueError as error:
        raise ValueError(f"the model's configuration must be JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"the model's configuration must be a JSON object, got {values!r:.80}")
    return values, repeated


DEFAULTS: dict[str, Any] = {
    field.name: None if field.default is MISSING else field.default for field in fields(ModelConfig)
}
"""The fields of `ModelConfig`, each with its default, or None if it has none."""

PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(30_000, 128, 2, 4, 512, embedding_size=128, initializer_range=0.05),
    "base": ModelConfig(30_000, 768, 12, 12, 3072),
    "large": ModelConfig(30_000, 1024, 24, 16, 4096),
    "xlarge": ModelConfig(30_000, 2048, 24, 16, 8192),
    "xxlarge": ModelConfig(30_000, 4096, 12, 64, 16_384),
}
"""The published sizes in version 2, where every dropout is 0, and "tiny".

The sizes are from table 1 and section 4.8 of arXiv 1909.11942 and from the repository's README. "tiny" is this
project's own size for trying things out on a CPU.
"""
