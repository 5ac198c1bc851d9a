"""`albert-fast import-checkpoint`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from albert_fast import __version__
from albert_fast.cli import model_tokenizer, options
from albert_fast.cli.common import UsageError, check_output_dir, info, plain, warn
from albert_fast.cli.training import model_config, require_tensorflow, start_tensorflow, trainer_errors
from albert_fast.files import locked
from albert_fast.tokenizers import match as tokenizer_match

if TYPE_CHECKING:
    from albert_fast import Tokenizer
    from trainer.exchange.initial import Initial
    from trainer.model.config import ModelConfig


def import_checkpoint(
    source: Annotated[
        Path,
        typer.Argument(
            help="A TF1 ALBERT checkpoint (its folder, or its path without .index), or a Hugging Face folder with "
            "config.json and model.safetensors.",
            show_default=False,
        ),
    ],
    output_dir: Annotated[
        Path, typer.Option(help="Folder to write, whole or not at all.", show_default=False, metavar="DIR")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Of a TF1 checkpoint without albert_config.json beside it: base, large, xlarge, xxlarge, tiny, or a "
            "file of it.",
            show_default=False,
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Its tokenizer: spiece.model, tokenizer.json, or vocab.txt.  [default: the one in SOURCE's folder, if "
            "any]",
            show_default=False,
        ),
    ] = None,
    random_seed: Annotated[int, typer.Option(min=0, help="Of heads that SOURCE lacks.")] = 12345,
    allow_other_tokenizer: options.AllowOtherTokenizer = False,
    do_lower_case: options.DoLowerCase = None,
    keep_accents: options.KeepAccents = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite/--no-overwrite", help="Replace what an earlier import wrote there.")
    ] = False,
    config: options.Config = None,
) -> None:
    """Make a published ALBERT a checkpoint that evaluate, export, fill-mask and pretrain --init-checkpoint take.

    Example: albert-fast import-checkpoint albert_base --output-dir start
    """
    given = {name: value for name, value in locals().items() if name != "config"}
    require_tensorflow("import-checkpoint")
    check_output_dir(output_dir.absolute().parent)
    final = output_dir.resolve()
    with trainer_errors(), locked(final, whole=True):
        start_tensorflow()
        from trainer.exchange import importing, initial

        importing.check_output(final, overwrite)
        start = initial.initial(source)
        chosen = _config(start, model)
        opened, rebuilt = _tokenizer(
            source, start, chosen, tokenizer, do_lower_case, keep_accents, allow_other=allow_other_tokenizer
        )
        files, described = ({}, {}) if opened is None else _files(opened, rebuilt=rebuilt)
        settings = {"albert_fast_version": __version__, "import-checkpoint": plain(given)}
        content = (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
        # Loading took a while, and something may be there now.
        importing.check_output(final, overwrite)
        done = importing.write(
            start, chosen, final, files, {"import-checkpoint.config.json": content}, random_seed, described
        )
    for remark in done.remarks:
        warn(remark)
    if done.fresh:
        warn(f"{start.origin} lacks {', '.join(done.fresh)}: random values were put there")
    if opened is None:
        warn(f"{source} holds no tokenizer: pass it as --tokenizer here, or to export and fill-mask later")
    info(f"written: {output_dir}, of {start.origin}")


def _config(start: "Initial", model: str | None) -> "ModelConfig":
    """The model's configuration: its own, or the one that the user names.

    Raises:
        UsageError: there is none, or there are two that differ.
    """
    if model is None:
        if start.config is None:
            raise UsageError(
                f"{start.origin} has no albert_config.json beside it: pass --model base, large, xlarge, xxlarge, or "
                "the file of its configuration"
            )
        return start.config
    from trainer.model import weights

    words = start.values.get("bert/embeddings/word_embeddings")
    _, chosen = model_config(model, None if words is None else len(words))
    chosen = weights.fitted(chosen, start.values)
    if start.config is not None and start.config != chosen:
        raise UsageError(f"{start.origin} has a configuration of its own, and --model {model} is another")
    return chosen


def _tokenizer(
    source: Path,
    start: "Initial",
    config: "ModelConfig",
    given: Path | None,
    do_lower_case: bool | None,
    keep_accents: bool | None,
    *,
    allow_other: bool,
) -> "tuple[Tokenizer | None, bool]":
    """The tokenizer, and whether it was rebuilt from a tokenizer.json."""
    from trainer.errors import TrainerError
    from trainer.exchange.export import check_vocabulary

    # A checkpoint of ours holds its own; anything else may hold any.
    size = config.vocab_size if start.path is None else None
    opened, known, path = model_tokenizer.choose(
        given,
        model_tokenizer.folders(source, start.path),
        do_lower_case,
        keep_accents,
        size,
        allow_other=allow_other,
        facts=start.facts,
    )
    if opened is None or path is None:
        return None, False
    if not known:
        warn(
            f"nothing beside {opened.path} says how its text was prepared: it is taken to be "
            "lower-cased and without accents, as that of the published English models; "
            "--no-do-lower-case and --keep-accents say otherwise"
        )
    try:
        check_vocabulary(opened, config, path)
    except TrainerError as error:
        if given is not None:
            raise
        raise TrainerError(f"{error}; pass the right one as --tokenizer, or take it out of the folder") from None
    return opened, model_tokenizer.is_rebuilt(path)


def _files(tokenizer: "Tokenizer", *, rebuilt: bool) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The tokenizer's files, by name, and what is known of it."""
    from trainer.exchange.export import own_tokenizer_files

    described = tokenizer_match.described(tokenizer) | ({"rebuilt": True} if rebuilt else {})
    return own_tokenizer_files(tokenizer, rebuilt=rebuilt), described
