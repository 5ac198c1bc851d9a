"""Finds and opens the tokenizer that belongs to a model: of a run, a checkpoint, a Hugging Face or a TF1 folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast import AlbertFastError, Tokenizer
from albert_fast.cli.common import CommandError, warn
from albert_fast.cli.training import trainer_errors
from albert_fast.tokenizers import files as tokenizer_files
from albert_fast.tokenizers.match import compare, compare_descriptions, described, name, reason
from trainer.folder import CHECKPOINTS

if TYPE_CHECKING:
    from albert_fast.tokenizers.opening import TextRules
    from trainer.exchange.initial import Initial


def folders(source: Path, checkpoint: Path | None = None) -> list[Path]:
    """Where a model's tokenizer may be, the likeliest first.

    Args:
        source: what the user named: a folder, a file in one, or the prefix of a TF1 checkpoint.
        checkpoint: the checkpoint of ours that was found there, if any.
    """
    source = tokenizer_files.snapshot(source)
    base = source if source.is_dir() else source.parent
    places = [base, base / "assets"]
    if checkpoint is not None:
        places = [checkpoint, *([checkpoint.parent.parent] if checkpoint.parent.name == CHECKPOINTS else []), *places]
    elif base.name == "variables":  # of a module of TF Hub
        places.append(base.parent / "assets")
    return list(dict.fromkeys(places))


def find(places: Sequence[Path]) -> Path | None:
    """The tokenizer's file in the first of these directories that holds one: see `albert_fast.tokenizers.files.find`.

    Raises:
        AlbertFastError: a directory holds several.
    """
    return next((found for place in places if (found := tokenizer_files.find(place))), None)


def open_file(path: Path, do_lower_case: bool | None = None, keep_accents: bool | None = None) -> Tokenizer:
    """As `trainer.exchange.tokenizer_open.open_file`.

    Raises:
        CommandError, AlbertFastError: the file is no usable tokenizer, or one beside it differs or is damaged.
    """
    from trainer.exchange import tokenizer_open

    with trainer_errors():
        return tokenizer_open.open_file(path, do_lower_case, keep_accents, warn=warn)


def is_rebuilt(path: Path) -> bool:
    """As `trainer.exchange.tokenizer_open.is_rebuilt`."""
    from trainer.exchange import tokenizer_open

    return tokenizer_open.is_rebuilt(path)


def _rules_of(path: Path) -> "TextRules":
    from trainer.exchange import tokenizer_open

    with trainer_errors():
        return tokenizer_open.rules_of(path, warn)


class Chosen(NamedTuple):
    """A tokenizer for a model."""

    tokenizer: Tokenizer | None
    """None where none was given, and none is known."""
    rules_known: bool
    """Whether something tells whether its text was lower-cased: a flag, or a file beside it or the model's own."""
    path: Path | None = None
    """Its file, as the user knows it: the tokenizer's own path is another one for a tokenizer.json."""


def choose(
    given: Path | None,
    places: Sequence[Path],
    do_lower_case: bool | None = None,
    keep_accents: bool | None = None,
    vocab_size: int | None = None,
    *,
    allow_other: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> Chosen:
    """The tokenizer that the user names, which must be the model's own; else the model's own.

    Args:
        given: the file of `--tokenizer`, or a folder with one, if it was passed.
        places: where the model's own may be.
        do_lower_case: as given; None where left open.
        keep_accents: as given; None where left open.
        vocab_size: the model's, where `places` may hold a tokenizer that is not its own: published folders. One that
            is damaged, of another size, or not the only one is passed over there for `given`.
        allow_other: whether one with other pieces is taken all the same.
        facts: of the checkpoint, which may tell its tokenizer where it does not hold it.

    Raises:
        CommandError: it is not the one in the checkpoint: its pieces, or their order, differ, so that ids mean
            something else. Other bytes or text rules with the same pieces are a warning. Or as `open_file`.
        UsageError, AlbertFastError: as `open_tokenizer`.
    """
    if given is None:
        path = find(places)
        if path is None:
            return Chosen(None, rules_known=False)
        opened = open_file(path, do_lower_case, keep_accents)
        return Chosen(opened, do_lower_case is not None or _rules_of(path).lower_case is not None, path)
    given = tokenizer_files.named(given)
    beside = _rules_of(given)
    known = do_lower_case is not None or beside.lower_case is not None
    try:
        path = find(places)
        own = None if path is None else open_file(path)
    except (CommandError, AlbertFastError):
        if vocab_size is None:
            raise
        own = None
    if own is None or path is None or (vocab_size is not None and own.vocab_size != vocab_size):
        opened = open_file(given, do_lower_case, keep_accents)
        kept = (facts or {}).get("tokenizer") or {}
        if not allow_other and compare(opened, kept, rebuilt=is_rebuilt(given)) == "other":
            raise CommandError(
                f"{given} is not the tokenizer that the model was trained with, {name(kept)}: "
                f"{reason(described(opened), kept)}; pass that tokenizer, or --allow-other-tokenizer to use "
                f"{given.name} anyway"
            )
        return Chosen(opened, known, given)
    if own.kind == "unigram":
        # The checkpoint knows what its text was like; a model file by itself does not.
        do_lower_case = _first(_first(do_lower_case, beside.lower_case), own.lower_case)
        keep_accents = _first(_first(keep_accents, beside.keep_accents), own.keep_accents)
    opened = open_file(given, do_lower_case, keep_accents)
    if compare(opened, own) == "other":
        if allow_other:
            warn(f"{given} is used, and has other pieces than {path}, with which the model was trained")
            return Chosen(opened, known, given)
        raise CommandError(
            f"{given} is not the tokenizer that the model was trained with, {path}: it has other pieces, or in "
            f"another order; drop --tokenizer, or pass --allow-other-tokenizer"
        )
    if (opened.lower_case, opened.keep_accents) != (own.lower_case, own.keep_accents):
        warn(f"{given} is used with other text rules than the model was trained with (see {path})")
    elif opened.digest != own.digest and (others := _differences(opened, own)):
        warn(f"{given} has the pieces of {path}, but differs from it in {others}")
    return Chosen(opened, known or _rules_of(path).lower_case is not None, given)


class OfWeights(NamedTuple):
    """The tokenizer of weights, as far as it is known."""

    tokenizer: Tokenizer | None
    described: Mapping[str, Any]
    """What is known of it."""
    name: str
    """What to call it."""


def of_weights(source: Path, start: "Initial") -> OfWeights:
    """The tokenizer that the weights at `source` were trained with.

    One beside weights from elsewhere that is damaged, not the only one, or of another size than the model counts as
    unknown.

    Args:
        source: what the user named.
        start: what was read there.
    """
    size = None if start.config is None else start.config.vocab_size
    kept = start.facts.get("tokenizer") or {}
    try:
        path = find(folders(source, start.path))
        opened = None if path is None else open_file(path)
    except (CommandError, AlbertFastError):
        path = opened = None
    if path is None or opened is None or (size is not None and opened.vocab_size != size):
        return OfWeights(None, kept, name(kept))
    return OfWeights(opened, {**described(opened), "rebuilt": is_rebuilt(path)}, str(path))


def check_data(source: Path, start: "Initial", other: Tokenizer | Mapping[str, Any], of: str) -> None:
    """Refuses data of another tokenizer than the weights'.

    Args:
        source: the weights, as the user named them.
        start: what was read there.
        other: the data's tokenizer, or what is known of it, as `albert_fast.tokenizers.match.described` has it.
        of: what to call the data.

    Raises:
        CommandError: the pieces differ. Other text rules are a warning.
    """
    found = of_weights(source, start)
    theirs = described(other) if isinstance(other, Tokenizer) else other
    if found.tokenizer is not None:
        match = compare(found.tokenizer, theirs, rebuilt=bool(found.described["rebuilt"]))
    elif isinstance(other, Tokenizer):
        match = compare(other, found.described)
    else:
        match = compare_descriptions(found.described, theirs)
    if match == "other":
        called = str(other.path) if isinstance(other, Tokenizer) else name(theirs)
        sizes = found.described.get("vocab_size"), theirs.get("vocab_size")
        why, way_around = reason(found.described, theirs), ", or pass --allow-other-tokenizer"
        if None not in sizes and sizes[0] != sizes[1]:
            why, way_around = f"the first has {sizes[0]:,} pieces, the other {sizes[1]:,}", ""
        raise CommandError(
            f"{source} was trained with another tokenizer ({found.name}) than {of} was made with ({called}): {why}; "
            f"use data of the model's tokenizer{way_around}"
        )
    if match == "rules":
        warn(f"{of} was made with other text rules than {source} was trained with ({found.name})")


def _differences(one: Tokenizer, other: Tokenizer) -> str:
    """What two tokenizers with the same pieces differ in; empty if nothing of it decides ids."""
    from trainer.errors import TrainerError
    from trainer.exchange import tokenizer_model

    if one.kind != "unigram":
        return "its bytes"
    try:
        return ", ".join(tokenizer_model.differences(*(Path(each.path).read_bytes() for each in (one, other))))
    except (OSError, TrainerError):  # of a kind that no tokenizer.json can express
        return "its bytes"


def _first(given: bool | None, other: bool | None) -> bool | None:
    return other if given is None else given
