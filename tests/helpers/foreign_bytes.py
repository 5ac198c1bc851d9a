"""Good files with changes, as hypothesis draws them, for the readers of other programs' files."""

from __future__ import annotations

import json
import os
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
"""Examples per test; `make fuzz` sets more."""

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(["", "[MASK]", "\x00", "\ud800", "▁", "a" * 5000, "-1", "1e999", [], {}, [[]], {"": None}, [None]]),
)

# The files are small and many: an example may take longer than hypothesis expects while the machine is busy.
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES < 1000, suppress_health_check=list(HealthCheck)
)


@st.composite
def changed_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with up to four changes: bytes replaced, removed, added, repeated, or the end cut off."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        count = draw(st.sampled_from([1, 1, 2, 4, 8, 64]))
        match draw(st.integers(0, 4)):
            case 0:
                data[at : at + count] = draw(st.binary(min_size=count, max_size=count))
            case 1:
                del data[at : at + count]
            case 2:
                data[at:at] = draw(st.binary(max_size=count))
            case 3:
                data[at:at] = data[at : at + count]
            case _:
                del data[at:]
    return bytes(data)


@st.composite
def changed_json(draw: st.DrawFn, good: bytes) -> bytes:
    """`good`, a JSON document, with up to three values replaced, removed or renamed."""
    root = [json.loads(good)]
    for _ in range(draw(st.integers(1, 3))):
        parent: Any = root
        key: Any = 0
        for _ in range(draw(st.integers(0, 6))):
            inner = parent[key]
            if not isinstance(inner, (dict, list)) or not inner:
                break
            parent, key = inner, draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        match draw(st.integers(0, 3)):
            case 0 if parent is not root:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[draw(st.sampled_from(["type", "id", "", "content"]))] = parent.pop(key)
            case 2 if isinstance(parent, list) and parent is not root:
                parent.insert(0, parent[key])
            case _:
                # A later change may go into a drawn list.
                parent[key] = deepcopy(draw(ODD))
    return json.dumps(root[0]).encode()


def nested(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` with more opening brackets somewhere than any reader follows, or as many pairs of them."""

    def opened(at: int, bracket: bytes, closing: bytes) -> bytes:
        return good[:at] + bracket * 100_000 + closing * 100_000 + good[at:]

    return st.builds(
        lambda at, brackets: opened(at, *brackets),
        st.integers(0, len(good)),
        st.sampled_from([(b"[", b""), (b"[", b"]"), (b'{"a":', b""), (b'{"":[', b"]}")]),
    )
