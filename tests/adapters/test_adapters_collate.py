"""`albert_fast.torch.collate`: batches of a source, joined or passed on, in a DataLoader and in a Trainer."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from adapters import equal, framework, make_source

from albert_fast import AlbertFastError, InstanceStream

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def adapter() -> Any:
    return framework("albert_fast.torch", "torch")


@pytest.fixture(scope="module")
def transformers(adapter: Any) -> Any:
    return framework("transformers", "transformers", "accelerate")


@pytest.fixture(scope="module")
def source(adapter: Any, model: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> InstanceStream:
    return make_source(model, corpus, tmp_path_factory.mktemp("collate"))


def joined(batches: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([np.asarray(batch[name]) for batch in batches]) for name in batches[0]}


@pytest.mark.parametrize("form", ["huggingface", "albert"])
def test_batches_are_joined(form: str, adapter: Any, source: InstanceStream) -> None:
    batches = list(adapter.dataset(source, stop=4, form=form))
    assert equal(pickle.loads(pickle.dumps(adapter.collate))(batches), joined(batches))
    single = adapter.collate(batches[:1])
    assert all(single[name] is tensor for name, tensor in batches[0].items())
    assert adapter.collate(iter(batches))["input_ids"].shape == (16, 32)


@pytest.mark.parametrize(
    ("items", "workers", "drop_last"),
    [
        (1, 0, False),
        (3, 0, False),
        (3, 1, False),
        (1, 2, False),
        (3, 2, False),
        (2, 3, True),
        (3, 2, True),
        (4, 2, True),
    ],
)
def test_in_a_data_loader(items: int, workers: int, drop_last: bool, adapter: Any, source: InstanceStream) -> None:
    """Workers change nothing: not what is joined, not the order, not what drop_last drops."""
    from torch.utils.data import DataLoader

    dataset = adapter.dataset(source, stop=8)
    found = list(
        DataLoader(dataset, batch_size=items, collate_fn=adapter.collate, num_workers=workers, drop_last=drop_last)
    )
    batches = list(dataset)
    kept = 8 // items * items if drop_last else 8
    expected = [joined(batches[start : min(start + items, kept)]) for start in range(0, kept, items)]
    assert len(found) == len(expected)
    assert all(map(equal, found, expected))


def test_datasets_around_a_dataset(adapter: Any, source: InstanceStream) -> None:
    from torch.utils.data import ChainDataset, DataLoader

    dataset = adapter.dataset(source, stop=8)
    found = list(DataLoader(ChainDataset([dataset]), batch_size=2, collate_fn=adapter.collate, num_workers=2))
    assert equal(joined(found), joined(list(dataset)))


def test_a_dataset_that_is_read_in_a_thread(adapter: Any, source: InstanceStream) -> None:
    """How many batches are joined cannot be seen from there."""
    from torch.utils.data import DataLoader, IterableDataset

    class Ahead(IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Any:
            batches = iter(adapter.dataset(source, stop=8))
            with ThreadPoolExecutor(1) as pool:
                while (batch := pool.submit(next, batches, None).result()) is not None:
                    yield batch

    (batches,) = (list(DataLoader(Ahead(), batch_size=None, num_workers=2)),)
    assert equal(joined(batches), joined(list(adapter.dataset(source, stop=8))))
    with pytest.raises(AlbertFastError, match="pass batch_size=None, or num_workers=1"):
        list(DataLoader(Ahead(), batch_size=2, collate_fn=adapter.collate, num_workers=2))


def test_a_loader_after_that_of_accelerate(adapter: Any, transformers: Any, source: InstanceStream) -> None:
    """Which has batches joined; the next one of the same dataset has none, or others."""
    from accelerate import Accelerator
    from torch.utils.data import DataLoader

    dataset = adapter.dataset(source, stop=8)
    batches = list(dataset)
    loader = DataLoader(dataset, batch_size=2, collate_fn=adapter.collate, num_workers=2)
    assert len(list(Accelerator(cpu=True).prepare(loader))) == 4
    assert all(map(equal, DataLoader(dataset, batch_size=None, num_workers=2), batches))
    three = DataLoader(dataset, batch_size=3, collate_fn=adapter.collate, num_workers=2)
    assert all(map(equal, three, [joined(batches[:3]), joined(batches[3:6]), joined(batches[6:])]))


def first(items: Any) -> Any:
    """A collator that drops all batches but one."""
    return items[0]


def last_half(items: Any) -> Any:
    """One that drops half of the rows."""
    return {name: tensor[len(tensor) // 2 :] for name, tensor in items[-1].items()}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("collator", "kept"), [(first, 4), (last_half, 2)])
def test_a_collator_that_drops_batches(
    collator: Any, kept: int, workers: int, adapter: Any, source: InstanceStream
) -> None:
    from torch.utils.data import DataLoader, default_collate

    dataset = adapter.dataset(source, stop=12)
    message = f"the data_collator (collate_fn) must keep all 12 rows of 3 batches, got {kept}; pass albert_fast.torch"
    with pytest.raises(AlbertFastError, match=re.escape(message)):
        list(DataLoader(dataset, batch_size=3, collate_fn=collator, num_workers=workers))
    # Of one batch it may make what it will, and stacked batches are all there.
    assert len(list(DataLoader(dataset, batch_size=1, collate_fn=collator, num_workers=workers))) == 12
    (stacked, *_) = DataLoader(dataset, batch_size=3, collate_fn=default_collate, num_workers=workers)
    assert stacked["input_ids"].shape == (3, 4, 32)


def test_what_is_no_batch(adapter: Any, source: InstanceStream) -> None:
    (batch,) = adapter.dataset(source, stop=1)
    wider = {name: tensor.repeat(1, 2) if tensor.ndim == 2 else tensor for name, tensor in batch.items()}
    fewer = {name: tensor for name, tensor in batch.items() if name != "labels"}
    row = {name: tensor[0] for name, tensor in batch.items()}
    for given, message in (
        ([], r"batches must be one or more batches of albert_fast.torch.dataset, got \[\]"),
        ([5], r"got \[5\]; use albert_fast.torch.Collator for rows of ids"),
        ([{"input_ids": [2, 5, 3]}], "use albert_fast.torch.Collator for rows of ids"),
        ([row], "use albert_fast.torch.Collator for rows of ids"),
        ([batch, wider], r"the same names and widths, got .* in batch 0 and .* in batch 1; pass batch_size=1"),
        ([batch, fewer], "the same names and widths"),
        ([5, {}], r"batches must have input_ids, got \[\]: .*pass TrainingArguments\(remove_unused_columns=False\)"),
    ):
        with pytest.raises(AlbertFastError, match=message) as raised:
            adapter.collate(given)
        assert "\n" not in str(raised.value)


def test_joining_streams_of_two_widths(adapter: Any, source: InstanceStream) -> None:
    narrow, wide = (next(iter(adapter.dataset(InstanceStream(source.store, 4, width)))) for width in (32, 64))
    with pytest.raises(AlbertFastError, match="per_device_train_batch_size and per_device_eval_batch_size"):
        adapter.collate([narrow, wide])


def trainer_of(adapter: Any, transformers: Any, directory: Path, seen: list[Any], **options: Any) -> Any:
    """A Trainer whose model keeps the rows that it has."""

    class Model(transformers.AlbertForPreTraining):  # type: ignore[misc]
        def forward(
            self,
            input_ids: Any = None,
            attention_mask: Any = None,
            token_type_ids: Any = None,
            labels: Any = None,
            sentence_order_label: Any = None,
        ) -> Any:
            seen.append(input_ids.numpy())
            return super().forward(
                input_ids=input_ids,
                attention_mask=attention_mask,
                token_type_ids=token_type_ids,
                labels=labels,
                sentence_order_label=sentence_order_label,
            )

    config = transformers.AlbertConfig(
        vocab_size=2000,
        embedding_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=32,
    )
    arguments = transformers.TrainingArguments(
        str(directory), report_to="none", save_strategy="no", disable_tqdm=True, use_cpu=True, **options
    )
    return transformers.Trainer(Model(config), arguments, data_collator=adapter.collate)


def rows_of(batches: list[Any]) -> Counter[bytes]:
    return Counter(row.astype(np.int64).tobytes() for batch in batches for row in batch)


@pytest.mark.parametrize(
    ("stop", "options"),
    [(24, {}), (5, {}), (7, {"per_device_eval_batch_size": 1}), (9, {"dataloader_num_workers": 2})],
)
def test_a_trainer_evaluates_every_batch(
    stop: int, options: dict[str, Any], adapter: Any, transformers: Any, source: InstanceStream, tmp_path: Path
) -> None:
    seen: list[Any] = []
    trainer = trainer_of(adapter, transformers, tmp_path, seen, **options)
    assert np.isfinite(trainer.evaluate(adapter.dataset(source, stop=stop))["eval_loss"])
    assert len(seen) == -(-stop // options.get("per_device_eval_batch_size", 8))
    assert rows_of(seen) == rows_of([source.batch(k)["input_ids"] for k in range(stop)])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_trainer_does_not_drop_batches(
    workers: int, adapter: Any, transformers: Any, source: InstanceStream, tmp_path: Path
) -> None:
    trainer = trainer_of(adapter, transformers, tmp_path, [], dataloader_num_workers=workers, max_steps=2)
    trainer.data_collator = first
    with pytest.raises(AlbertFastError, match="all 32 rows of 8 batches, got 4"):
        trainer.evaluate(adapter.dataset(source, stop=24))
    trainer.train_dataset = adapter.dataset(source)
    with pytest.raises(AlbertFastError, match=r"pass albert_fast\.torch\.collate, or 1 as per_device_train_batch_size"):
        trainer.train()


@pytest.mark.parametrize("options", [{}, {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2}])
def test_a_trainer_trains_on_every_batch(
    options: dict[str, Any], adapter: Any, transformers: Any, source: InstanceStream, tmp_path: Path
) -> None:
    seen: list[Any] = []
    trainer = trainer_of(adapter, transformers, tmp_path, seen, max_steps=2, **options)
    trainer.train_dataset = adapter.dataset(source)
    trainer.train()
    items = options.get("per_device_train_batch_size", 8) * options.get("gradient_accumulation_steps", 1)
    assert rows_of(seen) == rows_of([source.batch(k)["input_ids"] for k in range(2 * items)])


def test_shards_in_a_trainer_of_one_process(
    adapter: Any, transformers: Any, source: InstanceStream, tmp_path: Path
) -> None:
    seen: list[Any] = []
    shard = source.shard(1, 2)
    assert (source.shards, shard.shards, shard.shard(0, 3).shards) == ((), ((1, 2),), ((1, 2), (0, 3)))
    trainer_of(adapter, transformers, tmp_path, seen).evaluate(adapter.dataset(shard, stop=4))
    assert rows_of(seen) == rows_of([shard.batch(k)["input_ids"] for k in range(4)])


class Dealer:
    """Stands in for accelerate's dispatcher: its name and what it iterates over are the same."""

    num_processes = 2

    def __init__(self, base_dataloader: Any) -> None:
        self.base_dataloader = base_dataloader

    def __iter__(self) -> Any:
        yield from self.base_dataloader


Dealer.__name__, Dealer.__module__ = "DataLoaderDispatcher", "accelerate.data_loader"


@pytest.mark.parametrize(
    ("part", "start_method"), [("shard", "fork"), ("shard", "spawn"), ("step", "fork"), ("step", None)]
)
def test_a_part_of_the_data_is_not_dealt_out(
    part: str, start_method: str | None, adapter: Any, source: InstanceStream
) -> None:
    """Also if a dataset around it hides it, and only a worker, which accelerate does not know, reads it."""
    from torch.utils.data import ChainDataset, DataLoader

    dataset = (
        adapter.dataset(source.shard(1, 2), stop=4)
        if part == "shard"
        else adapter.dataset(source, start=1, step=2, stop=8)
    )
    workers: dict[str, Any] = {"num_workers": 1, "multiprocessing_context": start_method} if start_method else {}
    loader = DataLoader(ChainDataset([dataset]), batch_size=1, collate_fn=adapter.collate, **workers)
    message = r"got \.shard\(1, 2\)" if part == "shard" else "step must be 1 if accelerate .* to 2 processes, got 2"
    with pytest.raises(AlbertFastError, match=message):
        list(Dealer(loader))
    # A loop of one's own shares it out by itself.
    assert len(list(loader)) == 4


def test_set_epoch_of_ones_own(adapter: Any, source: InstanceStream) -> None:
    dataset = adapter.dataset(source.shard(1, 2), stop=3)
    dataset.set_epoch(5)
    assert [equal(batch, expected) for batch, expected in zip(dataset, dataset, strict=True)] == [True] * 3


def test_tensors_without_dimensions_cannot_be_joined(adapter: Any, source: InstanceStream) -> None:
    batches = [{**batch, "weight": batch["input_ids"].sum()} for batch in adapter.dataset(source, stop=2)]
    single = adapter.collate(batches[:1])
    assert single["weight"] is batches[0]["weight"]
    with pytest.raises(AlbertFastError, match=r"^weight must have a value for each row.*or pass batch_size=1"):
        adapter.collate(batches)
    with pytest.raises(AlbertFastError, match=r"^weight must have a value for each row"):
        adapter.collate(
            [{**batch, "weight": batch["input_ids"][:, 0]} if n else batch for n, batch in enumerate(batches)]
        )
