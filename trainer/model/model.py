"""ALBERT with its two pretraining heads, as google-research/ALBERT's modeling.py and run_pretraining.py compute it.

Embeddings (word + type + position, size E) -> LayerNorm -> dropout -> mapping to H -> the layers, which share their
weights within a group -> the heads. Masked LM: the hidden states of the masked positions -> dense to E -> activation ->
LayerNorm -> the word embeddings again, plus a bias. Sentence order: the pooled hidden state of [CLS] -> 2 classes.

Variables, named and shaped as in the TF1 checkpoints (V vocab_size, T type_vocab_size, L max_position_embeddings, E
embedding_size, H hidden_size, I intermediate_size; G counts groups and K inner groups from 0):

    bert/embeddings/word_embeddings                                           [V, E]
    bert/embeddings/token_type_embeddings                                     [T, E]
    bert/embeddings/position_embeddings                                       [L, E]
    bert/embeddings/LayerNorm/{beta,gamma}                                    [E]
    bert/encoder/embedding_hidden_mapping_in/{kernel,bias}                    [E, H], [H]; absent if E == H,
                                                                              unless `square_mapping`
    bert/encoder/transformer/group_G/inner_group_K/
        attention_1/self/{query,key,value}/{kernel,bias}                      [H, H], [H]
        attention_1/output/dense/{kernel,bias}                                [H, H], [H]
        LayerNorm/{beta,gamma}                                                [H]
        ffn_1/intermediate/dense/{kernel,bias}                                [H, I], [I]
        ffn_1/intermediate/output/dense/{kernel,bias}                         [I, H], [H]
        LayerNorm_1/{beta,gamma}                                              [H]
    bert/pooler/dense/{kernel,bias}                                           [H, H], [H]
    cls/predictions/transform/dense/{kernel,bias}                             [H, E], [E]
    cls/predictions/transform/LayerNorm/{beta,gamma}                          [E]
    cls/predictions/output_bias                                               [V]
    cls/seq_relationship/output_weights                                       [2, H]
    cls/seq_relationship/output_bias                                          [2]

In the comments, B is the number of instances, S the tokens and P the predictions per instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from trainer.model.attention import MASK_BIAS
from trainer.model.dropout import Dropout
from trainer.model.features import ROW_NUMBERS
from trainer.model.layers import Block, Dense, LayerNorm, Pass, Weights, activation
from trainer.model.recompute import recomputed, unknown_zero

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig


class Encoded(NamedTuple):
    """The output for a batch of the model without its heads (get_*_output of the reference's AlbertModel)."""

    embedding_output: tf.Tensor
    """float32 [B, S, E]: after LayerNorm and dropout, before the mapping to H."""
    sequence_output: tf.Tensor
    """Compute dtype [B, S, H]: the hidden states of the last layer."""
    pooled_output: tf.Tensor
    """Compute dtype [B, H]: tanh of a dense layer applied to the hidden state of the first token."""


class Logits(NamedTuple):
    """The output of the two heads."""

    masked_lm: tf.Tensor
    """float32 [B, P, V], for the masked positions in the given order."""
    sentence_order: tf.Tensor
    """float32 [B, 2]: class 0 means in order, class 1 swapped."""


class Albert(tf.Module):
    """The model of one `ModelConfig`.

    Args:
        config: the model's shape.
        compute_dtype: tf.float32 or tf.bfloat16, for matrix products and hidden states. Weights, softmax, LayerNorm and
            logits are always float32.
        seed: decides the initial weights.
        attention: how attention is computed: one of `trainer.options.ATTENTIONS`.
        recompute: whether the backward pass recomputes each block's activations instead of keeping them.

    Raises:
        ValueError: `compute_dtype` is another dtype.
    """

    def __init__(
        self,
        config: ModelConfig,
        compute_dtype: tf.DType = tf.float32,
        seed: int = 0,
        *,
        attention: str = "plain",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if compute_dtype not in (tf.float32, tf.bfloat16):
            raise ValueError(f"compute_dtype must be float32 or bfloat16, got {compute_dtype!r}")
        self.config = config
        self.compute_dtype = compute_dtype
        self.attention, self.recompute = attention, recompute
        weights = Weights(config.initializer_range, seed)
        size, hidden = config.embedding_size, config.hidden_size
        self.word_embeddings = weights.matrix("bert/embeddings/word_embeddings", [config.vocab_size, size])
        self.type_embeddings = weights.matrix("bert/embeddings/token_type_embeddings", [config.type_vocab_size, size])
        self.position_embeddings = weights.matrix(
            "bert/embeddings/position_embeddings", [config.max_position_embeddings, size]
        )
        self.embedding_norm = LayerNorm(weights, "bert/embeddings/LayerNorm", size)
        self.mapping = None
        if config.has_mapping:
            self.mapping = Dense(weights, "bert/encoder/embedding_hidden_mapping_in", size, hidden)
        # In the reference, too, a group that no layer uses has no variables.
        groups = {config.group_of_layer(layer) for layer in range(config.num_hidden_layers)}
        self.groups = {
            f"group_{group}": [
                Block(weights, f"bert/encoder/transformer/group_{group}/inner_group_{inner}", config)
                for inner in range(config.inner_group_num)
            ]
            for group in sorted(groups)
        }
        self.pooler = Dense(weights, "bert/pooler/dense", hidden, hidden)
        self.transform = Dense(weights, "cls/predictions/transform/dense", hidden, size)
        self.transform_norm = LayerNorm(weights, "cls/predictions/transform/LayerNorm", size)
        self.output_bias = weights.zeros("cls/predictions/output_bias", config.vocab_size)
        self.order_weights = weights.matrix("cls/seq_relationship/output_weights", [2, hidden])
        self.order_bias = weights.zeros("cls/seq_relationship/output_bias", 2)

    @property
    def named_variables(self) -> dict[str, tf.Variable]:
        """Return every variable by its name in a TF1 checkpoint, sorted by name."""
        return dict(sorted((variable.name.removesuffix(":0"), variable) for variable in self.variables))

    def __call__(self, batch: dict[str, tf.Tensor], dropout_key: tf.Tensor | None = None) -> Logits:
        """Return the logits of both heads for the features of a batch of records.

        Args:
            batch: integers `input_ids`, `input_mask` and `segment_ids` [B, S], and `masked_lm_positions` [B, P]. The
                range of ids is not checked here; on a GPU, TensorFlow would not report it anyway. With dropout also
                `row_numbers` [B], each row's number in the step. Without them, rows are numbered from 0.
            dropout_key: integers [2], seed and step, or None for no dropout.
        """
        encoded = self.encode(
            batch["input_ids"], batch["input_mask"], batch["segment_ids"], dropout_key, batch.get(ROW_NUMBERS)
        )
        return Logits(
            self.masked_lm_logits(encoded.sequence_output, batch["masked_lm_positions"]),
            self.sentence_order_logits(encoded.pooled_output),
        )

    def encode(
        self,
        input_ids: tf.Tensor,
        input_mask: tf.Tensor,
        segment_ids: tf.Tensor,
        dropout_key: tf.Tensor | None = None,
        row_numbers: tf.Tensor | None = None,
    ) -> Encoded:
        """Run the model without its heads.

        Args:
            input_ids: integers [B, S], S at most max_position_embeddings.
            input_mask: integers [B, S], 1 for tokens and 0 for padding.
            segment_ids: integers [B, S], below type_vocab_size.
            dropout_key: integers [2], seed and step, or None for no dropout.
            row_numbers: integers [B], each row's number in the step; None for 0, 1, ...

        Raises:
            ValueError: S is known when the function is traced, and exceeds max_position_embeddings.
        """
        batch, length = _sizes(input_ids)
        if isinstance(length, int) and length > self.config.max_position_embeddings:
            limit = self.config.max_position_embeddings
            raise ValueError(f"an instance must have at most max_position_embeddings ({limit}) tokens, got {length}")
        mask_bias = (1 - tf.cast(input_mask, tf.float32)) * MASK_BIAS
        mask_bias = tf.reshape(mask_bias, [batch, 1, 1, length])  # [B, S] -> [B, 1, 1, S]
        lengths = tf.reduce_sum(tf.cast(input_mask, tf.int32), axis=1)
        dropout = Dropout(dropout_key, tf.range(batch) if row_numbers is None else row_numbers)
        zero = unknown_zero(lengths[0])
        forward = Pass(batch, length, mask_bias, lengths, dropout, self.attention, zero)

        embedded = self._embed(input_ids, segment_ids, forward)
        embedded = dropout(embedded, self.config.hidden_dropout_prob, length)
        x = tf.reshape(embedded, [-1, self.config.embedding_size])  # [B, S, E] -> [B * S, E]
        x = tf.cast(x, self.compute_dtype)
        if self.mapping is not None:
            x = self.mapping(x)  # [B * S, E] -> [B * S, H]
        for layer in range(self.config.num_hidden_layers):
            for block in self.groups[f"group_{self.config.group_of_layer(layer)}"]:
                x = recomputed(block, x, forward) if self.recompute else block(x, forward)  # [B * S, H] -> [B * S, H]
        hidden = tf.reshape(x, [batch, length, self.config.hidden_size])  # [B * S, H] -> [B, S, H]
        return Encoded(embedded, hidden, tf.tanh(self.pooler(hidden[:, 0])))

    def masked_lm_logits(self, sequence_output: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Return float32 [B, P, V] for `positions`, integers [B, P], of `sequence_output` [B, S, H].

        The positions are gathered first, because only P of S tokens are masked and V is large (get_masked_lm_output).
        """
        batch, length = _sizes(sequence_output)[:2]
        predictions = _sizes(positions)[1]
        rows = tf.cast(positions, tf.int32) + tf.range(batch)[:, tf.newaxis] * length  # [B, P], into B * S rows
        x = tf.reshape(sequence_output, [-1, self.config.hidden_size])  # [B, S, H] -> [B * S, H]
        x = tf.gather(x, tf.reshape(rows, [-1]))  # [B * S, H], [B * P] -> [B * P, H]
        x = activation(self.config.hidden_act, self.transform(x))  # [B * P, H] -> [B * P, E]
        x = tf.cast(self.transform_norm(x), self.compute_dtype)
        words = tf.cast(self.word_embeddings, self.compute_dtype)
        logits = tf.matmul(x, words, transpose_b=True)  # [B * P, E] x [E, V] -> [B * P, V]
        logits = tf.nn.bias_add(tf.cast(logits, tf.float32), self.output_bias)
        return tf.reshape(logits, [batch, predictions, self.config.vocab_size])  # [B * P, V] -> [B, P, V]

    def sentence_order_logits(self, pooled_output: tf.Tensor) -> tf.Tensor:
        """Return float32 [B, 2] for `pooled_output` [B, H] (get_sentence_order_output)."""
        logits = tf.matmul(tf.cast(pooled_output, tf.float32), self.order_weights, transpose_b=True)
        return tf.nn.bias_add(logits, self.order_bias)

    def _embed(self, input_ids: tf.Tensor, segment_ids: tf.Tensor, forward: Pass) -> tf.Tensor:
        """Return float32 [B, S, E]: the normalized sum of the three embeddings (embedding_postprocessor)."""
        size = self.config.embedding_size
        words = tf.gather(self.word_embeddings, tf.reshape(input_ids, [-1]))  # [V, E], [B * S] -> [B * S, E]
        types = self._embed_types(tf.reshape(segment_ids, [-1]))  # [B * S] -> [B * S, E]
        tokens = tf.reshape(words + types, [forward.batch, forward.length, size])  # [B * S, E] -> [B, S, E]
        return self.embedding_norm(tokens + self.position_embeddings[: forward.length])

    def _embed_types(self, segment_ids: tf.Tensor) -> tf.Tensor:
        """Return float32 [rows, E] for `segment_ids` [rows].

        It is computed as a product, like the reference on TPUs, because the gradient of a gather would add all rows
        into two, one by one.
        """
        types = tf.one_hot(segment_ids, self.config.type_vocab_size)  # [rows] -> [rows, T]
        return tf.matmul(types, self.type_embeddings)  # [rows, T] x [T, E] -> [rows, E]


def _sizes(x: tf.Tensor) -> list[int | tf.Tensor]:
    """Return the sizes of the axes of x, as numbers if they are known when the function is traced."""
    dynamic = tf.shape(x)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(x.shape)]
