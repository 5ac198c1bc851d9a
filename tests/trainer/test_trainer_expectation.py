"""What a run says it will take, before its first step."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.model.config import PRESETS
from trainer.model.flops import training_flops
from trainer.run import packing
from trainer.run.expectation import (
    LONG,
    Expectation,
    advice,
    expect,
    padding_line,
    peak_fraction,
    rate_line,
    time_line,
)
from trainer.run.packing import Sizes, Width

BASE = PRESETS["base"]


def expected(found: Sizes, widths: tuple[Width, ...], rows: int, devices: int = 1) -> Expectation:
    def cost(tokens: int, predictions: int) -> float:
        return training_flops(BASE, tokens, predictions)

    return expect(BASE, found, widths, rows, lambda step: packing.plan(step, widths, devices, cost))


def sizes(tokens: list[int]) -> Sizes:
    lengths = np.array(tokens, np.int64)
    return Sizes(lengths, np.maximum(1, lengths // 7), lengths)


def test_padding_and_work_are_those_of_the_steps() -> None:
    widths = (Width(64, 10, 8), Width(128, 20, 4))
    # Two steps of eight rows, and a rest that makes no step.
    found = expected(sizes([64] * 8 + [128] * 8 + [1] * 3), widths, rows=8)
    assert found.padding == 0
    assert found.one_width == pytest.approx(0.25)
    assert found.busiest == 1
    assert found.operations == pytest.approx((training_flops(BASE, 64, 10) + training_flops(BASE, 128, 20)) / 2)
    # Half of what is computed is padding.
    assert expected(sizes([64] * 8), widths[1:], 8).padding == pytest.approx(0.5)


def test_shares_that_are_not_equal_are_told() -> None:
    widths = packing.full(64, 10, 2)
    found = expected(sizes([64] * 6), widths, rows=6, devices=2)
    assert found.busiest == pytest.approx(4 / 3)
    assert padding_line(found, widths, 2) == (
        "micro-batches of 2 x 64 tokens: about 0% of the computed tokens are padding; the busiest of 2 devices has "
        "1.33 times the mean work"
    )


def test_a_sample_smaller_than_a_step() -> None:
    assert expected(sizes([64, 32]), packing.full(64, 10, 2), rows=4096).padding == pytest.approx(0.25)


def test_widths_are_named() -> None:
    widths = (Width(64, 10, 8), Width(128, 20, 4), Width(512, 77, 1))
    found = expected(sizes([50] * 8 + [500]), widths, rows=9)
    assert padding_line(found, widths, 1).startswith("micro-batches of 8 x 64, 4 x 128 and 1 x 512 tokens: about 12% ")
    assert padding_line(found, widths, 1).endswith(" (80% with one width)")


@pytest.mark.parametrize(
    ("name", "fraction"),
    [
        ("NVIDIA H200", 0.30),
        ("NVIDIA H100 80GB HBM3", 0.25),
        ("NVIDIA A100-SXM4-80GB", 0.38),
        ("NVIDIA L4", 0.25),
    ],
)
def test_fractions_of_the_peak(name: str, fraction: float) -> None:
    assert peak_fraction(name) == fraction


def test_what_takes_more_than_a_month_is_a_warning_with_a_remedy() -> None:
    advised = advice("base", 4096, 125_000, 512, from_store=True, gpu=False)
    said, warning = time_line(516_041 * 3600, "this CPU", advised, gpu=False)
    assert warning
    assert said == (
        "no GPU found; on this CPU the run would take about 59 years. Try model='tiny', fewer `num_train_steps` than "
        "125,000, a `batch_size` below 4,096, a `max_seq_length` below 512 or a GPU"
    )
    assert time_line(3600, "this CPU", advised, gpu=False) == (
        "no GPU found; on this CPU the run takes about 1h 00m",
        False,
    )
    assert time_line(5, "this CPU", advised, gpu=False)[0].endswith("takes less than a minute")
    said, warning = time_line(LONG + 1, "NVIDIA H100", "Try more GPUs", gpu=True)
    assert warning
    assert said == "on NVIDIA H100 the run would take about 30 days. Try more GPUs"


@pytest.mark.parametrize(
    ("batch", "rate", "fitting"),
    [
        (4096, 0.00176, None),
        # One of them is the default.
        (1024, 0.00176, "0.00088"),
        (256, 0.00176, "0.00044"),
        (2048, 0.00176, "0.00124"),
        (6144, 0.00176, None),
        (32_768, 0.00176, "0.00498"),
        (4096, 0.01, "0.00176"),
        (4096, 0.0002, "0.00176"),
        (4096, 0.0015, None),
        # Both were chosen: twice the rate, or half of it, may be meant.
        (1024, 0.00088, None),
        (1024, 0.00044, None),
        (256, 0.00088, None),
        (256, 0.001, "0.00044"),
        (1024, 0.0004, "0.00088"),
        (64, 0.00022, None),
    ],
)
def test_a_rate_that_does_not_fit_the_batch(batch: int, rate: float, fitting: str | None) -> None:
    said = rate_line("lamb", batch, rate)
    if fitting is None:
        assert said == ""
        return
    assert said == (
        f"learning_rate={rate:g} does not fit batch_size={batch}: by the square-root rule for LAMB, "
        f"learning_rate={fitting} does"
    )
    # What it names is taken without a word.
    assert rate_line("lamb", batch, float(fitting)) == ""


def test_there_is_no_such_rule_for_adamw() -> None:
    assert rate_line("adamw", 16, 0.00176) == ""


def test_the_remedy_is_one_that_there_is() -> None:
    assert "model" not in advice("tiny", 8, 10, 64, from_store=True, gpu=False)
    assert advice("xxlarge", 8, 10, 64, from_store=False, gpu=True) == (
        "Try model='base', fewer `num_train_steps` than 10, a `batch_size` below 8 or more GPUs"
    )
    assert "model='tiny'" in advice("base", 8, 10, 64, from_store=True, gpu=True)
