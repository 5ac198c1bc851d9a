"""The report of a run: what it says, and that it stands on its own."""

import json
import math
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from trainer.errors import TrainerError
from trainer.report.data import Run
from trainer.report.figures import Curve, Level, Plot, draw, short, smooth, thin
from trainer.report.report import write_report

FACTS: dict[str, Any] = {
    "data": {"source": "tokens", "path": "corpus/store", "instances": 1000, "tokens_per_sequence": 100.0,
             "unigram_entropy": 7.125, "eval_records": "held-out"},
    "model": {"name": "tiny", "parameters": 2_345_678, "training_flops_per_sequence": 294_000_000_000,
              "memory_estimate_bytes": 21_400_000_000},
    "training": {"optimizer": "lamb", "batch_size": 50, "init_checkpoint": None},
    "environment": {"device": "NVIDIA H200", "peak_tflops": 989.0, "hostname": "secret"},
    "steps": {"done": 100, "total": 100, "finished": True, "stopped": None},
}  # fmt: skip


def training(step: int, **figures: Any) -> dict[str, Any]:
    return {
        "step": step, "steps": 10, "time": 1.8e9 + step, "hours": step / 100, "masked_lm_loss": 8 - step / 100,
        "sentence_order_loss": 0.7, "masked_lm_accuracy": step / 1000, "sentence_order_accuracy": 0.5,
        "learning_rate": 1e-3, "gradient_norm": 1.0, "sequences_per_second": 2411.0, "tokens_per_second": 1.1e6,
        "tflops": 400.0, "mfu": 0.41, "padding": 0.06, "input_wait": 0.001,
        "compile_seconds": 9.0, **figures,
    }  # fmt: skip


def evaluation(step: int, accuracy: float | None, **figures: Any) -> dict[str, Any]:
    found = {"masked_lm_loss": 5.5, "masked_lm_accuracy": accuracy, "sentence_order_loss": 0.6,
             "sentence_order_accuracy": 0.7, "records": 9800, "seconds": 31.0, **figures}  # fmt: skip
    return {"step": step, "time": 1.8e9 + step, "evaluation": found}


def start(step: int) -> dict[str, Any]:
    return {"step": step, "time": 1.8e9, "start": "resumed" if step else "new"}


class Page(HTMLParser):
    """A page's visible text, and what it refers to; fails where elements do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.titles: list[str] = []
        """The names of the figures, for readers that do not see them."""
        self._open: list[str] = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in {"meta", "input"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "aria-label" and tag == "svg":
                self.titles.append(value or "")
            if name in ("href", "xlink:href", "src"):
                self.links.append(value or "")
            self.links += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.scripts.append(data)
        elif "style" not in self._open:
            self.words += data.split()

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """What the script shows, by the titles of the figures."""
        return dict(zip(self.titles, map(json.loads, self.scripts), strict=False))

    @property
    def text(self) -> str:
        return " ".join(self.words)


def report(run: Path, lines: Sequence[dict[str, Any]], facts: dict[str, Any] | None = None, **files: Any) -> Page:
    """The page of a run with this journal and run.json."""
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "run.json").write_text(json.dumps(FACTS if facts is None else facts))
    for name, content in files.items():
        (run / f"{name.replace('__', '.')}.json").write_text(json.dumps(content))
    path = write_report(run)
    assert path == run / "report.html"
    assert not list(run.glob(".*"))
    return Page(path.read_text())


RUN = [
    start(0), *(training(step) for step in range(10, 60, 10)), evaluation(50, 0.3), start(50),
    *(training(step) for step in range(60, 110, 10)), evaluation(80, 0.4), evaluation(100, 0.35),
]  # fmt: skip


def test_the_summary_says_what_was_trained_and_how_well(tmp_path: Path) -> None:
    text = report(tmp_path, RUN).text
    assert "ALBERT tiny: pretraining" in text
    assert "Finished: 100 of 100 steps." in text
    assert "Trained on 5,000 instances (about 500,000 tokens), which is 5 epochs of 1,000 instances. " in text
    assert "Training took 1h 00m. It was resumed once." in text
    assert "Masked LM: accuracy 0.350 held out; best 0.400 at step 80; 0.100 in training" in text
    assert "Masked LM: loss 5.500 held out; 7.000 in training; 7.12 by guessing" in text
    assert "Sentence order: loss 0.600 held out; 0.700 in training; 0.693 by guessing" in text
    assert "Sequences/s 2,411" in text
    assert "MFU 41.0% of the devices' peak, without padding" in text
    assert "Padding 6.0% of the computed tokens" in text
    assert "Compilation 1m 30s in all starts together" in text


def test_a_finished_run_that_is_started_again_is_not_resumed(tmp_path: Path) -> None:
    again = [*RUN, start(100), start(100)]
    page = report(tmp_path, again)
    assert "resumed once." in page.text
    assert page.text.count("100 resumed") == 2  # in the table of starts
    run = Run.read(tmp_path)
    assert [line["step"] for line in run.resumed] == [50]


def test_the_speed_leaves_out_steps_that_compiled() -> None:
    first = dict.fromkeys(("sequences_per_second", "tokens_per_second", "mfu", "input_wait"))
    run = Run([training(10, **first), training(20), training(30)], {}, {}, {})
    assert run.mean("sequences_per_second") == pytest.approx(2411.0)
    assert run.mean("padding") == pytest.approx(0.06)


def test_the_page_has_every_section_and_needs_nothing_else(tmp_path: Path) -> None:
    config = {"albert_fast_version": "0.4.0", "pretrain": {"batch_size": 4096, "random_seed": 12345}}
    page = report(tmp_path, RUN, pretrain__config=config, albert_config={"hidden_size": 128})
    text = page.text
    for title in ("Masked LM: loss", "Masked LM: accuracy", "Sentence order: loss", "Sentence order: accuracy",
                  "Learning rate", "Sequences/s", "Tokens/s, without padding", "Padding: fraction",
                  "Input wait: fraction"):  # fmt: skip
        assert title in text
    assert page.tags.count("svg") == 11
    for words in ("guessing by frequency", "guessing", "resumed", "held out"):
        assert words in text
    assert "Highest masked-LM accuracy: step 80." in text
    assert "80 5.500 0.400 0.600 0.700 9,800 31s" in text
    assert "loss of guessing by frequency (nats) 7.125" in text
    assert "parameters 2,345,678" in text
    assert "training FLOPs per instance 294 billion" in text
    assert "memory estimate 21.4 GB" in text
    assert "random_seed 12345" in text
    assert "hidden_size 128" in text
    assert "device NVIDIA H200" in text
    assert "albert-fast 0.4.0" in text
    assert "0 new 2027-01-15 08:00 UTC 50 resumed" in text
    assert "secret" not in text
    assert page.links
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"\b(fetch|import|XMLHttpRequest|eval|innerHTML)\b", page.scripts[-1])


def test_ids_are_unique_and_their_references_lead_somewhere(tmp_path: Path) -> None:
    page = report(tmp_path, RUN)
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links} <= set(page.ids)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"done": 40, "total": 100, "finished": False, "stopped": "Ctrl-C"}, "Stopped by Ctrl-C after 40 of 100 steps"),
        *(
            (
                {"done": 40, "total": 100, "finished": False, "stopped": name},
                "Stopped by the time limit (max_hours) after 40",
            )
            for name in ("max_hours", "--max-hours")
        ),
        ({"done": 40, "total": 100, "finished": False, "stopped": None}, "Not finished: 40 of 100 steps"),
        ({"done": 0, "total": 100}, "Not finished: 10 of 100 steps"),
        ({"total": 10}, "Finished: 10 of 10 steps"),
        ({}, "Not finished: 10 steps."),
    ],
)
def test_how_it_ended(tmp_path: Path, steps: dict[str, Any], words: str) -> None:
    assert words in report(tmp_path, [start(0), training(10)], {"steps": steps}).text


def test_the_total_is_looked_up_in_the_configuration_too(tmp_path: Path) -> None:
    page = report(tmp_path, [training(10)], {}, pretrain__config={"pretrain": {"num_train_steps": 250}})
    assert "Not finished: 10 of 250 steps" in page.text


@pytest.mark.parametrize("lines", [[], [start(0)]])
def test_without_a_training_line(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    page = report(tmp_path, lines, {})
    assert "No training steps done yet" in page.text
    assert "metrics.jsonl has no training lines yet." in page.text
    assert "svg" not in page.tags


def test_without_any_file(tmp_path: Path) -> None:
    assert "No training steps done yet" in Page(write_report(tmp_path).read_text()).text


def test_with_evaluations_only(tmp_path: Path) -> None:
    page = report(tmp_path, [evaluation(10, 0.3)])
    assert page.tags.count("svg") == 4
    assert "Masked LM: accuracy 0.300 held out" in page.text


def test_with_a_single_line_and_no_evaluation(tmp_path: Path) -> None:
    text = report(tmp_path, [training(10)]).text
    assert "Masked LM: loss 7.900 training; 7.12 by guessing" in text
    assert "Evaluation" not in text


def test_null_and_strange_values_are_left_out(tmp_path: Path) -> None:
    lines = [
        training(10, mfu=None, masked_lm_loss=None),
        training(20, mfu=None, masked_lm_loss="x"),
        evaluation(20, None),
    ]
    page = report(tmp_path, [*lines, evaluation(30, None, seconds=None)])
    assert "MFU" not in page.text
    assert "20 5.500 n/a 0.600 0.700 9,800 31s" in page.text
    assert "Highest" not in page.text
    nothing = report(tmp_path, [{"step": 10, "masked_lm_loss": None}])
    assert "metrics.jsonl holds no numbers to draw." in nothing.text


def test_names_are_escaped(tmp_path: Path) -> None:
    facts = {
        "data": {"path": "<script>alert(1)</script>", "<i>new</i>": {"deeper & down": True}},
        "model": {"name": "<b>"},
        "training": {"init_checkpoint": "a&amp;b\udcff"},
        "colour": "<red>",
    }
    page = report(tmp_path, [training(10)], facts)
    assert not {"i", "red"} & set(page.tags)
    assert not any("alert" in script for script in page.scripts)
    assert "ALBERT <b>: pretraining" in page.text
    assert "path <script>alert(1)</script>" in page.text
    assert "<i>new</i>: deeper & down yes" in page.text
    assert "from the weights of a&amp;b\\udcff" in page.text
    assert "Other colour <red>" in page.text


@pytest.mark.slow
def test_a_long_run_makes_a_small_page(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=125_000)
    lines = [training(step + 1, masked_lm_loss=5 + noise[step], input_wait=abs(noise[step])) for step in range(125_000)]
    lines += [evaluation(step, step / 1e6) for step in range(250, 125_000, 250)]
    page = report(tmp_path, lines)
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    assert "299 earlier evaluations are only in metrics.jsonl." in page.text


@pytest.mark.parametrize("name", ["run.json", "albert_config.json", "pretrain.config.json"])
@pytest.mark.parametrize(
    ("content", "rule"), [("{", "the file must be JSON"), ("[]", "the file must hold a JSON object")]
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: str, rule: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(TrainerError, match=rf"{re.escape(name)}: {rule}"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"cannot write .*report\.html: No such file or directory"):
        write_report(tmp_path / "none")


def test_smoothing_neither_lags_nor_shows_single_values() -> None:
    steps = np.arange(100.0)
    # Of a straight line, all but the last means are exact; from the first on.
    assert smooth(steps, 10)[:95] == pytest.approx(steps[:95])
    noise = np.where(steps % 2 == 0, 1.0, -1.0)
    assert abs(smooth(noise, 20)[10:]).max() < 0.1
    holes = np.where(steps % 7 == 0, np.nan, 3.0)
    assert smooth(holes, 10)[1:] == pytest.approx(np.full(99, 3.0))
    assert math.isnan(smooth(holes, 10)[0])


def test_thinning_keeps_ends_and_peaks() -> None:
    steps = np.arange(100_000.0)
    values = np.sin(steps)
    values[[12_345, 67_890]] = 50, -50
    values[1::3] = np.nan
    thin_steps, thin_values = thin(steps, values)
    assert len(thin_steps) <= 800
    assert (np.diff(thin_steps) > 0).all()
    assert (thin_steps[0], thin_steps[-1]) == (0, 99_999)
    assert (thin_values.max(), thin_values.min()) == (50, -50)
    few = thin(steps[:6], values[:6])
    assert list(few[0]) == [0, 2, 3, 5]


def test_figures_take_their_colours_from_the_page() -> None:
    steps = np.arange(0.0, 100)
    curves = [Curve("training", steps, steps), Curve("held <out>", steps[::20], steps[::20], color=1, points=True)]
    svg, hover = draw(Plot("loss", "Loss & more", curves, [Level("chance", 0.5)], [30]))
    assert {"var(--ink)", "var(--faint)", "var(--c1)", "var(--c2)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert not re.search(r"#[0-9a-f]{6}\b(?=[;\"])", svg)
    assert 'aria-label="Loss &amp; more"' in svg
    assert ">held &lt;out&gt;<" in svg
    assert draw(Plot("loss", "Loss & more", curves, [Level("chance", 0.5)], [30])) == (svg, hover)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0012, "0.0012"), (0, "0"), (800, "800"), (2500, "2.5k"), (1.2e6, "1.2M"), (-3e9, "-3G")]
)
def test_numbers_of_an_axis(value: float, text: str) -> None:
    assert short(value) == text


def test_speeds_are_means_over_time() -> None:
    """Not over lines: one of a single step, measured too short, would outweigh the rest of the run."""
    lines = [training(10, sequences_per_second=100.0), training(20, sequences_per_second=50.0)]
    lines.append(training(21, steps=1, sequences_per_second=1e6))
    run = Run(lines, {}, {}, {})
    assert run.mean("sequences_per_second") == pytest.approx(21 / (10 / 100 + 10 / 50 + 1 / 1e6))
    assert Run([training(10, sequences_per_second=None)], {}, {}, {}).mean("mfu") is None
