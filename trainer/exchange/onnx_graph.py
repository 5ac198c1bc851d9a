"""The graph of an ALBERT in ONNX: the operators of `trainer.model.model.Albert`, without dropout.

The inputs are `input_ids`, `attention_mask` and `token_type_ids`, int64 [batch_size, sequence_length]. The outputs have
the names of Hugging Face:

    fill-mask    logits               float32 [batch_size, sequence_length, V]
    encoder      last_hidden_state    float32 [batch_size, sequence_length, H]
                 pooler_output        float32 [batch_size, H]

Each initializer is a variable of the model under its TF1 name and in its shape. Layers that share weights read the same
initializers, and the logits are computed from the word embeddings themselves, so the file holds every weight once.

Nothing here imports TensorFlow. `trainer.exchange.onnx_directory` compares the graph with the model.
"""

from __future__ import annotations

import math
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from trainer.model.config import ModelConfig

OPSET = 17
"""The first opset with LayerNormalization. Programs that run ONNX have supported it since 2022."""
IR_VERSION = 8
"""The version of the file format that belongs to `OPSET`. The onnx package would write its newest one."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""The model's inputs, each int64 [batch_size, sequence_length]."""
OUTPUTS = {"fill-mask": ("logits",), "encoder": ("last_hidden_state", "pooler_output")}
"""The outputs of the model for each task."""

# As in trainer.model.layers and trainer.model.attention, which import TensorFlow.
_LAYER_NORM_EPSILON = 1e-12
_MASK_BIAS = -10_000.0
_PAGE = 4096
"""Offsets in a file of weights are multiples of this, so that a program may map the file into memory."""
_BATCH, _LENGTH = "batch_size", "sequence_length"


def build(
    values: Mapping[str, NDArray[np.float32]],
    config: ModelConfig,
    task: str,
    *,
    version: str,
    metadata: Mapping[str, str],
    data: str | None = None,
) -> onnx.ModelProto:
    """Return the model for a task.

    Args:
        values: every variable of the model by its TF1 name; see `trainer.model.model`.
        config: the model's configuration.
        task: a key of `OUTPUTS`.
        version: albert-fast's version, which the model holds as its producer's version.
        metadata: the model's metadata, by key.
        data: the name of the file for the weights, beside that of the model; see `write_data`. None to keep the weights
            in the model, which protocol buffers limit to 2 GiB.
    """
    graph = _Graph(values, data)
    hidden = _encoder(graph, config)
    outputs: dict[str, list[str | int]]
    if task == "encoder":
        graph.add("Identity", [hidden], "last_hidden_state")
        first = graph.add("Gather", [hidden, graph.constant(0)], "pooler/first", axis=1)  # [B, S, H] -> [B, H]
        graph.add("Tanh", [graph.dense(first, "bert/pooler/dense", "pooler/dense")], "pooler_output")
        outputs = {
            "last_hidden_state": [_BATCH, _LENGTH, config.hidden_size],
            "pooler_output": [_BATCH, config.hidden_size],
        }
    else:
        _masked_lm(graph, config, hidden)
        outputs = {"logits": [_BATCH, _LENGTH, config.vocab_size]}
    made = helper.make_graph(
        graph.nodes,
        f"albert-{task}",
        [helper.make_tensor_value_info(name, TensorProto.INT64, [_BATCH, _LENGTH]) for name in INPUTS],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        initializer=graph.initializers(),
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="albert-fast",
        producer_version=version,
    )
    helper.set_model_props(model, dict(metadata))
    return model


class _Graph:
    """Collects nodes and the initializers that they read. Every node is named after its only output."""

    def __init__(self, values: Mapping[str, NDArray[np.float32]], data: str | None) -> None:
        self.values, self.data = values, data
        self.nodes: list[onnx.NodeProto] = []
        self.used: dict[str, NDArray[Any]] = {}

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, name: str) -> str:
        """Read a variable of the model."""
        self.used[name] = self.values[name]
        return name

    def constant(self, value: Sequence[int] | float) -> str:
        """Read a constant: a scalar, float32 or int64, or an int64 vector."""
        name = f"constant/{value}"
        self.used[name] = np.asarray(value, np.float32 if isinstance(value, float) else np.int64)
        return name

    def dense(self, x: str, scope: str, name: str) -> str:
        """Add x W + b: [..., inputs] -> [..., outputs]."""
        product = self.add("MatMul", [x, self.weight(f"{scope}/kernel")], f"{name}/matmul")
        return self.add("Add", [product, self.weight(f"{scope}/bias")], name)

    def norm(self, x: str, scope: str, name: str) -> str:
        """Normalize the last axis."""
        inputs = [x, self.weight(f"{scope}/gamma"), self.weight(f"{scope}/beta")]
        return self.add("LayerNormalization", inputs, name, axis=-1, epsilon=_LAYER_NORM_EPSILON)

    def activation(self, kind: str, x: str, name: str) -> str:
        """Apply `hidden_act`. GELU is the tanh approximation, in the form that onnxruntime replaces by one operator."""
        if kind != "gelu":
            return self.add({"relu": "Relu", "tanh": "Tanh"}[kind], [x], name)
        # 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
        cube = self.add("Pow", [x, self.constant(3.0)], f"{name}/cube")
        small = self.add("Mul", [cube, self.constant(0.044715)], f"{name}/small")
        both = self.add("Add", [x, small], f"{name}/sum")
        inner = self.add("Mul", [both, self.constant(math.sqrt(2 / math.pi))], f"{name}/inner")
        tanh = self.add("Tanh", [inner], f"{name}/tanh")
        outer = self.add("Add", [tanh, self.constant(1.0)], f"{name}/outer")
        half = self.add("Mul", [x, self.constant(0.5)], f"{name}/half")
        return self.add("Mul", [half, outer], name)

    def initializers(self) -> list[onnx.TensorProto]:
        """Return what the nodes read."""
        if self.data is None:
            return [numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in self.used.items()]
        found, offset = [], 0
        for name, array in self.used.items():
            if name in self.values:
                found.append(_stored_elsewhere(name, array, self.data, offset))
                offset += -(-array.nbytes // _PAGE) * _PAGE
            else:
                found.append(numpy_helper.from_array(array, name))
        return found


def write_data(model: onnx.ModelProto, values: Mapping[str, NDArray[np.float32]], file: IO[bytes]) -> None:
    """Write the weights that are not in the model to the file that `build` was given the name of."""
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            file.seek(next(int(entry.value) for entry in tensor.external_data if entry.key == "offset"))
            file.write(np.asarray(values[tensor.name], "<f4", order="C").data)


def _stored_elsewhere(name: str, array: NDArray[Any], data: str, offset: int) -> onnx.TensorProto:
    """Return an initializer whose values are in a file of their own."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", data), ("offset", offset), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _encoder(graph: _Graph, config: ModelConfig) -> str:
    """Add everything but the heads, and return the hidden states of the last layer, [B, S, H]."""
    words = graph.add("Gather", [graph.weight("bert/embeddings/word_embeddings"), "input_ids"], "embeddings/words")
    types = graph.weight("bert/embeddings/token_type_embeddings")
    types = graph.add("Gather", [types, "token_type_ids"], "embeddings/types")
    length = graph.add("Shape", ["input_ids"], "embeddings/length", start=1, end=2)
    # For more tokens than there are positions, this returns all positions, and the sum below fails.
    rows = [graph.weight("bert/embeddings/position_embeddings"), graph.constant([0]), length, graph.constant([0])]
    positions = graph.add("Slice", rows, "embeddings/positions")  # [L, E] -> [S, E]
    tokens = graph.add("Add", [words, types], "embeddings/tokens")  # [B, S, E]
    x = graph.norm(
        graph.add("Add", [tokens, positions], "embeddings/sum"), "bert/embeddings/LayerNorm", "embeddings/norm"
    )
    if config.has_mapping:
        x = graph.dense(x, "bert/encoder/embedding_hidden_mapping_in", "embeddings/mapping")
    real = graph.add("Cast", ["attention_mask"], "mask/real", to=TensorProto.FLOAT)
    padding = graph.add("Sub", [graph.constant(1.0), real], "mask/padding")
    bias = graph.add("Mul", [padding, graph.constant(_MASK_BIAS)], "mask/scores")
    bias = graph.add("Unsqueeze", [bias, graph.constant([1, 2])], "mask/bias")  # [B, S] -> [B, 1, 1, S]
    for layer in range(config.num_hidden_layers):
        for inner in range(config.inner_group_num):
            scope = f"bert/encoder/transformer/group_{config.group_of_layer(layer)}/inner_group_{inner}"
            x = _block(graph, config, x, bias, scope, f"layer_{layer}/inner_{inner}")
    return x


def _block(graph: _Graph, config: ModelConfig, x: str, bias: str, scope: str, name: str) -> str:
    """Attention and feed-forward, each with a residual sum and a LayerNorm: [B, S, H] -> [B, S, H]."""
    heads, size = config.num_attention_heads, config.head_size

    def split(part: str, order: list[int]) -> str:
        found = graph.dense(x, f"{scope}/attention_1/self/{part}", f"{name}/{part}")
        shape = graph.constant([0, 0, heads, size])
        found = graph.add("Reshape", [found, shape], f"{name}/{part}/heads")  # [B, S, H] -> [B, S, N, D]
        return graph.add("Transpose", [found], f"{name}/{part}/transposed", perm=order)

    query, value = split("query", [0, 2, 1, 3]), split("value", [0, 2, 1, 3])  # [B, N, S, D]
    key = split("key", [0, 2, 3, 1])  # [B, N, D, S]
    scores = graph.add("MatMul", [query, key], f"{name}/products")  # [B, N, S, S]
    scores = graph.add("Mul", [scores, graph.constant(1 / math.sqrt(size))], f"{name}/scaled")
    scores = graph.add("Add", [scores, bias], f"{name}/scores")
    probabilities = graph.add("Softmax", [scores], f"{name}/probabilities", axis=-1)
    context = graph.add("MatMul", [probabilities, value], f"{name}/context")  # [B, N, S, D]
    context = graph.add("Transpose", [context], f"{name}/context/transposed", perm=[0, 2, 1, 3])
    context = graph.add("Reshape", [context, graph.constant([0, 0, config.hidden_size])], f"{name}/context/joined")
    attended = graph.dense(context, f"{scope}/attention_1/output/dense", f"{name}/attention")
    x = graph.norm(graph.add("Add", [x, attended], f"{name}/attention/sum"), f"{scope}/LayerNorm", f"{name}/attended")
    wide = graph.dense(x, f"{scope}/ffn_1/intermediate/dense", f"{name}/intermediate")
    wide = graph.activation(config.hidden_act, wide, f"{name}/activation")
    change = graph.dense(wide, f"{scope}/ffn_1/intermediate/output/dense", f"{name}/output")
    return graph.norm(graph.add("Add", [x, change], f"{name}/output/sum"), f"{scope}/LayerNorm_1", name)


def _masked_lm(graph: _Graph, config: ModelConfig, hidden: str) -> None:
    """Add the masked-LM head for every token."""
    scope = "cls/predictions/transform"
    x = graph.dense(hidden, f"{scope}/dense", "masked_lm/dense")  # [B, S, H] -> [B, S, E]
    x = graph.norm(graph.activation(config.hidden_act, x, "masked_lm/activation"), f"{scope}/LayerNorm", "masked_lm")
    # Only Gemm, of rank 2, reads the word embeddings as they are. A transposed copy would add V E weights to the file.
    x = graph.add("Reshape", [x, graph.constant([-1, config.embedding_size])], "masked_lm/rows")  # -> [B * S, E]
    words, bias = graph.weight("bert/embeddings/word_embeddings"), graph.weight("cls/predictions/output_bias")
    rows = graph.add("Gemm", [x, words, bias], "masked_lm/logits", transB=1)  # -> [B * S, V]
    sizes = graph.add("Shape", ["input_ids"], "masked_lm/sizes")
    shape = graph.add("Concat", [sizes, graph.constant([config.vocab_size])], "masked_lm/shape", axis=0)
    graph.add("Reshape", [rows, shape], "logits")  # -> [B, S, V]
