"""JAX's side of the GPU kit's tests, as a process of its own.

    python jax_kit.py calls DIRECTORY OUT.json    the cuDNN calls in the HLO of each case, as JAX lowers it for CUDA
    python jax_kit.py own SHAPE OUT.json       the same of JAX's own attention; SHAPE is B,S,N,D,SCALE

With JAX in another Python than the one that runs the tests, JAX_PYTHON names that.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

KIT = Path(__file__).parents[2] / "benches" / "gpu"


def python() -> str | None:
    """The Python that has JAX; None where there is none."""
    if os.environ.get("JAX_PYTHON"):
        return os.environ["JAX_PYTHON"]
    return None if importlib.util.find_spec("jax") is None else sys.executable


def run(script: Path, *arguments: object, **variables: str) -> str:
    """What a script says in that Python, with environment variables; fails where it does."""
    words = [python() or "", str(script), *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | variables
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


CALL = re.compile(
    r"= (?P<result>\(.*?\)) custom-call\(.*"
    r'custom_call_target="(?P<target>__cudnn\$.*?)", operand_layout_constraints=\{(?P<operands>.*?)\}, '
    r"api_version=(?P<version>\w+).*backend_config=(?P<config>\{.*\})"
)
"""A call of cuDNN in the text of an HLO module."""


def calls(text: str) -> list[dict[str, Any]]:
    """The cuDNN calls of an HLO module's text: target, shapes with layouts, and configuration."""
    found = []
    for match in CALL.finditer(re.sub(r"/\*.*?\*/", "", text)):
        call: dict[str, Any] = match.groupdict()
        call["config"] = json.loads(call["config"])
        found.append(call)
    return found


def _calls(directory: str, path: str) -> None:
    sys.path.insert(0, str(KIT))
    import gpu_kit
    from run import Device

    device = Device("cpu")
    found = {}
    for case in gpu_kit.Kit.read(Path(directory) / "manifest.json").cases:
        lowered = device.lower(Path(directory), case, "cuda")
        found[case.name] = calls(lowered.compiler_ir("hlo").as_hlo_text())
    Path(path).write_text(json.dumps(found), encoding="utf-8")


def _own(shape: str, path: str) -> None:
    jax: Any = importlib.import_module("jax")
    fused: Any = importlib.import_module("jax._src.cudnn.fused_attention_stablehlo")
    # It asks for cuDNN's version where there is no cuDNN; the lowering does not depend on it.
    fused.check_cudnn_version = lambda: 91_000
    *sizes, scale = shape.split(",")
    batch, length, heads, head = map(int, sizes)
    tokens = jax.ShapeDtypeStruct((batch, length, heads, head), jax.numpy.bfloat16)
    counts = jax.ShapeDtypeStruct((batch,), jax.numpy.int32)

    def both(query: Any, key: Any, value: Any, counts: Any, upstream: Any) -> Any:
        def attention(query: Any, key: Any, value: Any) -> Any:
            return jax.nn.dot_product_attention(
                query,
                key,
                value,
                query_seq_lengths=counts,
                key_value_seq_lengths=counts,
                scale=float(scale),
                implementation="cudnn",
            )

        context, gradient = jax.vjp(attention, query, key, value)
        return context, gradient(upstream)

    lowered = jax.jit(both).trace(tokens, tokens, tokens, counts, tokens).lower(lowering_platforms=("cuda",))
    text = lowered.compiler_ir("hlo").as_hlo_text()
    Path(path).write_text(json.dumps(calls(text)), encoding="utf-8")


if __name__ == "__main__":
    {"calls": _calls, "own": _own}[sys.argv[1]](*sys.argv[2:])
