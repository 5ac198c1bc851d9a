"""Batches as a `tf.data.Dataset`. Install TensorFlow separately (`pip install tensorflow`).

Example:
    >>> import albert_fast.tf
    >>> from albert_fast import InstanceStream
    >>> def first_batch(store, step):  # to resume, pass the number of steps done
    ...     dataset = albert_fast.tf.dataset(InstanceStream(store, batch_size=32), start=step)
    ...     return next(iter(dataset))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from albert_fast import BatchSource, _checks

try:
    import tensorflow as tf
except ImportError as error:
    msg = f"albert_fast.tf needs TensorFlow (pip install tensorflow): {error}"
    raise ImportError(msg) from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from albert_fast import Batch

__all__ = ["dataset", "element_spec"]


def element_spec(source: BatchSource) -> dict[str, Any]:
    """Returns the `tf.TensorSpec` of each array in a batch of `source`, by name. All dimensions are known."""
    rows, tokens, predictions = source.batch_size, source.max_seq_length, source.max_predictions
    shapes = {
        "input_ids": (rows, tokens),
        "input_mask": (rows, tokens),
        "segment_ids": (rows, tokens),
        **({"token_boundary": (rows, tokens)} if source.has_token_boundary else {}),
        "masked_lm_positions": (rows, predictions),
        "masked_lm_ids": (rows, predictions),
        "masked_lm_weights": (rows, predictions),
        "next_sentence_labels": (rows, 1),
    }
    return {
        name: tf.TensorSpec(shape, tf.float32 if name == "masked_lm_weights" else tf.int32, name)
        for name, shape in shapes.items()
    }


def dataset(
    source: BatchSource, *, start: int = 0, stop: int | None = None, step: int = 1, prefetch: int = 4
) -> tf.data.Dataset:
    """Returns batches `start`, `start + step`, ... below `stop`, made ahead while the model computes.

    Each iteration begins at `start` again and has its own threads. The order is always the same. A trainer that resumes
    passes the number of batches that it has used as `start`. The batches before `start` are not made.

    Args:
        source: an `InstanceStream` or a `RecordReader`.
        start: the first batch.
        stop: the batch to end before. None: never end.
        step: the distance between batches.
        prefetch: the maximum number of finished batches that wait, from 1 to 65536. One more waits in TensorFlow.

    Returns:
        Dictionaries with the names of `albert_fast.Batch`, int32 (`masked_lm_weights`: float32) with static shapes
        [B, S], [B, P] and, for `next_sentence_labels`, [B, 1].

    Raises:
        AlbertFastError: `source` is invalid, or a number is outside its range. What fails while iterating, such as a
            disk, raises `tf.errors.InvalidArgumentError` with the same text, as TensorFlow does for any ValueError.

    Example:
        Under a `tf.distribute` strategy, `batch_size` is that of one replica. Each worker has one input pipeline, which
        takes its shard. Every replica takes one batch per step:

        >>> def distributed(strategy, source, steps_done=0):
        ...     def pipeline(context):
        ...         replicas = context.num_replicas_in_sync // context.num_input_pipelines
        ...         shard = source.shard(context.input_pipeline_id, context.num_input_pipelines)
        ...         return albert_fast.tf.dataset(shard, start=steps_done * replicas)
        ...
        ...     return strategy.distribute_datasets_from_function(pipeline)

        `strategy.experimental_distribute_dataset` and Keras' `fit` divide the rows of the whole source themselves.
        `batch_size` is then that of all replicas. If each worker has its own shard, all rows of it stay with the
        worker: the `auto_shard_policy` of the dataset is OFF.
    """
    _checks.instance("source", source, BatchSource, "an InstanceStream or a RecordReader")
    start = _checks.integer("start", start, 0)
    stop = None if stop is None else _checks.integer("stop", stop, 0)
    step = _checks.integer("step", step, 1)
    prefetch = _checks.integer("prefetch", prefetch, 1, 2**16)

    def batches() -> Iterator[Batch]:
        return source.batches(start, stop, step, prefetch=prefetch)

    found = tf.data.Dataset.from_generator(batches, output_signature=element_spec(source))
    if any(count > 1 for _, count in source.shards):
        # Otherwise experimental_distribute_dataset, and Keras' fit, would only read a part of the shard in each worker.
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        found = found.with_options(options)
    count = tf.data.INFINITE_CARDINALITY if stop is None else len(range(start, stop, step))
    # The batch that waits in TensorFlow is copied and converted outside the training step.
    return found.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1)
