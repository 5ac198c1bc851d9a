"""`albert-fast export`."""

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert_fast import __version__
from albert_fast.cli import model_tokenizer
from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, check_output_dir, info, warn
from albert_fast.cli.fetching import refuse_remote
from albert_fast.cli.training import require_tensorflow, start_tensorflow
from albert_fast.errors import option_error
from albert_fast.files import inside, locked, resolved
from albert_fast.options import Export
from trainer.folder import FACTS

if TYPE_CHECKING:
    from albert_fast import Tokenizer
    from trainer.model.checkpoints import Checkpoint


@command(Export)
def export(options: Export, given: frozenset[str]) -> None:
    r"""Write a model for Hugging Face, TensorFlow 1 or ONNX.

    albert-fast export --checkpoint run --output-dir my-albert \
        --license apache-2.0 --language de
    """
    refuse_remote(checkpoint=options.checkpoint, output_dir=options.output_dir)
    require_tensorflow("export")
    if options.to == "onnx":
        _require_onnx()
    check_output_dir(options.output_dir.absolute().parent)
    info(run(options))


def _require_onnx() -> None:
    """Refuses to continue if a package is missing, and says what to install. Imports none of them."""
    if lacking := [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]:
        raise CommandError(f'export --to onnx needs {", ".join(lacking)}: pip install ".[train,onnx]" in the clone')


def run(options: Export) -> str:
    """Exports the model, and returns a line that says what was written.

    Raises:
        CommandError, AlbertFastError: inputs do not match, or something cannot be read or written.
    """
    final = resolved(options.output_dir)
    with locked(final, whole=True):
        return _run(options, final)


def _run(options: Export, final: Path) -> str:
    """Exports to `final`, which is locked."""
    from trainer.exchange import export as exporter
    from trainer.model import checkpoints

    exporter.check_output(final, options.overwrite)
    found = checkpoints.find(options.checkpoint, warn)
    if inside(found.path, final) or inside(final, found.path):
        rule = "a directory that is not in the checkpoint and does not contain it"
        raise option_error("output_dir", rule, str(options.output_dir))
    chosen = model_tokenizer.choose(
        options.tokenizer,
        model_tokenizer.directories(options.checkpoint, found.path),
        options.do_lower_case,
        options.keep_accents,
        allow_other=options.allow_other_tokenizer,
        facts=found.facts,
    )
    opened = chosen.tokenizer
    if opened is None and options.to != "tf1":
        raise CommandError(
            f"checkpoint {found.path} holds no tokenizer; pass the one that it was trained with as --tokenizer"
        )
    if opened is not None:
        exporter.check_vocabulary(opened, found.config, chosen.path)
    start_tensorflow()
    values = checkpoints.values(found, model_only=not options.optimizer_state)
    if options.optimizer_state and not any(name.endswith(checkpoints.SLOTS) for name in values):
        raise CommandError(f"checkpoint {found.path} holds no optimizer state; remove --optimizer-state")
    trained = exporter.Trained(values, found.config, found.step, opened)
    # Loading took a while, and an output may exist by now.
    exporter.check_output(final, options.overwrite)
    if options.to == "tf1":
        exporter.to_tf1(trained, final)
        if found.config.square_mapping:
            warn(
                "google-research/ALBERT has no mapping if embedding_size equals hidden_size "
                f"({found.config.hidden_size}): it would skip embedding_hidden_mapping_in and compute something else. "
                "Use this TF1 checkpoint only with albert-fast, or pass --to huggingface"
            )
        if opened is None:
            warn(f"{options.output_dir} has no tokenizer, because checkpoint {found.path} holds none")
        return f"exported {found.path} to {options.output_dir / f'model.ckpt-{found.step}'} for TF1"
    assert opened is not None
    card = _card(options, found, opened, final.name)
    if options.to == "onnx":
        from trainer.exchange.onnx_directory import to_onnx

        difference = to_onnx(trained, final, card, options.task, __version__)
        return (
            f"exported {found.path} to {options.output_dir}; the outputs of onnxruntime and TensorFlow differ by up to "
            f"{difference:.1g}"
        )
    exporter.to_hugging_face(trained, final, card, options.dtype)
    return f"exported {found.path} to {options.output_dir}"


def _card(options: Export, found: "Checkpoint", tokenizer: "Tokenizer", name: str) -> str:
    from trainer.exchange.card import Card
    from trainer.run.memory import parameters

    return Card(
        name=options.model_name or name,
        config=found.config,
        parameters=parameters(found.config),
        tokenizer=tokenizer,
        step=found.step,
        facts=found.facts,
        figures=_figures(found.path),
        evaluation=found.evaluation,
        license=options.license,
        languages=[*options.language],
        onnx=options.task if options.to == "onnx" else None,
    ).text()


def _figures(checkpoint: Path) -> dict[str, Any]:
    """Returns what the run's run.json says about its data, or nothing if the checkpoint was moved elsewhere."""
    try:
        content = json.loads((checkpoint.parent.parent / FACTS).read_text(encoding="utf-8"))
        data = content["data"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
