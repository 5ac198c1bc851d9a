"""`albert_fast.tf`: a source's batches as a tf.data.Dataset."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from adapters import docstring_names, equal, framework, make_source

from albert_fast import AlbertFastError, BatchSource, InstanceStream, RecordReader

if TYPE_CHECKING:
    from conftest import Command

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def adapter() -> Any:
    return framework("albert_fast.tf", "tensorflow")


@pytest.fixture(scope="module")
def tf(adapter: Any) -> Any:
    return adapter.tf


@pytest.fixture(scope="module")
def source(adapter: Any, model: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> InstanceStream:
    return make_source(model, corpus, tmp_path_factory.mktemp("tf"))


def assert_batches(dataset: Any, source: BatchSource, numbers: range) -> None:
    taken = list(itertools.islice(iter(dataset), len(numbers)))
    assert len(taken) == len(numbers)
    assert all(equal(element, source.batch(k)) for k, element in zip(numbers, taken, strict=True))


def test_batches_are_the_sources(adapter: Any, source: InstanceStream) -> None:
    assert_batches(adapter.dataset(source), source, range(2 * source.steps_per_epoch + 3))


@pytest.mark.parametrize(("start", "stop", "step"), [(7, None, 1), (3, 12, 2), (2, 3, 5), (5, 5, 1), (9, 4, 1)])
def test_any_part_of_the_sequence(
    start: int, stop: int | None, step: int, adapter: Any, source: InstanceStream, tf: Any
) -> None:
    dataset = adapter.dataset(source, start=start, stop=stop, step=step)
    if stop is None:
        assert int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY
        assert_batches(dataset, source, range(start, start + 4 * step, step))
    else:
        assert_batches(dataset, source, range(start, stop, step))
        assert len(dataset) == len(list(dataset)) == len(range(start, stop, step))


def test_every_iteration_begins_at_start(adapter: Any, source: InstanceStream) -> None:
    dataset = adapter.dataset(source, start=4)
    next(iter(dataset))
    assert_batches(dataset, source, range(4, 8))
    assert_batches(dataset.skip(2).take(1), source, range(6, 7))


@pytest.mark.parametrize("permutation", [False, True])
def test_shapes_are_static(permutation: bool, adapter: Any, source: InstanceStream, tf: Any) -> None:
    source = InstanceStream(source.store, 3, 48, max_predictions_per_seq=5, do_permutation=permutation)
    dataset = adapter.dataset(source)
    width = {"masked": 10 if permutation else 5, "next": 1}
    spec = dataset.element_spec
    assert spec == adapter.element_spec(source)
    for name, array in source.batch(0).items():
        assert isinstance(array, np.ndarray)
        assert spec[name].shape.as_list() == [3, width.get(name.split("_")[0], 48)] == list(array.shape)
        assert spec[name].dtype == tf.as_dtype(array.dtype)

    traces = []

    @tf.function  # type: ignore[untyped-decorator, unused-ignore]  # TensorFlow may be missing, or have no types
    def shape_of(batch: dict[str, Any]) -> Any:
        traces.append(batch["input_ids"].shape.as_list())
        return tf.shape(batch["input_ids"])

    for batch in dataset.take(3):
        shape_of(batch)
    assert traces == [[3, 48]]


def test_shards_of_a_strategy(adapter: Any, source: InstanceStream, tf: Any) -> None:
    # One process has one input pipeline; that two of them share the data is seen on contexts of their own.
    def pipeline(context: Any) -> Any:
        return adapter.dataset(source.shard(context.input_pipeline_id, context.num_input_pipelines), start=1)

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    distributed = strategy.distribute_datasets_from_function(pipeline)
    batches = list(itertools.islice(iter(distributed), 2))
    assert all(equal(batch, source.batch(k)) for k, batch in enumerate(batches, 1))
    for index in range(2):
        context = tf.distribute.InputContext(2, index, 2)
        assert_batches(pipeline(context), source.shard(index, 2), range(1, 3))


@pytest.mark.parametrize("sharded", [False, True])
def test_a_shard_is_not_sharded_again(sharded: bool, adapter: Any, source: InstanceStream, tf: Any) -> None:
    # What experimental_distribute_dataset and Keras' fit do in each of two workers of one replica.
    from tensorflow.python.distribute.input_ops import auto_shard_dataset

    found: Counter[bytes] = Counter()
    for index in range(2):
        own = source.shard(index, 2) if sharded else source
        parts = adapter.dataset(own, stop=5).rebatch([2, 2])
        steps = list(auto_shard_dataset(parts, 2, index, 2))
        assert len(steps) == (10 if sharded else 5)
        found.update(row.tobytes() for batch in steps for row in batch["input_ids"].numpy())
    whole = [source.shard(index, 2) for index in range(2)] if sharded else [source]
    expected = Counter(row.tobytes() for one in whole for k in range(5) for row in one.batch(k)["input_ids"])
    assert found == expected


RESUMED = """
import pickle, sys
import tensorflow as tf
import albert_fast.tf
from adapters import docstring_names, equal

# Before anything else: devices are made once in a process.
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2

source = pickle.load(sys.stdin.buffer)
distributed = docstring_names(albert_fast.tf)["distributed"]
for steps_done in (0, 3):
    steps = iter(distributed(strategy, source, steps_done))
    for step in range(steps_done, 5):
        batch = next(steps)
        for replica in range(2):
            own = {name: strategy.experimental_local_results(values)[replica] for name, values in batch.items()}
            assert equal(own, source.batch(2 * step + replica)), (steps_done, step, replica)
print("resumed")
"""


def test_a_strategy_of_two_replicas_goes_on(source: InstanceStream) -> None:
    # In a process of its own, as the number of devices is set before TensorFlow's first use.
    done = subprocess.run(
        [sys.executable, "-c", RESUMED],
        input=pickle.dumps(source),
        capture_output=True,
        cwd=Path(__file__).parents[1] / "helpers",
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == [b"resumed"], done.stderr.decode()[-2000:]


def test_the_docstrings_examples_run(adapter: Any, source: InstanceStream) -> None:
    first = docstring_names(adapter)["first_batch"](source.store, 3)
    assert equal(first, InstanceStream(source.store, batch_size=32).batch(3))


@pytest.mark.parametrize("given", [5, "x", None])
def test_the_source_is_checked(given: Any, adapter: Any) -> None:
    with pytest.raises(AlbertFastError, match=f"source must be an InstanceStream or a RecordReader, got {given!r}"):
        adapter.dataset(given)


def test_datasets_transform(adapter: Any, source: InstanceStream, tf: Any) -> None:
    taken = adapter.dataset(source, stop=6).map(lambda batch: (batch["input_mask"], batch["next_sentence_labels"]))
    total = taken.reduce(np.int64(0), lambda total, pair: total + tf.reduce_sum(tf.cast(pair[0], tf.int64)))
    assert int(total) == sum(int(source.batch(k)["input_mask"].sum()) for k in range(6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, "start must be a whole number from 0"),
        ({"stop": 1.5}, "stop must be a whole number from 0"),
        ({"step": 0}, "step must be a whole number from 1"),
        ({"prefetch": 0}, "prefetch must be a whole number from 1"),
    ],
)
def test_numbers_are_checked_at_once(
    options: dict[str, Any], message: str, adapter: Any, source: InstanceStream
) -> None:
    with pytest.raises(AlbertFastError, match=message):
        adapter.dataset(source, **options)


def test_an_error_keeps_its_text(
    adapter: Any, source: InstanceStream, tf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any, **options: Any) -> Any:
        yield source.batch(0)
        raise AlbertFastError("records.tfrecord: record 7 is damaged")

    broken = source.shard(0, 1)
    monkeypatch.setattr(broken, "batches", failing)
    elements = iter(adapter.dataset(broken))
    assert equal(next(elements), source.batch(0))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"records\.tfrecord: record 7 is damaged"):
        next(elements)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_tensorflow_reads_our_records_as_we_do(
    compression: str, tf: Any, command: Command, model: Path, corpus: Path, tmp_path: Path
) -> None:
    options = ["--max-seq-length", 64, "--num-shards", 2, "--compression", compression]
    assert command("make-records", corpus, "--tokenizer", model, "--output-dir", "records", *options).code == 0
    reader = RecordReader("records", 10, shuffle=False)
    spec = {
        name: tf.io.FixedLenFeature([size], tf.float32 if name == "masked_lm_weights" else tf.int64)
        for name, size in {
            **dict.fromkeys(("input_ids", "input_mask", "segment_ids", "token_boundary"), 64),
            **dict.fromkeys(("masked_lm_positions", "masked_lm_ids", "masked_lm_weights"), 20),
            "next_sentence_labels": 1,
        }.items()
    }
    records = tf.data.TFRecordDataset(reader.files, "GZIP" if compression == "gzip" else "")
    seen = 0
    for k, batch in enumerate(records.batch(10, drop_remainder=True)):
        parsed = tf.io.parse_example(batch, spec)
        theirs = {name: tf.cast(value, reader.batch(k)[name].dtype) for name, value in parsed.items()}  # type: ignore[literal-required]
        assert equal(theirs, reader.batch(k))
        seen += 10
    assert len(reader) - 10 < seen <= len(reader)
