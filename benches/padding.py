"""The rows of the benchmark on training steps with real text, whose instances differ in length.

All sides train on the same batches of a token store, in turns. With batches of full width, every side multiplies
padding. These rows show how much of it a side avoids.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from common import MIB, Row, say
from real_steps import Case, save
from sides import THREADS
from stepper import Stepper

from albert_fast import InstanceStream, TokenStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from corpus import Corpus
    from numpy.typing import NDArray

SCRIPT = str(Path(__file__).with_name("real_steps.py"))
BATCH = 64
TOKENS, OUR_TOKENS = 4096, 512
"""Tokens of a micro-batch of full width: what others get, and what `pretrain` chooses on a CPU."""
SEED = 12345
SAMPLE = 16
"""Number of batches that padding and widths are computed from. The first ones are also trained on."""
MICRO_BATCHES = 3
"""Number of micro-batches whose peak memory is compared with that of one."""
ATTENTION = ("sdpa", "eager")
TARGETS: dict[int, tuple[float, float | None]] = {512: (1.5, 1.65), 128: (1.15, None)}
"""By number of tokens: the ratio that must be reached against the previous commit, and the ratio to aim for."""
AGAINST_TORCH = 1.8
MEMORY = 1.05


class Text(NamedTuple):
    """Batches of real text on disk."""

    path: Path
    """The file that `real_steps.save` wrote."""
    length: int
    """Tokens per row, padding included."""
    vocab_size: int
    padding: float
    """Fraction of the tokens that are padding."""
    origin: str

    @property
    def rows(self) -> int:
        """Return the number of rows of a micro-batch of full width."""
        return TOKENS // self.length

    @property
    def our_rows(self) -> int:
        """Return the number of rows of a micro-batch of full width, as `pretrain` chooses it on a CPU."""
        return max(1, OUR_TOKENS // self.length)


def padding(batches: Sequence[Mapping[str, NDArray[Any]]]) -> float:
    """Return the fraction of the tokens in the batches that are padding."""
    masks = [batch["input_mask"] for batch in batches]
    return float(1 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks))


def longest_rows(batches: Sequence[Mapping[str, NDArray[Any]]], count: int) -> dict[str, NDArray[Any]]:
    """Return one batch of the `count` longest rows, the longest first."""
    together = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    order = np.argsort(-together["input_mask"].sum(axis=1), kind="stable")[:count]
    return {name: array[order] for name, array in together.items()}


def make_store(model: Path, corpus: Corpus, directory: Path) -> TokenStore:
    """Return the corpus as a token store."""
    output = directory / "padding-store"
    shutil.rmtree(output, ignore_errors=True)
    command = ["tokenize", str(corpus.path), "--tokenizer", str(model), "--output-dir", str(output)]
    subprocess.run([sys.executable, "-m", "albert_fast", *command], check=True, stdout=subprocess.DEVNULL)
    return TokenStore(output)


def make_text(store: TokenStore, length: int, directory: Path, origin: str) -> Text:
    """Return batches as `pretrain` gets them by default, and write a file of the longest rows next to them."""
    stream = InstanceStream(store, BATCH, length, seed=SEED)
    batches = [stream.batch(index) for index in range(SAMPLE)]
    features = [{name: np.asarray(value) for name, value in batch.items()} for batch in batches]
    path = directory / f"batches-{length}.npz"
    save(path, features)
    save(_longest(path), [longest_rows(features, MICRO_BATCHES * TOKENS // length)])
    return Text(path, length, store.vocab_size, padding(features), origin)


def _longest(path: Path) -> Path:
    return path.with_name(f"longest-{path.name}")


def overlay(checkout: Path, directory: Path) -> Path:
    """Return a directory whose only package is another checkout's trainer. The extension in use is this checkout's."""
    made = directory / "baseline"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    (made / "trainer").symlink_to((checkout / "trainer").resolve(), target_is_directory=True)
    return made


def commit_of(checkout: Path) -> str:
    """Return the short name of a checkout's commit, or the name of its directory."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else checkout.resolve().name


def turns(sides: Mapping[str, Stepper], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Return the answers of each side. All sides train on the same batch in a round; odd rounds reverse the order."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sorted(sides, reverse=number % 2 == 1):
            found[name].append(sides[name].ask(number % SAMPLE))
            say(f"  round {number + 1}: {name}, {found[name][-1]['seconds']:.1f} s")
    return found


def ratios(of: Sequence[Mapping[str, Any]], to: Sequence[Mapping[str, Any]], what: str = "seconds") -> list[float]:
    """Return how many times as long `of` took as `to`, round by round."""
    return [float(one[what] / other[what]) for one, other in zip(of, to, strict=True)]


def spread(values: Sequence[float]) -> str:
    """Format median and range."""
    return f"{statistics.median(values):.2f}x ({min(values):.2f} to {max(values):.2f})"


def _case(text: Text, layers: int) -> Case:
    return Case(str(text.path), text.rows, "base", layers, text.vocab_size)


def fastest_torch(python: str, text: Text, layers: int) -> tuple[Case, str]:
    """Find the fastest attention and padding of PyTorch here, on one micro-batch, or why there is none."""
    found: list[tuple[float, Case]] = []
    for attention in ATTENTION:
        for cut in (False, True):
            case = replace(_case(text, layers), attention=attention, cut=cut)
            stepper = Stepper(python, [SCRIPT, "torch", replace(case, rows=text.rows).text()])
            if stepper.missing:
                stepper.close()
                return case, stepper.missing
            spent = min(stepper.ask(number)["seconds"] for number in (0, 1))
            stepper.close()
            found.append((spent, case))
    return min(found, key=lambda one: one[0])[1], ""


def step_rows(
    text: Text, torch_python: str, baseline: Path | None, directory: Path, layers: int, rounds: int
) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of a step against another checkout's or against full-width micro-batches, and transformers."""
    size = f"{BATCH} x {text.length} tokens"
    what = (
        f"a training step of base width, {layers} layers, float32, {size} of {text.origin} "
        f"({100 * text.padding:.0f}% padding), {THREADS} threads"
    )
    must, aim = TARGETS[text.length]
    say(f"training on real text: {size}, {layers} layers, {rounds} rounds")
    case = _case(text, layers)
    ours = replace(case, micro_batch=text.our_rows)
    opened = {"ours": Stepper(sys.executable, [SCRIPT, "trainer", ours.text()])}
    missing = ""
    try:
        if opened["ours"].missing:
            return [_missing(what, opened["ours"].missing, must, aim)], {}
        if baseline is None:
            against = f"the same with micro-batches of {text.rows} rows of full width"
            opened["baseline"] = Stepper(sys.executable, [SCRIPT, "trainer", replace(case, cut=False).text()])
        else:
            against = f"the trainer of {commit_of(baseline)}"
            path = overlay(baseline, directory)
            opened["baseline"] = Stepper(sys.executable, [SCRIPT, "trainer", case.text()], path)
        if opened["baseline"].missing:
            return [_missing(what, f"{against}: {opened['baseline'].missing}", must, aim)], {}
        theirs, missing = fastest_torch(torch_python, text, layers)
        if not missing:
            opened["theirs"] = Stepper(torch_python, [SCRIPT, "torch", theirs.text()])
            small = replace(theirs, micro_batch=text.our_rows, cut=True)
            opened["theirs, small"] = Stepper(torch_python, [SCRIPT, "torch", small.text()])
        answers = turns(opened, rounds)
    finally:
        for stepper in opened.values():
            stepper.close()

    figures: dict[str, Any] = {
        "padding": text.padding,
        "layers": layers,
        **{name: {"about": opened[name].about, "answers": answers[name]} for name in answers},
    }
    own = statistics.median(answer["seconds"] for answer in answers["ours"])
    # The first batch is the same, and so is the model, which has the same seed.
    apart = abs(answers["ours"][0]["loss"] / answers["baseline"][0]["loss"] - 1)
    shapes = ", ".join(opened["ours"].about["shapes"])
    rows = [
        _row(
            what,
            answers,
            "baseline",
            must,
            aim,
            f"; {own:.1f} s, {BATCH / own:.1f} sequences/s; micro-batches of {shapes}; the first losses differ "
            f"by {apart:.1e}",
            against,
        )
    ]
    what = f"the same step against PyTorch, {size}"
    if missing:
        rows.append(Row(what, f"not measured: {missing}", f"{AGAINST_TORCH}x", "", None, None, "--torch-python"))
    else:
        for name, count, target in (("theirs", text.rows, AGAINST_TORCH), ("theirs, small", text.our_rows, None)):
            about = opened[name].about["what"]
            against = (
                f"AlbertForPreTraining, {about}, micro-batches of {count}, eager mode, masked LM at all positions, "
                "fused AdamW"
            )
            # Micro-batches of few rows have little padding on either side. The rest of the ratio has other reasons.
            which = what if target else f"{what}, its micro-batches as small as ours and cut"
            rows.append(_row(which, answers, name, target, None, "", against))
    return rows, figures


def _missing(what: str, why: str, must: float, aim: float | None) -> Row:
    return Row(what, f"not measured: {why}", f"{must}x", f"{aim}x" if aim else "", None, None, "pip install tensorflow")


def _row(
    what: str,
    answers: Mapping[str, Sequence[Mapping[str, Any]]],
    other: str,
    must: float | None,
    aim: float | None,
    more: str,
    against: str,
) -> Row:
    wall, cpu = (ratios(answers[other], answers["ours"], kind) for kind in ("seconds", "cpu"))
    reached = statistics.median(wall)
    seconds = statistics.median(answer["seconds"] for answer in answers[other])
    return Row(
        what,
        f"{spread(wall)}, in CPU time {spread(cpu)}{more}",
        f"{must}x" if must else "",
        f"{aim}x" if aim else "",
        reached >= must if must else None,
        reached >= aim if aim else None,
        f"{against}: {seconds:.1f} s",
    )


def memory_row(text: Text, layers: int) -> tuple[Row, dict[str, Any]]:
    """Return the row of the memory that additional micro-batches of a step take."""
    what = (
        f"peak memory of a step of {MICRO_BATCHES} micro-batches against one of 1, base width, {layers} layers, "
        f"{text.rows} x {text.length} tokens each"
    )
    say(f"training on real text: memory of {MICRO_BATCHES} micro-batches")
    must = f"within {100 * (MEMORY - 1):.0f}%"
    peaks: list[int] = []
    for count in (1, MICRO_BATCHES):
        case = replace(_case(text, layers), batches=str(_longest(text.path)), cut=False, rows=count * text.rows)
        stepper = Stepper(sys.executable, [SCRIPT, "trainer", case.text()])
        if stepper.missing:
            stepper.close()
            return Row(what, f"not measured: {stepper.missing}", must, "", None, None, "pip install tensorflow"), {}
        peaks.append([stepper.ask(0)["peak"] for _ in range(2)][-1])
        stepper.close()
    growth = peaks[1] / peaks[0]
    row = Row(
        what,
        f"{growth:.3f} times; {peaks[0] / MIB:,.0f} MiB and {peaks[1] / MIB:,.0f} MiB",
        must,
        "",
        growth <= MEMORY,
        None,
        "maximum resident set of a process that does 3 such steps, compilation included",
    )
    return row, {"peaks": peaks}


def padding_rows(
    model: Path, corpus: Corpus, directory: Path, torch_python: str, baseline: Path | None, layers: int, rounds: int
) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of steps on real text at 512 and at 128 tokens, and of their memory.

    Args:
        model: the tokenizer.
        corpus: the text.
        directory: a directory for temporary files.
        torch_python: a Python interpreter with PyTorch and transformers.
        baseline: another checkout whose trainer is compared; None for this one with full width.
        layers: number of layers of the model, which is otherwise base.
        rounds: number of turns of each side.
    """
    say("training on real text: tokenizing")
    store = make_store(model, corpus, directory)
    rows: list[Row] = []
    figures: dict[str, Any] = {}
    for length in TARGETS:
        text = make_text(store, length, directory, corpus.origin)
        more, figures[f"step_{length}"] = step_rows(text, torch_python, baseline, directory, layers, rounds)
        rows += more
        if length == max(TARGETS):
            row, figures["memory"] = memory_row(text, layers)
            rows.append(row)
    return rows, {"training_on_real_text": figures}
