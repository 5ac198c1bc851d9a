"""`albert-fast export`."""

import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from albert_fast.cli import model_tokenizer, options
from albert_fast.cli.common import UsageError, check_output_dir, info, warn
from albert_fast.cli.training import require_tensorflow, start_tensorflow, trainer_errors
from albert_fast.files import inside, locked
from trainer.folder import FACTS

if TYPE_CHECKING:
    from albert_fast import Tokenizer
    from trainer.model.checkpoints import Checkpoint

CARD = "Model card"


class Target(enum.Enum):
    """What an export is for."""

    huggingface = "huggingface"
    tf1 = "tf1"


class Dtype(enum.Enum):
    """The type of exported weights."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def export(
    checkpoint: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="A checkpoint of pretrain, or the output folder of a run, for its newest; or what import-checkpoint "
            "made.",
            show_default=False,
        ),
    ],
    output_dir: Annotated[
        Path, typer.Option(help="Folder to write, whole or not at all.", show_default=False, metavar="HF_DIR")
    ],
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The tokenizer it was trained with: spiece.model, tokenizer.json, or a WordPiece vocab.txt.  "
            "[default: the checkpoint's own]",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Target,
        typer.Option(help="huggingface: a folder for transformers. tf1: a checkpoint for google-research/ALBERT."),
    ] = Target.huggingface,
    dtype: Annotated[
        Dtype, typer.Option(help="Of the weights; bfloat16 halves the file and rounds them.")
    ] = Dtype.float32,
    optimizer_state: Annotated[
        bool,
        typer.Option(
            "--optimizer-state/--no-optimizer-state",
            help="With --to tf1: write adam_m and adam_v of each variable too.",
        ),
    ] = False,
    license: Annotated[  # noqa: A002 - it is the option's name
        str | None,
        typer.Option(
            metavar="ID",
            help="The model's licence, by Hugging Face's identifier, such as apache-2.0.",
            show_default=False,
            rich_help_panel=CARD,
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE",
            help="The text's language, such as de; can be given again.",
            show_default=False,
            rich_help_panel=CARD,
        ),
    ] = None,
    model_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Title of the card.  [default: HF_DIR's]", show_default=False, rich_help_panel=CARD
        ),
    ] = None,
    allow_other_tokenizer: options.AllowOtherTokenizer = False,
    do_lower_case: options.DoLowerCase = None,
    keep_accents: options.KeepAccents = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite/--no-overwrite", help="Replace what an earlier export wrote there.")
    ] = False,
    config: options.Config = None,
) -> None:
    """Write a trained model as a Hugging Face folder, or as a TF1 checkpoint.

    Example: albert-fast export --checkpoint run --output-dir my-albert --license apache-2.0 --language de
    """
    require_tensorflow("export")
    if to is Target.tf1 and dtype is not Dtype.float32:
        raise UsageError(
            f"--dtype {dtype.value} goes with --to huggingface: google-research/ALBERT reads float32 alone"
        )
    if to is Target.huggingface and optimizer_state:
        raise UsageError("--optimizer-state goes with --to tf1: a Hugging Face folder holds none")
    check_output_dir(output_dir.absolute().parent)
    with trainer_errors():
        written = run(
            checkpoint,
            output_dir,
            tokenizer,
            to,
            dtype,
            optimizer_state=optimizer_state,
            card={"license": license, "languages": language or [], "name": model_name},
            do_lower_case=do_lower_case,
            keep_accents=keep_accents,
            overwrite=overwrite,
            allow_other_tokenizer=allow_other_tokenizer,
        )
    info(written)


def run(
    checkpoint: Path,
    output_dir: Path,
    tokenizer: Path | None = None,
    to: Target = Target.huggingface,
    dtype: Dtype = Dtype.float32,
    *,
    optimizer_state: bool = False,
    card: dict[str, Any] | None = None,
    do_lower_case: bool | None = None,
    keep_accents: bool | None = None,
    overwrite: bool = False,
    allow_other_tokenizer: bool = False,
) -> str:
    """Exports; a line that says what was written.

    Args:
        checkpoint: a run or one of its checkpoints.
        output_dir: where to.
        tokenizer: its file; None for the checkpoint's own.
        to: a Hugging Face folder or a TF1 checkpoint.
        dtype: of a Hugging Face folder's tensors.
        optimizer_state: whether a TF1 checkpoint gets adam_m and adam_v.
        card: `license`, `languages` and `name` for the model card.
        do_lower_case: as given; None where left open.
        keep_accents: as given; None where left open.
        overwrite: whether an earlier export is replaced.
        allow_other_tokenizer: whether a tokenizer with other pieces than the model's is taken.

    Raises:
        TrainerError, CommandError, AlbertFastError: something does not fit, or cannot be read or written.
    """
    final = output_dir.resolve()
    with locked(final, whole=True):
        return _run(
            checkpoint,
            output_dir,
            final,
            tokenizer,
            to,
            dtype,
            optimizer_state=optimizer_state,
            card=card,
            do_lower_case=do_lower_case,
            keep_accents=keep_accents,
            overwrite=overwrite,
            allow_other_tokenizer=allow_other_tokenizer,
        )


def _run(
    checkpoint: Path,
    output_dir: Path,
    final: Path,
    tokenizer: Path | None,
    to: Target,
    dtype: Dtype,
    *,
    optimizer_state: bool,
    card: dict[str, Any] | None,
    do_lower_case: bool | None,
    keep_accents: bool | None,
    overwrite: bool,
    allow_other_tokenizer: bool,
) -> str:
    from trainer.errors import TrainerError
    from trainer.exchange import export as exporter
    from trainer.model import checkpoints

    exporter.check_output(final, overwrite)
    found = checkpoints.find(checkpoint, warn)
    if inside(found.path, final) or inside(final, found.path):
        raise TrainerError(f"--output-dir {output_dir} must not be the checkpoint's own folder, nor hold it")
    chosen = model_tokenizer.choose(
        tokenizer,
        model_tokenizer.folders(checkpoint, found.path),
        do_lower_case,
        keep_accents,
        allow_other=allow_other_tokenizer,
        facts=found.facts,
    )
    opened = chosen.tokenizer
    if opened is None and to is Target.huggingface:
        raise UsageError(f"checkpoint {found.path} holds no tokenizer: pass the one it was trained with as --tokenizer")
    if opened is not None:
        exporter.check_vocabulary(opened, found.config, chosen.path)
    start_tensorflow()
    values = checkpoints.values(found, model_only=not optimizer_state)
    if optimizer_state and not any(name.endswith(checkpoints.SLOTS) for name in values):
        raise TrainerError(f"checkpoint {found.path} holds no optimizer state: leave --optimizer-state out")
    trained = exporter.Trained(values, found.config, found.step, opened)
    # Loading took a while, and something may be there now.
    exporter.check_output(final, overwrite)
    if to is Target.tf1:
        exporter.to_tf1(trained, final)
        if found.config.square_mapping:
            warn(
                "google-research/ALBERT has no mapping if embedding_size equals hidden_size "
                f"({found.config.hidden_size}): it would skip embedding_hidden_mapping_in and compute something else. "
                "Use the checkpoint with albert-fast only, or pass --to huggingface"
            )
        if opened is None:
            warn(f"checkpoint {found.path} holds no tokenizer, and {output_dir} has none either")
        return f"written: {output_dir / f'model.ckpt-{found.step}'} for TF1, of {found.path}"
    assert opened is not None
    said = card or {}
    text = _card(found, opened, said.get("name") or final.name, said.get("license"), said.get("languages") or [])
    exporter.to_hugging_face(trained, final, text, dtype.value)
    return f"written: {output_dir} for Hugging Face's transformers, of {found.path}"


def _card(found: "Checkpoint", tokenizer: "Tokenizer", name: str, license_id: str | None, languages: list[str]) -> str:
    from trainer.exchange.card import Card
    from trainer.run.memory import parameters

    return Card(
        name=name,
        config=found.config,
        parameters=parameters(found.config),
        tokenizer=tokenizer,
        step=found.step,
        facts=found.facts,
        figures=_figures(found.path),
        evaluation=found.evaluation,
        license=license_id,
        languages=languages,
    ).text()


def _figures(checkpoint: Path) -> dict[str, Any]:
    """What the run's run.json says of its data; nothing where the checkpoint was taken elsewhere."""
    try:
        content = json.loads((checkpoint.parent.parent / FACTS).read_text(encoding="utf-8"))
        data = content["data"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
