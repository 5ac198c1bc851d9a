"""Finds and opens a model's tokenizer: of a run, a checkpoint, a Hugging Face directory or a TF1 directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast import AlbertFastError, Tokenizer
from albert_fast.cli.common import CommandError, warn
from albert_fast.tokenizers import files as tokenizer_files
from albert_fast.tokenizers.match import RULES, compare, compare_descriptions, described, extends, name, reason
from trainer.folder import CHECKPOINTS

if TYPE_CHECKING:
    from albert_fast.tokenizers.opening import TextRules
    from trainer.exchange.initial import Initial


def directories(source: Path, checkpoint: Path | None = None) -> list[Path]:
    """Returns directories that may contain a model's tokenizer, the likeliest first.

    Args:
        source: what the user named: a directory, a file in one, or the prefix of a TF1 checkpoint.
        checkpoint: the checkpoint of albert-fast that was found there, if any.
    """
    source = tokenizer_files.snapshot(source)
    base = source if source.is_dir() else source.parent
    places = [base, base / "assets"]
    if checkpoint is not None:
        places = [checkpoint, *([checkpoint.parent.parent] if checkpoint.parent.name == CHECKPOINTS else []), *places]
    elif base.name == "variables":  # a TF Hub module
        places.append(base.parent / "assets")
    return list(dict.fromkeys(places))


def find(places: Sequence[Path]) -> Path | None:
    """Returns the tokenizer's file in the first of these directories that contains one.

    See `albert_fast.tokenizers.files.find`.

    Raises:
        AlbertFastError: a directory contains several.
    """
    return next((found for place in places if (found := tokenizer_files.find(place))), None)


def open_file(path: Path, do_lower_case: bool | None = None, keep_accents: bool | None = None) -> Tokenizer:
    """Opens a tokenizer as `trainer.exchange.tokenizer_open.open_file` does.

    Raises:
        AlbertFastError: the file is not a usable tokenizer, or one next to it differs or is damaged.
    """
    from trainer.exchange import tokenizer_open

    return tokenizer_open.open_file(path, do_lower_case, keep_accents, warn=warn)


def is_rebuilt(path: Path) -> bool:
    """As `trainer.exchange.tokenizer_open.is_rebuilt`."""
    from trainer.exchange import tokenizer_open

    return tokenizer_open.is_rebuilt(path)


def rules_of(path: Path) -> "TextRules":
    """As `trainer.exchange.tokenizer_open.rules_of`."""
    from trainer.exchange import tokenizer_open

    return tokenizer_open.rules_of(path, warn)


class Chosen(NamedTuple):
    """A tokenizer for a model."""

    tokenizer: Tokenizer | None
    """The tokenizer, or None if none was given and none is known."""
    rules_known: bool
    """Whether a flag, or a file next to the tokenizer or the model's own, states if its text was lowercased."""
    path: Path | None = None
    """Its file, as the user knows it. For a tokenizer.json, the tokenizer's own path is another one."""


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
    """Returns the tokenizer that the user names, otherwise the model's own.

    A tokenizer that the user names must be the model's own.

    Args:
        given: the file of `--tokenizer`, or a directory that contains one, if it was passed.
        places: directories that may contain the model's own.
        do_lower_case: as given; None if not given.
        keep_accents: as given; None if not given.
        vocab_size: that of the model, if `places` may contain a tokenizer that is not its own, as published directories
            do. A tokenizer there that is damaged, of another size, or not the only one is then skipped in favor of
            `given`.
        allow_other: whether to accept a tokenizer with other pieces.
        facts: what the checkpoint says about its tokenizer, if it does not contain it.

    Raises:
        CommandError: it is not the one in the checkpoint: its pieces, or their order, differ, so that ids have another
            meaning. Other bytes or text rules with the same pieces are a warning.
        AlbertFastError: as in `find` and `open_file`.
    """
    if given is None:
        path = find(places)
        if path is None:
            return Chosen(None, rules_known=False)
        opened = open_file(path, do_lower_case, keep_accents)
        return Chosen(opened, do_lower_case is not None or rules_of(path).lower_case is not None, path)
    given = tokenizer_files.named(given)
    beside = rules_of(given)
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
                f"{reason(described(opened), kept)}; pass the right one, or --allow-other-tokenizer to use "
                f"{given.name} anyway"
            )
        return Chosen(opened, known, given)
    if own.kind == "unigram":
        # The checkpoint knows what its text was like. A model file by itself does not.
        do_lower_case = _first(_first(do_lower_case, beside.lower_case), own.lower_case)
        keep_accents = _first(_first(keep_accents, beside.keep_accents), own.keep_accents)
    opened = open_file(given, do_lower_case, keep_accents)
    if compare(opened, own) == "other":
        if allow_other:
            warn(f"using {given}, whose pieces differ from those of {path}, which the model was trained with")
            return Chosen(opened, known, given)
        raise CommandError(
            f"{given} is not the tokenizer that the model was trained with, {path}: it has other pieces, or in "
            "another order; remove --tokenizer, or pass --allow-other-tokenizer"
        )
    if (opened.lower_case, opened.keep_accents) != (own.lower_case, own.keep_accents):
        warn(f"using {given} with other text rules than the model was trained with (see {path})")
    elif opened.digest != own.digest and (others := _differences(opened, own)):
        warn(f"using {given}, which has the same pieces as {path}, but differs in {others}")
    return Chosen(opened, known or rules_of(path).lower_case is not None, given)


class OfWeights(NamedTuple):
    """The tokenizer of weights, as far as it is known."""

    tokenizer: Tokenizer | None
    described: Mapping[str, Any]
    """What is known about it."""
    name: str
    """What to call it."""


def of_weights(source: Path, start: "Initial") -> OfWeights:
    """Returns the tokenizer that the weights at `source` were trained with.

    A tokenizer next to other programs' weights is unknown if it is damaged, not the only one, or of another size than
    the model.

    Args:
        source: what the user named.
        start: what was read there.
    """
    size = None if start.config is None else start.config.vocab_size
    kept = start.facts.get("tokenizer") or {}
    try:
        path = find(directories(source, start.path))
        opened = None if path is None else open_file(path)
    except (CommandError, AlbertFastError):
        path = opened = None
    if path is None or opened is None or (size is not None and opened.vocab_size != size):
        return OfWeights(None, kept, name(kept))
    return OfWeights(opened, {**described(opened), "rebuilt": is_rebuilt(path)}, str(path))


def extended(source: Path, start: "Initial", other: Tokenizer | None) -> "Initial | None":
    """Returns the weights with rows for the pieces that a tokenizer adds to that of the weights.

    Returns None if it is not known to extend that tokenizer: the first pieces must be equal, and in the same order.

    Args:
        source: the weights, as the user named them.
        start: what was read there.
        other: the tokenizer of the data, if it is there.
    """
    from trainer.exchange import growing

    size = growing.rows(start)
    if other is None or size == 0 or other.vocab_size <= size:
        return None
    found = of_weights(source, start)
    known = described(found.tokenizer) if found.tokenizer is not None else found.described
    if known.get("vocab_size") != size or not extends(other, known):
        return None
    if _other_rules(other, known):
        warn(
            f"the model will get text unlike that of its training, because {other.path} has other text rules than "
            f"{found.name}; extend that one again with train-tokenizer --extend, which keeps its text rules"
        )
    grown = growing.grown(start, other)
    return grown._replace(facts={**start.facts, "tokenizer": described(other)})


def _other_rules(one: Tokenizer, other: Mapping[str, Any]) -> bool:
    """Returns whether what is known about the other tokenizer's text rules differs."""
    return any(key in other and described(one)[key] != other[key] for key in RULES)


def check_data(source: Path, start: "Initial", other: Tokenizer | Mapping[str, Any], of: str, larger: str = "") -> None:
    """Refuses data of another tokenizer than that of the weights.

    Args:
        source: the weights, as the user named them.
        start: what was read there.
        other: the tokenizer of the data, or what is known about it, as `albert_fast.tokenizers.match.described` returns
            it.
        of: what to call the data.
        larger: further advice if the other tokenizer has more pieces.

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
            why = f"the first has {sizes[0]:,} pieces, the other {sizes[1]:,}"
            way_around = larger if (sizes[1] or 0) > (sizes[0] or 0) else ""
        raise CommandError(
            f"{source} was trained with another tokenizer ({found.name}) than {of} was made with ({called}): {why}; "
            f"use data made with the model's tokenizer{way_around}"
        )
    if match == "rules":
        warn(f"{of} was made with other text rules than {source} was trained with ({found.name})")


def _differences(one: Tokenizer, other: Tokenizer) -> str:
    """Returns the differences of two tokenizers with the same pieces, or an empty string if none affects ids."""
    from trainer.errors import TrainerError
    from trainer.exchange import tokenizer_model

    if one.kind != "unigram":
        return "its bytes"
    try:
        return ", ".join(tokenizer_model.differences(*(Path(each.path).read_bytes() for each in (one, other))))
    except (OSError, TrainerError):  # no tokenizer.json can express this kind
        return "its bytes"


def _first(given: bool | None, other: bool | None) -> bool | None:
    return other if given is None else given
