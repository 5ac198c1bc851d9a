"""JSON objects that contain the digest of their other content, so that changes are detected."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def signed(content: dict[str, Any]) -> bytes:
    """Return `content` with its digest, as the bytes of a file."""
    return (json.dumps(content | {"sha256": digest(content)}, indent=2) + "\n").encode()


def digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 of `content` as JSON, with sorted keys and without spaces or newlines."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def checked(path: Path) -> dict[str, Any] | None:
    """Return the content that `signed` wrote to the file, or None if the file holds anything else."""
    return parsed(path.read_bytes())


def parsed(data: bytes) -> dict[str, Any] | None:
    """Return the content that `signed` returned as `data`, or None if this is anything else."""
    try:
        content = json.loads(data)
        given = content.pop("sha256")
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    found: dict[str, Any] = content
    return found if given == digest(found) else None
