"""`albert-fast evaluate`."""

import contextlib
import json
import math
from pathlib import Path
from typing import Any

from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, check_output_dir, info, plain, warn
from albert_fast.cli.fetching import fetching, refuse_remote
from albert_fast.cli.model_tokenizer import check_data
from albert_fast.cli.progress import Progress
from albert_fast.cli.training import require_tensorflow, start_tensorflow
from albert_fast.files import locked, write_atomic
from albert_fast.options import Evaluate
from albert_fast.text import duration, number

FIGURES = frozenset({"checkpoint", "records", "evaluation", "guessing"})
"""Keys that identify a file written by `--output`."""

MAX_FIGURES = 1 << 20
"""The maximum size in bytes of a file written by `--output`."""


@command(Evaluate)
def evaluate(options: Evaluate, given: frozenset[str]) -> None:
    """Compute losses and accuracies on held-out records. Both tasks are evaluated: masked LM and sentence order.

    albert-fast evaluate --checkpoint run --records held-out
    """
    require_tensorflow("evaluate")
    output = options.output
    if output is not None:
        refuse_remote(output=output)
        check_output_dir(output.absolute().parent)
    with contextlib.nullcontext() if output is None else locked(output, whole=True):
        if output is not None:
            _check_output(output, options.overwrite)
        found = run(options)
        show(found)
        if output is not None:
            _check_output(output, options.overwrite)
            write_atomic(output, (json.dumps(plain(found), indent=2) + "\n").encode(errors="backslashreplace"))
            info(f"wrote {output}")


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuses to replace a file that would be lost, and an output that is not a file."""
    if output.is_dir():
        raise CommandError(f"--output must be a file, got the directory {output}")
    if output.exists() and not output.is_file():
        raise CommandError(f"--output must be a file, got {output}, which is neither a file nor a directory")
    if output.exists() and not overwrite:
        raise CommandError(f"{output} exists; pass --overwrite to replace it, or another --output")
    if output.exists() and not _is_ours(output):
        raise CommandError(
            f"{output} was not written by evaluate, and --overwrite replaces only its own files; remove it, or pass "
            "another --output"
        )


def _is_ours(output: Path) -> bool:
    """Returns whether this is a file that `evaluate` wrote before, or an empty file."""
    try:
        content = output.read_bytes() if output.stat().st_size < MAX_FIGURES else b"?"
        found = json.loads(content) if content else dict.fromkeys(FIGURES)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= FIGURES


def run(options: Evaluate) -> dict[str, Any]:
    """Evaluates the checkpoint, and returns the results next to those of guessing.

    Raises:
        CommandError, AlbertFastError: inputs do not match, or cannot be read.
    """
    refuse_remote(checkpoint=options.checkpoint, cache_dir=options.cache_dir)
    checkpoint, precision, allow_other = options.checkpoint, options.precision, options.allow_other_tokenizer
    start_tensorflow()
    from trainer.exchange import initial
    from trainer.run import data

    start = initial.initial(checkpoint)
    for note in start.notes:
        warn(note)
    shape = start.config
    if shape is None:
        raise CommandError(
            f"{start.origin} has no albert_config.json next to it; put it there, or run import-checkpoint --model NAME"
        )
    initial.check_shapes(start, shape)
    described = data.describe_records(options.records, allow_other_tokenizer=allow_other)
    if not allow_other:
        check_data(checkpoint, start, described.tokenizer, f"the set {described.path}")
    with fetching(options.records, options) as how:
        held_out = data.from_records(
            options.records,
            options.eval_batch_size,
            vocab_size=shape.vocab_size,
            num_threads=options.num_threads,
            allow_other_tokenizer=allow_other,
            **how,
        )
    held_out.check(shape)
    if len(held_out.source) == 0:
        raise CommandError(f"{held_out.path}: no records; pass files with at least one record")
    guess = data.guess(held_out.source)

    import tensorflow as tf

    from trainer.errors import some
    from trainer.model.model import Albert
    from trainer.run import hardware
    from trainer.run.evaluation import Evaluator
    from trainer.run.loop import device_errors

    device = hardware.one()
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
    model = Albert(shape, tf.bfloat16 if precision == "bf16" else tf.float32)
    if missing := initial.assign(start, model.named_variables, shape):
        raise CommandError(f"{start.origin} lacks {some(missing)}; evaluation needs both pretraining heads")
    advice = f"with eval_batch_size={options.eval_batch_size}; pass a smaller one, which does not change the figures"
    with device_errors("in the evaluation", device, advice), Progress() as progress:
        figures = Evaluator([model], held_out.source, device, jit=options.jit)(
            lambda done, count: progress("evaluate", "batches", done, count)
        )
    assert figures is not None  # nothing interrupts it
    return {
        "checkpoint": str(start.path or checkpoint),
        "step": start.step,
        "records": held_out.path,
        "precision": precision,
        "evaluation": figures._asdict(),
        "guessing": {"masked_lm_loss": guess.loss, "masked_lm_accuracy": guess.accuracy},
    }


def show(found: dict[str, Any]) -> None:
    """Prints the figures, and what guessing by frequency would give."""
    figures, guessing = found["evaluation"], found["guessing"]
    step = "" if found["step"] is None else f", step {found['step']:,}"
    print(f"{found['checkpoint']}{step}, on {number(figures['records'], 'record')} of {found['records']}")
    chance = {**guessing, "sentence_order_loss": math.log(2), "sentence_order_accuracy": 0.5}
    for name, guess in chance.items():
        print(f"{name:<24} {figures[name]:.4f}  (best constant answer {guess:.4f})")
    info(f"evaluated {number(figures['predictions'], 'masked token')} in {duration(figures['seconds'])}")
