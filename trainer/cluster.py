"""The machines of a run, by TF_CONFIG, as tf.distribute has it. Nothing here imports TensorFlow."""

from __future__ import annotations

import json
import os

from trainer.errors import TrainerError


def cluster() -> tuple[int, int]:
    """Number of workers, and which one this is; (1, 0) without TF_CONFIG.

    Raises:
        TrainerError: TF_CONFIG is none that several workers can start from.
    """
    config = os.environ.get("TF_CONFIG", "")
    if not config:
        return 1, 0
    rule = 'TF_CONFIG must be like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        content = json.loads(config)
        named, task = content.get("cluster", {}), content.get("task", {})
        addresses, index = named.get("worker", []), task.get("index", 0)
    except (ValueError, AttributeError):
        raise TrainerError(f"{rule}; it is {config!r:.200}") from None
    if not named:
        return 1, 0
    if set(named) != {"worker"} or task.get("type") != "worker" or not isinstance(addresses, list):
        raise TrainerError(f"{rule}, with workers alone; it is {config!r:.200}")
    if type(index) is not int or not 0 <= index < len(addresses):
        raise TrainerError(f"the index of TF_CONFIG's task must be below its {len(addresses)} workers; it is {index!r}")
    return len(addresses), index
