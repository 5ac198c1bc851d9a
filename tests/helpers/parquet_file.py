"""Writes Parquet files of text columns, as large and with as many row groups as a test needs; nothing is compressed.

The format: https://parquet.apache.org/docs/file-format, whose metadata is in Thrift's compact protocol.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAGIC = b"PAR1"
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
BYTE_ARRAY, REQUIRED, UTF8, PLAIN, RLE = 6, 0, 0, 0, 3


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def value(kind: int, it: Any) -> bytes:
    if kind in {I32, I64}:
        return varint(it << 1 if it >= 0 else (-it << 1) - 1)
    if kind == BINARY:
        data = it.encode() if isinstance(it, str) else it
        return varint(len(data)) + data
    if kind == STRUCT:
        return bytes(it)
    inner, items = it
    head = bytes([len(items) << 4 | inner]) if len(items) < 15 else bytes([0xF0 | inner]) + varint(len(items))
    return head + b"".join(value(inner, one) for one in items)


def record(*fields: tuple[int, int, Any]) -> bytes:
    """A Thrift struct of (id, kind, value), by rising ids."""
    out, last = b"", 0
    for number, kind, it in fields:
        out += bytes([(number - last) << 4 | kind]) + value(kind, it)
        last = number
    return out + b"\0"


def write(columns: Mapping[str, Sequence[str]], rows: int) -> bytes:
    """The bytes of a file with these columns, `rows` rows a row group."""
    out = bytearray(MAGIC)
    total = len(next(iter(columns.values())))
    groups = []
    for start in range(0, total, rows):
        count, begin, chunks = min(rows, total - start), len(out), []
        for name, cells in columns.items():
            data = b"".join(struct.pack("<i", len(cell)) + cell for cell in (one.encode() for one in cells[start : start + rows]))
            page = record((1, I32, count), (2, I32, PLAIN), (3, I32, RLE), (4, I32, RLE))
            offset = len(out)
            out += record((1, I32, 0), (2, I32, len(data)), (3, I32, len(data)), (5, STRUCT, page)) + data
            size = len(out) - offset
            meta = record(
                (1, I32, BYTE_ARRAY),
                (2, LIST, (I32, [PLAIN])),
                (3, LIST, (BINARY, [name])),
                (4, I32, 0),
                (5, I64, count),
                (6, I64, size),
                (7, I64, size),
                (9, I64, offset),
            )
            chunks.append(record((2, I64, offset), (3, STRUCT, meta)))
        groups.append(record((1, LIST, (STRUCT, chunks)), (2, I64, len(out) - begin), (3, I64, count)))
    root = record((4, BINARY, "schema"), (5, I32, len(columns)))
    leaves = [record((1, I32, BYTE_ARRAY), (3, I32, REQUIRED), (4, BINARY, name), (6, I32, UTF8)) for name in columns]
    footer = record((1, I32, 1), (2, LIST, (STRUCT, [root, *leaves])), (3, I64, total), (4, LIST, (STRUCT, groups)))
    return bytes(out) + footer + struct.pack("<i", len(footer)) + MAGIC
