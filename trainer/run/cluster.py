"""The machines of a run, from TF_CONFIG, as in tf.distribute. Nothing here imports TensorFlow."""

from __future__ import annotations

import json
import os
from typing import Any

from trainer.errors import TrainerError

RULE = 'like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'

JOBS = ("chief", "worker")
"""Jobs that train, in the order of the workers' numbers. A chief is worker 0, as in MultiWorkerMirroredStrategy."""

OTHERS = {
    "ps": "pretrain has no parameter servers; start it on workers only",
    "evaluator": "pretrain evaluates `eval_records` itself; start no evaluator",
    "master": "it means chief, and there is a chief; remove one of them",
}
"""Other jobs that TensorFlow has, each with what to do instead."""


def _error(message: str, rule: str, value: object) -> TrainerError:
    return TrainerError(message, kind="option", option="TF_CONFIG", rule=rule, value=value)


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


def address() -> str:
    """Return the address of worker 0, "HOST:PORT"; "" without TF_CONFIG."""
    config = os.environ.get("TF_CONFIG", "")
    jobs = _read(config)[0] if config.strip() else {}
    return str((jobs.get("chief") or jobs.get("worker") or [""])[0])


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
            rule = f"have no jobs but {' and '.join(JOBS)}"
            advice = f": {OTHERS[job]}" if job in OTHERS else ""
            raise _error(f"TF_CONFIG must {rule}, got {job!r:.80}{advice}", rule, job)
    if len(jobs.get("chief", [])) > 1:
        raise _error(f"TF_CONFIG must have one chief, got {len(jobs['chief'])}", "have one chief", jobs["chief"])
    workers = sum(map(len, jobs.values()))
    if workers == 0:
        return 1, 0
    if workers == 1 and not task:
        return 1, 0
    kind, index = task.get("type"), task.get("index", 0)
    if not isinstance(kind, str) or kind not in jobs:
        rule = f"of type {' or '.join(jobs)}"
        raise _error(f"the task in TF_CONFIG must be {rule}, got {kind!r:.80}", rule, kind)
    if isinstance(index, str) and index.isdecimal() and len(index) < 20:
        index = int(index)
    if type(index) is not int or not 0 <= index < len(jobs[kind]):
        rule = f"a whole number below {len(jobs[kind])}, the number of machines of type {kind}"
        raise _error(f"the index of the task in TF_CONFIG must be {rule}, got {index!r:.80}", rule, index)
    return workers, index if kind == "chief" else index + len(jobs.get("chief", []))


def _read(config: str) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Return the jobs that have machines, and this task, by TensorFlow 2's names."""
    try:
        content = json.loads(config)
        named, task = content.get("cluster") or {}, content.get("task") or {}
        jobs = {job: addresses for job, addresses in named.items() if addresses}
    except (ValueError, AttributeError, RecursionError):
        raise _error(f"TF_CONFIG must be {RULE}, got {config!r:.200}", RULE, config) from None
    if not isinstance(task, dict) or not all(isinstance(addresses, list) for addresses in jobs.values()):
        raise _error(f"TF_CONFIG must be {RULE}, got {config!r:.200}", RULE, config)
    if "chief" not in jobs:
        jobs = {"chief" if job == "master" else job: addresses for job, addresses in jobs.items()}
        task = {**task, "type": "chief"} if task.get("type") == "master" else task
    if task.get("type") != "evaluator":
        jobs.pop("evaluator", None)
    return jobs, task
