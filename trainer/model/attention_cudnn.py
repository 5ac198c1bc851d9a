"""cuDNN's fused attention, as XLA calls it on NVIDIA GPUs.

Its values are right on an H100, where XLA ran it through JAX. It has not yet been run there through TensorFlow.

XLA replaces the custom calls `__cudnn$fmhaSoftmax` and `__cudnn$fmhaSoftmaxBackward` with cuDNN's kernels, which keep
no probabilities. The forward pass stores one number per query, the logarithm of the softmax's denominator, and the
backward pass recomputes the rest. TensorFlow has no operation for these calls, so each is a separate StableHLO module
in the graph. Operands, layouts and configuration are those that JAX lowers `jax.nn.dot_product_attention(...,
implementation="cudnn")` to; a test compares them.

In the comments, B is the number of instances, S the tokens per instance, N the number of heads, D the size of a head.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Shape = tuple[int, int, int, int]
    Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]

FORWARD = "__cudnn$fmhaSoftmax"
BACKWARD = "__cudnn$fmhaSoftmaxBackward"
LARGEST_HEAD = 128
"""Largest D. D must also be a multiple of 8 (cuDNN's rule for GPUs before the H100)."""
STABLEHLO = "1.0.0"
"""The StableHLO version that the modules are written in."""
CALL_MODULE = 9
"""The version of XlaCallModule's calling convention: arguments and results are those of the module."""

_BATCH = {"BSND": (0, 2), "BNSS": (0, 1)}
"""The batch axes of the factors of a product, by layout."""
_PRODUCTS = {
    FORWARD: {
        "bmm1": ("BSND", 3, "BSND", 3),  # query, key -> scores
        "bmm2": ("BNSS", 3, "BSND", 1),  # probabilities, value -> context
    },
    BACKWARD: {
        "bmm1_grad_gemm1": ("BNSS", 2, "BSND", 1),  # by scores, query -> by key
        "bmm1_grad_gemm2": ("BNSS", 3, "BSND", 1),  # by scores, key -> by query
        "bmm2_grad_gemm1": ("BNSS", 2, "BSND", 1),  # probabilities, by context -> by value
        "bmm2_grad_gemm2": ("BSND", 3, "BSND", 3),  # by context, value -> by probabilities
    },
}
"""The products in each call: the layout of each factor and the axis that is summed over."""


def cudnn_attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, lengths: tf.Tensor, scale: float) -> tf.Tensor:
    """Compute softmax(scale Q K^T) V over the tokens of each instance, which come before its padding.

    Args:
        query: bfloat16 [B, S, N, D], whose shape is known when the function is traced.
        key: like `query`.
        value: like `query`.
        lengths: int32 [B], the number of tokens of each instance; 0 is allowed.
        scale: factor of the scores.

    Returns:
        bfloat16 [B, S, N, D], 0 at padding. The gradients are 0 there too. The gradient of the result should be 0 at
        padding, as it is in a model: no loss depends on padding.

    Raises:
        ValueError: cuDNN does not support the dtype or the shape.
    """
    batch, length, heads, _ = shape = _check(query)
    # An empty instance attends to one padding token, and its result is discarded: a softmax over nothing would be NaN.
    counts = tf.maximum(lengths, 1)
    real = tf.sequence_mask(lengths, length)[:, :, tf.newaxis, tf.newaxis]  # [B] -> [B, S, 1, 1]

    def kept(x: tf.Tensor) -> tf.Tensor:
        # cuDNN may leave values beyond the end of an instance unwritten.
        return tf.where(real, x, tf.zeros([], x.dtype))

    @tf.custom_gradient
    def attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        context, statistics = _call(
            [query, key, value, counts],
            forward_module(shape, scale),
            [tf.bfloat16, tf.float32],
            [shape, (batch, heads, length)],
        )
        context = kept(context)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            by_query, by_key, by_value = _call(
                [query, key, value, statistics, upstream, context, counts],
                backward_module(shape, scale),
                [tf.bfloat16] * 3,
                [shape] * 3,
            )
            return kept(by_query), kept(by_key), kept(by_value)

        return context, gradient

    found: tf.Tensor = attention(query, key, value)
    return found


def _check(query: tf.Tensor) -> Shape:
    if query.dtype != tf.bfloat16:
        raise ValueError(f"the compute dtype must be bfloat16 with attention='cudnn', got {query.dtype.name}")
    if not query.shape.is_fully_defined() or query.shape.rank != 4:
        raise ValueError(f"the shape must be known with attention='cudnn', got {query.shape}")
    batch, length, heads, head = query.shape.as_list()
    if head % 8 or head > LARGEST_HEAD:
        raise ValueError(
            f"the size of a head must be a multiple of 8 and at most {LARGEST_HEAD} with attention='cudnn', got {head}"
        )
    return batch, length, heads, head


def _call(
    arguments: list[tf.Tensor], module: bytes, dtypes: list[tf.DType], shapes: Sequence[tuple[int, ...]]
) -> list[tf.Tensor]:
    from tensorflow.compiler.tf2xla.python import xla

    found: list[tf.Tensor] = xla.call_module(
        arguments,
        version=CALL_MODULE,
        module=module,
        Tout=dtypes,
        Sout=[list(shape) for shape in shapes],
        platforms=["CUDA"],
        # Allow lowering for a GPU on another machine: the GPU kit is built on a machine without one.
        disabled_checks=[xla.call_module_disable_check_platform()],
    )
    return found


def forward_text(shape: Shape, scale: float) -> str:
    """Return the forward pass as StableHLO: query, key, value and lengths to the context and statistics [B, N, S]."""
    batch, length, heads, head = shape
    tokens, stats = _tensor(shape, "bf16"), _tensor((batch, heads, length), "f32")
    counts, across = _tensor((batch,), "i32"), _tensor((batch, heads, length, head), "bf16")
    call = _custom_call(
        FORWARD,
        ["%query", "%key", "%value", "%counts", "%counts"],
        [tokens, tokens, tokens, counts, counts],
        [across, stats],
        backend_config(FORWARD, shape, scale),
    )
    arguments = f"%query: {tokens}, %key: {tokens}, %value: {tokens}, %counts: {counts}"
    return f"""module @cudnn_attention {{
  func.func public @main({arguments}) -> ({tokens}, {stats}) {{
    %found:3 = {call}
    %context = stablehlo.transpose %found#0, dims = [0, 2, 1, 3] : ({across}) -> {tokens}
    return %context, %found#1 : {tokens}, {stats}
  }}
}}
"""


def backward_text(shape: Shape, scale: float) -> str:
    """Return the backward pass as StableHLO.

    It takes query, key, value, the statistics, the gradient of the context, the context and the lengths. It returns the
    gradients of query, key and value.
    """
    batch, length, heads, head = shape
    tokens, stats = _tensor(shape, "bf16"), _tensor((batch, heads, length), "f32")
    counts, across = _tensor((batch,), "i32"), _tensor((batch, heads, length, head), "bf16")
    call = _custom_call(
        BACKWARD,
        ["%query", "%key", "%value", "%stats", "%upstream", "%context", "%counts", "%counts"],
        [tokens, tokens, tokens, stats, tokens, tokens, counts, counts],
        [across, across, across],
        backend_config(BACKWARD, shape, scale),
    )
    arguments = f"%query: {tokens}, %key: {tokens}, %value: {tokens}, %stats: {stats}"
    return f"""module @cudnn_attention_gradient {{
  func.func public @main({arguments}, %upstream: {tokens}, %context: {tokens}, %counts: {counts})
      -> ({tokens}, {tokens}, {tokens}) {{
    %found:4 = {call}
    %by_query = stablehlo.transpose %found#0, dims = [0, 2, 1, 3] : ({across}) -> {tokens}
    %by_key = stablehlo.transpose %found#1, dims = [0, 2, 1, 3] : ({across}) -> {tokens}
    %by_value = stablehlo.transpose %found#2, dims = [0, 2, 1, 3] : ({across}) -> {tokens}
    return %by_query, %by_key, %by_value : {tokens}, {tokens}, {tokens}
  }}
}}
"""


@cache
def forward_module(shape: Shape, scale: float) -> bytes:
    """Return `forward_text` as a portable artifact."""
    return _serialize(forward_text(shape, scale))


@cache
def backward_module(shape: Shape, scale: float) -> bytes:
    """Return `backward_text` as a portable artifact."""
    return _serialize(backward_text(shape, scale))


def _serialize(text: str) -> bytes:
    from tensorflow.compiler.mlir.stablehlo import stablehlo

    artifact: bytes = stablehlo.serialize_portable_artifact_str(text, STABLEHLO)
    return artifact


def backend_config(target: str, shape: Shape, scale: float) -> dict[str, Any]:
    """Return XLA's GpuBackendConfig for a call. In its JSON, 64-bit integers are strings."""
    batch, length, heads, _ = shape
    scores = {
        "element_type": "BF16",
        "dimensions": [str(size) for size in (batch, heads, length, length)],
        "tuple_shapes": [],
        "layout": {
            "dim_level_types": [],
            "dim_unique": [],
            "dim_ordered": [],
            "minor_to_major": ["3", "2", "1", "0"],
            "tiles": [],
            "element_size_in_bits": "0",
            "memory_space": "0",
            "index_primitive_type": "PRIMITIVE_TYPE_INVALID",
            "pointer_primitive_type": "PRIMITIVE_TYPE_INVALID",
            "dynamic_shape_metadata_prefix_bytes": "0",
        },
        "is_dynamic_dimension": [False] * 4,
    }
    attention = {
        "algorithm": {
            "algo_id": "0",
            "math_type": "TENSOR_OP_MATH",
            "tuning_knobs": {"17": "1", "24": "0"},
            "is_cudnn_frontend": True,
            "workspace_size": "0",
        },
        "fmha_scale": scale,
        "intermediate_tensor_shape": scores,
        "is_flash_attention": True,
        "mask_type": "PADDING",
        **{f"{name}_dot_dimension_numbers": _dimensions(*sides) for name, sides in _PRODUCTS[target].items()},
        "dropout_rate": 0.0,
        "seed": 42,  # unused: there is no dropout
        "sliding_window_length": 0,
        "max_seg_per_batch": 1,
        "is_paged_attention": False,
    }
    return {"operation_queue_id": "0", "cudnn_fmha_backend_config": attention}


def _dimensions(left: str, left_axis: int, right: str, right_axis: int) -> dict[str, list[str]]:
    return {
        "lhs_contracting_dimensions": [str(left_axis)],
        "rhs_contracting_dimensions": [str(right_axis)],
        "lhs_batch_dimensions": [str(axis) for axis in _BATCH[left]],
        "rhs_batch_dimensions": [str(axis) for axis in _BATCH[right]],
    }


def _custom_call(target: str, operands: list[str], types: list[str], results: list[str], config: dict[str, Any]) -> str:
    """Return a custom call as MLIR text. Its last result is cuDNN's workspace, whose size XLA sets."""
    written = json.dumps(config).replace('"', "\\22")
    results = [*results, "tensor<0xui8>"]
    given = ", ".join(_layout(kind) for kind in types)
    # Results are [B, N, S, D], but in memory the token axis is outside the head axis, so transposing them is free.
    made = ", ".join(_layout(kind, (3, 1, 2, 0)) for kind in results)
    attributes = f'api_version = 2 : i32, backend_config = "{written}", operand_layouts = [{given}], '
    attributes += f"result_layouts = [{made}]"
    signature = f"({', '.join(types)}) -> ({', '.join(results)})"
    return f"stablehlo.custom_call @{target}({', '.join(operands)}) {{{attributes}}} : {signature}"


def _layout(kind: str, of_four: tuple[int, ...] = (3, 2, 1, 0)) -> str:
    """Return the layout of a type: its axes from the innermost to the outermost in memory."""
    rank = kind.count("x")
    if kind == "tensor<0xui8>" or rank == 1:
        return "dense<0> : tensor<1xindex>"
    axes = of_four if rank == 4 else tuple(reversed(range(rank)))
    return f"dense<[{', '.join(map(str, axes))}]> : tensor<{rank}xindex>"


def _tensor(shape: Sequence[int], dtype: str) -> str:
    return f"tensor<{'x'.join(map(str, shape))}x{dtype}>"
