"""`albert-fast import-checkpoint`."""

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast import AlbertFastError, __version__
from albert_fast.cli import model_tokenizer
from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, check_output_dir, info, warn
from albert_fast.cli.fetching import refuse_remote
from albert_fast.cli.training import model_config, require_tensorflow, start_tensorflow
from albert_fast.files import locked, resolved
from albert_fast.options import ImportCheckpoint
from albert_fast.tokenizers import files as tokenizer_files
from albert_fast.tokenizers import match as tokenizer_match

if TYPE_CHECKING:
    from albert_fast import Tokenizer
    from trainer.exchange.initial import Initial
    from trainer.model.config import ModelConfig


@command(ImportCheckpoint)
def import_checkpoint(options: ImportCheckpoint, given: frozenset[str]) -> None:
    """Convert a published ALBERT to a checkpoint. evaluate, export, fill-mask and pretrain --init-checkpoint read it.

    albert-fast import-checkpoint albert_base --output-dir start
    """
    refuse_remote(SOURCE=options.source, output_dir=options.output_dir)
    require_tensorflow("import-checkpoint")
    check_output_dir(options.output_dir.absolute().parent)
    final = resolved(options.output_dir)
    with locked(final, whole=True):
        start_tensorflow()
        from trainer.exchange import importing, initial

        importing.check_output(final, options.overwrite)
        start = initial.initial(options.source)
        larger = _extended(options, start)
        added: tuple[str, ...] = ()
        if larger is not None:
            added = larger.weights.notes[len(start.notes) :]
            start = larger.weights
        chosen = _config(start, options.model)
        opened, rebuilt = _tokenizer(options, start, chosen) if larger is None else (larger.tokenizer, False)
        files, described = ({}, {}) if opened is None else _files(opened, rebuilt=rebuilt)
        kept = {name: value for name, value in options.as_dict().items() if name != "config"}
        settings = {"albert_fast_version": __version__, "import-checkpoint": kept}
        content = (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
        # Loading took a while, and an output may exist by now.
        importing.check_output(final, options.overwrite)
        done = importing.write(
            start, chosen, final, files, {"import-checkpoint.config.json": content}, options.random_seed, described
        )
    for remark in done.remarks:
        # New rows are what the user asked for.
        (info if remark in added else warn)(remark)
    if done.fresh:
        warn(f"{start.origin} lacks {', '.join(done.fresh)}: using random values for them")
    if opened is None:
        warn(f"{options.source} holds no tokenizer; pass --tokenizer here, or to export and fill-mask later")
    info(f"imported {start.origin} to {options.output_dir}")


def _config(start: "Initial", model: str | None) -> "ModelConfig":
    """Returns the model's configuration: its own, or the one that the user names.

    Raises:
        CommandError: there is none, or there are two that differ.
    """
    if model is None:
        if start.config is None:
            raise CommandError(
                f"{start.origin} has no albert_config.json next to it; pass --model base, large, xlarge, xxlarge, or "
                "its configuration file"
            )
        return start.config
    from trainer.model import weights

    words = start.values.get("bert/embeddings/word_embeddings")
    _, chosen = model_config(model, None if words is None else len(words))
    chosen = weights.fitted(chosen, start.values)
    if start.config is not None and start.config != chosen:
        raise CommandError(f"--model {model} contradicts the configuration of {start.origin}; remove --model")
    return chosen


class _Extended(NamedTuple):
    """Weights with rows for all pieces of a tokenizer that extends theirs."""

    weights: "Initial"
    tokenizer: "Tokenizer"


def _extended(options: ImportCheckpoint, start: "Initial") -> _Extended | None:
    """Returns the weights for the tokenizer that the user names, if it extends theirs."""
    from trainer.exchange import growing, tokenizer_open

    if options.tokenizer is None:
        return None
    given = tokenizer_files.named(options.tokenizer)
    try:
        if tokenizer_open.open_file(given, warn=lambda _: None).vocab_size <= growing.rows(start):
            return None
    except AlbertFastError:  # reported when it is opened for use
        return None
    lower_case, keep_accents = options.do_lower_case, options.keep_accents
    own = model_tokenizer.of_weights(options.source, start).tokenizer
    if own is not None and own.kind == "unigram":
        # A model file by itself does not know what its text was like. Its extension has the same rules.
        beside = model_tokenizer.rules_of(given)
        lower_case = own.lower_case if lower_case is None and beside.lower_case is None else lower_case
        keep_accents = own.keep_accents if keep_accents is None and beside.keep_accents is None else keep_accents
    tokenizer = model_tokenizer.open_file(given, lower_case, keep_accents)
    weights = model_tokenizer.extended(options.source, start, tokenizer)
    return None if weights is None else _Extended(weights, tokenizer)


def _tokenizer(options: ImportCheckpoint, start: "Initial", config: "ModelConfig") -> "tuple[Tokenizer | None, bool]":
    """Returns the tokenizer, and whether it was rebuilt from a tokenizer.json."""
    from trainer.errors import TrainerError
    from trainer.exchange.export import check_vocabulary

    # A checkpoint of pretrain contains its own tokenizer. The tokenizer in another directory may not fit.
    size = config.vocab_size if start.path is None else None
    opened, known, path = model_tokenizer.choose(
        options.tokenizer,
        model_tokenizer.directories(options.source, start.path),
        options.do_lower_case,
        options.keep_accents,
        size,
        allow_other=options.allow_other_tokenizer,
        facts=start.facts,
    )
    if opened is None or path is None:
        return None, False
    if not known:
        warn(
            f"no file next to {opened.path} says whether to lowercase text and remove accents: assuming that both are "
            "done, as for the published English models. If this model has capitals and accents, pass "
            "--no-do-lower-case and --keep-accents"
        )
    try:
        check_vocabulary(opened, config, path)
    except TrainerError as error:
        if options.tokenizer is not None and opened.vocab_size < config.vocab_size:
            raise
        if options.tokenizer is not None:
            message = f"{error}, or put the spiece.model that it extends next to the weights"
            raise TrainerError(message, kind="tokenizer", path=path) from None
        message = f"{error}: pass it as `tokenizer`, or remove {path}"
        raise TrainerError(message, kind="tokenizer", path=path) from None
    return opened, model_tokenizer.is_rebuilt(path)


def _files(tokenizer: "Tokenizer", *, rebuilt: bool) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Returns the tokenizer's files by name, and what is known about the tokenizer."""
    from trainer.exchange.export import own_tokenizer_files

    described = tokenizer_match.described(tokenizer) | ({"rebuilt": True} if rebuilt else {})
    return own_tokenizer_files(tokenizer, rebuilt=rebuilt), described
