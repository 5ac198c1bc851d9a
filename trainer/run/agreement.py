"""What the workers of a run must have in common, and what they decide together before TensorFlow starts.

If each decided by itself, workers with other devices would compute in another precision or with other micro-batches.
Nothing here imports TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from albert_fast import __version__
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trainer.options import Options
    from trainer.run.data import Data

OWN = frozenset({"max_hours", "keep_checkpoint_max", "peak_tflops"})
"""Options that may differ between workers."""


def of_run(
    options: Options, more: Mapping[str, Any], model: Mapping[str, Any], training: Data, held_out: Data | None
) -> dict[str, Any]:
    """Return the facts of a worker that do not depend on its devices, as JSON represents them.

    Args:
        options: the options of training.
        more: other options of the command that all workers must have.
        model: the model's configuration.
        training: the data to train on.
        held_out: the held-out set.
    """
    given = {name: value for name, value in options.as_dict().items() if name not in OWN}
    return {
        "albert_fast": __version__,
        "options": {**given, **more},
        "model": dict(model),
        "data": training.identity,
        "held_out": None if held_out is None else held_out.identity,
    }


def decide(all_facts: Sequence[Mapping[str, Any]], say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Return what the workers decide from the facts of each, in their order.

    Args:
        all_facts: what `of_run` returns and, of the devices, `tensorflow` (the version), `kind` ("GPU" or "CPU"),
            `name`, `devices` (their number), `bf16`, and `memory_bytes` of one (or None).
        say: called with a line for the user.

    Returns:
        `bf16`, whether it is fast on all devices, and `memory_bytes`, the memory of the smallest.

    Raises:
        TrainerError: workers differ in what must be the same.
    """
    first = all_facts[0]
    for worker, facts in enumerate(all_facts[1:], 1):
        for name, label in (("albert_fast", "albert-fast"), ("tensorflow", "TensorFlow")):
            if facts[name] != first[name]:
                message = f"worker {worker} has {label} {facts[name]}, and worker 0 has {first[name]}"
                raise TrainerError(f"{message}; install the same version on all machines")
        _check_options(worker, facts["options"], first["options"])
        for name, label, fix in (
            ("model", "another model", "pass the same `model`"),
            ("data", "other training data", "pass the same `tokens` or `records`"),
            ("held_out", "another held-out set", "pass the same `eval_records`"),
        ):
            if facts[name] != first[name]:
                raise TrainerError(f"worker {worker} has {label} than worker 0; {fix} to all workers")
        if (facts["kind"], facts["devices"]) != (first["kind"], first["devices"]):
            raise TrainerError(
                f"worker {worker} has {_devices(facts)}, and worker 0 has {_devices(first)}; all workers must have as "
                "many devices of one kind (CUDA_VISIBLE_DEVICES hides GPUs)"
            )
    known = {worker: facts["memory_bytes"] for worker, facts in enumerate(all_facts) if facts["memory_bytes"]}
    smallest = min(known, key=lambda worker: (known[worker], worker), default=None)
    bf16 = all(facts["bf16"] for facts in all_facts)
    if first["bf16"] != bf16 or any(facts["bf16"] != bf16 for facts in all_facts):
        slow = next(worker for worker, facts in enumerate(all_facts) if not facts["bf16"])
        say(f"bfloat16 is slow on {all_facts[slow]['name']} of worker {slow}, so `precision` is float32 by default")
    return {"bf16": bf16, "memory_bytes": None if smallest is None else known[smallest]}


def _check_options(worker: int, options: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    if options.get("init_checkpoint") != first.get("init_checkpoint"):
        has, lacks = (worker, 0) if options.get("init_checkpoint") else (0, worker)
        raise TrainerError(
            f"worker {has} starts from `init_checkpoint`, and worker {lacks} does not; start all workers with the same "
            "options",
            option="init_checkpoint",
        )
    for name, value in first.items():
        if options.get(name) != value:
            here, there = f"{name}={_shown(options.get(name))}", f"{name}={_shown(value)}"
            raise TrainerError(
                f"worker {worker} has {here}, and worker 0 has {there}; start all workers with the same options",
                option=name,
                value=options.get(name),
            )


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _devices(facts: Mapping[str, Any]) -> str:
    return f"{facts['devices']} x {facts['name']} ({facts['kind']})"
