"""`albert-fast ray pretrain`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from albert_fast._signals import ending_at_ctrl_c
from albert_fast.cli.build import resolved
from albert_fast.cli.common import info, interruptible
from albert_fast.cli.tasked import context_of
from albert_fast.cluster import ray as cluster
from albert_fast.cluster import ray_training
from albert_fast.errors import option_error
from albert_fast.options import Pretrain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albert_fast.options import Ray


def pretrain(options: Ray, words: Sequence[str], own: Sequence[str]) -> None:
    """Runs `pretrain` on several workers.

    Args:
        options: the options of `ray`.
        words: the arguments and options of `pretrain`.
        own: the flags of `ray`.

    Raises:
        UsageError, AlbertFastError: an option breaks its rule; a worker has failed, or was lost too often.
        Stopped: a signal ended it.
    """
    context = context_of("pretrain", words, own)
    chosen = resolved(Pretrain, context, dict(context.params))
    if chosen.batch_size % options.num_workers:
        rule = f"a multiple of `num_workers` ({options.num_workers})"
        raise option_error("batch_size", rule, chosen.batch_size)
    with ending_at_ctrl_c():
        cluster.library()
    with interruptible("what was saved is kept: run the same command again to resume"):
        ray_training.train(
            ["pretrain", *words],
            # An attempt that was lost must not remove what it has saved.
            ["pretrain", *words, "--no-overwrite"],
            str(Path.cwd()),
            num_workers=options.num_workers,
            cpus=options.cpus_per_worker,
            gpus=options.gpus_per_worker,
            max_failures=options.max_failures,
            address=options.address,
            autoscaling=options.autoscaling,
            show=lambda line: print(line, file=sys.stderr, flush=True),
            say=info,
        )
