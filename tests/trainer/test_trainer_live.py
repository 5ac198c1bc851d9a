"""The live display of training: plain lines in a log, a table on a terminal."""

import io
import re
from typing import Any

import pytest

from trainer.report.live import Live, amount, plain_line

LINE: dict[str, Any] = {
    "step": 1200,
    "masked_lm_loss": 6.2131,
    "masked_lm_accuracy": 0.1239,
    "sentence_order_loss": 0.689,
    "sentence_order_accuracy": 0.541,
    "learning_rate": 6.8e-4,
    "sequences_per_second": 2411.2,
    "tokens_per_second": 1_131_000.0,
    "tflops": 407.4,
    "mfu": 0.412,
    "padding": 0.063,
    "input_wait": 0.001,
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def evaluated(step: int) -> dict[str, Any]:
    names = ("masked_lm_loss", "masked_lm_accuracy", "sentence_order_loss", "sentence_order_accuracy")
    return {
        "step": step,
        "time": 0.0,
        "evaluation": {name: LINE[name] for name in names} | {"records": 9800, "seconds": 65.0},
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (0.0123, "0.0123"),
        (31.62, "31.6"),
        (2411.2, "2,411"),
        (1.131e6, "1.13M"),
        (999.9e6, "1,000M"),
        (2e9, "2G"),
    ],
)
def test_amounts_have_three_digits(value: float | None, text: str) -> None:
    assert amount(value) == text


def test_the_fraction_of_masked_tokens_is_shown_if_it_changes() -> None:
    assert ", lr 6.80e-04, masked 22.5%, " in plain_line({**LINE, "masked_lm_prob": 0.225}, 125_000, None)


def test_a_plain_line_has_every_figure() -> None:
    assert plain_line(LINE, 125_000, 33_120) == (
        "step 1,200 of 125,000 (1.0%): MLM loss 6.213 acc 0.124, SOP loss 0.689 acc 0.541, lr 6.80e-04, "
        "2,411 seq/s, 1.13M tokens/s, 407 TFLOP/s, MFU 41.2%, padding 6.3%, input wait 0.1%, 9h 12m left"
    )


def test_what_is_unknown_is_left_out_or_said_to_be() -> None:
    unknown = ("masked_lm_loss", "mfu", "tflops", "padding")
    line = plain_line({**LINE, **dict.fromkeys(unknown)}, 125_000, None)
    assert "MLM loss n/a acc 0.124" in line
    assert line.endswith("1.13M tokens/s, input wait 0.1%")
    assert "n/a seq/s" in plain_line({"step": 1}, 10, None)


def test_a_line_whose_steps_all_compiled_has_no_speed() -> None:
    unknown = ("sequences_per_second", "tokens_per_second", "tflops", "mfu", "input_wait")
    line = plain_line({**LINE, **dict.fromkeys(unknown), "compile_seconds": 61.2}, 125_000, None)
    assert line.endswith("lr 6.80e-04, compiled for 1m 01s, padding 6.3%")


def test_only_the_last_step_is_100_percent() -> None:
    assert plain_line({"step": 99_999}, 100_000, None).startswith("step 99,999 of 100,000 (99.9%)")
    assert plain_line({"step": 100_000}, 100_000, None).startswith("step 100,000 of 100,000 (100.0%)")


def lines_of(seconds: list[float], total: int = 1000, **options: Any) -> list[str]:
    """The log of a run whose steps 10, 20, ... end at `seconds`."""
    clock, stream = Clock(), io.StringIO()
    with Live(total, stream=stream, clock=clock, **options) as live:
        for number, second in enumerate(seconds, 1):
            clock.now = second
            live.update({**LINE, "step": 10 * number})
    return stream.getvalue().splitlines()


def test_a_log_gets_the_first_line_at_once_then_one_every_ten_seconds_and_the_last() -> None:
    lines = lines_of([3.0 * number for number in range(1, 13)])
    assert [line.split()[2] for line in lines] == ["10", "50", "90", "120"]
    assert all(line.startswith("albert-fast: step ") for line in lines)
    assert "\x1b" not in "".join(lines)


def test_the_last_line_is_not_said_twice() -> None:
    assert len(lines_of([0.0, 20.0])) == 2


def test_the_time_left_leaves_compiling_out() -> None:
    first, second = lines_of([100.0, 120.0])
    assert "left" not in first
    assert second.endswith(", 32m 40s left"), second  # 980 steps at 2 seconds


def test_a_width_that_is_compiled_later_does_not_show_in_the_time_left() -> None:
    clock, stream = Clock(), io.StringIO()
    with Live(1000, stream=stream, clock=clock) as live:
        for number, (second, compiled) in enumerate([(100.0, 95.0), (220.0, 100.0), (240.0, 0.0)], 1):
            clock.now = second
            live.update({**LINE, "step": 10 * number, "compile_seconds": compiled})
    lines = stream.getvalue().splitlines()
    assert [line.rsplit(", ", 1)[1] for line in lines[1:]] == ["32m 40s left", "32m 20s left"]  # at 2 seconds a step


def test_with_the_batch_the_first_line_has_a_time_left() -> None:
    (first,) = lines_of([100.0], batch_size=2411)
    assert first.endswith(", 16m 30s left"), first  # 990 steps of 1 second


def test_an_evaluation_and_a_message_are_said_at_once() -> None:
    stream = io.StringIO()
    with Live(1000, stream=stream, clock=Clock()) as live:
        live.update({**LINE, "step": 10})
        live.evaluation(evaluated(10))
        live.say("checkpoint\nwritten")
    evaluation, message = stream.getvalue().splitlines()[1:]
    assert evaluation == (
        "albert-fast: evaluation at step 10: MLM loss 6.213 acc 0.124, SOP loss 0.689 acc 0.541, "
        "9,800 records in 1m 05s"
    )
    assert message == "albert-fast: checkpoint written"


def test_messages_are_translated_into_the_words_of_the_user() -> None:
    stream = io.StringIO()
    with Live(1000, stream=stream, translate=lambda text: text.replace("`max_hours`", "--max-hours")) as live:
        live.say("`max_hours` is over")
    assert stream.getvalue() == "albert-fast: --max-hours is over\n"


def test_a_terminal_gets_a_table_at_each_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    clock, stream = Clock(), io.StringIO()
    with Live(1000, stream=stream, terminal=True, clock=clock) as live:
        live.say("before [bold]")
        for step in (10, 20):
            clock.now += 1
            live.update({**LINE, "step": step})
            assert f"step {step} of 1,000" in stream.getvalue()
        live.evaluation(evaluated(20))
        live.say("after [bold]")
        live.update({**LINE, "step": 30})
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n")
    assert "before [bold]\n" in text
    assert "albert-fast: after [bold]" in text
    assert re.search(r"masked LM +6\.213 +0\.124 +6\.213 +0\.124", text)
    assert "1m 38s left" in text
    assert "MFU 41.2%, padding 6.3%, input wait 0.1%" in text
    assert stream.getvalue().endswith("\x1b[?25h"), "the cursor is shown again"


def test_an_error_leaves_the_terminal_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()

    def fail() -> None:
        with Live(1000, stream=stream, terminal=True) as live:
            live.update(LINE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert stream.getvalue().endswith("\x1b[?25h")
