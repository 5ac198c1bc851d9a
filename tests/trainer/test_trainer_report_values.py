"""What the report shows besides curves: values on hover, samples, sources, ratios, GPUs, commands and versions."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from test_trainer_report import FACTS, Page, evaluation, report, start, training

from trainer.report.data import Run
from trainer.report.figures import HEIGHT, WIDTH, Curve, Plot, draw
from trainer.report.report import write_report
from trainer.report.scalars import scalars


def test_the_values_on_hover_are_those_of_the_log(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    lines = [training(step, masked_lm_loss=float(random.normal())) for step in range(10, 2010, 10)]
    lines[7]["masked_lm_loss"] = None
    page = report(tmp_path, [start(0), *lines, evaluation(500, 0.25), evaluation(2000, 0.5)])
    [training_loss, held_out] = page.figures["Masked LM: loss"]["curves"]
    logged = {line["step"]: line["masked_lm_loss"] for line in lines}
    assert training_loss["name"] == "training"
    assert training_loss["x"] == [step for step in logged if logged[step] is not None]
    assert training_loss["y"] == [pytest.approx(logged[step], rel=1e-5) for step in training_loss["x"]]
    assert len(training_loss["m"]) == len(training_loss["x"])
    assert abs(np.diff(training_loss["m"])).mean() < 0.5 * abs(np.diff(training_loss["y"])).mean()
    assert (held_out["name"], held_out["x"], held_out["y"]) == ("held out", [500, 2000], [5.5, 5.5])
    rate = page.figures["Learning rate"]["curves"]
    assert [(curve["x"][0], set(curve["y"])) for curve in rate] == [(10, {1e-3})]
    assert "m" not in rate[0]
    accuracy = page.figures["Masked LM: accuracy"]
    assert accuracy["percent"]
    assert accuracy["curves"][1]["y"] == [0.25, 0.5]
    # The script is the last one, and works on what the figures have.
    for key in ("box", "percent", "curves", "axis"):
        assert f"data.{key}" in page.scripts[-1]
        assert key in accuracy


def test_the_script_finds_the_points_of_the_drawing() -> None:
    """Its arithmetic from values to places must be matplotlib's."""
    x, y = np.array([0.0, 40, 100]), np.array([3.0, 1.0, 7.0])
    svg, hover = draw(Plot("loss", "Loss", [Curve("", x, y, points=True)]))
    assert f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}"' in svg
    left, right, top, bottom = hover["box"]
    (x0, x1), (y0, y1) = hover["x"], hover["y"]
    expected = [
        (left + (a - x0) / (x1 - x0) * (right - left), bottom - (b - y0) / (y1 - y0) * (bottom - top))
        for a, b in zip(x, y, strict=True)
    ]
    path = next(found for found in re.findall(r'd="(M[^"]*)"', svg) if found.count("L") == 2 and "z" not in found)
    drawn = np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path), np.float64)
    assert drawn == pytest.approx(np.array(expected), abs=0.02)


def test_a_million_tokens_and_nothing_at_all_are_numbers_of_json(tmp_path: Path) -> None:
    lines = [training(step, gradient_norm=None if step > 10 else math.pi) for step in range(10, 40, 10)]
    page = report(tmp_path, lines)
    [norm] = page.figures["Gradient norm, before clipping"]["curves"]
    assert (norm["x"], norm["y"]) == ([10], [3.14159])
    assert not any("NaN" in script for script in page.scripts[:-1])


def test_names_in_the_values_end_no_script(tmp_path: Path) -> None:
    page = report(tmp_path, [training(10, drawn={"</script><b>": 3, "b": 1})])
    curves = page.figures["Instances from each store"]["curves"]
    assert [curve["name"] for curve in curves] == ["</script><b>", "b"]
    assert page.tags.count("script") == page.tags.count("svg") + 1


def test_sources_are_a_figure_and_a_table(tmp_path: Path) -> None:
    lines = [training(10, drawn={"wiki": 300, "news": 100}), training(20, drawn={"wiki": 100, "books": 300})]
    page = report(tmp_path, [training(5), *lines])
    curves = {curve["name"]: (curve["x"], curve["y"]) for curve in page.figures["Instances from each store"]["curves"]}
    assert curves == {
        "wiki": ([10, 20], [0.75, 0.25]),
        "news": ([10, 20], [0.25, 0]),
        "books": ([10, 20], [0, 0.75]),
    }
    table = "Instances from each store instances fraction store 400 50.00% wiki 100 12.50% news 300 37.50% books"
    assert table in page.text
    assert "from each store" not in report(tmp_path, [training(5)]).text


def test_trust_ratios_have_a_curve_per_kind(tmp_path: Path) -> None:
    lines = [training(step, trust_ratios={"embedding": 0.01 * step, "feed_forward": 0.5}) for step in (10, 20)]
    page = report(tmp_path, [training(5), *lines])
    [title] = [title for title in page.titles if title.startswith("LAMB")]
    curves = {curve["name"]: (curve["x"], curve["y"]) for curve in page.figures[title]["curves"]}
    assert curves == {"embeddings": ([10, 20], [0.1, 0.2]), "feed-forward": ([10, 20], [0.5, 0.5])}
    assert scalars(lines[0])["train/trust_ratio_embedding"] == 0.1
    assert not any(title.startswith("LAMB") for title in report(tmp_path, [training(5)]).titles)


def test_gpus(tmp_path: Path) -> None:
    gpu = {"gpu_memory": 0.5, "gpu_memory_bytes": 40e9, "gpu_memory_peak_bytes": 31e9}
    page = report(tmp_path, [training(10), *(training(step, gpu_utilization=step / 100, **gpu) for step in (80, 90))])
    assert "GPU utilization 85.0% mean of the run, from NVML" in page.text
    assert "GPU memory, used 31.0 GB" in page.text
    assert "GPU memory, taken 40.0 GB" in page.text
    assert page.figures["GPU utilization: fraction of the time"]["curves"][0]["y"] == [0.8, 0.9]
    assert "GPU" not in report(tmp_path, [training(10)], {}).text


def sample(piece: str, probability: float, *guesses: str) -> dict[str, Any]:
    found = [[guess, 0.3 - 0.1 * number] for number, guess in enumerate(guesses)]
    return {"before": "the <u>", "after": "of France", "piece": piece, "probability": probability, "guesses": found}


def test_samples_are_shown_as_they_change(tmp_path: Path) -> None:
    lines = []
    for step in range(1, 31):
        guesses = ("▁paris", "▁rome") if step > 20 else ("▁rome", "▁bonn")
        lines.append({**evaluation(step, 0.1), "samples": [sample("▁paris", step / 1000, *guesses), sample("x", 0.1)]})
    page = report(tmp_path, [evaluation(0, 0.1), *lines])
    text = page.text
    assert "the <u> ▁paris of France step best pieces right piece 1 ▁rome 30.0% ▁bonn 20.0% ▁paris: 0.1%" in text
    assert "30 ▁paris 30.0% ▁rome 20.0% ▁paris: 3%" in text
    assert len(re.findall(r"▁paris: [\d.]+%", text)) == 8
    html = (tmp_path / "report.html").read_text()
    assert html.count('class="right">▁paris 30.0%') == 3
    assert "u" not in page.tags
    assert "Sample predictions" not in report(tmp_path, [evaluation(1, 0.1)]).text


@pytest.mark.parametrize("samples", [[], "x", [1, None], [{}], [{"guesses": [1, [2]], "piece": None}]])
def test_strange_samples_do_no_harm(tmp_path: Path, samples: Any) -> None:
    report(tmp_path, [{**evaluation(1, 0.1), "samples": samples}])


def test_starts_say_command_and_versions(tmp_path: Path) -> None:
    first = {
        "command": "albert-fast pretrain --tokens 'my <store>'",
        "versions": {"tensorflow": "2.21.0", "cuda": "12"},
    }
    again = {**first, "versions": {"tensorflow": "2.22.0", "new": "1"}}
    page = report(tmp_path, [{**start(0), **first}, training(10), {**start(10), **again}, start(10), training(20)])
    assert "0 new 2027-01-15 08:00 UTC TensorFlow 2.21.0, CUDA 12" in page.text
    assert "10 resumed 2027-01-15 08:00 UTC TensorFlow 2.22.0, new 1" in page.text
    assert page.text.count("albert-fast pretrain --tokens 'my <store>'") == 1


def test_tokens_are_counted_or_else_estimated(tmp_path: Path) -> None:
    exact = [training(10, tokens=4000), training(20, tokens=5000)]
    assert "(9,000 tokens without padding)" in report(tmp_path, exact).text
    older = [training(10), training(20, tokens=5000)]
    assert "(about 500,000 tokens)" in report(tmp_path, older).text
    run = Run(older, FACTS, {}, {})
    tokens, estimated = run.tokens
    assert estimated
    assert tokens.tolist() == [10 * 50 * 100, 10 * 50 * 100 + 5000]
    assert not np.isfinite(Run(older, {}, {}, {}).tokens[0]).any()


def test_an_unfinished_last_line_is_left_out(tmp_path: Path) -> None:
    report(tmp_path, [training(10), training(20)])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(training(30))[:-40])
    from trainer.report.report import write_report

    page = Page(write_report(tmp_path, tmp_path / "other.html").read_text())
    assert page.figures["Learning rate"]["curves"][0]["x"] == [10, 20]


def test_a_run_with_phases_says_what_is_true_of_the_first(tmp_path: Path) -> None:
    data = {
        "source": "tokens",
        "tokens_per_sequence": 31.3,
        "phase 1": {
            "steps": 12,
            "max_seq_length": 32,
            "masked_lm_prob": "0.3:0.15",
            "stores": {"a": "70%, 67 instances", "steps": "30%, 29 instances"},
        },
        "phase 2": {
            "steps": 1,
            "max_seq_length": 64,
            "masked_lm_prob": 0.15,
            "stores": {"b": "100%, 3,200 instances"},
        },
    }
    facts = {**FACTS, "data": data, "training": {**FACTS["training"], "micro_batch_size": 8, "expected_padding": 0.02}}
    text = report(tmp_path, [start(0), training(10)], facts).text
    for row in (
        "mean tokens per instance, in phase 1 31.3",
        "phase 1 12 steps, up to 32 tokens, 30% to 15% masked; 70%, 67 instances from a; 30%, 29 instances from steps",
        "phase 2 1 step, up to 64 tokens, 15% masked; 100%, 3,200 instances from b",
        "micro-batch size (instances), in phase 1 8",
        "expected padding, in phase 1 2%",
    ):
        assert row in text
    # What is open before a budget has decided it, is left out.
    mixture = {"steps": None, "max_seq_length": 32, "masked_lm_prob": 0.15, "stores": {"a": "70%", "b": "30%"}}
    facts["data"] = {"tokens_per_sequence": 31.3, "mixture": mixture}
    text = report(tmp_path, [start(0), training(10)], facts).text
    assert "mean tokens per instance 31.3" in text
    assert "mixture up to 32 tokens, 15% masked; 70% from a; 30% from b" in text
    assert "in phase 1" not in text


def test_the_configuration_is_shown_as_in_its_file(tmp_path: Path) -> None:
    options = {"jit": False, "tokens": ["a=0.7", "b=0.3"], "phase": [{"steps": 12, "tokens": ["b=1"]}], "model": "tiny"}
    made = tmp_path / "made"
    made.mkdir()
    (made / "metrics.jsonl").write_text(json.dumps(training(10)) + "\n")
    (made / "pretrain.config.json").write_text(json.dumps({"pretrain": options}))
    write_report(made)
    text = Page((made / "report.html").read_text()).text
    for row in ("jit false", 'tokens ["a=0.7", "b=0.3"]', 'phase [{"steps": 12, "tokens": ["b=1"]}]', "model tiny"):
        assert row in text
