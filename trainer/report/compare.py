"""The comparison of several runs: one page, like the report of a run, with the curves of all of them.

It is made only from the files of the runs, which may be in progress or made by earlier versions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from albert_fast.options import Pretrain, options_of
from albert_fast.options.base import REQUIRED
from albert_fast.text import duration
from trainer.report import curves, page
from trainer.report.curves import EXACT, TASKS
from trainer.report.data import Run, number
from trainer.report.figures import Curve, Plot, draw
from trainer.report.live import amount, percent
from trainer.report.report import write_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FIGURES = tuple(one for one in curves.FIGURES if one[0] not in {"masked_lm_prob", "input_wait", "gpu_memory"})
"""The figures of a single run that help to say which run is better."""

OF_ITSELF = frozenset({"output_dir", "mirror_dir", "tracker_name"})
"""Options that are different for every run."""

MACHINE = ("device", "devices", "workers", "cpu", "albert_fast", "tensorflow", "cuda", "python")
"""What the table of differences has of a run's environment."""

TRAINING = ("precision", "micro_batch_size", "widths", "xla")
"""What it has of what a run has decided itself."""


def write_comparison(runs: Sequence[Path], output: Path) -> None:
    """Write the comparison of runs, completely or not at all.

    Args:
        runs: the directories of the runs, in the order of their colors.
        output: the file to write.

    Raises:
        TrainerError: a file of a run cannot be read or has invalid content, matplotlib is missing, or the output cannot
            be written.
    """
    found = [Run.read(run) for run in runs]
    names = names_of(runs)
    title = f"ALBERT: {len(runs)} runs compared"
    parts = [
        f"<h1>{page.escape(title)}</h1>",
        _legend(runs, names),
        page.section("Results", _results(found, names)),
        page.section("Differences", _differences(found, names)),
        *_curves(found, names),
    ]
    write_page(output, page.whole(title, *parts))


def names_of(runs: Sequence[Path]) -> list[str]:
    """Return a name for each run: the parts of its path that tell the runs apart.

    For "lamb/seed-1/run" and "adamw/seed-1/run", these are "lamb" and "adamw".
    """
    paths = [run.resolve().parts for run in runs]
    while len({path[-1] for path in paths}) == 1 and min(map(len, paths)) > 2:
        paths = [path[:-1] for path in paths]
    count = 1
    while len({path[-count:] for path in paths}) < len(paths):
        count += 1
    return ["/".join(path[-count:]).replace("//", "/") for path in paths]


def _legend(runs: Sequence[Path], names: Sequence[str]) -> str:
    lines = [
        f'<li title="{page.escape(run)}">{page.swatch(index)}<span>{page.escape(name)}</span></li>'
        for index, (run, name) in enumerate(zip(runs, names, strict=True))
    ]
    return "\n".join(['<ul class="runs">', *lines, "</ul>"])


# --- tables ----------------------------------------------------------------------------------------------------------


def _results(runs: Sequence[Run], names: Sequence[str]) -> str:
    """Return a table with a row per figure."""
    rows = [
        ["steps", *(f"{run.done:,} of {run.total:,}" if run.total else f"{run.done:,}" for run in runs)],
        ["tokens", *map(_tokens, runs)],
        ["training time", *(_known(run.last("hours"), lambda hours: duration(3600 * hours)) for run in runs)],
    ]
    for key, (_, task) in TASKS.items():
        for figure in ("loss", "accuracy"):
            name = f"{key}_{figure}"
            last = [number(run.evaluations[-1]["evaluation"].get(name)) if run.evaluations else None for run in runs]
            rows.append([f"{task}: {figure}, training", *(_known(run.recent(name), _fixed) for run in runs)])
            rows.append([f"{task}: {figure}, held out", *(_known(value, _fixed) for value in last)])
            if name == "masked_lm_accuracy":
                best = [found[1] if (found := run.best_of(name)) else None for run in runs]
                rows.append(["best of it", *(_known(value, _fixed) for value in best)])
    rows += [
        ["tokens/s", *(_known(run.mean("tokens_per_second"), amount) for run in runs)],
        ["padding", *(_known(run.mean("padding"), percent) for run in runs)],
    ]
    note = "Losses and accuracies in training are means over the newest lines. Those held out are the newest ones."
    table = page.run_table(["", *names], [row for row in rows if any(row[1:])])
    return page.paragraph(note, "soft") + table


def _tokens(run: Run) -> str:
    tokens, estimated = run.tokens
    if not len(tokens) or not math.isfinite(tokens[-1]):
        return ""
    return f"{'about ' if estimated else ''}{amount(float(tokens[-1]))}"


def _fixed(value: float) -> str:
    return f"{value:.3f}"


def _known(value: float | None, form: Callable[[float], str]) -> str:
    return "" if value is None else form(value)


def _differences(runs: Sequence[Run], names: Sequence[str]) -> str:
    """Return a table with a row per option, and other fact, that is not the same in all runs."""
    described = [_described(run) for run in runs]
    rows = []
    for key in dict.fromkeys(key for one in described for key in one):
        values = [_shown(one.get(key)) for one in described]
        if len(set(values)) > 1:
            rows.append([key, *values])
    if not rows:
        return page.paragraph("The runs have the same options, and ran on the same machine with the same versions.")
    return page.run_table(["", *names], rows)


def _described(run: Run) -> dict[str, Any]:
    """Return what a run was made with. An option that is not in its file did not exist then, and has its default."""
    options = run.options.get("pretrain")
    given = options if isinstance(options, dict) else {}
    known = {
        name: list(option.default) if isinstance(option.default, tuple) else option.default
        for name, option in options_of(Pretrain).items()
        if option.default is not REQUIRED and name != "overwrite"
    }
    found = {name: value for name, value in {**known, **given}.items() if name not in OF_ITSELF}
    if given.get("num_train_steps") is None and run.total is not None:
        found["num_train_steps"] = run.total
    found |= {f"model: {name}": value for name, value in run.model.items()}
    for part, keys in (("training", TRAINING), ("environment", MACHINE)):
        found |= {f"{part}: {key}": run.part(part).get(key) for key in keys}
    return found


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ",".join(_typed(name, one) for name, one in value.items())
    if isinstance(value, list | tuple):
        # The names of a phase have commas between them.
        between = "; " if any(isinstance(one, dict) for one in value) else ", "
        return between.join(map(_shown, value)) or "none"
    return "none" if value is None else "yes" if value is True else "no" if value is False else str(value)


def _typed(name: str, value: Any) -> str:
    """Return an option of a phase as it is typed."""
    return ",".join(f"{name}={_shown(one)}" for one in (value if isinstance(value, list) else [value]))


# --- curves ----------------------------------------------------------------------------------------------------------


def _curves(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """Return the section of the curves, with a choice of what they are drawn over, which needs no script."""
    hours = max((run.last("hours") or 0.0 for run in runs), default=0.0)
    axes = {"step": "steps", "hours" if hours >= 2 else "minutes": "time", "tokens": "tokens"}
    drawn = {axis: plots(runs, names, axis) for axis in axes}
    choice: list[str] = []
    labels: list[str] = []
    parts: list[str] = []
    for axis, word in axes.items():
        if not drawn[axis]:
            continue
        checked = "" if choice else " checked"
        choice.append(f'<input type="radio" name="axis" id="by-{word}"{checked}>')
        labels.append(f'<label for="by-{word}">over {word}</label>')
        figures = [page.figure(plot.title, draw(plot)) for plot in drawn[axis]]
        parts += [f'<div class="plots" id="over-{word}">', *figures, "</div>"]
    if not parts:
        return []
    notes = ["Lines are running means of training. Time is that of training, without evaluations and restarts."]
    unknown = [name for run, name in zip(runs, names, strict=True) if not _has_tokens(run)]
    about = [name for run, name in zip(runs, names, strict=True) if _has_tokens(run) and run.tokens[1]]
    if about:
        notes.append(f"The tokens of {' and '.join(about)} are an estimate, from the mean length of an instance.")
    if unknown:
        notes.append(f"The tokens of {' and '.join(unknown)} are unknown, so they have no curves over tokens.")
    notes.append("Point at a figure to see its values, or select it and use the arrow keys.")
    return [
        "<h2>Curves</h2>",
        page.paragraph(" ".join(notes), "soft"),
        *(f"{button} {label}" for button, label in zip(choice, labels, strict=True)),
        _legend([run.place for run in runs if run.place is not None], names),
        *parts,
    ]


def _has_tokens(run: Run) -> bool:
    tokens, _ = run.tokens
    return len(tokens) > 0 and math.isfinite(tokens[-1])


def plots(runs: Sequence[Run], names: Sequence[str], axis: str) -> list[Plot]:
    """Return the figures over an axis that have anything to show."""
    found = []

    def add(key: str, title: str, *, held_out: bool, fraction: bool, zero: bool) -> None:
        curves = []
        for color, (run, name) in enumerate(zip(runs, names, strict=True)):
            steps, values = run.evaluated(key) if held_out else run.series(key)
            x = run.along(axis, steps)
            there = np.isfinite(x)
            curves.append(Curve(name, x[there], values[there], color, points=held_out, exact=key in EXACT, pale=False))
        if any(curve.known for curve in curves):
            identifier = f"{key.replace('_', '-')}-{'held-out' if held_out else 'training'}-{axis}"
            found.append(Plot(identifier, title, curves, percent=fraction, from_zero=zero, axis=axis, legend=False))

    for key, (_, task) in TASKS.items():
        for figure in ("loss", "accuracy"):
            for held_out in (False, True):
                where = "held out" if held_out else "in training"
                add(f"{key}_{figure}", f"{task}: {figure} {where}", held_out=held_out,
                    fraction=figure == "accuracy", zero=False)  # fmt: skip
    for key, title, fraction in FIGURES:
        add(key, title, held_out=False, fraction=fraction, zero=True)
    return found
