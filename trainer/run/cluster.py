"""The machines of a run, from TF_CONFIG, as in tf.distribute. Nothing here imports TensorFlow."""

from __future__ import annotations

import json
import os
from typing import Any

from trainer.errors import TrainerError

RULE = 'TF_CONFIG must be like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'

JOBS = ("chief", "worker")
"""Jobs that train, in the order of the workers' numbers. A chief is worker 0, as in MultiWorkerMirroredStrategy."""

OTHERS = {
    "ps": "pretrain has no parameter servers: start it on workers only",
    "evaluator": "pretrain evaluates in the run (--eval-records): start no evaluator",
    "master": "it is another name of chief, and there is a chief: remove one of them",
}
"""Other jobs that TensorFlow has, each with what to do instead."""


def cluster() -> tuple[int, int]:
    """Return the number of workers and this worker's number, (1, 0) without TF_CONFIG.

    TensorFlow reads TF_CONFIG too, and accepts neither a `master` nor an evaluator that does not train. The variable is
    therefore set to the form that `parse` accepts.

    Raises:
        TrainerError: several workers cannot start from TF_CONFIG.
    """
    config = os.environ.get("TF_CONFIG", "")
    if not config.strip():
        return 1, 0
    found = parse(config)
    jobs, task = _read(config)
    if found[0] > 1 and jobs != json.loads(config)["cluster"]:
        os.environ["TF_CONFIG"] = json.dumps({"cluster": jobs, "task": task})
    return found


def parse(config: str) -> tuple[int, int]:
    """Return the number of workers and this worker's number from the text of TF_CONFIG.

    A chief, or `master`, is worker 0, and the workers follow. Jobs without machines are ignored, and so is an evaluator
    unless it is this task.

    Raises:
        TrainerError: it is not such an object, it has jobs that do not train, or its task is not in the cluster.
    """
    jobs, task = _read(config)
    for job in jobs:
        if job not in JOBS:
            known = OTHERS.get(job, f"it must have the jobs {' and '.join(JOBS)} only")
            raise TrainerError(f"TF_CONFIG has the job {job!r}: {known}; it is {config!r:.200}")
    if len(jobs.get("chief", [])) > 1:
        raise TrainerError(f"TF_CONFIG must have one chief, got {len(jobs['chief'])}; it is {config!r:.200}")
    workers = sum(map(len, jobs.values()))
    if workers == 0:
        return 1, 0
    if workers == 1 and not task:
        return 1, 0
    kind, index = task.get("type"), task.get("index", 0)
    if not isinstance(kind, str) or kind not in jobs:
        raise TrainerError(
            f"TF_CONFIG's task must be of type {' or '.join(jobs)}, got {kind!r:.80}; it is {config!r:.200}"
        )
    if isinstance(index, str) and index.isdecimal() and len(index) < 20:
        index = int(index)
    if type(index) is not int or not 0 <= index < len(jobs[kind]):
        raise TrainerError(
            f"the index of TF_CONFIG's task must be below its {len(jobs[kind])} machines of type {kind}, got "
            f"{index!r:.80}"
        )
    return workers, index if kind == "chief" else index + len(jobs.get("chief", []))


def _read(config: str) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Return the jobs that have machines, and this task, by TensorFlow 2's names."""
    try:
        content = json.loads(config)
        named, task = content.get("cluster") or {}, content.get("task") or {}
        jobs = {job: addresses for job, addresses in named.items() if addresses}
    except (ValueError, AttributeError, RecursionError):
        raise TrainerError(f"{RULE}; it is {config!r:.200}") from None
    if not isinstance(task, dict) or not all(isinstance(addresses, list) for addresses in jobs.values()):
        raise TrainerError(f"{RULE}; it is {config!r:.200}")
    if "chief" not in jobs:
        jobs = {"chief" if job == "master" else job: addresses for job, addresses in jobs.items()}
        task = {**task, "type": "chief"} if task.get("type") == "master" else task
    if task.get("type") != "evaluator":
        jobs.pop("evaluator", None)
    return jobs, task
