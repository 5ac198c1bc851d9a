"""The comparison of runs: what differs, and that curves over steps, time and tokens line up."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from test_trainer_report import FACTS, Page, evaluation, start, training

from trainer.report.compare import names_of, write_comparison
from trainer.report.data import Run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def made(run: Path, lines: Sequence[dict[str, Any]], facts: dict[str, Any] | None = None, **options: Any) -> Path:
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "run.json").write_text(json.dumps(FACTS if facts is None else facts))
    given = {"batch_size": 50, "output_dir": str(run), **options}
    (run / "pretrain.config.json").write_text(json.dumps({"albert_fast_version": "0.1.0", "pretrain": given}))
    return run


def compared(tmp_path: Path, *runs: Path) -> Page:
    output = tmp_path / "comparison.html"
    write_comparison(runs, output)
    assert sorted(path.name for path in runs[0].iterdir()) == ["metrics.jsonl", "pretrain.config.json", "run.json"]
    return Page(output.read_text())


def over(page: Page, title: str) -> list[dict[str, list[tuple[Any, Any]]]]:
    """The points by run of the figures of that title: over steps, time and tokens."""
    found = [json.loads(script) for name, script in zip(page.titles, page.scripts, strict=False) if name == title]
    return [
        {curve["name"]: list(zip(curve["x"], curve["y"], strict=True)) for curve in figure["curves"]}
        for figure in found
    ]


def test_curves_line_up_over_steps_time_and_tokens(tmp_path: Path) -> None:
    """One run has batches twice as large and takes three times as long for a step."""
    steps = range(10, 60, 10)
    small = [training(n, masked_lm_loss=9 - n / 10, tokens=1000, hours=n / 60) for n in steps]
    large = [training(n, masked_lm_loss=7 - n / 10, tokens=2000, hours=3 * n / 60) for n in steps]
    one = made(tmp_path / "one", [start(0), *small, evaluation(25, 0.1), evaluation(50, 0.2)])
    two = made(tmp_path / "two", [start(0), *large, evaluation(25, 0.3)])
    page = compared(tmp_path, one, two)
    by_step, by_time, by_tokens = over(page, "Masked LM: loss in training")
    assert by_step["one"] == [(10, 8), (20, 7), (30, 6), (40, 5), (50, 4)]
    assert by_step["two"] == [(10, 6), (20, 5), (30, 4), (40, 3), (50, 2)]
    assert by_time["one"] == [(pytest.approx(n / 60, rel=1e-5), 9 - n / 10) for n in steps]
    assert by_time["two"] == [(pytest.approx(3 * n / 60, rel=1e-5), 7 - n / 10) for n in steps]
    assert by_tokens["one"] == [(100 * n, 9 - n / 10) for n in steps]
    assert by_tokens["two"] == [(200 * n, 7 - n / 10) for n in steps]
    # An evaluation between two lines is between them on the other axes too.
    by_step, by_time, by_tokens = over(page, "Masked LM: accuracy held out")
    assert by_step == {"one": [(25, 0.1), (50, 0.2)], "two": [(25, 0.3)]}
    assert by_time == {"one": [(pytest.approx(25 / 60, rel=1e-5), 0.1), (pytest.approx(50 / 60, rel=1e-5), 0.2)],
                       "two": [(1.25, 0.3)]}  # fmt: skip
    assert by_tokens == {"one": [(2500, 0.1), (5000, 0.2)], "two": [(5000, 0.3)]}
    assert {script["axis"] for script in map(json.loads, page.scripts[:-1])} == {"step", "hours", "tokens"}
    assert len(set(page.ids)) == len(page.ids)
    assert all(link.startswith("#") for link in page.links)


def test_a_short_run_is_in_minutes(tmp_path: Path) -> None:
    runs = [made(tmp_path / name, [training(10, hours=0.5)]) for name in "ab"]
    assert over(compared(tmp_path, *runs), "Learning rate")[1] == {name: [(30, 0.001)] for name in "ab"}


def test_what_differs_is_in_the_table(tmp_path: Path) -> None:
    facts = {**FACTS, "environment": {"device": "NVIDIA A100", "tensorflow": "2.21.0"}}
    one = made(tmp_path / "one", [training(10)], learning_rate=0.001, tokens="a<b>", widths="auto")
    two = made(tmp_path / "two", [training(10)], facts, learning_rate=0.002, widths="auto", recompute=True)
    (two / "albert_config.json").write_text('{"hidden_size": 128}')
    output = tmp_path / "comparison.html"
    write_comparison([one, two], output)
    text = Page(output.read_text()).text
    table = text[text.index("Differences") : text.index("Curves")]
    assert table == (
        "Differences one two learning_rate 0.001 0.002 recompute no yes tokens a<b> none "
        "environment: device NVIDIA H200 NVIDIA A100 environment: tensorflow none 2.21.0 model: hidden_size none 128 "
    )
    same = compared(tmp_path, *(made(tmp_path / name, [training(10)]) for name in ("three", "four")))
    assert "The runs have the same options" in same.text


def test_phases_are_shown_as_they_are_typed(tmp_path: Path) -> None:
    phases = [
        {"steps": 12, "masked_lm_prob": "0.3:0.15"},
        {"steps": 400, "tokens": ["b=0.7", "c=0.3"], "mixture_temperature": None},
    ]
    one = made(tmp_path / "one", [training(10)], tokens=["a=0.7", "b=0.3"], phase=phases[:1])
    two = made(tmp_path / "two", [training(10)], tokens=["a"], phase=phases)
    text = compared(tmp_path, one, two).text
    assert "tokens a=0.7, b=0.3 a phase steps=12,masked_lm_prob=0.3:0.15 steps=12,masked_lm_prob=0.3:0.15; " in text
    assert "; steps=400,tokens=b=0.7,tokens=c=0.3" in text
    assert "{" not in text[text.index("Differences") : text.index("Curves")]


def test_results_are_those_of_the_log(tmp_path: Path) -> None:
    one = made(tmp_path / "one", [training(100, tokens=123), evaluation(50, 0.5), evaluation(100, 0.25)])
    two = made(tmp_path / "two", [training(10)], {"steps": {"total": 20}})
    text = compared(tmp_path, one, two).text
    for row in (
        "steps 100 of 100 10 of 20",
        "tokens 123",
        "training time 1h 00m 6m 00s",
        "Masked LM: loss, training 7.000 7.900",
        "Masked LM: accuracy, held out 0.250",
        "best of it 0.500",
        "padding 6.0% 6.0%",
    ):
        assert row in text
    assert "The tokens of two are unknown, so they have no curves over tokens." in text


def test_tokens_of_older_runs_are_called_an_estimate(tmp_path: Path) -> None:
    runs = [made(tmp_path / "new", [training(10, tokens=700)]), made(tmp_path / "old", [training(10)])]
    page = compared(tmp_path, *runs)
    assert "The tokens of old are an estimate" in page.text
    assert "about 50,000" in page.text
    assert over(page, "Learning rate")[2] == {"new": [(700, 0.001)], "old": [(50_000, 0.001)]}


def test_losses_that_are_null_leave_gaps(tmp_path: Path) -> None:
    runs = [made(tmp_path / name, [training(n, masked_lm_loss=None) for n in (10, 20)]) for name in "ab"]
    page = compared(tmp_path, *runs)
    assert over(page, "Masked LM: loss in training") == []
    assert len(over(page, "Learning rate")) == 3


def test_ten_runs_have_ten_looks(tmp_path: Path) -> None:
    runs = [made(tmp_path / f"run-{n}", [training(10), training(20)]) for n in range(10)]
    write_comparison(runs, tmp_path / "c.html")
    first = (tmp_path / "c.html").read_text().split("<svg")[1].split("</svg>")[0]
    looks = set(re.findall(r'<path d="M [^"]*L [^"]*"[^>]*style="fill: none; ([^"]*var\(--c\d\)[^"]*)"', first))
    assert len(looks) == 10


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["x/run", "y/run"], ["x", "y"]),
        (["x/1/run", "y/1/run", "y/2/run"], ["x/1", "y/1", "y/2"]),
    ],
)
def test_names_tell_runs_apart(tmp_path: Path, paths: list[str], names: list[str]) -> None:
    assert names_of([tmp_path / path for path in paths]) == names


def test_places_beyond_what_is_known_are_unknown() -> None:
    run = Run([training(10, hours=1.0, tokens=100), training(20, hours=3.0, tokens=300)], {}, {}, {})
    steps = np.array([0.0, 5, 15, 20, 30])
    assert run.along("step", steps) is steps
    assert run.along("hours", steps)[:4].tolist() == [0, 0.5, 2, 3]
    assert run.along("minutes", steps)[:4].tolist() == [0, 30, 120, 180]
    assert run.along("tokens", steps)[:4].tolist() == [0, 50, 250, 400]
    assert np.isnan([run.along(axis, steps)[4] for axis in ("hours", "tokens")]).all()


@pytest.mark.slow
def test_a_comparison_of_long_runs_is_small(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    runs = []
    for name in "abc":
        noise = random.normal(size=(3, 20_000)).tolist()
        lines = [
            training(n + 1, masked_lm_loss=noise[0][n], gradient_norm=noise[1][n] ** 2, padding=noise[2][n] ** 2)
            for n in range(20_000)
        ]
        runs.append(made(tmp_path / name, [*lines, *(evaluation(n, n / 1e5) for n in range(100, 20_000, 100))]))
    write_comparison(runs, tmp_path / "c.html")
    assert (tmp_path / "c.html").stat().st_size < 2_000_000
