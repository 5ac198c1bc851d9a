"""What all workers of a run do together before the first step."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import tensorflow as tf

from trainer.errors import TrainerError
from trainer.run.aside import aside
from trainer.run.loop import device_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.run.hardware import Hardware


def check_same_start(hardware: Hardware, start: int, variables: Mapping[str, tf.Variable]) -> None:
    """Raise a TrainerError if workers would start from different steps, or from different values of the variables."""
    if hardware.workers == 1:
        return
    found = 0
    for variable in variables.values():
        found = zlib.crc32(variable.numpy().tobytes(), found)
    # 24 bits, so that their square is exact.
    digest = found >> 8
    total, squares, digests, their_squares = sums(hardware, start, start * start, digest, digest * digest)
    if _are_equal(total, squares, hardware.replicas):
        if not _are_equal(digests, their_squares, hardware.replicas):
            raise TrainerError(
                "the workers start from different weights; pass the same files as `init_checkpoint` to all workers",
                kind="option",
                option="init_checkpoint",
            )
    else:
        raise TrainerError(
            f"`output_dir` must be a directory that all workers share: worker {hardware.worker} starts from step "
            f"{start:,}, and another one does not",
            kind="option",
            option="output_dir",
        )


def _are_equal(total: float, squares: float, count: int) -> bool:
    """Tell whether so many numbers with this sum and this sum of squares are all the same."""
    return abs(squares * count - total * total) <= 1e-9 * total * total


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
