"""TFRecord files of tf.train.Example written and read in plain Python: the tests' own, to check other writers against.

Formats: TensorFlow's record_writer.h (framing, masked CRC-32C) and example.proto. Map keys are written sorted, lists
packed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

Features = Mapping[str, Sequence[int] | Sequence[float]]
VARINT, LENGTH_DELIMITED, FIXED32 = 0, 2, 5
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked_crc(data: bytes) -> bytes:
    """The four bytes that follow a record's length and its data."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(data: bytes) -> bytes:
    """A record as it lies in the file."""
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


def unframe(file: bytes) -> Iterator[bytes]:
    """The records of a file, each checked."""
    at = 0
    while at < len(file):
        length = file[at : at + 8]
        assert masked_crc(length) == file[at + 8 : at + 12], f"wrong checksum of a length at byte {at}"
        end = at + 12 + struct.unpack("<Q", length)[0]
        data = file[at + 12 : end]
        assert masked_crc(data) == file[end : end + 4], f"wrong checksum of the record at byte {at}"
        yield data
        at = end + 4


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + content


def encode_example(features: Features) -> bytes:
    """A tf.train.Example; a feature is a float_list where its values are floats, else an int64_list."""
    entries = []
    for name in sorted(features):
        values = features[name]
        if all(isinstance(value, float) for value in values):
            feature = _message(FLOAT_LIST, _message(1, struct.pack(f"<{len(values)}f", *values)))
        else:
            feature = _message(INT64_LIST, _message(1, b"".join(_varint(int(value)) for value in values)))
        entries.append(_message(1, _message(1, name.encode()) + _message(2, feature)))
    return _message(1, b"".join(entries))


def encode_file(records: Iterable[Features]) -> bytes:
    """A whole TFRecord file."""
    return b"".join(frame(encode_example(features)) for features in records)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == VARINT:
            number, at = _read_varint(data, at)
            yield key >> 3, number
            continue
        assert kind in (LENGTH_DELIMITED, FIXED32), f"wire type {kind}"
        length, at = _read_varint(data, at) if kind == LENGTH_DELIMITED else (4, at)
        yield key >> 3, data[at : at + length]
        at += length


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    for number, content in _fields(data):
        assert isinstance(content, bytes)
        yield number, content


def _ints(values: bytes) -> list[int]:
    numbers: list[int] = []
    for _, content in _fields(values):
        if isinstance(content, int):
            numbers.append(content)
            continue
        at = 0
        while at < len(content):
            number, at = _read_varint(content, at)
            numbers.append(number)
    return [number - (1 << 64) if number >> 63 else number for number in numbers]


def decode_example(data: bytes) -> dict[str, list[int] | list[float]]:
    """The features of a tf.train.Example, packed or not, in any order."""
    features: dict[str, list[int] | list[float]] = {}
    for _, content in _messages(data):
        for _, entry in _messages(content):
            parts = dict(_messages(entry))
            for kind, values in _messages(parts[2]):
                assert kind in (FLOAT_LIST, INT64_LIST), f"feature of kind {kind}"
                if kind == INT64_LIST:
                    features[parts[1].decode()] = _ints(values)
                else:
                    floats = b"".join(part for _, part in _messages(values))
                    features[parts[1].decode()] = list(struct.unpack(f"<{len(floats) // 4}f", floats))
    return features
