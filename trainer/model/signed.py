"""JSON that proves to be what was written: an object that holds the digest of the rest of it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def signed(content: dict[str, Any]) -> bytes:
    """`content` with its digest, as the bytes of a file."""
    return (json.dumps(content | {"sha256": digest(content)}, indent=2) + "\n").encode()


def digest(content: dict[str, Any]) -> str:
    """SHA-256 of `content` as JSON, keys sorted, with neither spaces nor line ends."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def checked(path: Path) -> dict[str, Any] | None:
    """What `signed` made the file of; None if the file is something else."""
    try:
        content = json.loads(path.read_bytes())
        given = content.pop("sha256")
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    return content if given == digest(content) else None
