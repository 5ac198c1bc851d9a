"""`albert_fast.torch.dataset`: a source's batches in a DataLoader."""

from __future__ import annotations

import itertools
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from adapters import docstring_names, equal, framework, make_source

from albert_fast import AlbertFastError, InstanceStream, tokenize

if TYPE_CHECKING:
    from pathlib import Path

    from albert_fast import Batch

pytestmark = [
    pytest.mark.torch,
    # Said of three workers on two processors.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture(scope="module")
def adapter() -> Any:
    return framework("albert_fast.torch", "torch")


@pytest.fixture(scope="module")
def loader(adapter: Any) -> Any:
    from torch.utils.data import DataLoader

    def make(dataset: Any, workers: int = 0, method: str | None = None, **options: Any) -> Any:
        context = method if workers else None
        return DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=context, **options)

    return make


@pytest.fixture(scope="module")
def source(adapter: Any, model: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> InstanceStream:
    return make_source(model, corpus, tmp_path_factory.mktemp("torch"))


def as_huggingface(batch: Batch) -> dict[str, Any]:
    """The slow way to the names of transformers' models."""
    labels = np.full_like(batch["input_ids"], -100, dtype=np.int64)
    for row, position, id_, weight in zip(
        itertools.count(), batch["masked_lm_positions"], batch["masked_lm_ids"], batch["masked_lm_weights"]
    ):
        for column in range(len(position)):
            if weight[column] == 1.0:
                labels[row, position[column]] = id_[column]
    return {
        "input_ids": batch["input_ids"].astype(np.int64),
        "attention_mask": batch["input_mask"].astype(np.int64),
        "token_type_ids": batch["segment_ids"].astype(np.int64),
        "labels": labels,
        "sentence_order_label": batch["next_sentence_labels"].reshape(-1).astype(np.int64),
    }


@pytest.mark.parametrize("permutation", [False, True])
def test_names_and_types(permutation: bool, adapter: Any, source: InstanceStream) -> None:
    source = InstanceStream(source.store, 8, 64, do_permutation=permutation)
    numbers = range(5)
    for k, batch in zip(numbers, adapter.dataset(source, stop=5), strict=True):
        expected = as_huggingface(source.batch(k))
        assert equal(batch, expected)
        assert list(batch) == list(expected)
        hidden = batch["labels"] != adapter.IGNORED
        assert int(hidden.sum()) == int(source.batch(k)["masked_lm_weights"].sum()) > 0
        assert not hidden[batch["attention_mask"] == 0].any()
    for k, batch in zip(numbers, adapter.dataset(source, stop=5, form="albert"), strict=True):
        assert equal(batch, source.batch(k))


def test_arrays_are_not_copied(adapter: Any, source: InstanceStream, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = source.batch(0)
    one = source.shard(0, 1)
    monkeypatch.setattr(one, "batches", lambda *arguments, **options: iter([kept]))
    (batch,) = adapter.dataset(one, form="albert")
    for name, tensor in batch.items():
        assert tensor.data_ptr() == kept[name].ctypes.data  # type: ignore[literal-required]


CASES = [(workers, method) for workers in (1, 2, 3) for method in ("fork", "spawn")]


@pytest.mark.parametrize(("workers", "method"), [(0, "none"), *CASES])
def test_any_number_of_workers_gives_the_same(
    workers: int, method: str, adapter: Any, loader: Any, source: InstanceStream
) -> None:
    dataset = adapter.dataset(source, start=2, stop=21, step=2)
    found = loader(dataset, workers, method, timeout=60 if workers else 0)
    assert len(found) == len(dataset) == 10
    batches = list(found)
    assert len(batches) == 10
    for k, batch in zip(range(2, 21, 2), batches, strict=True):
        assert equal(batch, as_huggingface(source.batch(k)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_a_mixture(
    method: str, adapter: Any, loader: Any, source: InstanceStream, corpus: Path, tmp_path: Path
) -> None:
    text = corpus.with_name("part-b.txt")
    tokenize([text], tmp_path / "other", source.store.tokenizer())
    mixed = InstanceStream({source.store: 0.7, tmp_path / "other": 0.3}, 10, 32, seed=5)
    found = list(loader(adapter.dataset(mixed, stop=12, form="albert"), 2, method, timeout=60))
    assert len(found) == 12
    assert all(equal(batch, mixed.batch(k)) for k, batch in enumerate(found))
    assert [abs(count - wanted) < 1 for count, wanted in zip(mixed.drawn(12), (84, 36), strict=True)] == [True, True]


def test_fewer_batches_than_workers(adapter: Any, loader: Any, source: InstanceStream) -> None:
    (batch,) = loader(adapter.dataset(source, start=6, stop=7), 3, "fork")
    assert equal(batch, as_huggingface(source.batch(6)))
    assert list(loader(adapter.dataset(source, stop=0), 2, "fork")) == []


def test_without_end_and_again_from_start(adapter: Any, loader: Any, source: InstanceStream) -> None:
    endless = adapter.dataset(source, start=3, form="albert")
    with pytest.raises(TypeError, match="a dataset without end has no len"):
        len(endless)
    workers = loader(endless, 2, "fork", persistent_workers=True)
    for _ in range(2):
        taken = list(itertools.islice(workers, source.steps_per_epoch + 2))
        assert all(equal(batch, source.batch(k)) for k, batch in enumerate(taken, 3))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_shards(method: str, adapter: Any, loader: Any, source: InstanceStream) -> None:
    for index in range(2):
        shard = source.shard(index, 2)
        batches = list(loader(adapter.dataset(shard, stop=4, form="albert"), 2, method))
        assert all(equal(batch, shard.batch(k)) for k, batch in enumerate(batches))
        whole = InstanceStream(source.store, 8, 32, seed=5)
        for k, batch in enumerate(batches):
            assert np.array_equal(batch["input_ids"], whole.batch(k)["input_ids"][index::2])


def test_threads_in_workers(adapter: Any, source: InstanceStream, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def batches(*arguments: Any, **options: Any) -> Any:
        asked.append((arguments, options["num_threads"]))
        return iter(())

    class Worker:
        id, num_workers = 1, 3

    own = source.shard(0, 1)
    own.num_threads = 2
    for one in (source.shard(0, 1), own):
        monkeypatch.setattr(one, "batches", batches)
        for worker in (None, Worker):
            monkeypatch.setattr(adapter, "get_worker_info", lambda worker=worker: worker)
            list(adapter.dataset(one, start=4, step=5))
    alone, shared = (4, None, 5), (9, None, 15)
    assert asked == [(alone, None), (shared, 1), (alone, 2), (shared, 2)]


def test_datasets_pickle(adapter: Any, source: InstanceStream) -> None:
    dataset = adapter.dataset(source.shard(1, 2), start=1, stop=4, form="albert")
    again = pickle.loads(pickle.dumps(dataset))
    assert len(again) == 3
    assert all(equal(one, other) for one, other in zip(dataset, again, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, "start must be a whole number from 0"),
        ({"stop": "5"}, "stop must be a whole number from 0"),
        ({"step": 0}, "step must be a whole number from 1"),
        ({"prefetch": 0}, "prefetch must be a whole number from 1"),
        ({"form": "keras"}, "form must be one of huggingface, albert, got 'keras'"),
    ],
)
def test_options_are_checked_at_once(
    options: dict[str, Any], message: str, adapter: Any, source: InstanceStream
) -> None:
    with pytest.raises(AlbertFastError, match=message):
        adapter.dataset(source, **options)


@pytest.mark.parametrize("given", [5, "x", None])
def test_the_source_is_checked(given: Any, adapter: Any) -> None:
    with pytest.raises(AlbertFastError, match=f"source must be an InstanceStream or a RecordReader, got {given!r}"):
        adapter.dataset(given)


def test_the_docstrings_examples_run(adapter: Any, source: InstanceStream, monkeypatch: pytest.MonkeyPatch) -> None:
    names = docstring_names(adapter)
    first = next(iter(names["loader"](source.store, 3)))
    assert equal(first, as_huggingface(InstanceStream(source.store, batch_size=32).batch(3)))
    # Rank 1 of 2.
    monkeypatch.setattr(adapter.torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(adapter.torch.distributed, "get_world_size", lambda: 2)
    first = next(iter(names["shard_loader"](source, 4)))
    assert equal(first, as_huggingface(source.shard(1, 2).batch(4)))


def test_a_transformers_model_takes_them(adapter: Any, loader: Any, source: InstanceStream) -> None:
    transformers = framework("transformers", "transformers")
    config = transformers.AlbertConfig(
        vocab_size=source.store.vocab_size,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    model = transformers.AlbertForPreTraining(config)
    for batch in loader(adapter.dataset(source, stop=2)):
        output = model(**batch)
        assert np.isfinite(output.loss.item())
        expected = as_huggingface(source.batch(0))
        assert output.prediction_logits.shape == (*expected["input_ids"].shape, source.store.vocab_size)
