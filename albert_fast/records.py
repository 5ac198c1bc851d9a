"""`make_records`: the command of this name as a function."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert_fast import _native
from albert_fast._native import Tokenizer, TokenStore
from albert_fast.errors import AlbertFastError, option_error, shown
from albert_fast.mixing import mixed, names_of_weights
from albert_fast.options import (
    CacheOptions,
    CorpusFormat,
    MakeRecords,
    MaskRules,
    RecordsOptions,
    TaskOptions,
    options_of,
)
from albert_fast.options.base import as_number, documented
from albert_fast.options.instances import InstanceShape
from albert_fast.options.mixtures import Weighted, mixture, refused, weighted
from albert_fast.options.records import InstanceOptions, MixtureOptions
from albert_fast.paths import as_path, is_remote
from albert_fast.tasks import Task, of_task
from albert_fast.tokenizers.files import is_store, refuse_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from albert_fast.options.instances import RngKind, Shuffle, SingleSegment, WordBoundary
    from albert_fast.options.records import Compression
    from albert_fast.options.shared import OnBadUtf8, TextFormat

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Records:
    """What `make_records` made. If this was a task, and other tasks have not ended, it is what the task made."""

    output_dir: Path
    instances: int
    """The number of records."""
    tokens: int
    """The number of tokens in them, without padding."""
    shards: tuple[Path, ...]
    """The record files, in order."""
    already_complete: bool
    """Whether the records already existed with these options, so that nothing was written."""
    store: Path | None
    """The token store that was kept, if any."""
    warnings: tuple[str, ...]
    described: dict[str, Any]
    """The content of dataset.json: options, counts of instances, labels and masks, and shards with their digests.

    It is empty as long as shards of other tasks are missing."""
    task: Task | None = None
    """What the task did, if this was one."""


@documented(
    InstanceShape,
    MaskRules,
    InstanceOptions,
    MixtureOptions,
    CorpusFormat,
    RecordsOptions,
    CacheOptions,
    TaskOptions,
)
def make_records(  # noqa: D417 - the options describe themselves
    inputs: PathLike | Sequence[PathLike] | Mapping[Any, float],
    output_dir: PathLike,
    tokenizer: Tokenizer,
    *,
    max_seq_length: int = InstanceOptions.max_seq_length,
    max_predictions_per_seq: int = InstanceOptions.max_predictions_per_seq,
    masked_lm_prob: float = InstanceOptions.masked_lm_prob,
    short_seq_prob: float = InstanceOptions.short_seq_prob,
    dupe_factor: int = InstanceOptions.dupe_factor,
    random_seed: int = InstanceOptions.random_seed,
    ngram: int = InstanceOptions.ngram,
    favor_shorter_ngram: bool = InstanceOptions.favor_shorter_ngram,
    do_whole_word_mask: bool = InstanceOptions.do_whole_word_mask,
    do_permutation: bool = InstanceOptions.do_permutation,
    random_next_sentence: bool = InstanceOptions.random_next_sentence,
    rng: RngKind = InstanceOptions.rng,
    shuffle: Shuffle = InstanceOptions.shuffle,
    single_segment: SingleSegment | None = MakeRecords.single_segment,
    word_boundary: WordBoundary | None = MakeRecords.word_boundary,
    cross_segment_words: bool | None = MakeRecords.cross_segment_words,
    replace_with_special: bool | None = MakeRecords.replace_with_special,
    mixture_temperature: float | None = MixtureOptions.mixture_temperature,
    input_format: TextFormat = CorpusFormat.input_format,
    on_bad_utf8: OnBadUtf8 = CorpusFormat.on_bad_utf8,
    num_shards: int | None = RecordsOptions.num_shards,
    compression: Compression = RecordsOptions.compression,
    num_threads: int | None = RecordsOptions.num_threads,
    keep_store: bool = RecordsOptions.keep_store,
    overwrite: bool = RecordsOptions.overwrite,
    cache_dir: PathLike | None = None,
    cache_size: float | None = None,
    num_tasks: int | None = TaskOptions.num_tasks,
    task_id: int | None = TaskOptions.task_id,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> Records:
    """Turns a corpus, or token stores, into shuffled, masked records: TFRecord files of tf.train.Example.

    The bytes depend only on the inputs, the tokenizer, the options and the seed. An interrupted call resumes when it is
    repeated. dataset.json in `output_dir` describes the records.

    With `num_tasks` and `task_id`, the call makes some of the records of token stores. Other calls make the rest,
    on this machine or others. The last one completes the records; so does `finish`.

    Args:
        inputs: a file, glob or directory of text, or several, or a token store. Text has one sentence per line and a
            blank line after each document. Several token stores may be in a sequence, or in a mapping to their weights:
            there are as many instances as `dupe_factor` passes over all of them have, and the weights, divided by their
            sum, are the fractions that are from each store.
        output_dir: the directory to write to. It is created if needed.
        tokenizer: the tokenizer for the text. For token stores, the one that they were made with.
        {options}
        progress: called a few times a second with stage, unit, done and total (0 if unknown).

    Raises:
        AlbertFastError: an option is invalid; an input cannot be read or is not a corpus; `output_dir` contains records
            with other options (unless `overwrite`); there is no instance; the disk is full.
        KeyboardInterrupt: Ctrl-C was pressed. What is finished is kept.
    """
    given = locals()
    if not isinstance(tokenizer, Tokenizer):
        raise option_error("tokenizer", "an albert_fast.Tokenizer", tokenizer)
    chosen = MakeRecords.pick({**given, "inputs": _paths(inputs), "tokenizer": None})
    return records_of(chosen.output_dir, make(chosen, tokenizer, progress))


def records_of(directory: Path, made: dict[str, Any]) -> Records:
    """Returns what `_native.make_records` has returned."""
    task = made.pop("task", None)
    shards = task["shards"] if task and "shards" not in made else made.get("shards", [])
    return Records(
        output_dir=directory,
        instances=sum(shard["records"] for shard in shards),
        tokens=sum(shard["tokens"] for shard in shards),
        shards=tuple(directory / shard["file"] for shard in shards),
        already_complete=bool(made.pop("already_complete", False)),
        store=None if made.get("store") is None else as_path(made["store"]),
        warnings=tuple(made.pop("warnings", ())),
        described=made if "shards" in made else {},
        task=None if task is None else of_task(task),
    )


def make(
    options: MakeRecords, tokenizer: Tokenizer, progress: Callable[[str, str, int, int], None] | None = None
) -> dict[str, Any]:
    """Makes records with the options of the command. Returns what `_native.make_records` returns.

    Raises:
        AlbertFastError: those of `make_records`.
    """
    inputs = [*options.inputs]
    weights: list[float] = []
    opened: list[TokenStore] = []
    temperature: float | None = None
    given = stores(options)
    if len(given) == 1:
        inputs = [given[0].store]
    elif given:
        cache: dict[str, Any] = {"cache_dir": options.cache_dir, "cache_size": options.cache_size}
        # The core verifies them. Copies of remote ones stay in the cache as long as `opened` lives.
        opened = [TokenStore(store, verify=False, **cache, progress=progress) for store, _ in given]
        own = [weight for _, weight in given if weight is not None]
        _, weights = mixed(dict(zip(opened, own, strict=True)) if own else opened, options.mixture_temperature)
        temperature = None if own else options.mixture_temperature or 1.0
        inputs = [str(store.path) for store in opened]
    with names_of_weights(opened, weights, temperature):
        return _native.make_records(
            inputs,
            str(options.output_dir),
            tokenizer,
            options.instance_options().to_json(),
            num_shards=options.num_shards,
            compression=options.compression,
            num_threads=options.num_threads,
            on_bad_utf8=options.on_bad_utf8,
            format=options.input_format,
            keep_store=options.keep_store,
            overwrite=options.overwrite,
            cache_dir=options.cache_dir,
            cache_size=options.cache_size,
            num_tasks=options.num_tasks,
            task_id=options.task_id,
            weights=weights,
            progress=progress,
        )


def stores(options: MakeRecords) -> list[Weighted]:
    """Returns the token stores that the inputs name, with their weights. There are none if the inputs are text.

    Raises:
        AlbertFastError: there are text and token stores; a store is not complete, or is given twice; a weight is
            invalid; the temperature has no effect.
    """
    given = [_weighted(text) for text in options.inputs]
    found: list[bool] = []
    for store, _ in given:
        # Asking about each of many remote files takes long. If the first is not a store, the others are not.
        is_skipped = is_remote(store) and found and not found[0]
        found.append(store != "-" and not is_skipped and is_store(as_path(store)))
    if any(found):
        for (store, _), is_one in zip(given, found, strict=True):
            if not is_one:
                refuse_unfinished(as_path(store))
                other = given[found.index(True)].store
                message = f"{store} is not a token store, but {other} is; pass only token stores, or only text"
                raise AlbertFastError(message, kind="option", option="inputs")
    if options.mixture_temperature is not None and not (len(given) > 1 and any(found)):
        message = "`mixture_temperature` has no effect without several token stores; remove it"
        raise AlbertFastError(message, kind="option", option="mixture_temperature")
    if not any(found):
        return []
    for store, _ in given:
        if _is_inside(options.output_dir, store):
            message = f"{options.output_dir} is inside the token store {store}; pass another path"
            raise AlbertFastError(message, kind="option", option="output_dir", path=options.output_dir)
    return mixture(options.inputs, options.mixture_temperature)


def _weighted(text: str) -> Weighted:
    """Returns the store and the weight in STORE=WEIGHT. Text with a weight is kept as it is.

    Raises:
        AlbertFastError: text that exists has a weight, or a token store has one that is not a number.
    """
    found = weighted(text)
    before, equals, number = text.rpartition("=")
    if not equals or is_remote(text) or (found.store == text and os.path.lexists(text)):
        return found
    if found.weight is None and is_store(as_path(before)):
        raise AlbertFastError(refused(before, number or "nothing"), kind="option", option="inputs")
    if found.weight is not None and os.path.lexists(before) and not is_store(as_path(before)):
        refuse_unfinished(as_path(before))
        message = f"{before} is not a token store, and only token stores have a weight; tokenize it first"
        raise AlbertFastError(message, kind="option", option="inputs")
    return found


def _is_inside(path: Path, store: str) -> bool:
    """Returns whether a path is a store's directory, or in it."""
    if is_remote(str(path)) or is_remote(store):
        return is_remote(str(path)) and f"{path}/".startswith(f"{store.rstrip('/')}/")
    return Path(path).resolve().is_relative_to(Path(store).resolve())


def _paths(paths: PathLike | Iterable[PathLike] | Mapping[Any, float]) -> tuple[str, ...]:
    if isinstance(paths, set | frozenset):
        raise option_error("inputs", "a sequence, because its order counts", paths, "pass a list")
    if isinstance(paths, Mapping):
        paths = [f"{_path(path)}={_number(path, weight)}" for path, weight in paths.items()]
    many: Any = [paths] if isinstance(paths, str | bytes | os.PathLike | TokenStore) else paths
    if isinstance(many, Iterable):
        many = [_path(path) for path in many]
    found: tuple[str, ...] = options_of(MakeRecords)["inputs"].check(many)
    return found


def _path(path: Any) -> Any:
    """Returns a store's path, and anything else as it is."""
    return path.address or path.path if isinstance(path, TokenStore) else path


def _number(path: Any, weight: Any) -> float:
    number = as_number(weight)
    if number is None or number <= 0:
        raise AlbertFastError(refused(str(_path(path)), shown(weight)), kind="option", option="inputs", value=weight)
    return number
