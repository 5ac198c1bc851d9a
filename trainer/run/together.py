"""What all workers of a run do together before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from trainer.errors import TrainerError
from trainer.run.aside import aside
from trainer.run.loop import device_errors

if TYPE_CHECKING:
    from trainer.run.hardware import Hardware


def check_same_step(hardware: Hardware, start: int) -> None:
    """Raise a TrainerError if workers would start from different steps."""
    if hardware.workers == 1:
        return

    total, squares = sums(hardware, start, start * start)
    if round(squares * hardware.replicas) != round(total * total):
        raise TrainerError(
            f"`output_dir` must be a directory that all workers share: worker {hardware.worker} starts from step "
            f"{start:,}, and another one does not",
            kind="option",
            option="output_dir",
        )


def sums(hardware: Hardware, *values: float) -> list[float]:
    """Return the sums of values over all replicas of all workers. It waits for all workers."""

    def spread() -> tf.Tensor:
        return tf.distribute.get_replica_context().all_reduce("sum", tf.constant(values, tf.float64))

    # If another worker refuses to start, it prints the reason itself. Here, only its loss is seen.
    with device_errors("before the first step", hardware, "with only the model in memory"):
        # Aside, so that Ctrl-C works while the other workers are waited for.
        [found] = aside([lambda: hardware.strategy.run(tf.function(spread, autograph=False))])
        totals: list[float] = hardware.strategy.experimental_local_results(found)[0].numpy().tolist()
    return totals
