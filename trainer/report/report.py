"""The report of a run: RUN/report.html, a single file that needs no other files and no network.

It is made only from the files of the run, so it can be written again at any time. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from albert_fast import AlbertFastError
from albert_fast.files import write_atomic
from albert_fast.text import duration, quantity
from albert_fast.text import number as number_of
from trainer import folder
from trainer.errors import TrainerError
from trainer.report import curves, page, sources
from trainer.report.data import Run, number
from trainer.report.figures import draw
from trainer.report.live import amount, fixed, percent
from trainer.report.page import Tile

if TYPE_CHECKING:
    from pathlib import Path

SAMPLED = 8
"""Maximum number of evaluations whose sample predictions are shown."""
EVALUATIONS = 200
"""Maximum number of rows in the table of evaluations."""

DATA = {
    "source": "source", "path": "path", "instances": "instances", "documents": "documents",
    "sequence_length": "maximum tokens per instance", "max_predictions": "maximum masked tokens per instance",
    "tokens_per_sequence": "mean tokens per instance", "unigram_entropy": "loss of guessing by frequency (nats)",
    "eval_records": "held-out records", "eval_instances": "held-out instances", "sentences": "sentences",
    "tokens": "tokens", "vocab_size": "pieces of the vocabulary", "max_seq_length": "maximum tokens per instance",
    "predictions_per_sequence": "mean masked tokens per instance",
}  # fmt: skip
MODEL = {
    "name": "model", "parameters": "parameters", "training_flops_per_sequence": "training FLOPs per instance",
    "memory_estimate_bytes": "memory estimate",
}  # fmt: skip
TRAINING = {
    "optimizer": "optimizer", "batch_size": "batch size (instances)",
    "micro_batch_size": "micro-batch size (instances)", "widths": "micro-batches (instances x tokens)",
    "expected_padding": "expected padding", "replicas": "replicas", "workers": "workers", "precision": "precision",
    "init_checkpoint": "initial weights",
}  # fmt: skip
ENVIRONMENT = {
    "device": "device", "devices": "devices", "peak_tflops": "peak of a device (TFLOP/s)", "cpu": "CPU",
    "cores": "cores", "memory_bytes": "memory", "system": "system", "python": "Python", "tensorflow": "TensorFlow",
    "cuda": "CUDA", "cudnn": "cuDNN", "albert_fast": "albert-fast",
}  # fmt: skip
"""Displayed names of the keys of run.json, which may have other keys too."""
NOTES = {
    "tokens_per_second": "without padding and compilation",
    "tflops": "without those for padding",
    "mfu": "of the devices' peak, without padding",
    "padding": "of the computed tokens",
    "input_wait": "of a step's time",
}
"""What the speed figures refer to."""
OF_FIRST_PHASE = (
    "tokens_per_sequence", "unigram_entropy", "predictions_per_sequence", "micro_batch_size", "expected_padding",
)  # fmt: skip
"""Keys of run.json whose values are those of the first phase."""


def write_report(run: Path, output: Path | None = None) -> Path:
    """Write the report of the run, completely or not at all. Return its path.

    Args:
        run: the directory of the run, which may be in progress.
        output: the file to write; by default report.html in the directory of the run.

    Raises:
        TrainerError: a file of the run cannot be read or is not JSON, matplotlib is missing, or the report cannot be
            written.
    """
    found = Run.read(run)
    name = found.part("model").get("name")
    title = f"ALBERT {name}: pretraining" if isinstance(name, str) else "ALBERT: pretraining"
    sections = (
        _curves(found),
        _evaluations(found),
        _samples(found),
        sources.section(found.training),
        _tables(found),
        page.section("Starts", _starts(found)),
    )
    path = output or run / folder.REPORT
    write_page(path, page.whole(title, _summary(found, title), *sections))
    return path


def write_page(path: Path, text: str) -> None:
    """Write a page, completely or not at all.

    Raises:
        TrainerError: it cannot be written.
    """
    try:
        write_atomic(path, text.encode())
    except AlbertFastError as error:
        raise TrainerError(str(error), kind="io", path=path) from None


def _summary(run: Run, title: str) -> str:
    """Return what was trained, how far it got, and how good it is."""
    return "\n".join(
        [
            f"<h1>{page.escape(title)}</h1>",
            _outcome(run),
            page.paragraph(_amounts(run)),
            page.tiles(_qualities(run)),
            page.tiles(_speeds(run)),
        ]
    )


def _outcome(run: Run) -> str:
    done, total = run.done, run.total
    steps = run.part("steps")
    of = f"{done:,} of {total:,} steps" if total else f"{done:,} steps"
    if done == 0:
        return page.paragraph(f"No training steps done yet ({of}).", "warn")
    if steps.get("finished") is True or (total is not None and done >= total):
        return page.paragraph(f"Finished: {of}.", "good")
    stopped = steps.get("stopped")
    # Earlier versions wrote this option as a flag.
    if isinstance(stopped, str) and stopped.strip("-").replace("-", "_") == "max_hours":
        stopped = "the time limit (max_hours)"
    if isinstance(stopped, str) and stopped:
        return page.paragraph(f"Stopped by {stopped} after {of}. The same command resumes it.", "warn")
    text = f"Not finished: {of}. The run is in progress or was killed. If it was killed, the same command resumes it."
    return page.paragraph(text, "warn")


def _amounts(run: Run) -> str:
    """Return how much data it was trained on, how long, from what, and in how many starts."""
    parts = []
    if (batch := run.fact("training", "batch_size")) and run.done:
        trained = run.done * batch
        text = f"Trained on {amount(trained)} instances"
        tokens, estimated = run.tokens
        if estimated and (mean := run.fact("data", "tokens_per_sequence")):
            text += f" (about {amount(trained * mean)} tokens)"
        elif len(tokens) and math.isfinite(tokens[-1]):
            text += f" ({amount(tokens[-1])} tokens without padding)"
        if instances := run.fact("data", "instances"):
            epochs = amount(trained / instances)
            text += f", which is {epochs} {'epoch' if epochs == '1' else 'epochs'} of {instances:,.0f} instances"
        parts.append(text)
    if (hours := run.last("hours")) is not None:
        took = duration(3600 * hours)
        parts.append(f"Training took {took}" if parts else f"Trained for {took}")
    if isinstance(start := run.part("training").get("init_checkpoint"), str) and start:
        parts.append(f"It started from the weights of {start}")
    if run.resumed:
        parts.append(f"It was resumed {'once' if len(run.resumed) == 1 else f'{len(run.resumed)} times'}")
    return ". ".join(parts) + "." if parts else ""


def _qualities(run: Run) -> list[Tile]:
    tiles = []
    for key, task in (("masked_lm", "Masked LM"), ("sentence_order", "Sentence order")):
        for figure in ("accuracy", "loss"):
            tiles += _quality(run, f"{key}_{figure}", f"{task}: {figure}")
    return tiles


def _speeds(run: Run) -> list[Tile]:
    tiles = []
    for name, title, form in (
        ("sequences_per_second", "Sequences/s", amount),
        ("tokens_per_second", "Tokens/s", amount),
        ("tflops", "TFLOP/s", amount),
        ("mfu", "MFU", percent),
        ("padding", "Padding", percent),
        ("input_wait", "Input wait", percent),
    ):
        if (value := run.mean(name)) is not None:
            tiles.append(Tile(title, form(value), NOTES.get(name, "mean of the run, without compilation")))
    if (compiled := run.total_of("compile_seconds")) is not None and compiled >= 0.5:
        tiles.append(Tile("Compilation", duration(compiled), "in all starts together"))
    if (busy := run.mean("gpu_utilization")) is not None:
        tiles.append(Tile("GPU utilization", percent(busy), "mean of the run, from NVML"))
    for name, title, note in (
        ("gpu_memory_peak_bytes", "GPU memory, used", "most that TensorFlow used on a GPU"),
        ("gpu_memory_bytes", "GPU memory, taken", "most that was taken on a GPU, from NVML"),
    ):
        if (most := run.most(name)) is not None:
            tiles.append(Tile(title, quantity(most, "bytes"), note))
    return tiles


def _quality(run: Run, name: str, title: str) -> list[Tile]:
    """Return a figure's last value, held out if it was evaluated, with a note on what to compare it with."""
    trained, notes = run.recent(name), []
    last = number(run.evaluations[-1]["evaluation"].get(name)) if run.evaluations else None
    if last is not None:
        best = run.best_of(name)
        if best is not None and best[1] != last:
            notes.append(f"best {best[1]:.3f} at step {best[0]:,}")
        if trained is not None:
            notes.append(f"{trained:.3f} in training")
    value = trained if last is None else last
    if value is None:
        return []
    guessing = {
        "masked_lm_loss": run.fact("data", "unigram_entropy"),
        "sentence_order_loss": math.log(2),
        "sentence_order_accuracy": 0.5,
    }.get(name)
    if guessing is not None:
        notes.append(f"{guessing:.3g} by guessing")
    return [Tile(title, f"{value:.3f}", "; ".join(["training" if last is None else "held out", *notes]))]


def _curves(run: Run) -> str:
    if not run.training and not run.evaluations:
        return page.section("Curves", page.paragraph(f"{folder.METRICS} has no training lines yet.", "soft"))
    figures = [page.figure(plot.title, draw(plot)) for plot in curves.plots(run)]
    if not figures:
        return page.section("Curves", page.paragraph(f"{folder.METRICS} holds no numbers to draw.", "soft"))
    note = (
        f"Pale lines are the values in {folder.METRICS}, and bold lines their running means. Losses are in nats. Point "
        "at a figure to see its values, or select it and use the arrow keys."
    )
    return page.section("Curves", page.paragraph(note, "soft"), '<div class="plots">', *figures, "</div>")


def _training(run: Run) -> dict[str, Any]:
    found = dict(run.part("training"))
    if isinstance(padding := found.get("expected_padding"), int | float):
        found["expected_padding"] = f"{100 * padding:.0f}%"
    return found


def _evaluations(run: Run) -> str:
    if not run.evaluations:
        return ""
    first = max(0, len(run.evaluations) - EVALUATIONS)
    rows = []
    for line in run.evaluations[first:]:
        found = line["evaluation"]
        records, seconds = number(found.get("records")), number(found.get("seconds"))
        rows.append(
            [
                f"{line['step']:,}",
                fixed(found, "masked_lm_loss"), fixed(found, "masked_lm_accuracy"),
                fixed(found, "sentence_order_loss"), fixed(found, "sentence_order_accuracy"),
                "" if records is None else f"{records:,.0f}",
                "" if seconds is None else duration(seconds),
            ]
        )  # fmt: skip
    head = ["step", "masked-LM loss", "accuracy", "sentence-order loss", "accuracy", "records", "time"]
    notes = []
    if run.best is not None:
        step = run.evaluations[run.best]["step"]
        notes.append(f"Highest masked-LM accuracy: step {step:,}.")
    if first:
        earlier = number_of(first, "earlier evaluation")
        notes.append(f"{earlier} {'is' if first == 1 else 'are'} only in {folder.METRICS}.")
    best = None if run.best is None else run.best - first
    return page.section(
        "Evaluation on held-out records", page.paragraph(" ".join(notes), "soft"), page.number_table(head, rows, best)
    )


def _tables(run: Run) -> str:
    environment = {key: value for key, value in run.part("environment").items() if not key.startswith("host")}
    known = {"data", "model", "training", "environment", "steps"}
    others = {key: value for key, value in run.facts.items() if key not in known}
    options = run.options.get("pretrain")
    phases = sources.several(run.part("data"))
    return page.columns(
        page.section("Data", page.table(sources.planned(run.part("data")), _names(DATA, phases=phases))),
        page.section("Model", page.table(run.part("model"), MODEL), _details(folder.MODEL, run.model)),
        page.section(
            "Training",
            page.table(_training(run), _names(TRAINING, phases=phases)),
            _details(f"Configuration: {folder.OPTIONS}", options if isinstance(options, dict) else run.options),
        ),
        page.section("Environment", page.table(_versions(run) | environment, ENVIRONMENT)),
        page.section("Other", page.table(others)),
    )


def _names(names: dict[str, str], *, phases: bool) -> dict[str, str]:
    """Return the displayed names, which say what is true of the first phase only if there are several."""
    if not phases:
        return names
    return {key: f"{name}, in phase 1" if key in OF_FIRST_PHASE else name for key, name in names.items()}


def _versions(run: Run) -> dict[str, Any]:
    version = run.options.get("albert_fast_version")
    return {} if version is None else {"albert_fast": version}


def _details(title: str, values: dict[str, Any]) -> str:
    content = page.table(values, exact=True)
    return f"<details><summary>{page.escape(title)}</summary>\n{content}\n</details>" if content else ""


def _samples(run: Run) -> str:
    """Return what the model predicted for fixed masked tokens, as it changes over the evaluations."""
    sampled = [line for line in run.evaluations if isinstance(line.get("samples"), list)]
    if not sampled:
        return ""
    chosen = [sampled[index] for index in evenly(len(sampled), SAMPLED)]
    newest = [sample for sample in sampled[-1]["samples"] if isinstance(sample, dict)]
    parts = []
    for sample in newest:
        rows = []
        for line in chosen:
            same = next((one for one in line["samples"] if isinstance(one, dict) and _token(one) == _token(sample)), {})
            if same:
                rows.append((line["step"], same))
        parts.append(page.predictions(sample, rows))
    note = (
        "What the model predicts for a few masked tokens of the held-out set, by step: the best pieces and their "
        "probabilities. The right piece is green. ▁ marks the beginning of a word."
    )
    return page.section("Sample predictions", page.paragraph(note, "soft"), *parts)


def _token(sample: dict[str, Any]) -> tuple[object, ...]:
    return tuple(sample.get(name) for name in ("before", "after", "piece"))


def evenly(count: int, most: int) -> list[int]:
    """Return up to `most` of the numbers below `count`, evenly spaced, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [round(number * (count - 1) / (most - 1)) for number in range(most)]


def _starts(run: Run) -> str:
    rows, commands = [], []
    for line in (line for line in run.lines if "start" in line):
        at = number(line.get("time"))
        when = "" if at is None else datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        versions = line.get("versions")
        known = versions if isinstance(versions, dict) else {}
        words = ", ".join(f"{ENVIRONMENT.get(name, name)} {version}" for name, version in known.items())
        rows.append([f"{line['step']:,}", str(line["start"]), when, words])
        if (command := line.get("command")) and command not in commands:
            commands.append(str(command))
    if not rows:
        return ""
    has_versions = any(row[-1] for row in rows)
    head = ["step", "start", "time", *(["versions"] if has_versions else [])]
    table = page.number_table(head, rows if has_versions else [row[:-1] for row in rows])
    return table + "".join(page.code(command) for command in commands)
