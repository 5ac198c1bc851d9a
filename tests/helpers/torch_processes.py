"""What each of several processes gets of a source's batches: under accelerate, in a Trainer, and with shards.

    torchrun --nproc-per-node 2 torch_processes.py DATA OUT

DATA holds a token store, `store`, and record files, `records`. Every process writes OUT/RANK.json: for each way of
`ways()` its steps, each a list of the digests of the rows that it had, or the error that it met. `expected` says which
rows the processes should have together.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import operator
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast import AlbertFastError, BatchSource, InstanceStream, RecordReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROWS, TOKENS = 6, 32
VOCAB = 2000
"""Pieces of the test model."""


class Way(NamedTuple):
    """One way of reading batches."""

    name: str
    stop: int | None
    items: int = 1
    """Batches that a DataLoader joins."""
    workers: int = 0
    dispatch: bool | None = None
    split: bool = False
    persistent: bool = False
    rows: int = ROWS
    records: bool = False
    """Whether the source is a RecordReader; otherwise an InstanceStream."""
    sharded: bool = False
    chained: bool = False
    """Whether there is a dataset around the source's."""
    bare: bool = False
    """Whether the DataLoader has no batch_size and no collator."""
    steps: int = -1
    """Of a Trainer: max_steps; -1: an epoch."""
    accumulate: int = 1


def ways() -> list[Way]:
    """All that is tried, in this order."""
    found = [
        Way(f"accelerate dispatch={dispatch} workers={workers} items={items}", 24, items, workers, dispatch)
        for dispatch in (None, False)
        for workers, items in ((0, 1), (0, 3), (1, 1), (2, 3), (5, 2))
    ]
    return [
        *found,
        Way("accelerate without a collator", 6, workers=2, bare=True),
        Way("accelerate without a collator, not dispatched", 6, dispatch=False, bare=True),
        Way("accelerate with a dataset around it", 8, items=2, chained=True, dispatch=False),
        Way("accelerate dispatch=True", 24, items=2, workers=2, dispatch=True),
        Way("accelerate with more workers than batches", 4, workers=5),
        Way("accelerate, not dispatched, with more workers than batches", 4, workers=3, dispatch=False),
        Way("accelerate with persistent workers", 8, items=2, workers=2, dispatch=False, persistent=True),
        Way("accelerate splits batches", 7, split=True),
        Way("accelerate splits joined batches", 7, items=4, split=True, workers=2),
        Way("accelerate splits, not dispatched", 8, items=2, dispatch=False, split=True, workers=2),
        Way("accelerate with a rest", 7, workers=2),
        Way("accelerate with a rest of joined batches", 7, items=2, workers=2),
        Way("accelerate on records", 12, workers=2, items=2, dispatch=False, records=True),
        Way("accelerate on shards of records", 8, sharded=True, records=True),
        Way("train", None, steps=5),
        Way("train with workers", None, steps=5, workers=2, items=2),
        Way("train, not dispatched", None, steps=5, dispatch=False, workers=2),
        Way("train an epoch with a rest", 9, accumulate=2),
        Way("evaluate", 9, items=2, workers=2),
        Way("evaluate, not dispatched", 8, items=2, workers=2, dispatch=False),
        Way("resume", None, steps=6),
        Way("resume, not dispatched", None, steps=6, items=2, workers=2, dispatch=False),
        Way("shards", 5, workers=2, sharded=True),
        Way("accelerate with shards", 8, sharded=True),
        Way("accelerate with shards, not dispatched", 8, dispatch=False, sharded=True),
        Way(
            "accelerate with shards in another, not dispatched",
            8,
            dispatch=False,
            sharded=True,
            chained=True,
            workers=2,
        ),
        Way("train with shards", None, steps=2, sharded=True),
        Way("evaluate with shards", 8, sharded=True, workers=2),
        Way("accelerate drops items", 8, items=2, dispatch=False),
        Way("accelerate splits an odd batch", 6, split=True, rows=5),
        Way("accelerate repeats", 7, dispatch=False, workers=2),
    ]


def digests(ids: NDArray[Any]) -> list[str]:
    """What tells rows apart."""
    return [hashlib.sha256(row.astype("<i8").tobytes()).hexdigest()[:16] for row in ids]


def source_of(data: Path, way: Way) -> BatchSource:
    """The whole source of a way."""
    if way.records:
        return RecordReader(data / "records", way.rows, seed=3)
    return InstanceStream(data / "store", way.rows, TOKENS, seed=3)


def expected(data: Path, way: Way, world: int) -> list[str]:
    """The rows that `world` processes should have in all."""
    source = source_of(data, way)
    count = way.stop
    if count is None:
        count = way.steps * way.items * world
    if way.sharded:
        shards = [source.shard(index, world) for index in range(world)]
        return [row for shard in shards for k in range(count) for row in digests(shard.batch(k)["input_ids"])]
    return [row for k in range(count) for row in digests(source.batch(k)["input_ids"])]


def _loader(way: Way, source: BatchSource) -> Any:
    from torch.utils.data import ChainDataset, DataLoader

    import albert_fast.torch

    dataset = albert_fast.torch.dataset(source, stop=way.stop)
    if way.bare:
        return DataLoader(dataset, batch_size=None, num_workers=way.workers)
    return DataLoader(
        ChainDataset([dataset]) if way.chained else dataset,
        batch_size=way.items,
        collate_fn=operator.itemgetter(0) if "drops" in way.name else albert_fast.torch.collate,
        num_workers=way.workers,
        persistent_workers=way.persistent,
    )


def _accelerate(way: Way, source: BatchSource) -> list[list[str]]:
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    config = DataLoaderConfiguration(dispatch_batches=way.dispatch, split_batches=way.split)
    loader = Accelerator(cpu=True, dataloader_config=config).prepare(_loader(way, source))
    steps = [digests(batch["input_ids"].numpy()) for batch in loader]
    if way.persistent:
        again = [digests(batch["input_ids"].numpy()) for batch in loader]
        assert again == steps
    return steps


def _train(way: Way, source: BatchSource, directory: Path) -> list[list[str]]:
    from transformers import AlbertConfig, AlbertForPreTraining, Trainer, TrainingArguments

    import albert_fast.torch

    seen: list[list[str]] = []

    class Model(AlbertForPreTraining):  # type: ignore[misc]
        # A Trainer passes what forward names.
        def forward(
            self,
            input_ids: Any = None,
            attention_mask: Any = None,
            token_type_ids: Any = None,
            labels: Any = None,
            sentence_order_label: Any = None,
        ) -> Any:
            seen.append(digests(input_ids.numpy()))
            return super().forward(
                input_ids=input_ids,
                attention_mask=attention_mask,
                token_type_ids=token_type_ids,
                labels=labels,
                sentence_order_label=sentence_order_label,
            )

    config = AlbertConfig(
        vocab_size=VOCAB,
        embedding_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=TOKENS,
    )
    data = albert_fast.torch.dataset(source, stop=way.stop)

    def trainer(**options: Any) -> Trainer:
        settings: dict[str, Any] = {
            "output_dir": str(directory),
            "max_steps": way.steps,
            "num_train_epochs": 1,
            "per_device_train_batch_size": way.items,
            "per_device_eval_batch_size": way.items,
            "gradient_accumulation_steps": way.accumulate,
            "dataloader_num_workers": way.workers,
            "accelerator_config": {"dispatch_batches": way.dispatch, "split_batches": way.split},
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "dataloader_pin_memory": False,
        }
        return Trainer(
            Model(config),
            TrainingArguments(**{**settings, **options}),
            data_collator=albert_fast.torch.collate,
            train_dataset=data,
            eval_dataset=data,
        )

    if way.name.startswith("evaluate"):
        trainer().evaluate()
    elif way.name.startswith("resume"):
        # Stopped after four of six steps, and begun again from the checkpoint of step 4.
        trainer(save_strategy="steps", save_steps=4, max_steps=4).train()
        trainer().train(resume_from_checkpoint=str(directory / "checkpoint-4"))
    else:
        trainer().train()
    return seen


def run(way: Way, data: Path, directory: Path) -> Any:
    """The steps of this process, or the error and the warnings."""
    import torch

    source = source_of(data, way)
    if way.sharded:
        source = source.shard(torch.distributed.get_rank(), torch.distributed.get_world_size())
    try:
        if way.name.startswith("accelerate"):
            return _accelerate(way, source)
        if way.name == "shards":
            return [digests(batch["input_ids"].numpy()) for batch in _loader(way, source)]
        return _train(way, source, directory)
    except AlbertFastError as error:
        return str(error)


def _ran(data: Path, out: Path) -> Iterator[tuple[str, Any]]:
    from accelerate import PartialState

    PartialState(cpu=True)
    for number, way in enumerate(ways()):
        print(way.name, file=sys.stderr, flush=True)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            steps = run(way, data, out / str(number))
        told = [str(one.message) for one in said if str(one.message).startswith("accelerate ")]
        yield way.name, {"steps": steps, "warnings": told}


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = dict(_ran(Path(sys.argv[1]), Path(sys.argv[2])))
    (Path(sys.argv[2]) / f"{os.environ['RANK']}.json").write_text(json.dumps(found), encoding="utf-8")
