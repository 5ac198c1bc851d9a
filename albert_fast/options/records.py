"""Options of `make-records` and `inspect-records`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from albert_fast.errors import AlbertFastError
from albert_fast.options.base import REQUIRED, Stage, option, options_of
from albert_fast.options.instances import (
    INSTANCES,
    MASKS,
    InstanceShape,
    MaskRules,
    RngKind,
    Shuffle,
    SingleSegment,
    WordBoundary,
    too_many_predictions,
)
from albert_fast.options.shared import (
    INPUT,
    INPUT_PATHS,
    OUTPUT,
    TOKENIZER,
    CacheOptions,
    ConfigFile,
    CorpusFormat,
    OtherTokenizer,
    OutputDir,
    Overwrite,
    TaskOptions,
    TextRules,
    Threads,
    TokenizerChoice,
)

Compression = Literal["none", "gzip"]

REFERENCE: Mapping[str, Any] = {
    "word_boundary": "albert",
    "single_segment": "random",
    "cross_segment_words": True,
    "replace_with_special": True,
}
"""What `rng="reference"` means for the options that have a better default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceOptions(MaskRules, InstanceShape):
    """The instance options of `make-records`, as the core takes them."""

    max_predictions_per_seq: int = option(
        20, "Maximum number of masked tokens in an instance.", MASKS, low=1, high=65_536
    )
    dupe_factor: int = option(
        2,
        "Number of passes over the corpus. Each pass adds instances with new chunk lengths and masks. With several "
        "token stores, it sets the number of all instances, and the weights set the passes over each store.",
        INSTANCES,
        low=1,
        high=100_000,
    )
    random_seed: int = option(
        12345, "Random seed of the chunks, the masks and the order.", INSTANCES, low=0, high=2**64 - 1
    )
    rng: RngKind = option(
        "fast",
        "Random number generator. fast uses all threads and little memory. reference writes the records of "
        "google-research/ALBERT, byte for byte, but uses one thread and keeps the corpus in memory.",
        INSTANCES,
    )
    shuffle: Shuffle = option(
        "global",
        "Order of the instances. global shuffles all of them, so each record file needs all of the token store. blocks "
        "makes each file from blocks of a million tokens that are drawn at random, and shuffles within the file. For "
        "stores of more than 100 GB that many machines read.",
        INSTANCES,
    )

    def validate(self) -> None:
        super().validate()
        if self.max_predictions_per_seq > self.max_seq_length:
            raise too_many_predictions(self.max_predictions_per_seq, self.max_seq_length, self.masked_lm_prob)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordsOptions(Overwrite, Threads):
    """How records are written."""

    num_shards: int | None = option(
        None,
        "Number of record files to write.",
        OUTPUT,
        low=1,
        high=99_999,
        shown="one per 100,000 instances",
    )
    compression: Compression = option("none", "Compression of the record files.", OUTPUT)
    keep_store: bool = option(
        False, "Keep the token store that make-records builds first, in the subdirectory tokens of the output.", OUTPUT
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureOptions(Stage):
    """How several token stores are mixed."""

    mixture_temperature: float | None = option(
        None,
        "With several token stores without weights: give each the weight tokens ** (1 / T). A large T gives all stores "
        "about the same weight.",
        INPUT,
        metavar="T",
        low=0,
        above=True,
        shown="1: sizes decide",
    )


def _by_rng(name: str) -> Any:
    """Makes the field of an option of `InstanceOptions` that is open until `rng` decides it."""
    known = options_of(InstanceOptions)[name]
    reference = dataclasses.replace(known, default=REFERENCE[name]).default_words
    words = f"{known.default_words}; with --rng reference, {reference}"
    return option(None, known.help, known.panel, metavar=known.metavar, shown=words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MakeRecords(
    ConfigFile,
    TaskOptions,
    OutputDir,
    RecordsOptions,
    InstanceOptions,
    CorpusFormat,
    MixtureOptions,
    CacheOptions,
    TextRules,
    TokenizerChoice,
):
    """`make-records`. The four options whose default depends on `rng` are None if they are not given."""

    inputs: tuple[str, ...] = option(
        REQUIRED,
        "Token stores, or the corpus, with one sentence per line and a blank line after each document: "
        f"{INPUT_PATHS}. STORE=WEIGHT sets how many of the instances are from a store, relative to the other weights.",
        INPUT,
        metavar="INPUT",
        argument=True,
        pairs=True,
    )
    tokenizer: Path | None = option(
        None,
        "SentencePiece unigram model (spiece.model), or a directory with one. Give either this or --vocab-file. A "
        "token store has its own tokenizer.",
        TOKENIZER,
        metavar="FILE",
    )
    single_segment: SingleSegment | None = _by_rng("single_segment")  # type: ignore[assignment]
    word_boundary: WordBoundary | None = _by_rng("word_boundary")  # type: ignore[assignment]
    cross_segment_words: bool | None = _by_rng("cross_segment_words")  # type: ignore[assignment]
    replace_with_special: bool | None = _by_rng("replace_with_special")  # type: ignore[assignment]

    def instance_options(self) -> InstanceOptions:
        """Returns the instance options. Those that were not given have the values that `rng` implies.

        Raises:
            AlbertFastError: one of them contradicts `rng="reference"`.
        """
        values = {name: value for name, value in self.as_dict().items() if name not in REFERENCE or value is not None}
        if self.rng != "reference":
            return InstanceOptions.pick(values)
        for name, value in REFERENCE.items():
            if values.setdefault(name, value) != value:
                msg = (
                    f"rng='reference' has {name}={value!r}, as google-research/ALBERT does; drop "
                    f"{name}={values[name]!r}, or rng='reference'"
                )
                raise AlbertFastError(msg, kind="option", option=name, rule=f"{value!r}", value=values[name])
        return InstanceOptions.pick(values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectRecords(ConfigFile, OtherTokenizer, TokenizerChoice):
    """`inspect-records`."""

    paths: tuple[str, ...] = option(
        REQUIRED,
        "TFRecord files from any tool, plain or gzipped; globs; or directories, whose *.tfrecord* files are read.",
        INPUT,
        metavar="PATH",
        argument=True,
    )
    tokenizer: Path | None = option(
        None,
        "SentencePiece unigram model (spiece.model), or a directory with one, to show words instead of ids.",
        TOKENIZER,
        metavar="FILE",
    )
    num_shown: int = option(1, "Number of instances to show.", OUTPUT, low=0, flags=("-n",))
