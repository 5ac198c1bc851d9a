"""Sources of batches: token stores and records, what is known about them, and whether they fit the model.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from albert_fast import AlbertFastError, BatchSource, RecordReader, TokenStore
from albert_fast.errors import option_error
from albert_fast.inspection import find_files
from albert_fast.paths import as_path, is_remote
from albert_fast.tokenizers import files as tokenizer_files
from albert_fast.tokenizers import match as tokenizer_match
from albert_fast.tokenizers.saving import sentencepiece_files, wordpiece_files
from trainer.errors import TrainerError
from trainer.exchange import tokenizer_open
from trainer.run import packing
from trainer.run.packing import Sizes
from trainer.run.phases import Phase, open_phases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from albert_fast import Batch, Tokenizer
    from albert_fast.options.phases import Plan
    from trainer.model.config import ModelConfig

SAMPLED_PREDICTIONS = 500_000
"""Number of masked tokens that `sample` counts, at least."""
SAMPLED_ROWS = 4096
"""Number of rows that `row_sizes` measures, at least."""


class Data(NamedTuple):
    """Batches, and what is known about them."""

    source: BatchSource
    """All of the data, in batches of this worker's size."""
    kind: str
    """"tokens" or "records"."""
    path: str
    """The path as given."""
    vocab_size: int | None
    """Number of pieces of the tokenizer; None for records of unknown origin."""
    tokenizer_digest: str | None
    """Digest of the tokenizer; None if it is unknown."""
    identity: dict[str, Any]
    """What must be the same when a run resumes."""
    figures: dict[str, Any]
    """Figures for run.json."""
    tokenizer_files: dict[str, bytes]
    """The tokenizer's files as `train-tokenizer` would write them, by file name; empty if the tokenizer is unknown."""
    tokenizer: Mapping[str, Any] = MappingProxyType({})
    """What is known about the tokenizer, in the form of `albert_fast.tokenizers.match.described`; may be empty."""
    opened: Tokenizer | None = None
    """The tokenizer itself; None for records without one."""
    parts: tuple[Phase, ...] = ()
    """The phases of the run; empty for one phase with all of `source`."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the run, at least one. `source` is that of the first."""
        return self.parts or (Phase(self.source),)

    def check(self, config: ModelConfig) -> None:
        """Raise an AlbertFastError if the batches do not fit the model."""
        _check_size(self.path, self.vocab_size, config.vocab_size)
        lengths, most = [phase.source.max_seq_length for phase in self.phases], config.max_position_embeddings
        length = max(lengths)
        rule = f"at most {most}, the model's max_position_embeddings"
        if length > most and self.phases[0].steps is not None:
            message = f"in phase {lengths.index(length) + 1}, max_seq_length must be {rule}, got {length}"
            raise AlbertFastError(message, kind="option", option="phase", rule=rule, value=length)
        if length > most and self.kind == "tokens":
            raise option_error("max_seq_length", rule, length)
        if length > most:
            raise TrainerError(
                f"{self.path}: the length of the instances must be {rule}, got {length}; make records with "
                f"max_seq_length={most}, or use a model with more positions",
                kind="data",
                path=_path(self.path),
                rule=rule,
                value=length,
            )
        if config.type_vocab_size < 2:
            raise TrainerError(
                f"the model's type_vocab_size must be at least 2, for segments A and B, got {config.type_vocab_size}",
                kind="option",
                option="model",
                rule="at least 2",
                value=config.type_vocab_size,
            )


class Described(NamedTuple):
    """What is known about records before they are opened."""

    path: str
    """The path as given."""
    sets: list[dict[str, Any]]
    """What `make-records` wrote next to them."""
    tokenizer: Mapping[str, Any]
    """What all of them say about their tokenizer; empty if nothing is known or their tokenizers differ."""
    vocab_size: int | None
    """Number of pieces of the tokenizer."""


class Guess(NamedTuple):
    """What the best constant answer reaches: it knows how often each piece is correct."""

    loss: float
    """Entropy of the masked tokens in nats.

    With few records it is too low for a fair comparison, because it was counted on the same records.
    """
    accuracy: float
    """Fraction of the most frequent piece."""
    predictions: int
    """Number of masked tokens counted."""


def from_tokens(
    plans: Sequence[Plan],
    batch_size: int,
    num_steps: int,
    seed: int,
    *,
    workers: int = 1,
    order: Mapping[str, Any] = MappingProxyType({}),
    cache: Mapping[str, Any] = MappingProxyType({}),
    **how: Any,
) -> Data:
    """Open the token stores of a run, which are masked again in each epoch.

    Args:
        plans: the phases of the run.
        batch_size: rows per batch of this worker.
        num_steps: the number of steps of the run.
        seed: random seed of splits, order and masks.
        workers: the number of workers.
        order: how `InstanceStream` shuffles.
        cache: how `TokenStore` fetches a remote store.
        how: the options of `InstanceStream` that do not affect the instances.

    Raises:
        AlbertFastError: as `trainer.run.phases.open_phases`.
    """
    opened = open_phases(
        plans, batch_size, workers, num_steps, seed, order, lambda name: TokenStore(name, **cache), **how
    )
    stores = [*opened.stores.values()]
    first, path = stores[0], ", ".join(opened.stores)
    tokenizer = first.tokenizer()
    shapes = [_shape(phase.source) for phase in opened.phases]
    longest = max(shapes, key=lambda shape: shape["max_seq_length"])
    figures = {
        "source": "tokens",
        "path": path,
        "documents": sum(store.num_documents for store in stores),
        "sentences": sum(store.num_sentences for store in stores),
        "tokens": sum(store.num_tokens for store in stores),
        "vocab_size": first.vocab_size,
        # The number of instances depends on their length.
        **{name: value for name, value in longest.items() if name != "instances" or len(shapes) == 1},
    }
    return Data(
        opened.phases[0].source,
        "tokens",
        path,
        first.vocab_size,
        first.tokenizer_digest,
        opened.identity,
        figures,
        _files_of_store(first.path, tokenizer),
        tokenizer_match.described(tokenizer),
        tokenizer,
        opened.phases,
    )


def from_records(
    files: Sequence[str],
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = False,
    vocab_size: int | None = None,
    tokenizer: Path | None = None,
    allow_other_tokenizer: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    **how: Any,
) -> Data:
    """Open records as they are, from this or any other program.

    Args:
        files: files, globs or directories.
        batch_size: rows per batch.
        seed: random seed of the order.
        shuffle: whether each epoch has its own order.
        vocab_size: the model's vocabulary size, which every id must be below; None for that of the records, if known.
        tokenizer: the SentencePiece model or the WordPiece vocabulary (.txt) that the records were made with, or a
            directory with one. It is stored with the model.
        allow_other_tokenizer: whether to accept another tokenizer than that of the records if its size matches.
        warn: called with a line of warning.
        how: the options of `RecordReader` that do not affect the records.

    Raises:
        AlbertFastError: as `RecordReader`, or if the tokenizer cannot be used.
        TrainerError: the tokenizer is not that of the records, or a tokenizer.json next to it differs.
    """
    path, sets, described, known = describe_records(files, allow_other_tokenizer=allow_other_tokenizer)
    _check_size(path, known, vocab_size)
    kept: dict[str, bytes] = {}
    opened = None
    if tokenizer is not None:
        opened = _opened(tokenizer, described, warn)
        if (why := tokenizer_match.refusal(path, described, opened)) and not (
            allow_other_tokenizer and opened.vocab_size == known
        ):
            raise TrainerError(
                f"{why}; pass the tokenizer that the records were made with"
                + (", or allow_other_tokenizer=True" if opened.vocab_size == known else ""),
                kind="tokenizer",
                path=tokenizer,
                option="tokenizer",
            )
        if tokenizer_match.compare(opened, described) == "rules":
            # The tokenizer is stored with the model, whose users would then prepare text differently.
            raise TrainerError(
                f"{path}: made with {_rules(described)}, but the rules of {tokenizer} are "
                f"{_rules(tokenizer_match.described(opened))}; {_way_to(described, opened)}",
                kind="tokenizer",
                path=tokenizer,
                option="tokenizer",
            )
        known, described = opened.vocab_size, tokenizer_match.described(opened)
        kept = wordpiece_files(opened) if opened.kind == "wordpiece" else sentencepiece_files(opened.content, opened)
    reader = RecordReader(
        list(files),
        batch_size,
        seed=seed,
        shuffle=shuffle,
        vocab_size=vocab_size,
        allow_other_tokenizer=allow_other_tokenizer,
        **how,
    )
    figures: dict[str, Any] = {"source": "records", "path": path, "files": len(reader.files), **_shape(reader)}
    if known is not None:
        figures["vocab_size"] = known
    names = hashlib.sha256("\n".join(as_path(file).name for file in reader.files).encode()).hexdigest()[:16]
    made = hashlib.sha256(json.dumps(sets, sort_keys=True).encode()).hexdigest()[:16] if sets else None
    identity = {"kind": "records", "shuffle": shuffle, "names": names, "digest": made, **_shape(reader)}
    return Data(reader, "records", path, known, described.get("digest"), identity, figures, kept, described, opened)


def _opened(tokenizer: Path, records: Mapping[str, Any], warn: Callable[[str], None]) -> Tokenizer:
    """Open the tokenizer of records, by its file or its directory, as `export` does.

    Text rules that no file next to it specifies are taken from the records.

    Raises:
        AlbertFastError: the file is not a usable tokenizer or is a tokenizer.json, or the directory has no tokenizer.
        TrainerError: a tokenizer.json next to it has other pieces.
    """
    file = tokenizer_files.named(tokenizer)
    tokenizer_files.refuse_json(file)
    opened = tokenizer_open.open_file(file, warn=warn)
    if tokenizer_match.compare(opened, records) != "rules":
        return opened
    beside = tokenizer_open.rules_of(file, warn)
    missing = {
        key: value
        for key, known in zip(("lower_case", "keep_accents"), beside, strict=True)
        if known is None and isinstance(value := records.get(key), bool)
    }
    return tokenizer_open.open_file(file, missing.get("lower_case"), missing.get("keep_accents"), warn=warn)


def describe_records(files: Sequence[str], *, allow_other_tokenizer: bool = False) -> Described:
    """Return what is known about records without opening them.

    Args:
        files: files, globs or directories.
        allow_other_tokenizer: whether to accept records of several tokenizers of one size.

    Raises:
        AlbertFastError: nothing matches, or the records were made with different tokenizers.
        TrainerError: their tokenizers are of different sizes.
    """
    path = ", ".join(str(as_path(file)) if is_remote(file) else file for file in files)
    found = find_files(files)
    sets = [*tokenizer_match.records_directories(found).values()]
    kinds = [made["tokenizer"] for made in sets if isinstance(made.get("tokenizer"), dict)]
    sizes = list(dict.fromkeys(kind["vocab_size"] for kind in kinds if "vocab_size" in kind))
    if len(sizes) > 1:
        raise TrainerError(
            f"{path}: the records must have one tokenizer, got tokenizers of "
            f"{' and '.join(f'{size:,}' for size in sizes)} pieces; pass records of one of them",
            kind="tokenizer",
            path=_path(path),
        )
    try:
        several = False
        tokenizer_match.tokenizer_of_records(found)
    except AlbertFastError:
        if not allow_other_tokenizer:
            raise
        several = True
    # Only what all of them say: records of one vocabulary may have different text rules.
    described = (
        {}
        if several or not kinds
        else {
            key: value for key, value in kinds[0].items() if all(key in kind and kind[key] == value for kind in kinds)
        }
    )
    return Described(path, sets, described, next(iter(sizes), None))


def _check_size(path: str, size: int | None, expected: int | None) -> None:
    """Raise a TrainerError if data of `size` pieces do not fit a model of `expected` pieces."""
    if None not in (size, expected) and size != expected:
        rule = f"{expected:,} pieces, as many as the model"
        raise TrainerError(
            f"{path}: the tokenizer must have {rule}, got {size:,}; pass data made with the model's tokenizer, or a "
            f"model of {size:,} pieces",
            kind="tokenizer",
            path=_path(path),
            rule=rule,
            value=size,
        )


def _path(given: str) -> Path | None:
    """Return what the user named if it is one path. Records may be several."""
    if is_remote(given):
        return None if ", " in given else as_path(given)
    # A list of many may be too long for a name.
    return Path(given) if os.path.exists(given) else None  # noqa: PTH110 - it raises no error then


def _rules(described: Mapping[str, Any]) -> str:
    """Return the text rules of a tokenizer as options."""
    lower, accents = (described.get(key) is True for key in ("lower_case", "keep_accents"))
    return f"do_lower_case={lower} and keep_accents={accents}"


def _way_to(records: Mapping[str, Any], opened: Tokenizer) -> str:
    """Return how to open a tokenizer with the text rules of records, if the files next to it give other rules."""
    file = opened.file_name
    if records.get("text_rules") == "none":
        return "remove `tokenizer`: the records have no text rules, and a model keeps a tokenizer only with text rules"
    if opened.kind == "wordpiece":
        rules = {"do_lower_case": records.get("lower_case") is True}
        if rules["do_lower_case"] and records.get("keep_accents") is True:
            rules["strip_accents"] = False
        return f"pass a copy of {file} next to a tokenizer_config.json with {json.dumps(rules)}"
    return f"pass a copy of {file} without the text rules next to it; then the rules of the records are used"


def _shape(source: BatchSource) -> dict[str, int]:
    return {
        "instances": len(source),
        "max_seq_length": source.max_seq_length,
        "max_predictions": source.max_predictions,
    }


def _files_of_store(store: Path, tokenizer: Tokenizer) -> dict[str, bytes]:
    try:
        return sentencepiece_files((store / "tokenizer-copy.model").read_bytes(), tokenizer)
    except FileNotFoundError:  # a WordPiece vocabulary
        return wordpiece_files(tokenizer)


def check_tokenizers(training: Data, held_out: Described, *, allow_other_tokenizer: bool = False) -> str:
    """Check, before they are opened, that held-out records have the tokenizer of the training data.

    Returns:
        A warning if the text rules differ; otherwise an empty string.

    Raises:
        TrainerError: the tokenizers differ.
    """
    if training.opened is not None:
        match = tokenizer_match.compare(training.opened, held_out.tokenizer)
    else:
        match = tokenizer_match.compare_descriptions(training.tokenizer, held_out.tokenizer)
    names = f"({tokenizer_match.name(held_out.tokenizer)} and {tokenizer_match.name(training.tokenizer)})"
    if match == "rules":
        return f"{held_out.path} and {training.path} were made with different text rules {names}"
    if match == "other" and training.vocab_size not in {None, held_out.vocab_size}:
        raise TrainerError(
            f"{held_out.path} and {training.path} were made with different tokenizers {names}: the first has "
            f"{held_out.vocab_size:,} pieces, the other {training.vocab_size:,}; pass `eval_records` made with the "
            "same tokenizer",
            kind="tokenizer",
            path=_path(held_out.path),
            option="eval_records",
        )
    if match == "other" and not allow_other_tokenizer:
        raise TrainerError(
            f"{held_out.path} and {training.path} were made with different tokenizers {names}: "
            f"{tokenizer_match.reason(training.tokenizer, held_out.tokenizer)}; pass `eval_records` made with the same "
            "tokenizer, or allow_other_tokenizer=True",
            kind="tokenizer",
            path=_path(held_out.path),
            option="eval_records",
        )
    return ""


def check_held_out(training: Data, held_out: Data) -> None:
    """Raise a TrainerError if held-out records are also trained on."""
    if isinstance(training.source, RecordReader) and isinstance(held_out.source, RecordReader):
        seen = {_real(file) for file in training.source.files}
        for file in held_out.source.files:
            if _real(file) in seen:
                raise TrainerError(
                    f"{file} is in `records` and in `eval_records`; evaluate on records that are not trained on",
                    kind="option",
                    path=as_path(file),
                    option="eval_records",
                )


def _real(file: str) -> str:
    """Return the path without links. Remote paths have none."""
    return file if is_remote(file) else os.path.realpath(file)


def sample(source: BatchSource, held_out: BatchSource | None = None) -> dict[str, float]:
    """Return figures of the first batches: mean tokens and masked tokens per instance, and the loss of guessing.

    Args:
        source: the training data.
        held_out: the held-out data. If given, `unigram_entropy` is the masked-LM loss on them of guessing by the
            frequencies in `source`. Otherwise it is the entropy of these frequencies. Both are in nats.
    """
    rows = tokens = 0
    counts = np.zeros(0, np.int64)
    for batch in source.batches(0, -(-len(source) // source.batch_size), prefetch=1):
        rows += len(batch["input_ids"])
        tokens += int(batch["input_mask"].sum())
        counts = _count(counts, batch, len(batch["input_ids"]))
        if counts.sum() >= SAMPLED_PREDICTIONS:
            break
    return {
        "tokens_per_sequence": tokens / rows,
        "predictions_per_sequence": int(counts.sum()) / rows,
        "unigram_entropy": _guess(counts).loss if held_out is None else frequency_loss(counts, label_counts(held_out)),
    }


def row_sizes(source: BatchSource, rows: int = SAMPLED_ROWS) -> Sizes:
    """Return the sizes of the first rows of a source, at least `rows` of them. They are the same at every start."""
    found = [packing.sizes(batch) for batch in source.batches(0, -(-min(rows, len(source)) // source.batch_size))]
    return Sizes(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def frequency_loss(seen: NDArray[np.int64], asked: NDArray[np.int64]) -> float:
    """Return the masked-LM loss, in nats, of predicting by frequencies that were counted on other data.

    Args:
        seen: how often each id is masked in the data that the frequencies come from.
        asked: how often each id is masked in the data that the loss is for.
    """
    # Count each piece once more, so that pieces that never occurred are not impossible.
    counts = np.ones(max(len(seen), len(asked)))
    counts[: len(seen)] += seen
    logs = np.log(counts / counts.sum())
    return float(-(asked * logs[: len(asked)]).sum() / max(1, asked.sum()))


def guess(source: BatchSource) -> Guess:
    """Return what the best constant answer reaches on all of a source that is not shuffled."""
    return _guess(label_counts(source))


def label_counts(source: BatchSource) -> NDArray[np.int64]:
    """Return how often each id is masked in an epoch: int64 [largest id + 1]."""
    counts = np.zeros(0, np.int64)
    left = len(source)
    for batch in source.batches(0, -(-left // source.batch_size)):
        # The last batch continues with the next epoch.
        counts = _count(counts, batch, left)
        left -= source.batch_size
    return counts


def _count(counts: NDArray[np.int64], batch: Batch, rows: int) -> NDArray[np.int64]:
    """Add the first `rows` rows of a batch to `counts`, and return the sum."""
    found = np.bincount(batch["masked_lm_ids"][:rows][batch["masked_lm_weights"][:rows] > 0])
    total = np.zeros(max(len(found), len(counts)), np.int64)
    total[: len(found)] += found
    total[: len(counts)] += counts
    return total


def _guess(counts: NDArray[np.int64]) -> Guess:
    total = int(counts.sum())
    if total == 0:
        return Guess(0.0, 0.0, 0)
    fractions = counts[counts > 0] / total
    return Guess(float(-(fractions * np.log(fractions)).sum()), float(fractions.max()), total)
